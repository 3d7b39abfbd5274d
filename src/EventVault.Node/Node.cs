// The node: all wiring. Opens the storage, starts the threads, opens the ports; takes them down in the opposite order.
//
//   calls ─► Services ─► VaultLoop ─► Replica ─► LogWriter ─► Storage   one thread at a time (VaultThread) runs them
//                └─────► EventReader ◄── CommitSignal                   readers run on the callers' threads
using System.Diagnostics;
using System.Net;
using EventVault.Node.Metrics;
using EventVault.Node.Peers;
using EventVault.Node.Peers.Shipping;
using EventVault.Node.Replication;
using EventVault.Node.Security;
using EventVault.Node.Services;
using EventVault.Node.States;
using EventVault.Raft;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using EventVault.Rpc.Server.Reflection;
using EventVault.Storage;
using EventVault.Storage.Io;
using EventVault.Temporal;
using EventVault.Temporal.Reducers;
using Google.Protobuf;

namespace EventVault.Node;

/// <summary>One node, serving one vault. Start it, then stop it once.</summary>
internal sealed class Node : IHosted, IAsyncDisposable
{
    /// <summary>Folder of the data directory for states kept on the way. All in it can be deleted while the node is stopped.</summary>
    public const string StatesFolder = "states";

    /// <summary>After the disk failed, answers that are ready are still sent; nobody should wait long for that.</summary>
    private static readonly TimeSpan DrainAfterFailure = TimeSpan.FromSeconds(1);

    /// <summary>Appends need no descriptors, so the first of them should not have to share the processor with who makes them.</summary>
    private static readonly TimeSpan DescribesAfter = TimeSpan.FromSeconds(1);

    /// <summary>How long the last answers may take from the end of their calls to the sockets.</summary>
    public static readonly TimeSpan LastAnswers = TimeSpan.FromMilliseconds(100);

    /// <summary>What to do about a log that can't be opened where other nodes may have it.</summary>
    private const string WithPeers =
        "Nothing was changed. If other nodes of the vault are a majority without this one: keep a copy of this data directory, empty it, start the node with --join, and run vault-admin cluster replace for its number. "
        + "Otherwise run vault-admin verify, and restore the segment from another copy.";

    /// <summary>A follower that is more groups behind its leader should not be read from: seconds of full load.</summary>
    private const ulong FarBehindGroups = 10_000;

    private readonly NodeOptions _options;
    private readonly VaultStorage _storage;
    private readonly CommitSignal _committed = new();
    private readonly VaultLoop _loop;
    private readonly Replica _replica;
    private readonly LogWriter _writer;
    private readonly VaultThread _vaultThread;
    private readonly BackgroundThread _background;
    private readonly StateSnapshots _kept;
    private readonly FoldPlaces _places = new();
    private readonly EagerFolds _eager;
    private readonly RetentionLoop _retention;
    private readonly ScavengeStarter _starter;
    private readonly Scrub _scrub;
    private readonly ScavengeThread _scavenge;
    private readonly ScavengeCalls _scavengeCalls;
    private readonly NodeHealth _health;
    private readonly StreamsService _streams;
    private readonly NodePeers _peers;
    private readonly ClusterView _cluster;
    private readonly MemberChanges _changes;
    private readonly MemberWork _members;
    private readonly NodeShipping _shipping;
    private readonly AccessGuard _guard;
    private readonly NodeFigures _figures = new();
    private readonly NodePulse _pulse;
    private readonly RpcServer _server;
    private readonly NodeWeb _web;
    private readonly ILogger _log;
    private readonly TaskCompletionSource<Exception> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<string> _reopen = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ITimer? _tick;
    private ITimer? _sweep;
    private Task<OtlpExport?>? _exporting;
    private bool _wasFull;
    private int _stopped;

