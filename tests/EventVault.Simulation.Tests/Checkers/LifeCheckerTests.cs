using EventVault.Simulation.Checkers;
using static EventVault.Simulation.Tests.Checkers.PlantedRun;

namespace EventVault.Simulation.Tests.Checkers;

/// <summary>Conditions and requirements, and streams that are deleted, truncated and tombstoned.</summary>
public sealed class LifeCheckerTests
{
    private static readonly EventLabel Tag7 = new(-1, 7);
    private readonly PlantedRun _run = new();

    // a: 0, 1, 2 · b: 3, with tag 7.
    public LifeCheckerTests()
    {
        _run.Write(Append(1, "a", events: 3));
        _run.Tag = 7;
        _run.Write(Append(2, "b"));
        _run.Tag = -1;
    }

    [Fact]
    public void A_condition_that_matched_before_is_caught_and_behind_the_match_it_holds()
    {
        _run.Write(With(3, new SentCondition(3, Tag7)));
        var append = With(4, new SentCondition(2, Tag7));
        _run.Appends.Begin(1, 1, append);
        Breaks(Rules.ConditionHeld, () => _run.Commit(append));
    }

    [Fact]
    public void A_condition_that_matches_within_its_group_is_caught()
    {
        var (first, second) = (Append(3, "c"), With(4, new SentCondition(3, Tag7)));
        _run.Appends.Begin(1, 1, first);
        _run.Appends.Begin(1, 1, second);
        _run.Tag = 7;
        Breaks(Rules.ConditionHeld, () => _run.Commit(first, second));
    }

    [Fact]
    public void What_was_deleted_matches_no_condition()
    {
        _run.Write(Change(3, ChangeKind.Delete, "b"));
        _run.Write(With(4, new SentCondition(-1, Tag7)));
        var attempt = _run.Appends.Begin(1, 1, With(5, new SentCondition(-1, Tag7)));
        Breaks(Rules.ConflictFounded, () => _run.Appends.Conflict(attempt, new ConflictTold([new StreamState(0, 0, false)], [], [3])));
    }

    [Fact]
    public void A_requirement_that_did_not_hold_is_caught()
    {
        var append = new SentAppend(3, Append(3, "c").Streams) { Requires = [new SentStream("a", Expectation.NoStream, 0, [])] };
        _run.Appends.Begin(1, 1, append);
        Breaks(Rules.ExpectationHeld, () => _run.Commit(append));
    }

    [Fact]
    public void A_deleted_stream_has_no_events_and_a_tombstoned_one_is_never_written()
    {
        _run.Write(Change(3, ChangeKind.Delete, "a"));
        _run.Write(Append(4, ("a", Expectation.NoStream, 0, 1)));
        _run.Write(Change(5, ChangeKind.Tombstone, "a"));
        var append = Append(6, "a");
        _run.Appends.Begin(1, 1, append);
        Breaks(Rules.ExpectationHeld, () => _run.Commit(append));
    }

    [Theory]
    [InlineData((int)ChangeKind.Delete, "a", 0)]
    [InlineData((int)ChangeKind.Truncate, "b", 2)]
    [InlineData((int)ChangeKind.Tombstone, "never", 0)]
    public void A_stream_that_can_not_be_changed_and_is_is_caught(int kind, string stream, long before)
    {
        _run.Write(Change(3, ChangeKind.Delete, "a"));
        var change = Change(4, (ChangeKind)kind, stream, before);
        _run.Appends.Begin(1, 1, change);
        Breaks(Rules.ExpectationHeld, () => _run.Commit(change));
    }

    [Fact]
    public void A_deletion_that_takes_too_little_is_caught()
    {
        var change = Change(3, ChangeKind.Delete, "a");
        _run.Appends.Begin(1, 1, change);
        var group = _run.Group(change);
        var written = group.Appends[0].Events[0] with { Change = new CommittedChange(ChangeKind.Delete, "a", 2) };
        Breaks(Rules.ExpectationHeld, () => _run.Commit(group with { Appends = [group.Appends[0] with { Events = [written] }] }));
    }

