using EventVault.Raft;
using EventVault.Simulation.Checkers;
using static EventVault.Simulation.Tests.Checkers.PlantedCluster;
using static EventVault.Simulation.Tests.Checkers.PlantedRun;

namespace EventVault.Simulation.Tests.Checkers;

public sealed class ReplicaCheckerTests
{
    private readonly PlantedCluster _cluster = new();
    private readonly PlantedReplica _a;
    private readonly PlantedReplica _b;
    private readonly PlantedReplica _c;

    public ReplicaCheckerTests() => (_a, _b, _c) = (_cluster.All[0], _cluster.All[1], _cluster.All[2]);

    [Fact]
    public void A_correct_run_over_two_leaders_and_a_restart_passes()
    {
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a, _b);
        _cluster.Commit(_a, 1);
        _cluster.Append(NextGroup(_a, 2, 2), _a); // Only there: it dies with the term.
        _cluster.Elect(_b, 3);
        _cluster.Append(NextGroup(_b, 3, 3), _b, _c2());
        _cluster.Commit(_b, 2);
        Assert.Equal(2UL, _cluster.Run.Ledger.LastIndex);
        _a.Log.RemoveAt(1);
        _cluster.Append(_b.Log[1], _a);
        _cluster.Restart(_a);
        _cluster.Commit(_a, 2);
        Assert.Equal(2, _cluster.Checker.Elections);

