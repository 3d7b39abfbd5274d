using System.Runtime.InteropServices;

namespace EventVault.LocalCluster;

/// <summary>
/// Three nodes of one vault on this machine, for trying things out: started, made a vault, shown, and stopped at Ctrl-C. Started again over
/// the same folder it is the same vault.
/// </summary>
internal static class ClusterRun
{
    private const int Nodes = 3;

    private const string Usage = "Three nodes of one vault on this machine. Usage: dotnet run -c Release --project tools/cluster -- --data DIR";

    /// <summary>Runs it.</summary>
    /// <param name="args">The command line.</param>
    /// <returns>The exit code: 0 stopped in order, 1 failed, 2 wrong usage.</returns>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args is not ["--data", { Length: > 0 } data])
        {
            await Console.Error.WriteLineAsync(Usage);
            return args is ["--help"] or ["-h"] ? 0 : 2;
        }

        var folder = Directory.CreateDirectory(data).FullName;
        var nodes = new List<ChildProcess>();
        var stop = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        AppDomain.CurrentDomain.ProcessExit += (_, _) => nodes.ForEach(n => n.KillNow());
        try
        {
            var ports = Ports.Of(folder, Nodes);
            var started = await Task.WhenAll(ports.Select(async (p, i) =>
            {
                var node = await StartAsync(folder, i + 1, p);
                lock (nodes)
                {
                    nodes.Add(node);
                }

                return $"node {i + 1} is {node.Id}";
            }));
            var addresses = string.Join(',', ports.Select(p => $"127.0.0.1:{p.Grpc}"));
            var code = await ChildProcess.AdminAsync("cluster", "init", "--nodes", addresses);
            if (code != 0)
            {
                throw new StartException($"The nodes did not become one vault: vault-admin cluster init ended with exit code {code}. Their logs are in {folder}.");
            }

            Console.WriteLine($"export EVENTVAULT_ENDPOINT=http://{addresses}");
            Console.WriteLine($"Three nodes serve one vault (processes: {string.Join(", ", started)}; data and logs in {folder}). Ctrl-C stops them.");
            await Task.WhenAny([stop.Task, .. nodes.Select(n => n.Ended)]);
            if (!stop.Task.IsCompleted)
            {
                Console.WriteLine("A node has ended; the others go on. Ctrl-C stops them, and the next start brings all three back.");
                await stop.Task;
            }

            return await StopAsync(nodes);
        }
        catch (StartException e)
        {
            await Console.Error.WriteLineAsync(e.Message);
            await StopAsync(nodes);
            return 1;
        }

        void Stop(PosixSignalContext signal)
        {
            // The first signal stops the nodes in order; a second one finds the default.
            signal.Cancel = stop.TrySetResult();
        }
    }

    private static Task<ChildProcess> StartAsync(string folder, int number, Ports ports) => ChildProcess.StartNodeAsync(
        Path.Combine(folder, $"node{number}.log"),
        "--data",
        Path.Combine(folder, $"node{number}"),
        "--join",
        "--port",
        $"{ports.Grpc}",
        "--http-port",
        "0",
        "--peer-port",
        $"{ports.Peers}",
        "--dev");

    // One after the other: while a majority is left, it hands over what the next one was doing.
    private static async Task<int> StopAsync(List<ChildProcess> nodes)
    {
        var code = 0;
        foreach (var node in nodes)
        {
            code = await node.StopAsync() == 0 ? code : 1;
            node.Dispose();
        }

        nodes.Clear();
        return code;
    }
}
