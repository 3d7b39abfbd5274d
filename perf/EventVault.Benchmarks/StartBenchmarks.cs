using System.Diagnostics;
using System.Globalization;
using EventVault.Storage;
using EventVault.Storage.Io;

namespace EventVault.Benchmarks;

/// <summary>Start and idle memory of a real node process on a vault of many segments and streams, kept between runs.</summary>
internal static class StartBenchmarks
{
    private const int Half = 2;

    /// <summary>What one start gave.</summary>
    internal readonly record struct Started(double ReadyMs, double OpenMs, double RssMiB, double AnonymousMiB, double FileMiB, double IdleMiB);

    /// <summary>Fills a new vault: so many sealed segments, streams spread evenly over them, and half a segment more.</summary>
    public static void Fill(Report report, string folder, long streams, int segments, uint segmentSizeBytes, int payloadBytes)
    {
        // Measured: what an event takes in the log beside its payload, group headers included.
        const int OtherBytes = 140;
        var expected = segments * ((long)segmentSizeBytes / (OtherBytes + payloadBytes));
        var begun = Stopwatch.GetTimestamp();
        using var storage = VaultStorage.Open(new NativeFileSystem(), folder, new StorageOptions { SegmentSizeBytes = segmentSizeBytes }, DateTime.UtcNow.Ticks - DateTime.UnixEpoch.Ticks);
        var filler = new VaultFiller(storage, payloadBytes);
        var random = new Random(1);
        var made = 0L;

        // A new stream whenever the share of streams is behind the share of events; otherwise one of the old ones goes on.
        long StreamOf(long i) => made < streams && made * expected <= i * streams ? made++ : random.NextInt64(made);
        filler.Fill(StreamOf, _ => storage.SegmentCounts is var (s, u) && s + u <= segments);
        filler.Settle();
        filler.Fill(StreamOf, i => i < segmentSizeBytes / Half / (OtherBytes + payloadBytes));
        report.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"{storage.Head.Value + 1:#,0} events of {payloadBytes} B in {made:#,0} streams, {storage.SegmentCounts.Sealed} sealed segments of {segmentSizeBytes / 1048576.0:0.#} MiB and half a one, filled in {Stopwatch.GetElapsedTime(begun).TotalSeconds:0} s; {Size(Path.Combine(folder, "log")):0} MiB of log, {Size(Path.Combine(folder, "index")):0} MiB of indexes"));
    }

    /// <summary>Starts a node on a vault and ends it, by turns in order and by kill −9.</summary>
    public static async Task RunAsync(Report report, string folder, int rounds)
    {
        report.Section("Start and idle memory", $"The node as a process of its own, from exec to the line that says it serves; memory as the kernel counts it, when it serves and after 10 s without a call. `log and index` are in the page cache, as the machine left them. {rounds} rounds, medians; each start follows what its row says.");
        report.Head("the run before ended", "serves after ms", "all", "of that opening the vault, ms", "memory MiB", "of that mapped files and code", "its own", "after 10 s idle, MiB");
        var byKill = new List<Started>();
        var byStop = new List<Started>();
        await StartAsync(folder, kill: false, settle: true); // Whatever ended before does not count.
        for (var round = 0; round < rounds; round++)
        {
            byStop.Add(await StartAsync(folder, kill: true, settle: true));
            byKill.Add(await StartAsync(folder, kill: false, settle: true));
        }

        Row(report, "by a clean stop", byStop);
        Row(report, "by kill −9", byKill);
    }

    internal static async Task<Started> StartAsync(string folder, bool kill, bool settle)
    {
        var start = new ProcessStartInfo(
            Path.Combine(AppContext.BaseDirectory, "EventVault.Node"), ["--data", folder, "--port", "0", "--http-port", "0", "--dev"])
        { RedirectStandardOutput = true, RedirectStandardError = true };
        var begun = Stopwatch.GetTimestamp();
        using var node = Process.Start(start)!;
        var log = node.StandardError.ReadToEndAsync();
        var ready = await node.StandardOutput.ReadLineAsync();
        var readyMs = Stopwatch.GetElapsedTime(begun).TotalMilliseconds;
        if (ready is null)
        {
            throw new InvalidOperationException($"The node did not start: {await log}");
        }

        var (rss, own, file) = Memory(node.Id);
        if (settle)
        {
            await Task.Delay(TimeSpan.FromSeconds(10));
        }

        var idle = Memory(node.Id).Rss;
        using (var end = Process.Start("kill", [kill ? "-KILL" : "-TERM", $"{node.Id}"]))
        {
            await end.WaitForExitAsync();
        }

        await node.WaitForExitAsync();
        var opened = (await log).Split('\n').First(line => line.Contains("Opened vault", StringComparison.Ordinal));
        var at = opened.LastIndexOf(", in ", StringComparison.Ordinal) + 5;
        var openMs = double.Parse(opened[at..opened.IndexOf(" ms", at, StringComparison.Ordinal)], CultureInfo.InvariantCulture);
        return new Started(readyMs, openMs, rss, own, file, idle);
    }

    private static (double Rss, double Own, double File) Memory(int process)
    {
        var lines = File.ReadAllLines($"/proc/{process}/status");
        double Of(string name) => long.Parse(lines.First(l => l.StartsWith(name, StringComparison.Ordinal)).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024.0;
        return (Of("VmRSS:"), Of("RssAnon:"), Of("RssFile:"));
    }

    private static double Size(string folder) => new DirectoryInfo(folder).GetFiles().Sum(f => f.Length) / 1048576.0;

    private static void Row(Report report, string name, List<Started> starts)
    {
        double Of(Func<Started, double> figure) => Measure.Median(starts.Select(figure));
        report.Row(
            name, Report.Figure(Of(s => s.ReadyMs)), string.Join(" ", starts.Select(s => Report.Figure(s.ReadyMs))), Report.Figure(Of(s => s.OpenMs)),
            Report.Figure(Of(s => s.RssMiB)), Report.Figure(Of(s => s.FileMiB)), Report.Figure(Of(s => s.AnonymousMiB)), Report.Figure(Of(s => s.IdleMiB)));
    }
}
