namespace EventVault.LoadTest.Figures;

/// <summary>What a run of one scenario gave. Latencies are in microseconds, from the intended start.</summary>
internal sealed record ScenarioResult
{
    public required string Name { get; init; }

    public required string Description { get; init; }

    /// <summary>The loads, as text.</summary>
    public required IReadOnlyList<string> Loads { get; init; }

    public required double Seconds { get; init; }

    /// <summary>The first is the whole iteration.</summary>
    public required IReadOnlyList<StepResult> Steps { get; init; }

    /// <summary>What the scenario counted by itself, such as events or conflicts, within the run.</summary>
    public required IReadOnlyDictionary<string, long> Counts { get; init; }

    /// <summary>What its check found, such as how many events are missing.</summary>
    public required IReadOnlyDictionary<string, long> Findings { get; init; }

    public required GeneratorResult Generator { get; init; }

    /// <summary>Processor time of the nodes that the runner knows, in seconds; null: none.</summary>
    public double? ServerCpuSeconds { get; init; }

    /// <summary>Processor time of this program, in seconds.</summary>
    public double ClientCpuSeconds { get; init; }

    /// <summary>Memory of those nodes at the end, in MiB; null: none.</summary>
    public double? ServerMemoryMiB { get; init; }

    public required IReadOnlyList<ThresholdResult> Thresholds { get; init; }

    /// <summary>Length of an interval of the series, in seconds.</summary>
    public required double SeriesSeconds { get; init; }

    public bool Passed => Thresholds.All(t => t.Passed);

    public StepResult Whole => Steps[0];

    public StepResult Step(string name) => Steps.Single(s => s.Name == name);
}

/// <summary>What became of a step.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Ok">How often it went well, answers behind the run's end included.</param>
/// <param name="Failed">How often it did not.</param>
/// <param name="PerSecond">Of those that went well, answered within the run, a second.</param>
/// <param name="Latency">Of those that went well.</param>
/// <param name="Bytes">That it said it moved.</param>
/// <param name="Failures">Why it failed, and how often.</param>
/// <param name="Series">Interval by interval.</param>
/// <param name="Distribution">Percentiles for the chart: percent and microseconds.</param>
internal sealed record StepResult(
    string Name, long Ok, long Failed, double PerSecond, LatencyFigures Latency, long Bytes,
    IReadOnlyDictionary<string, long> Failures, IReadOnlyList<SeriesPoint> Series, IReadOnlyList<PercentilePoint> Distribution)
{
    private static readonly double[] Percents = [1, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97.5, 98, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 99.999];

    /// <summary>Share of those that failed, 0 to 1.</summary>
    public double FailedShare => Ok + Failed == 0 ? 0 : (double)Failed / (Ok + Failed);

    public static StepResult Of(StepRecorder recorder, TimeSpan length, TimeSpan interval)
    {
        var all = recorder.Latencies();
        var series = new List<SeriesPoint>();
        var within = 0L;
        for (var i = 0; i < recorder.WithinRun.Length; i++)
        {
            var seconds = Math.Min(interval.TotalSeconds, length.TotalSeconds - (i * interval.TotalSeconds));
            var point = recorder.WithinRun[i];
            var latencies = point?.Latencies;
            within += latencies?.Count ?? 0;
            series.Add(new SeriesPoint(
                i * interval.TotalSeconds, (latencies?.Count ?? 0) / seconds, (point?.Failed ?? 0) / seconds,
                latencies?.Percentile(50).TotalMicroseconds ?? 0, latencies?.Percentile(99).TotalMicroseconds ?? 0));
        }

        return new StepResult(
            recorder.Name, all.Count, recorder.Failures.Values.Sum(), within / length.TotalSeconds, LatencyFigures.Of(all), recorder.Bytes,
            recorder.Failures.OrderByDescending(f => f.Value).ToDictionary(), series,
            all.Count == 0 ? [] : [.. Percents.Select(p => new PercentilePoint(p, all.Percentile(p).TotalMicroseconds))]);
    }
}

/// <summary>Latencies in microseconds.</summary>
internal sealed record LatencyFigures(double Least, double Mean, double P50, double P75, double P95, double P99, double P999, double Most)
{
    public static LatencyFigures Of(LatencyHistogram all) => new(
        all.Least.TotalMicroseconds, all.Mean.TotalMicroseconds, all.Percentile(50).TotalMicroseconds, all.Percentile(75).TotalMicroseconds,
        all.Percentile(95).TotalMicroseconds, all.Percentile(99).TotalMicroseconds, all.Percentile(99.9).TotalMicroseconds, all.Most.TotalMicroseconds);
}

/// <summary>One interval: when it began, rates a second, percentiles in microseconds (0 where nothing was answered).</summary>
internal sealed record SeriesPoint(double AtSeconds, double OkPerSecond, double FailedPerSecond, double P50, double P99);

/// <summary>A percentile in microseconds.</summary>
internal sealed record PercentilePoint(double Percent, double Microseconds);

/// <summary>A bound that a run was held against.</summary>
internal sealed record ThresholdResult(string Text, bool Passed);
