using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Reflection;
using System.Text;

namespace EventVault.FaultLab.Tests;

/// <summary>A node as a process of its own, on free ports of the loopback address.</summary>
internal sealed class NodeProcess : IDisposable
{
    private static readonly string NodeAssembly = typeof(NodeProcess).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "NodeAssembly").Value!;
    private readonly StringBuilder _output = new();
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Process _process;

    private NodeProcess(Process process) => _process = process;

    /// <summary>Of the node, or of the program that it runs under.</summary>
    public int Id => _process.Id;

    /// <summary>All that the node printed, for a failing test's message.</summary>
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

    /// <summary>Starts a node and waits until it serves.</summary>
    /// <param name="directory">The data directory.</param>
    /// <param name="port">gRPC port.</param>
    /// <param name="segmentSizeBytes">For a new vault.</param>
    /// <param name="wrapper">A command to run it under, such as strace with its options.</param>
    public static Task<NodeProcess> StartAsync(string directory, int port, int segmentSizeBytes, params string[] wrapper) =>
        StartWithAsync(directory, port, segmentSizeBytes, [], wrapper);

    /// <summary>Starts a node with further settings and waits until it serves.</summary>
    /// <param name="directory">The data directory.</param>
    /// <param name="port">gRPC port.</param>
    /// <param name="segmentSizeBytes">For a new vault.</param>
    /// <param name="settings">Flags of the node.</param>
    /// <param name="wrapper">A command to run it under.</param>
    public static async Task<NodeProcess> StartWithAsync(string directory, int port, int segmentSizeBytes, string[] settings, params string[] wrapper)
    {
        string[] arguments =
        [
            .. wrapper, "dotnet", NodeAssembly, "--data", directory, "--port", $"{port}", "--http-port", "0", "--dev",
            "--segment-size", $"{segmentSizeBytes}", .. settings,
        ];
        var start = new ProcessStartInfo(arguments[0], arguments.Skip(1)) { RedirectStandardOutput = true, RedirectStandardError = true };

        // EVENTVAULT_KILLS and the like are ours; the node refuses variables that it does not know.
        foreach (var variable in start.Environment.Keys.Where(name => name.StartsWith("EVENTVAULT_", StringComparison.Ordinal)).ToList())
        {
            start.Environment.Remove(variable);
        }

        var node = new NodeProcess(new Process { StartInfo = start, EnableRaisingEvents = true });
        node._process.OutputDataReceived += (_, e) => node.OnLine(e.Data);
        node._process.ErrorDataReceived += (_, e) => node.OnLine(e.Data);
        node._process.Exited += (_, _) => node._ready.TrySetException(new InvalidOperationException("The node ended before it was ready."));
        node._process.Start();
        node._process.BeginOutputReadLine();
        node._process.BeginErrorReadLine();
        try
        {
            await node._ready.Task.WaitAsync(TimeSpan.FromSeconds(60));
        }
        catch (Exception e)
        {
            node.Kill();
            throw new InvalidOperationException($"The node did not start: {e.Message}\n{node.Output}", e);
        }

        return node;
    }

    /// <summary>kill −9.</summary>
    public void Kill()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            _process.WaitForExit();
        }
    }

    /// <summary>SIGTERM; returns the exit code.</summary>
    public async Task<int> StopAsync()
    {
        using var kill = Process.Start("kill", ["-TERM", $"{_process.Id}"]);
        await kill.WaitForExitAsync();
        return await ExitCodeAsync();
    }

    public async Task<int> ExitCodeAsync()
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        await _process.WaitForExitAsync(limit.Token);
        return _process.ExitCode;
    }

    public void Dispose()
    {
        Kill();
        _process.Dispose();
    }

    private void OnLine(string? line)
    {
        if (line is null)
        {
            return;
        }

        lock (_output)
        {
            _output.AppendLine(line);
        }

        if (line.StartsWith("EventVault ready", StringComparison.Ordinal))
        {
            _ready.TrySetResult();
        }
    }
}
