using System.Buffers.Binary;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Rpc.Tests.Support;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using Google.Protobuf;
using Xunit.Abstractions;
using Wait = EventVault.Node.Tests.Support.Wait;

namespace EventVault.Node.Tests;

/// <summary>
/// What appends, reads and deliveries allocate, counted and not timed. A budget is what was counted when it was set, and at most a
/// third on top: twice as much breaks it. Calls run client and node in this process, and their clients allocate next to nothing;
/// what else the process does meanwhile only adds, so the least of several rounds counts. Whoever changes the cost on
/// purpose changes the budget, and says why.
/// </summary>
[Collection(nameof(AllocationGuardTests))]
public sealed class AllocationGuardTests(ITestOutputHelper output) : IDisposable
{
    private const int Rounds = 20;
    private readonly string _folder = Directory.CreateTempSubdirectory("eventvault-allocation-tests-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    /// <summary>
    /// All of it on this thread: exact, but for the secrets of vault and process, by which the index in memory grows. That takes 72 to 79 B for such an
    /// event; an object for each append would be 24 more at the least.
    /// </summary>
    [Fact]
    public void Appends_in_process_allocate_nothing_but_what_finds_them()
    {
        const int Appends = 100;
        const int Groups = 40;
        using var vault = new SteppedLoop(new AppendLimits(), new NativeFileSystem(), _folder);
        var encoded = new Renewed(Request().Streams[0].Events[0].ToByteArray());
        var appends = Enumerable.Range(0, Appends).Select(i => (Append: new SingleAppend(vault.Storage, mostInline: Appends), Bytes: (byte[])[.. "item-"u8, (byte)('0' + (i % 10)), .. encoded.Bytes])).ToList();
        var counted = new List<long>();
        for (var group = 0; group < 2 * Groups; group++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            foreach (var (append, bytes) in appends)
            {
                const int Name = 6;
                Renewed.Renew(bytes.AsSpan(Name), encoded.Places);
                append.Reset();
                append.Content.Reset(bytes);
                append.Content.OperationId = BinaryPrimitives.ReadUInt128BigEndian(bytes.AsSpan(Name + encoded.Places[0]));
                append.Content.AddStream(0, Name, ExpectedKind.Any, default);
                append.Content.AddEvent(Name, bytes.Length - Name);
                append.QueuedBytes = bytes.Length;
                if (append.Content.Check(out _, out _).Kind != EventProblemKind.None || vault.Storage.Reader.LookUp(append.Content, out _)
                    || vault.Loop.Enqueue(append, append, 1, append.QueuedBytes) != AppendOutcome.None)
                {
                    throw new InvalidOperationException("An append was refused.");
                }
            }

            vault.Loop.Step();
            vault.Flush();
            vault.Loop.Step();
            counted.Add(GC.GetAllocatedBytesForCurrentThread() - before);
            Assert.All(appends, a => Assert.Equal(AppendOutcome.Appended, a.Append.Outcome));
        }

        var warm = counted[Groups..];
        Within(86, warm.Sum() / (double)(Groups * Appends), "B for an append in process, the index in memory included");
    }

    [Fact]
    public async Task An_append_over_a_session_keeps_its_budget()
    {
        await using var node = await StartAsync();
        await using var call = node.Channel.Start(Methods.AppendSession);
        var request = SessionRequest();
        await BestOfAsync(300, "B for an append over a session", 500, () => AppendAsync(call, request, 500));
    }

    [Fact]
    public async Task A_unary_append_keeps_its_budget()
    {
        const int Calls = 100;
        await using var node = await StartAsync();
        using var peer = await Http2Peer.ConnectAsync(new Uri($"http://{node.Node.RpcEndPoint}"));
        await peer.SendAsync(FrameType.WindowUpdate, 0, 0, [0x3F, 0, 0, 0]);
        var message = Request().ToByteArray();
        byte[] body = [0, 0, 0, 0, 0, .. message];
        BinaryPrimitives.WriteInt32BigEndian(body.AsSpan(1), message.Length);
        var buffer = new byte[64 << 10];
        var next = 1;
        Renewed requests = null!;

        await BestOfAsync(
            2800, "B for a unary append", Calls,
            async () =>
            {
                await peer.SendBytesAsync(requests.Bytes);
                await peer.SkipStreamsAsync(Calls, buffer);
            },
            prepare: () =>
            {
                requests = new Renewed(Http2Peer.Requests(next, Calls, Methods.Append.Path, body));
                requests.Renew();
                next += 2 * Calls;
            });
        Assert.Equal((next / 2) - 1, node.Node.Storage.Head.Value);
    }

    [Fact]
    public async Task Reads_allocate_next_to_nothing_for_an_event()
    {
        const int Events = 10_000;
        await using var node = await StartAsync();
        await using (var call = node.Channel.Start(Methods.AppendSession))
        {
            var request = SessionRequest();
            for (var i = 0; i < Events; i += 500)
            {
                await AppendAsync(call, request, 500).WaitAsync(Wait.Limit);
            }
        }

        await BestOfAsync(15, "B for an event of a read of all", Events, async () =>
        {
            await using var call = node.Channel.Start(Methods.ReadAll, new ReadAllRequest());
            var events = 0;
            while (await call.MoveNextRawAsync())
            {
                events += EventsIn(call.RawMessage.Span);
            }

            Assert.Equal(Events, events);
        });
    }

    /// <summary>One event at a time, each delivered to all before the next is appended: nobody's luck decides who waits for whom.</summary>
    [Fact]
    public async Task A_delivery_keeps_its_budget()
    {
        const int Subscribers = 10;
        const int Events = 50;
        await using var node = await StartAsync();
        await using var session = node.Channel.Start(Methods.AppendSession);
        var calls = Enumerable.Range(0, Subscribers).Select(_ => node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() })).ToList();
        var request = SessionRequest();
        await BestOfAsync(900, $"B for an append over a session and {Subscribers} deliveries, for each of them", Events * Subscribers, async () =>
        {
            for (var i = 0; i < Events; i++)
            {
                await AppendAsync(session, request, 1);
                foreach (var call in calls)
                {
                    var delivered = 0;
                    while (delivered == 0 && await call.MoveNextRawAsync())
                    {
                        delivered = EventsIn(call.RawMessage.Span);
                    }

                    Assert.Equal(1, delivered);
                }
            }
        });
        foreach (var call in calls)
        {
            await call.DisposeAsync();
        }
    }

    // Nothing by the clock, and one segment: what rolling and sealing cost is counted elsewhere.
    private Task<TestNode> StartAsync() => TestNode.StartAsync(options => options with
    {
        Files = new NativeFileSystem(),
        Directory = _folder,
        SegmentSizeBytes = 64 * 1024 * 1024,
        ProgressInterval = TimeSpan.FromHours(1),
    });

    private static AppendRequest Request()
    {
        var id = ByteString.CopyFrom(Renewed.Mark);
        var e = Make.Event(data: new string('x', 256));
        e.Id = id;
        return new AppendRequest { OperationId = id, Streams = { Make.Stream("item-1", Make.Any, e) } };
    }

    private static Renewed SessionRequest() => new(new AppendSessionRequest { RequestId = 1, Append = Request() }.ToByteArray());

    private static async Task AppendAsync(RpcCall<AppendSessionRequest, AppendSessionResponse> call, Renewed request, int count)
    {
        for (var i = 0; i < count; i++)
        {
            request.Renew();
            call.WriteRaw(request.Bytes);
        }

        await call.FlushAsync();
        for (var answered = 0; answered < count;)
        {
            Assert.True(await call.MoveNextRawAsync());
            answered += Count(call.RawMessage.Span, field: 1);
        }
    }

    private static int EventsIn(ReadOnlySpan<byte> response)
    {
        const int Events = 2;
        var fields = new WireReader(response);
        var count = 0;
        while (fields.Next())
        {
            count += fields.Field == Events ? Count(response.Slice(fields.Start, fields.Length), field: 1) : 0;
        }

        return count;
    }

    private static int Count(ReadOnlySpan<byte> message, int field)
    {
        var fields = new WireReader(message);
        var count = 0;
        while (fields.Next())
        {
            count += fields.Field == field ? 1 : 0;
        }

        return count;
    }

    private async Task BestOfAsync(double budget, string what, int operations, Func<Task> round, Action? prepare = null)
    {
        var counted = new List<double>();
        for (var i = 0; i < Rounds; i++)
        {
            prepare?.Invoke();
            var before = GC.GetTotalAllocatedBytes(precise: true);
            await round().WaitAsync(Wait.Limit);
            counted.Add((GC.GetTotalAllocatedBytes(precise: true) - before) / (double)operations);
        }

        output.WriteLine($"all rounds: {string.Join(" ", counted.Select(c => $"{c:0.#}"))}");
        Within(budget, counted.Min(), what);
    }

    private void Within(double budget, double counted, string what)
    {
        output.WriteLine($"{counted:0.##} {what}; budget {budget}");
        Assert.True(counted <= budget, $"{counted:0.##} {what}: more than the {budget} it may be.");
    }

    /// <summary>An encoded message whose ids are renewed in place: to make it allocates nothing.</summary>
    private sealed class Renewed
    {
        private static long Last;

        public Renewed(byte[] bytes)
        {
            Bytes = bytes;
            var places = new List<int>();
            for (var at = 0; bytes.AsSpan(at).IndexOf(Mark) is var found and >= 0; at += found + Mark.Length)
            {
                places.Add(at + found);
            }

            Places = [.. places];
            Assert.NotEmpty(Places);
        }

        /// <summary>What stands where an id belongs.</summary>
        public static byte[] Mark { get; } = [.. Enumerable.Repeat((byte)0xA5, 16)];

        public byte[] Bytes { get; }

        public int[] Places { get; }

        public void Renew() => Renew(Bytes, Places);

        public static void Renew(Span<byte> bytes, ReadOnlySpan<int> places)
        {
            foreach (var place in places)
            {
                BinaryPrimitives.WriteInt64BigEndian(bytes[(place + 8)..], ++Last);
            }
        }
    }
}

/// <summary>Allocation is counted for the whole process: nothing else may run meanwhile.</summary>
[CollectionDefinition(nameof(AllocationGuardTests), DisableParallelization = true)]
public static class AllocationGuardTestsRunAlone;
