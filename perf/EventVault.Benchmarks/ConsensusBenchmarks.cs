extern alias atonce;

namespace EventVault.Benchmarks;

/// <summary>What consensus costs a vault of one node: the append path on the real core and on one that commits at once.</summary>
internal static class ConsensusBenchmarks
{
    private const int PayloadBytes = 256;

    public static async Task RunAsync(Report report, string directory, TimeSpan length, int pairs, int[] appenderCounts)
    {
        report.Section(
            "What a quorum of one costs",
            $"Durable appends of one event of {PayloadBytes} B in process, each appender waiting for its answer: the node's append path on the Raft core, and the same sources on a core that commits what is flushed. {pairs} interleaved pairs, their order swapped each time; medians of the pairs' ratios.");
        report.Head("appenders", "Raft core, events/s", "commit at once, events/s", "throughput, ratio (least … most)", "B allocated per event, Raft core", "commit at once");
        foreach (var appenders in appenderCounts)
        {
            var real = new List<Measured>();
            var atOnce = new List<Measured>();
            for (var i = 0; i < pairs; i++)
            {
                for (var turn = 0; turn < 2; turn++)
                {
                    if ((i + turn) % 2 == 0)
                    {
                        real.Add(await RealAsync(directory, appenders, length));
                    }
                    else
                    {
                        atOnce.Add(await AtOnceAsync(directory, appenders, length));
                    }
                }
            }

            var ratios = real.Zip(atOnce, (r, a) => r.PerSecond / a.PerSecond).Order().ToList();
            report.Row(
                $"{appenders}",
                Report.Figure(Measure.Median(real.Select(m => m.PerSecond))),
                Report.Figure(Measure.Median(atOnce.Select(m => m.PerSecond))),
                $"{Thousandths(Measure.Median(ratios))} ({Thousandths(ratios[0])} … {Thousandths(ratios[^1])})",
                Report.Figure(Measure.Median(real.Select(m => m.AllocatedPerOperation))),
                Report.Figure(Measure.Median(atOnce.Select(m => m.AllocatedPerOperation))));
        }
    }

    private static async Task<Measured> RealAsync(string directory, int appenders, TimeSpan length)
    {
        var folder = Path.Combine(directory, "consensus");
        Measured measured;
        await using (var path = await AppendPath.OpenAsync(folder))
        {
            measured = await AppendAsync(path.Appender, appenders, length);
        }

        Directory.Delete(folder, recursive: true);
        return measured;
    }

    private static async Task<Measured> AtOnceAsync(string directory, int appenders, TimeSpan length)
    {
        var folder = Path.Combine(directory, "at-once");
        Measured measured;
        await using (var path = await atonce::EventVault.Benchmarks.AppendPath.OpenAsync(folder))
        {
            measured = await AppendAsync(path.Appender, appenders, length);
        }

        Directory.Delete(folder, recursive: true);
        return measured;
    }

    private static Task<Measured> AppendAsync(
        Func<byte[], byte[], Action<Memory<byte>, UInt128>, Func<UInt128, ValueTask<bool>>> newAppender, int appenders, TimeSpan length) =>
        Measure.WorkersAsync<bool>(appenders, length / 2, length, worker =>
        {
            var append = newAppender(
                System.Text.Encoding.UTF8.GetBytes($"item-{worker:D12}"), EncodedEvent.Make(PayloadBytes), static (e, id) => EncodedEvent.SetId(e.Span, id));
            var id = new UInt128((ulong)Random.Shared.NextInt64(), 0);
            return () => append(++id);
        }, static written =>
        {
            if (!written)
            {
                throw new InvalidOperationException("The benchmark's append was not written.");
            }
        });

    private static string Thousandths(double ratio) => ratio.ToString("0.000", System.Globalization.CultureInfo.InvariantCulture);
}