    private Node(NodeOptions options, NodeWeb web, VaultStorage storage)
    {
        _options = options;
        _web = web;
        _log = web.Logs.CreateLogger("EventVault.Node");
        _storage = storage;
        var writer = _writer = new LogWriter(_storage.Log);
        var completions = new PooledCompletions();
        _peers = new NodePeers(_storage, options, _log);
        _replica = new Replica(_storage, writer, _peers.HasPort ? _peers : new NoPeers(), _committed, completions, options.Clock, RaftOptionsOf(options, _peers.Self), options.ShipFarBytes);
        RequirePeerPort();
        _replica.Damaged = e => LogMessages.CannotSend(_log, e);

        _loop = new VaultLoop(_storage, _replica, completions, options.Clock, options.Queue);
        _background = new BackgroundThread(_storage, () => _vaultThread!.Wake(), () => _loop.WaitsForRoom, OnFailed);
        _vaultThread = new VaultThread(_loop, _replica, writer, completions, _background, options.ElectionTimeout, OnFailed);
        _peers.Bind(_loop, _replica);
        _pulse = new NodePulse(_loop, _storage, _figures.Subscriptions, TimeProvider.System, () => _health!.Look());
        _health = new NodeHealth(_storage, OutOfTouch, () => _pulse.Problem);
        _cluster = new ClusterView(_storage, _loop, _replica, _peers, _health);
        _changes = new MemberChanges(_storage, _loop, _committed, _peers, options);
        var readmission = new Readmission(_storage, _loop, _peers, _cluster, _changes, _log);
        _members = new MemberWork(_storage, _loop, _replica, _vaultThread, _peers, _cluster, _changes, readmission, options, _log, OnFailed);
        _shipping = new NodeShipping(_storage, _loop, _replica, _peers, options, AskToReopen, OnFailed, _log);
        _cluster.ShippingProblem = () => _shipping.Problem;
        _cluster.IsCatchingUp = () => _shipping.IsCatchingUp || !_storage.IsWhole;
        _peers.Serve(PeerRequestKind.Readmit, readmission.AnswerAsync);
        _peers.Serve(PeerRequestKind.BeginAnew, readmission.LetBeginAnewAsync);
        _peers.Serve(PeerRequestKind.Status, (_, _, _) => Task.FromResult(_cluster.Own().ToByteArray()));
        var limits = new NodeLimits(options, _storage);
        _kept = new StateSnapshots(options.Files, Path.Combine(options.Directory, StatesFolder), _storage.VaultId, options.KeptStates, leavesRoom: _storage.CanSpare);
        var states = new StateReader(_storage.Reader, _kept, new FoldLimits(options.StateBytes));
        var registry = new ReducerRegistry(_storage.Reader);
        var anchors = new AnchorMaker(_storage.Reader, states, registry, _places);
        _eager = new EagerFolds(_storage.Reader, () => _storage.IsWhole, states, registry, limits, OnFailed);
        _retention = new RetentionLoop(_storage, _loop, anchors, options, _log, OnFailed);
        var appends = new SingleAppends(_storage, _loop, options);
        _starter = new ScavengeStarter(_storage, _loop, appends, options, _log);
        var scrub = _scrub = new Scrub(new SegmentScrub(_storage), _shipping, options, _log);
        _cluster.Damage = () => scrub.Problem;
        _scavenge = new ScavengeThread(_storage, _starter, scrub, options.ScavengeBytesPerSecond, _log, OnFailed);
        var access = new AccessRegistry(_storage.Reader);
        _guard = new AccessGuard(options.Access, access, web.Tls, _log) { Audit = new AuditTrail(appends, limits, options) };
        _guard.IsCutOff = IsCutOff;
        _server = NewServer(options, limits, _figures, _guard, (bytes, call) => _streams!.Pages.Large.HoldAsync(bytes, call.Connection, call.CutShort, call.Cancellation), _log);
        var reads = new ReadCalls(_storage, _loop, _committed, _figures, limits, options);
        var truncations = new TruncateCall(_storage, appends, anchors, limits);
        var streams = _streams = new StreamsService(_storage, _loop, appends, truncations, reads, _committed, _figures, limits, options, _guard);
        streams.AddTo(_server);
        var cuts = new Cuts(_storage, _loop, states, reads.Consistent, options.Clock);
        var shared = new StateContext(_storage, states, registry, _places, cuts, reads.Consistent, reads.Pages, limits, options);
        new TemporalService(shared, new ReducerCalls(_storage, appends, reads.Consistent, registry, limits)).AddTo(_server);
        new AdminService(_storage, _loop, _replica, writer, streams, limits, _health, Now(options)).AddTo(_server);
        _scavengeCalls = new ScavengeCalls(_storage, appends, _scavenge, limits);
        _scavengeCalls.AddTo(_server);
        new AccessService(access, _guard, appends, reads.Consistent, limits, options.Clock).AddTo(_server);
        new BackupCalls(_storage, reads.Consistent, limits).AddTo(_server);
        new ClusterService(_storage, _loop, _peers, _cluster, _changes, _log).AddTo(_server);
        _health.AddTo(_server);
        if (options.Reflection)
        {
            ReflectionService.AddTo(_server);
        }

        _server.LimitRequests(NodeLimits.MostRequestBytes, static path => !TakesLargeRequests(path));
        _web.Serve(_guard, _server);
        Metrics = MapPages();
    }

