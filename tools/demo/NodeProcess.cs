using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace EventVault.Demo;

/// <summary>A real node, as a process of its own.</summary>
internal sealed class NodeProcess : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(30);

    private readonly Process _process;
    private readonly StringBuilder _said = new();

    private NodeProcess(Process process) => _process = process;

    public int Id => _process.Id;

    /// <summary>Starts a node and waits until it serves.</summary>
    /// <param name="data">Its data directory.</param>
    /// <param name="port">gRPC port.</param>
    /// <param name="httpPort">HTTP port.</param>
    public static async Task<NodeProcess> StartAsync(string data, int port, int httpPort)
    {
        var node = new NodeProcess(ChildProcess.Start(
            Places.Node, "--data", data, "--port", $"{port}", "--http-port", $"{httpPort}", "--dev"));
        try
        {
            using var limit = new CancellationTokenSource(StartLimit);
            _ = node.KeepAsync(node._process.StandardError);
            while (await node._process.StandardOutput.ReadLineAsync(limit.Token) is { } line)
            {
                if (line.StartsWith("EventVault ready", StringComparison.Ordinal))
                {
                    _ = node.KeepAsync(node._process.StandardOutput);
                    return node;
                }

                node.Keep(line);
            }
        }
        catch (OperationCanceledException)
        {
            // Told below, with what it said.
        }

        await node.DisposeAsync();
        throw new BrokenPromiseException($"The node did not get ready within {StartLimit.TotalSeconds} s. It said:\n{node._said}");
    }

    /// <summary>kill -9, and the process is gone.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    /// <summary>kill -9, without waiting; no failure if it is gone already.</summary>
    public void KillNow()
    {
        try
        {
            _process.Kill();
        }
        catch (InvalidOperationException)
        {
            // It was disposed of meanwhile.
        }
    }

    /// <summary>SIGTERM: the node stops in order.</summary>
    /// <returns>Its exit code.</returns>
    public async Task<int> StopAsync()
    {
        // The framework can only kill; the tool of the system sends the polite signal.
        using (var kill = Process.Start("kill", ["-TERM", $"{_process.Id}"]))
        {
            await kill.WaitForExitAsync();
        }

        using var limit = new CancellationTokenSource(StopLimit);
        await _process.WaitForExitAsync(limit.Token);
        return _process.ExitCode;
    }

    /// <summary>Two ports that nothing listens on right now.</summary>
    public static (int Grpc, int Http) FreePorts()
    {
        using var first = new TcpListener(IPAddress.Loopback, 0);
        using var second = new TcpListener(IPAddress.Loopback, 0);
        first.Start();
        second.Start();
        return (((IPEndPoint)first.LocalEndpoint).Port, ((IPEndPoint)second.LocalEndpoint).Port);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            await KillAsync();
        }

        _process.Dispose();
    }

    // The pipes must be emptied, or the node would block on its own log.
    private async Task KeepAsync(StreamReader reader)
    {
        while (await reader.ReadLineAsync() is { } line)
        {
            Keep(line);
        }
    }

    private void Keep(string line)
    {
        const int Enough = 64 << 10;
        lock (_said)
        {
            if (_said.Length < Enough)
            {
                _said.AppendLine(line);
            }
        }
    }
}
