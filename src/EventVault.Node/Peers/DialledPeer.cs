// Keeps an urgent and a bulk connection to one peer: dials, carries messages while it holds, dials again.
using EventVault.Node.Replication;
using EventVault.Raft;

namespace EventVault.Node.Peers;

/// <summary>A member that connections are kept to.</summary>
internal sealed class DialledPeer : IAsyncDisposable
{
    /// <summary>First pause before dialling again: a peer that restarts is back soon.</summary>
    private static readonly TimeSpan ShortestPause = TimeSpan.FromMilliseconds(50);

    /// <summary>Longest pause: well within what an election takes, and nothing to a peer that is gone for days.</summary>
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(1);

    private readonly PeerNetworkOptions _options;
    private readonly PeerConnector _connector;
    private readonly PeerRegistry _registry;
    private readonly IPeerReceiver _receiver;
    private readonly ILogger _log;
    private readonly CancellationTokenSource _stopping = new();
    private readonly DialledLane _urgent = new(PeerLane.Urgent);
    private readonly DialledLane _bulk = new(PeerLane.Bulk);
    private readonly Task _running;
    private volatile PeerHello? _hello;
    private long _heardAt;
    private int _reports;
    private string _logged = string.Empty;

    public DialledPeer(Peer peer, PeerNetworkOptions options, PeerConnector connector, PeerRegistry registry, IPeerReceiver receiver, ILogger log)
    {
        Peer = peer;
        _options = options;
        _connector = connector;
        _registry = registry;
        _receiver = receiver;
        _log = log;
        _running = Task.WhenAll(Task.Run(() => KeepAsync(_urgent)), Task.Run(() => KeepAsync(_bulk)));
    }

    /// <summary>Whom it reaches.</summary>
    public Peer Peer { get; }

    /// <summary>How it stands.</summary>
    public PeerLink Link
    {
        get
        {
            var accepted = _registry.Accepted(Peer.Id, PeerLane.Urgent);
            var heard = Math.Max(Volatile.Read(ref _heardAt), Math.Max(accepted?.HeardAt ?? 0, Math.Max(_urgent.HeardAt, _bulk.HeardAt)));

            // A node that was started elsewhere, and can't be dialled where it was, dials.
            var hello = _hello is { } own && (accepted is null || accepted.Hello.StartNumber <= own.StartNumber) ? own : accepted?.Hello;
            return new PeerLink(
                Peer, hello, _urgent.IsConnected && _bulk.IsConnected,
                heard == 0 ? TimeSpan.MaxValue : TimeSpan.FromMilliseconds(Math.Max(0, Environment.TickCount64 - heard)),
                _urgent.Connection?.ClockAhead ?? accepted?.ClockAhead ?? TimeSpan.Zero, Problem)
            {
                QueuedMessages = (_urgent.Connection?.Queued ?? 0) + (_bulk.Connection?.Queued ?? 0),
                QueuedBytes = (_urgent.Connection?.QueuedBytes ?? 0) + (_bulk.Connection?.QueuedBytes ?? 0),
            };
        }
    }

    private string Problem => _urgent.Problem.Length > 0 ? _urgent.Problem : _bulk.Problem;

    /// <summary>Sends a message, or drops it. Does not block.</summary>
    public void Send(in PeerMessage message)
    {
        var lane = message.Raft.Kind == MessageKind.Append ? _bulk : _urgent;

        // Until this node reaches the peer, what the peer has dialled serves as well.
        var connection = lane.Connection ?? _registry.Accepted(Peer.Id, lane.Lane);
        if (connection is null || !connection.TrySend(message, out var wasEmpty))
        {
            ReportLoss(lane);
        }
        else if (wasEmpty)
        {
            lane.EndLoss();
        }
    }

    /// <summary>Ends both connections.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await _running;
        while (Volatile.Read(ref _reports) > 0)
        {
            await Task.Delay(1); // Nobody is called any more when this has ended.
        }

