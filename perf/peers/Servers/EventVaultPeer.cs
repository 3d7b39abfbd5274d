using EventVault.Client;
using EventVault.LoadTest.Nodes;
using EventVault.LoadTest.Scenarios;
using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;
using EventData = EventVault.Client.EventData;
using ExpectedVersion = EventVault.Client.ExpectedVersion;

namespace EventVault.Peers.Servers;

/// <summary>Our own node as a process, through our own SDK; or by plain unary calls, as clients in other languages make them.</summary>
/// <param name="name">In the tables.</param>
/// <param name="unary">Whether appends are unary calls instead of pipelined on a session.</param>
/// <param name="program">The node's assembly, or a published program.</param>
internal sealed class EventVaultPeer(string name, bool unary, string program) : IPeer
{
    // As the SDK's documentation says.
    private const int TwoSessionsFrom = 64;

    private string _folder = "";
    private int _port;
    private VaultNode? _node;

    public string Name => name;

    public bool IsDurable => true;

    public string? Program => null;

    public string? Missing => File.Exists(program) ? null : $"{program} is not built";

    public int ProcessId => _node?.ProcessId ?? 0;

    public string SetUp => "EventVault, defaults, one node, over gRPC on loopback without TLS; " + (unary
        ? "appends as plain unary calls on 1 to 4 connections"
        : $"appends through the SDK, which pipelines them on one session, on two from {TwoSessionsFrom} in flight on; reads as pages without objects");

    public string? Skips(Workload workload) => unary && workload is not (Workload.OneAppender or Workload.ManyAppenders or Workload.ManyEvents) ? "the same as eventvault" : null;

    public async Task StartAsync(bool fresh)
    {
        if (fresh)
        {
            _folder = Path.Combine(PeerServer.Root, name);
            _port = ServerProcess.FreePort();
            if (Directory.Exists(_folder))
            {
                Directory.Delete(_folder, recursive: true);
            }
        }

        _node = await VaultNode.StartAsync(_folder, program, _port);
    }

    public async Task StopAsync(bool kill)
    {
        if (_node is not null)
        {
            await _node.StopAsync(kill);
            _node = null;
        }
    }

    public Task<IEventLog> ConnectAsync(int inFlight)
    {
        var data = Path.Combine(_folder, "data");
        var channel = unary ? new RpcChannel(new Uri($"http://127.0.0.1:{_port}"), new RpcChannelOptions { Connections = inFlight >= 64 ? 4 : 1 }) : null;
        return Task.FromResult<IEventLog>(new EventVaultLog($"eventvault://127.0.0.1:{_port}", inFlight >= TwoSessionsFrom ? 2 : 1, channel, data));
    }
}

/// <summary>A vault through the SDK.</summary>
internal sealed class EventVaultLog(string address, int sessions, RpcChannel? unary, string data) : IEventLog
{
    private const int LoadInFlight = 2_000;

    // Empty, and held by the node.
    private const string LockFile = "lock";
    private static readonly RpcMethod<AppendRequest, AppendResponse> Append = RpcMethod<AppendRequest, AppendResponse>.Of(StreamsReflection.Descriptor.Services[0], "Append");
    private readonly VaultClient _client = VaultClient.Connect(address, new VaultClientOptions { Sessions = sessions });

    public long NoStream => -1;

    public async Task<long> AppendAsync(string stream, long expected, PeerEvent[] events)
    {
        if (unary is not null)
        {
            return await AppendUnaryAsync(unary, stream, expected, events);
        }

        try
        {
            var version = expected < 0 ? ExpectedVersion.NoStream : ExpectedVersion.Exact((ulong)expected);
            var result = events.Length == 1
                ? await _client.AppendAsync(stream, version, new EventData(events[0].Type, events[0].Data))
                : await _client.AppendAsync(stream, version, events.Select(e => new EventData(e.Type, e.Data)));
            return (long)result.LastVersion;
        }
        catch (WrongExpectedVersionException e)
        {
            throw new WrongVersionException(e.Message);
        }
    }

    public async Task<long> ReadStreamAsync(string stream, EventSink sink) => await TakeAsync(_client.ReadStreamAsync(stream), sink);

    public async Task<long> ReadAllAsync(long most, EventSink sink) => await TakeAsync(_client.ReadAllAsync(new ReadOptions { Limit = (ulong)most }), sink);

