using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Reflection;
using System.Text;

namespace EventVault.Client.Tests.Support;

/// <summary>The real node as a process of its own, on a data directory that is deleted afterwards. Can be killed and started again.</summary>
internal sealed class NodeProcess : IAsyncDisposable
{
    private const int SegmentSizeBytes = 16 << 20;

    private static readonly string NodeAssembly =
        typeof(NodeProcess).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "NodeAssembly").Value!;

    private readonly string _directory = Directory.CreateTempSubdirectory("eventvault-client-").FullName;
    private int _port = FreePort();
    private string[] _settings = [];
    private IReadOnlyDictionary<string, string> _environment = new Dictionary<string, string>();
    private readonly StringBuilder _output = new();
    private Process? _process;

    public string Address => $"eventvault://127.0.0.1:{_port}";

    /// <summary>Where it is reached, without a scheme.</summary>
    public string HostAndPort => $"127.0.0.1:{_port}";

    /// <summary>All that it has said, in all its starts.</summary>
    public string Output
    {
        get
        {
            lock (_output)
            {
                return _output.ToString();
            }
        }
    }

    /// <summary>Starts a node on a new directory.</summary>
    /// <param name="settings">Further settings.</param>
    public static async Task<NodeProcess> StartAsync(params string[] settings)
    {
        var node = new NodeProcess { _settings = settings };
        await node.StartAgainAsync();
        return node;
    }

    /// <summary>Starts a node on a new directory, so with another vault, at the port of one that does not run.</summary>
    /// <param name="other">That one.</param>
    public static async Task<NodeProcess> StartInPlaceOfAsync(NodeProcess other)
    {
        var node = new NodeProcess { _port = other._port };
        await node.StartAgainAsync();
        return node;
    }

    /// <summary>Starts a node on a new directory, with variables in its environment.</summary>
    public static async Task<NodeProcess> StartWithAsync(IReadOnlyDictionary<string, string> environment, params string[] settings)
    {
        var node = new NodeProcess { _settings = settings, _environment = environment };
        await node.StartAgainAsync();
        return node;
    }

    /// <summary>Starts the node on the same directory and port, and waits until it serves.</summary>
    public async Task StartAgainAsync()
    {
        var ready = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        string[] arguments =
            [NodeAssembly, "--data", _directory, "--port", $"{_port}", "--http-port", "0", "--dev", "--segment-size", $"{SegmentSizeBytes}", .. _settings];
        var process = new Process
        {
            StartInfo = new ProcessStartInfo("dotnet", arguments) { RedirectStandardOutput = true, RedirectStandardError = true },
            EnableRaisingEvents = true,
        };
        foreach ((string name, string value) in _environment)
        {
            process.StartInfo.Environment[name] = value;
        }

        DataReceivedEventHandler onLine = (_, line) =>
        {
            lock (_output)
            {
                _output.AppendLine(line.Data);
            }

            if (line.Data?.StartsWith("EventVault ready", StringComparison.Ordinal) == true)
            {
                ready.TrySetResult();
            }
        };
        process.OutputDataReceived += onLine;
        process.ErrorDataReceived += onLine;
        process.Exited += (_, _) => ready.TrySetException(new InvalidOperationException($"The node ended before it was ready:\n{Output}"));
        process.Start();
        _process = process;
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        await ready.Task.WaitAsync(TimeSpan.FromSeconds(60));
    }

    /// <summary>kill −9.</summary>
    public void Kill()
    {
        if (_process is { HasExited: false } process)
        {
            process.Kill(entireProcessTree: true);
            process.WaitForExit();
        }

        _process?.Dispose();
        _process = null;
    }

    /// <summary>SIGTERM, and waits for the end.</summary>
    public async Task<int> StopAsync()
    {
        using Process kill = Process.Start("kill", ["-TERM", $"{_process!.Id}"]);
        await kill.WaitForExitAsync();
        await _process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(60));
        return _process.ExitCode;
    }

    public ValueTask DisposeAsync()
    {
        Kill();
        Directory.Delete(_directory, recursive: true);
        return ValueTask.CompletedTask;
    }

    /// <summary>A port that nobody listens on, below those that systems give out by themselves: nobody gets it by chance before whoever asked has opened it.</summary>
    public static int FreePort()
    {
        for (int attempt = 1; ; attempt++)
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
}
