namespace EventVault.Raft;

/// <summary>The roles of Raft.</summary>
public enum Role
{
    /// <summary>Follows a leader, or waits for one.</summary>
    Follower,

    /// <summary>Asks whether it would be voted for.</summary>
    PreCandidate,

    /// <summary>Asks for votes.</summary>
    Candidate,

    /// <summary>Orders the entries of its term.</summary>
    Leader,
}

/// <summary>Whether a proposal was taken.</summary>
public enum ProposeResult
{
    /// <summary>It stands in the log, not yet durable.</summary>
    Taken,

    /// <summary>This replica is not the leader.</summary>
    NotLeader,

    /// <summary>Leadership is being handed over.</summary>
    Transferring,

    /// <summary>Too many bytes are uncommitted already (<see cref="RaftOptions.MaxUncommittedBytes"/>).</summary>
    TooMuchUncommitted,

    /// <summary>A membership: another change is under way, or nothing of this term is committed yet.</summary>
    ChangePending,
}

/// <summary>How a replica stands; for status pages, checkers and scripts.</summary>
public sealed record RaftStatus(
    ReplicaId Id, Role Role, Term Term, ReplicaId? VotedFor, ReplicaId? Leader, LogIndex CommitIndex, LogIndex LastIndex, LogIndex DurableIndex,
    Membership Membership, LogIndex MembershipIndex, ReplicaId? TransferTo, IReadOnlyList<FollowerProgress> Followers);
