using EventVault.Node.Tests.Support;

namespace EventVault.Node.Tests;

/// <summary>When the time is believed by which events are too old.</summary>
public sealed class RetentionClockTests
{
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);
    private readonly HandClock _wall = new();

    [Fact]
    public void A_clock_that_goes_on_with_the_monotonic_one_is_believed()
    {
        var clock = new RetentionClock(_wall, Newest(_wall.Ticks - Minute.Ticks));
        for (var i = 0; i < 100; i++)
        {
            Assert.Equal(_wall.Ticks, clock.Now());
            Assert.Null(clock.Ahead);
            _wall.Pass(TimeSpan.FromHours(i));
        }
    }

    [Fact]
    public void A_vault_that_was_off_for_long_waits_until_its_clock_has_run_steadily()
    {
        var clock = new RetentionClock(_wall, Newest(_wall.Ticks - TimeSpan.FromDays(9).Ticks));
        for (var waited = TimeSpan.Zero; waited < RetentionClock.Confirmation; waited += Minute)
        {
            Assert.Null(clock.Now());
            Assert.Equal(TimeSpan.FromDays(9), clock.Ahead);
            _wall.Pass(Minute);
        }

        Assert.Equal(_wall.Ticks, clock.Now());
        Assert.Null(clock.Ahead);
        _wall.Pass(TimeSpan.FromDays(3)); // However long nobody asked.
        Assert.Equal(_wall.Ticks, clock.Now());
    }

    [Fact]
    public void A_jump_ahead_that_is_set_right_in_time_takes_nothing_away()
    {
        var clock = new RetentionClock(_wall, Newest(_wall.Ticks));
        Assert.NotNull(clock.Now());
        _wall.Pass(Minute);
        _wall.Jump(TimeSpan.FromDays(365));
        for (var i = 0; i < 59; i++)
        {
            Assert.Null(clock.Now());
            _wall.Pass(Minute);
        }

        _wall.Jump(-TimeSpan.FromDays(365));
        Assert.Equal(_wall.Ticks, clock.Now());
        _wall.Jump(TimeSpan.FromDays(365)); // To where it was before: the wait begins anew all the same.
        Assert.Null(clock.Now());
        _wall.Pass(RetentionClock.Confirmation - Minute);
        Assert.Null(clock.Now());
    }

    [Fact]
    public void A_clock_that_jumps_while_it_is_watched_is_watched_from_there()
    {
        var clock = new RetentionClock(_wall, Newest(0));
        Assert.Null(clock.Now());
        _wall.Pass(RetentionClock.Confirmation - Minute);
        _wall.Jump(TimeSpan.FromDays(1));
        Assert.Null(clock.Now());
        _wall.Pass(RetentionClock.Confirmation - Minute);
        Assert.Null(clock.Now());
        _wall.Pass(Minute);
        Assert.Equal(_wall.Ticks, clock.Now());
    }

    // It keeps events longer, at worst; and log time goes on in any case.
    [Fact]
    public void A_clock_that_is_behind_or_a_little_ahead_is_believed_and_so_is_any_without_events()
    {
        var clock = new RetentionClock(_wall, Newest(_wall.Ticks + TimeSpan.FromDays(9).Ticks));
        Assert.Equal(_wall.Ticks, clock.Now());
        _wall.Jump(-TimeSpan.FromDays(9));
        Assert.Equal(_wall.Ticks, clock.Now());
        _wall.Jump(RetentionClock.Tolerance);
        Assert.Equal(_wall.Ticks, clock.Now());
        _wall.Jump(RetentionClock.Tolerance + TimeSpan.FromTicks(1));
        Assert.Null(clock.Now());
        Assert.Equal(_wall.Ticks, new RetentionClock(_wall, log: null).Now());
    }

    [Fact]
    public void Behind_a_step_in_the_log_no_clock_is_believed_at_first_wherever_it_is()
    {
        foreach (var behind in (TimeSpan[])[TimeSpan.Zero, Minute, TimeSpan.FromDays(-9), TimeSpan.FromDays(9)])
        {
            var clock = new RetentionClock(_wall, new LogTimes((_wall.Ticks - behind.Ticks), IsSteady: false));
            Assert.Null(clock.Now());
            Assert.Equal(behind, clock.Ahead);
            _wall.Pass(RetentionClock.Confirmation - Minute);
            Assert.Null(clock.Now());
            _wall.Pass(Minute);
            Assert.Equal(_wall.Ticks, clock.Now());
            _wall.Pass(Minute);
            Assert.Equal(_wall.Ticks, clock.Now());
        }
    }

    [Fact]
    public async Task Times_are_steady_without_a_step_onto_the_newest_event_nor_in_the_hour_before_it()
    {
        await using var node = await TestNode.StartAsync(o => o with { Clock = _wall });
        Assert.Null(LogTimes.Of(node.Node.Storage.Reader));
        var longest = RetentionClock.Tolerance;
        var step = longest + TimeSpan.FromSeconds(1);
        foreach (var (pass, steady) in (ValueTuple<TimeSpan, bool>[])
            [(TimeSpan.Zero, true), (longest, true), (longest, true), (step, false), (Minute, false), (longest - (2 * Minute), false), (2 * Minute, true), (step, false)])
        {
            _wall.Pass(pass);
            await node.AppendAsync("order-1", Make.Any);
            var times = LogTimes.Of(node.Node.Storage.Reader)!.Value;
            Assert.InRange(times.Newest, _wall.Ticks, _wall.Ticks + TimeSpan.TicksPerMillisecond);
            Assert.Equal(steady, times.IsSteady);
        }
    }

    private static LogTimes Newest(long time) => new(time, IsSteady: true);
}
