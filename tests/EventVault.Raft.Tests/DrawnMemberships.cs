namespace EventVault.Raft.Tests;

/// <summary>Memberships drawn from a seed, for tests of properties.</summary>
internal static class DrawnMemberships
{
    private const int MostNodes = 8;

    public static ReplicaId Id(uint node, ushort incarnation = 0) => new(node, new Guid(0, (short)incarnation, 0, new byte[8]));

    /// <summary>One to eight voters and learners; sometimes two incarnations of one node.</summary>
    public static Membership Simple(Random random)
    {
        var members = new List<Member>();
        while (!members.Exists(m => m.Role == MemberRole.Voter))
        {
            members.Clear();
            for (uint node = 1; node <= MostNodes; node++)
            {
                int what = random.Next(6);
                if (what < 5)
                {
                    MemberRole role = what < 3 ? MemberRole.Voter : what == 3 ? MemberRole.Learner : MemberRole.Learner | MemberRole.ReadReplica;
                    members.Add(new Member(Id(node), role, what == 0 ? "" : $"node{node}.example:7000"));
                }

                if (random.Next(10) == 0)
                {
                    members.Add(new Member(Id(node, 1), MemberRole.Voter, "[::1]:1"));
                }
            }
        }

        return Membership.Of(members);
    }

    /// <summary>Simple, or on its way from one to another.</summary>
    public static Membership Any(Random random) => random.Next(2) == 0 ? Simple(random) : Simple(random).Towards(Simple(random));

    public static HashSet<ReplicaId> With(Membership membership, MemberRole role) => [.. membership.Members.Where(m => m.Role.HasFlag(role)).Select(m => m.Id)];
}
