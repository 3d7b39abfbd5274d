// The rules of "In Search of an Understandable Consensus Algorithm (Extended Version)", section by section.
using EventVault.Raft.Tests.Harness;
using static EventVault.Raft.Tests.HandMade;

namespace EventVault.Raft.Tests;

public sealed class RaftPaperTests
{
    // Section 5.1: terms.

    [Theory]
    [InlineData(MessageKind.Append)]
    [InlineData(MessageKind.Heartbeat)]
    [InlineData(MessageKind.VoteAnswer)]
    [InlineData(MessageKind.AppendAnswer)]
    [InlineData(MessageKind.HeartbeatAnswer)]
    public void Section_5_1_whoever_hears_of_a_higher_term_takes_it_and_follows(MessageKind kind)
    {
        foreach (Role role in Enum.GetValues<Role>())
        {
            TestCluster cluster = NodeOneAs(role);
            ulong higher = cluster[1].Core.Term.Value + 3;

            // Of a leader that the checker has not seen elected: the core alone.
            cluster[1].Core.Step(Msg(kind, 2, 1, higher) with { Rejected = true });
            Assert.Equal(Role.Follower, cluster[1].Core.Role);
            Assert.Equal(higher, cluster[1].Core.Term.Value);
        }
    }

    [Fact]
    public void Section_5_1_requests_of_an_older_term_are_refused_and_change_nothing()
    {
        TestCluster cluster = TestCluster.OfVoters(3, lastIndex: 5, term: 4);
        cluster.Step(Msg(MessageKind.Vote, 2, 1, 3, index: 5, logTerm: 4));
        cluster.Step(Msg(MessageKind.Append, 2, 1, 3, index: 2, logTerm: 4) with { Entries = [EntryOf(3)] });
        cluster.Step(Msg(MessageKind.Heartbeat, 2, 1, 3, commit: 5));
        Assert.Equal(5ul, cluster[1].Core.LastIndex.Value);
        Assert.Null(cluster[1].Core.Leader);
        Assert.Null(cluster[1].Core.Status().VotedFor);
        Assert.DoesNotContain(cluster.Network, m => m.Kind is MessageKind.VoteAnswer or MessageKind.AppendAnswer && !m.Rejected && m.Term.Value < 4);
        Assert.All(cluster.Network, m => Assert.Equal(4ul, m.Term.Value));
    }

    [Fact]
    public void Section_5_1_term_and_vote_survive_a_restart()
    {
        TestCluster cluster = TestCluster.OfVoters(3, lastIndex: 5, term: 4);
        cluster.Step(Msg(MessageKind.Vote, 2, 1, 7, index: 5, logTerm: 4));
        cluster.Crash(1);
        cluster.Restart(1);
        Assert.Equal(7ul, cluster[1].Core.Term.Value);
        Assert.Equal(Id(2), cluster[1].Core.Status().VotedFor);
    }

    // Section 5.2: leader election.

    [Fact]
    public void Section_5_2_everybody_starts_as_a_follower() =>
        Assert.Equal(Role.Follower, TestCluster.OfVoters(1)[1].Core.Role);

    [Fact]
    public void Section_5_2_without_word_from_a_leader_an_election_begins_after_the_timeout_not_before()
    {
        TestCluster cluster = TestCluster.OfVoters(3);
        cluster[1].Core.ElectionTimeoutTicks = 13;
        cluster.Tick(1, 12);
        Assert.Equal(Role.Follower, cluster[1].Core.Role);
        cluster.Tick(1);
        Assert.Equal(Role.PreCandidate, cluster[1].Core.Role);
        Assert.Equal([2u, 3u], cluster.Network.Select(m => m.To.Node).Order());
    }

    [Theory]
    [InlineData(MessageKind.Heartbeat)]
    [InlineData(MessageKind.Append)]
    public void Section_5_2_word_from_the_leader_begins_the_timeout_anew(MessageKind kind)
    {
        TestCluster cluster = TestCluster.OfVoters(3);
        cluster.Elect(2);
        for (int i = 0; i < 5; i++)
        {
            cluster[1].Core.ElectionTimeoutTicks = 10;
            cluster.Tick(1, 9);
            _ = kind == MessageKind.Append ? cluster.Propose(2) : default;
            cluster.Tick(2);
            cluster.Deliver(m => m.Kind == kind && m.To == Id(1));
            cluster.Settle();
        }

        Assert.Equal(Role.Follower, cluster[1].Core.Role);
    }

