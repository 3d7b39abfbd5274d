using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using EventVault.Node.Tests.Cluster;
using EventVault.Node.Tests.Support;
using EventVault.Storage;
using EventVault.Storage.Io;

namespace EventVault.Node.Tests;

/// <summary>The program as a process of its own: what it prints and how it exits.</summary>
public sealed class ProgramTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("eventvault-program-tests-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task It_says_when_it_serves_and_a_signal_ends_it_with_0()
    {
        using var process = Start("--data", _directory, "--port", "0", "--http-port", "0", "--dev", "--segment-size", "1MiB", "--log-format", "json");
        var ready = await process.StandardOutput.ReadLineAsync().WaitAsync(Wait.Limit);
        Assert.StartsWith("EventVault ready", ready, StringComparison.Ordinal);
        using var kill = Process.Start("kill", ["-TERM", $"{process.Id}"]);
        var (code, output, errors) = await EndAsync(process);
        Assert.Equal(ExitCode.Ok, code);
        Assert.Empty(output);
        Assert.All(errors.Split('\n', StringSplitOptions.RemoveEmptyEntries), line => Assert.Matches(@"^\{""Timestamp"":""\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"",", line));
    }

    [Fact]
    public async Task Logs_are_lines_with_time_level_and_number_whatever_stands_in_them()
    {
        using var process = Start("--data", Path.Combine(_directory, "a\nb"), "--port", "0", "--http-port", "0", "--dev", "--segment-size", "1MiB");
        Assert.StartsWith("EventVault ready", await process.StandardOutput.ReadLineAsync().WaitAsync(Wait.Limit), StringComparison.Ordinal);
        using var kill = Process.Start("kill", ["-TERM", $"{process.Id}"]);
        var lines = (await EndAsync(process)).Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains(lines, line => line.Contains("info: EventVault.Node[1] Opened vault", StringComparison.Ordinal) && line.Contains("/a b: ", StringComparison.Ordinal));
        Assert.Contains("EventVault.Node[7] Stopped", lines[^1], StringComparison.Ordinal);
        Assert.All(lines, line => Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info|warn): [\w.]+\[\d+\] ", line));
    }

    [Theory]
    [InlineData("")]
    [InlineData("@")]
    public async Task A_service_manager_is_told_when_it_serves_and_when_it_stops(string prefix)
    {
        // A socket with a file, and one without.
        var path = prefix.Length == 0 ? Path.Combine(_directory, "notify") : $"eventvault-{Guid.NewGuid():N}";
        using var manager = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        manager.Bind(new UnixDomainSocketEndPoint(prefix.Length == 0 ? path : $"\0{path}"));
        using var process = Start([("NOTIFY_SOCKET", prefix + path)], "--data", Path.Combine(_directory, "vault"), "--port", "0", "--http-port", "0", "--dev", "--segment-size", "1MiB");
        Assert.Equal("READY=1", await ReceiveAsync(manager));
        Assert.StartsWith("EventVault ready", await process.StandardOutput.ReadLineAsync().WaitAsync(Wait.Limit), StringComparison.Ordinal);
        using var kill = Process.Start("kill", ["-TERM", $"{process.Id}"]);
        Assert.Equal("STOPPING=1", await ReceiveAsync(manager));
        Assert.Equal(ExitCode.Ok, (await EndAsync(process)).Code);
    }

    [Fact]
    public async Task A_wrong_setting_ends_it_with_2_and_a_message_that_names_it()
    {
        using var process = Start("--data", _directory, "--prot", "1");
        var (code, output, errors) = await EndAsync(process);
        Assert.Equal(ExitCode.Usage, code);
        Assert.Empty(output);
        Assert.Contains("--prot", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_directory_in_use_ends_it_with_7_and_a_port_in_use_with_5()
    {
        await using var node = await TestNode.StartAsync(o => o with { Directory = _directory, Files = new NativeFileSystem() });
        using (var second = Start("--data", _directory, "--port", "0", "--http-port", "0", "--dev"))
        {
            var (code, _, errors) = await EndAsync(second);
            Assert.Equal(ExitCode.DirectoryInUse, code);
            Assert.Contains(_directory, errors, StringComparison.Ordinal);
        }

        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var port = ((IPEndPoint)taken.LocalEndpoint).Port;
        using var third = Start("--data", Path.Combine(_directory, "other"), "--port", $"{port}", "--http-port", "0", "--dev", "--segment-size", "1MiB");
        var (portCode, _, portErrors) = await EndAsync(third);
        Assert.Equal(ExitCode.PortUnavailable, portCode);
        Assert.Contains($"{port}", portErrors, StringComparison.Ordinal);
        Assert.Contains("--http-port", portErrors, StringComparison.Ordinal);

        // The port for other nodes is opened by other code.
        using var fourth = Start("--data", Path.Combine(_directory, "peer"), "--port", "0", "--http-port", "0", "--peer-port", $"{port}", "--dev", "--segment-size", "1MiB");
        (portCode, _, portErrors) = await EndAsync(fourth);
        Assert.Equal(ExitCode.PortUnavailable, portCode);
        Assert.Contains($"{port}", portErrors, StringComparison.Ordinal);
        Assert.Contains("--peer-port", portErrors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Damage_ends_it_with_4_and_a_message_that_says_where()
    {
        var node = await TestNode.StartAsync(o => o with { Directory = _directory, Files = new NativeFileSystem() });
        for (var i = 0; i < 5; i++)
        {
            await node.AppendAsync("s", Make.Any, Make.Event(data: new string('x', 5000)));
        }

        await node.StopAsync();
        var segment = Directory.GetFiles(Path.Combine(_directory, "log"), "*.seg").Single();
        var bytes = await File.ReadAllBytesAsync(segment);
        bytes[6000] ^= 1;
        await File.WriteAllBytesAsync(segment, bytes);
        File.Delete(Path.Combine(_directory, "index", "unsealed")); // Behind a stop in order a start that has it does not walk the segment (decision 0013).

        using var process = Start("--data", _directory, "--port", "0", "--http-port", "0", "--dev");
        var (code, _, errors) = await EndAsync(process);
        Assert.Equal(ExitCode.Damage, code);
        Assert.Contains($"{Path.GetFileName(segment)}, offset ", errors, StringComparison.Ordinal);
        Assert.Equal(bytes, await File.ReadAllBytesAsync(segment));
    }

    [Theory]
    [InlineData("index", false)]
    [InlineData("log", false)]
    [InlineData("lock", true)]
    [InlineData("meta", true)]
    public async Task Something_else_under_a_name_of_ours_ends_it_with_2_which_service_managers_do_not_repeat(string name, bool isFolder)
    {
        Directory.CreateDirectory(_directory);
        var path = Path.Combine(_directory, name);
        if (isFolder)
        {
            Directory.CreateDirectory(path);
        }
        else
        {
            await File.WriteAllTextAsync(path, "notes");
        }

        using var process = Start("--data", _directory, "--port", "0", "--http-port", "0", "--dev");
        var (code, _, errors) = await EndAsync(process);
        Assert.Equal(ExitCode.Usage, code);
        Assert.Contains($"'{path}'", errors, StringComparison.Ordinal);
        Assert.Contains("move it away", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_that_only_calls_itself_a_segment_is_named_and_nothing_is_taken_for_missing()
    {
        var node = await TestNode.StartAsync(o => o with { Directory = _directory, Files = new NativeFileSystem() });
        await node.AppendAsync("s", Make.Any);
        await node.StopAsync();
        var log = Path.Combine(_directory, "log");
        File.Copy(Path.Combine(log, "00000000000000000000.seg"), Path.Combine(log, "00000000000000000000 (copy).seg"));
        var damage = Assert.Single(LogVerifier.Verify(new NativeFileSystem(), _directory).Damage);
        Assert.Equal("00000000000000000000 (copy).seg", damage.Segment);
        using var process = Start("--data", _directory, "--port", "0", "--http-port", "0", "--dev");
        var (code, _, errors) = await EndAsync(process);
        Assert.Equal(ExitCode.Damage, code);
        Assert.Contains("00000000000000000000 (copy).seg, offset 0: no segment has such a name", errors, StringComparison.Ordinal);
        Assert.Contains("move it out of the folder", errors, StringComparison.Ordinal);
    }

    // As behind a copy that left something out, or with a volume that is not mounted: another log under the vault's name would give its positions out again.
    [Theory]
    [InlineData("log")]
    [InlineData("log", "index")]
    public async Task A_lost_log_ends_it_with_4_and_never_begins_another(params string[] lost)
    {
        var node = await TestNode.StartAsync(o => o with { Directory = _directory, Files = new NativeFileSystem() });
        await node.AppendAsync("s", Make.Any);
        await node.StopAsync();
        Assert.Empty(LogVerifier.Verify(new NativeFileSystem(), _directory).Damage);
        foreach (var folder in lost)
        {
            Directory.Delete(Path.Combine(_directory, folder), recursive: true);
        }

        Assert.Equal("00000000000000000000.seg", Assert.Single(LogVerifier.Verify(new NativeFileSystem(), _directory).Damage).Segment);
        using var process = Start("--data", _directory, "--port", "0", "--http-port", "0", "--dev");
        var (code, _, errors) = await EndAsync(process);
        Assert.Equal(ExitCode.Damage, code);
        Assert.Contains("the log's first segment should be here", errors, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Path.Combine(_directory, "log")));
    }

    // The node of a damaged disk waits for others that never come; its ports are there, and say why.
    [Fact]
    public async Task A_signal_ends_an_opening_with_0_and_changes_nothing()
    {
        string data;
        await using (var cluster = await TestCluster.FormAsync(3, o => o with { Directory = Path.Combine(_directory, Path.GetFileName(o.Directory)) }))
        {
            await cluster.AppendAsync("s", Make.Events(1));
            for (var i = 0; i < 8; i++)
            {
                await cluster.AppendAsync("s", Make.Events(1));
            }

            await cluster.UntilEqualAsync();
            var node = await cluster.FollowerAsync();
            data = node.Options.Directory;
            await ReadmissionTests.StopAndDamageAsync(node);
        }

        var segment = Directory.GetFiles(Path.Combine(data, "log"), "*0.seg").Single();
        var bytes = await File.ReadAllBytesAsync(segment);
        using var process = Start("--data", data, "--port", "0", "--http-port", "0", "--peer-port", "0", "--dev");
        var line = string.Empty;
        while (!line.Contains("(HTTP ", StringComparison.Ordinal))
        {
            line = await process.StandardError.ReadLineAsync().WaitAsync(Wait.Limit) ?? throw new InvalidOperationException("It ended.");
        }

        using var http = new HttpClient { BaseAddress = new Uri($"http://{line[(line.IndexOf("(HTTP ", StringComparison.Ordinal) + 6)..].TrimEnd(')', '.')}") };
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync(new Uri("/health/live", UriKind.Relative))).StatusCode);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await http.GetAsync(new Uri("/health/ready", UriKind.Relative))).StatusCode);
        using var kill = Process.Start("kill", ["-TERM", $"{process.Id}"]);
        var (code, output, _) = await EndAsync(process);
        Assert.Equal((ExitCode.Ok, string.Empty), (code, output));
        Assert.Equal(bytes, await File.ReadAllBytesAsync(segment));
        Assert.False(Directory.Exists(Path.Combine(data, "damaged")));
    }

    [Fact]
    public async Task A_lost_vote_ends_it_with_4_and_another_nodes_directory_with_2()
    {
        var files = new NativeFileSystem();
        VaultStorage.Open(files, _directory, new StorageOptions { SegmentSizeBytes = TestNode.SegmentSizeBytes }, now: 1).Dispose();
        File.Delete(Path.Combine(_directory, "vote"));
        using (var process = Start("--data", _directory, "--port", "0", "--http-port", "0", "--dev"))
        {
            var (code, _, errors) = await EndAsync(process);
            Assert.Equal(ExitCode.Damage, code);
            Assert.Contains("vote, offset 0: ", errors, StringComparison.Ordinal);
        }

        var second = Path.Combine(_directory, "second");
        VaultStorage.Open(files, second, new StorageOptions { NodeId = 2, SegmentSizeBytes = TestNode.SegmentSizeBytes }, now: 1).Dispose();
        using var foreign = Start("--data", second, "--node-id", "1", "--port", "0", "--http-port", "0", "--dev");
        var (foreignCode, _, foreignErrors) = await EndAsync(foreign);
        Assert.Equal(ExitCode.Usage, foreignCode);
        Assert.Contains($"'{second}' is the data directory of node 2 of vault ", foreignErrors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_backup_is_no_data_directory(bool joins)
    {
        Directory.CreateDirectory(Path.Combine(_directory, "segments"));
        File.WriteAllText(Path.Combine(_directory, "manifest"), "");
        using var process = Start(["--data", _directory, "--port", "0", "--http-port", "0", "--dev", .. joins ? new[] { "--join", "--peer-port", "0" } : []]);
        var (code, _, errors) = await EndAsync(process);
        Assert.Equal(ExitCode.Usage, code);
        Assert.Contains($"vault-admin restore --from '{_directory}' --data", errors, StringComparison.Ordinal);
        Assert.Equal(["manifest", "segments"], Directory.GetFileSystemEntries(_directory).Select(Path.GetFileName).Where(name => name != "lock").Order());
    }

    private static async Task<string> ReceiveAsync(Socket socket)
    {
        var bytes = new byte[1000];
        using var limit = new CancellationTokenSource(Wait.Limit);
        return Encoding.UTF8.GetString(bytes, 0, await socket.ReceiveAsync(bytes.AsMemory(), limit.Token));
    }

    private static Process Start(params string[] arguments) => Start([], arguments);

    private static Process Start((string Name, string Value)[] environment, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "EventVault.Node.dll"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        return Process.Start(start)!;
    }

    private static async Task<(int Code, string Output, string Errors)> EndAsync(Process process)
    {
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        using var limit = new CancellationTokenSource(Wait.Limit);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        finally
        {
            if (!process.HasExited)
            {
                process.Kill();
            }
        }

        return (process.ExitCode, await output, await errors);
    }
}