    private IReadOnlyList<Metric> MapPages()
    {
        var metrics = NodeMetrics.Of(new MetricSources(
            _options, _storage, _loop, _replica, _writer, _figures, _pulse, _health, _peers, _scrub, _retention, _places, _kept, _server, _web));
        MetricsPage.Map(_web.Pipeline, metrics);
        _health.Map(_web.Pipeline, _guard);
        return metrics;
    }

    /// <summary>Where gRPC is served.</summary>
    public IPEndPoint RpcEndPoint { get; private set; } = new(IPAddress.None, 0);

    /// <summary>Where HTTP is served.</summary>
    public IPEndPoint HttpEndPoint { get; private set; } = new(IPAddress.None, 0);

    /// <summary>What it says of itself to those who watch it.</summary>
    public IReadOnlyList<Metric> Metrics { get; }

    /// <summary>What it serves; for tests in the same process.</summary>
    public RpcServer Calls => _server;

    /// <summary>The heartbeat; for tests in the same process.</summary>
    public NodePulse Pulse => _pulse;

    /// <summary>Ends with what broke, if the node must stop because of it. Then stop it.</summary>
    public Task<Exception> Failed => _failed.Task;

    /// <summary>Ends when the node is to be stopped and opened anew, with the reason.</summary>
    public Task<string> Reopen => _reopen.Task;

    /// <summary>The peer port; 0: there is none.</summary>
    public int PeerPort => _peers.Port;

    /// <summary>Who belongs to the vault, and who leads; for tests in the same process.</summary>
    public ReplicaStanding Standing => _loop.Standing;

    /// <summary>Whether it leaves elections to others; for tests in the same process.</summary>
    public bool HoldsBack => _replica.HoldsBack;

    /// <summary>The connections to the other nodes; for tests in the same process.</summary>
    public NodePeers Peers => _peers;

    /// <summary>Asks the host to stop the node in order and to open it anew. For every thread.</summary>
    public void AskToReopen(string why)
    {
        LogMessages.OpensAnew(_log, why);
        _reopen.TrySetResult(why);
    }

    /// <summary>How it is doing, as GetStatus tells it.</summary>
    public string State => _health.State;

    /// <summary>The storage; for tests and benchmarks in the same process.</summary>
    public VaultStorage Storage => _storage;

    /// <summary>Whether it is time to look whether a scavenge is worth it; for tests.</summary>
    public bool LooksForScavenge => _starter.IsDue;

    /// <summary>How often the node has looked whether a scavenge is worth it; for tests.</summary>
    public long ScavengeLooks => _starter.Looks;

    /// <summary>How many segments it has looked at for that; for tests.</summary>
    public long ScavengeExplained => _starter.Explained;

    /// <summary>Looks for damage; for tests in the same process.</summary>
    public Scrub Scrub => _scrub;

    /// <summary>Lets calls in; for tests in the same process.</summary>
    public AccessGuard Guard => _guard;

    /// <summary>The sequencer; for tests and benchmarks in the same process.</summary>
    public VaultLoop Loop => _loop;

    /// <summary>The retention work; for tests in the same process.</summary>
    public RetentionLoop Retention => _retention;

