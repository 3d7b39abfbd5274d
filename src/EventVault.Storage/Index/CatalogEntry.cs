namespace EventVault.Storage.Index;

/// <summary>What the catalog knows about one sealed segment.</summary>
internal readonly record struct CatalogEntry
{
    public required uint Segment { get; init; }

    /// <summary>Events in the segment; may be 0.</summary>
    public required uint EventCount { get; init; }

    /// <summary>Position of its first event; of the vault's next event if it has none.</summary>
    public required Position FirstPosition { get; init; }

    /// <summary>Position of its last event; one before <see cref="FirstPosition"/> if it has none.</summary>
    public Position LastPosition => FirstPosition + ((long)EventCount - 1);

    public required LogIndex FirstLogIndex { get; init; }

    public required LogIndex LastLogIndex { get; init; }

    public required Term FirstTerm { get; init; }

    public required Term LastTerm { get; init; }

    /// <summary>Time of the first group, in 100 ns ticks.</summary>
    public required long FirstTime { get; init; }

    /// <summary>Time of the last append, in 100 ns ticks.</summary>
    public required long LastTime { get; init; }

    /// <summary>Where the last group ends, in bytes.</summary>
    public required uint EndOffset { get; init; }

    /// <summary>Checksum of the last group, to which the next segment's first is chained.</summary>
    public required uint LastGroupChecksum { get; init; }

    /// <summary>Digest of the segment: equal on every node.</summary>
    public required SegmentDigest Digest { get; init; }

    /// <summary>Length and checksum of the segment's index file.</summary>
    public required SealedIndexMark Index { get; init; }
}
