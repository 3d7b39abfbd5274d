namespace EventVault.Client;

/// <summary>How one node of a vault stands.</summary>
public sealed record ClusterNodeStatus
{
    // So far a node may be behind in the midst of appends, on its way.
    private const ulong LagOfHealthy = 1000;

    /// <summary>Its number.</summary>
    public required uint NodeId { get; init; }

    /// <summary>Of its disk: a wiped disk is another one. Null: it was never heard of.</summary>
    public required Guid? Incarnation { get; init; }

    /// <summary>What it does in the vault.</summary>
    public required ClusterRole Role { get; init; }

    /// <summary>Where other nodes reach it: HOST:PORT.</summary>
    public required string PeerAddress { get; init; }

    /// <summary>Where clients reach it: HOST:PORT; empty: not known.</summary>
    public required string Address { get; init; }

    /// <summary>Whether it leads.</summary>
    public required bool IsLeader { get; init; }

    /// <summary>Whether it answered. What follows is 0, empty or null if it did not.</summary>
    public required bool IsReachable { get; init; }

    /// <summary><c>serving</c>, <c>draining</c>, <c>full</c>, <c>failed</c>, or <c>catching_up</c> while it gets segments.</summary>
    public required string State { get; init; }

    /// <summary>Its term.</summary>
    public required ulong Term { get; init; }

    /// <summary>Commit index of its Raft log, in groups.</summary>
    public required ulong CommitIndex { get; init; }

    /// <summary>Last index of its Raft log, in groups.</summary>
    public required ulong LastIndex { get; init; }

    /// <summary>Its last committed position; null: none.</summary>
    public required ulong? Head { get; init; }

    /// <summary>How many groups it is behind the leader; null: not known, because the leader did not answer.</summary>
    public required ulong? LagGroups { get; init; }

    /// <summary>Version of its software.</summary>
    public required string Version { get; init; }

    /// <summary>How far its clock is ahead of that of the node that answered; negative: behind it.</summary>
    public required TimeSpan ClockAhead { get; init; }

    /// <summary>What is wrong with it, for people; empty: nothing is known.</summary>
    public required string Problem { get; init; }

    /// <summary>
    /// Whether it answers, serves, is a voter or a read replica, is no more than some groups behind, and reports no problem.
    /// </summary>
    public bool IsHealthy => IsReachable && State == "serving" && Problem.Length == 0 && Role is ClusterRole.Voter or ClusterRole.ReadReplica
        && (LagGroups ?? 0) <= LagOfHealthy;

    internal static ClusterNodeStatus From(Protocol.ClusterNode message) => new()
    {
        NodeId = message.NodeId,
        Incarnation = message.Incarnation.Length == 16 ? new Guid(message.Incarnation.Span, bigEndian: true) : null,
        Role = message.Role switch
        {
            Protocol.NodeRole.Voter => ClusterRole.Voter,
            Protocol.NodeRole.Learner => ClusterRole.Learner,
            Protocol.NodeRole.ReadReplica => ClusterRole.ReadReplica,
            Protocol.NodeRole.Leaving => ClusterRole.Leaving,
            _ => ClusterRole.None,
        },
        PeerAddress = message.PeerAddress,
        Address = message.Address,
        IsLeader = message.IsLeader,
        IsReachable = message.IsReachable,
        State = message.State,
        Term = message.Term,
        CommitIndex = message.CommitIndex,
        LastIndex = message.LastIndex,
        Head = message.HasHead ? message.Head : null,
        LagGroups = message.HasLagGroups ? message.LagGroups : null,
        Version = message.Version,
        ClockAhead = TimeSpan.FromMilliseconds(message.ClockAheadMs),
        Problem = message.Problem,
    };
}

/// <summary>What a node does in the vault.</summary>
public enum ClusterRole
{
    /// <summary>It belongs to no vault yet, or does something that this client has no name for.</summary>
    None,

    /// <summary>It votes, and counts for commits.</summary>
    Voter,

    /// <summary>It gets the log, and becomes a voter when it has caught up.</summary>
    Learner,

    /// <summary>It gets the log and answers reads; it never votes.</summary>
    ReadReplica,

    /// <summary>A voter on its way out.</summary>
    Leaving,
}
