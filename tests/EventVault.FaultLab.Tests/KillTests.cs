using EventVault.Client;

namespace EventVault.FaultLab.Tests;

public sealed class KillTests
{
    private const int SegmentSizeBytes = 4 * 1024 * 1024;

    [Fact]
    public async Task Nothing_acknowledged_is_lost_and_nothing_is_doubled_when_the_node_is_killed_under_load()
    {
        using var folder = new TemporaryFolder();
        var random = new Random(Settings.Seed);
        var port = NodeProcess.FreePort();
        var node = await NodeProcess.StartAsync(folder.Path, port, SegmentSizeBytes);
        try
        {
            await using var client = VaultClient.Connect($"eventvault://127.0.0.1:{port}");
            using var stop = new CancellationTokenSource();
            var work = new Workload(client, writers: 16);
            var running = work.RunAsync(stop.Token);
            for (var kill = 0; kill < Settings.Kills; kill++)
            {
                await Task.Delay(random.Next(20, 1200));
                node.Kill();
                node.Dispose();
                node = await NodeProcess.StartAsync(folder.Path, port, SegmentSizeBytes);
                if (kill % 20 == 19)
                {
                    await using var reader = VaultClient.Connect($"eventvault://127.0.0.1:{port}");
                    await foreach (var _ in reader.ReadAllAsync(new ReadOptions { Limit = 1 }))
                    {
                    }
                }
            }

            await stop.CancelAsync();
            await running;
            Assert.True(work.Acknowledged > 0, "No append was acknowledged: the test proves nothing.");
            await work.CheckAsync(client);
            Assert.Equal(0, await node.StopAsync());
            var report = Storage.LogVerifier.Verify(new Storage.Io.NativeFileSystem(), folder.Path);
            Assert.Empty(report.Damage);
            Assert.True(report.Events >= work.Acknowledged);
            Console.WriteLine($"{Settings.Kills} kills: {work.Acknowledged} events acknowledged, {work.Unknown} of unknown outcome, {report.Segments} segments, nothing lost, nothing doubled.");
        }
        finally
        {
            node.Dispose();
        }
    }
}
