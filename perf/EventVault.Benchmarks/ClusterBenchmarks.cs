using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using EventVault.Client;

namespace EventVault.Benchmarks;

/// <summary>
/// Three nodes beside one, each a process of its own, all of them and the client on this machine: what replication costs where nothing but
/// the work grows. Both vaults stand throughout and are measured by turns; the one that is not asked costs a few heartbeats.
/// </summary>
internal sealed class ClusterBenchmarks(Report report, string directory, TimeSpan length) : IAsyncDisposable
{
    private const int Nodes = 3;

    // Starting processes and electing somebody; a machine that takes longer is not one to measure on.
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(2);

    private readonly List<Process> _processes = [];
    private readonly byte[] _payload = new byte[256];

    public async Task RunAsync(int repetitions, int[] inFlight)
    {
        var (alone, aloneNodes) = await FormAsync("alone", 1);
        var (cluster, clusterNodes) = await FormAsync("cluster", Nodes);
        report.Section(
            "Three nodes beside one",
            "One event of 256 B per append over one session of the SDK, each appender to a stream of its own, waiting for its answer; every answer flushed, with three nodes by two of them. "
            + $"{length.TotalSeconds:0.#} s each, by turns; medians of {repetitions}. CPU: seconds of processor time per second, of all cores there are; a dash: no such process.");
        report.Head("in flight", "nodes", "appends/s", "of one node's", "p50 µs", "p99 µs", "CPU client", "leader", "follower", "follower", "CPU µs per append, all");
        foreach (var appenders in inFlight)
        {
            var one = new List<Turn>();
            var three = new List<Turn>();
            for (var i = 0; i < repetitions; i++)
            {
                one.Add(await TurnAsync(alone, aloneNodes, appenders));
                three.Add(await TurnAsync(cluster, clusterNodes, appenders));
            }

            var rate = Measure.Median(one.Select(t => t.Appends.PerSecond));
            Row(appenders, "1", one, rate);
            Row(appenders, "3", three, rate);
        }
    }

    public ValueTask DisposeAsync()
    {
        foreach (var process in _processes)
        {
            process.Kill();
            process.WaitForExit();
            process.Dispose();
        }

        return ValueTask.CompletedTask;
    }

    private void Row(int appenders, string nodes, List<Turn> turns, double rateOfOne)
    {
        var rate = Measure.Median(turns.Select(t => t.Appends.PerSecond));
        string Cpu(int process) => process < turns[0].Cpu.Length ? Report.Figure(Measure.Median(turns.Select(t => t.Cpu[process]))) : "–";
        report.Row(
            $"{appenders}", nodes, Report.Figure(rate), Report.Ratio(rate / rateOfOne), Report.Figure(Measure.Median(turns.Select(t => t.Appends.Percentile(0.5)))),
            Report.Figure(Measure.Median(turns.Select(t => t.Appends.Percentile(0.99)))), Cpu(0), Cpu(1), Cpu(2), Cpu(3),
            Report.Figure(Measure.Median(turns.Select(t => t.Cpu.Sum() * 1e6 / t.Appends.PerSecond))));
    }

    // Processor time includes the warm-up, over the same stretch as the clock that it is divided by.
    private async Task<Turn> TurnAsync(string address, IReadOnlyDictionary<string, Process> nodes, int appenders)
    {
        await using var client = VaultClient.Connect(address);
        var status = await client.Cluster.StatusAsync();
        var leader = status.Nodes.FirstOrDefault(n => n.IsLeader)?.Address is { Length: > 0 } at ? at : nodes.Keys.First();
        Process[] processes = [Process.GetCurrentProcess(), nodes[leader], .. nodes.Where(n => n.Key != leader).Select(n => n.Value)];
        var before = Times(processes);
        var begun = Stopwatch.GetTimestamp();
        var appends = await Measure.WorkersAsync<AppendResult>(appenders, length / 2, length, _ =>
        {
            var stream = $"bench-{Guid.NewGuid():N}";
            return () => new ValueTask<AppendResult>(client.AppendAsync(stream, ExpectedVersion.Any, new EventData("ItemRecorded", _payload)));
        }, static _ => { });
        var seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        return new Turn(appends, [.. Times(processes).Zip(before, (after, b) => (after - b).TotalSeconds / seconds)]);
    }

