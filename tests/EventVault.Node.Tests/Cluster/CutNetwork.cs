using System.Collections.Concurrent;
using EventVault.Node.Peers;
using EventVault.Node.Replication;
using EventVault.Raft;
using Microsoft.Extensions.Logging;

namespace EventVault.Node.Tests.Cluster;

/// <summary>Which nodes can't hear each other now. Shared by the nodes of a test.</summary>
internal sealed class Cuts
{
    private readonly ConcurrentDictionary<(uint From, uint To), bool> _cut = new();
    private readonly ConcurrentDictionary<(uint From, string To), int> _asking = new();
    private int _mostAsking;

    /// <summary>Raised when all connections between the nodes are to end.</summary>
    public event Action? Breaking;

    /// <summary>How many questions how it stands one node has had on the way to one other at a time.</summary>
    public int MostAsking => Volatile.Read(ref _mostAsking);

    /// <summary>Nothing gets from a node to another, or back.</summary>
    public void Cut(uint a, uint b) => _cut[(a, b)] = _cut[(b, a)] = true;

    /// <summary>Nothing gets from a node to the others, or back.</summary>
    public void Isolate(uint node, params ReadOnlySpan<uint> others)
    {
        foreach (var other in others)
        {
            Cut(node, other);
        }
    }

    /// <summary>A node whose messages of consensus are lost though its connections answer, as if it stood still; 0: none.</summary>
    public uint Muted { get; set; }

    public void Heal()
    {
        _cut.Clear();
        Muted = 0;
    }

    /// <summary>Answers requests in the place of the node that is asked, where it does not return null.</summary>
    public Func<uint, PeerTarget, PeerRequestKind, Task<byte[]>?> Answering { get; set; } = static (_, _, _) => null;

    /// <summary>Runs a question, counted.</summary>
    public async Task<byte[]> AskAsync(uint from, string to, Func<Task<byte[]>> ask)
    {
        var now = _asking.AddOrUpdate((from, to), 1, static (_, n) => n + 1);
        for (var most = MostAsking; now > most; most = MostAsking)
        {
            Interlocked.CompareExchange(ref _mostAsking, now, most);
        }

        try
        {
            return await ask();
        }
        finally
        {
            _asking.AddOrUpdate((from, to), 0, static (_, n) => n - 1);
        }
    }

    /// <summary>Ends all connections between the nodes, which dial each other anew at once.</summary>
    public void BreakConnections() => Breaking?.Invoke();

    public bool IsCut(uint from, uint to) => _cut.ContainsKey((from, to));
}

/// <summary>The real network between nodes, with cuts: what goes over one is lost without a word.</summary>
internal sealed class CutNetwork(PeerNetworkOptions options, ILogger log, Cuts cuts) : IPeerNetwork, IPeerReceiver
{
    private readonly PeerNetwork _network = new(options, log);
    private readonly uint _self = options.Hello.Id.Node;
    private IPeerReceiver? _receiver;
    private IReadOnlyList<Peer> _peers = [];

    public long SentBytes => _network.SentBytes;

    public string ListenAddress => _network.ListenAddress;

    public IReadOnlyList<PeerLink> Links => [.. _network.Links.Select(link => cuts.IsCut(link.Peer.Id.Node, _self) ? link with { SinceHeard = TimeSpan.MaxValue } : link)];

    public Task StartAsync(IPeerReceiver receiver)
    {
        _receiver = receiver;
        cuts.Breaking += Break;
        return _network.StartAsync(this);
    }

    public void SetPeers(IReadOnlyList<Peer> peers)
    {
        Volatile.Write(ref _peers, peers);
        _network.SetPeers(peers);
    }

    public void Send(in PeerMessage message)
    {
        if (!cuts.IsCut(_self, message.Raft.To.Node))
        {
            _network.Send(message);
        }
    }

    public Task<byte[]> AskAsync(PeerTarget target, PeerRequestKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellation) =>
        Volatile.Read(ref _peers).FirstOrDefault(p => p.Address == target.Address) is { Id.Node: not 0 } peer && cuts.IsCut(_self, peer.Id.Node)
            ? Task.FromException<byte[]>(new PeerRequestException("the network is cut", new IOException()))
            : cuts.Answering(_self, target, kind) is { } answer
            ? answer
            : kind == PeerRequestKind.Status && target.Id is not null
            ? cuts.AskAsync(_self, target.Address, () => _network.AskAsync(target, kind, content, cancellation))
            : _network.AskAsync(target, kind, content, cancellation);

    public void OnMessage(in PeerMessage message)
    {
        if (!cuts.IsCut(message.Raft.From.Node, _self) && message.Raft.From.Node != cuts.Muted)
        {
            _receiver!.OnMessage(message);
        }
    }

    public void OnUnreachable(ReplicaId replica) => _receiver!.OnUnreachable(replica);

    public Task<byte[]> AnswerAsync(PeerHello from, PeerRequestKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellation) =>
        _receiver!.AnswerAsync(from, kind, content, cancellation);

    public ValueTask DisposeAsync()
    {
        cuts.Breaking -= Break;
        return _network.DisposeAsync();
    }

    // Each side drops what it has dialled; what it has accepted, the other side drops.
    private void Break()
    {
        _network.SetPeers([]);
        _network.SetPeers(Volatile.Read(ref _peers));
    }
}