        _stopping.Dispose();
    }

    private async Task KeepAsync(DialledLane lane)
    {
        var pause = ShortestPause;
        while (!_stopping.IsCancellationRequested)
        {
            var began = Environment.TickCount64;
            try
            {
                lane.Problem = await ConnectAsync(lane);
            }
            catch (PeerRequestException e)
            {
                lane.Problem = e.Message;
            }
            catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                // Of whoever takes the messages. The other nodes must not be out of reach because of it.
                PeerLogMessages.Failed(_log, e, Peer.Address);
                lane.Problem = e.Message;
            }

            LogProblem();

            // A connection that held is dialled again at once; one that ends as soon as it stands is not.
            pause = Environment.TickCount64 - began > LongestPause.TotalMilliseconds ? ShortestPause : TimeSpan.FromTicks(Math.Min(2 * pause.Ticks, LongestPause.Ticks));
            await Task.Delay(pause * (0.5 + (Random.Shared.NextDouble() / 2)), _stopping.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    // Returns when the connection has ended: why.
    private async Task<string> ConnectAsync(DialledLane lane)
    {
        var greeted = await _connector.ConnectAsync(new PeerTarget(Peer.Address, Peer.Id), lane.Lane, _stopping.Token);
        await using var connection = new PeerConnection(greeted.Stream, greeted.Reader, _options.Hello, greeted.Hello, lane.Lane, isDialled: true, _options.Clock, _registry);
        if (await _registry.AdmitAsync(greeted.Hello, connection) is { } refusal)
        {
            return $"{Peer.Address} is refused: {refusal.Why}";
        }

        await using var stop = _stopping.Token.UnsafeRegister(static c => ((PeerConnection)c!).Close(string.Empty), connection);
        _hello = greeted.Hello;
        Volatile.Write(ref _heardAt, Environment.TickCount64);
        lane.Problem = string.Empty;
        lane.Connection = connection;
        LogProblem();
        connection.Ping();
        try
        {
            return await connection.RunAsync(Receive);
        }
        catch (BadFrameException e)
        {
            PeerLogMessages.BadBytes(_log, Peer.Address, e.Message);
            return $"{Peer.Address} sent what no node would: {e.Message}";
        }
        finally
        {
            lane.Connection = null;
            _registry.Remove(connection);
            Volatile.Write(ref _heardAt, connection.HeardAt);
            if (!_stopping.IsCancellationRequested)
            {
                ReportLoss(lane);
            }
        }
    }

    private void Receive(PeerMessage message) => _receiver.OnMessage(message);

    // Once, until something goes out again: who sends is told that it is lost, not how often.
    private void ReportLoss(DialledLane lane)
    {
        if (lane.TryBeginLoss())
        {
            Interlocked.Increment(ref _reports);
            ThreadPool.UnsafeQueueUserWorkItem(static peer => peer.Report(), this, preferLocal: false);
        }
    }

    // Not on the thread that sends, which is in the middle of something.
    private void Report()
    {
        if (!_stopping.IsCancellationRequested)
        {
            _receiver.OnUnreachable(Peer.Id);
        }

        Interlocked.Decrement(ref _reports);
    }

    private void LogProblem()
    {
        var problem = Problem;
        if (Interlocked.Exchange(ref _logged, problem) != problem && !_stopping.IsCancellationRequested)
        {
            if (problem.Length > 0)
            {
                PeerLogMessages.NotConnected(_log, Peer.Id, Peer.Address, problem);
            }
            else
            {
                PeerLogMessages.Connected(_log, Peer.Id, Peer.Address);
            }
        }
    }

    /// <summary>One of the connections.</summary>
    private sealed class DialledLane(PeerLane lane)
    {
        private volatile PeerConnection? _connection;
        private volatile string _problem = "it is being dialled";
        private int _isLossTold;

        public PeerLane Lane => lane;

        public PeerConnection? Connection
        {
            get => _connection;
            set => _connection = value;
        }

        public string Problem
        {
            get => _problem;
            set => _problem = value;
        }

        public bool IsConnected => _connection is { IsClosed: false };

        public long HeardAt => _connection?.HeardAt ?? 0;

        /// <summary>Whether whoever sends is to be told that messages are lost; not again before <see cref="EndLoss"/>.</summary>
        public bool TryBeginLoss() => Interlocked.Exchange(ref _isLossTold, 1) == 0;

        public void EndLoss() => Volatile.Write(ref _isLossTold, 0);
    }
}