    /// <summary>States kept on the way; for tests in the same process.</summary>
    public StateSnapshots Kept => _kept;

    /// <summary>The work for eager reducers; for tests in the same process.</summary>
    public EagerFolds Eager => _eager;

    /// <summary>Where long folds run; for tests in the same process.</summary>
    public FoldPlaces Places => _places;

    /// <summary>What reads and subscriptions hold; for tests in the same process.</summary>
    public PageShare Pages => _streams.Pages;

    /// <summary>Opens the vault and both ports. When it returns, the node serves. Where opening takes long the ports are there before, and say so.</summary>
    /// <param name="options">The options.</param>
    /// <param name="cancellation">Ends the opening of the vault.</param>
    /// <exception cref="DirectoryInUseException">Another node has the data directory.</exception>
    /// <exception cref="DamageException">The log is damaged. Nothing was changed.</exception>
    /// <exception cref="DiskException">The disk failed.</exception>
    /// <exception cref="IOException">A port can't be opened.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static async Task<Node> StartAsync(NodeOptions options, CancellationToken cancellation = default)
    {
        var node = await OpenAsync(options, cancellation);
        try
        {
            await node.StartAsync();
            return node;
        }
        catch
        {
            await node.DisposeAsync();
            throw;
        }
    }

    /// <summary>Queues one append that was filled before, and waits for its outcome. Allocates nothing.</summary>
    public ValueTask<AppendOutcome> AppendAsync(SingleAppend append)
    {
        if (_storage.Reader.LookUp(append.Content, out var place))
        {
            append.Place = place;
            append.Outcome = AppendOutcome.Known;
            return ValueTask.FromResult(AppendOutcome.Known);
        }

        var refused = _loop.Enqueue(append, append, 1, append.QueuedBytes);
        return refused == AppendOutcome.None ? append.WaitAsync() : ValueTask.FromResult(refused);
    }

    /// <summary>
    /// Stops: refuses new calls, ends reads and subscriptions, finishes queued appends, ends all threads, marks the log's end, closes.
    /// After a failure it writes nothing more.
    /// </summary>
    public async Task StopAsync()
    {
        if (Interlocked.Exchange(ref _stopped, 1) == 1)
        {
            return;
        }

        LogMessages.Stopping(_log);
        _members.BeginStop();
        await GiveUpLeadershipAsync();
        var failed = _failed.Task.IsCompleted;
        BeginDrain(failed);
        var scavenging = _scavenge.StopAsync();
        try
        {
            await _vaultThread.StopAsync(_options.DrainTimeout);
            failed |= _failed.Task.IsCompleted;
            await StopServingAsync(failed ? DrainAfterFailure : _options.DrainTimeout);
        }
        finally
        {
            // Whatever happened: behind all that uses it the storage is closed.
            await scavenging; // It may ask for a repair until then.
            await _shipping.DisposeAsync();
            await _peers.DisposeAsync();
            await _members.DisposeAsync();
            _changes.Dispose();
            await _background.StopAsync();
            await _eager.StopAsync();
            await _scavengeCalls.DisposeAsync();
            await _retention.DisposeAsync(); // Behind the threads: one that fails tells it to stop, too.
            _background.Dispose();
            _scavenge.Dispose();
            _eager.Dispose();
            _starter.Dispose();
            _pulse.Dispose();
            _vaultThread.Dispose();
            EndLog();
            LogMessages.Stopped(_log, _replica.Appends, _replica.Events);
            if (!_failed.Task.IsCompleted)
            {
                _storage.Dispose();
            }

            await _web.DisposeAsync();
            _guard.Dispose();
            _kept.Dispose();
            _places.Dispose();
        }
    }

    /// <summary>As <see cref="StopAsync"/>.</summary>
    public async ValueTask DisposeAsync() => await StopAsync();

    // Nobody writes any more: the vault's thread has ended, and all others.
    private void EndLog()
    {
        if (_failed.Task.IsCompleted || !_writer.IsDone)
        {
            return;
        }

        try
        {
            _storage.Stop();
        }
        catch (DiskException e)
        {
            // All else has stopped and is disposed: nothing is left that would have to be told to drain.
            LogMessages.DiskFailed(_log, e, "stop");
            _failed.TrySetResult(e);
        }
    }

