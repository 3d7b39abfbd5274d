// What has to be on the disk before something is said or counted, with a disk that flushes when the test says so.
using EventVault.Raft.Tests.Harness;
using static EventVault.Raft.Tests.HandMade;

namespace EventVault.Raft.Tests;

public sealed class DurabilityTests
{
    [Fact]
    public void A_vote_leaves_when_it_is_durable()
    {
        TestCluster cluster = TestCluster.OfVoters(3, manualDisk: true);
        cluster.Step(Msg(MessageKind.Vote, 2, 1, 1));
        Assert.Empty(cluster.Network);
        cluster.Flush(1);
        Assert.Equal(MessageKind.VoteAnswer, Assert.Single(cluster.Network).Kind);
    }

    [Fact]
    public void A_candidate_asks_for_votes_and_counts_its_own_when_that_is_durable()
    {
        TestCluster cluster = TestCluster.OfVoters(2, manualDisk: true);
        BecomeCandidate(cluster);
        Assert.Empty(cluster.Network);

        // A vote that it can't have asked for: still one of two.
        cluster[1].Core.Step(Msg(MessageKind.VoteAnswer, 2, 1, 1));
        Assert.Equal(Role.Candidate, cluster[1].Core.Role);
        cluster.Flush(1);
        Assert.Equal(Role.Leader, cluster[1].Core.Role);
    }

    [Fact]
    public void The_flush_of_an_earlier_vote_does_not_release_a_later_one()
    {
        TestCluster cluster = TestCluster.OfVoters(3, manualDisk: true);
        cluster.Step(Msg(MessageKind.Vote, 2, 1, 1));
        cluster.Step(Msg(MessageKind.Vote, 3, 1, 2) with { IsTransfer = true });
        cluster.Flush(1);
        Assert.Empty(cluster.Network);
        cluster.Flush(1);
        Assert.Equal(2ul, Assert.Single(cluster.Network).Term.Value);
    }

    [Fact]
    public void A_vote_that_a_crash_undid_can_be_given_to_another_and_one_that_was_flushed_can_not()
    {
        foreach (bool isFlushed in new[] { false, true })
        {
            TestCluster cluster = TestCluster.OfVoters(3, manualDisk: true);
            cluster.Step(Msg(MessageKind.Vote, 2, 1, 1));
            cluster.Flush(1, isFlushed ? 1 : 0);
            cluster.Crash(1);
            cluster.Restart(1);
            cluster.Drop();
            cluster.Step(Msg(MessageKind.Vote, 3, 1, 1));
            cluster.Flush(1);
            Assert.Equal(isFlushed, Assert.Single(cluster.Network).Rejected);
        }
    }

    [Fact]
    public void An_append_is_acknowledged_when_the_entries_and_the_term_are_durable()
    {
        TestCluster cluster = TestCluster.OfVoters(3, manualDisk: true);
        TestReplica replica = cluster[1];
        replica.Core.Step(Msg(MessageKind.Append, 2, 1, 1) with { Entries = [EntryOf(1)] });
        Assert.Empty(replica.Take().Messages);
        replica.FlushNext();
        Assert.Empty(replica.Take().Messages);
        replica.FlushNext();
        Assert.Equal(1ul, Assert.Single(replica.Take().Messages).Index.Value);
    }

    [Fact]
    public void Entries_durable_before_the_term_wait_for_it()
    {
        TestCluster cluster = TestCluster.OfVoters(3, manualDisk: true);
        TestReplica replica = cluster[1];
        replica.Core.Step(Msg(MessageKind.Append, 2, 1, 1) with { Entries = [EntryOf(1)] });
        TakenOutput output = replica.Take();
        replica.Core.AppendDone(new(1), new(1));
        Assert.Empty(replica.Take().Messages);
        replica.Core.SaveDone(output.Save!.Value.Number);
        Assert.Equal(1ul, Assert.Single(replica.Take().Messages).Index.Value);
    }

    [Fact]
    public void A_leader_counts_its_own_entries_when_they_are_durable()
    {
        TestCluster cluster = TestCluster.OfVoters(2, manualDisk: true);
        cluster.Elect(1);
        cluster.Propose(1);
        cluster.Deliver(m => m.Kind == MessageKind.Append);
        cluster.Flush(2);
        cluster.Deliver(m => m.Kind == MessageKind.AppendAnswer);
        Assert.Equal(1ul, cluster[1].Core.CommitIndex.Value);
        cluster.Flush(1);
        Assert.Equal(2ul, cluster[1].Core.CommitIndex.Value);
    }

