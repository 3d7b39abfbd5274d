namespace EventVault.Storage.Index;

/// <summary>All that a segment's index is made from. An ordinal counts the segment's events from 0.</summary>
internal readonly ref struct SealedIndexContent
{
    public required uint Segment { get; init; }

    /// <summary>Position of the segment's first event; of the vault's next event if the segment has none.</summary>
    public required Position FirstPosition { get; init; }

    /// <summary>Events of the segment, removed ones included.</summary>
    public required int Events { get; init; }

    /// <summary>
    /// Which events were not removed: a bit for each ordinal, the lowest one first. Empty: all, the segment was never scavenged.
    /// </summary>
    public ReadOnlySpan<ulong> Kept { get; init; }

    /// <summary>Byte offset of each kept event's record in the segment, shifted right by 3; by ordinal, ascending.</summary>
    public required ReadOnlySpan<uint> Offsets { get; init; }

    /// <summary>The runs, ascending by key.</summary>
    public required ReadOnlySpan<StreamRun> Streams { get; init; }

    /// <summary>Ordinals of all runs, run after run, ascending in each; none twice (see <see cref="StreamRun.Removed"/>).</summary>
    public required ReadOnlySpan<uint> Ordinals { get; init; }

    /// <summary>Ascending by log index and offset.</summary>
    public required ReadOnlySpan<SparseMark> Marks { get; init; }

    /// <summary>Entries of the runs with <see cref="StreamRun.NewStream"/>, ascending by the bytes of the stream's name.</summary>
    public required ReadOnlySpan<uint> NewStreamsByName { get; init; }
}
