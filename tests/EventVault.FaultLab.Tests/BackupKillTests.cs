using System.Diagnostics;
using System.Reflection;
using EventVault.Client;
using EventVault.Storage.Backups;
using EventVault.Storage.Io;

namespace EventVault.FaultLab.Tests;

/// <summary>Backups of a node under full load, killed at random moments: EVENTVAULT_BACKUP_KILLS tells how many.</summary>
public sealed class BackupKillTests
{
    // Small, so that a backup has many files; some are sealed while it is made.
    private const int SegmentSizeBytes = 2 * 1024 * 1024;

    // At 8 to 32 MiB a second, as the load leaves room, a first backup takes some seconds of this, and the next ones what the load adds meanwhile.
    private const int FirstEvents = 48;
    private const int FirstEventBytes = 512 * 1024;

    private static readonly string Admin = typeof(BackupKillTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "AdminAssembly").Value!;

    [Fact]
    public async Task Every_finished_backup_restores_to_an_exact_prefix_of_the_log()
    {
        using var folder = new TemporaryFolder();
        var (data, backup) = (Path.Combine(folder.Path, "vault"), Path.Combine(folder.Path, "backup"));
        var random = new Random(Settings.Seed);
        var port = NodeProcess.FreePort();
        using var node = await NodeProcess.StartAsync(data, port, SegmentSizeBytes);
        await using var writing = VaultClient.Connect($"eventvault://127.0.0.1:{port}");
        await using var reading = VaultClient.Connect($"eventvault://127.0.0.1:{port}");
        var bytes = new byte[FirstEventBytes];
        for (var i = 0; i < FirstEvents; i++)
        {
            random.NextBytes(bytes);
            await writing.AppendAsync("first", ExpectedVersion.Any, new EventData("First", bytes));
        }

        var workload = new Workload(writing, writers: 8);
        var (kills, finished, number) = (0, 0, 0L);
        var longest = 4000; // How long the last whole backup took, ms, and some more: most are killed before their end, on machines of any speed.
        while (kills < Settings.BackupKills || finished < Math.Min(2, Settings.BackupKills / 2))
        {
            // The last ones are left alone.
            var killAfter = kills < Settings.BackupKills ? random.Next(150, longest) : Timeout.Infinite;
            var (killed, took) = await UnderLoadAsync(workload, () => BackUpAsync(backup, port, killAfter));
            kills += killed ? 1 : 0;
            longest = killed ? longest : Math.Max(400, (int)(1.2 * took.TotalMilliseconds));
            if (!File.Exists(Path.Combine(backup, "manifest")))
            {
                continue;
            }

            // Also where nothing was finished since: what a killed run has left does no harm.
            var report = BackupVerifier.Verify(new NativeFileSystem(), backup);
            Assert.Empty(report.Damage);
            Assert.True(report.Content.Number >= number && report.Content.FollowsLast <= report.Content.Last, "A backup follows the one before.");
            if (report.Content.Number > number)
            {
                number = report.Content.Number;
                finished++;
                await CompareAsync(backup, Path.Combine(folder.Path, $"restored-{number}"), reading, report.Content);
            }
        }

        Assert.Equal(0, await node.StopAsync());
        Console.WriteLine($"{kills} backups killed, {finished} finished and compared with the node, {workload.Acknowledged} appends acknowledged meanwhile.");
    }

    // Not beside the comparison, too: a restored vault makes its indexes at its first start, and the log would become ever longer.
    private static async Task<T> UnderLoadAsync<T>(Workload workload, Func<Task<T>> run)
    {
        using var stop = new CancellationTokenSource();
        var load = workload.RunAsync(stop.Token);
        try
        {
            return await run();
        }
        finally
        {
            await stop.CancelAsync();
            await load;
        }
    }

    // Whether it was killed before it had ended, and how long it ran.
    private static async Task<(bool Killed, TimeSpan Took)> BackUpAsync(string backup, int port, int killAfterMs)
    {
        var begun = Stopwatch.GetTimestamp();
        using var process = Start("backup", "--to", backup, "--rate", "32MiB", "--endpoint", $"http://127.0.0.1:{port}", "--json");
        var output = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        await Task.WhenAny(process.WaitForExitAsync(limit.Token), Task.Delay(killAfterMs, limit.Token));
        var killed = !process.HasExited;
        var took = Stopwatch.GetElapsedTime(begun);
        process.Kill();
        await process.WaitForExitAsync(CancellationToken.None);
        Assert.True(killed || process.ExitCode is 0 or 137, $"{await output.Item1}{await output.Item2}");
        return (killed, took);
    }

    // Every event of the restored vault is the node's, to the last field, and the next one is not there.
    private static async Task CompareAsync(string backup, string restored, VaultClient original, BackupContent content)
    {
        using (var process = Start("restore", "--from", backup, "--data", restored, "--json"))
        {
            var output = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
            await process.WaitForExitAsync();
            Assert.True(process.ExitCode == 0, $"{await output.Item1}{await output.Item2}");
        }

        var port = NodeProcess.FreePort();
        using var node = await NodeProcess.StartAsync(restored, port, SegmentSizeBytes);
        await using var client = VaultClient.Connect($"eventvault://127.0.0.1:{port}");
        await using var theirs = client.ReadAllAsync(new ReadOptions { IncludeSystem = true }).GetAsyncEnumerator();
        var next = 0L;
        await foreach (var expected in original.ReadAllAsync(new ReadOptions { IncludeSystem = true }))
        {
            if (next > content.Last.Value)
            {
                break;
            }

            Assert.True(await theirs.MoveNextAsync(), $"The backup ends before position {next}.");
            var e = theirs.Current;
            Assert.Equal((next++, expected.Position, expected.Stream, expected.Version), ((long)e.Position, e.Position, e.Stream, e.Version));
            Assert.Equal((expected.Id, expected.Type, expected.RecordedAt, expected.OccurredAtTicks), (e.Id, e.Type, e.RecordedAt, e.OccurredAtTicks));
            Assert.True(expected.Data.Span.SequenceEqual(e.Data.Span) && expected.Tags.SequenceEqual(e.Tags) && expected.Metadata.SequenceEqual(e.Metadata), $"The event at position {e.Position} differs.");
        }

        Assert.False(await theirs.MoveNextAsync());
        Assert.Equal(content.Last.Value + 1, next);

        // It is a vault that can be written to.
        Assert.Equal((ulong)next, (await client.AppendAsync("after", ExpectedVersion.NoStream, new EventData("After", "{}"u8.ToArray()))).FirstPosition);
        Assert.Equal(0, await node.StopAsync());
        Directory.Delete(restored, recursive: true);
    }

    private static Process Start(params string[] arguments) =>
        Process.Start(new ProcessStartInfo("dotnet", [Admin, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
}
