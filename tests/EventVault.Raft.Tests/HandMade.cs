using EventVault.Raft.Tests.Harness;

namespace EventVault.Raft.Tests;

/// <summary>Messages, entries and situations for tests of single rules.</summary>
internal static class HandMade
{
    public static ReplicaId Id(uint node) => new(node, default);

    public static Entry EntryOf(ulong term) => new(new(term), EntryKind.Appends, 10);

    public static Message Msg(MessageKind kind, uint from, uint to, ulong term, ulong index = 0, ulong logTerm = 0, ulong commit = 0) =>
        new(kind, Id(from), Id(to), new(term)) { Index = new(index), LogTerm = new(logTerm), Commit = new(commit) };

    /// <summary>Node 1 leads term 1; its first entry is committed everywhere.</summary>
    public static TestCluster Leader(int voters)
    {
        TestCluster cluster = TestCluster.OfVoters(voters);
        cluster.Elect(1);
        cluster.Tick(1);
        cluster.Settle();
        return cluster;
    }

    /// <summary>Node 1 of three in a role, in term 0 or 1.</summary>
    public static TestCluster NodeOneAs(Role role)
    {
        if (role == Role.Leader)
        {
            return Leader(3);
        }

        TestCluster cluster = TestCluster.OfVoters(3);
        if (role == Role.PreCandidate)
        {
            cluster.Campaign(1);
        }
        else if (role == Role.Candidate)
        {
            BecomeCandidate(cluster);
        }

        Assert.Equal(role, cluster[1].Core.Role);
        return cluster;
    }

    /// <summary>Node 1 has its pre-votes, and its requests for votes are on their way.</summary>
    public static void BecomeCandidate(TestCluster cluster)
    {
        cluster.Campaign(1);
        cluster.Deliver(m => m.Kind == MessageKind.PreVote);
        cluster.Deliver(m => m.Kind == MessageKind.PreVoteAnswer);
    }

    /// <summary>Node 1 of three with a log of these terms; the others are not there.</summary>
    public static TestCluster WithLog(params ulong[] terms)
    {
        var cluster = new TestCluster();
        Create(cluster, 1, Membership.OfVoters(Id(1), Id(2), Id(3)), terms.Length == 0 ? 0 : terms[^1], terms);
        return cluster;
    }

    public static void Create(TestCluster cluster, uint node, Membership membership, ulong term, params ulong[] log) =>
        cluster.Create(node, membership, term, log.Select((t, i) => ((ulong)i + 1, t)), commit: 0);
}
