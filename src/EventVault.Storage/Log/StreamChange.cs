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

    /// <summary>It or its category is under a legal hold.</summary>
    Held,

    /// <summary>Its events are not due by the rule for which it was to be truncated: there is another one now, or they are gone.</summary>
    NotDue,

    /// <summary>It was never changed, and <see cref="StorageOptions.ChangedStreams"/> were.</summary>
    TooMany,

    /// <summary>
    /// What its anchors rest on is another one by now: reducers were defined, or the stream was deleted or truncated. Whoever made them has to
    /// look again.
    /// </summary>
    LookAgain,
}

/// <summary>An event that a truncation writes beside its own: the state that some reducer has of what is taken away.</summary>
/// <param name="Stream">Name of the stream that it goes to, one of the vault's own but <c>$streams</c>. UTF-8.</param>
/// <param name="EventData">Its bytes, as events of clients come.</param>
public readonly record struct AnchorEvent(byte[] Stream, byte[] EventData);

/// <summary>The anchors of a truncation, and what they rest on. They stand in its append: all of it is written, or nothing.</summary>
/// <param name="Reducers">Last version of the stream of definitions when it was looked at; <see cref="StreamVersion.None"/>: it has none.</param>
/// <param name="FirstVisible">First version of the truncated stream that could be read then.</param>
/// <param name="Events">The anchors, each in a stream of its own; empty if there is no reducer to make one for.</param>
public sealed record TruncationAnchors(StreamVersion Reducers, StreamVersion FirstVisible, IReadOnlyList<AnchorEvent> Events);

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

    /// <summary>
    /// Not null: made by the leader because events are due by the rule that the event at this position set. If another rule counts for
    /// the stream by the time it is sequenced, it is refused.
    /// </summary>
    public Position? DueBy { get; init; }

    /// <summary>
    /// Of a truncation; null: none were looked for. Not part of the content: a retry of a truncation is the same operation, whatever anchors
    /// it finds to make.
    /// </summary>
    public TruncationAnchors? Anchors { get; init; }

    /// <summary>After the append was checked: why it fails, apart from what was expected of the stream.</summary>
    public StreamChangeProblem Problem { get; internal set; }
}

/// <summary>A change of a retention rule, on its way to the log as an event of <c>$streams</c>.</summary>
/// <param name="Scope">To what the rule applies.</param>
/// <param name="Name">Of the stream or category, UTF-8.</param>
/// <param name="Rule">The rule; null takes it back.</param>
public sealed record RetentionSetting(RetentionScope Scope, byte[] Name, RetentionRule? Rule)
{
    /// <summary>After the append was checked: whether it fails because there are <see cref="RetentionRules.MostRules"/> rules already.</summary>
    public bool IsOverLimit { get; internal set; }
}