    public async Task<IAsyncDisposable> SubscribeAsync(bool fromStart, EventSink sink)
    {
        var client = VaultClient.Connect(address);
        var subscription = client.SubscribeToAllAsync(new SubscribeOptions { FromEnd = !fromStart });
        await subscription.GetHeadAsync();
        return new Follower(client, subscription, sink);
    }

    public async Task LoadAsync(IEnumerable<(string Stream, PeerEvent Event)> events)
    {
        var window = new Queue<Task>();
        foreach (var (stream, e) in events)
        {
            window.Enqueue(_client.AppendAsync(stream, ExpectedVersion.Any, new EventData(e.Type, e.Data)));
            if (window.Count > LoadInFlight)
            {
                await window.Dequeue();
            }
        }

        await Task.WhenAll(window);
    }

    /// <summary>The files without the zeros at their ends: space that is written before it is used belongs to no event.</summary>
    public Task<long> DiskBytesAsync() =>
        Task.FromResult(new DirectoryInfo(data).EnumerateFiles("*", SearchOption.AllDirectories).Where(f => f.Name != LockFile).Sum(f => UsedBytes(f.FullName)));

    public async ValueTask DisposeAsync()
    {
        await _client.DisposeAsync();
        await (unary?.DisposeAsync() ?? default);
    }

    private static async Task<long> AppendUnaryAsync(RpcChannel channel, string stream, long expected, PeerEvent[] events)
    {
        var append = new Protocol.StreamAppend
        {
            Stream = stream,
            Expected = expected < 0 ? new Protocol.ExpectedVersion { NoStream = new Empty() } : new Protocol.ExpectedVersion { Version = (ulong)expected },
        };
        foreach (var e in events)
        {
            append.Events.Add(new Protocol.EventData { Id = Bytes(e.Id), Type = e.Type, Data = UnsafeByteOperations.UnsafeWrap(e.Data) });
        }

        try
        {
            await channel.UnaryAsync(Append, new AppendRequest { OperationId = Bytes(events[0].Id), Streams = { append } }, default, CancellationToken.None);
            return expected + events.Length;
        }
        catch (RpcException e) when (e.Code == RpcCode.Aborted)
        {
            throw new WrongVersionException(e.Message);
        }
    }

    private static ByteString Bytes(Guid id) => UnsafeByteOperations.UnsafeWrap(id.ToByteArray(bigEndian: true));

    private static async Task<long> TakeAsync(ReadResult read, EventSink sink)
    {
        var events = 0L;
        await foreach (var page in read.PagesAsync())
        {
            foreach (var e in page)
            {
                sink((long)e.Position, EventBytes.Data(e));
            }

            events += page.Count;
        }

        return events;
    }

    private static long UsedBytes(string path)
    {
        const int Step = 1 << 20; // Bytes read at a time, from the end.
        using var file = File.OpenHandle(path, share: FileShare.ReadWrite | FileShare.Delete);
        var page = new byte[Step];
        for (var end = RandomAccess.GetLength(file); end > 0; end -= Math.Min(end, Step))
        {
            var begin = Math.Max(0, end - Step);
            var read = RandomAccess.Read(file, page.AsSpan(0, (int)(end - begin)), begin);
            var last = page.AsSpan(0, read).LastIndexOfAnyExcept((byte)0);
            if (last >= 0)
            {
                return begin + last + 1;
            }
        }

        return 0;
    }

    /// <summary>A subscription that hands out what comes until it is disposed.</summary>
    private sealed class Follower : IAsyncDisposable
    {
        private readonly VaultClient _client;
        private readonly CancellationTokenSource _end = new();
        private readonly Task _loop;

        public Follower(VaultClient client, Subscription subscription, EventSink sink)
        {
            _client = client;
            _loop = Task.Run(() => FollowAsync(subscription, sink));
        }

        public async ValueTask DisposeAsync()
        {
            await _end.CancelAsync();
            await _loop;
            await _client.DisposeAsync();
            _end.Dispose();
        }

        private async Task FollowAsync(Subscription subscription, EventSink sink)
        {
            try
            {
                await foreach (var page in subscription.PagesAsync(_end.Token))
                {
                    foreach (var e in page)
                    {
                        sink((long)e.Position, EventBytes.Data(e));
                    }
                }
            }
            catch (OperationCanceledException)
            {
            }
        }
    }
}
