using System.Diagnostics;

namespace EventVault.FaultLab.History;

/// <summary>The one clock of a run. Monotonic; only recorded times are compared with the wall clock that stood beside it at its start.</summary>
internal static class Clock
{
    private static readonly long Zero = Stopwatch.GetTimestamp();

    // 100 ns ticks since 1970, as recorded times are.
    private static readonly long RealZero = (DateTimeOffset.UtcNow - DateTimeOffset.UnixEpoch).Ticks - Stopwatch.GetElapsedTime(Zero).Ticks;

    public static long Now => Stopwatch.GetTimestamp() - Zero;

    public static long Milliseconds(long ticks) => ticks == long.MaxValue ? long.MaxValue : ticks * 1000 / Stopwatch.Frequency;

    /// <summary>What the machine's clock shows at a moment of this one, 100 ns ticks since 1970.</summary>
    public static long RealTime(long moment) => RealZero + (long)(moment * ((double)TimeSpan.TicksPerSecond / Stopwatch.Frequency));

    public static long Ticks(TimeSpan time) => (long)(time.TotalSeconds * Stopwatch.Frequency);
}
