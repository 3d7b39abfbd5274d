using EventVault.Storage.Log;

namespace EventVault.Storage.Scavenging;

/// <summary>What scavenging is doing.</summary>
public enum ScavengeState
{
    /// <summary>None was ever started.</summary>
    Never,

    /// <summary>It works, or will when it is stepped.</summary>
    Running,

    /// <summary>It can't go on now; <see cref="ScavengeProgress.Why"/> says what it waits for.</summary>
    Waiting,

    /// <summary>It was stopped before it was done: asked to, or by a legal hold that was set behind its point.</summary>
    Stopped,

    /// <summary>It has looked at all that there is.</summary>
    Done,
}

/// <summary>How far the newest scavenge is on this node.</summary>
/// <param name="State">What it is doing.</param>
/// <param name="Point">
/// Position of the event that started it: what was hidden there goes; <see cref="Position.None"/>: none was ever started.
/// </param>
/// <param name="StartedAt">When, 100 ns ticks since 1970; 0: never.</param>
/// <param name="SegmentsDone">Sealed segments that it has looked at since the node started, but for damaged ones.</param>
/// <param name="SegmentsTotal">Sealed segments that it looks at in all. Rises while segments before its point are being sealed.</param>
/// <param name="SegmentsRewritten">Segments that were written anew at this point.</param>
/// <param name="BytesFreed">Bytes that the log's files take less than they did when they were written, by all scavenges so far.</param>
/// <param name="Why">
/// What it waits for, or that a legal hold stopped it, in a sentence, and how many damaged segments it passed over, with the first
/// one's reason; null: none of these.
/// </param>
public sealed record ScavengeProgress(
    ScavengeState State, Position Point, long StartedAt, int SegmentsDone, int SegmentsTotal, int SegmentsRewritten, long BytesFreed, string? Why)
{
    /// <summary>Whether it is stopped by a legal hold, and nobody asked for that: another one may be started at once.</summary>
    public bool IsStoppedByHold { get; init; }
}

/// <summary>What a scavenge that started now would go by.</summary>
/// <param name="LastChange">Position of the newest event that hid others.</param>
/// <param name="Sealed">Sealed segments.</param>
/// <param name="Retention">The rules, which say what is held; an object that nobody changes.</param>
public sealed record ScavengeBasis(Position LastChange, int Sealed, RetentionRules Retention);

/// <summary>What a scavenge that started now would do with a segment.</summary>
/// <param name="Segment">The segment.</param>
/// <param name="FirstPosition">Position of its first event.</param>
/// <param name="LastPosition">Position of its last event; <see cref="Position.None"/>: it has no events.</param>
/// <param name="Bytes">What its files take: the segment, its index and its keys. Bytes.</param>
/// <param name="Events">Events that stand in it whole.</param>
/// <param name="RemovableEvents">Of those, the ones that would go.</param>
/// <param name="RemovableBytes">What that would free, an estimate; with operation ids that need not be kept any more.</param>
/// <param name="VisibleEvents">Of those that stay, the ones that can be read.</param>
/// <param name="SystemEvents">The vault's own.</param>
/// <param name="HeldEvents">Hidden ones that a legal hold keeps.</param>
/// <param name="Rewrites">Whether it would be written anew.</param>
/// <param name="Why">Why not, in a sentence; null if it would be.</param>
/// <param name="ScavengedAt">The point at which it was scavenged last; <see cref="Position.None"/>: never.</param>
public sealed record SegmentExplanation(
    uint Segment, Position FirstPosition, Position LastPosition, long Bytes, long Events, long RemovableEvents, long RemovableBytes,
    long VisibleEvents, long SystemEvents, long HeldEvents, bool Rewrites, string? Why, Position ScavengedAt);
