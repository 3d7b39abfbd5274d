namespace EventVault.Node.Tests.Support;

/// <summary>A clock that goes on by hand, and can be set apart from its monotonic side. Its timers are real.</summary>
internal sealed class HandClock : TimeProvider
{
    private long _ticks = (new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero) - DateTimeOffset.UnixEpoch).Ticks;
    private long _stamp = 1;

    /// <summary>100 ns ticks since 1970.</summary>
    public long Ticks => Volatile.Read(ref _ticks);

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch.AddTicks(Ticks);

    public override long GetTimestamp() => Volatile.Read(ref _stamp);

    /// <summary>Time passes.</summary>
    public void Pass(TimeSpan time)
    {
        Jump(time);
        Interlocked.Add(ref _stamp, time.Ticks);
    }

    /// <summary>Somebody sets the clock.</summary>
    public void Jump(TimeSpan time) => Interlocked.Add(ref _ticks, time.Ticks);
}
