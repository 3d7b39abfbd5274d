using EventVault.Client;

namespace EventVault.FaultLab.Tests;

public sealed class DiskFaultTests
{
    /// <summary>Documented in docs/OPERATIONS.md: the disk failed.</summary>
    private const int ExitDiskFailed = 6;

    [Theory]
    [InlineData(5)]
    [InlineData(40)]
    [InlineData(200)]
    public async Task A_failed_flush_stops_the_node_nothing_more_is_acknowledged_and_a_restart_has_all_that_was(int failsAt)
    {
        if (!Tool.IsInstalled("strace"))
        {
            return;
        }

        using var folder = new TemporaryFolder();
        var port = NodeProcess.FreePort();
        // Let the vault be made first: the fault is to strike appends.
        using (var first = await NodeProcess.StartAsync(folder.Path, port, 4 * 1024 * 1024))
        {
            Assert.Equal(0, await first.StopAsync());
        }

        await using var client = VaultClient.Connect($"eventvault://127.0.0.1:{port}", new VaultClientOptions { AppendTimeout = TimeSpan.FromSeconds(5) });
        using var stop = new CancellationTokenSource();
        var work = new Workload(client, writers: 8);
        Task running;
        using (var node = await NodeProcess.StartAsync(
            folder.Path, port, 4 * 1024 * 1024,
            "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", $"inject=fdatasync:error=EIO:when={failsAt}+"))
        {
            running = work.RunAsync(stop.Token);
            var code = await node.ExitCodeAsync();
            Assert.True(code == ExitDiskFailed, $"Exit code {code}:\n{node.Output}");
            Assert.Contains("fdatasync", node.Output, StringComparison.Ordinal);
        }

        await stop.CancelAsync();
        await running;
        using var healed = await NodeProcess.StartAsync(folder.Path, port, 4 * 1024 * 1024);
        await work.CheckAsync(client);
        await client.AppendAsync("after", ExpectedVersion.NoStream, new EventData("Tested", "{}"u8.ToArray()));
        Assert.Equal(0, await healed.StopAsync());
    }

    [Fact]
    public async Task A_full_disk_refuses_appends_reads_go_on_and_appends_resume_when_space_returns()
    {
        if (!Tool.CanMount())
        {
            return;
        }

        using var folder = new TemporaryFolder();
        var disk = Directory.CreateDirectory(Path.Combine(folder.Path, "disk")).FullName;
        if (!Tool.MountsSmallDisk(disk))
        {
            return;
        }

        try
        {
            var port = NodeProcess.FreePort();
            using var node = await NodeProcess.StartAsync(Path.Combine(disk, "data"), port, 2 * 1024 * 1024);
            var filler = Path.Combine(disk, "filler");
            await File.WriteAllBytesAsync(filler, new byte[10 * 1024 * 1024]);
            await using var client = VaultClient.Connect(
                $"eventvault://127.0.0.1:{port}", new VaultClientOptions { AppendTimeout = TimeSpan.FromSeconds(5), Retry = RetryPolicy.None });
            var (written, refusal) = await AppendUntilRefusedAsync(client);
            Assert.Equal(VaultErrorCode.StoreFull, refusal.Code);
            Assert.Equal(written, await CountAsync(client));

            File.Delete(filler);
            var resumed = await RetryAsync(() => client.AppendAsync("resumed", ExpectedVersion.Any, new EventData("Tested", new byte[1000])));
            Assert.True(resumed, "Appends did not resume when space returned.");
            Assert.Equal(written + 1, await CountAsync(client));
            Assert.Equal(0, await node.StopAsync());
            Assert.Empty(Storage.LogVerifier.Verify(new Storage.Io.NativeFileSystem(), Path.Combine(disk, "data")).Damage);
        }
        finally
        {
            Tool.Runs("umount", "-l", disk);
        }
    }

    private static async Task<(long Written, VaultException Refusal)> AppendUntilRefusedAsync(VaultClient client)
    {
        for (var written = 0L; written < 100_000; written++)
        {
            try
            {
                await client.AppendAsync("fill", ExpectedVersion.Any, new EventData("Tested", new byte[8000]));
            }
            catch (VaultException e)
            {
                return (written, e);
            }
        }

        throw new InvalidOperationException("The disk never filled up.");
    }

    private static async Task<bool> RetryAsync(Func<Task> append)
    {
        for (var i = 0; i < 100; i++)
        {
            try
            {
                await append();
                return true;
            }
            catch (VaultException)
            {
                await Task.Delay(200);
            }
        }

        return false;
    }

    private static async Task<long> CountAsync(VaultClient client)
    {
        var events = 0L;
        await foreach (var _ in client.ReadAllAsync())
        {
            events++;
        }

        return events;
    }
}
