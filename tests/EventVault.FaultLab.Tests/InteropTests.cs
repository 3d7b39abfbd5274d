using System.Diagnostics;
using Xunit.Abstractions;

namespace EventVault.FaultLab.Tests;

/// <summary>
/// Real nodes driven by clients nobody here wrote, Debian's grpcio and npm's grpc-js: the scripts vault, vault_errors and
/// states in tests/interop. NOT_LEADER and NO_QUORUM are the only errors they do not meet: one node can't raise them.
/// </summary>
public sealed class InteropTests(ITestOutputHelper output)
{
    private const int ExitDiskFailed = 6;

    private const int SmallSegmentBytes = 1024 * 1024;

    /// <summary>Where a byte is flipped in a small segment: amid events of 50,000 bytes.</summary>
    private const int FlippedOffset = SmallSegmentBytes / 2;

    private static readonly string Folder = Path.Combine(RepositoryRoot(), "tests", "interop");

    [Theory]
    [InlineData("python")]
    [InlineData("node")]
    public async Task A_foreign_client_does_all_that_the_services_offer_and_gets_every_error_of_a_healthy_node(string client)
    {
        if (!IsInstalled(client))
        {
            return;
        }

        using var folder = new TemporaryFolder();
        var port = NodeProcess.FreePort();
        // Small limits, so that going over each of them is quick; telling progress often, for the same reason.
        using var node = await NodeProcess.StartAsync(
            folder.Path, port, 4 * 1024 * 1024,
            "env", "EVENTVAULT_EVENT_BYTES=256KiB", "EVENTVAULT_APPEND_BYTES=1MiB", "EVENTVAULT_APPEND_EVENTS=1000", "EVENTVAULT_PROGRESS_INTERVAL=100", "EVENTVAULT_STATE_BYTES=64KiB",
            "EVENTVAULT_FOLD_EVENTS=1024");
        await RunAsync(client, "vault", node, port);
        await RunAsync(client, "vault_errors", node, port);
        await RunAsync(client, "states", node, port);
        Assert.Equal(0, await node.StopAsync());
        Assert.Empty(Storage.LogVerifier.Verify(new Storage.Io.NativeFileSystem(), folder.Path).Damage);
    }

    /// <summary>All that was tried is listed in docs/testing-bad-input.md.</summary>
    [Fact]
    public async Task Bad_input_and_misbehaving_peers_leave_a_node_unharmed()
    {
        if (!IsInstalled("python"))
        {
            return;
        }

        using var folder = new TemporaryFolder();
        var port = NodeProcess.FreePort();
        using var node = await NodeProcess.StartAsync(folder.Path, port, 64 * 1024 * 1024);
        await RunAsync("python", "bad_input", node, port);
        Assert.Equal(0, await node.StopAsync());
        output.WriteLine(node.Output);

        // One of ours would be a thread that broke. Kestrel uses the word for what a single peer does.
        Assert.DoesNotContain("crit: EventVault", node.Output, StringComparison.Ordinal);
        Assert.Empty(Storage.LogVerifier.Verify(new Storage.Io.NativeFileSystem(), folder.Path).Damage);
    }

    [Theory]
    [InlineData("python")]
    [InlineData("node")]
    public async Task A_foreign_client_is_told_overload_and_time_outs_and_shares_messages_when_the_disk_is_slow(string client)
    {
        if (!IsInstalled(client) || !Tool.IsInstalled("strace"))
        {
            return;
        }

        using var folder = new TemporaryFolder();
        var port = NodeProcess.FreePort();
        // One client may have half of them: three wait while the time of one goes by.
        using var node = await NodeProcess.StartAsync(
            folder.Path, port, 4 * 1024 * 1024,
            "env", "EVENTVAULT_QUEUED_APPENDS=8", "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=100000");
        await RunAsync(client, "vault_errors", node, port, "overloaded", "overloaded_session", "timed_out_in_queue", "answers_share_messages");
    }

    [Theory]
    [InlineData("python")]
    [InlineData("node")]
    public async Task A_foreign_client_is_told_that_the_node_drains(string client)
    {
        if (!IsInstalled(client))
        {
            return;
        }

        using var folder = new TemporaryFolder();
        var port = NodeProcess.FreePort();
        using var node = await NodeProcess.StartAsync(folder.Path, port, 4 * 1024 * 1024);
        await RunAsync(client, "vault_errors", node, port, "draining");
        Assert.Equal(0, await node.ExitCodeAsync());
    }