    [Fact]
    public void Section_5_2_granting_a_vote_begins_the_timeout_anew()
    {
        TestCluster cluster = TestCluster.OfVoters(3);
        cluster[1].Core.ElectionTimeoutTicks = 10;
        cluster.Tick(1, 9);
        cluster.Step(Msg(MessageKind.Vote, 2, 1, 1));
        cluster[1].Core.ElectionTimeoutTicks = 10;
        cluster.Tick(1, 9);
        Assert.Equal(Role.Follower, cluster[1].Core.Role);
        cluster.Tick(1);
        Assert.Equal(Role.PreCandidate, cluster[1].Core.Role);
    }

    [Fact]
    public void Section_5_2_a_candidate_raises_its_term_votes_for_itself_and_asks_all_others()
    {
        TestCluster cluster = NodeOneAs(Role.Candidate);
        Assert.Equal(1ul, cluster[1].Core.Term.Value);
        Assert.Equal(Id(1), cluster[1].Disk.VotedFor);
        Assert.Equal([2u, 3u], cluster.Network.Where(m => m.Kind == MessageKind.Vote && m.Term.Value == 1).Select(m => m.To.Node).Order());
    }

    [Theory]
    [InlineData(1, 0, true)]
    [InlineData(3, 0, false)]
    [InlineData(3, 1, true)]
    [InlineData(5, 1, false)]
    [InlineData(5, 2, true)]
    [InlineData(4, 1, false)]
    [InlineData(4, 2, true)]
    public void Section_5_2_a_majority_of_votes_makes_a_leader(int voters, int granted, bool leads)
    {
        TestCluster cluster = TestCluster.OfVoters(voters);
        BecomeCandidate(cluster);
        for (uint voter = 2; voter < 2 + granted; voter++)
        {
            cluster.Deliver(m => m.Kind == MessageKind.Vote && m.To == Id(voter));
        }

        cluster.Deliver(m => m.Kind == MessageKind.VoteAnswer);
        Assert.Equal(leads ? Role.Leader : Role.Candidate, cluster[1].Core.Role);
    }

    [Fact]
    public void Section_5_2_one_voter_counts_once_however_often_it_answers()
    {
        TestCluster cluster = TestCluster.OfVoters(5);
        BecomeCandidate(cluster);
        cluster.Deliver(m => m.Kind == MessageKind.Vote && m.To == Id(2));
        Message vote = cluster.Network.Single(m => m.Kind == MessageKind.VoteAnswer);
        for (int i = 0; i < 5; i++)
        {
            cluster.Step(vote);
        }

        Assert.Equal(Role.Candidate, cluster[1].Core.Role);
    }

    [Fact]
    public void Section_5_2_a_majority_of_refusals_ends_the_candidacy()
    {
        TestCluster cluster = NodeOneAs(Role.Candidate);
        cluster.Step(Msg(MessageKind.VoteAnswer, 2, 1, 1) with { Rejected = true });
        Assert.Equal(Role.Candidate, cluster[1].Core.Role);
        cluster.Step(Msg(MessageKind.VoteAnswer, 3, 1, 1) with { Rejected = true });
        Assert.Equal(Role.Follower, cluster[1].Core.Role);
    }

    [Fact]
    public void Section_5_2_votes_are_given_first_come_first_served_one_for_each_term()
    {
        TestCluster cluster = TestCluster.OfVoters(3);
        cluster.Step(Msg(MessageKind.Vote, 2, 1, 1));
        cluster.Step(Msg(MessageKind.Vote, 3, 1, 1));
        Assert.Equal([(Id(2), false), (Id(3), true)], cluster.Network.Select(m => (m.To, m.Rejected)));
    }

    [Fact]
    public void Section_5_2_a_candidate_follows_a_leader_of_its_own_term()
    {
        TestCluster cluster = TestCluster.OfVoters(3);
        BecomeCandidate(cluster);
        cluster.Drop();
        cluster[1].Core.Step(Msg(MessageKind.Heartbeat, 2, 1, 1));
        Assert.Equal(Role.Follower, cluster[1].Core.Role);
        Assert.Equal(Id(2), cluster[1].Core.Leader);
    }

