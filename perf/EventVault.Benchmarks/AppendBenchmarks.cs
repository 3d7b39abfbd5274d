using EventVault.Node;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Benchmarks;

/// <summary>Durable appends in process, beside the bare disk, FasterLog and a group commit that does nothing else in the same run.</summary>
internal static class AppendBenchmarks
{
    private const int PayloadBytes = 256;

    private static long AppendedByAll; // Warm-ups included.

    public static async Task RunAsync(Report report, string directory, TimeSpan length, int repetitions, int[] appenderCounts)
    {
        report.Section(
            "Durable appends in process",
            $"One event of {PayloadBytes} B per append; each appender waits for its answer before the next. Bare loop: 4 KiB `pwrite` + `fdatasync` into space written before, one thread. FasterLog: enqueue and wait for commit. Group commit: a queue, a version for each stream, a checksum, the same writes and flushes, and nothing else of a vault. All four turn by turn in the same run; medians of {repetitions}.");
        report.Head("appenders", "bare loop, ops/s (p50 µs)", "FasterLog, events/s (p50 µs)", "group commit, events/s (p50 µs)", "EventVault, events/s (p50 / p99 µs)", "to bare loop", "to FasterLog", "to group commit", "B allocated per event");
        foreach (var appenders in appenderCounts)
        {
            var bare = new List<Measured>();
            var faster = new List<Measured>();
            var group = new List<Measured>();
            var vault = new List<Measured>();
            for (var i = 0; i < repetitions; i++)
            {
                bare.Add(DiskLimit.BlockAndFlush(directory, length / 4, length));
                faster.Add(await FasterAnchor.AppendAsync(directory, appenders, PayloadBytes, length / 4, length));
                group.Add(await GroupCommitAnchor.AppendAsync(directory, appenders, PayloadBytes, length / 4, length));
                vault.Add(await AppendAsync(directory, appenders, length / 2, length));
            }

            report.Row(
                $"{appenders}",
                $"{Report.Figure(Median(bare, m => m.PerSecond))} ({Report.Figure(Median(bare, m => m.Percentile(0.5)))})",
                $"{Report.Figure(Median(faster, m => m.PerSecond))} ({Report.Figure(Median(faster, m => m.Percentile(0.5)))})",
                $"{Report.Figure(Median(group, m => m.PerSecond))} ({Report.Figure(Median(group, m => m.Percentile(0.5)))})",
                $"{Report.Figure(Median(vault, m => m.PerSecond))} ({Report.Figure(Median(vault, m => m.Percentile(0.5)))} / {Report.Figure(Median(vault, m => m.Percentile(0.99)))})",
                Report.Ratio(Measure.Median(vault.Zip(bare, (v, b) => v.PerSecond / b.PerSecond))),
                Report.Ratio(Measure.Median(vault.Zip(faster, (v, f) => v.PerSecond / f.PerSecond))),
                Report.Ratio(Measure.Median(vault.Zip(group, (v, g) => v.PerSecond / g.PerSecond))),
                Report.Figure(Median(vault, m => m.AllocatedPerOperation)));
        }
    }

    /// <summary>The vault alone, once: to be run in turns with another build of this program.</summary>
    public static async Task RunAloneAsync(Report report, string directory, TimeSpan length, int[] appenderCounts)
    {
        report.Head("appenders", "events/s", "p50 µs", "p99 µs", "B allocated per event", "CPU µs per event, warm-up included");
        foreach (var appenders in appenderCounts)
        {
            var cpu = Environment.CpuUsage.TotalTime;
            var before = AppendedByAll;
            var measured = await AppendAsync(directory, appenders, length / 2, length);
            cpu = Environment.CpuUsage.TotalTime - cpu;
            report.Row(
                $"{appenders}", Report.Figure(measured.PerSecond), Report.Figure(measured.Percentile(0.5)), Report.Figure(measured.Percentile(0.99)),
                Report.Figure(measured.AllocatedPerOperation), $"{cpu.TotalMicroseconds / (AppendedByAll - before):0.00}");
        }
    }

    private static async Task<Measured> AppendAsync(string directory, int appenders, TimeSpan warmUp, TimeSpan length)
    {
        var folder = Path.Combine(directory, "append");
        await using (var node = await Node.Node.StartAsync(new NodeOptions { Directory = folder }))
        {
            var measured = await Measure.WorkersAsync<AppendOutcome>(appenders, warmUp, length, worker =>
            {
                var append = new SingleAppend(node.Storage, mostInline: int.MaxValue);
                var e = EncodedEvent.Make(PayloadBytes);
                var name = System.Text.Encoding.UTF8.GetBytes($"item-{worker:D12}");
                byte[] bytes = [.. name, .. e];
                var id = new UInt128((ulong)Random.Shared.NextInt64(), 0);
                return () =>
                {
                    append.Reset();
                    EncodedEvent.SetId(bytes.AsSpan(name.Length), ++id);
                    append.Content.Reset(bytes);
                    append.Content.OperationId = id;
                    append.Content.AddStream(0, name.Length, ExpectedKind.Any, StreamVersion.None);
                    append.Content.AddEvent(name.Length, e.Length);
                    append.QueuedBytes = bytes.Length;
                    Expect(append.Content.Check(out _, out _).Kind == EventProblemKind.None);
                    return node.AppendAsync(append);
                };
            }, static outcome => Expect(outcome == AppendOutcome.Appended));
            AppendedByAll += node.Storage.Head.Value + 1;
            await node.StopAsync();
            Directory.Delete(folder, recursive: true);
            return measured;
        }
    }

    private static void Expect(bool written)
    {
        if (!written)
        {
            throw new InvalidOperationException("The benchmark's append was not written.");
        }
    }

    private static double Median(List<Measured> runs, Func<Measured, double> figure) => Measure.Median(runs.Select(figure));
}
