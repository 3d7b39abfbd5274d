namespace EventVault.Client;

/// <summary>What a scavenge that started now would do with one segment of the log, and what keeps the rest.</summary>
public sealed record SegmentScavenge
{
    /// <summary>Number of the segment.</summary>
    public required uint Segment { get; init; }

    /// <summary>The position of its first event, or of the next one that would be written.</summary>
    public required ulong FirstPosition { get; init; }

    /// <summary>The position of its last event; null: it has none.</summary>
    public required ulong? LastPosition { get; init; }

    /// <summary>Bytes on the disk now: its file, its index and its keys.</summary>
    public required ulong Bytes { get; init; }

    /// <summary>Events that still stand in it whole.</summary>
    public required ulong Events { get; init; }

    /// <summary>Of those, the ones that would go.</summary>
    public required ulong RemovableEvents { get; init; }

    /// <summary>The bytes that would be freed, an estimate.</summary>
    public required ulong RemovableBytes { get; init; }

    /// <summary>Events that can be read.</summary>
    public required ulong VisibleEvents { get; init; }

    /// <summary>Events of the vault's own streams, which are kept.</summary>
    public required ulong SystemEvents { get; init; }

    /// <summary>Events that can't be read any more and are kept by a legal hold.</summary>
    public required ulong HeldEvents { get; init; }

    /// <summary>Whether it would be written anew.</summary>
    public required bool Rewrites { get; init; }

    /// <summary>Why it would not, in words; empty: it would.</summary>
    public required string Why { get; init; }

    /// <summary>The point at which it was scavenged last; null: never.</summary>
    public required ulong? ScavengedAt { get; init; }

    internal static SegmentScavenge From(Protocol.SegmentScavenge message) => new()
    {
        Segment = message.Segment,
        FirstPosition = message.FirstPosition,
        LastPosition = message.HasLastPosition ? message.LastPosition : null,
        Bytes = message.Bytes,
        Events = message.Events,
        RemovableEvents = message.RemovableEvents,
        RemovableBytes = message.RemovableBytes,
        VisibleEvents = message.VisibleEvents,
        SystemEvents = message.SystemEvents,
        HeldEvents = message.HeldEvents,
        Rewrites = message.Rewrites,
        Why = message.Why,
        ScavengedAt = message.HasScavengedAt ? message.ScavengedAt : null,
    };
}