    [Fact]
    public void Section_5_2_a_candidate_whose_election_is_undecided_tries_again()
    {
        TestCluster cluster = NodeOneAs(Role.Candidate);
        cluster.Drop();
        cluster[1].Core.ElectionTimeoutTicks = 10;
        cluster.Tick(1, 10);
        Assert.Contains(cluster.Network, m => m.Kind is MessageKind.PreVote or MessageKind.Vote && m.Term.Value == 2);
    }

    [Fact]
    public void Section_5_2_timeouts_are_drawn_from_the_whole_range_and_anew_each_time()
    {
        var drawn = new HashSet<int>();
        for (int seed = 0; seed < 200; seed++)
        {
            TestCluster cluster = new() { Seed = seed };
            cluster.Create(1, Membership.OfVoters(Id(1), Id(2)), 0, [], 0);
            int ticks = 0;
            while (cluster[1].Core.Role == Role.Follower)
            {
                cluster.Tick(1);
                ticks++;
            }

            drawn.Add(ticks);
        }

        // [10, 20): all of them, or the draw is not what it says.
        Assert.Equal(Enumerable.Range(10, 10), drawn.Order());
    }

    [Fact]
    public void Section_5_2_split_votes_end()
    {
        // Five that always time out together would never elect anybody; with drawn timeouts somebody wins soon.
        for (int seed = 0; seed < 50; seed++)
        {
            TestCluster cluster = new() { Seed = seed };
            var membership = Membership.OfVoters(Id(1), Id(2), Id(3), Id(4), Id(5));
            for (uint node = 1; node <= 5; node++)
            {
                cluster.Create(node, membership, 0, [], 0);
            }

            for (int i = 0; i < 200 && cluster.Replicas.Values.All(r => r.Core.Role != Role.Leader); i++)
            {
                for (uint node = 1; node <= 5; node++)
                {
                    cluster.Tick(node);
                }

                cluster.Deliver();
            }

            Assert.Contains(cluster.Replicas.Values, r => r.Core.Role == Role.Leader);
        }
    }

    [Fact]
    public void Section_5_2_a_leader_sends_heartbeats_at_its_interval_to_all_others()
    {
        TestCluster cluster = new() { Options = new() { Id = default, Random = new Random(0), ElectionTicks = 10, HeartbeatTicks = 3 } };
        var membership = Membership.OfVoters(Id(1), Id(2), Id(3));
        for (uint node = 1; node <= 3; node++)
        {
            cluster.Create(node, membership, 0, [], 0);
        }

        cluster.Elect(1);
        cluster.Tick(1, 6);
        Assert.Equal(4, cluster.Network.Count(m => m.Kind == MessageKind.Heartbeat));
        Assert.Equal([2u, 3u], cluster.Network.Where(m => m.Kind == MessageKind.Heartbeat).Select(m => m.To.Node).Distinct().Order());
    }

    // Section 5.3: log replication.

    [Fact]
    public void Section_5_3_the_leader_appends_a_command_and_sends_it_to_all_in_parallel()
    {
        TestCluster cluster = Leader(3);
        Assert.Equal(ProposeResult.Taken, cluster.Propose(1, bytes: 77));
        Assert.Equal(2ul, cluster[1].Core.LastIndex.Value);
        Message[] sent = [.. cluster.Network.Where(m => m.Kind == MessageKind.Append)];
        Assert.Equal([2u, 3u], sent.Select(m => m.To.Node).Order());
        Assert.All(sent, m => Assert.Equal((1ul, 1ul, 77), (m.Index.Value, m.LogTerm.Value, m.Entries.Single().Bytes)));
    }

    [Fact]
    public void Section_5_3_only_the_leader_takes_commands()
    {
        foreach (Role role in Enum.GetValues<Role>())
        {
            Assert.Equal(role == Role.Leader ? ProposeResult.Taken : ProposeResult.NotLeader, NodeOneAs(role).Propose(1));
        }
    }

    [Theory]
    [InlineData(2, 1)]
    [InlineData(3, 1)]
    [InlineData(4, 2)]
    [InlineData(5, 2)]
    [InlineData(7, 3)]
    public void Section_5_3_an_entry_is_committed_once_the_leader_and_enough_others_have_it(int voters, int others)
    {
        TestCluster cluster = Leader(voters);
        cluster.Propose(1);
        for (uint node = 2; node <= voters; node++)
        {
            bool enough = node - 1 > others;
            Assert.Equal(enough ? 2ul : 1ul, cluster[1].Core.CommitIndex.Value);
            cluster.Deliver(m => m.Kind == MessageKind.Append && m.To == Id(node));
            cluster.Deliver(m => m.Kind == MessageKind.AppendAnswer);
        }

        Assert.Equal(2ul, cluster[1].Core.CommitIndex.Value);
    }

