using System.Diagnostics;
using EventVault.Client;

namespace EventVault.Benchmarks;

/// <summary>
/// What a backup costs a running node: appends without pause, in stretches alone and beside <c>vault-admin backup</c>, in turns. Node and backup are processes of
/// their own; all of it, with the writers, shares the machine.
/// </summary>
/// <param name="report">Where the table goes.</param>
/// <param name="directory">Where the vault is made.</param>
/// <param name="to">Where backups go: another disk, or memory, tells what the disk has to do with it.</param>
internal sealed class BackupBenchmarks(Report report, string directory, string to)
{
    private const int InFlight = 64;
    private const int PayloadBytes = 256;

    /// <summary>After each stretch: what it left for the disk is done.</summary>
    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(1);

    private readonly byte[] _payload = new byte[PayloadBytes];
    private readonly string _backup = Path.Combine(to, $"backup-{Environment.ProcessId}");

    public async Task RunAsync(TimeSpan length, int pairs, params string[] rates)
    {
        var start = new ProcessStartInfo(
            Path.Combine(AppContext.BaseDirectory, "EventVault.Node"), ["--data", Path.Combine(directory, "backed-up"), "--port", "0", "--http-port", "0", "--dev", "--segment-size", "64MiB", "--log-level", "warning"])
        { RedirectStandardOutput = true };
        using var node = Process.Start(start)!;
        try
        {
            var ready = await node.StandardOutput.ReadLineAsync() ?? throw new InvalidOperationException("The node did not start.");
            var address = "http://" + ready.Split(' ')[3].TrimEnd(',');
            await using var client = VaultClient.Connect(address);
            await AppendAsync(client, length); // So that there is something to back up.
            report.Section(
                "Backup of a running node",
                $"Appends of one event of {PayloadBytes} B, {InFlight} in flight on one session; stretches of {length.TotalSeconds:0.#} s beside a first backup into an empty directory, each compared with the mean of the stretches alone before and behind it, {pairs} of them; medians. Processor: seconds a second, of two processes.");
            report.Head("--rate", "alone, appends/s", "beside a backup, appends/s", "ratio, median", "least", "p99 alone, ms", "p99 beside, ms", "backed up, MiB/s", "node alone", "node beside", "backup");
            foreach (var rate in rates)
            {
                await MeasureAsync(client, node, address, rate, length, pairs);
            }
        }
        finally
        {
            node.Kill();
            await node.WaitForExitAsync();
        }
    }

    private async Task MeasureAsync(VaultClient client, Process node, string address, string rate, TimeSpan length, int pairs)
    {
        List<Stretch> alone = [await StretchAsync(client, node, length)];
        List<Stretch> beside = [];
        List<(double Bytes, double Processor)> backups = [];
        for (var pair = 0; pair < pairs; pair++)
        {
            // From the start of the backup's process on, which is part of what it costs.
            using var stop = new CancellationTokenSource();
            var backup = BackUpAsync(address, rate, stop.Token);
            beside.Add(await StretchAsync(client, node, length));
            await stop.CancelAsync();
            backups.Add(await backup);
            await Task.Delay(Settle);
            alone.Add(await StretchAsync(client, node, length));
        }

        var ratios = beside.Select((stretch, i) => 2 * stretch.PerSecond / (alone[i].PerSecond + alone[i + 1].PerSecond)).ToList();
        report.Row(
            rate, Report.Figure(Measure.Median(alone.Select(s => s.PerSecond))), Report.Figure(Measure.Median(beside.Select(s => s.PerSecond))), Report.Ratio(Measure.Median(ratios)), Report.Ratio(ratios.Min()),
            Report.Figure(Measure.Median(alone.Select(s => s.SlowestMs))), Report.Figure(Measure.Median(beside.Select(s => s.SlowestMs))), Report.Figure(Measure.Median(backups.Select(b => b.Bytes)) / length.TotalSeconds / (1 << 20)),
            Report.Figure(Measure.Median(alone.Select(s => s.NodeProcessor))), Report.Figure(Measure.Median(beside.Select(s => s.NodeProcessor))), Report.Figure(Measure.Median(backups.Select(b => b.Processor)) / length.TotalSeconds));
    }

    // One after the other, until it is stopped; how many bytes came over, and how much processor time that took.
    private async Task<(double Bytes, double Processor)> BackUpAsync(string address, string rate, CancellationToken stop)
    {
        var (bytes, processor) = (0L, TimeSpan.Zero);
        while (!stop.IsCancellationRequested)
        {
            using var process = Process.Start(new ProcessStartInfo(
                Path.Combine(AppContext.BaseDirectory, "vault-admin"), ["backup", "--to", _backup, "--rate", rate, "--endpoint", address, "--json"])
            { RedirectStandardOutput = true })!;
            await ((Task)process.WaitForExitAsync(stop)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!process.HasExited)
            {
                processor += process.TotalProcessorTime;
                process.Kill();
                await process.WaitForExitAsync(CancellationToken.None);
            }

            if (Directory.Exists(_backup))
            {
                bytes += new DirectoryInfo(_backup).EnumerateFiles("*", SearchOption.AllDirectories).Sum(file => file.Length);
                Directory.Delete(_backup, recursive: true);
            }
        }

        return (bytes, processor.TotalSeconds);
    }

    private async Task<Stretch> StretchAsync(VaultClient client, Process node, TimeSpan length)
    {
        node.Refresh();
        var before = node.TotalProcessorTime;
        var measured = await AppendAsync(client, length);
        node.Refresh();
        return new Stretch(measured.PerSecond, measured.Percentile(0.99) / 1000, (node.TotalProcessorTime - before).TotalSeconds / measured.Seconds);
    }

    private Task<Measured> AppendAsync(VaultClient client, TimeSpan length) => Measure.WorkersAsync<AppendResult>(InFlight, TimeSpan.Zero, length, i =>
    {
        var stream = $"backup-{i}";
        return () => new ValueTask<AppendResult>(client.AppendAsync(stream, ExpectedVersion.Any, new EventData("ItemRecorded", _payload)));
    }, static _ => { });

    private readonly record struct Stretch(double PerSecond, double SlowestMs, double NodeProcessor);
}
