using System.Diagnostics;
using EventVault.Client;

namespace EventVault.Benchmarks;

/// <summary>
/// What a backup costs a running node: appends without pause, in stretches alone and beside <c>vault-admin backup</c>, in turns. Node and backup are processes of
/// their own; all of it, with the writers, shares the machine.
/// </summary>
internal sealed class BackupBenchmarks(Report report, string directory)
{
    private const int InFlight = 64;
    private const int PayloadBytes = 256;
    private readonly byte[] _payload = new byte[PayloadBytes];
    private readonly string _backup = Path.Combine(directory, "backup");

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
            await AppendAsync(client, 2 * length); // So that there is something to back up.
            report.Section("Backup of a running node", $"Appends of one event of {PayloadBytes} B, {InFlight} in flight on one session; stretches of {length.TotalSeconds:0.#} s alone and beside a first backup into an empty directory, in turns, {pairs} pairs; medians.");
            report.Head("--rate", "alone, appends/s", "beside a backup, appends/s", "ratio, median of the pairs", "backed up, MiB/s");
            foreach (var rate in rates)
            {
                var (alone, beside, ratios, speeds) = (new List<double>(), new List<double>(), new List<double>(), new List<double>());
                for (var pair = 0; pair < pairs; pair++)
                {
                    alone.Add(await AppendAsync(client, length));
                    var (appends, megabytes) = await BesideAsync(client, length, address, rate);
                    beside.Add(appends);
                    speeds.Add(megabytes);
                    ratios.Add(appends / alone[^1]);
                }

                report.Row(rate, Report.Figure(Median(alone)), Report.Figure(Median(beside)), Report.Ratio(Median(ratios)), Report.Figure(Median(speeds)));
            }
        }
        finally
        {
            node.Kill();
            await node.WaitForExitAsync();
        }
    }

    // From the start of the backup's process on, which is part of what it costs.
    private async Task<(double Appends, double MegabytesPerSecond)> BesideAsync(VaultClient client, TimeSpan length, string address, string rate)
    {
        using var stop = new CancellationTokenSource();
        var backup = BackUpAsync(address, rate, stop.Token);
        var appends = await AppendAsync(client, length);
        await stop.CancelAsync();
        return (appends, await backup / length.TotalSeconds / (1 << 20));
    }

    // One after the other, until it is stopped; how many bytes came over.
    private async Task<double> BackUpAsync(string address, string rate, CancellationToken stop)
    {
        var bytes = 0L;
        while (!stop.IsCancellationRequested)
        {
            using var process = Process.Start(new ProcessStartInfo(
                Path.Combine(AppContext.BaseDirectory, "vault-admin"), ["backup", "--to", _backup, "--rate", rate, "--endpoint", address, "--json"])
            { RedirectStandardOutput = true })!;
            await ((Task)process.WaitForExitAsync(stop)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!process.HasExited)
            {
                process.Kill();
                await process.WaitForExitAsync(CancellationToken.None);
            }

            if (Directory.Exists(_backup))
            {
                bytes += new DirectoryInfo(_backup).EnumerateFiles("*", SearchOption.AllDirectories).Sum(file => file.Length);
                Directory.Delete(_backup, recursive: true);
            }
        }

        return bytes;
    }

    private async Task<double> AppendAsync(VaultClient client, TimeSpan length)
    {
        var measured = await Measure.WorkersAsync<AppendResult>(InFlight, TimeSpan.Zero, length, i =>
        {
            var stream = $"backup-{i}";
            return () => new ValueTask<AppendResult>(client.AppendAsync(stream, ExpectedVersion.Any, new EventData("ItemRecorded", _payload)));
        }, static _ => { });
        return measured.PerSecond;
    }

    private static double Median(List<double> values)
    {
        var sorted = values.Order().ToList();
        return sorted.Count % 2 == 1 ? sorted[sorted.Count / 2] : (sorted[(sorted.Count / 2) - 1] + sorted[sorted.Count / 2]) / 2;
    }
}
