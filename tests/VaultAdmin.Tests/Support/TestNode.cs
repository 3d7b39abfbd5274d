using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace EventVault.Admin.Tests.Support;

/// <summary>A real node on a temporary folder.</summary>
public sealed class TestNode : IAsyncLifetime, IAsyncDisposable
{
    private const string Ready = "EventVault ready: gRPC ";

    private static readonly string[] SmallSegments = ["--segment-size", "33554432"];
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(1);

    private readonly string _folder = Directory.CreateTempSubdirectory("vault-admin-tests-").FullName;
    private string[] _settings = [];
    private int _port; // 0: any, another one at each start.
    private bool _asksForCredentials;
    private Process? _process;

    public TestNode() => DataDirectory = Path.Combine(_folder, "vault");

    public string DataDirectory { get; private init; }

    public string Endpoint { get; private set; } = "";

    public string HttpEndpoint { get; private set; } = "";

    /// <summary>A path in the node's folder, for files of the test.</summary>
    public string FileIn(string name) => Path.Combine(_folder, name);

    /// <summary>A node that was not started yet: its data directory can be made first.</summary>
    /// <param name="settings">As for <see cref="NewAsync"/>.</param>
    public static TestNode Unstarted(params string[] settings) => new() { _settings = settings };

    /// <param name="settings">Settings of the node, in place of the usual small segments.</param>
    public static async Task<TestNode> NewAsync(params string[] settings)
    {
        var node = new TestNode { _settings = settings };
        await node.StartAsync();
        return node;
    }

    /// <summary>A node that is reached at the same address when it starts again.</summary>
    public static async Task<TestNode> NewAtAsync(int port)
    {
        var node = new TestNode { _port = port };
        await node.StartAsync();
        return node;
    }

    /// <summary>A node under TLS that asks for credentials, reached as localhost.</summary>
    /// <param name="settings">How it is to know who calls.</param>
    public static async Task<TestNode> NewAskingAsync(params string[] settings)
    {
        var node = new TestNode { _settings = settings, _asksForCredentials = true };
        await node.StartAsync();
        return node;
    }

    /// <param name="data">A data directory that there is; it stays when the node goes.</param>
    /// <param name="settings">Settings of the node.</param>
    public static async Task<TestNode> OnAsync(string data, params string[] settings)
    {
        var node = new TestNode { DataDirectory = data, _settings = settings };
        await node.StartAsync();
        return node;
    }

    public Task InitializeAsync() => StartAsync();

    Task IAsyncLifetime.DisposeAsync() => DisposeAsync().AsTask();

    public async Task StartAsync()
    {
        _process = Process.Start(new ProcessStartInfo(
            AdminProcess.Dotnet, [AdminProcess.Built("src/EventVault.Node", "EventVault.Node"), "--data", DataDirectory, "--port", $"{_port}", "--http-port", "0", "--log-level", "warning", .. _asksForCredentials ? SmallSegments : ["--dev"], .. _settings.Length > 0 ? _settings : SmallSegments])
        {
            RedirectStandardOutput = true,
        })!;
        using var limit = new CancellationTokenSource(Limit);
        while (await _process.StandardOutput.ReadLineAsync(limit.Token) is { } line)
        {
            if (line.StartsWith(Ready, StringComparison.Ordinal))
            {
                var parts = line[Ready.Length..].Split(", ");
                var scheme = _asksForCredentials ? "https" : "http";
                Endpoint = $"{scheme}://{Reached(parts[0])}";
                HttpEndpoint = $"{scheme}://{Reached(parts[1]["HTTP ".Length..])}";

                // Emptied, or the node would block on its own log.
                _ = _process.StandardOutput.ReadToEndAsync();
                return;
            }
        }

        throw new InvalidOperationException("The node ended before it was ready; what it said is on stderr.");
    }

    // Its certificate is for that name.
    private string Reached(string address) => _asksForCredentials ? $"localhost:{address.Split(':')[^1]}" : address;

    /// <summary>Runs a command against this node, with --json.</summary>
    public Task<AdminResult> RunAsync(params string[] arguments) => AdminProcess.RunAsync([.. arguments, "--endpoint", Endpoint, "--json"]);

    public async Task KillAsync()
    {
        _process!.Kill();
        await _process.WaitForExitAsync();
    }

    /// <summary>SIGTERM, and waits for the end.</summary>
    public async Task<int> StopAsync()
    {
        await SignalAsync("TERM", _process!);
        using var limit = new CancellationTokenSource(Limit);
        await _process!.WaitForExitAsync(limit.Token);
        return _process.ExitCode;
    }

    /// <summary>Those that end a process in good order. Without SIGINT where it is ignored, as shells have it for what they start in the background: then what is started from here ignores it, too.</summary>
    public static string[] EndingSignals { get; } = IsInterruptIgnored() ? ["TERM"] : ["TERM", "INT"];

    public static async Task SignalAsync(string signal, Process process)
    {
        using var kill = Process.Start("kill", [$"-{signal}", $"{process.Id}"]);
        await kill.WaitForExitAsync();
    }

    // From proc(5): a mask of hexadecimal digits, whose lowest bit is signal 1.
    private static bool IsInterruptIgnored() => File.Exists("/proc/self/status")
        && File.ReadLines("/proc/self/status").First(line => line.StartsWith("SigIgn:", StringComparison.Ordinal)) is var line
        && (Convert.ToUInt64(line["SigIgn:".Length..].Trim(), 16) & (1 << 1)) != 0;

    /// <summary>A port that nobody listens on, below those that systems give out by themselves: nobody gets it by chance before whoever asked has opened it.</summary>
    public static int FreePort()
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                using var listener = new TcpListener(IPAddress.Loopback, Random.Shared.Next(15_000, 32_000));
                listener.Start();
                return ((IPEndPoint)listener.LocalEndpoint).Port;
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse && attempt < 100)
            {
                // Another one.
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false })
        {
            await KillAsync();
        }

        _process?.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}