    [Fact]
    public void Section_5_3_followers_learn_of_commits_with_later_messages()
    {
        TestCluster cluster = Leader(3);
        cluster.Propose(1);
        cluster.Settle();
        cluster.Tick(1);
        cluster.Settle();
        Assert.All(cluster.Replicas.Values, r => Assert.Equal(2ul, r.Core.CommitIndex.Value));
    }

    [Fact]
    public void Section_5_3_an_append_behind_an_entry_that_the_follower_lacks_is_refused()
    {
        foreach ((ulong index, ulong term, bool isThere) in new (ulong, ulong, bool)[] { (0, 0, true), (1, 1, true), (2, 2, true), (2, 1, false), (3, 3, false), (3, 2, false) })
        {
            TestCluster cluster = WithLog(1, 2);
            cluster[1].Core.Step(Msg(MessageKind.Append, 2, 1, 5, index, term));
            Assert.Empty(cluster[1].Take().Messages);
            cluster[1].FlushNext();
            Assert.Equal(isThere, !Assert.Single(cluster[1].Core.Output.Messages, m => m.Kind == MessageKind.AppendAnswer).Rejected);
        }
    }

    [Theory]
    [InlineData(2, 2, new ulong[] { 3 }, new ulong[] { 1, 2, 3 })]
    [InlineData(1, 1, new ulong[] { 3, 4 }, new ulong[] { 1, 3, 4 })]
    [InlineData(0, 0, new ulong[] { 1 }, new ulong[] { 1, 2, 2 })]
    [InlineData(0, 0, new ulong[] { 3 }, new ulong[] { 3 })]
    [InlineData(1, 1, new ulong[] { 2, 2, 4 }, new ulong[] { 1, 2, 2, 4 })]
    [InlineData(1, 1, new ulong[0], new ulong[] { 1, 2, 2 })]
    public void Section_5_3_conflicting_entries_are_replaced_and_others_kept(ulong index, ulong term, ulong[] sent, ulong[] log)
    {
        TestCluster cluster = WithLog(1, 2, 2);
        TestReplica replica = cluster[1];
        replica.Core.Step(Msg(MessageKind.Append, 2, 1, 5, index, term) with { Entries = [.. sent.Select(EntryOf)] });
        replica.Take();
        Assert.Equal(log, replica.Log.Select(e => e.Term.Value));
        Assert.Equal(TestDisk.Runs(replica.Log), replica.Core.Terms());
    }

    [Fact]
    public void Section_5_3_the_leader_looks_for_the_last_entry_that_agrees_and_sends_what_follows()
    {
        // Each of the logs of figure 7, against its leader.
        foreach (ulong[] follower in Figure7)
        {
            TestCluster cluster = new();
            var membership = Membership.OfVoters(Id(1), Id(2), Id(3));
            Create(cluster, 1, membership, 7, Figure7Leader);
            Create(cluster, 2, membership, 7, follower);
            Create(cluster, 3, membership, 7, Figure7Leader);
            cluster.Campaign(1);
            cluster.Settle();
            cluster.Tick(1);
            cluster.Settle();
            Assert.Equal([.. Figure7Leader, 8ul], cluster[2].Log.Select(e => e.Term.Value));
            Assert.Equal(11ul, cluster[2].Core.CommitIndex.Value);
        }
    }

    [Fact]
    public void Section_5_3_a_leader_never_overwrites_or_deletes_its_own_entries()
    {
        TestCluster cluster = Leader(3);
        cluster.Propose(1);
        cluster.Settle();
        Assert.Throws<InvariantException>(() =>
            cluster[1].Core.Step(Msg(MessageKind.Append, 2, 1, cluster[1].Core.Term.Value) with { Entries = [EntryOf(1)] }));
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(2, 2)]
    [InlineData(3, 3)]
    [InlineData(9, 3)]
    public void Section_5_3_a_follower_commits_what_the_leader_committed_and_it_is_known_to_share(ulong leaderCommit, ulong commit)
    {
        // Its own entry 4 may differ from the leader's: nothing says that it matches.
        TestCluster cluster = WithLog(1, 1, 1, 1);
        cluster[1].Core.Step(Msg(MessageKind.Append, 2, 1, 5, index: 2, logTerm: 1, commit: leaderCommit) with { Entries = [EntryOf(1)] });
        Assert.Equal(commit, cluster[1].Core.CommitIndex.Value);
    }

