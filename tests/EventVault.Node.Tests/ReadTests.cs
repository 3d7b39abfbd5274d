using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Node.Tests;

public sealed class ReadTests
{
    [Fact]
    public async Task Every_kind_of_bound_in_both_directions_gives_what_a_naive_list_gives()
    {
        await using var node = await TestNode.StartAsync();
        for (var i = 0; i < 7; i++)
        {
            await node.AppendAsync(Make.Append(Make.Stream("a", Make.Any, Make.Events(2)), Make.Stream("b", Make.Any)));
        }

        var all = await node.ReadAllAsync();
        var ofA = all.Where(e => e.Stream == "a").ToList();
        Assert.Equal(21, all.Count);
        var bounds = Bounds(all).ToList();
        foreach (var from in bounds)
        {
            foreach (var until in bounds)
            {
                foreach (var direction in new[] { Direction.Forwards, Direction.Backwards })
                {
                    var limit = (ulong)((bounds.IndexOf(from) + bounds.IndexOf(until)) % 4);
                    var request = new ReadStreamRequest { Stream = "a", From = from, Until = until, Direction = direction, Limit = limit };
                    Assert.Equal(Naive(ofA, from, until, direction, limit), await node.ReadStreamAsync(request));
                    if (from?.HasVersion != true && until?.HasVersion != true)
                    {
                        var allRequest = new ReadAllRequest { From = from, Until = until, Direction = direction, Limit = limit };
                        Assert.Equal(Naive(all, from, until, direction, limit), await node.ReadAllAsync(allRequest));
                    }
                }
            }
        }
    }

    [Fact]
    public async Task The_head_comes_first_and_tells_what_the_read_rests_on()
    {
        await using var node = await TestNode.StartAsync();
        var (empty, none) = await node.ReadAsync(Methods.ReadAll, new ReadAllRequest());
        Assert.False(empty.HasLastPosition);
        Assert.Equal(0, empty.RecordedAt);
        Assert.Empty(none);

        await node.AppendAsync("a", Make.NoStream, Make.Events(3));
        var answer = await node.AppendAsync("b", Make.NoStream);
        var (head, _) = await node.ReadAsync(Methods.ReadStream, new ReadStreamRequest { Stream = "a" });
        Assert.Equal((3ul, 2ul, answer.RecordedAt), (head.LastPosition, head.LastVersion, head.RecordedAt));
    }

