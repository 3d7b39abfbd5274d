// Rules of "Consensus: Bridging Theory and Practice", section by section, that the paper does not have.
using EventVault.Raft.Tests.Harness;
using static EventVault.Raft.Tests.HandMade;

namespace EventVault.Raft.Tests;

public sealed class RaftThesisTests
{
    // Section 3.10: leadership transfer.

    [Fact]
    public void Section_3_10_the_target_campaigns_at_once_and_its_election_is_let_through()
    {
        TestCluster cluster = Leader(3);
        Assert.True(cluster.Transfer(1, 3));
        Assert.Equal(MessageKind.TimeoutNow, Assert.Single(cluster.Network).Kind);
        cluster.Deliver();
        Assert.All(cluster.Network, m => Assert.True(m is { Kind: MessageKind.Vote, IsTransfer: true }));
        cluster.Settle();
        Assert.Equal(Role.Leader, cluster[3].Core.Role);
        Assert.Equal(2ul, cluster[3].Core.Term.Value);
    }

    [Fact]
    public void Section_3_10_the_leader_takes_nothing_meanwhile_and_goes_on_after_an_election_timeout()
    {
        TestCluster cluster = Leader(3);
        cluster.Crash(3);
        Assert.True(cluster.Transfer(1, 3));
        Assert.Equal(ProposeResult.Transferring, cluster.Propose(1));
        Assert.Equal(ProposeResult.Transferring, cluster.ProposeMembership(1, Membership.OfVoters(Id(1), Id(2))));
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal(Id(3), cluster[1].Core.Status().TransferTo);
            cluster.Tick(1);
            cluster.Settle();
        }