    // Section 5.4: safety.

    [Theory]
    [InlineData(new ulong[] { 1 }, 2, 1, true)]
    [InlineData(new ulong[] { 1 }, 1, 2, true)]
    [InlineData(new ulong[] { 1 }, 1, 1, true)]
    [InlineData(new ulong[] { 1, 1 }, 1, 1, false)]
    [InlineData(new ulong[] { 1, 1 }, 1, 2, true)]
    [InlineData(new ulong[] { 1, 2 }, 9, 1, false)]
    [InlineData(new ulong[] { 2 }, 9, 1, false)]
    [InlineData(new ulong[] { 2 }, 1, 2, true)]
    public void Section_5_4_1_a_vote_needs_a_log_that_is_at_least_as_up_to_date(ulong[] log, ulong index, ulong term, bool granted)
    {
        TestCluster cluster = WithLog(log);
        cluster.Step(Msg(MessageKind.Vote, 2, 1, 5, index, term));
        Assert.Equal(granted, !Assert.Single(cluster.Network).Rejected);
        TestCluster again = WithLog(log);
        again.Step(Msg(MessageKind.PreVote, 2, 1, 5, index, term));
        Assert.Equal(granted, !Assert.Single(again.Network).Rejected);
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(2, 0)]
    [InlineData(3, 3)]
    public void Section_5_4_2_only_entries_of_the_leaders_own_term_are_committed_by_counting(ulong held, ulong committed)
    {
        TestCluster cluster = new();
        var membership = Membership.OfVoters(Id(1), Id(2), Id(3));
        Create(cluster, 1, membership, 2, 1, 2);
        Create(cluster, 2, membership, 2, 1, 2);
        Create(cluster, 3, membership, 2);
        BecomeCandidate(cluster);
        cluster.Deliver(m => m.Kind == MessageKind.Vote);
        cluster.Deliver(m => m.Kind == MessageKind.VoteAnswer);
        Assert.Equal(Role.Leader, cluster[1].Core.Role);
        cluster.Drop();
        cluster[1].Core.Step(Msg(MessageKind.AppendAnswer, 2, 1, 3, index: held));
        Assert.Equal(committed, cluster[1].Core.CommitIndex.Value);
    }

    [Fact]
    public void Section_5_4_2_a_leader_begins_with_an_entry_of_its_own_so_that_older_ones_can_commit()
    {
        TestCluster cluster = Leader(3);
        Entry first = Assert.Single(cluster[1].Log);
        Assert.Equal((EntryKind.NoOp, 1ul), (first.Kind, first.Term.Value));
    }

    // Section 5.5: crashes; requests may be repeated.

    [Fact]
    public void Section_5_5_lost_requests_are_sent_again_until_they_arrive()
    {
        TestCluster cluster = Leader(3);
        cluster.Propose(1);
        for (int i = 0; i < 5; i++)
        {
            cluster.Drop(m => m.To == Id(3));
            cluster.Settle(1, 2);
            cluster.Tick(1);
        }

        Assert.Single(cluster[3].Log);
        cluster.Settle();
        cluster.Tick(1);
        cluster.Settle();
        Assert.Equal(cluster[1].Log, cluster[3].Log);
    }

    [Fact]
    public void Section_5_5_a_repeated_append_changes_nothing_and_is_answered_again()
    {
        TestCluster cluster = Leader(3);
        cluster.Propose(1);
        Message append = cluster.Network.First(m => m.Kind == MessageKind.Append && m.To == Id(2));
        cluster.Settle();
        cluster.Propose(1);
        cluster.Settle();
        Entry[] log = [.. cluster[2].Log];
        cluster.Step(append);
        Assert.Equal(log, cluster[2].Log);
        Assert.False(Assert.Single(cluster.Network).Rejected);
    }

    private static readonly ulong[] Figure7Leader = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];

    private static readonly ulong[][] Figure7 =
    [
        [1, 1, 1, 4, 4, 5, 5, 6, 6],
        [1, 1, 1, 4],
        [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        [1, 1, 1, 4, 4, 4, 4],
        [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
}
