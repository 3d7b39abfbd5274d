using System.Diagnostics;

namespace EventVault.FaultLab.History;

/// <summary>The one clock of a run. Monotonic; the nodes' own clocks are never compared with it.</summary>
internal static class Clock
{
    private static readonly long Zero = Stopwatch.GetTimestamp();

    public static long Now => Stopwatch.GetTimestamp() - Zero;

    public static long Milliseconds(long ticks) => ticks == long.MaxValue ? long.MaxValue : ticks * 1000 / Stopwatch.Frequency;

    public static long Ticks(TimeSpan time) => (long)(time.TotalSeconds * Stopwatch.Frequency);
}