        Assert.Null(cluster[1].Core.Status().TransferTo);
        Assert.Equal(ProposeResult.Taken, cluster.Propose(1));
    }

    [Fact]
    public void Section_3_10_a_target_that_lags_is_brought_up_to_date_first()
    {
        TestCluster cluster = Leader(3);
        cluster.Propose(1);
        cluster.Drop(m => m.To == Id(3));
        cluster.Settle(1, 2);
        Assert.True(cluster.Transfer(1, 3));
        Assert.DoesNotContain(cluster.Network, m => m.Kind == MessageKind.TimeoutNow);
        cluster.Settle();
        cluster.Tick(1);
        cluster.Settle();
        Assert.Equal(Role.Leader, cluster[3].Core.Role);
    }

    [Fact]
    public void Section_3_10_only_a_voter_other_than_the_leader_can_be_the_target()
    {
        TestCluster cluster = Leader(3);
        cluster.CreateEmpty(4);
        cluster.ProposeMembership(1, Membership.Of([Voter(1), Voter(2), Voter(3), Learner(4)]));
        cluster.Settle();
        Assert.False(cluster.Transfer(1, 4));
        Assert.False(cluster.Transfer(1, 1));
        Assert.False(cluster.Transfer(2, 3));
        Assert.True(cluster.Transfer(1, 3));
    }

    // Section 4.1: a membership counts from the moment it stands in the log, for whoever has it there.

    [Fact]
    public void Section_4_1_a_membership_counts_when_it_is_appended_not_when_it_is_committed()
    {
        TestCluster cluster = Leader(1);
        cluster.CreateEmpty(2);
        cluster.ProposeMembership(1, Membership.OfVoters(Id(1), Id(2)));
        Assert.True(cluster[1].Core.Membership.IsVoter(Id(2)));
        Assert.Equal(1ul, cluster[1].Core.CommitIndex.Value);

        // Alone it would be committed by now.
        cluster.Drop();
        cluster.Propose(1);
        Assert.Equal(1ul, cluster[1].Core.CommitIndex.Value);
    }

    [Fact]
    public void Section_4_1_one_that_is_truncated_counts_no_more_and_the_one_before_does()
    {
        TestCluster cluster = WithLog(1, 1);
        Membership before = cluster[1].Core.Membership;
        Membership joint = before.Towards(Membership.OfVoters(Id(1), Id(2)));
        Entry change = new(new(2), EntryKind.Membership, 10, joint);
        cluster[1].Core.Step(Msg(MessageKind.Append, 2, 1, 2, index: 2, logTerm: 1) with { Entries = [change] });
        cluster[1].Take();
        Assert.Equal(joint, cluster[1].Core.Membership);
        cluster[1].FlushNext();
        cluster[1].FlushNext();
        cluster[1].Core.Step(Msg(MessageKind.Append, 3, 1, 3, index: 2, logTerm: 1) with { Entries = [EntryOf(3)] });
        cluster[1].Take();
        Assert.Equal(before, cluster[1].Core.Membership);
        Assert.Equal([before], cluster[1].Core.Memberships().Select(m => m.Membership));
    }

    [Fact]
    public void Section_4_1_a_second_change_waits_for_the_first()
    {
        TestCluster cluster = Leader(3);
        Assert.Equal(ProposeResult.Taken, cluster.ProposeMembership(1, Membership.OfVoters(Id(1), Id(2))));
        Assert.Equal(ProposeResult.ChangePending, cluster.ProposeMembership(1, Membership.OfVoters(Id(1), Id(3))));
        cluster.Settle();
        Assert.Equal(ProposeResult.Taken, cluster.ProposeMembership(1, Membership.OfVoters(Id(1), Id(2), Id(3))));
    }

    [Fact]
    public void Section_4_1_as_corrected_later_no_change_before_an_entry_of_the_term_is_committed()
    {
        TestCluster cluster = TestCluster.OfVoters(3);
        BecomeCandidate(cluster);
        cluster.Deliver(m => m.Kind == MessageKind.Vote);
        cluster.Deliver(m => m.Kind == MessageKind.VoteAnswer);
        Assert.Equal(Role.Leader, cluster[1].Core.Role);
        Assert.Equal(ProposeResult.ChangePending, cluster.ProposeMembership(1, Membership.OfVoters(Id(1), Id(2))));
        cluster.Settle();
        Assert.Equal(ProposeResult.Taken, cluster.ProposeMembership(1, Membership.OfVoters(Id(1), Id(2))));
    }

    // Section 4.2: availability during a change.

    [Fact]
    public void Section_4_2_1_a_learner_gets_the_log_and_counts_for_nothing()
    {
        TestCluster cluster = TwoVotersAndALearner();
        cluster.Crash(2);
        cluster.Propose(1);
        cluster.Settle();
        Assert.Equal(cluster[1].Log, cluster[3].Log);
        Assert.Equal(1ul, cluster[1].Core.CommitIndex.Value);
        cluster.Tick(1, 30);
        Assert.NotEqual(Role.Leader, cluster[1].Core.Role);
    }

    [Fact]
    public void Section_4_2_1_a_learner_never_campaigns()
    {
        TestCluster cluster = TwoVotersAndALearner();
        cluster.Campaign(3);
        cluster.Tick(3, 100);
        Assert.Empty(cluster.Network);
        Assert.Equal(Role.Follower, cluster[3].Core.Role);
    }

    [Fact]
    public void Section_4_2_2_a_removed_leader_leads_without_counting_itself_and_steps_down_once_that_is_committed()
    {
        TestCluster cluster = Leader(3);
        cluster.ProposeMembership(1, Membership.OfVoters(Id(2), Id(3)));
        cluster.Deliver();
        cluster.Deliver();
        Assert.False(cluster[1].Core.Membership.IsJoint);
        LogIndex change = cluster[1].Core.LastIndex;

        // 2 alone is no majority of 2 and 3.
        cluster.Deliver(m => m.To == Id(2));
        cluster.Deliver(m => m.From == Id(2));
        Assert.True(cluster[1].Core.CommitIndex < change);
        Assert.Equal(Role.Leader, cluster[1].Core.Role);
        cluster.Deliver(m => m.To == Id(3));
        cluster.Deliver(m => m.From == Id(3));
        Assert.Equal(change, cluster[1].Core.CommitIndex);
        Assert.Equal(Role.Follower, cluster[1].Core.Role);
        cluster.Settle();
        cluster.Tick(1, 100);
        Assert.Equal(Role.Follower, cluster[1].Core.Role);
    }

    [Theory]
    [InlineData(MessageKind.Vote)]
    [InlineData(MessageKind.PreVote)]
    public void Section_4_2_3_whoever_hears_from_a_leader_does_not_listen_to_candidates(MessageKind kind)
    {
        foreach (uint node in new uint[] { 1, 2 })
        {
            TestCluster cluster = Leader(3);
            cluster.Step(Msg(kind, 3, node, 9, index: 99, logTerm: 8));
            Assert.Empty(cluster.Network);
            Assert.Equal(1ul, cluster[node].Core.Term.Value);
        }
    }

    [Fact]
    public void Section_4_2_3_the_leave_ends_an_election_timeout_after_the_leader_was_last_heard()
    {
        TestCluster cluster = Leader(3);
        cluster[2].Core.ElectionTimeoutTicks = 100;
        cluster.Tick(2, 9);
        cluster.Step(Msg(MessageKind.PreVote, 3, 2, 2, index: 1, logTerm: 1));
        Assert.Empty(cluster.Network);
        cluster.Tick(2);
        cluster.Step(Msg(MessageKind.PreVote, 3, 2, 2, index: 1, logTerm: 1));
        Assert.False(Assert.Single(cluster.Network).Rejected);
    }

    // Section 4.3: joint consensus.

    [Theory]
    [InlineData(new uint[] { 2, 4 }, true)]
    [InlineData(new uint[] { 2, 3 }, false)]
    [InlineData(new uint[] { 4, 5 }, false)]
    [InlineData(new uint[] { 3, 5 }, true)]
    public void Section_4_3_entries_need_majorities_of_both(uint[] holders, bool committed)
    {
        TestCluster cluster = TowardsOneFourFive();
        foreach (uint holder in holders)
        {
            cluster.Deliver(m => m.Kind == MessageKind.Append && m.To == Id(holder));
        }

        cluster.Deliver(m => m.Kind == MessageKind.AppendAnswer);
        Assert.Equal(committed, cluster[1].Core.CommitIndex.Value > 1);
    }

    [Theory]
    [InlineData(new uint[] { 5 }, false)]
    [InlineData(new uint[] { 2, 3 }, false)]
    [InlineData(new uint[] { 2, 5 }, false)]
    [InlineData(new uint[] { 3, 5 }, false)]
    [InlineData(new uint[] { 2, 3, 5 }, true)]
    public void Section_4_3_elections_need_majorities_of_both(uint[] others, bool elected)
    {
        // 4 has the joint membership (1 4 5) and (1 2 3), 1 is gone; 4 itself counts for the incoming one.
        TestCluster cluster = TowardsOneFourFive();
        cluster.Deliver(m => m.Kind == MessageKind.Append);
        cluster.Drop();
        cluster.Crash(1);
        foreach (uint node in new uint[] { 2, 3, 5 })
        {
            cluster[node].Core.ElectionTimeoutTicks = 1000;
            cluster.Tick(node, 10);
        }

        cluster.Campaign(4);
        cluster.Settle([4, .. others]);
        Assert.Equal(elected, cluster[4].Core.Role == Role.Leader);
    }

    [Fact]
    public void Section_4_3_the_joint_membership_is_left_by_itself_once_it_is_committed()
    {
        TestCluster cluster = TowardsOneFourFive();
        cluster.Settle();
        Assert.Equal(Membership.OfVoters(Id(1), Id(4), Id(5)), cluster[1].Core.Membership);
        Assert.Equal(cluster[1].Core.LastIndex, cluster[1].Core.CommitIndex);
    }

    [Fact]
    public void Section_4_3_a_new_leader_ends_what_it_finds_begun()
    {
        TestCluster cluster = TowardsOneFourFive();
        cluster.Deliver(m => m.Kind == MessageKind.Append);
        cluster.Drop();
        cluster.Crash(1);
        cluster.Elect(4);
        cluster.Settle();
        Assert.Equal(Membership.OfVoters(Id(1), Id(4), Id(5)), cluster[4].Core.Membership);
        Assert.Equal(cluster[4].Core.LastIndex, cluster[4].Core.CommitIndex);
    }

    // Section 6.2: a leader that reaches no majority stops being one.

    [Theory]
    [InlineData(2, 0, false)]
    [InlineData(3, 0, false)]
    [InlineData(3, 1, true)]
    [InlineData(5, 1, false)]
    [InlineData(5, 2, true)]
    public void Section_6_2_without_a_majority_heard_in_an_election_timeout_it_steps_down(int voters, int heard, bool stays)
    {
        TestCluster cluster = Leader(voters);
        for (int i = 0; i < 30; i++)
        {
            cluster.Tick(1);
            cluster.Deliver(m => m.To.Node <= 1 + heard || m.To == Id(1));
            cluster.Drop(m => m.To != Id(1));
        }

        Assert.Equal(stays, cluster[1].Core.Role == Role.Leader);
    }

    // Section 6.4: reads without writing to the log.

    [Fact]
    public void Section_6_4_a_read_waits_for_a_round_of_heartbeats_that_began_after_it()
    {
        TestCluster cluster = Leader(3);
        cluster.Tick(1);
        cluster.Deliver(m => m.Kind == MessageKind.Heartbeat);
        cluster.ReadIndex(1, 5);

        // The answers to the heartbeat before it say nothing.
        Message[] old = [.. cluster.Network.Where(m => m is { Kind: MessageKind.HeartbeatAnswer, Read: 0 })];
        Assert.Equal(2, old.Length);
        Array.ForEach(old, cluster.Step);
        Assert.Empty(cluster.Reads);
        cluster.Settle();
        Assert.Equal([(1u, new ReadResult(5, new(1), Ok: true))], cluster.Reads);
    }

    [Fact]
    public void Section_6_4_the_index_is_what_was_committed_when_the_read_came()
    {
        TestCluster cluster = Leader(3);
        cluster.ReadIndex(1, 5);
        cluster.Propose(1);
        cluster.Deliver(m => m.Kind == MessageKind.Append);
        cluster.Deliver(m => m.Kind == MessageKind.AppendAnswer);
        Assert.Equal(2ul, cluster[1].Core.CommitIndex.Value);
        cluster.Settle();
        Assert.Equal(1ul, Assert.Single(cluster.Reads).Result.Index.Value);
    }

    [Fact]
    public void Section_6_4_no_answer_before_an_entry_of_the_term_is_committed()
    {
        TestCluster cluster = TestCluster.OfVoters(3);
        BecomeCandidate(cluster);
        cluster.Deliver(m => m.Kind == MessageKind.Vote);
        cluster.Deliver(m => m.Kind == MessageKind.VoteAnswer);
        cluster.ReadIndex(1, 5);
        cluster.Tick(1, 3);
        cluster.Deliver(m => m.Kind == MessageKind.Heartbeat);
        cluster.Deliver(m => m.Kind == MessageKind.HeartbeatAnswer);
        Assert.Empty(cluster.Reads);
        cluster.Settle();
        Assert.Equal(1ul, Assert.Single(cluster.Reads).Result.Index.Value);
    }

    [Fact]
    public void Section_6_4_a_leader_that_steps_down_refuses_the_reads_that_wait()
    {
        TestCluster cluster = Leader(3);
        cluster.ReadIndex(1, 5);
        cluster.Drop();
        cluster.Tick(1, 20);
        Assert.False(Assert.Single(cluster.Reads).Result.Ok);
    }

    [Fact]
    public void Section_6_4_a_follower_asks_the_leader()
    {
        TestCluster cluster = Leader(3);
        cluster.Propose(1);
        cluster.Settle();
        cluster.ReadIndex(3, 5);
        cluster.Settle();
        Assert.Equal([(3u, new ReadResult(5, new(2), Ok: true))], cluster.Reads);
    }

    [Fact]
    public void Section_6_4_without_a_leader_a_read_is_refused_at_once()
    {
        TestCluster cluster = TestCluster.OfVoters(3);
        cluster.ReadIndex(2, 5);
        Assert.False(Assert.Single(cluster.Reads).Result.Ok);
    }

    // Section 9.6: pre-vote.

    [Fact]
    public void Section_9_6_a_pre_vote_changes_no_term_no_vote_and_no_timer()
    {
        TestCluster cluster = TestCluster.OfVoters(3);
        cluster[2].Core.ElectionTimeoutTicks = 10;
        cluster.Tick(2, 9);
        cluster.Campaign(1);
        cluster.Deliver(m => m.Kind == MessageKind.PreVote);
        Assert.All(cluster.Replicas.Values, r => Assert.Equal((0ul, null), (r.Core.Term.Value, r.Core.Status().VotedFor)));
        Assert.All(cluster.Replicas.Values, r => Assert.Empty(r.Disk.Unflushed));
        cluster.Tick(2);
        Assert.Equal(Role.PreCandidate, cluster[2].Core.Role);
    }

    [Fact]
    public void Section_9_6_a_node_that_was_cut_off_does_not_depose_the_leader_when_it_comes_back()
    {
        TestCluster cluster = Leader(3);
        for (int i = 0; i < 10; i++)
        {
            cluster.Tick(3, 20);
            cluster.Drop();
        }

        Assert.Equal(1ul, cluster[3].Core.Term.Value);
        cluster.Tick(3, 20);
        cluster.Settle();
        cluster.Tick(1);
        cluster.Settle();
        Assert.Equal(Role.Leader, cluster[1].Core.Role);
        Assert.All(cluster.Replicas.Values, r => Assert.Equal(1ul, r.Core.Term.Value));
    }

    [Fact]
    public void Section_9_6_pre_votes_of_several_may_be_given_in_one_term()
    {
        TestCluster cluster = TestCluster.OfVoters(3);
        cluster.Campaign(1);
        cluster.Campaign(3);
        cluster.Deliver(m => m.To == Id(2));
        Assert.All(cluster.Network.Where(m => m.From == Id(2)), m => Assert.False(m.Rejected));
    }

    [Fact]
    public void Section_10_2_2_a_read_replica_gets_the_log_and_is_neither_asked_for_votes_nor_counted()
    {
        var cluster = new TestCluster();
        var membership = Membership.Of([Voter(1), Voter(2), Voter(3), new Member(Id(4), MemberRole.Learner | MemberRole.ReadReplica)]);
        for (uint node = 1; node <= 4; node++)
        {
            Create(cluster, node, membership, 0);
        }

        cluster.Campaign(1);
        Assert.DoesNotContain(cluster.Network, m => m.To == Id(4));
        cluster.Settle();
        Assert.Equal(Role.Leader, cluster[1].Core.Role);
        Assert.Equal(cluster[1].Core.LastIndex, cluster[4].Core.LastIndex);

        // It alone confirms nothing, and never campaigns.
        cluster.Tick(4, 100);
        Assert.Equal(Role.Follower, cluster[4].Core.Role);
        Assert.DoesNotContain(cluster.Network, m => m.From == Id(4));
        var commit = cluster[1].Core.CommitIndex;
        Assert.Equal(ProposeResult.Taken, cluster.Propose(1));
        cluster.Deliver(m => m.To == Id(4) || m.From == Id(4));
        Assert.Equal(commit, cluster[1].Core.CommitIndex);
    }

    private static Member Voter(uint node) => new(Id(node), MemberRole.Voter);

    private static Member Learner(uint node) => new(Id(node), MemberRole.Learner);

    private static TestCluster TwoVotersAndALearner()
    {
        var cluster = new TestCluster();
        var membership = Membership.Of([Voter(1), Voter(2), Learner(3)]);
        for (uint node = 1; node <= 3; node++)
        {
            Create(cluster, node, membership, 0);
        }

        cluster.Elect(1);
        return cluster;
    }

    /// <summary>1 leads (1 2 3) with learners 4 and 5, and has appended the joint membership of (1 4 5) and (1 2 3).</summary>
    private static TestCluster TowardsOneFourFive()
    {
        var cluster = new TestCluster();
        var membership = Membership.Of([Voter(1), Voter(2), Voter(3), Learner(4), Learner(5)]);
        for (uint node = 1; node <= 5; node++)
        {
            Create(cluster, node, membership, 0);
        }

        cluster.Elect(1);
        Assert.Equal(ProposeResult.Taken, cluster.ProposeMembership(1, Membership.OfVoters(Id(1), Id(4), Id(5))));
        return cluster;
    }
}
