using System.Diagnostics;
using System.Text;
using System.Text.Json;
using EventVault.Node;
using EventVault.Storage;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Temporal;
using EventVault.Temporal.Reducers;

namespace EventVault.Benchmarks;

/// <summary>What a vault of so many segments and streams was measured to cost.</summary>
internal sealed record GrowthFigures
{
    public int Segments { get; init; }

    public long Streams { get; init; }

    public long Events { get; init; }

    public double FillSeconds { get; init; }

    public string Load { get; init; } = "";

    /// <summary>By the name of the measure, in its unit.</summary>
    public Dictionary<string, double> Values { get; init; } = [];
}

/// <summary>
/// Whether cost stays the same while a vault grows. A cell is a vault of its own, filled, measured and noted in a file before the next
/// one, so that a run that was cut short goes on where it stopped.
/// </summary>
internal sealed class GrowthBenchmarks(Report report, string directory, bool smoke)
{
    private const int Appenders = 16;
    private static readonly NativeFileSystem Files = new();
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };
    private readonly int _rounds = smoke ? 1 : 5;

    /// <summary>Measures the cells that are not measured yet, and reports all of them.</summary>
    /// <param name="segments">Sealed segments.</param>
    /// <param name="streams">Streams; where a vault has no room for so many, there is no cell.</param>
    /// <param name="segmentSizeBytes">Of each segment.</param>
    /// <param name="keeps">Whether a vault is kept when it has been measured.</param>
    /// <param name="onlyFills">Whether the vaults are filled and nothing is measured: that needs no quiet machine.</param>
    /// <param name="plot">Where the plots go; empty: nowhere.</param>
    public async Task RunAsync(int[] segments, long[] streams, uint segmentSizeBytes, bool keeps, bool onlyFills, string plot)
    {
        const int MostEventBytes = 200;
        Directory.CreateDirectory(directory);
        var all = new List<GrowthFigures>();
        foreach (var (s, n) in segments.SelectMany(s => streams.Select(n => (s, n))).Where(c => c.n * MostEventBytes <= c.s * (long)segmentSizeBytes * 6 / 5))
        {
            var noted = Path.Combine(directory, $"{s}x{n}.json");
            if (!File.Exists(noted))
            {
                var vault = new GrowthVault(Path.Combine(directory, $"{s}x{n}"), s, n, segmentSizeBytes);
                var filled = await FillAsync(vault, s, n, noted + ".filled");
                if (onlyFills)
                {
                    continue;
                }

                var figures = await MeasureAsync(vault, filled);
                await File.WriteAllTextAsync(noted + ".tmp", JsonSerializer.Serialize(figures, Indented));
                File.Move(noted + ".tmp", noted);
                if (!keeps)
                {
                    File.Delete(noted + ".filled");
                    Directory.Delete(vault.Folder, recursive: true);
                }
            }

            all.Add(JsonSerializer.Deserialize<GrowthFigures>(await File.ReadAllTextAsync(noted))!);
        }

        if (onlyFills)
        {
            return;
        }

        GrowthReport.Write(report, all, segmentSizeBytes, _rounds);
        if (plot.Length > 0)
        {
            await File.WriteAllTextAsync(plot, GrowthReport.Plot(all));
        }
    }

    // Appends of the measuring itself come behind what was filled in: how much that was is noted.
    private static async Task<GrowthFigures> FillAsync(GrowthVault vault, int segments, long streams, string mark)
    {
        if (!File.Exists(mark))
        {
            Console.WriteLine($"filling {vault.Folder}");
            var (events, seconds) = vault.Fill();
            var filled = new GrowthFigures { Segments = segments, Streams = streams, Events = events, FillSeconds = seconds };
            await File.WriteAllTextAsync(mark, JsonSerializer.Serialize(filled, Indented));
        }

        return JsonSerializer.Deserialize<GrowthFigures>(await File.ReadAllTextAsync(mark))!;
    }

    private async Task<GrowthFigures> MeasureAsync(GrowthVault vault, GrowthFigures filled)
    {
        Console.WriteLine($"measuring {vault.Folder}, {filled.Events:#,0} events");
        var load = (await File.ReadAllTextAsync("/proc/loadavg")).Trim();
        var values = new Dictionary<string, double>();
        await StartsAsync(vault, values);
        await using (var node = await Node.Node.StartAsync(new NodeOptions { Directory = vault.Folder }))
        {
            Reads(node.Storage, vault, filled.Events, values);
            States(node.Storage, vault, filled.Events, values);
            await AppendsAsync(node, vault, vault.OtherStreams(filled.Events), values);
            await node.StopAsync();
        }

        await ColdAppendsAsync(vault, vault.OtherStreams(filled.Events), values);

        return filled with { Load = load, Values = values };
    }

    private async Task StartsAsync(GrowthVault vault, Dictionary<string, double> values)
    {
        var byKill = new List<StartBenchmarks.Started>();
        var byStop = new List<StartBenchmarks.Started>();
        await StartBenchmarks.StartAsync(vault.Folder, kill: false, settle: false); // Whatever ended before does not count.
        for (var round = 0; round < _rounds; round++)
        {
            byStop.Add(await StartBenchmarks.StartAsync(vault.Folder, kill: true, settle: !smoke && round == 0));
            byKill.Add(await StartBenchmarks.StartAsync(vault.Folder, kill: false, settle: false));
        }

        values[GrowthReport.StartStopped] = Measure.Median(byStop.Select(s => s.ReadyMs));
        values[GrowthReport.StartKilled] = Measure.Median(byKill.Select(s => s.ReadyMs));
        values[GrowthReport.Memory] = byStop[0].IdleMiB;
    }

    private void Reads(VaultStorage storage, GrowthVault vault, long events, Dictionary<string, double> values)
    {
        var probes = Some(storage, GrowthVault.Probes(events), GrowthVault.Probe);
        var spread = Some(storage, vault.SpreadStreams, GrowthVault.Spread);
        var random = new Random(1);
        (values[GrowthReport.ReadP50], values[GrowthReport.ReadP99]) = Rounds(() => Read(storage, probes[random.Next(probes.Length)]), smoke ? 100 : 5000);
        (values[GrowthReport.SpreadP50], _) = Rounds(() => Read(storage, spread[random.Next(spread.Length)]), smoke ? 20 : 1000);
    }

    // The first 100 events; a spread stream of a tiny vault has fewer.
    private static void Read(VaultStorage storage, (StreamReference Reference, int Events) stream)
    {
        var sink = default(CountingSink);
        for (var version = 0; version < stream.Events;)
        {
            version += storage.Reader.ReadStream(stream.Reference, new StreamVersion(version), new StreamVersion(stream.Events - 1), backwards: false, ref sink);
        }

        if (sink.Events != stream.Events)
        {
            throw new InvalidOperationException($"Of {stream.Events} events of a stream {sink.Events} were read.");
        }
    }

    private void States(VaultStorage storage, GrowthVault vault, long events, Dictionary<string, double> values)
    {
        using var kept = new StateSnapshots(Files, vault.Folder + "-states", default, new StateSnapshotRule());
        var reader = new StateReader(storage.Reader, kept, FoldLimits.Default);
        var probes = Some(storage, GrowthVault.Probes(events), GrowthVault.Probe);
        var random = new Random(2);
        (values[GrowthReport.StateP50], values[GrowthReport.StateP99]) = Rounds(
            () =>
            {
                var stream = probes[random.Next(probes.Length)].Reference;
                var time = storage.Reader.RecordedAt(storage.Reader.PositionOf(stream, new StreamVersion(random.Next(GrowthVault.ProbeEvents))));
                var answer = reader.Read(MergePatchReducer.Instance, stream, storage.Reader.LastAtOrBefore(time), new StateOptions(null, false, long.MaxValue) { CutTime = time }, default);
                if (answer.State is null)
                {
                    throw new InvalidOperationException("A stream had no state at the time of one of its events.");
                }
            },
            smoke ? 100 : 3000);
        Directory.Delete(vault.Folder + "-states", recursive: true);
    }

    // Up to 200, evenly over the whole vault, and looked at once: what is measured is a warm page cache.
    private static (StreamReference Reference, int Events)[] Some(VaultStorage storage, long count, Func<long, string> name)
    {
        var some = (int)Math.Min(200, count);
        return [.. Enumerable.Range(0, some).Select(i => storage.Reader.Reference(Encoding.UTF8.GetBytes(name(i * count / some))))
            .Select(reference => (reference, (int)Math.Min(GrowthVault.ProbeEvents, storage.Reader.LastVersion(reference).Value + 1)))];
    }

    private (double P50, double P99) Rounds(Action operation, int operations)
    {
        var (p50, p99) = (new List<double>(), new List<double>());
        for (var round = -1; round < _rounds; round++)
        {
            var times = new double[operations];
            for (var i = 0; i < operations; i++)
            {
                var begun = Stopwatch.GetTimestamp();
                operation();
                times[i] = Stopwatch.GetElapsedTime(begun).TotalMicroseconds;
            }

            Array.Sort(times);
            if (round >= 0)
            {
                p50.Add(times[operations / 2]);
                p99.Add(times[operations * 99 / 100]);
            }
        }

        return (Measure.Median(p50), Measure.Median(p99));
    }

    // So few that no segment is filled by them: that would be another cell.
    private async Task AppendsAsync(Node.Node node, GrowthVault vault, long streams, Dictionary<string, double> values)
    {
        var (p50, p99, cpu) = (new List<double>(), new List<double>(), new List<double>());
        for (var round = -1; round < _rounds; round++)
        {
            vault.Warm();
            var used = Environment.CpuUsage.TotalTime;
            var times = await RoundAsync(node, streams, round);
            used = Environment.CpuUsage.TotalTime - used;
            if (round >= 0)
            {
                p50.Add(times[times.Length / 2]);
                p99.Add(times[times.Length * 99 / 100]);
                cpu.Add(used.TotalNanoseconds / times.Length);
            }
        }

        values[GrowthReport.AppendP50] = Measure.Median(p50);
        values[GrowthReport.AppendP99] = Measure.Median(p99);
        values[GrowthReport.AppendCpu] = Measure.Median(cpu);
    }

    // As behind the start of a machine. What is mapped can't be dropped, so the vault is closed for it.
    private async Task ColdAppendsAsync(GrowthVault vault, long streams, Dictionary<string, double> values)
    {
        var p50 = new List<double>();
        for (var round = 0; round < _rounds; round++)
        {
            vault.DropFromPageCache();
            await using var node = await Node.Node.StartAsync(new NodeOptions { Directory = vault.Folder });
            var times = await RoundAsync(node, streams, _rounds + round);
            p50.Add(times[times.Length / 2]);
            await node.StopAsync();
        }

        values[GrowthReport.ColdAppendP50] = Measure.Median(p50);
    }

    private async Task<double[]> RoundAsync(Node.Node node, long streams, int round)
    {
        var each = smoke ? 10 : 100;
        var times = await Task.WhenAll(Enumerable.Range(0, Appenders).Select(i => Task.Run(() => AppendAsync(node, streams, each, new Random((round * Appenders) + i)))));
        return [.. times.SelectMany(t => t).Order()];
    }

    private static async Task<double[]> AppendAsync(Node.Node node, long streams, int appends, Random random)
    {
        var append = new SingleAppend(node.Storage);
        var e = EncodedEvent.Make(256);
        var id = new UInt128((ulong)Random.Shared.NextInt64(), 0);
        var times = new double[appends];
        for (var i = 0; i < appends; i++)
        {
            byte[] bytes = [.. Encoding.UTF8.GetBytes(GrowthVault.Other(random.NextInt64(streams))), .. e];
            var name = bytes.Length - e.Length;
            append.Reset();
            EncodedEvent.SetId(bytes.AsSpan(name), ++id);
            append.Content.Reset(bytes);
            append.Content.OperationId = id;
            append.Content.AddStream(0, name, ExpectedKind.Exists, StreamVersion.None);
            append.Content.AddEvent(name, e.Length);
            append.QueuedBytes = bytes.Length;
            var begun = Stopwatch.GetTimestamp();
            if (append.Content.Check(out _, out _).Kind != EventProblemKind.None || await node.AppendAsync(append) != AppendOutcome.Appended)
            {
                throw new InvalidOperationException("The benchmark's append was not written.");
            }

            times[i] = Stopwatch.GetElapsedTime(begun).TotalMicroseconds;
        }

        return times;
    }

    private struct CountingSink : IEventSink
    {
        public int Events;

        public bool Accept(in EventView e)
        {
            Events++;
            return true;
        }
    }
}