        PlantedReplica _c2()
        {
            _cluster.Append(_b.Log[0], _c);
            return _c;
        }
    }

    [Fact]
    public void Two_leaders_of_a_term_are_caught()
    {
        _cluster.Elect(_a, 2);
        _b.FlushedPromise = _c.FlushedPromise = new Promise(2, _b.Id);
        _b.IsLeader = true;
        Breaks(Rules.OneLeaderPerTerm, () => _cluster.Checker.Look(_b));
    }

    [Fact]
    public void A_leader_whose_votes_are_not_flushed_is_caught()
    {
        _cluster.Vote(_a, 2, _a.Id);
        (_b.Term, _b.VotedFor) = (2, _a.Id);
        _a.IsLeader = true;
        Breaks(Rules.LeaderHasVotes, () => _cluster.Checker.Look(_a));
    }

    [Fact]
    public void A_leader_by_one_majority_of_a_joint_membership_is_caught()
    {
        _a.Voters = new VoterSets([Id(1)], [Id(2), Id(3)]);
        _a.Memberships[1] = _a.Voters;
        _a.MembershipIndex = 1;
        _cluster.Append(NextGroup(_a, 1, 1), _a);
        _cluster.Vote(_a, 2, _a.Id);
        _a.IsLeader = true;
        Breaks(Rules.LeaderHasVotes, () => _cluster.Checker.Look(_a));
    }

    [Fact]
    public void Asking_for_votes_without_a_promised_majority_is_caught()
    {
        _cluster.Vote(_a, 2, _a.Id);
        _cluster.Checker.Sent(_b.Id, new SentMessage(MessageKind.PreVoteAnswer, 3, _a.Id));
        Breaks(Rules.VoteAfterPreVote, () => _cluster.Send(_a, MessageKind.Vote, _b));
    }

    [Fact]
    public void Asking_for_votes_with_a_promised_majority_passes()
    {
        _cluster.Checker.Sent(_b.Id, new SentMessage(MessageKind.PreVoteAnswer, 2, _a.Id));
        _cluster.Vote(_a, 2, _a.Id);
        _cluster.Send(_a, MessageKind.Vote, _b);
        Assert.Equal(0, _cluster.Checker.Elections);
    }

    [Fact]
    public void An_entry_of_an_old_term_committed_by_counting_is_caught()
    {
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a, _b);
        _cluster.Elect(_b, 3);
        Breaks(Rules.CommitOfOwnTerm, () => _cluster.Commit(_b, 1));
    }

    [Fact]
    public void An_acknowledgement_of_another_entry_than_the_leaders_is_caught()
    {
        _cluster.Append(NextGroup(_b, 1, 9), _b);
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a);
        Breaks(Rules.AckMatchesLeader, () => _cluster.Send(_b, MessageKind.AppendAnswer, _a, index: 1));
    }

    [Fact]
    public void A_refused_append_that_some_replica_may_still_commit_is_caught()
    {
        var attempt = AppendTo(_b);
        _cluster.Run.Appends.Refused(attempt, "not leader");
        Breaks(Rules.RefusedIsGone, () => _cluster.Checker.Refused(attempt));
    }

    [Fact]
    public void A_refused_append_whose_place_was_decided_otherwise_passes()
    {
        var attempt = AppendTo(_b);
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a, _c);
        _cluster.Commit(_a, 1);
        _cluster.Run.Appends.Refused(attempt, "not leader");
        _cluster.Checker.Refused(attempt);
        Assert.Equal(1, _cluster.Run.History.Count(OperationOutcome.Refused));
    }

    [Fact]
    public void A_leader_without_a_committed_entry_is_caught()
    {
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a, _b);
        _cluster.Commit(_a, 1);
        Breaks(Rules.LeaderComplete, () => _cluster.Elect(_c, 3));
    }

    [Fact]
    public void A_leader_that_comes_late_need_not_have_what_later_terms_committed()
    {
        _cluster.Vote(_c, 2, _c.Id);
        _cluster.Vote(_b, 2, _c.Id);
        foreach (var replica in (PlantedReplica[])[_a, _b])
        {
            _cluster.Vote(replica, 3, _a.Id);
        }

        _a.IsLeader = true;
        _cluster.Checker.Look(_a);
        _cluster.Append(NextGroup(_a, 3, 1), _a, _b);
        _cluster.Commit(_a, 1);
        _c.IsLeader = true; // The last vote of term 2 reaches it only now.
        _cluster.Checker.Look(_c);
        Assert.Equal(2, _cluster.Checker.Elections);
    }

    [Fact]
    public void A_leader_that_drops_entries_is_caught()
    {
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a);
        _a.Log.Clear();
        Breaks(Rules.LeaderAppendsOnly, () => _cluster.Checker.Look(_a));
    }

    [Fact]
    public void Two_entries_of_one_index_and_term_are_caught()
    {
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a);
        Breaks(Rules.LogsMatch, () => _cluster.Append(NextGroup(_b, 2, 9), _b));
    }

    [Fact]
    public void An_entry_with_another_body_under_the_same_header_is_caught()
    {
        _cluster.Elect(_a, 2);
        var group = NextGroup(_a, 2, 1);
        _cluster.Append(group, _a);
        Breaks(Rules.LogsMatch, () => _cluster.Append(group with { Mark = group.Mark with { Body = 5 } }, _b));
    }

    [Fact]
    public void A_late_entry_unlike_the_committed_one_is_caught()
    {
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a, _b);
        _cluster.Commit(_a, 1);
        Breaks(Rules.LogsMatch, () => _cluster.Append(NextGroup(_c, 2, 9), _c));
    }

    [Fact]
    public void A_term_in_the_log_below_the_one_before_is_caught()
    {
        _cluster.Elect(_a, 3);
        _cluster.Append(NextGroup(_a, 3, 1), _a);
        Breaks(Rules.TermsRise, () => _cluster.Append(NextGroup(_a, 2, 2), _a));
    }

    [Fact]
    public void An_entry_of_a_term_that_the_replica_has_not_reached_is_caught() =>
        Breaks(Rules.TermsRise, () => _cluster.Append(NextGroup(_a, 5, 1), _a));

    [Fact]
    public void Another_entry_committed_at_an_index_is_caught()
    {
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a, _b);
        _cluster.Commit(_a, 1);
        _cluster.Append(NextGroup(_c, 1, 9), _c);
        Breaks(Rules.CommitAgrees, () => _cluster.Commit(_c, 1));
    }

    [Fact]
    public void A_commit_index_that_goes_back_is_caught()
    {
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a, _b);
        _cluster.Commit(_a, 1);
        Breaks(Rules.CommitRises, () => _cluster.Commit(_a, 0));
    }

    [Fact]
    public void A_commit_index_behind_the_log_is_caught()
    {
        _cluster.Elect(_a, 2);
        Breaks(Rules.CommitWithinLog, () => _cluster.Commit(_a, 1));
    }

    [Fact]
    public void A_commit_that_only_one_disk_holds_is_caught()
    {
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a, _b);
        _b.Flushed.Clear();
        Breaks(Rules.CommitHasQuorum, () => _cluster.Commit(_a, 1));
    }

    [Fact]
    public void A_commit_that_another_entry_of_a_voter_stands_for_is_caught()
    {
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_b, 1, 9), _b);
        _cluster.Append(NextGroup(_a, 2, 1), _a);
        Breaks(Rules.CommitHasQuorum, () => _cluster.Commit(_a, 1));
    }

    [Fact]
    public void A_joint_membership_committed_by_the_incoming_majority_alone_is_caught()
    {
        _cluster.Elect(_a, 2);
        BeginJoint();
        Breaks(Rules.CommitHasQuorum, () => _cluster.Commit(_a, 1));
    }

    [Fact]
    public void A_joint_membership_that_one_event_commits_and_ends_needs_both_majorities()
    {
        _cluster.Elect(_a, 2);
        BeginJoint();
        _a.Log.Add(NextGroup(_a, 2, 2));
        _a.Flushed.Add((2, _a.Log[1].Mark));
        EndJoint(index: 2);
        Breaks(Rules.CommitHasQuorum, () => _cluster.Commit(_a, 1));
    }

    [Fact]
    public void What_one_event_commits_behind_a_joint_membership_needs_the_new_majority_only()
    {
        _cluster.Elect(_a, 2);
        BeginJoint();
        _cluster.Append(_a.Log[0], _b, _c);
        _a.Log.Add(NextGroup(_a, 2, 2));
        _a.Flushed.Add((2, _a.Log[1].Mark));
        EndJoint(index: 2);
        _cluster.Commit(_a, 2);
        Assert.Equal(2UL, _cluster.Run.Ledger.LastIndex);
    }

    [Fact]
    public void Showing_what_is_not_committed_is_caught()
    {
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a, _b);
        _a.Visible = (1, -1);
        Breaks(Rules.VisibleIsCommitted, () => _cluster.Checker.Look(_a));
    }

    [Fact]
    public void Showing_another_head_than_the_log_has_is_caught()
    {
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a, _b);
        _a.Visible = (1, 0);
        Breaks(Rules.VisibleIsCommitted, () => _cluster.Commit(_a, 1));
    }

    [Fact]
    public void A_term_that_goes_back_is_caught()
    {
        _cluster.Elect(_a, 2);
        _b.Term = 1;
        Breaks(Rules.TermRises, () => _cluster.Checker.Look(_b));
    }

    [Fact]
    public void A_second_vote_in_a_term_is_caught()
    {
        _cluster.Elect(_a, 2);
        _b.VotedFor = _c.Id;
        Breaks(Rules.VoteOncePerTerm, () => _cluster.Checker.Look(_b));
    }

    [Fact]
    public void A_vote_that_is_sent_before_it_is_flushed_is_caught()
    {
        (_b.Term, _b.VotedFor) = (2, _a.Id);
        Breaks(Rules.VoteFlushedFirst, () => _cluster.Send(_b, MessageKind.VoteAnswer, _a));
    }

    [Fact]
    public void A_request_for_votes_that_is_sent_before_the_own_vote_is_flushed_is_caught()
    {
        _cluster.Checker.Sent(_a.Id, new SentMessage(MessageKind.PreVoteAnswer, 2, _b.Id));
        (_b.Term, _b.VotedFor) = (2, _b.Id);
        _b.FlushedPromise = new Promise(2, null);
        Breaks(Rules.VoteFlushedFirst, () => _cluster.Send(_b, MessageKind.Vote, _a));
    }

    [Fact]
    public void An_acknowledgement_in_a_term_that_is_not_flushed_is_caught()
    {
        _b.Term = 2;
        Breaks(Rules.VoteFlushedFirst, () => _cluster.Send(_b, MessageKind.AppendAnswer, _a));
    }

    [Fact]
    public void An_acknowledgement_before_the_flush_is_caught()
    {
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a, _b);
        _b.Flushed.Clear();
        Breaks(Rules.AckFlushedFirst, () => _cluster.Send(_b, MessageKind.AppendAnswer, _a, index: 1));
    }

    [Fact]
    public void An_acknowledgement_of_what_is_not_in_the_log_is_caught()
    {
        _cluster.Elect(_a, 2);
        Breaks(Rules.AckFlushedFirst, () => _cluster.Send(_b, MessageKind.AppendAnswer, _a, index: 1));
    }

    [Fact]
    public void A_term_forgotten_over_a_restart_is_caught()
    {
        _cluster.Elect(_a, 2);
        _cluster.Send(_b, MessageKind.AppendAnswer, _a);
        (_b.Term, _b.VotedFor) = (1, null);
        Breaks(Rules.TermRises, () => _cluster.Restart(_b));
    }

    [Fact]
    public void A_vote_forgotten_over_a_restart_is_caught()
    {
        _cluster.Vote(_b, 2, _a.Id);
        _cluster.Send(_b, MessageKind.VoteAnswer, _a);
        _b.VotedFor = null;
        Breaks(Rules.VoteOncePerTerm, () => _cluster.Restart(_b));
    }

    [Fact]
    public void A_term_that_nobody_heard_of_may_be_forgotten()
    {
        _cluster.Elect(_a, 2);
        _b.Term = 9;
        _b.VotedFor = null;
        _cluster.Checker.Look(_b);
        (_b.Term, _b.VotedFor) = (2, _a.Id);
        _cluster.Restart(_b);
        Assert.Equal(1, _cluster.Checker.Elections);
    }

    [Fact]
    public void An_acknowledged_entry_lost_over_a_restart_is_caught()
    {
        AcknowledgeAndLose();
        Breaks(Rules.AckedSurvives, () => _cluster.Restart(_b));
    }

    [Fact]
    public void An_acknowledged_entry_lost_by_a_disk_that_lied_is_not_the_nodes_fault()
    {
        AcknowledgeAndLose();
        _cluster.Spoilt.Add(_b.Id);
        _cluster.Restart(_b);
        Assert.Equal(1, _cluster.Checker.Elections);
    }

    [Fact]
    public void An_acknowledged_entry_that_was_truncated_need_not_survive()
    {
        AcknowledgeAndLose();
        _cluster.Checker.Look(_b);
        _cluster.Restart(_b);
        Assert.Equal(1, _cluster.Checker.Elections);
    }

    [Fact]
    public void What_was_acknowledged_to_a_leader_that_lost_may_be_replaced_by_installed_segments()
    {
        AcknowledgeToWhoLoses();
        _b.Log.Clear();
        _b.Log.AddRange(_c.Log);
        _b.InstalledThrough = 1;
        _cluster.Restart(_b);
        Assert.Equal(2, _cluster.Checker.Elections);
    }

    [Fact]
    public void What_was_acknowledged_behind_an_install_and_is_of_the_same_log_is_caught_when_lost()
    {
        AcknowledgeAndLose();
        _cluster.Commit(_a, 1);
        _cluster.Append(NextGroup(_a, 2, 2), _a);
        _b.Log.AddRange(_a.Log);
        _cluster.Checker.Look(_b);
        _b.Flushed.UnionWith(_a.Flushed);
        _cluster.Send(_b, MessageKind.AppendAnswer, _a, index: 2);
        _b.Log.RemoveAt(1);
        _b.InstalledThrough = 1;
        Breaks(Rules.AckedSurvives, () => _cluster.Restart(_b));
    }

    [Fact]
    public void Installed_segments_that_nobody_committed_are_caught()
    {
        AcknowledgeAndLose();
        _b.InstalledThrough = 1;
        Breaks(Rules.CommitAgrees, () => _cluster.Restart(_b));
    }

    [Fact]
    public void A_membership_that_is_not_the_last_one_in_the_log_is_caught()
    {
        _cluster.Elect(_a, 2);
        _a.Memberships[1] = new VoterSets([Id(1), Id(2)], []);
        Breaks(Rules.MembershipIsLast, () => _cluster.Append(NextGroup(_a, 2, 1), _a));
    }

    [Fact]
    public void A_membership_kept_although_its_entry_was_truncated_is_caught()
    {
        _b.Memberships[1] = new VoterSets([Id(1), Id(2)], []);
        (_b.Voters, _b.MembershipIndex) = (_b.Memberships[1], 1);
        _cluster.Append(NextGroup(_b, 1, 1), _b);
        _b.Log.Clear();
        _cluster.Append(NextGroup(_c, 1, 1), _c);
        Breaks(Rules.MembershipIsLast, () =>
        {
            _b.MembershipIndex = 0;
            _cluster.Checker.Look(_b);
        });
    }

    private AppendAttempt AppendTo(PlantedReplica replica)
    {
        var append = PlantedRun.Append(1, "a");
        var attempt = _cluster.Run.Appends.Begin(1, 1, append);
        _cluster.Append(_cluster.Run.Group(append) with { Mark = new LogMark(1, 9) }, replica);
        return attempt;
    }

    private void AcknowledgeAndLose()
    {
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a, _b);
        _cluster.Send(_b, MessageKind.AppendAnswer, _a, index: 1);
        _b.Log.Clear();
    }

    // B has an entry of the first leader that is committed nowhere; C leads next, and A and C have another one in its place.
    private void AcknowledgeToWhoLoses()
    {
        _cluster.Elect(_a, 2);
        _cluster.Append(NextGroup(_a, 2, 1), _a, _b);
        _cluster.Send(_b, MessageKind.AppendAnswer, _a, index: 1);
        _a.IsLeader = false;
        _a.Log.Clear();
        _cluster.Checker.Look(_a);
        _cluster.Elect(_c, 3);
        _cluster.Append(NextGroup(_c, 3, 2), _c, _a);
        _cluster.Commit(_c, 1);
    }

    private void BeginJoint()
    {
        _a.Voters = new VoterSets([Id(1)], [Id(1), Id(2), Id(3)]);
        _a.MembershipIndex = 1;
        foreach (var replica in _cluster.All)
        {
            replica.Memberships[1] = _a.Voters;
            replica.Voters = replica.Log.Count > 0 ? _a.Voters : replica.Voters;
        }

        var group = NextGroup(_a, 2, 1);
        (_b.Voters, _b.MembershipIndex) = (_a.Voters, 1);
        (_c.Voters, _c.MembershipIndex) = (_a.Voters, 1);
        _cluster.Append(group, _a);
    }

    private void EndJoint(ulong index)
    {
        _a.Memberships[index] = new VoterSets([Id(1)], []);
        (_a.Voters, _a.MembershipIndex) = (_a.Memberships[index], index);
    }
}
