using EventVault.Raft;

namespace EventVault.Simulation.Cluster;

/// <summary>Which nodes are healed at the end: some that can decide by themselves, as few as chance will have it.</summary>
internal static class LivenessCore
{
    private const int Attempts = 30;

    public static IReadOnlyList<int> Draw(Simulation simulation, Random random)
    {
        // Those without a voice of their own yet (wiped and not replaced, damaged) can't help.
        var able = simulation.Nodes.Where(node => node.Id is not null && !node.IsDamaged && node.Aside is null).ToList();
        var memberships = able.Select(node => node.Membership).Where(membership => membership is not null).Distinct().ToList();
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            var some = able.Where(_ => random.Next(2) == 0).ToList();
            if (memberships.TrueForAll(membership => CanDecide(membership!, some)))
            {
                return [.. some.Select(node => node.Number)];
            }
        }

        return [.. able.Select(node => node.Number)];
    }

    private static bool CanDecide(Membership membership, List<SimulatedNode> nodes)
    {
        return HasMajority(MemberRole.Voter) && HasMajority(MemberRole.OutgoingVoter);

        bool HasMajority(MemberRole role)
        {
            var voters = membership.Members.Where(member => member.Role.HasFlag(role)).ToList();
            return voters.Count == 0 || voters.Count(voter => nodes.Exists(node => node.Id == voter.Id)) > voters.Count / 2;
        }
    }
}
