using EventVault.Simulation.Checkers;
using static EventVault.Simulation.Tests.Checkers.PlantedRun;

namespace EventVault.Simulation.Tests.Checkers;

public sealed class SubscriptionCheckerTests
{
    private readonly PlantedRun _run = new();

    public SubscriptionCheckerTests()
    {
        _run.Write(Append(1, ("a", Expectation.Any, 0, 2), ("b", Expectation.Any, 0, 1)));
        _run.Write(Append(2, "a"));
    }

    [Theory]
    [InlineData(null, 0, 4)]
    [InlineData(null, 2, 2)]
    [InlineData("a", 0, 3)]
    [InlineData("a", 1, 2)]
    [InlineData("a", 3, 1)]
    [InlineData("b", 3, 0)]
    public void The_log_from_its_start_passes(string? stream, long from, int events)
    {
        var subscription = new SubscriptionChecker(_run.Ledger, 1, stream, from);
        Assert.Equal(events == 0, subscription.IsAt(3));
        for (var position = from; position <= 3; position++)
        {
            if (stream is null || _run.Seen(position).Stream == stream)
            {
                subscription.Deliver(1, _run.Seen(position));
            }
        }

        subscription.CaughtUp(2, 3);
        Assert.Equal(events, subscription.Delivered);
        Assert.Equal(4, subscription.Next);
    }

    [Fact]
    public void A_gap_is_caught() => BreaksAll(0, 2);

    [Fact]
    public void A_repeat_is_caught() => BreaksAll(0, 1, 1);

    [Fact]
    public void A_gap_in_a_stream_is_caught()
    {
        var subscription = new SubscriptionChecker(_run.Ledger, 1, "a", 0);
        subscription.Deliver(1, _run.Seen(0));
        Breaks(Rules.SubscriptionIsLog, () => subscription.Deliver(1, _run.Seen(3)));
    }

    [Fact]
    public void An_event_that_is_not_committed_is_caught() =>
        Breaks(Rules.SubscriptionIsLog, () => new SubscriptionChecker(_run.Ledger, 1, null, 4).Deliver(1, new SeenEvent("a", 3, 4, 9, 9)));

    [Fact]
    public void Other_bytes_are_caught() =>
        Breaks(Rules.SubscriptionIsLog, () => new SubscriptionChecker(_run.Ledger, 1, null, 0).Deliver(1, _run.Seen(0) with { Digest = 9 }));

    [Fact]
    public void Catching_up_past_an_event_is_caught()
    {
        var subscription = new SubscriptionChecker(_run.Ledger, 1, "a", 0);
        subscription.Deliver(1, _run.Seen(0));
        subscription.Deliver(1, _run.Seen(1));
        subscription.CaughtUp(1, 2);
        Breaks(Rules.SubscriptionIsLog, () => subscription.CaughtUp(1, 3));
    }

    [Fact]
    public void Catching_up_past_the_head_is_caught() =>
        Breaks(Rules.SubscriptionIsLog, () => new SubscriptionChecker(_run.Ledger, 1, "b", 3).CaughtUp(1, 4));

    private void BreaksAll(params long[] positions)
    {
        var subscription = new SubscriptionChecker(_run.Ledger, 1, null, 0);
        foreach (var position in positions[..^1])
        {
            subscription.Deliver(1, _run.Seen(position));
        }

        Breaks(Rules.SubscriptionIsLog, () => subscription.Deliver(2, _run.Seen(positions[^1])));
    }
}
