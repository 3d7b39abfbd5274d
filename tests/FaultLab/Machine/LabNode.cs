using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using EventVault.FaultLab.History;

namespace EventVault.FaultLab.Machine;

/// <summary>One node: its directory, its address, and its process, which comes and goes.</summary>
internal sealed class LabNode : IDisposable
{
    public const int Port = 7400;
    public const int PeerPort = 7500;
    private const int HttpPort = 7401;

    // What a node writes into its log when it begins to lead, and its end if it has made sure of all that was committed before.
    private const string LeadsLine = "This node leads in term ";
    private const string TakesAppends = "it takes appends: True.";

    // Long enough for a start on a machine with two busy cores that has some hundred MiB of log to read.
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(90);
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(60);
    private readonly string _program;
    private readonly string _logFile;
    private readonly string[] _settings;
    private readonly Dictionary<string, string> _environment = [];
    private readonly Lock _output = new();
    private readonly List<long> _leads = [];
    private Process? _process;
    private Process? _tracer;

    /// <summary>Makes a node that is not started yet.</summary>
    /// <param name="program">The node's assembly.</param>
    /// <param name="number">From 1.</param>
    /// <param name="folder">The run's folder: data and the node's log go there.</param>
    /// <param name="settings">Flags beside those for its directory and its address.</param>
    public LabNode(string program, int number, string folder, IEnumerable<string> settings)
    {
        _program = program;
        Number = number;
        Data = Path.Combine(folder, $"node-{number}", "data");
        _logFile = Path.Combine(folder, $"node-{number}.log");
        Directory.CreateDirectory(Data);
        _settings = [.. settings];
    }

    public int Number { get; }

    /// <summary>The data directory.</summary>
    public string Data { get; }

    public string Address => LabNetwork.Address(Number);

    /// <summary>How often it was started.</summary>
    public int Starts { get; private set; }

    public bool IsRunning => _process is { HasExited: false };

    /// <summary>What its process holds for itself, without mapped files; 0: it does not run.</summary>
    public long OwnMemoryBytes
    {
        get
        {
            // Such as "RssAnon:   12345 kB".
            var line = IsRunning ? File.ReadLines($"/proc/{_process!.Id}/status").FirstOrDefault(l => l.StartsWith("RssAnon:", StringComparison.Ordinal)) : null;
            return line is null ? 0 : long.Parse(line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) << 10;
        }
    }

    /// <summary>Whether it may be a member without being run: a scenario took it away for good.</summary>
    public bool IsGone { get; set; }

    /// <summary>Whether it has a vault of its own: clients that do not look at the vault's id must not be led there.</summary>
    public bool IsForeign { get; init; }

    /// <summary>When, from a moment on, its process first said that it leads and takes appends; null: it did not. By the lab's own clock: the node's may be wrong on purpose.</summary>
    public long? LeadsSince(long moment)
    {
        lock (_output)
        {
            var first = _leads.FindIndex(t => t >= moment);
            return first < 0 ? null : _leads[first];
        }
    }

    /// <summary>Gives the process of the next start a variable.</summary>
    public void SetEnvironment(string name, string value) => _environment[name] = value;

    /// <summary>Starts it and waits until its port is open.</summary>
    public async Task StartAsync()
    {
        await BeginAsync();
        var began = Stopwatch.StartNew();
        while (!await IsOpenAsync())
        {
            if (!IsRunning || began.Elapsed > StartLimit)
            {
                throw new InvalidOperationException($"Node {Number} did not open its port: {(IsRunning ? "still starting" : $"exit code {_process!.ExitCode}")}. Its log is {_logFile}.");
            }

            await Task.Delay(50);
        }
    }

    /// <summary>Starts it and does not wait.</summary>
    public async Task BeginAsync()
    {
        if (IsRunning)
        {
            throw new InvalidOperationException($"Node {Number} runs already.");
        }

        await LabNetwork.AddNodeAsync(Number);
        Starts++;
        WriteLine($"--- start {Starts}");
        var start = new ProcessStartInfo(
            "ip",
            ["netns", "exec", $"evn{Number}", "dotnet", _program, "--data", Data, "--listen", Address, "--port", $"{Port}", "--http-port", $"{HttpPort}", .. _settings])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in _environment)
        {
            start.Environment[name] = value;
        }

