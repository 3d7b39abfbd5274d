using EventVault.Storage;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal;

/// <summary>What is asked for beside the cut.</summary>
/// <param name="Occurred">
/// Of the events inside the cut only those that occurred at or before it, in the order in which they occurred; 100 ns ticks since
/// 1970. Null: all of them, in the order of the log.
/// </param>
/// <param name="AllowPartial">If events are truncated and nothing stands in for them: fold what is left.</param>
/// <param name="MostEvents">Events that may be folded.</param>
public readonly record struct StateOptions(long? Occurred, bool AllowPartial, long MostEvents)
{
    /// <summary>
    /// The time that the cut stands for, if it was given by time: of events that a scavenge removed nobody knows the times any more,
    /// so the cut's position lies before them. The anchor that stands in for the last of them has its own.
    /// </summary>
    public long? CutTime { get; init; }

    /// <summary>Bytes of the events that may be folded, for who wants to go on elsewhere if it takes more; null: any number.</summary>
    public long? MostBytes { get; init; }
}

/// <summary>The state of a stream as of a cut.</summary>
/// <param name="Exists">Whether the stream has events there; on the second axis, whether any of them occurred by then.</param>
/// <param name="Deleted">It had some, which were deleted by then.</param>
/// <param name="Version">The last event folded, as what follows; None if there is none.</param>
/// <param name="Position">Its position. Of a step that shows a deletion: that of the deletion.</param>
/// <param name="RecordedAt">When it was recorded, 100 ns ticks since 1970. Likewise.</param>
/// <param name="OccurredAt">When it happened; 100 ns ticks since 1970.</param>
/// <param name="State">Null if <paramref name="Exists"/> is false. Along a range it is the same object in each answer: it changes with the next one.</param>
/// <param name="PartialFrom">Not null: the state lacks the events before this version.</param>
/// <param name="KeptVersion">The fold went on from the state kept at this version; null: from the first event.</param>
/// <param name="EventsFolded">Events read and folded for it; along a range for all so far.</param>
public sealed record StateAnswer(
    bool Exists, bool Deleted, StreamVersion Version, Position Position, long RecordedAt, long OccurredAt,
    FoldState? State, StreamVersion? PartialFrom, StreamVersion? KeptVersion, long EventsFolded)
{
    /// <summary>Bytes of the events folded for it; along a range for all so far.</summary>
    public long BytesFolded { get; init; }

    /// <summary>Nothing is there.</summary>
    /// <param name="isDeleted">Any more.</param>
    internal static StateAnswer Nothing(bool isDeleted) => new(false, isDeleted, StreamVersion.None, Position.None, 0, 0, null, null, null, 0);
}

/// <summary>Which states of a stream are wanted along its events.</summary>
/// <param name="From">
/// The first event at or behind it is the first that counts; null: as <see cref="FromTime"/> says, or the first one that can be told.
/// </param>
/// <param name="Until">The last one at or before it is the last that counts. At most the head.</param>
/// <param name="EveryEvents">The state after every so many events of the range and after its last one; 0: each that differs from the one before.</param>
public readonly record struct HistoryRange(Position? From, Position Until, long EveryEvents)
{
    /// <summary>The first event recorded at or after it is the first that counts; 100 ns ticks since 1970, closed.</summary>
    public long? FromTime { get; init; }
}

/// <summary>What a client needs to fold a stream by itself.</summary>
/// <param name="Exists">Whether the stream has events at the cut.</param>
/// <param name="Deleted">It had some, which were deleted by then.</param>
/// <param name="First">First version of its life.</param>
/// <param name="Last">Last version inside the cut; None if <paramref name="Exists"/> is false.</param>
/// <param name="PartialFrom">Not null: the events before this version are missing.</param>
/// <param name="Kept">The newest state that the client kept at or before the cut; null: none.</param>
/// <param name="KeptVersion">The version after which that was.</param>
public sealed record FoldStart(
    bool Exists, bool Deleted, StreamVersion First, StreamVersion Last, StreamVersion? PartialFrom, byte[]? Kept, StreamVersion KeptVersion)
{
    /// <summary>First version that is to be read and folded; behind <see cref="Last"/> if none is.</summary>
    public StreamVersion Next => Kept is not null ? KeptVersion + 1 : PartialFrom ?? First;
}
