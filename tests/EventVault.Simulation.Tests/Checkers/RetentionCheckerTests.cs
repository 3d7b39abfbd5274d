using EventVault.Simulation.Checkers;
using static EventVault.Simulation.Tests.Checkers.PlantedRun;

namespace EventVault.Simulation.Tests.Checkers;

/// <summary>Retention rules, holds, and what leaders take away by them.</summary>
public sealed class RetentionCheckerTests
{
    private static readonly StreamState Whole = new(3, 0, false);
    private readonly PlantedRun _run = new();

    // a-1: 0 to 3, of which the rule at position 4 keeps two.
    public RetentionCheckerTests()
    {
        _run.Write(Append(1, "a-1", events: 4));
        _run.Write(Retain(2, Category(events: 2)));
    }

    [Fact]
    public void What_is_due_must_be_found_and_nothing_else()
    {
        _run.Retention.Found(1, 4, now: 0, [("a-1", 2, 4)]);
        Breaks(Rules.DueFound, () => _run.Retention.Found(1, 4, now: 0, []));
        Breaks(Rules.DueFound, () => _run.Retention.Found(1, 4, now: 0, [("a-1", 1, 4)]));
        Breaks(Rules.DueFound, () => _run.Retention.Found(1, 3, now: 0, [("a-1", 2, 4)]));
    }

    [Fact]
    public void A_streams_own_rule_counts_and_a_hold_of_either()
    {
        _run.Write(Retain(3, Own(events: 3)));
        _run.Retention.Found(1, 5, now: 0, [("a-1", 1, 5)]);
        _run.Write(Retain(4, Category(events: 2) with { IsHold = true }));
        _run.Retention.Found(1, 6, now: 0, []);
        _run.Write(Retain(5, new SentRule(IsCategory: true, "a", null, null, IsForever: false, IsHold: false)));
        _run.Retention.Found(1, 7, now: 0, [("a-1", 1, 5)]);
    }

    [Fact]
    public void By_age_an_event_is_due_a_tenth_later()
    {
        _run.Write(Retain(3, Category(events: null) with { MaxAgeSeconds = 100 }));
        var recorded = _run.Ledger.Event(0).RecordedAt;
        _run.Retention.Found(1, 5, recorded + (110 * TimeSpan.TicksPerSecond) - 1, []);
        _run.Retention.Found(1, 5, recorded + (110 * TimeSpan.TicksPerSecond), [("a-1", 4, 5)]);
        Breaks(Rules.DueFound, () => _run.Retention.Found(1, 5, recorded + (100 * TimeSpan.TicksPerSecond), [("a-1", 4, 5)]));
    }

    [Fact]
    public void A_change_of_a_held_stream_is_caught()
    {
        _run.Write(Retain(3, Own(events: 1) with { IsHold = true }));
        var change = Change(4, ChangeKind.Delete, "a-1");
        _run.Appends.Begin(1, 1, change);
        Breaks(Rules.HoldKept, () => _run.Commit(change));
    }

    [Theory]
    [InlineData(2, 4, true)]
    [InlineData(3, 4, false)] // Takes too much.
    [InlineData(2, 3, false)] // By another rule.
    public void A_truncation_that_its_rule_does_not_ask_for_is_caught(long before, long rule, bool isTrue)
    {
        var truncation = Due(3, before, rule);
        _run.Appends.Begin(0, 1, truncation, rule);
        if (isTrue)
        {
            _run.Commit(truncation);
        }
        else
        {
            Breaks(Rules.TakenByRule, () => _run.Commit(truncation));
        }
    }

    [Fact]
    public void A_truncation_for_a_rule_that_counts_no_more_is_caught_and_refusing_it_is_not()
    {
        _run.Write(Retain(3, Own(events: 2)));
        _run.Appends.Conflict(_run.Appends.Begin(0, 1, Due(4, 2, 4), 4), new ConflictTold([new StreamState(1, 0, false)], [Whole], [], IsUnchangeable: true, IsNotDue: true));
        var truncation = Due(5, 2, 4);
        _run.Appends.Begin(0, 1, truncation, 4);
        Breaks(Rules.TakenByRule, () => _run.Commit(truncation));
    }

    [Fact]
    public void A_refusal_for_a_hold_that_never_was_or_for_another_rule_that_did_not_count_is_caught()
    {
        var held = new ConflictTold([new StreamState(0, 0, false)], [Whole], [], IsUnchangeable: true, IsHeld: true);
        Breaks(Rules.ConflictFounded, () => _run.Appends.Conflict(_run.Appends.Begin(1, 1, Change(3, ChangeKind.Delete, "a-1")), held));
        Breaks(Rules.ConflictFounded, () => _run.Appends.Conflict(_run.Appends.Begin(0, 1, Due(4, 2, 4), 4), held with { IsHeld = false, IsNotDue = true }));
    }

    private static SentRule Category(long? events) => new(IsCategory: true, "a", null, events, IsForever: false, IsHold: false);

    private static SentRule Own(long? events) => new(IsCategory: false, "a-1", null, events, IsForever: false, IsHold: false);

    private static SentAppend Due(ulong id, long before, long rule)
    {
        var truncation = Change(id, ChangeKind.Truncate, "a-1", before);
        truncation.DueBy.Add(rule, 0);
        return truncation;
    }
}
