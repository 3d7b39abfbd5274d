using EventVault.Simulation.Checkers;
using static EventVault.Simulation.Tests.Checkers.PlantedRun;

namespace EventVault.Simulation.Tests.Checkers;

public sealed class AppendCheckerTests
{
    private readonly PlantedRun _run = new();

    [Fact]
    public void An_operation_that_nobody_sent_is_caught() => Breaks(Rules.OnlyWhatWasSent, () => _run.Commit(Append(1, "a")));

    [Fact]
    public void An_append_with_an_event_missing_is_caught()
    {
        var append = Append(1, ("a", Expectation.Any, 0, 2), ("b", Expectation.Any, 0, 1));
        _run.Appends.Begin(1, 1, append);
        var group = _run.Group(append);
        Breaks(Rules.AppendWhole, () => _run.Commit(group with { Appends = [group.Appends[0] with { Events = group.Appends[0].Events[..2] }] }));
    }

    [Fact]
    public void An_append_with_other_bytes_than_sent_is_caught()
    {
        var append = Append(1, "a");
        _run.Appends.Begin(1, 1, append);
        var group = _run.Group(append);
        Breaks(Rules.AppendWhole, () => _run.Commit(group with { Appends = [group.Appends[0] with { Events = [group.Appends[0].Events[0] with { Digest = 7 }] }] }));
    }

    [Fact]
    public void An_append_in_another_stream_than_sent_is_caught()
    {
        _run.Appends.Begin(1, 1, Append(1, "a"));
        Breaks(Rules.AppendWhole, () => _run.Commit(Append(1, "b")));
    }

    [Fact]
    public void A_retry_written_a_second_time_is_caught()
    {
        var append = Append(1, "a");
        _run.Appends.Unknown(_run.Appends.Begin(1, 1, append), "deadline");
        _run.Commit(append);
        _run.Appends.Begin(1, 2, append);
        Breaks(Rules.WrittenOnce, () => _run.Commit(append));
    }

    [Fact]
    public void Two_contents_written_under_one_operation_id_are_caught()
    {
        _run.Write(Append(1, "a"));
        var other = Append(1, "b");
        _run.Appends.Begin(1, 2, other);
        Breaks(Rules.WrittenOnce, () => _run.Commit(other));
    }

    [Fact]
    public void A_refused_append_that_is_written_later_is_caught()
    {
        var append = Append(1, "a");
        _run.Appends.Refused(_run.Appends.Begin(1, 1, append), "not leader");
        Breaks(Rules.RefusedNeverWritten, () => _run.Commit(append));
    }

    [Fact]
    public void A_conflict_that_is_written_later_is_caught()
    {
        _run.Write(Append(9, "a"));
        var append = Append(1, ("a", Expectation.NoStream, 0, 1));
        _run.Appends.Conflict(_run.Appends.Begin(1, 1, append), [0]);
        Breaks(Rules.RefusedNeverWritten, () => _run.Commit(append));
    }

    [Fact]
    public void A_written_append_that_is_refused_later_is_caught()
    {
        var append = Append(1, "a");
        var attempt = _run.Appends.Begin(1, 1, append);
        _run.Commit(append);
        Breaks(Rules.RefusedNeverWritten, () => _run.Appends.Refused(attempt, "not leader"));
    }

    [Fact]
    public void A_refused_attempt_beside_an_unknown_one_may_be_written()
    {
        var append = Append(1, "a");
        _run.Appends.Unknown(_run.Appends.Begin(1, 1, append), "deadline");
        _run.Appends.Refused(_run.Appends.Begin(1, 2, append), "not leader");
        _run.Commit(append);
        _run.Appends.Duplicate(_run.Appends.Begin(1, 3, append), _run.Answer(append));
        Assert.Equal((1, 1), _run.Appends.Counts);
    }

    [Theory]
    [InlineData((int)Expectation.NoStream, 0)]
    [InlineData((int)Expectation.Exact, 1)]
    public void A_broken_expectation_is_caught(int expected, long version)
    {
        _run.Write(Append(9, "a"));
        var append = Append(1, ("b", Expectation.Any, 0, 1), ("a", (Expectation)expected, version, 1));
        _run.Appends.Begin(1, 1, append);
        Breaks(Rules.ExpectationHeld, () => _run.Commit(append));
    }

    [Fact]
    public void Exists_without_events_is_caught()
    {
        var append = Append(1, ("a", Expectation.Exists, 0, 1));
        _run.Appends.Begin(1, 1, append);
        Breaks(Rules.ExpectationHeld, () => _run.Commit(append));
    }

    [Fact]
    public void A_broken_expectation_towards_the_same_group_is_caught()
    {
        var (first, second) = (Append(1, ("a", Expectation.NoStream, 0, 1)), Append(2, ("a", Expectation.NoStream, 0, 1)));
        _run.Appends.Begin(1, 1, first);
        _run.Appends.Begin(2, 1, second);
        Breaks(Rules.ExpectationHeld, () => _run.Commit(first, second));
    }

    [Fact]
    public void An_expectation_that_the_same_group_fulfils_passes()
    {
        var (first, second) = (Append(1, ("a", Expectation.NoStream, 0, 3)), Append(2, ("a", Expectation.Exact, 2, 1)));
        _run.Appends.Begin(1, 1, first);
        _run.Appends.Begin(2, 1, second);
        _run.Commit(first, second);
        Assert.Equal(3, _run.Ledger.LastVersion("a", 3));
    }

    [Fact]
    public void An_answer_before_the_commit_is_caught()
    {
        var append = Append(1, "a");
        var attempt = _run.Appends.Begin(1, 1, append);
        Breaks(Rules.AckedIsCommitted, () => _run.Appends.Appended(attempt, new AppendedAnswer(0, 0, 1_000, [0])));
    }