    [Fact]
    public async Task A_stream_without_events_is_not_found()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("a", Make.NoStream);
        Task Read() => node.ReadStreamAsync(new ReadStreamRequest { Stream = "b" });
        Task Get() => node.Channel.UnaryAsync(Methods.GetStream, new GetStreamRequest { Stream = "b" }).AsTask();
        Assert.Equal("b", (await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, Read)).Stream);
        Assert.Equal("b", (await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, Get)).Stream);
    }

    [Fact]
    public async Task Large_reads_come_whole_over_many_messages_and_segments()
    {
        var node = await TestNode.StartAsync();
        try
        {
            var payload = new string('x', 3000);
            for (var i = 0; i < 20; i++)
            {
                await node.AppendAsync($"s-{i % 3}", Make.Any, [.. Enumerable.Range(0, 50).Select(_ => Make.Event(data: payload))]);
            }

            // One event that is larger than a message of events usually is.
            await node.AppendAsync("s-0", Make.Any, Make.Event(data: new string('y', 700_000)));
            node = await node.RestartAsync();
            var all = await node.ReadAllAsync();
            Assert.Equal(Enumerable.Range(0, 1001).Select(i => (ulong)i), all.Select(e => e.Position));
            Assert.Equal(Enumerable.Range(0, 1001).Reverse().Select(i => (ulong)i), (await node.ReadAllAsync(new ReadAllRequest { Direction = Direction.Backwards })).Select(e => e.Position));
            Assert.Equal(all.Where(e => e.Stream == "s-0"), await node.ReadStreamAsync(new ReadStreamRequest { Stream = "s-0" }));
            Assert.Equal(all.Where(e => e.Stream == "s-1").Reverse(), await node.ReadStreamAsync(new ReadStreamRequest { Stream = "s-1", Direction = Direction.Backwards }));
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task The_vaults_own_streams_are_left_out_unless_asked_for()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("a", Make.NoStream);
        await AppendToSystemStreamAsync(node, "$settings");
        await node.AppendAsync("a", Make.Exists);

        Assert.Equal([0, 2], (await node.ReadAllAsync()).Select(e => (int)e.Position));
        Assert.Equal([0, 1, 2], (await node.ReadAllAsync(new ReadAllRequest { IncludeSystem = true })).Select(e => (int)e.Position));
        Assert.Equal([0, 2], (await node.ReadAllAsync(new ReadAllRequest { Limit = 2 })).Select(e => (int)e.Position));
        Assert.Single(await node.ReadStreamAsync(new ReadStreamRequest { Stream = "$settings" }));
        Assert.Equal(["a"], (await ListAsync(node, "")).Streams.Select(s => s.Stream));
        Assert.Equal(["$settings"], (await ListAsync(node, "$")).Streams.Select(s => s.Stream));
    }

    [Fact]
    public async Task Streams_are_listed_by_prefix_in_the_order_of_their_names_page_by_page()
    {
        await using var node = await TestNode.StartAsync();
        var names = Enumerable.Range(0, 23).Select(i => $"order-{i * 7 % 23:D2}").Append("b").Append("order").Append("z").Append("é").ToList();
        foreach (var name in names)
        {
            await node.AppendAsync(name, Make.NoStream, Make.Events(name.Length));
        }

        var ordered = names.Where(n => n.StartsWith("order", StringComparison.Ordinal)).Order(StringComparer.Ordinal).ToList();
        var listed = new List<StreamInfo>();
        var token = "";
        do
        {
            var page = await node.Channel.UnaryAsync(Methods.ListStreams, new ListStreamsRequest { Prefix = "order", PageSize = 5, PageToken = token });
            Assert.True(page.Streams.Count is > 0 and <= 5);
            listed.AddRange(page.Streams);
            token = page.NextPageToken;
        }
        while (token.Length > 0);

        Assert.Equal(ordered, listed.Select(s => s.Stream));
        foreach (var info in listed)
        {
            Assert.Equal((ulong)info.Stream.Length - 1, info.LastVersion);
            Assert.Equal(info, await node.Channel.UnaryAsync(Methods.GetStream, new GetStreamRequest { Stream = info.Stream }));
        }

        var last = (await node.ReadAllAsync(new ReadAllRequest { From = new ReadBound { Position = listed[0].LastPosition }, Limit = 1 }))[0];
        Assert.Equal((listed[0].Stream, listed[0].LastVersion, listed[0].LastRecordedAt), (last.Stream, last.Version, last.RecordedAt));
    }

    [Fact]
    public async Task A_client_that_reads_slowly_gets_everything()
    {
        await using var node = await TestNode.StartAsync();
        for (var i = 0; i < 100; i++)
        {
            await node.AppendAsync("s", Make.Any, Make.Event(data: new string('x', 200_000)));
        }

        await using var call = node.Channel.Start(Methods.ReadAll, new ReadAllRequest());
        Assert.True(await call.MoveNextAsync());

        // By now the node has filled every window and waits; other calls go on.
        await node.AppendAsync("other", Make.NoStream);
        var events = new List<RecordedEvent>();
        while (await call.MoveNextAsync())
        {
            events.AddRange(call.Current.Events.Events);
        }

        Assert.Equal(Enumerable.Range(0, 100).Select(i => (ulong)i), events.Select(e => e.Position));
    }

    internal static async Task AppendToSystemStreamAsync(TestNode node, string stream)
    {
        // Clients can't; the vault itself will, in the same way.
        var append = new SingleAppend(node.Node.Storage);
        var e = Make.Event();
        var bytes = System.Text.Encoding.UTF8.GetBytes(stream).Concat(e.ToByteArray()).ToArray();
        append.Reset();
        append.Content.Reset(bytes);
        append.Content.OperationId = 7;
        append.Content.AddStream(0, stream.Length, Storage.Log.ExpectedKind.Any, default);
        append.Content.AddEvent(stream.Length, bytes.Length - stream.Length);
        Assert.Equal(default, append.Content.Check(out _, out _));
        Assert.Equal(AppendOutcome.Appended, await node.Node.AppendAsync(append));
    }

    private static ValueTask<ListStreamsResponse> ListAsync(TestNode node, string prefix) =>
        node.Channel.UnaryAsync(Methods.ListStreams, new ListStreamsRequest { Prefix = prefix });

    private static IEnumerable<ReadBound?> Bounds(List<RecordedEvent> all)
    {
        yield return null;
        foreach (var position in new ulong[] { 0, 1, 10, 20, 21, long.MaxValue, ulong.MaxValue })
        {
            yield return new ReadBound { Position = position };
        }

        foreach (var version in new ulong[] { 0, 5, 13, 14, (ulong)long.MaxValue + 1, ulong.MaxValue })
        {
            yield return new ReadBound { Version = version };
        }

        foreach (var time in new[] { long.MinValue, -1, 0, all[6].RecordedAt - 1, all[6].RecordedAt, all[6].RecordedAt + 1, all[20].RecordedAt, all[20].RecordedAt + 1, long.MaxValue })
        {
            yield return new ReadBound { Time = time };
        }
    }

    private static IEnumerable<RecordedEvent> Naive(List<RecordedEvent> events, ReadBound? from, ReadBound? until, Direction direction, ulong limit)
    {
        var (lower, upper) = direction == Direction.Forwards ? (from, until) : (until, from);
        var range = events.Where(e => Compare(e, lower) >= 0 && Compare(e, upper, none: -1) <= 0);
        range = direction == Direction.Forwards ? range : range.Reverse();
        return limit == 0 ? range : range.Take((int)limit);
    }

    private static int Compare(RecordedEvent e, ReadBound? bound, int none = 1) => bound?.BoundCase switch
    {
        null => none,
        ReadBound.BoundOneofCase.Position => e.Position.CompareTo(bound.Position),
        ReadBound.BoundOneofCase.Version => e.Version.CompareTo(bound.Version),
        _ => e.RecordedAt.CompareTo(bound.Time),
    };
}