    private static TimeSpan[] Times(Process[] processes) =>
    [
        .. processes.Select(p =>
        {
            p.Refresh();
            return p.TotalProcessorTime;
        }),
    ];

    // Nodes by the address at which clients reach them.
    private async Task<(string Address, IReadOnlyDictionary<string, Process> Nodes)> FormAsync(string name, int count)
    {
        var nodes = new Dictionary<string, Process>();
        var peers = FreePorts(count);
        for (var i = 0; i < count; i++)
        {
            string[] join = count == 1 ? [] : ["--join", "--peer-port", $"{peers[i]}"];
            var process = Process.Start(new ProcessStartInfo(
                Path.Combine(AppContext.BaseDirectory, "EventVault.Node"),
                ["--data", Path.Combine(directory, $"{name}-{i + 1}"), "--port", "0", "--http-port", "0", "--dev", .. join])
            { RedirectStandardOutput = true, RedirectStandardError = true })!;
            _processes.Add(process);
            _ = process.StandardError.BaseStream.CopyToAsync(Stream.Null);
            nodes.Add(await AddressAsync(process), process);
        }

        var address = "eventvault://" + string.Join(',', nodes.Keys);
        if (count > 1)
        {
            await using var first = VaultClient.Connect("eventvault://" + nodes.Keys.First());
            await first.Cluster.InitAsync();
            await using var client = VaultClient.Connect(address);
            await UntilAsync(async () => (await client.Cluster.StatusAsync()).LeaderNodeId is not null);
            foreach (var port in peers.Skip(1))
            {
                await UntilAsync(() => AddAsync(client, port));
            }

            await UntilAsync(async () => await client.Cluster.StatusAsync() is { IsHealthy: true } status && status.Nodes.Count(n => n.Role == ClusterRole.Voter) == count);
        }

        return (address, nodes);
    }

    // Nodes that open their vault are away for a moment. A repeat of what is done changes nothing.
    private static async Task<bool> AddAsync(VaultClient client, int port)
    {
        try
        {
            await client.Cluster.AddAsync($"127.0.0.1:{port}");
            return true;
        }
        catch (VaultException)
        {
            return false;
        }
    }

    // "EventVault ready: gRPC HOST:PORT, …"; what comes behind it is read and dropped, so that the node never waits for its log.
    private static async Task<string> AddressAsync(Process process)
    {
        while (await process.StandardOutput.ReadLineAsync() is { } line)
        {
            if (line.StartsWith("EventVault ready", StringComparison.Ordinal))
            {
                _ = process.StandardOutput.BaseStream.CopyToAsync(Stream.Null);
                return line.Split(' ')[3].TrimEnd(',');
            }
        }

        throw new InvalidOperationException("A node did not start.");
    }

    private static async Task UntilAsync(Func<Task<bool>> isThere)
    {
        for (var begun = Stopwatch.GetTimestamp(); !await isThere(); await Task.Delay(50))
        {
            if (Stopwatch.GetElapsedTime(begun) > StartLimit)
            {
                throw new TimeoutException("The nodes did not become one vault.");
            }
        }
    }

    // All are held at once, so that they differ.
    private static int[] FreePorts(int count)
    {
        var listeners = Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0)).ToList();
        listeners.ForEach(l => l.Start());
        int[] ports = [.. listeners.Select(l => ((IPEndPoint)l.LocalEndpoint).Port)];
        listeners.ForEach(l => l.Dispose());
        return ports;
    }

    // Processor time per second: of the client, the leader, and the followers.
    private readonly record struct Turn(Measured Appends, double[] Cpu);
}
