using EventVault.Node.Peers;
using EventVault.Node.Peers.Shipping;
using EventVault.Node.Replication;
using EventVault.Raft;

namespace EventVault.Node.Tests.Peers.Shipping;

/// <summary>Carries requests about segments to shelves, at once, and whatever a test wants done to them on the way.</summary>
internal sealed class FakeNetwork : IPeerNetwork
{
    private readonly Dictionary<ReplicaId, SegmentShelf> _shelves = [];

    /// <summary>What was asked of whom, in order.</summary>
    public List<(ReplicaId From, PeerRequestKind Kind)> Asked { get; } = [];

    /// <summary>What becomes of an answer; throws if it is lost.</summary>
    public Func<ReplicaId, PeerRequestKind, byte[], byte[]> OnWay { get; set; } = static (_, _, answer) => answer;

    public long SentBytes => 0;

    public string ListenAddress => string.Empty;

    public IReadOnlyList<PeerLink> Links => [];

    public IReadOnlyList<ReplicaId> Sources => [.. _shelves.Keys];

    public ReplicaId Add(uint node, SegmentShelf shelf)
    {
        var id = new ReplicaId(node, new Guid((int)node, 0, 0, new byte[8]));
        _shelves.Add(id, shelf);
        return id;
    }

    public Task StartAsync(IPeerReceiver receiver) => Task.CompletedTask;

    public void SetPeers(IReadOnlyList<Peer> peers)
    {
    }

    public void Send(in PeerMessage message)
    {
    }

    public Task<byte[]> AskAsync(PeerTarget target, PeerRequestKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellation)
    {
        var from = target.Id!.Value;
        Asked.Add((from, kind));
        return Task.FromResult(OnWay(from, kind, kind == PeerRequestKind.Segments ? _shelves[from].Segments(content.Span) : _shelves[from].SegmentBytes(content.Span)));
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
