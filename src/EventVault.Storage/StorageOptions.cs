using EventVault.Storage.Log;

namespace EventVault.Storage;

/// <summary>How a vault's storage is opened.</summary>
public sealed record StorageOptions
{
    /// <summary>Smallest segment: room for a block or two of groups. Tests use it to seal often.</summary>
    public const uint MinSegmentSizeBytes = 64 * 1024;

    /// <summary>Largest segment: offsets in it are shifted into 32 bits.</summary>
    public const uint MaxSegmentSizeBytes = 1024 * 1024 * 1024;

    /// <summary>Size of a segment file. Counts when a vault is created; later, and for nodes that join it, it stays as it is. Default 256 MiB.</summary>
    public uint SegmentSizeBytes { get; init; } = 256 * 1024 * 1024;

    /// <summary>The node's number in its vault, from 1. Another one than the directory was created with is refused.</summary>
    public uint NodeId { get; init; } = 1;

    /// <summary>
    /// Makes an empty directory one more disk of this vault; null: a vault of its own. Once the directory is there, it
    /// must be of this vault.
    /// </summary>
    public VaultIdentity? Join { get; init; }

    /// <summary>What events and appends may hold.</summary>
    public VaultLimits Limits { get; init; } = new();

    /// <summary>Appends whose operation ids are remembered at the least. Default 16 M.</summary>
    public long OperationHorizon { get; init; } = 16L * 1024 * 1024;

    /// <summary>
    /// Memory that the keys of one unsealed segment may take; then the next segment begins early. Events of usual size with a
    /// few tags stay under a third of it; it bounds what those of 16 tags each would take. There are four such segments at most,
    /// for some seconds the memory of a fifth, and one append may go over it. Default 96 MiB.
    /// </summary>
    public long SegmentKeyBytes { get; init; } = 96L * 1024 * 1024;

    /// <summary>
    /// Streams that may have been deleted, tombstoned or truncated; others are refused then. Each takes some 100 bytes of memory for
    /// ever and 32 in a value of the state table, which is written with each segment and may have 2 GiB. Default 32 M: half of that.
    /// </summary>
    public int ChangedStreams { get; init; } = 32 * 1024 * 1024;

    /// <summary>
    /// Of a node with peers: whether a disk whose unsealed end is damaged may begin anew as another incarnation, with the intact
    /// groups before the damage. It must say yes only if others decide without this disk, and have what it lost; it may take as long as it
    /// likes to find that out, and nothing is changed meanwhile. Null: never; then such a disk is not opened.
    /// </summary>
    public Func<DamagedEnd, bool>? Reincarnate { get; init; }

    /// <summary>Looks at the opening, and can end it; null: nobody does.</summary>
    public OpeningWatch? Watch { get; init; }

    /// <summary>Tests only: makes ids and secrets repeatable.</summary>
    public Random? Random { get; init; }
}
