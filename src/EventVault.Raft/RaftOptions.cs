namespace EventVault.Raft;

/// <summary>How a <see cref="RaftCore"/> behaves. Times are ticks; whoever calls Tick says how long one is.</summary>
public sealed record RaftOptions
{
    /// <summary>Who this replica is.</summary>
    public required ReplicaId Id { get; init; }

    /// <summary>Source of the random part of election timeouts. The core's own: nothing else may draw from it.</summary>
    public required Random Random { get; init; }

    /// <summary>
    /// Shortest election timeout; each one is drawn anew from [this, 2 × this). Also how long a leader stays one without
    /// hearing from a majority, and how long followers refuse votes after they heard from a leader. Default 30 (1.5 s at
    /// 50 ms).
    /// </summary>
    public int ElectionTicks { get; init; } = 30;

    /// <summary>Between two heartbeats. Default 2 (100 ms at 50 ms).</summary>
    public int HeartbeatTicks { get; init; } = 2;

    /// <summary>Most Append messages on their way to one follower.</summary>
    public int MaxInFlightMessages { get; init; } = 64;

    /// <summary>Most bytes of entries on their way to one follower; one entry may always go.</summary>
    public long MaxInFlightBytes { get; init; } = 16 * 1024 * 1024;

    /// <summary>Most bytes of entries in one Append; one entry may always go.</summary>
    public long MaxMessageBytes { get; init; } = 1024 * 1024;

    /// <summary>Most entries in one Append.</summary>
    public int MaxMessageEntries { get; init; } = 64;

    /// <summary>Most bytes that a leader holds uncommitted before it refuses proposals; one proposal may always go.</summary>
    public long MaxUncommittedBytes { get; init; } = 64 * 1024 * 1024;

    internal void Check()
    {
        ArgumentNullException.ThrowIfNull(Random);
        ArgumentOutOfRangeException.ThrowIfLessThan(HeartbeatTicks, 1);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(ElectionTicks, HeartbeatTicks);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxInFlightMessages, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxInFlightBytes, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxMessageBytes, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxMessageEntries, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxUncommittedBytes, 1);
    }
}