    [Fact]
    public void A_conflict_with_a_life_that_was_never_at_that_moment_is_caught()
    {
        _run.Write(Change(3, ChangeKind.Truncate, "a", before: 1));
        var attempt = _run.Appends.Begin(1, 1, Append(4, ("a", Expectation.NoStream, 0, 1)));
        Breaks(Rules.ConflictFounded, () => _run.Appends.Conflict(attempt, new ConflictTold([new StreamState(2, 0, false)], [], [])));
    }

    [Fact]
    public void A_true_conflict_passes()
    {
        _run.Write(Change(3, ChangeKind.Truncate, "a", before: 1));
        _run.Appends.Conflict(_run.Appends.Begin(1, 1, Append(4, ("a", Expectation.NoStream, 0, 1))), new ConflictTold([new StreamState(2, 1, false)], [], []));
        _run.Appends.Conflict(_run.Appends.Begin(1, 1, With(5, new SentCondition(2, Tag7))), new ConflictTold([new StreamState(-1, 0, false)], [], [3]));
    }

    [Fact]
    public void A_conflict_that_misses_a_match_is_caught()
    {
        var append = new SentAppend(5, Append(5, ("c", Expectation.Exists, 0, 1)).Streams) { Conditions = [new SentCondition(2, Tag7)] };
        var attempt = _run.Appends.Begin(1, 1, append);
        Breaks(Rules.ConflictFounded, () => _run.Appends.Conflict(attempt, new ConflictTold([new StreamState(-1, 0, false)], [], [-1])));
    }

    [Fact]
    public void An_append_refused_for_a_position_that_was_committed_is_caught()
    {
        var attempt = _run.Appends.Begin(1, 1, With(3, new SentCondition(3, Tag7)));
        Breaks(Rules.AheadFounded, () => _run.Appends.Ahead(attempt));
        _run.Appends.Ahead(_run.Appends.Begin(1, 1, With(4, new SentCondition(4, Tag7))));
    }

    [Theory]
    [InlineData((int)ReadKind.Events)]
    [InlineData((int)ReadKind.All)]
    [InlineData((int)ReadKind.StreamHead)]
    [InlineData((int)ReadKind.List)]
    public void A_read_that_shows_what_was_deleted_is_caught_and_one_at_an_earlier_head_is_not(int kind)
    {
        var request = new ReadRequest((ReadKind)kind, Consistency.Local, Stream: kind == (int)ReadKind.List ? "" : "a");
        var before = _run.TrueAnswer(request, 3);
        _run.Write(Change(3, ChangeKind.Delete, "a"));
        _run.Reads.Answered(_run.Reads.Begin(1, 1, request), before);
        var now = new ReadAnswer { Head = 4 };
        now.Events.AddRange(before.Events);
        now.Streams.AddRange(before.Streams);
        Breaks(kind == (int)ReadKind.List ? Rules.ListTrue : Rules.ReadTrue, () => _run.Reads.Answered(_run.Reads.Begin(1, 1, request), now));
    }

    [Fact]
    public void A_subscription_gets_what_was_not_deleted_at_the_nodes_head_no_more_and_no_less()
    {
        _run.Write(Change(3, ChangeKind.Truncate, "a", before: 2));
        foreach (var stream in (string?[])["a", null])
        {
            new SubscriptionChecker(_run.Ledger, 1, stream, 0).Deliver(1, _run.Seen(0), head: 3);
            new SubscriptionChecker(_run.Ledger, 1, stream, 0).Deliver(1, _run.Seen(2), head: 4);
            Breaks(Rules.SubscriptionIsLog, () => new SubscriptionChecker(_run.Ledger, 1, stream, 0).Deliver(1, _run.Seen(0), head: 4));
            Breaks(Rules.SubscriptionIsLog, () => new SubscriptionChecker(_run.Ledger, 1, stream, 0).Deliver(1, _run.Seen(2), head: 3));
            Breaks(Rules.SubscriptionIsLog, () => new SubscriptionChecker(_run.Ledger, 1, stream, 0).CaughtUp(1, 2, head: 4));
            new SubscriptionChecker(_run.Ledger, 1, stream, 0).CaughtUp(1, 1, head: 4);
        }
    }

    private static SentAppend With(ulong id, SentCondition condition) => new(id, Append(id, "c").Streams) { Conditions = [condition] };
}
