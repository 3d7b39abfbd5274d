using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using EventVault.Node.Services;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Storage.Io;
using Google.Protobuf;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace EventVault.Node.Tests.Cluster;

/// <summary>Nodes of one vault in this process: real ports, real files, and cuts where a test wants them.</summary>
internal sealed class TestCluster : IAsyncDisposable
{
    private static int Clusters;
    private readonly string _root = Directory.CreateTempSubdirectory("eventvault-cluster-tests-").FullName;
    private readonly List<ClusterNodeUnderTest> _nodes = [];
    private readonly TestLog _log = new();

    /// <summary>Who can't hear whom, by the nodes' numbers.</summary>
    public Cuts Cuts { get; } = new();

    public IReadOnlyList<ClusterNodeUnderTest> Nodes => _nodes;

    /// <summary>Where its nodes listen: an address of its own, so that nobody else gets a port there while its node is stopped.</summary>
    public IPAddress Host { get; init; } = NextHost();

    /// <summary>Makes a channel to a node's port; null: in clear text.</summary>
    public Func<int, RpcChannel>? Connect { get; init; }

    /// <summary>Who calls, where a call does not say otherwise; null: nobody says who.</summary>
    public RpcMetadata? Caller { get; init; }

    /// <summary>Nodes that run.</summary>
    public IEnumerable<ClusterNodeUnderTest> Running => _nodes.Where(n => n.IsRunning);

    /// <summary>What the nodes have logged, for tests that fail.</summary>
    public string Log => _log.ToString();

    /// <summary>Whether a node has ever logged this, unlike <see cref="Log"/>, which soon loses what was said before many other lines.</summary>
    public bool HasLogged(string text) => _log.Contains(text);

    /// <summary>A vault of so many voters, formed by InitCluster and AddNode.</summary>
    public static Task<TestCluster> FormAsync(int nodes, Func<NodeOptions, NodeOptions>? configure = null) => new TestCluster().WithAsync(nodes, configure);

    /// <summary>The same of a cluster that has no nodes yet.</summary>
    public async Task<TestCluster> WithAsync(int nodes, Func<NodeOptions, NodeOptions>? configure = null)
    {
        try
        {
            var first = await StartUnjoinedAsync(configure);
            await first.CallAsync(ClusterMethods.InitCluster, new InitClusterRequest());
            await UntilAsync(() => first.Node is { Standing.TakesProposals: true, Loop.Leads: true }, "the first node to lead");
            for (var i = 1; i < nodes; i++)
            {
                await AddAsync(configure: configure);
            }

            await UntilVotersAsync(nodes);
            return this;
        }
        catch
        {
            await DisposeAsync();
            throw;
        }
    }

    public async Task<ClusterNodeUnderTest> StartUnjoinedAsync(Func<NodeOptions, NodeOptions>? configure = null)
    {
        var number = _nodes.Count + 1;
        var options = new NodeOptions
        {
            Directory = Path.Combine(_root, $"node{number}"),
            Files = new NativeFileSystem(),
            SegmentSizeBytes = TestNode.SegmentSizeBytes,
            ProgressInterval = TimeSpan.FromMilliseconds(50),
            RetentionInterval = TimeSpan.FromHours(1),
            Join = true,
            Address = Host,
            PeerAddress = Host,
            PeerPort = 0,
            ElectionTimeout = TimeSpan.FromMilliseconds(1000), // Of a loaded machine; tests wait for leaders, whoever they are.
            Heartbeat = TimeSpan.FromMilliseconds(50),
            Network = (network, log) => new CutNetwork(network, log, Cuts),
            Logging = () => LoggerFactory.Create(logging => logging.AddProvider(_log.For(number)).SetMinimumLevel(LogLevel.Information).AddFilter("Microsoft", LogLevel.Warning)),
        };
        var node = new ClusterNodeUnderTest(configure is null ? options : configure(options), Connect ?? (port => new RpcChannel(new Uri($"http://{Host}:{port}"))), Caller);
        _nodes.Add(node);
        await node.StartAsync();
        return node;
    }

