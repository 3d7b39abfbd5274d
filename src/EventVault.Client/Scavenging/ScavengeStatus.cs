namespace EventVault.Client;

/// <summary>How far a scavenge is.</summary>
public enum ScavengeState
{
    /// <summary>A state that this client has no name for.</summary>
    Unknown,

    /// <summary>None was ever started.</summary>
    Never,

    /// <summary>It works, or will as soon as the node finds time.</summary>
    Running,

    /// <summary>It can't go on at the moment; <see cref="ScavengeStatus.Why"/> says why.</summary>
    Waiting,

    /// <summary>It was stopped before it was done.</summary>
    Stopped,

    /// <summary>All segments that were sealed before its point have been looked at.</summary>
    Done,
}

/// <summary>How the scavenge that was started last is doing on a node.</summary>
public sealed record ScavengeStatus
{
    /// <summary>How far it is.</summary>
    public required ScavengeState State { get; init; }

    /// <summary>Position of the event that started it: what was hidden there goes. Null: none was ever started.</summary>
    public required ulong? Point { get; init; }

    /// <summary>When it was started; null: none was ever started.</summary>
    public required DateTimeOffset? StartedAt { get; init; }

    /// <summary>Segments that it has looked at.</summary>
    public required uint SegmentsDone { get; init; }

    /// <summary>Segments that it looks at in all.</summary>
    public required uint SegmentsTotal { get; init; }

    /// <summary>Of those done, the ones that were written anew.</summary>
    public required uint SegmentsRewritten { get; init; }

    /// <summary>So many bytes less does the log take on the disk than when it was written, by all scavenges so far.</summary>
    public required ulong BytesFreed { get; init; }

    /// <summary>
    /// Why it waits, or that a legal hold stopped it, in a sentence, and how many damaged segments it passed over; empty: none of
    /// these.
    /// </summary>
    public required string Why { get; init; }

    internal static ScavengeStatus From(Protocol.ScavengeStatus message) => new()
    {
        State = message.State switch
        {
            "never" => ScavengeState.Never,
            "running" => ScavengeState.Running,
            "waiting" => ScavengeState.Waiting,
            "stopped" => ScavengeState.Stopped,
            "done" => ScavengeState.Done,
            _ => ScavengeState.Unknown,
        },
        Point = message.HasPoint ? message.Point : null,
        StartedAt = VaultTime.FromTicksOrNone(message.StartedAt),
        SegmentsDone = message.SegmentsDone,
        SegmentsTotal = message.SegmentsTotal,
        SegmentsRewritten = message.SegmentsRewritten,
        BytesFreed = message.BytesFreed,
        Why = message.Why,
    };
}
