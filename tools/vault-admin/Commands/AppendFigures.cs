using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary>What the appends of a load run came to. Not thread-safe: each worker has its own, summed at the end.</summary>
internal sealed class AppendFigures
{
    private readonly List<long> _latencies = [];

    public static (string Name, double Share)[] Shares { get; } = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1)];

    public int Appends => _latencies.Count;

    public long Events { get; private init; }

    public TimeSpan Time { get; private init; }

    public ulong FirstPosition { get; private set; } = ulong.MaxValue;

    public ulong LastPosition { get; private set; }

    public static AppendFigures Sum(IReadOnlyList<AppendFigures> parts, TimeSpan time, int eventsAnAppend)
    {
        var sum = new AppendFigures
        {
            Time = time,
            Events = parts.Sum(p => (long)p.Appends) * eventsAnAppend,
            FirstPosition = parts.Min(p => p.FirstPosition),
            LastPosition = parts.Max(p => p.LastPosition),
        };
        foreach (var part in parts)
        {
            sum._latencies.AddRange(part._latencies);
        }

        sum._latencies.Sort();
        return sum;
    }

    public void Add(AppendResult result, TimeSpan latency)
    {
        _latencies.Add(latency.Ticks);
        FirstPosition = Math.Min(FirstPosition, result.FirstPosition);
        LastPosition = Math.Max(LastPosition, result.LastPosition);
    }

    /// <summary>The latency that this share of the appends did not exceed.</summary>
    /// <param name="share">From 0 to 1.</param>
    public TimeSpan LatencyAt(double share) =>
        TimeSpan.FromTicks(_latencies[Math.Clamp((int)Math.Ceiling(share * _latencies.Count) - 1, 0, _latencies.Count - 1)]);
}
