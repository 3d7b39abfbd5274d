namespace EventVault.Raft.Tests;

/// <summary>What happens for every group, or all the time, leaves no garbage.</summary>
public sealed class AllocationTests
{
    private static readonly ReplicaId One = new(1, Guid.Empty);
    private static readonly ReplicaId Two = new(2, Guid.Empty);
    private static readonly ReplicaId Three = new(3, Guid.Empty);

    [Fact]
    public void A_quorum_of_one_proposes_and_commits_without_garbage()
    {
        var core = Core(One, Membership.OfVoters(One));
        core.Campaign();
        SaveDone(core);
        AppendDone(core);
        Assert.Equal(Role.Leader, core.Role);

        // The first rounds make room in lists that stay.
        Commit(core, groups: 200);
        var before = GC.GetAllocatedBytesForCurrentThread();
        Commit(core, groups: 100_000);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(core.LastIndex, core.CommitIndex);
    }

    [Fact]
    public void Heartbeats_their_answers_and_reads_leave_no_garbage()
    {
        var members = Membership.OfVoters(One, Two, Three);
        RaftCore[] cores = [Core(One, members), Core(Two, members), Core(Three, members)];
        var wire = new Queue<Message>();
        cores[0].Campaign();
        Deliver(cores, wire);
        Assert.Equal(Role.Leader, cores[0].Role);

        Beat(cores, wire, heartbeats: 200);
        var before = GC.GetAllocatedBytesForCurrentThread();
        var reads = Beat(cores, wire, heartbeats: 10_000);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(10_000, reads);
        Assert.Equal(Role.Leader, cores[0].Role);
    }

    private static RaftCore Core(ReplicaId id, Membership members) => new(
        new RaftOptions { Id = id, Random = new Random(1) },
        new RaftState { Memberships = [(default, members)] },
        new NoEntries());

    private static void Commit(RaftCore core, int groups)
    {
        for (var i = 0; i < groups; i++)
        {
            if (core.Propose(1000) != ProposeResult.Taken)
            {
                throw new InvalidOperationException("The proposal was not taken.");
            }

            AppendDone(core);
        }
    }

    // The reads that were answered: one for each heartbeat.
    private static int Beat(RaftCore[] cores, Queue<Message> wire, int heartbeats)
    {
        var reads = 0;
        for (var i = 0; i < heartbeats; i++)
        {
            cores[0].ReadIndex((ulong)i + 1);
            reads += Deliver(cores, wire);
            cores[0].Tick();
            cores[0].Tick();
            reads += Deliver(cores, wire);
        }

        return reads;
    }

    private static int Deliver(RaftCore[] cores, Queue<Message> wire)
    {
        var reads = 0;
        do
        {
            for (var i = 0; i < cores.Length; i++)
            {
                SaveDone(cores[i]);
                if (cores[i].Output.Append.Count > 0)
                {
                    AppendDone(cores[i]);
                }

                for (var m = 0; m < cores[i].Output.Messages.Count; m++)
                {
                    wire.Enqueue(cores[i].Output.Messages[m]);
                }

                reads += cores[i].Output.Reads.Count;
                cores[i].Output.Clear();
            }

            if (wire.TryDequeue(out var message))
            {
                cores[message.To.Node - 1].Step(message);
            }
        }
        while (wire.Count > 0 || !cores[0].Output.IsEmpty || !cores[1].Output.IsEmpty || !cores[2].Output.IsEmpty);
        return reads;
    }

    private static void SaveDone(RaftCore core)
    {
        if (core.Output.Save is { } save)
        {
            core.SaveDone(save.Number);
        }
    }

    private static void AppendDone(RaftCore core)
    {
        core.AppendDone(core.Term, core.LastIndex);
        if (core.Role == Role.Leader && core.IsSoleVoter)
        {
            core.Output.Clear();
        }
    }

    private sealed class NoEntries : IEntrySource
    {
        public LogIndex First => new(1);

        public LogIndex FirstThere => new(1);

        public void Read(LogIndex from, LogIndex until, int most, long mostBytes, List<Entry> into) =>
            throw new InvalidOperationException("Nothing is looked up in this test.");
    }
}
