namespace EventVault.Storage.Log;

/// <summary>What is to become of a stream.</summary>
public enum StreamChangeKind : byte
{
    /// <summary>Its events so far are no longer read; it can be written again, its versions going on.</summary>
    Delete = 1,

    /// <summary>As deleted, and it is never written again.</summary>
    Tombstone = 2,

    /// <summary>Its events before a version are no longer read.</summary>
    Truncate = 3,
}

/// <summary>Why a stream can't be changed so.</summary>
public enum StreamChangeProblem
{
    /// <summary>It can.</summary>
    None,

    /// <summary>It has no events that can be read.</summary>
    NotFound,

    /// <summary>It is tombstoned.</summary>
    Tombstoned,

    /// <summary>It has no version before the one that is to be the first.</summary>
    BehindEnd,
}

/// <summary>
/// A change of a stream's life, on its way to the log as an event of <c>$streams</c>. Which version is the first one kept is
/// known only to the sequencer, so the event gets its final bytes there.
/// </summary>
/// <param name="Kind">What happens.</param>
/// <param name="Before">Truncate: the first version that is kept.</param>
public sealed record StreamChange(StreamChangeKind Kind, StreamVersion Before)
{
    /// <summary>No version comes near it: 2⁶². The bit above it says in memory that a stream is tombstoned.</summary>
    public const long MostBefore = (1L << 62) - 1;

    /// <summary>After the append was checked: why it fails, apart from what was expected of the stream.</summary>
    public StreamChangeProblem Problem { get; internal set; }
}
