using EventVault.Node.Replication;
using EventVault.Raft;

namespace EventVault.Node.Peers;

/// <summary>
/// Reaches the other nodes of the vault. Two connections to each peer carry messages of consensus: an urgent one (votes, heartbeats,
/// answers, reads) and one for the log's groups, so that a full one never delays an election. Requests, and what they transfer, have
/// connections of their own.
/// </summary>
internal interface IPeerNetwork : IPeerTransport, IAsyncDisposable
{
    /// <summary>Where it listens, as HOST:PORT; the port is the one that was taken.</summary>
    string ListenAddress { get; }

    /// <summary>Listens, and begins to hand over what comes.</summary>
    /// <exception cref="IOException">The port can't be opened.</exception>
    Task StartAsync(IPeerReceiver receiver);

    /// <summary>Whom to keep connections to; drops all others, and what was queued for them. For the vault's thread: does not block.</summary>
    void SetPeers(IReadOnlyList<Peer> peers);

    /// <summary>How the connections stand. For every thread.</summary>
    IReadOnlyList<PeerLink> Links { get; }

    /// <summary>Bytes sent over connections for messages. For every thread.</summary>
    long SentBytes { get; }

    /// <summary>Asks a node, a member or not, and waits for the answer.</summary>
    /// <exception cref="PeerRequestException">It refused, could not be reached, or is somebody else than was asked for.</exception>
    Task<byte[]> AskAsync(PeerTarget target, PeerRequestKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellation);
}

/// <summary>Who takes what comes from peers. Called on the network's threads; must not block.</summary>
internal interface IPeerReceiver
{
    /// <summary>A message for this replica of this vault. Whoever is too busy drops it: that is legal.</summary>
    void OnMessage(in PeerMessage message);

    /// <summary>What was sent to a replica may be lost: its connection broke, can't be made, or its queue is full.</summary>
    void OnUnreachable(ReplicaId replica);

    /// <summary>Answers a request; the answer is at most <see cref="PeerLimits.RequestBytes"/> long.</summary>
    /// <exception cref="PeerRequestException">Refused; the message goes to the other node.</exception>
    Task<byte[]> AnswerAsync(PeerHello from, PeerRequestKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellation);
}

/// <summary>A member to keep connections to.</summary>
/// <param name="Id">Who must answer there.</param>
/// <param name="Address">HOST:PORT; names are looked up at each attempt.</param>
internal readonly record struct Peer(ReplicaId Id, string Address);

/// <summary>Whom a request is for.</summary>
/// <param name="Address">HOST:PORT.</param>
/// <param name="Id">Who must answer there; null: whoever does.</param>
internal readonly record struct PeerTarget(string Address, ReplicaId? Id = null);

/// <summary>How a node introduces itself on a connection.</summary>
/// <param name="VaultId">Empty: it belongs to none yet.</param>
/// <param name="Id">Node 0: it has no number yet.</param>
/// <param name="Boot">Drawn when the process opened the vault: two that show one disk at a time are copies.</param>
/// <param name="StartNumber">Of its disk. One that is lower than before was restored from an old copy.</param>
/// <param name="ClientAddress">Where clients reach it, HOST:PORT.</param>
/// <param name="Version">Of the software.</param>
internal sealed record PeerHello(Guid VaultId, ReplicaId Id, Guid Boot, uint StartNumber, string ClientAddress, string Version)
{
    /// <summary>Term of its disk when it was opened.</summary>
    public ulong OpenedTerm { get; init; }

    /// <summary>Index of its log's last entry when it was opened.</summary>
    public ulong OpenedLast { get; init; }

    /// <summary>Where other nodes reach it, HOST:PORT, if it was told so; empty: whoever added it knows better.</summary>
    public string PeerAddress { get; init; } = string.Empty;
}

/// <summary>How the connections to a peer stand.</summary>
/// <param name="Peer">The peer.</param>
/// <param name="Hello">What it said of itself last; null: it was never heard of.</param>
/// <param name="IsConnected">Whether both connections to it stand.</param>
/// <param name="SinceHeard">Since anything came from it; <see cref="TimeSpan.MaxValue"/>: nothing ever did.</param>
/// <param name="ClockAhead">How far its clock is ahead of this node's, by the last exchange.</param>
/// <param name="Problem">Why there is no connection, for people; empty: nothing is wrong.</param>
internal sealed record PeerLink(Peer Peer, PeerHello? Hello, bool IsConnected, TimeSpan SinceHeard, TimeSpan ClockAhead, string Problem)
{
    /// <summary>Messages that wait to be sent.</summary>
    public int QueuedMessages { get; init; }

    /// <summary>Their bytes.</summary>
    public long QueuedBytes { get; init; }
}

/// <summary>What nodes ask each other beside consensus.</summary>
internal enum PeerRequestKind : byte
{
    /// <summary>How it stands. For everybody.</summary>
    Status = 1,

    /// <summary>To a node without a vault: belong to this one. It answers with the incarnation of its disk.</summary>
    Invite = 2,

    /// <summary>Which sealed segments it has from one on, with lengths and digests. For members.</summary>
    Segments = 3,

    /// <summary>Bytes of a sealed segment. For members.</summary>
    SegmentBytes = 4,

    /// <summary>To the leader: a disk that was damaged has begun anew as another incarnation and wants its place back.</summary>
    Readmit = 5,

    /// <summary>From the leader to a follower: it is too far behind for groups alone, and gets segments. For members.</summary>
    Ship = 6,

    /// <summary>To the leader, of a disk whose end is damaged: may it begin anew, so that nobody counts it any more?</summary>
    BeginAnew = 7,
}

/// <summary>A node refused a request, or could not be asked.</summary>
/// <param name="message">Why, for people.</param>
/// <param name="inner">What kept it from being asked; null: it refused.</param>
internal sealed class PeerRequestException(string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>Whether the node could not be reached or did not answer: another attempt may do. Otherwise it refused.</summary>
    public bool IsUnanswered => InnerException is not null;
}

/// <summary>Bounds of what goes between nodes.</summary>
internal static class PeerLimits
{
    /// <summary>Largest request and answer, in bytes: segments come in pieces of less.</summary>
    public const int RequestBytes = 2 * 1024 * 1024;

    /// <summary>Largest request, in bytes, of who belongs to no vault, or to a node that belongs to none: questions and invitations, which have some hundred.</summary>
    public const int StrangersRequestBytes = 64 * 1024;
}
