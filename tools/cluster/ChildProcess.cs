using System.Diagnostics;

namespace EventVault.LocalCluster;

/// <summary>A node, or vault-admin, as a process of its own.</summary>
internal sealed class ChildProcess : IDisposable
{
    private const string Ready = "EventVault ready";
    private const string CanNotStart = "The node can't start: ";

    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan StopLimit = TimeSpan.FromMinutes(1);

    private readonly Process _process;

    private ChildProcess(Process process) => _process = process;

    public int Id => _process.Id;

    /// <summary>Completes when the process has ended.</summary>
    public Task Ended => _process.WaitForExitAsync();

    /// <summary>Starts a node and waits until its ports are open. What it says goes to a file.</summary>
    /// <param name="log">The file; it is added to.</param>
    /// <param name="arguments">The node's settings.</param>
    /// <exception cref="StartException">It ended, or did not get ready.</exception>
    public static async Task<ChildProcess> StartNodeAsync(string log, params string[] arguments)
    {
        var process = Start(Places.Node, redirects: true, arguments);
        var ready = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _ = CopyAsync(process, log, ready);
        try
        {
            await ready.Task.WaitAsync(StartLimit);
            return new ChildProcess(process);
        }
        catch (Exception e) when (e is TimeoutException or StartException)
        {
            if (!process.HasExited)
            {
                process.Kill();
            }

            process.Dispose();
            throw new StartException($"A node did not get ready: {e.Message} Its log is {log}.");
        }
    }

    /// <summary>Runs vault-admin to its end; what it prints is seen.</summary>
    /// <returns>Its exit code.</returns>
    public static async Task<int> AdminAsync(params string[] arguments)
    {
        using var process = Start(Places.Admin, redirects: false, arguments);
        await process.WaitForExitAsync();
        return process.ExitCode;
    }

    /// <summary>SIGTERM: the node stops in order.</summary>
    /// <returns>Its exit code; null: it did not end in time, and was killed.</returns>
    public async Task<int?> StopAsync()
    {
        if (!_process.HasExited)
        {
            // The framework can only kill; the tool of the system sends the polite signal.
            using var kill = Process.Start("kill", ["-TERM", $"{_process.Id}"]);
            await kill.WaitForExitAsync();
        }

        try
        {
            await _process.WaitForExitAsync().WaitAsync(StopLimit);
            return _process.ExitCode;
        }
        catch (TimeoutException)
        {
            _process.Kill();
            return null;
        }
    }

    /// <summary>When this program itself is told to end, no node stays behind.</summary>
    public void KillNow()
    {
        try
        {
            _process.Kill();
        }
        catch (InvalidOperationException)
        {
            // It has ended, or was disposed of.
        }
    }

    public void Dispose() => _process.Dispose();

    private static Process Start(string assembly, bool redirects, string[] arguments) => Process.Start(
        new ProcessStartInfo(Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet", [assembly, .. arguments])
        {
            RedirectStandardOutput = redirects,
            RedirectStandardError = redirects,
            UseShellExecute = false,
        })!;

    private static async Task CopyAsync(Process process, string log, TaskCompletionSource ready)
    {
        var file = new StreamWriter(log, append: true) { AutoFlush = true };
        await using (file)
        {
            using var turn = new SemaphoreSlim(1);
            var said = await Task.WhenAll(CopyAsync(process.StandardOutput, file, turn, ready), CopyAsync(process.StandardError, file, turn, ready));
            ready.TrySetException(new StartException(said[1] ?? "It ended before."));
        }
    }

    // To its end; and the line that says why the node can't start, if there is one.
    private static async Task<string?> CopyAsync(StreamReader from, StreamWriter to, SemaphoreSlim turn, TaskCompletionSource ready)
    {
        string? why = null;
        while (await from.ReadLineAsync() is { } line)
        {
            why = line.StartsWith(CanNotStart, StringComparison.Ordinal) ? line : why;
            await turn.WaitAsync();
            try
            {
                await to.WriteLineAsync(line);
            }
            finally
            {
                turn.Release();
            }

            if (line.StartsWith(Ready, StringComparison.Ordinal))
            {
                ready.TrySetResult();
            }
        }

        return why;
    }
}
