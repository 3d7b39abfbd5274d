using EventVault.LoadTest.Running;

namespace EventVault.LoadTest.Tests;

public sealed class ScheduleTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    [Fact]
    public void A_rate_starts_evenly_from_its_beginning_and_never_at_its_end()
    {
        var starts = Starts(new Inject(4, Second, Second * 2));
        Assert.Equal([0, 250, 500, 750, 1000, 1250, 1500, 1750], starts.Select(s => s.TotalMilliseconds));
    }

    [Fact]
    public void A_ramp_starts_as_often_as_the_area_below_it()
    {
        // From nothing to 100 a second in 10 s: 500 in all, a quarter of them in the first half.
        var starts = Starts(new RampingInject(100, Second, Second * 10));
        Assert.Equal(500, starts.Count);
        Assert.Equal(125, starts.Count(s => s < Second * 5));
        Assert.All(starts.Zip(starts.Skip(1)), pair => Assert.True(pair.First < pair.Second));
    }

    [Fact]
    public void A_ramp_begins_at_the_rate_of_the_load_before_and_may_go_down()
    {
        var schedule = Schedule.Of([new Inject(100, Second, Second), new RampingInject(20, Second, Second * 10)]);
        var ramp = Assert.IsType<OpenStretch>(schedule.Stretches[1]);
        Assert.Equal((100, 20), (ramp.FirstRate, ramp.LastRate));
        var starts = ramp.Starts().ToList();
        Assert.Equal(600, starts.Count);
        Assert.Equal(Second, starts[0]);
        Assert.True(starts[^1] < Second * 11);
        Assert.Equal(400, starts.Count(s => s < Second * 6));
    }

    [Fact]
    public void A_ramp_down_to_nothing_ends()
    {
        var schedule = Schedule.Of([new Inject(10, Second, Second), new RampingInject(0, Second, Second * 4)]);
        Assert.Equal(20, ((IOpenStretch)schedule.Stretches[1]).Starts().Count());
    }

    [Fact]
    public void No_rate_starts_nothing() => Assert.Empty(Starts(new Inject(0, Second, Second)));

    [Fact]
    public void A_drawn_rate_keeps_its_bounds_in_every_interval_and_is_the_same_for_the_same_seed()
    {
        var load = new InjectRandom(5, 20, Second, Second * 50);
        var starts = Starts(load);
        var perInterval = starts.GroupBy(s => (int)s.TotalSeconds).Select(g => g.Count()).ToList();
        Assert.Equal(50, perInterval.Count);
        Assert.All(perInterval, n => Assert.InRange(n, 5, 20));
        Assert.True(perInterval.Distinct().Count() > 5);
        Assert.Equal(starts, Starts(load));
        Assert.NotEqual(starts, ((IOpenStretch)Schedule.Of([load], seed: 99).Stretches[0]).Starts());
    }

    [Fact]
    public void Copies_ramp_one_by_one_up_and_down()
    {
        var schedule = Schedule.Of([new RampingConstant(3, Second * 4), new KeepConstant(3, Second), new RampingConstant(1, Second * 3)]);
        var up = Assert.IsType<ClosedStretch>(schedule.Stretches[0]).Changes().ToList();
        Assert.Equal([(0, 0), (1, 1), (2, 2), (3, 3)], up.Select(c => ((int)c.At.TotalSeconds, c.Copies)));
        var down = Assert.IsType<ClosedStretch>(schedule.Stretches[2]).Changes().ToList();
        Assert.Equal([(5, 3), (6, 2), (7, 1)], down.Select(c => ((int)c.At.TotalSeconds, c.Copies)));
        Assert.Equal(Second * 8, schedule.Length);
    }

    [Fact]
    public void A_pause_forgets_what_was_before()
    {
        var schedule = Schedule.Of([new Inject(10, Second, Second), new Pause(Second), new RampingInject(10, Second, Second)]);
        Assert.Equal(0, ((OpenStretch)schedule.Stretches[2]).FirstRate);
    }

    [Fact]
    public void Warming_up_holds_the_height_of_the_first_load()
    {
        var open = Schedule.WarmUp([new Pause(Second), new RampingInject(50, Second, Second * 9), new Inject(99, Second, Second)], Second * 2);
        Assert.Equal((50.0, 50.0), (((OpenStretch)open.Stretches[0]).FirstRate, ((OpenStretch)open.Stretches[0]).LastRate));
        var closed = Schedule.WarmUp([new RampingConstant(7, Second * 9)], Second * 2);
        Assert.Equal(7, ((ClosedStretch)closed.Stretches[0]).FirstCopies);
        Assert.Equal(Second * 2, closed.Length);
    }

    [Fact]
    public void What_can_not_be_scheduled_is_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Schedule.Of([]));
        Assert.Throws<ArgumentOutOfRangeException>(() => Schedule.Of([new KeepConstant(1, TimeSpan.Zero)]));
        Assert.Throws<ArgumentOutOfRangeException>(() => Schedule.Of([new Inject(-1, Second, Second)]));
        Assert.Throws<ArgumentOutOfRangeException>(() => Schedule.Of([new Inject(1, TimeSpan.Zero, Second)]));
    }

    private static List<TimeSpan> Starts(Load load) => [.. ((IOpenStretch)Schedule.Of([load]).Stretches[0]).Starts()];
}