    /// <summary>Starts a node and adds it; ends when it is a member.</summary>
    public async Task<ClusterNodeUnderTest> AddAsync(bool readReplica = false, Func<NodeOptions, NodeOptions>? configure = null)
    {
        var node = await StartUnjoinedAsync(configure);
        await OnLeaderAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = node.PeerAddress, ReadReplica = readReplica });
        return node;
    }

    /// <summary>Ends when the vault has so many voters, no change is under way, and all running members know their leader.</summary>
    public Task UntilVotersAsync(int voters) => UntilAsync(
        () => Leader is { Node: { } leader } && leader.Standing.Membership is { IsJoint: false } members
            && members.Members.Count(m => m.Role == Raft.MemberRole.Voter) == voters && leader.Standing.MembershipIndex.Value <= leader.Storage.CommitIndex.Value
            && Running.All(n => n.Node is null || members.RoleOf(n.Node.Peers.Self) == 0 || n.Node.Standing.Leader == leader.Peers.Self),
        $"{voters} voters");

    /// <summary>The node that leads, as it sees it itself, and in the newest term of all; null: none does.</summary>
    public ClusterNodeUnderTest? Leader
    {
        get
        {
            var newest = Running.Where(n => n.Node is not null).Select(n => n.Node!.Standing.Term.Value).DefaultIfEmpty().Max();
            return Running.FirstOrDefault(n => n.Node is { Standing.TakesProposals: true, Loop.Leads: true } node && node.Standing.Term.Value == newest);
        }
    }

    public async Task<ClusterNodeUnderTest> LeaderAsync()
    {
        ClusterNodeUnderTest? leader = null;
        await UntilAsync(() => (leader = Leader) is not null, "a leader");
        return leader!;
    }

    /// <summary>A running node with a vault that does not lead.</summary>
    public async Task<ClusterNodeUnderTest> FollowerAsync()
    {
        var leader = await LeaderAsync();
        await UntilAsync(() => Running.Any(n => n != leader && n.Node?.Standing.Leader == leader.Node?.Peers.Self), "a follower");
        return Running.First(n => n != leader && n.Node is not null && n.Node.Standing.Leader == leader.Node!.Peers.Self);
    }

    /// <summary>As a client does it: on the leader, again elsewhere while nobody is sure to lead, with the same request.</summary>
    public async Task<TResponse> OnLeaderAsync<TRequest, TResponse>(RpcMethod<TRequest, TResponse> method, TRequest request, RpcMetadata? caller = null)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        var end = DateTime.UtcNow + Wait.Limit;
        while (true)
        {
            try
            {
                return await (await LeaderAsync()).CallAsync(method, request, caller);
            }
            catch (RpcException e) when (IsForAnotherTry(e) && DateTime.UtcNow < end)
            {
                await Task.Delay(20);
            }
        }
    }

    public Task<AppendResponse> AppendAsync(string stream, params EventData[] events) =>
        OnLeaderAsync(Methods.Append, Make.Append(Make.Stream(stream, Make.Any, events)));

    /// <summary>Ends when all running members have committed and made durable what the leader has, whoever that is by then; then all logs are compared.</summary>
    public async Task UntilEqualAsync()
    {
        var leader = await LeaderAsync();
        await UntilAsync(
            () => (leader = Leader ?? leader).Node is { } l && l.Loop.Leads
                && Running.Where(n => n.Node is not null && l.Standing.Membership.RoleOf(n.Node.Peers.Self) != 0).All(n => n.Node!.Storage.CommitIndex.Value == l.Storage.CommitIndex.Value),
            "all nodes to be as far as the leader");
        var expected = await ReadLogAsync(leader);
        foreach (var node in Running.Where(n => n.Node is not null && leader.Node!.Standing.Membership.RoleOf(n.Node.Peers.Self) != 0))
        {
            var log = await ReadLogAsync(node);
            Assert.Equal(expected.Count, log.Count);
            for (var i = 0; i < log.Count; i++)
            {
                Assert.True(expected[i].AsSpan().SequenceEqual(log[i]), $"Group {i + 1} of {node.Name} differs from the leader's.");
            }
        }
    }

    public async Task UntilAsync(Func<bool> condition, string what)
    {
        var end = DateTime.UtcNow + Wait.Limit;
        while (!condition())
        {
            Assert.True(DateTime.UtcNow < end, $"Waited {Wait.Limit} for: {what}. {string.Join(' ', _nodes.Select(Describe))} The nodes' logs:{Environment.NewLine}{Log}");
            await Task.Delay(5);
        }
    }

    private static string Describe(ClusterNodeUnderTest node) => node.Node is not { } n
        ? $"{node.Name} has no vault open."
        : $"{node.Name} is {n.State}, leads: {n.Loop.Leads}, leader {n.Standing.Leader}, term {n.Standing.Term.Value}, committed up to {n.Storage.CommitIndex.Value}.";

    public async ValueTask DisposeAsync()
    {
        Cuts.Heal();
        foreach (var node in _nodes)
        {
            await node.DisposeAsync();
        }

        Directory.Delete(_root, recursive: true);
    }

    // All of 127.0.0.0/8 is this machine's own on Linux, elsewhere only one address of it.
    private static IPAddress NextHost()
    {
        var number = Interlocked.Increment(ref Clusters) % 62_500;
        return OperatingSystem.IsLinux() ? new IPAddress([127, (byte)(1 + (Environment.ProcessId % 250)), (byte)(number / 250), (byte)(1 + (number % 250))]) : IPAddress.Loopback;
    }

    private static bool IsForAnotherTry(RpcException e)
    {
        if (e.Code != RpcCode.Unavailable && e.Code != RpcCode.FailedPrecondition)
        {
            return false;
        }

        return !e.Trailers.TryGetBinary(Refusal.TrailerKey, out var bytes)
            || ErrorDetail.Parser.ParseFrom(bytes.Span).Failures[0].Reason is Reason.NotLeader or Reason.ChangePending or Reason.NoQuorum or Reason.Draining or Reason.OutcomeUnknown or Reason.NotJoined or Reason.Opening;
    }

    // The bytes of all groups, read where they are read for followers.
    private static Task<List<byte[]>> ReadLogAsync(ClusterNodeUnderTest node) => node.Node!.Loop.AskAsync(_ =>
    {
        var storage = node.Node.Storage;
        var groups = new List<byte[]>();
        for (ulong index = 1; index <= storage.CommitIndex.Value; index++)
        {
            groups.Add(storage.ReadGroup(new Storage.LogIndex(index)));
        }

        return groups;
    });

    private sealed class TestLog
    {
        private const string TimeFormat = "HH:mm:ss.fff";

        private readonly ConcurrentQueue<string> _lines = new();

        public ILoggerProvider For(int node) => new Provider(this, node);

        public bool Contains(string text) => _lines.Any(l => l.Contains(text, StringComparison.Ordinal));

        // The newest lines, but of those that say the same only the newest few: a loop's would be all that there is.
        public override string ToString() => string.Join(Environment.NewLine, _lines
            .Select((line, number) => (Line: line, Number: number))
            .GroupBy(l => l.Line[TimeFormat.Length..])
            .SelectMany(g => g.TakeLast(5))
            .OrderBy(l => l.Number)
            .Select(l => l.Line)
            .TakeLast(200));

        private sealed class Provider(TestLog log, int node) : ILoggerProvider, ILogger
        {
            public ILogger CreateLogger(string categoryName) => this;

            public IDisposable? BeginScope<TState>(TState state)
                where TState : notnull => null;

            public bool IsEnabled(LogLevel logLevel) => true;

            public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
                log._lines.Enqueue($"{DateTime.UtcNow.ToString(TimeFormat, CultureInfo.InvariantCulture)} node{node} {logLevel} {formatter(state, exception)} {exception}");

            public void Dispose()
            {
            }
        }
    }
}