    [Fact]
    public void A_leader_sends_before_it_flushes_and_commits_by_others_disks()
    {
        TestCluster cluster = TestCluster.OfVoters(3, manualDisk: true);
        cluster.Elect(1);
        cluster.Propose(1);
        cluster.Settle(2, 3);
        cluster.Deliver(m => m.To != Id(1));
        cluster.Flush(2);
        cluster.Flush(3);
        cluster.Deliver(m => m.To == Id(1));
        Assert.Equal((2ul, 1ul), (cluster[1].Core.CommitIndex.Value, cluster[1].Core.Status().DurableIndex.Value));
    }

    [Fact]
    public void A_completion_of_what_has_been_replaced_counts_for_nothing()
    {
        TestCluster cluster = WithLog(1);
        RaftCore core = cluster[1].Core;
        core.Step(Msg(MessageKind.Append, 2, 1, 2, index: 1, logTerm: 1) with { Entries = [EntryOf(2), EntryOf(2)] });
        SaveRequest first = cluster[1].Take().Save!.Value;
        core.Step(Msg(MessageKind.Append, 3, 1, 3, index: 1, logTerm: 1) with { Entries = [EntryOf(3), EntryOf(3)] });
        SaveRequest second = cluster[1].Take().Save!.Value;
        core.SaveDone(first.Number);
        core.SaveDone(second.Number);
        cluster[1].Take();
        core.AppendDone(new(2), new(3));
        Assert.Empty(cluster[1].Take().Messages);
        Assert.Equal(1ul, core.Status().DurableIndex.Value);
        core.AppendDone(new(3), new(3));
        Assert.Equal(3ul, Assert.Single(cluster[1].Take().Messages).Index.Value);
    }

    [Fact]
    public void What_is_durable_but_not_known_to_match_the_leader_is_not_acknowledged()
    {
        // Entries 2 and 3 may be another leader's: only 1 is known to be shared.
        TestCluster cluster = WithLog(1, 1, 1);
        cluster[1].Core.Step(Msg(MessageKind.Append, 2, 1, 2, index: 1, logTerm: 1));
        cluster[1].Take();
        cluster[1].FlushNext();
        Assert.Equal(1ul, Assert.Single(cluster[1].Take().Messages).Index.Value);
    }

    [Fact]
    public void A_quorum_of_one_leads_when_its_vote_is_durable_and_commits_with_its_flush()
    {
        TestCluster cluster = TestCluster.OfVoters(1, manualDisk: true);
        cluster.Campaign(1);
        Assert.Equal(Role.Candidate, cluster[1].Core.Role);
        cluster.Flush(1);
        Assert.Equal(Role.Leader, cluster[1].Core.Role);
        cluster.Propose(1);
        cluster.Flush(1);
        Assert.Equal(1ul, cluster[1].Core.CommitIndex.Value);
        cluster.Flush(1);
        Assert.Equal(2ul, cluster[1].Core.CommitIndex.Value);
        Assert.Empty(cluster.Network);
    }

    [Fact]
    public void Entries_of_a_term_whose_save_was_lost_begin_that_term_without_a_vote()
    {
        var cluster = new TestCluster();
        Create(cluster, 1, Membership.OfVoters(Id(1), Id(2)), 3, 1, 5);
        Assert.Equal(5ul, cluster[1].Core.Term.Value);
        Assert.Null(cluster[1].Core.Status().VotedFor);
    }

    /// <summary>Found by simulation: a leader stopped on its own check when its disk was full.</summary>
    [Fact]
    public void A_leaders_entry_that_waits_for_room_is_sent_once_it_stands_in_the_log()
    {
        TestCluster cluster = Leader(3);
        cluster[1].EndOfRoom = cluster[1].Core.LastIndex;
        cluster.Propose(1);
        cluster.Propose(1);
        cluster.ReportUnreachable(1, 2);
        for (int i = 0; i < 3; i++)
        {
            cluster.Drop(m => m.Entries.Length > 0); // As a node does with what its log does not have.
            cluster.Tick(1);
            cluster.Drop(m => m.Entries.Length > 0);
            cluster.Deliver();
        }

        Assert.Equal(1ul, cluster[1].Core.CommitIndex.Value);
        cluster[1].EndOfRoom = null;
        cluster.Tick(1);
        cluster.Settle();
        cluster.Tick(1);
        cluster.Settle();
        Assert.Equal(3ul, cluster[1].Core.CommitIndex.Value);
        Assert.Equal(3ul, cluster[2].Core.CommitIndex.Value);
    }

    [Fact]
    public void What_is_committed_is_never_truncated()
    {
        var cluster = new TestCluster();
        cluster.Create(1, Membership.OfVoters(Id(1), Id(2), Id(3)), 1, [(3, 1)], commit: 2);
        Assert.Throws<InvariantException>(() =>
            cluster[1].Core.Step(Msg(MessageKind.Append, 2, 1, 2, index: 1, logTerm: 1) with { Entries = [EntryOf(2)] }));
    }
}
