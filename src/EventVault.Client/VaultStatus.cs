namespace EventVault.Client;

/// <summary>How a node is doing right now.</summary>
public sealed record VaultStatus
{
    /// <summary>Last committed position; null: the vault is empty.</summary>
    public required ulong? Head { get; init; }

    /// <summary>When the head was recorded; null: the vault is empty.</summary>
    public required DateTimeOffset? HeadRecordedAt { get; init; }

    /// <summary><c>serving</c>, <c>draining</c>, <c>full</c> (appends are refused) or <c>failed</c>.</summary>
    public required string State { get; init; }

    /// <summary>When the node started.</summary>
    public required DateTimeOffset StartedAt { get; init; }

    /// <summary>Counts the starts of the data directory.</summary>
    public required uint StartNumber { get; init; }

    /// <summary>Raft term.</summary>
    public required ulong Term { get; init; }

    /// <summary>Raft commit index.</summary>
    public required ulong CommitIndex { get; init; }

    /// <summary>Sealed segments.</summary>
    public required uint SegmentsSealed { get; init; }

    /// <summary>Segments that are not sealed yet.</summary>
    public required uint SegmentsUnsealed { get; init; }

    /// <summary>Size of the log on disk.</summary>
    public required ulong LogBytes { get; init; }

    /// <summary>Free space of the log's file system.</summary>
    public required ulong FreeBytes { get; init; }

    /// <summary>Appends in the node's queue.</summary>
    public required ulong AppendsWaiting { get; init; }

    /// <summary>Open subscriptions.</summary>
    public required ulong Subscriptions { get; init; }

    /// <summary>Appends since start.</summary>
    public required ulong Appends { get; init; }

    /// <summary>Events appended since start.</summary>
    public required ulong EventsAppended { get; init; }

    /// <summary>Groups flushed since start.</summary>
    public required ulong GroupsFlushed { get; init; }

    /// <summary>Memory of the node's process.</summary>
    public required ulong MemoryBytes { get; init; }

    internal static VaultStatus From(Protocol.GetStatusResponse message) => new()
    {
        Head = message.HasHead ? message.Head : null,
        HeadRecordedAt = VaultTime.FromTicksOrNone(message.HeadRecordedAt),
        State = message.State,
        StartedAt = VaultTime.FromTicks(message.StartedAt),
        StartNumber = message.StartNumber,
        Term = message.Term,
        CommitIndex = message.CommitIndex,
        SegmentsSealed = message.SegmentsSealed,
        SegmentsUnsealed = message.SegmentsUnsealed,
        LogBytes = message.LogBytes,
        FreeBytes = message.FreeBytes,
        AppendsWaiting = message.AppendsWaiting,
        Subscriptions = message.Subscriptions,
        Appends = message.Appends,
        EventsAppended = message.EventsAppended,
        GroupsFlushed = message.GroupsFlushed,
        MemoryBytes = message.MemoryBytes,
    };
}
