namespace EventVault.Simulation.Scheduling;

/// <summary>
/// A machine's clocks. The steady one runs at its own rate; the wall clock is that plus an offset that may jump. Both go
/// on while the process is down or paused.
/// </summary>
internal sealed class SimulatedClock(Func<long> now) : TimeProvider
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private double _rate = 1;
    private long _since;
    private long _elapsed;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>How far the wall clock is off, in ticks.</summary>
    public long Offset { get; set; }

    /// <summary>How fast it runs; 1 is right. Changing it does not move the clock.</summary>
    public double Rate
    {
        get => _rate;
        set
        {
            _elapsed = GetTimestamp();
            _since = now();
            _rate = value;
        }
    }

    public override long GetTimestamp() => _elapsed + (long)((now() - _since) * _rate);

    public override DateTimeOffset GetUtcNow() => Start.AddTicks(GetTimestamp() + Offset);

    /// <summary>True time that passes while this clock counts so many ticks.</summary>
    public long TrueTicks(long ticks) => Math.Max(1, (long)(ticks / _rate));

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        throw new InvalidOperationException("Simulated code has no timers: it is stepped.");
}