/// <summary>One of the nodes.</summary>
internal sealed class ClusterNodeUnderTest(NodeOptions options, Func<int, RpcChannel> connect, RpcMetadata? usual) : IAsyncDisposable
{
    private NodeOptions _options = options;
    private NodeHost? _host;
    private RpcChannel? _channel;
    private CancellationTokenSource? _ending;
    private Task _starting = Task.CompletedTask;

    public string Name => Path.GetFileName(_options.Directory);

    public bool IsRunning => _host is not null;

    public NodeHost Host => _host!;

    /// <summary>The node; null: it does not run, or belongs to no vault yet.</summary>
    public Node? Node => _host?.Node;

    public NodeOptions Options => _options;

    public string Address => $"{_options.Address}:{_options.Port}";

    public string PeerAddress => $"{_options.Address}:{_options.PeerPort}";

    public RpcChannel Channel => _channel!;

    public async Task StartAsync(Func<NodeOptions, NodeOptions>? configure = null, CancellationToken cancellation = default)
    {
        _options = configure is null ? _options : configure(_options);
        _host = await BindAsync(cancellation);
        _options = _options with { Port = _host.RpcEndPoint.Port, HttpPort = _host.HttpEndPoint.Port, PeerPort = _options.PeerPort is null ? null : _host.PeerPort };
        _channel = connect(_options.Port);
    }

