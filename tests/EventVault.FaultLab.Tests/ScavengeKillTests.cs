using EventVault.Client;

namespace EventVault.FaultLab.Tests;

/// <summary>Scavenging under load, on a node that is killed at random moments.</summary>
public sealed class ScavengeKillTests
{
    // Small, so that a scavenge has many segments to write anew.
    private const int SegmentSizeBytes = 512 * 1024;

    // Appends of half a minute or so: what lies behind has its operation ids removed, too.
    private static readonly string[] NodeSettings = ["--scavenge-rate", "0", "--scavenge-interval", "0", "--operation-horizon", "8192", "--log-level", "warning"];

    // Tenths of a second: two minutes.
    private const int MostWaits = 1_200;

    private static readonly VaultClientOptions Patient = new() { CallTimeout = TimeSpan.FromSeconds(30), AppendTimeout = TimeSpan.FromSeconds(60) };

    [Fact]
    public async Task Every_read_agrees_with_the_model_and_space_returns_when_the_node_is_killed_while_it_scavenges()
    {
        using var folder = new TemporaryFolder();
        var random = new Random(Settings.Seed);
        var port = NodeProcess.FreePort();
        var node = await NodeProcess.StartWithAsync(folder.Path, port, SegmentSizeBytes, NodeSettings);
        try
        {
            await using var writing = VaultClient.Connect($"eventvault://127.0.0.1:{port}", Patient);
            await using var reading = VaultClient.Connect($"eventvault://127.0.0.1:{port}", Patient);
            var model = new LifeModel();
            var (writes, reads) = (new LifeWorkload(writing, model, Settings.Seed), new LifeWorkload(reading, model, Settings.Seed));
            using var stop = new CancellationTokenSource();
            List<Task> running =
            [
                .. Enumerable.Range(0, 6).Select(w => writes.WriteAsync(w, stop.Token)),
                .. Enumerable.Range(0, 3).Select(r => reads.ReadAsync(r, stop.Token)),
                reads.ScavengeAsync(stop.Token),
            ];
            var killedAtWork = 0;
            for (var kill = 0; kill < Settings.ScavengeKills; kill++)
            {
                await Task.WhenAny([.. running, Task.Delay(random.Next(200, 2500))]);
                await Task.WhenAll(running.Where(task => task.IsCompleted));
                killedAtWork += (await reading.GetScavengeAsync()).State == ScavengeState.Running ? 1 : 0;
                node.Kill();
                node.Dispose();
                node = await NodeProcess.StartWithAsync(folder.Path, port, SegmentSizeBytes, NodeSettings);
            }

            // Fewer would prove nothing, and a busy machine gives fewer between two kills.
            for (var waited = 0; (reads.Reads <= Settings.ScavengeKills || writes.Changes <= 100) && waited < MostWaits; waited++)
            {
                await Task.WhenAny([.. running, Task.Delay(100)]);
                await Task.WhenAll(running.Where(task => task.IsCompleted));
            }

            await stop.CancelAsync();
            await Task.WhenAll(running);
            Assert.True(reads.Reads > Settings.ScavengeKills && writes.Changes > 100, $"{reads.Reads} reads and {writes.Changes} changes prove nothing.");
            var bytes = await CheckEndAsync(reading, reads, model, folder.Path);
            Assert.Equal(0, await node.StopAsync());
            var report = Storage.LogVerifier.Verify(new Storage.Io.NativeFileSystem(), folder.Path);
            Assert.Empty(report.Damage);

            // What can be made again from the scavenged log is the same.
            Directory.Delete(Path.Combine(folder.Path, "index"), recursive: true);
            node.Dispose();
            node = await NodeProcess.StartWithAsync(folder.Path, port, SegmentSizeBytes, NodeSettings);
            await reads.CheckAllAsync();
            Assert.Equal(0, await node.StopAsync());
            Console.WriteLine(
                $"{Settings.ScavengeKills} kills, {killedAtWork} of them in a scavenge: {writes.Changes} changes, {reads.Reads} reads agreed, {reads.Interruptions} were cut short, "
                + $"{reads.Scavenges} scavenges ended; log files took {bytes.Written:N0} bytes when written, {bytes.Before:N0} before the last scavenge and {bytes.After:N0} behind it.");
        }
        catch (Exception) when (Dump(node))
        {
            throw;
        }
        finally
        {
            node.Dispose();
        }
    }

    // Exactly what the model has, and as little space as that needs.
    private static async Task<(long Written, long Before, long After)> CheckEndAsync(VaultClient client, LifeWorkload reads, LifeModel model, string folder)
    {
        await reads.CheckAllAsync();
        foreach (var stream in model.Streams)
        {
            var (first, last, _, _) = stream.Versions;
            if (first <= last && stream.Number % 2 == 0)
            {
                await client.DeleteStreamAsync(stream.Name, ExpectedVersion.Exact((ulong)last));
                stream.BeginTruncate(last + 1);
                stream.Acknowledge();
            }
        }

        // So that what was deleted lies in sealed segments.
        var filler = new byte[SegmentSizeBytes / 2];
        for (var i = 0; i < 8; i++)
        {
            await client.AppendAsync("filler", ExpectedVersion.Any, new EventData("filler", filler));
        }

        await client.DeleteStreamAsync("filler", ExpectedVersion.Any);
        var before = LogBytes(folder);
        var status = await client.StartScavengeAsync();
        while (status.State is ScavengeState.Running or ScavengeState.Waiting)
        {
            await Task.Delay(50);
            status = await client.GetScavengeAsync();
        }

        Assert.Equal(ScavengeState.Done, status.State);
        await reads.CheckAllAsync();
        var after = LogBytes(folder);
        var visible = model.Streams.Sum(s => s.Versions is var (first, last, _, _) ? Enumerable.Range((int)first, (int)Math.Max(last - first + 1, 0)).Sum(v => (long)s.Event(v).Data.Length) : 0);
        var vault = await client.GetStatusAsync();
        var written = (long)(vault.SegmentsSealed + vault.SegmentsUnsealed) * SegmentSizeBytes;
        Assert.True(after < before, $"The last scavenge gave nothing back: {before} bytes before, {after} behind it.");
        Assert.True(after < written / 2, $"Of {written} bytes that were written {after} are left, though only {visible} bytes can be read.");
        Assert.Equal(written - (long)vault.LogBytes, (long)status.BytesFreed);
        return (written, before, after);
    }

    // The spare segments are no part of the log yet.
    private static long LogBytes(string folder) => new DirectoryInfo(Path.Combine(folder, "log")).GetFiles().Where(f => f.Extension != ".tmp").Sum(f => f.Length);

    private static bool Dump(NodeProcess node)
    {
        Console.WriteLine(node.Output);
        return false;
    }
}
