namespace EventVault.Storage.Index;

/// <summary>How much of a stream can be read, and whether it can be written. The default: all of it, and yes.</summary>
/// <param name="FirstVisible">First version that can be read; one behind the last version if none can.</param>
/// <param name="IsTombstoned">It is never written again.</param>
internal readonly record struct StreamLife(StreamVersion FirstVisible, bool IsTombstoned)
{
    // The version and the mark in one number, so that readers get both with one load.
    private const long TombstoneBit = 1L << 62;

    /// <summary>What both of them leave: lives only ever get shorter, so the order of changes does not matter.</summary>
    public StreamLife Join(StreamLife other) => new(
        FirstVisible > other.FirstVisible ? FirstVisible : other.FirstVisible, IsTombstoned || other.IsTombstoned);

    public long Pack() => FirstVisible.Value | (IsTombstoned ? TombstoneBit : 0);

    public static StreamLife Unpack(long packed) => new(new StreamVersion(packed & ~TombstoneBit), (packed & TombstoneBit) != 0);
}

/// <summary>What an event of the stream <c>$streams</c> does to another stream.</summary>
/// <param name="Stream">Key of the stream.</param>
/// <param name="Life">Its life from then on, joined with what it was.</param>
/// <param name="At">Position of the event.</param>
internal readonly record struct LifeChange(UInt128 Stream, StreamLife Life, Position At);