        var process = new Process { StartInfo = start };
        process.OutputDataReceived += (_, e) => WriteLine(e.Data);
        process.ErrorDataReceived += (_, e) => WriteLine(e.Data);
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        _process?.Dispose();
        _process = process;
    }

    /// <summary>kill −9.</summary>
    public async Task KillAsync()
    {
        if (IsRunning)
        {
            _process!.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync();
        }

        await EndFlushFaultAsync();
    }

    /// <summary>SIGTERM; the exit code.</summary>
    public async Task<int> StopAsync()
    {
        if (IsRunning)
        {
            await SignalAsync("TERM");
        }

        return await ExitAsync();
    }

    /// <summary>Waits until it ends by itself; the exit code.</summary>
    public async Task<int> ExitAsync()
    {
        using var limit = new CancellationTokenSource(StopLimit);
        await _process!.WaitForExitAsync(limit.Token);
        await EndFlushFaultAsync();
        return _process.ExitCode;
    }

    /// <summary>SIGSTOP.</summary>
    public Task PauseAsync() => SignalAsync("STOP");

    /// <summary>SIGCONT.</summary>
    public Task ResumeAsync() => SignalAsync("CONT");

    /// <summary>Lets flushes of the running process fail, or hang, from the next one on: what strace calls an injection.</summary>
    /// <param name="injection">Such as <c>error=EIO</c> or <c>delay_enter=1500000</c> (microseconds).</param>
    public async Task BeginFlushFaultAsync(string injection)
    {
        var tracer = Process.Start(new ProcessStartInfo(
            "strace", ["-f", "-qq", "-o", _logFile + ".strace", "-p", $"{_process!.Id}", "-e", "trace=fdatasync,fsync", "-e", $"inject=fdatasync,fsync:{injection}"])
        {
            RedirectStandardError = true,
        })!;
        _tracer = tracer;
        // Attached when the kernel says so.
        var began = Stopwatch.StartNew();
        while (!(await File.ReadAllTextAsync($"/proc/{_process.Id}/status")).Contains($"TracerPid:\t{tracer.Id}\n", StringComparison.Ordinal))
        {
            if (tracer.HasExited || began.Elapsed > StartLimit)
            {
                throw new InvalidOperationException($"strace did not attach to node {Number}: {(tracer.HasExited ? await tracer.StandardError.ReadToEndAsync() : "it waits")}");
            }

            await Task.Delay(10);
        }
    }

    /// <summary>Ends it; the process goes on without.</summary>
    public async Task EndFlushFaultAsync()
    {
        if (_tracer is { } tracer)
        {
            _tracer = null;
            if (!tracer.HasExited)
            {
                await Command.TryAsync(null, "kill", "-INT", $"{tracer.Id}");
                await tracer.WaitForExitAsync();
            }

            tracer.Dispose();
        }
    }

    public void Dispose()
    {
        if (IsRunning)
        {
            _process!.Kill(entireProcessTree: true);
        }

        _process?.Dispose();
        _tracer?.Dispose();
    }

    private Task SignalAsync(string signal) => Command.RunAsync("kill", $"-{signal}", $"{_process!.Id}");

    private async Task<bool> IsOpenAsync()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        try
        {
            await socket.ConnectAsync(Address, Port, limit.Token);
            return true;
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            return false;
        }
    }

    private void WriteLine(string? line)
    {
        if (line is not null)
        {
            lock (_output)
            {
                if (line.Contains(LeadsLine, StringComparison.Ordinal) && line.EndsWith(TakesAppends, StringComparison.Ordinal))
                {
                    _leads.Add(Clock.Now);
                }

                File.AppendAllText(_logFile, line + "\n");
            }
        }
    }
}
