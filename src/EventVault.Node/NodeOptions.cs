using System.Net;
using EventVault.Node.Peers;
using EventVault.Node.Security;
using EventVault.Storage;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Temporal;

namespace EventVault.Node;

/// <summary>What a node is started with. The program fills it from its settings; tests and benchmarks directly.</summary>
internal sealed record NodeOptions
{
    /// <summary>A session may have this many bytes unanswered; beyond it the node stops reading from the client.</summary>
    public const int SessionBytes = 32 * 1024 * 1024;

    /// <summary>
    /// Bytes of requests over 64 KiB that have arrived and are not answered, of all calls together, half of it of a connection's;
    /// more are refused. As many as may be queued by default: what is larger than a read holds its place in both.
    /// </summary>
    public const long ReceivingBytes = 256L * 1024 * 1024;

    /// <summary>Highest number of a node: small enough to be said aloud.</summary>
    public const uint HighestNodeId = 65_535;

    /// <summary>The data directory.</summary>
    public required string Directory { get; init; }

    /// <summary>Where both ports listen.</summary>
    public IPAddress Address { get; init; } = IPAddress.Loopback;

    /// <summary>gRPC; 0 takes a free one.</summary>
    public int Port { get; init; }

    /// <summary>HTTP; 0 takes a free one.</summary>
    public int HttpPort { get; init; }

    /// <summary>Serves gRPC and HTTP over TLS; null: clear text.</summary>
    public TlsFiles? Tls { get; init; }

    /// <summary>How callers show who they are; null: nobody is asked, and everybody is an administrator.</summary>
    public AccessOptions? Access { get; init; }

    /// <summary>
    /// How long a node that is cut off from its leader goes on by the users and roles that it knows: whoever was shut out elsewhere is let in for so long,
    /// and reads that take nothing but this node go on for so long. Then it lets in the built-in administrator alone. Tests wait less.
    /// </summary>
    public TimeSpan TrustsUsersFor { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Whether clients may ask which services and messages there are.</summary>
    public bool Reflection { get; init; }

    /// <summary>Size of a segment file; counts when the vault is created.</summary>
    public uint SegmentSizeBytes { get; init; } = 256 * 1024 * 1024;

    /// <summary>Appends whose operation ids are remembered at the least.</summary>
    public long OperationHorizon { get; init; } = 16L * 1024 * 1024;

    /// <summary>What events and appends may hold.</summary>
    public VaultLimits Limits { get; init; } = new();

    /// <summary>What may wait to be sequenced.</summary>
    public AppendLimits Queue { get; init; } = new();

    /// <summary>Appends that one session may have unanswered.</summary>
    public int SessionAppends { get; init; } = 4096;

    /// <summary>How often an idle subscription is told how far it has come.</summary>
    public TimeSpan ProgressInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How often a leader looks which events are due by retention rules. At most a minute, but for tests.</summary>
    public TimeSpan RetentionInterval { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>How long running calls may take when the node stops.</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>What scavenging reads and writes at the most, in bytes a second; 0: as much as it can.</summary>
    public long ScavengeBytesPerSecond { get; init; } = 32L * 1024 * 1024;

    /// <summary>How often the node looks whether a scavenge is worth it, and then starts one; zero: never.</summary>
    public TimeSpan ScavengeInterval { get; init; } = TimeSpan.FromHours(24);

    /// <summary>How often all sealed segments are checked for damage; zero: never, but those in which a reader met some.</summary>
    public TimeSpan ScrubInterval { get; init; } = TimeSpan.FromHours(168);

    /// <summary>Which damaged segments were replaced. Stays the same when the node is opened anew.</summary>
    public RepairHistory Repairs { get; init; } = new();

    /// <summary>Bytes that a state may grow to, 64 KiB to 16 MiB: a state that is larger wants to be many.</summary>
    public int StateBytes { get; init; } = 1024 * 1024;

    /// <summary>Events that one state may take to fold: some seconds.</summary>
    public long FoldEvents { get; init; } = 5_000_000;

    /// <summary>Whether an empty data directory makes no vault: the node waits until one is made here, or it is added to one.</summary>
    public bool Join { get; init; }

    /// <summary>The node's number; null: as its data directory says, and 1 in a vault that it makes by itself.</summary>
    public uint? NodeId { get; init; }

    /// <summary>Port for the other nodes; 0 takes a free one, null: none, and the node can have no peers.</summary>
    public int? PeerPort { get; init; }

    /// <summary>Where the peer port listens.</summary>
    public IPAddress PeerAddress { get; init; } = IPAddress.Loopback;

    /// <summary>Where other nodes reach the peer port, HOST:PORT; null: where it listens.</summary>
    public string? PeerAdvertise { get; init; }

    /// <summary>Where clients reach the gRPC port, HOST:PORT; null: where it listens.</summary>
    public string? Advertise { get; init; }

    /// <summary>What the node shows to its peers, and who must have signed what they show; null: clear text.</summary>
    public PeerTls? PeerTls { get; init; }

    /// <summary>Shortest time without a leader before the node wants to be one. At least two heartbeats.</summary>
    public TimeSpan ElectionTimeout { get; init; } = TimeSpan.FromMilliseconds(1500);

    /// <summary>How often a leader is heard from.</summary>
    public TimeSpan Heartbeat { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>What the node sends of sealed segments to others at the most, in bytes a second; 0: as much as it can.</summary>
    public long ShipBytesPerSecond { get; init; } = 64L * 1024 * 1024;

    /// <summary>So many bytes of sealed segments behind, a follower gets these rather than groups. Tests ship sooner.</summary>
    public long ShipFarBytes { get; init; } = Replication.Replica.FarBytes;

    /// <summary>Makes what reaches the other nodes, where there is a peer port; null: over TCP. Tests put their own between.</summary>
    public Func<PeerNetworkOptions, ILogger, IPeerNetwork>? Network { get; init; }

    /// <summary>When states are kept on the way. Tests have more of them kept than nodes would.</summary>
    public StateSnapshotRule KeptStates { get; init; } = new();

    /// <summary>The disk.</summary>
    public IFileSystem Files { get; init; } = new NativeFileSystem();

    /// <summary>The clock for recorded_at.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>Where metrics and spans go by OTLP; null: nowhere.</summary>
    public Uri? OtlpEndpoint { get; init; }

    /// <summary>Makes what takes the logs, which is disposed with the node; null: they go nowhere.</summary>
    public Func<ILoggerFactory>? Logging { get; init; }

    /// <summary>How a storage is opened for a node with these options.</summary>
    /// <param name="options">The options.</param>
    /// <param name="nodeId">The node's number.</param>
    public static StorageOptions StorageOf(NodeOptions options, uint nodeId) => new()
    {
        SegmentSizeBytes = options.SegmentSizeBytes,
        NodeId = nodeId,
        Limits = options.Limits,
        OperationHorizon = options.OperationHorizon,
    };

    /// <summary>
    /// Largest request message: the encoded request of the largest append that fits the log always fits, and what is a
    /// little over the limit still gets the precise error.
    /// </summary>
    public int MessageBytes => (int)Math.Min(2L * Limits.AppendBytes + (1024 * 1024), int.MaxValue / 2);
}
