// Joins the parts: who listens, who dials, who asks. Owns all sockets and tasks of the traffic between nodes; what it is
// called with from the vault's thread neither waits nor touches a socket.
using System.Net;
using EventVault.Node.Replication;
using EventVault.Raft;

namespace EventVault.Node.Peers;

/// <summary>Reaches the other nodes over TCP.</summary>
internal sealed class PeerNetwork : IPeerNetwork
{
    /// <summary>A bulk connection on which nothing moves for this long is dead; a shorter silence may be one large group on a slow line.</summary>
    private static readonly TimeSpan BulkSilence = TimeSpan.FromSeconds(60);

    private readonly PeerNetworkOptions _options;
    private readonly ILogger _log;
    private readonly SeenDisks _disks;
    private readonly PeerRegistry _registry;
    private readonly PeerConnector _connector;
    private readonly RequestConnections _requests;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Lock _changing = new();
    private readonly List<Task> _leaving = [];
    private Dictionary<ReplicaId, DialledPeer> _peers = []; // Never changed, but replaced.
    private IPeerReceiver? _receiver;
    private PeerListener? _listener;
    private bool _isStopped;
    private Task _pinging = Task.CompletedTask;

    /// <param name="options">How it is to work.</param>
    /// <param name="log">Told of connections that come, go and are refused.</param>
    public PeerNetwork(PeerNetworkOptions options, ILogger log)
    {
        _options = options;
        _log = log;
        _disks = new SeenDisks(options, log);
        _connector = new PeerConnector(options, OnOldDisk);
        _registry = new PeerRegistry(options.Hello, options.Mark, _disks, options.ElectionTimeout);
        _requests = new RequestConnections(options, _connector, _registry, _stopping.Token);
    }

    /// <inheritdoc/>
    public string ListenAddress => (_listener ?? throw new InvalidOperationException("It does not listen yet.")).EndPoint.ToString();

    /// <inheritdoc/>
    public IReadOnlyList<PeerLink> Links => [.. Volatile.Read(ref _peers).Values.Select(peer => peer.Link)];

    /// <inheritdoc/>
    public long SentBytes => _registry.SentBytes;

    /// <inheritdoc/>
    public Task StartAsync(IPeerReceiver receiver)
    {
        Invariant.Check(_receiver is null, "A network is started once.");
        if (_disks.IsBarred(_options.Hello.Id))
        {
            OnOldDisk("another node said so before");
        }

        var listener = new PeerListener(_options, _registry, receiver, _log);
        listener.Start(_stopping.Token);
        _listener = listener;
        _receiver = receiver;
        PeerLogMessages.Listening(_log, listener.EndPoint);
        if (_options.Tls is null && !IPAddress.IsLoopback(_options.Address))
        {
            PeerLogMessages.ListensInClearText(_log, listener.EndPoint);
        }

        _pinging = Task.Run(PingAsync);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public void SetPeers(IReadOnlyList<Peer> peers)
    {
        lock (_changing)
        {
            if (_isStopped)
            {
                return;
            }

            Invariant.Check(_receiver is not null, "Peers are set when there is somebody to hear of them.");
            var next = new Dictionary<ReplicaId, DialledPeer>();
            foreach (var peer in peers)
            {
                if (peer.Id != _options.Hello.Id)
                {
                    next[peer.Id] = _peers.TryGetValue(peer.Id, out var dialled) && dialled.Peer == peer
                        ? dialled
                        : new DialledPeer(peer, _options, _connector, _registry, _receiver, _log);
                }
            }

            _leaving.RemoveAll(static t => t.IsCompleted);
            foreach (var (id, dialled) in _peers)
            {
                if (!next.TryGetValue(id, out var kept) || kept != dialled)
                {
                    _leaving.Add(Task.Run(async () => await dialled.DisposeAsync()));
                }
            }

            Volatile.Write(ref _peers, next);
        }
    }

    /// <inheritdoc/>
    public void Send(in PeerMessage message)
    {
        if (Volatile.Read(ref _peers).TryGetValue(message.Raft.To, out var peer))
        {
            peer.Send(message);
            return;
        }

        // Who is no member as far as this node knows, such as the leader that a new node hears of first: it has dialled.
        _registry.Accepted(message.Raft.To, message.Raft.Kind == MessageKind.Append ? PeerLane.Bulk : PeerLane.Urgent)?.TrySend(message, out _);
    }

    /// <inheritdoc/>
    public Task<byte[]> AskAsync(PeerTarget target, PeerRequestKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellation) =>
        _requests.AskAsync(target, kind, content, cancellation);

    /// <summary>Ends all connections, tasks and what waits for them.</summary>
    public async ValueTask DisposeAsync()
    {
        Task[] leaving;
        lock (_changing)
        {
            if (_isStopped)
            {
                return;
            }

            _isStopped = true;
            leaving = [.. _leaving, .. _peers.Values.Select(peer => Task.Run(async () => await peer.DisposeAsync()))];
        }

        await _stopping.CancelAsync();
        await Task.WhenAll(leaving);
        await _requests.StopAsync();
        if (_listener is not null)
        {
            await _listener.DisposeAsync();
        }

        await _pinging;
        await _disks.SaveAsync();
    }

    private async Task PingAsync()
    {
        using var timer = new PeriodicTimer(_options.PingEvery);
        var mostBulk = Math.Max(PeerNetworkOptions.PingsInElectionTimeout, (int)(BulkSilence / _options.PingEvery));
        while (!_stopping.IsCancellationRequested)
        {
            try
            {
                await timer.WaitForNextTickAsync(_stopping.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            foreach (var connection in _registry.Connections)
            {
                var most = connection.Lane == PeerLane.Bulk ? mostBulk : PeerNetworkOptions.PingsInElectionTimeout;
                if (connection.CountSilence() >= most)
                {
                    Lose(connection);
                }
                else
                {
                    connection.Ping();
                }
            }

            _requests.CloseIdle();
            _disks.SaveMarks();
        }
    }

    // Kept beside what is known of others: a restart, also one that reaches nobody, changes nothing.
    private void OnOldDisk(string why)
    {
        if (_options.OnOldDisk(why))
        {
            _disks.Bar(_options.Hello.Id);
        }
    }

    // What has swallowed one connection has swallowed the other, which would find out much later.
    private void Lose(PeerConnection silent)
    {
        foreach (var connection in _registry.Connections)
        {
            if (connection == silent || (silent.Lane == PeerLane.Urgent && connection.Hello.Boot == silent.Hello.Boot && connection.IsDialled == silent.IsDialled))
            {
                connection.Close("nothing came for too long");
            }
        }
    }
}
