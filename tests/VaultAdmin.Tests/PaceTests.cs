using EventVault.Admin.Commands;

namespace EventVault.Admin.Tests;

/// <summary>A backup keeps to its rate, and makes room on a busy machine, without ever standing still.</summary>
public sealed class PaceTests
{
    private const int Piece = 1 << 20;

    [Theory]
    [InlineData(0, 1.0)] // Bytes that cost no time: the rate alone.
    [InlineData(20, 1.0)] // As much as a quarter of the time: the rate allows no more.
    [InlineData(40, 0.6)] // Three times as long a rest as the work.
    [InlineData(90, 0.25)] // A machine so busy that it would be less: a quarter of the rate.
    [InlineData(400, 0.25)] // The work alone takes that long: no rest.
    [InlineData(800, 0.125)]
    public void Rests_are_three_times_the_work_between_the_rate_and_a_quarter_of_it(int workMs, double share)
    {
        var clock = new HandClock();
        var pace = new Pace(10 * Piece, clock); // 100 ms a piece.
        var (pieces, from) = (200, TimeSpan.Zero);
        for (var i = 0; i < pieces; i++)
        {
            if (i == 10)
            {
                from = clock.Now; // What may come at once has come.
            }

            clock.Now += TimeSpan.FromMilliseconds(workMs);
            if (pace.Owed(Piece) is var rest && rest > TimeSpan.Zero)
            {
                clock.Now += rest;
            }

            pace.WorkBegins();
        }

        Assert.Equal(share, (pieces - 10) * 0.1 / (clock.Now - from).TotalSeconds, 0.03);
    }

    [Fact]
    public void Without_a_bound_there_is_no_rest()
    {
        var clock = new HandClock();
        var pace = new Pace(0, clock);
        clock.Now = TimeSpan.FromSeconds(1);
        Assert.Equal(TimeSpan.Zero, pace.Owed(Piece));
    }

    private sealed class HandClock : TimeProvider
    {
        public TimeSpan Now { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Now.Ticks;
    }
}
