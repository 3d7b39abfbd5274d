namespace EventVault.Client;

/// <summary>One failed check, as the node (or the client's own check before sending) told it.</summary>
public sealed record VaultFailure
{
    /// <summary>Why.</summary>
    public required VaultErrorCode Code { get; init; }

    /// <summary>A sentence for people: what, where and what to do.</summary>
    public required string Message { get; init; }

    /// <summary>The stream concerned.</summary>
    public string? Stream { get; init; }

    /// <summary>Path of the field concerned, such as <c>streams[0].events[3].type</c>.</summary>
    public string? Field { get; init; }

    /// <summary>Place of the event, tag or condition concerned in its list.</summary>
    public uint? Index { get; init; }

    /// <summary>Why it was refused, in a few words.</summary>
    public string? Why { get; init; }

    /// <summary>The limit that was exceeded, with <see cref="VaultErrorCode.LimitExceeded"/>.</summary>
    public ExceededLimit? Limit { get; init; }

    /// <summary>What was expected and found, with <see cref="VaultErrorCode.WrongExpectedVersion"/>.</summary>
    public VersionConflict? Conflict { get; init; }

    /// <summary>When it makes sense to try again.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>Where the leader is, with <see cref="VaultErrorCode.NotLeader"/>, if known.</summary>
    public string? Address { get; init; }

    /// <summary>File name of the damaged segment, with <see cref="VaultErrorCode.Damaged"/>.</summary>
    public string? DamagedSegment { get; init; }

    /// <summary>Byte offset of the damage in that segment.</summary>
    public ulong? DamagedOffset { get; init; }

    /// <summary>First position of the append that has the operation id, with <see cref="VaultErrorCode.OperationIdReused"/>.</summary>
    public ulong? FirstPosition { get; init; }

    /// <summary>
    /// An event that matches, with <see cref="VaultErrorCode.ConditionFailed"/>; how far the node is, with
    /// <see cref="VaultErrorCode.TimedOutBehind"/> and <see cref="VaultErrorCode.PositionNotReached"/> (null: it has no events).
    /// </summary>
    public ulong? Position { get; init; }

    /// <summary>Operation ids of appends at or before it are no longer kept, with <see cref="VaultErrorCode.RetryTooOld"/>.</summary>
    public ulong? Floor { get; init; }

    /// <summary>
    /// The earliest moment that can still be told, with <see cref="VaultErrorCode.HistoryTruncated"/> and
    /// <see cref="VaultErrorCode.IncompleteHistory"/>.
    /// </summary>
    public EarliestState? Earliest { get; init; }

    /// <summary>
    /// The stream's last version, with <see cref="VaultErrorCode.VersionNotReached"/>; the reducer's newest one, with
    /// <see cref="VaultErrorCode.DefinitionConflict"/>. Null: there is none.
    /// </summary>
    public ulong? Version { get; init; }

    /// <summary>The newest time that is over, and so can be asked for, with <see cref="VaultErrorCode.AsOfInFuture"/>.</summary>
    public DateTimeOffset? ClosedTime { get; init; }

    /// <summary>Where in the text it broke the rules, in characters from its start, with <see cref="VaultErrorCode.BadReducer"/>.</summary>
    public uint? TextOffset { get; init; }

    /// <summary>
    /// What a repeat has to say in <see cref="AppendOptions.AttemptedAfter"/>, with <see cref="VaultErrorCode.OutcomeUnknown"/>.
    /// </summary>
    public SeenHead? AttemptedAfter { get; init; }

    /// <summary>
    /// The operation id under which it was tried, given or made by the client, with <see cref="VaultErrorCode.OutcomeUnknown"/>: a repeat has to name
    /// it. Null: it has none, as changes of the vault's nodes.
    /// </summary>
    public Guid? OperationId { get; init; }
}

/// <summary>A limit and the value that exceeded it.</summary>
/// <param name="Limit">Name as in <see cref="VaultInfo.Limits"/>, such as <c>event_bytes</c>; the unit is its last word.</param>
/// <param name="Value">What was asked for.</param>
/// <param name="Allowed">What is allowed.</param>
/// <param name="Setting">The node's setting that raises it; empty if it is fixed.</param>
public sealed record ExceededLimit(string Limit, ulong Value, ulong Allowed, string Setting);

/// <summary>The earliest moment of which a stream's state can be told, in three ways.</summary>
/// <param name="Version">A version of the stream.</param>
/// <param name="Position">The same event's position.</param>
/// <param name="Time">When it was recorded.</param>
public sealed record EarliestState(ulong Version, ulong Position, DateTimeOffset Time);
