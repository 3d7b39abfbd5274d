using EventVault.Raft;

namespace EventVault.Simulation.Checkers;

/// <summary>Who decides, worked out apart from the product's own Quorum: that one is under test.</summary>
internal sealed record VoterSets(IReadOnlyList<ReplicaId> Incoming, IReadOnlyList<ReplicaId> Outgoing)
{
    public static VoterSets None { get; } = new([], []);

    public bool IsJoint => Outgoing.Count > 0;

    /// <summary>All that vote, without repeats.</summary>
    public IEnumerable<ReplicaId> All => Incoming.Concat(Outgoing.Where(o => !Incoming.Contains(o)));

    public static VoterSets Of(Membership membership) => new(
        [.. membership.Members.Where(m => m.Role.HasFlag(MemberRole.Voter)).Select(m => m.Id)],
        [.. membership.Members.Where(m => m.Role.HasFlag(MemberRole.OutgoingVoter)).Select(m => m.Id)]);

    /// <summary>Whether a majority (of both sets, if joint) has it.</summary>
    public bool HasQuorum(Func<ReplicaId, bool> has) => IsMajority(Incoming, has) && (!IsJoint || IsMajority(Outgoing, has));

    public bool Equals(VoterSets? other) => other is not null && Incoming.SequenceEqual(other.Incoming) && Outgoing.SequenceEqual(other.Outgoing);

    public override int GetHashCode() => Incoming.Count + (31 * Outgoing.Count);

    public override string ToString() => $"({string.Join(' ', Incoming)})" + (IsJoint ? $"&&({string.Join(' ', Outgoing)})" : "");

    private static bool IsMajority(IReadOnlyList<ReplicaId> voters, Func<ReplicaId, bool> has)
    {
        var count = 0;
        foreach (var voter in voters)
        {
            count += has(voter) ? 1 : 0;
        }

        return count > voters.Count / 2;
    }
}