    [Theory]
    [InlineData("python")]
    [InlineData("node")]
    public async Task A_foreign_client_is_told_that_the_store_is_full(string client)
    {
        if (!IsInstalled(client) || !Tool.CanMount())
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
            await File.WriteAllBytesAsync(Path.Combine(disk, "filler"), new byte[10 * 1024 * 1024]);
            await RunAsync(client, "vault_errors", node, port, "store_full");
            Assert.Equal(0, await node.StopAsync());
        }
        finally
        {
            Tool.Runs("umount", "-l", disk);
        }
    }

    [Theory]
    [InlineData("python")]
    [InlineData("node")]
    public async Task A_foreign_client_gets_what_stands_before_damage_and_is_told_where_it_is(string client)
    {
        if (!IsInstalled(client))
        {
            return;
        }

        using var folder = new TemporaryFolder();
        var port = NodeProcess.FreePort();
        using (var node = await NodeProcess.StartAsync(folder.Path, port, SmallSegmentBytes))
        {
            await RunAsync(client, "vault_errors", node, port, "fill_segments");
            Assert.Equal(0, await node.StopAsync());
        }

        var second = Directory.GetFiles(Path.Combine(folder.Path, "log"), "*.seg").Order().ElementAt(1);
        using (var file = File.Open(second, FileMode.Open))
        {
            file.Position = FlippedOffset;
            var was = file.ReadByte();
            file.Position = FlippedOffset;
            file.WriteByte((byte)(was ^ 1));
        }

        using var damaged = await NodeProcess.StartAsync(folder.Path, port, SmallSegmentBytes);
        await RunAsync(client, "vault_errors", damaged, port, "damaged");
        Assert.Contains(" 0 torn bytes cut off", damaged.Output, StringComparison.Ordinal);
        Assert.Equal(0, await damaged.StopAsync());
    }

    [Theory]
    [InlineData("python")]
    [InlineData("node")]
    public async Task A_foreign_client_is_told_that_the_outcome_is_unknown_when_the_disk_fails(string client)
    {
        if (!IsInstalled(client) || !Tool.IsInstalled("strace"))
        {
            return;
        }

        // Whether the fault strikes an append or the commit mark of a moment's rest is a matter of the client's pauses. In
        // the second case all its appends are told, rightly, that they came too late, and the proof needs another node.
        const int Attempts = 6;
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await FailUnderAppendsAsync(client, failsAt: 40 + (7 * attempt));
                return;
            }
            catch (Xunit.Sdk.TrueException) when (attempt < Attempts)
            {
            }
        }
    }

    private async Task FailUnderAppendsAsync(string client, int failsAt)
    {
        using var folder = new TemporaryFolder();
        var port = NodeProcess.FreePort();
        // The vault is made first: the fault is to strike an append.
        using (var first = await NodeProcess.StartAsync(folder.Path, port, 4 * 1024 * 1024))
        {
            Assert.Equal(0, await first.StopAsync());
        }

        using var node = await NodeProcess.StartAsync(
            folder.Path, port, 4 * 1024 * 1024,
            "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", $"inject=fdatasync:error=EIO:when={failsAt}+");
        try
        {
            await RunAsync(client, "vault_errors", node, port, "outcome_unknown");
        }
        finally
        {
            Assert.Equal(ExitDiskFailed, await node.ExitCodeAsync());
        }
    }

    private static bool IsInstalled(string client)
    {
        var found = client == "python"
            ? Tool.Runs("/usr/bin/python3", "-c", "import grpc, google.protobuf") && Tool.Runs("protoc", "--version")
            : Tool.Runs("node", "--version") && Directory.Exists(Path.Combine(Folder, "node", "node_modules", "@grpc", "grpc-js"));
        if (!found)
        {
            Tool.Skip($"INTEROP NOT CHECKED: the {client} gRPC client is not installed; run tests/interop/setup.sh");
        }

        return found;
    }

    private async Task RunAsync(string client, string script, NodeProcess node, int port, params string[] cases)
    {
        var (program, ending) = client == "python" ? ("/usr/bin/python3", "py") : ("node", "js");
        string[] arguments = [Path.Combine(Folder, client, $"{script}.{ending}"), "--address", $"127.0.0.1:{port}", "--pid", $"{node.Id}", .. cases];
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var text = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(3));
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
        }

        var said = $"{await text}{await errors}";
        output.WriteLine(said);
        Assert.True(process.HasExited && process.ExitCode == 0, $"{script} failed:\n{said}\nThe node:\n{node.Output}");
    }

    private static string RepositoryRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "EventVault.sln")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName ?? throw new InvalidOperationException($"No EventVault.sln above {AppContext.BaseDirectory}.");
    }
}
