using EventVault.Simulation.Checkers;
using static EventVault.Simulation.Tests.Checkers.PlantedRun;

namespace EventVault.Simulation.Tests.Checkers;

public sealed class LedgerTests
{
    private readonly PlantedRun _run = new();

    public LedgerTests() => _run.Write(Append(1, "a", events: 2));

    [Fact]
    public void A_correct_group_passes_and_moves_the_head()
    {
        Add(Next());
        Assert.Equal(3, _run.Ledger.Head);
        Assert.Equal(2, _run.Ledger.LastVersion("a", 3));
        Assert.Equal(0, _run.Ledger.LastVersion("b", 3));
        Assert.Equal(-1, _run.Ledger.LastVersion("b", 2));
        Assert.Equal(2, _run.Ledger.PositionOf("a", 2));
    }

    [Fact]
    public void A_log_index_that_is_left_out_is_caught() => Breaks(Rules.IndexesDense, () => Add(Next() with { Index = 3 }));

    [Fact]
    public void A_group_that_follows_another_one_is_caught() => Breaks(Rules.ChainIntact, () => Add(Next() with { Previous = 99 }));

    [Fact]
    public void A_term_below_the_one_before_is_caught() => Breaks(Rules.TermsRise, () => Add(Next() with { Mark = new LogMark(0, 2) }));

    [Fact]
    public void A_time_that_stands_still_is_caught() => Breaks(Rules.TimesRise, () => Add(Next() with { Time = 1_000 }));

    [Fact]
    public void A_time_ahead_of_all_clocks_is_caught()
    {
        _run.Ledger.HighestClock = 1_003;
        Breaks(Rules.TimeFromClock, () => Add(Next()));
    }

    [Fact]
    public void A_time_that_only_the_log_has_pushed_ahead_of_the_clocks_passes()
    {
        _run.Ledger.HighestClock = 1;
        var group = Next();
        Add(group with { Time = 1_001, Appends = [.. group.Appends.Select((a, i) => a with { Events = [.. a.Events.Select(e => e with { RecordedAt = 1_001 + i })] })] });
    }

    [Fact]
    public void A_gap_of_positions_between_groups_is_caught() => Breaks(Rules.PositionsDense, () => Add(Next() with { FirstPosition = 3 }));

    [Fact]
    public void A_gap_of_positions_within_a_group_is_caught() => Breaks(Rules.PositionsDense, () => Add(Changed(e => e with { Position = 4 })));

    [Fact]
    public void A_version_given_out_twice_is_caught() => Breaks(Rules.VersionsDense, () => Add(Changed(e => e with { Stream = "a", Version = 2 })));

    [Fact]
    public void A_version_that_is_left_out_is_caught() => Breaks(Rules.VersionsDense, () => Add(Changed(e => e with { Version = 1 })));

    [Fact]
    public void A_time_that_is_called_closed_and_is_not_is_caught()
    {
        Add(Next());
        var last = _run.Ledger.Group(_run.Ledger.LastIndex).LastTime;
        _run.Ledger.CheckClosed("node", _run.Ledger.LastIndex, last);
        _run.Ledger.CheckClosed("node", 0, 0);
        Breaks(Rules.TimeStaysClosed, () => _run.Ledger.CheckClosed("node", _run.Ledger.LastIndex, last + 1));
    }

    [Fact]
    public void A_time_of_an_event_apart_from_its_append_is_caught() => Breaks(Rules.TimesRise, () => Add(Changed(e => e with { RecordedAt = e.RecordedAt + 1 })));

    private CommittedGroup Next() => _run.Group(Append(2, "a"), Append(3, "b"));

    private CommittedGroup Changed(Func<CommittedEvent, CommittedEvent> change)
    {
        var group = Next();
        return group with { Appends = [group.Appends[0], group.Appends[1] with { Events = [change(group.Appends[1].Events[0])] }] };
    }

    private void Add(CommittedGroup group) => _run.Ledger.Add(group, 1, "node 1");
}
