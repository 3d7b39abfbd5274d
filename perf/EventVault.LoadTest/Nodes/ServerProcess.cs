using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace EventVault.LoadTest.Nodes;

/// <summary>A server that was started here, and is ended by its process id. What it prints goes to a file.</summary>
internal sealed class ServerProcess : IAsyncDisposable
{
    // A server that has much to write at its end gets a minute; then it is killed.
    private static readonly TimeSpan StopPatience = TimeSpan.FromMinutes(1);

    private readonly Process _process;
    private readonly StreamWriter _output;

    private ServerProcess(Process process, StreamWriter output)
    {
        _process = process;
        _output = output;
    }

    public int Id => _process.Id;

    public bool HasEnded => _process.HasExited;

    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>Starts a server and waits until it serves.</summary>
    /// <param name="start">Program and arguments.</param>
    /// <param name="output">File that what it prints is appended to.</param>
    /// <param name="isReady">Throws while it does not serve.</param>
    /// <param name="patience">How long that may take.</param>
    /// <exception cref="InvalidOperationException">It ended, or did not serve in time; it is not running.</exception>
    public static async Task<ServerProcess> StartAsync(ProcessStartInfo start, string output, Func<Task> isReady, TimeSpan patience)
    {
        start.RedirectStandardOutput = true;
        start.RedirectStandardError = true;
        var server = new ServerProcess(new Process { StartInfo = start }, new StreamWriter(output, append: true) { AutoFlush = true });
        server._process.OutputDataReceived += (_, e) => server.OnLine(e.Data);
        server._process.ErrorDataReceived += (_, e) => server.OnLine(e.Data);
        server._process.Start();
        server._process.BeginOutputReadLine();
        server._process.BeginErrorReadLine();
        for (var waiting = Stopwatch.StartNew(); ;)
        {
            try
            {
                await isReady();
                return server;
            }
            catch (Exception e)
            {
                // Whatever a client says of a server that is not there yet; it is asked again until it has had its time.
                if (server.HasEnded || waiting.Elapsed > patience)
                {
                    var why = server.HasEnded ? $"ended with exit code {server._process.ExitCode}" : $"did not serve within {patience.TotalSeconds:0} s";
                    await server.StopAsync(kill: true);
                    throw new InvalidOperationException($"{start.FileName} {why}; what it printed is in {output}.", e);
                }

                await Task.Delay(2);
            }
        }
    }

    /// <summary>Asks it to end, or kills it, and waits until it has ended.</summary>
    /// <param name="kill">kill −9 instead.</param>
    /// <param name="signal">How it is asked.</param>
    public async Task StopAsync(bool kill = false, string signal = "TERM")
    {
        if (!_process.HasExited)
        {
            await SignalAsync(kill ? "KILL" : signal);
            using var limit = new CancellationTokenSource(StopPatience);
            try
            {
                await _process.WaitForExitAsync(limit.Token);
            }
            catch (OperationCanceledException)
            {
                await SignalAsync("KILL");
                await _process.WaitForExitAsync(CancellationToken.None);
            }
        }

        await _output.DisposeAsync();
        _process.Dispose();
    }

    public async ValueTask DisposeAsync() => await StopAsync();

    private async Task SignalAsync(string signal)
    {
        using var kill = Process.Start("kill", [$"-{signal}", $"{_process.Id}"]);
        await kill.WaitForExitAsync();
    }

    private void OnLine(string? line)
    {
        lock (_output)
        {
            if (line is not null && _output.BaseStream is not null)
            {
                _output.WriteLine(line);
            }
        }
    }
}
