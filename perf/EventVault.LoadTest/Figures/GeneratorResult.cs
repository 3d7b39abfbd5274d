using System.Globalization;

namespace EventVault.LoadTest.Figures;

/// <summary>
/// How well the generator itself kept up: how late its work began, against when the schedule wanted it. Where it fell behind,
/// the figures are about the generator, and the run is not valid.
/// </summary>
/// <param name="Starts">Starts whose lag was taken.</param>
/// <param name="LagP50">Median lag, in microseconds.</param>
/// <param name="LagP99">99th percentile.</param>
/// <param name="LagMost">The largest.</param>
/// <param name="Dropped">Starts that were left out, because too many iterations were in flight already.</param>
internal sealed record GeneratorResult(long Starts, double LagP50, double LagP99, double LagMost, long Dropped)
{
    // 10 ms: a few turns of the scheduler on a machine whose cores are shared with the server. Latencies contain the lag
    // (they count from the intended start); behind this bound they would be about nothing else.
    public static readonly TimeSpan MostLag = TimeSpan.FromMilliseconds(10);

    /// <summary>Why the run is not valid; empty if it is.</summary>
    public IReadOnlyList<string> Faults
    {
        get
        {
            var faults = new List<string>();
            if (LagP99 > MostLag.TotalMicroseconds)
            {
                faults.Add(string.Create(CultureInfo.InvariantCulture, $"the generator fell behind its schedule: p99 of its lag is {LagP99 / 1000:0.0} ms, {MostLag.TotalMilliseconds:0} ms are allowed"));
            }

            if (Dropped > 0)
            {
                faults.Add(string.Create(CultureInfo.InvariantCulture, $"{Dropped:#,0} starts were left out, because too many iterations were in flight"));
            }

            return faults;
        }
    }

    /// <summary>Whether the run says anything about the server.</summary>
    public bool Valid => Faults.Count == 0;

    public static GeneratorResult Of(LatencyHistogram lag, long dropped) => new(
        lag.Count, lag.Percentile(50).TotalMicroseconds, lag.Percentile(99).TotalMicroseconds, lag.Most.TotalMicroseconds, dropped);
}