    // The vault is opened on a thread of its own, while this one makes what needs no vault: either takes some 0.1 s.
    private static async Task<Node> OpenAsync(NodeOptions options, CancellationToken cancellation)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var (watch, log) = (new OpeningWatch(ending.Token), new TaskCompletionSource<ILogger>(TaskCreationOptions.RunContinuationsAsynchronously));
        var opening = Task.Run(() => OpenStorage(options, watch, log.Task), CancellationToken.None);
        NodeWeb? web = null;
        try
        {
            web = new NodeWeb(options);
            log.SetResult(web.Logs.CreateLogger("EventVault.Node"));
            if (await Task.WhenAny(opening, Task.Delay(OpeningPorts.After, ending.Token)) != opening)
            {
                await ServeOpeningAsync(opening, options, watch, await log.Task);
            }

            var (storage, took) = await opening;
            var node = new Node(options, web, storage);
            node.LogOpened(took);
            return node;
        }
        catch
        {
            await ending.CancelAsync(); // Whatever failed beside it: a port that is taken need not wait for what has yet to be indexed.
            await ((Task)opening).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (opening.IsCompletedSuccessfully)
            {
                (await opening).Storage.Dispose();
            }

            if (web is not null)
            {
                await web.DisposeAsync();
            }

            throw;
        }
    }

    private static async Task ServeOpeningAsync(Task opening, NodeOptions options, OpeningWatch watch, ILogger log)
    {
        if (watch.Cancellation.IsCancellationRequested)
        {
            return;
        }

        var ports = await OpeningPorts.StartAsync(options, watch, log);
        await opening.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await ports.StopAsync();
    }

    private async Task StartAsync()
    {
        // One that decides alone leads before it serves. Any other serves whoever leads, and is ready when somebody does.
        var isAlone = _replica.IsAlone;
        _background.Start();
        _vaultThread.Start();
        if (isAlone)
        {
            await await Task.WhenAny(_vaultThread.Leading, FailedAsync());
        }

        _retention.BeginClock(); // Before anything is appended: what the log says of the time must not come from the clock of this start.
        _guard.ReadAhead();
        (RpcEndPoint, HttpEndPoint) = await _web.OpenAsync();
        await _peers.StartAsync(RpcEndPoint);
        if (_peers.HasPort)
        {
            _members.Start();
        }

        var interval = _options.ProgressInterval;
        _tick = _options.Clock.CreateTimer(static node => ((Node)node!).Tick(), this, interval, interval);
        _sweep = _options.Clock.CreateTimer(static guard => ((AccessGuard)guard!).Sweep(), _guard, AccessGuard.SweepEvery, AccessGuard.SweepEvery);
        _retention.Start();
        _eager.Start();
        _health.BeginServing();
        _pulse.Start();
        if (_options.OtlpEndpoint is { } endpoint)
        {
            // Loading it takes as long as the rest of the start.
            _exporting = Task.Run(() => BeginExport(endpoint));
        }

        _scavenge.Start();
        GiveBackGarbage();
        LogMessages.Serving(_log, RpcEndPoint, HttpEndPoint);
        WarnOfOpenDoors(_log, _options);
        _ = DescribeAsync();
    }

    // Whoever needs one before makes it for himself.
    private static async Task DescribeAsync()
    {
        await Task.Delay(DescribesAfter);
        VaultServices.Describe();
    }

    /// <summary>Logs what an operator allowed in as many words, beyond loopback.</summary>
    public static void WarnOfOpenDoors(ILogger log, NodeOptions options)
    {
        if (IPAddress.IsLoopback(options.Address))
        {
            return;
        }

        if (options.Access is null)
        {
            SecurityLogMessages.AsksNobody(log, options.Address);
        }

        if (options.Tls is null)
        {
            SecurityLogMessages.InClearText(log, options.Address);
        }
    }

    // Those that bring events, or what a fold made of them.
    private static bool TakesLargeRequests(string path) =>
        path is "/eventvault.v1.Streams/Append" or "/eventvault.v1.Streams/AppendSession" or "/eventvault.v1.Temporal/PutFoldSnapshot";

    private static RpcServer NewServer(
        NodeOptions options, NodeLimits limits, NodeFigures figures, AccessGuard guard, Func<int, RpcContext, ValueTask<IDisposable>> holdAnswer, ILogger log)
    {
        var server = new RpcServer(new RpcServerOptions
        {
            Inspect = guard.InspectAsync,
            Explain = e => Errors.Explain(e, limits),
            Ended = figures.Calls.Ended,
            MaxReceiveBytes = options.MessageBytes,
            MaxSendBytes = options.MessageBytes,
            HoldAnswer = holdAnswer,
            MaxReceivingBytes = NodeOptions.ReceivingBytes,
            OverloadRefusal = static () => Errors.NotDone(AppendOutcome.Overloaded).ToException(),
            Logger = log,
            DrainRefusal = static () => Errors.Draining("the call was not taken").ToException(),
        });
        return server.Use(Tracing.CallAsync).Use(guard.FilterAsync);
    }

    // Recovery leaves as much garbage as index, and a node that idles would never collect it. Not beside a large index, which would
    // take long to go over, nor before the node serves.
    private static void GiveBackGarbage()
    {
        const long MostBytes = 64L * 1024 * 1024; // Managed memory: some tens of milliseconds to go over.
        if (GC.GetTotalMemory(forceFullCollection: false) < MostBytes)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static _ => GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive), null);
        }
    }

    private async Task StopServingAsync(TimeSpan limit)
    {
        var open = _server.ActiveCalls;
        if (!await _server.DrainAsync(limit))
        {
            LogMessages.CallsCut(_log, open, limit);
        }

        // Kestrel closes connections at once, also those whose last answers were written and have not left yet: one in six clients
        // that waited for an answer lost it, on a busy machine; none with this.
        await Task.Delay(LastAnswers);
        using (var patience = new CancellationTokenSource(limit))
        {
            await _web.StopAsync(patience.Token);
        }

        foreach (var timer in new[] { _tick, _sweep }.OfType<ITimer>())
        {
            await timer.DisposeAsync();
        }

        if (_exporting is { } exporting)
        {
            await using var export = await exporting; // It reads the storage.
        }
    }

    private OtlpExport? BeginExport(Uri endpoint)
    {
        try
        {
            return new OtlpExport(endpoint, $"{_storage.VaultId}/{_storage.NodeId}", AdminService.Version, Metrics, _log);
        }
#pragma warning disable CA1031 // The SDK says no by whatever it likes; a node that can't be watched serves all the same.
        catch (Exception e)
#pragma warning restore CA1031
        {
            LogMessages.NoExporter(_log, e);
            return null;
        }
    }

    // Whoever leads and is about to go hands over first, so that nobody waits for an election.
    private async Task GiveUpLeadershipAsync()
    {
        if (_failed.Task.IsCompleted || _replica.IsAlone || !_loop.Standing.TakesProposals)
        {
            return;
        }

        try
        {
            using var limit = new CancellationTokenSource(_options.ElectionTimeout);
            await _changes.HandOverAsync(static _ => true, to => LogMessages.HandsOver(_log, to, "this node stops"), limit.Token);
        }
        catch (RpcException)
        {
            // Nobody took over in time: the others elect one.
        }
    }

    // Null: it leads, or follows a leader that was heard from lately and is not far ahead.
    private string? OutOfTouch()
    {
        var standing = _loop.Standing;
        if (standing.Role == Role.Leader)
        {
            return _loop.IsHeldUp ? "a write to the log hangs" : _loop.Leads ? null : "the node leads, and does not know yet all that was committed before";
        }

        if (standing.Leader is not { } leader)
        {
            return "nobody leads, as far as the node knows";
        }

        var behind = _cluster.Last.TryGetValue(leader, out var status) && status.Node.CommitIndex > _storage.CommitIndex.Value
            ? status.Node.CommitIndex - _storage.CommitIndex.Value : 0;
        return _members.IsRemoved ? "the node was removed from its vault"
            : _peers.Barred.Length > 0 ? _peers.Barred
            : _shipping.IsCatchingUp || !_storage.IsWhole ? "the node gets segments from others"
            : behind > FarBehindGroups ? FormattableString.Invariant($"the node is {behind} groups behind its leader")
            : null;
    }

    // A vault thread that stands still hears of nothing either. Whoever decides alone has nobody to be out of touch with.
    private bool IsCutOff() => _loop.Standing.Membership.SoleVoter != _peers.Self
        && (_health.OutOfTouchFor > _options.TrustsUsersFor || _pulse.Silence > _options.TrustsUsersFor);

    private static RaftOptions RaftOptionsOf(NodeOptions options, ReplicaId self) => new()
    {
        Id = self,
        Random = new Random(),
        ElectionTicks = Math.Max(2, (int)(options.ElectionTimeout / VaultThread.Tick)),
        HeartbeatTicks = Math.Max(1, (int)(options.Heartbeat / VaultThread.Tick)),
    };

    private void RequirePeerPort()
    {
        if (_replica.NeedsTicks && !_peers.HasPort)
        {
            throw new SettingException(
                "--peer-port", $"is missing, and the vault in {_options.Directory} has other members than this node ({_replica.Membership}): name the port that they know.");
        }
    }

    private async Task FailedAsync() => throw await _failed.Task;

    private static (VaultStorage Storage, TimeSpan Took) OpenStorage(NodeOptions options, OpeningWatch watch, Task<ILogger> log)
    {
        var began = Stopwatch.GetTimestamp();
        var nodeId = options.NodeId ?? VaultStorage.NodeIdOf(options.Files, options.Directory) ?? 1;
        try
        {
            var storage = NodeOptions.StorageOf(options, nodeId) with
            {
                Watch = watch,
                Reincarnate = options.PeerPort is null ? null : new BeginningAnew(options, watch, log).MayBegin,
            };
            return (VaultStorage.Open(options.Files, options.Directory, storage, Now(options)), Stopwatch.GetElapsedTime(began));
        }
        catch (DamageException e) when (options.PeerPort is not null)
        {
            throw new DamageException(e.File, e.Offset, e.Expected, WithPeers);
        }
    }

    private static long Now(NodeOptions options) => (options.Clock.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks;

    private void BeginDrain(bool failed)
    {
        _health.BeginDraining(failed);
        _loop.BeginDrain();
        _retention.BeginStop();
        _server.BeginDrain();
        _committed.Publish();
    }

    // On the thread that broke.
    private void OnFailed(Exception error, string thread)
    {
        if (error is DiskException)
        {
            LogMessages.DiskFailed(_log, error, thread);
        }
        else
        {
            LogMessages.Failed(_log, error, thread);
        }

        BeginDrain(failed: true);
        _failed.TrySetResult(error);
    }

    // Subscriptions wait on the commit signal alone: see SubscriptionCall.
    private void Tick()
    {
        _committed.Publish();
        _streams.CutSlow();
        var full = _storage.DiskIsFull;
        if (full)
        {
            _kept.DropUnused(); // What can be folded again gives way to what can't.
        }

        if (full != _wasFull)
        {
            _wasFull = full;
            if (full)
            {
                LogMessages.DiskFull(_log);
            }
            else
            {
                LogMessages.DiskHasSpace(_log);
            }
        }
    }

    private void LogOpened(TimeSpan took)
    {
        var (@sealed, @unsealed) = _storage.SegmentCounts;
        LogMessages.Opened(
            _log, _storage.VaultId, _options.Directory, _storage.StartNumber, _storage.Head.Value, @sealed, @unsealed,
            _storage.SegmentSizeBytes, _storage.CutBytes, took.TotalMilliseconds);
        if (_storage.Reincarnated is { } begun)
        {
            ShipLogMessages.BeganAnew(_log, begun.Before, _storage.Incarnation, _storage.Tail.LastIndex.Value, begun.Aside, begun.Damage);
        }
    }
}