    // While it was stopped another test may have been given its port, and has it as long as that test takes.
    private async Task<NodeHost> BindAsync(CancellationToken cancellation)
    {
        for (var end = DateTime.UtcNow + Wait.Limit; ;)
        {
            try
            {
                return await NodeHost.StartAsync(_options, cancellation);
            }
            catch (IOException e) when (e.InnerException is AddressInUseException or SocketException { SocketErrorCode: SocketError.AddressAlreadyInUse } && DateTime.UtcNow < end)
            {
                await Task.Delay(100, cancellation);
            }
        }
    }

    /// <summary>Begins to start it on the ports that it had; ends when it serves.</summary>
    public Task BeginStart()
    {
        _ending = new CancellationTokenSource();
        return _starting = StartAsync(cancellation: _ending.Token);
    }

    /// <summary>Ends a start that is under way.</summary>
    public async Task EndStartAsync()
    {
        await _ending!.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _starting);
    }

    public async Task StopAsync()
    {
        var host = _host!;
        _host = null;
        await host.StopAsync();
        await _channel!.DisposeAsync();
    }

    public async Task RestartAsync()
    {
        await StopAsync();
        await StartAsync();
    }

    /// <summary>Starts a stopped node with another peer port.</summary>
    public async Task MoveAsync()
    {
        _options = _options with { PeerPort = 0 };
        await StartAsync();
    }

    /// <summary>Another disk: nothing of the old one is left.</summary>
    public void Wipe() => Directory.Delete(_options.Directory, recursive: true);

    public async Task<TResponse> CallAsync<TRequest, TResponse>(RpcMethod<TRequest, TResponse> method, TRequest request, RpcMetadata? caller = null)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() => await Channel.UnaryAsync(method, request, new RpcCallOptions(Wait.Limit, caller ?? usual));

    public async Task<List<RecordedEvent>> ReadAllAsync(Consistency? consistency = null)
    {
        await using var call = Channel.Start(Methods.ReadAll, new ReadAllRequest { Consistency = consistency }, new RpcCallOptions(Headers: usual));
        var events = new List<RecordedEvent>();
        while (await call.MoveNextAsync())
        {
            if (call.Current.ContentCase == ReadResponse.ContentOneofCase.Events)
            {
                events.AddRange(call.Current.Events.Events);
            }
        }

        return events;
    }

    public async ValueTask DisposeAsync()
    {
        if (_ending is not null)
        {
            await _ending.CancelAsync();
            await _starting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            _ending.Dispose();
        }

        if (_host is not null)
        {
            await StopAsync();
        }
    }
}

/// <summary>The methods of the service Cluster.</summary>
internal static class ClusterMethods
{
    public static readonly RpcMethod<GetClusterRequest, GetClusterResponse> GetCluster = Of<GetClusterRequest>("GetCluster");
    public static readonly RpcMethod<InitClusterRequest, GetClusterResponse> InitCluster = Of<InitClusterRequest>("InitCluster");
    public static readonly RpcMethod<AddNodeRequest, GetClusterResponse> AddNode = Of<AddNodeRequest>("AddNode");
    public static readonly RpcMethod<RemoveNodeRequest, GetClusterResponse> RemoveNode = Of<RemoveNodeRequest>("RemoveNode");
    public static readonly RpcMethod<ReplaceNodeRequest, GetClusterResponse> ReplaceNode = Of<ReplaceNodeRequest>("ReplaceNode");
    public static readonly RpcMethod<TransferLeadershipRequest, GetClusterResponse> TransferLeadership = Of<TransferLeadershipRequest>("TransferLeadership");

    private static RpcMethod<TRequest, GetClusterResponse> Of<TRequest>(string name)
        where TRequest : class, IMessage<TRequest>, new() =>
        RpcMethod<TRequest, GetClusterResponse>.Of(ClusterReflection.Descriptor.Services[0], name);
}
