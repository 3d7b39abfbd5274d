using System.Diagnostics;

namespace EventVault.Benchmarks;

/// <summary>What one run gave.</summary>
/// <param name="Operations">Operations in the measured time.</param>
/// <param name="Seconds">Length of the measured time.</param>
/// <param name="Latencies">One per operation that was timed, in microseconds, sorted; may be empty.</param>
/// <param name="AllocatedBytes">Managed bytes allocated in the measured time, by the whole process.</param>
internal sealed record Measured(long Operations, double Seconds, double[] Latencies, long AllocatedBytes)
{
    public double PerSecond => Operations / Seconds;

    public double AllocatedPerOperation => (double)AllocatedBytes / Math.Max(1, Operations);

    public double Percentile(double p) => Latencies.Length == 0 ? double.NaN : Latencies[(int)Math.Min(Latencies.Length - 1, p * Latencies.Length)];
}

/// <summary>Counts operations and their latencies on one thread of a run; merged at its end.</summary>
internal sealed class LatencyLog(int capacity)
{
    private readonly double[] _values = new double[capacity];

    public int Count { get; private set; }

    public long Operations { get; private set; }

    /// <summary>Latencies beyond the capacity are counted, not kept.</summary>
    public void Add(long startTimestamp)
    {
        Operations++;
        if (Count < _values.Length)
        {
            _values[Count++] = Stopwatch.GetElapsedTime(startTimestamp).TotalMicroseconds;
        }
    }

    public ReadOnlySpan<double> Values => _values.AsSpan(0, Count);

    public void Reset()
    {
        Count = 0;
        Operations = 0;
    }
}

internal static class Measure
{
    /// <summary>Median of the figures of some runs; of two in the middle, their mean.</summary>
    public static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return (sorted[sorted.Length / 2] + sorted[(sorted.Length - 1) / 2]) / 2;
    }

    /// <summary>Runs a closed loop on this thread for a while, after a warm-up.</summary>
    public static Measured Loop(TimeSpan warmUp, TimeSpan length, Action operation)
    {
        var log = new LatencyLog(1 << 20);
        for (var start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start) < warmUp;)
        {
            operation();
        }

        var allocated = GC.GetTotalAllocatedBytes(precise: true);
        var begun = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(begun) < length)
        {
            var before = Stopwatch.GetTimestamp();
            operation();
            log.Add(before);
        }

        return Finish(begun, allocated, log.Operations, [log]);
    }

    /// <summary>
    /// Runs so many workers side by side, each in a closed loop, after a warm-up. A worker does one operation per call.
    /// Allocates nothing per operation by itself.
    /// </summary>
    public static async Task<Measured> WorkersAsync<T>(int workers, TimeSpan warmUp, TimeSpan length, Func<int, Func<ValueTask<T>>> makeWorker, Action<T> check, int operationsPerCall = 1)
    {
        var logs = Enumerable.Range(0, workers).Select(_ => new LatencyLog(Math.Max(4096, (1 << 21) / workers))).ToArray();
        var phase = 0; // 0 warm-up, 1 measured, 2 end
        var tasks = Enumerable.Range(0, workers).Select(i => Task.Run(async () =>
        {
            var operation = makeWorker(i);
            var log = logs[i];
            while (Volatile.Read(ref phase) is var now && now < 2)
            {
                var before = Stopwatch.GetTimestamp();
                check(await operation());
                if (now == 1 && Volatile.Read(ref phase) == 1)
                {
                    log.Add(before);
                }
            }
        })).ToArray();
        await Task.Delay(warmUp);
        var allocated = GC.GetTotalAllocatedBytes(precise: true);
        var begun = Stopwatch.GetTimestamp();
        Volatile.Write(ref phase, 1);
        await Task.Delay(length);
        Volatile.Write(ref phase, 2);
        var measured = Finish(begun, allocated, logs.Sum(l => l.Operations) * operationsPerCall, logs);
        await Task.WhenAll(tasks);
        return measured;
    }

    private static Measured Finish(long begun, long allocatedBefore, long operations, LatencyLog[] logs)
    {
        var seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        var allocated = GC.GetTotalAllocatedBytes(precise: true) - allocatedBefore;
        var latencies = new double[logs.Sum(l => l.Count)];
        var at = 0;
        foreach (var log in logs)
        {
            log.Values.CopyTo(latencies.AsSpan(at));
            at += log.Count;
        }

        Array.Sort(latencies);
        return new Measured(operations, seconds, latencies, allocated);
    }
}
