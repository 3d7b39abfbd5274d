using System.Collections.Concurrent;

namespace EventVault.LoadTest.Figures;

/// <summary>
/// What became of one step of a scenario, interval by interval of the run; an answer counts in the interval in which it
/// came. Answers behind the run's end have an interval of their own, so that they are in the latencies, not in the rates.
/// Thread-safe.
/// </summary>
internal sealed class StepRecorder
{
    private readonly Interval?[] _intervals;
    private readonly TimeSpan _interval;
    private readonly ConcurrentDictionary<string, long> _failures = new(StringComparer.Ordinal);

    /// <param name="name">Of the step.</param>
    /// <param name="length">Of the run.</param>
    /// <param name="interval">Of its series.</param>
    public StepRecorder(string name, TimeSpan length, TimeSpan interval)
    {
        Name = name;
        _interval = interval;
        _intervals = new Interval?[(int)Math.Ceiling(length / interval) + 1];
    }

    public string Name { get; }

    /// <summary>Times of what went well, all intervals together.</summary>
    public LatencyHistogram Latencies()
    {
        var all = new LatencyHistogram();
        foreach (var interval in _intervals)
        {
            if (interval is not null)
            {
                all.Add(interval.Latencies);
            }
        }

        return all;
    }

    /// <summary>How often it failed, by why.</summary>
    public IReadOnlyDictionary<string, long> Failures => _failures;

    /// <summary>The intervals within the run, in order; null where nothing happened.</summary>
    public ReadOnlySpan<Interval?> WithinRun => _intervals.AsSpan(0, _intervals.Length - 1);

    /// <summary>All bytes.</summary>
    public long Bytes => _intervals.Sum(i => i?.Bytes ?? 0);

    public void Succeeded(TimeSpan sinceStart, TimeSpan latency, long bytes)
    {
        var interval = At(sinceStart);
        interval.Latencies.Add(latency);
        Interlocked.Add(ref interval.Bytes, bytes);
    }

    public void Failed(TimeSpan sinceStart, string why)
    {
        Interlocked.Increment(ref At(sinceStart).Failed);
        _failures.AddOrUpdate(why, 1, static (_, n) => n + 1);
    }

    private Interval At(TimeSpan sinceStart)
    {
        var index = Math.Clamp((int)(sinceStart / _interval), 0, _intervals.Length - 1);
        return Volatile.Read(ref _intervals[index])
            ?? Interlocked.CompareExchange(ref _intervals[index], new Interval(), null)
            ?? _intervals[index]!;
    }

    internal sealed class Interval
    {
        public readonly LatencyHistogram Latencies = new();
        public long Failed;
        public long Bytes;
    }
}