    [Fact]
    public void A_duplicate_before_the_commit_is_caught()
    {
        var append = Append(1, "a");
        _run.Appends.Unknown(_run.Appends.Begin(1, 1, append), "deadline");
        Breaks(Rules.AckedIsCommitted, () => _run.Appends.Duplicate(_run.Appends.Begin(1, 2, append), new AppendedAnswer(0, 0, 1_000, [0])));
    }

    [Fact]
    public void A_wrong_position_in_an_answer_is_caught() => BreaksAnswer(a => a with { First = 0, Last = 0 });

    [Fact]
    public void A_wrong_time_in_an_answer_is_caught() => BreaksAnswer(a => a with { RecordedAt = 5 });

    [Fact]
    public void A_wrong_version_in_an_answer_is_caught() => BreaksAnswer(a => a with { Versions = [0] });

    [Fact]
    public void Two_attempts_that_both_wrote_it_are_caught()
    {
        var append = Append(1, "a");
        var (first, second) = (_run.Appends.Begin(1, 1, append), _run.Appends.Begin(1, 2, append));
        _run.Commit(append);
        _run.Appends.Appended(first, _run.Answer(append));
        Breaks(Rules.AnsweredAppendedOnce, () => _run.Appends.Appended(second, _run.Answer(append)));
    }

    [Fact]
    public void An_attempt_that_wrote_what_was_committed_before_it_is_caught()
    {
        var append = Append(1, "a");
        _run.Appends.Unknown(_run.Appends.Begin(1, 1, append), "deadline");
        _run.Commit(append);
        Breaks(Rules.DuplicateFounded, () => _run.Appends.Appended(_run.Appends.Begin(1, 2, append), _run.Answer(append)));
    }

    [Fact]
    public void A_duplicate_of_the_only_attempt_is_caught()
    {
        var append = Append(1, "a");
        var attempt = _run.Appends.Begin(1, 1, append);
        _run.Commit(append);
        Breaks(Rules.DuplicateFounded, () => _run.Appends.Duplicate(attempt, _run.Answer(append)));
    }

    [Fact]
    public void A_reused_id_without_the_other_content_is_caught()
    {
        _run.Appends.Begin(1, 1, Append(1, "a"));
        Breaks(Rules.ReuseFounded, () => _run.Appends.Reused(_run.Appends.Begin(1, 2, Append(1, "b"))));
    }

    [Fact]
    public void A_reused_id_with_the_other_content_in_the_log_passes()
    {
        _run.Write(Append(1, "a"));
        _run.Appends.Reused(_run.Appends.Begin(1, 2, Append(1, "b")));
        Assert.Equal(1, _run.History.Count(OperationOutcome.Reused));
    }

    [Fact]
    public void A_conflict_with_what_is_not_committed_is_caught()
    {
        _run.Appends.Begin(1, 1, Append(9, "a"));
        var attempt = _run.Appends.Begin(2, 1, Append(1, ("a", Expectation.NoStream, 0, 1)));
        Breaks(Rules.ConflictFounded, () => _run.Appends.Conflict(attempt, [0]));
    }

    [Fact]
    public void A_conflict_although_all_held_is_caught()
    {
        _run.Write(Append(9, "a"));
        var attempt = _run.Appends.Begin(2, 1, Append(1, ("a", Expectation.Exact, 0, 1)));
        Breaks(Rules.ConflictFounded, () => _run.Appends.Conflict(attempt, [0]));
    }

    [Fact]
    public void A_conflict_with_an_old_version_is_caught()
    {
        // What a deposed leader could answer: committed, but no longer true when the request was sent.
        _run.Write(Append(8, "a"));
        _run.Write(Append(9, "a"));
        var attempt = _run.Appends.Begin(2, 1, Append(1, ("a", Expectation.Exact, 1, 1)));
        Breaks(Rules.ConflictFounded, () => _run.Appends.Conflict(attempt, [0]));
    }

    [Fact]
    public void A_conflict_over_two_streams_that_never_were_so_together_is_caught()
    {
        var attempt = _run.Appends.Begin(2, 1, Append(1, ("a", Expectation.NoStream, 0, 1), ("b", Expectation.Exact, 5, 1)));
        _run.Write(Append(8, "a"));
        _run.Write(Append(9, "b"));
        Breaks(Rules.ConflictFounded, () => _run.Appends.Conflict(attempt, [-1, 0]));
    }

    [Fact]
    public void A_conflict_that_was_true_at_some_moment_of_the_attempt_passes()
    {
        _run.Write(Append(7, "a"));
        var attempt = _run.Appends.Begin(2, 1, Append(1, ("a", Expectation.NoStream, 0, 1), ("b", Expectation.Exact, 5, 1)));
        _run.Write(Append(8, "b"));
        _run.Write(Append(9, "a"));
        _run.Appends.Conflict(attempt, [0, 0]);
        Assert.Equal(1, _run.History.Count(OperationOutcome.Conflict));
    }

    [Fact]
    public void A_retry_that_conflicts_with_its_own_events_is_caught()
    {
        var append = Append(1, ("a", Expectation.NoStream, 0, 1));
        _run.Appends.Unknown(_run.Appends.Begin(1, 1, append), "deadline");
        _run.Commit(append);
        Breaks(Rules.RetryRecognised, () => _run.Appends.Conflict(_run.Appends.Begin(1, 2, append), [0]));
    }

    private void BreaksAnswer(Func<AppendedAnswer, AppendedAnswer> change)
    {
        var append = Append(1, "a", events: 2);
        var attempt = _run.Appends.Begin(1, 1, append);
        _run.Commit(append);
        Breaks(Rules.AnswerTrue, () => _run.Appends.Appended(attempt, change(_run.Answer(append))));
    }
}
