using EventVault.Raft;
using LogIndex = EventVault.Raft.LogIndex;
using Term = EventVault.Raft.Term;

namespace EventVault.Node.Replication;

/// <summary>How a replica stands; for everybody. A new one is published whenever something of it changes.</summary>
/// <param name="Role">What it is in its term.</param>
/// <param name="Term">Its term.</param>
/// <param name="Leader">Who leads, as far as it knows.</param>
/// <param name="Membership">The newest membership in its log, committed or not.</param>
/// <param name="MembershipIndex">Where that stands; 0: it was there before the log.</param>
/// <param name="TakesProposals">Whether it leads, and is not handing over.</param>
internal sealed record ReplicaStanding(Role Role, Term Term, ReplicaId? Leader, Membership Membership, LogIndex MembershipIndex, bool TakesProposals)
{
    /// <summary>Before anything is known.</summary>
    public static ReplicaStanding None { get; } = new(Role.Follower, default, null, Membership.Empty, default, TakesProposals: false);
}
