using System.Globalization;
using EventVault.FaultLab.Checks;
using EventVault.FaultLab.History;
using EventVault.FaultLab.Machine;
using EventVault.FaultLab.Workload;
using EventVault.Storage;
using EventVault.Storage.Io;

namespace EventVault.FaultLab.Scenarios;

/// <summary>How a scenario ended.</summary>
/// <param name="Line">For the console.</param>
/// <param name="IsClean">No rule was broken, and nothing that the scenario asks for.</param>
internal sealed record ScenarioResult(string Line, bool IsClean);

/// <summary>Runs a scenario from an empty folder to a checked history.</summary>
internal sealed class Runner(LabNetwork network, string program, string output, int seed, bool alone, bool isShort)
{
    // Appends before the first fault: enough that there is something to lose.
    private const int WrittenBefore = 100;

    // What a fail-over should take: 2 election timeouts and a second. Reported only; the bound that decides is generous.
    private static readonly long UsualMilliseconds = (2 * (long)LabCluster.ElectionTimeout.TotalMilliseconds) + 1000;

    // A subscription reads faster than writers write; this is for a machine that has much else to do.
    private static readonly TimeSpan DeliveryLimit = TimeSpan.FromSeconds(60);

    public async Task<ScenarioResult> RunAsync(Scenario scenario)
    {
        var began = Clock.Now;
        var folder = Directory.CreateDirectory(Path.Combine(output, scenario.Name)).FullName;
        await network.HealAsync();
        await using var cluster = new LabCluster(program, folder, alone ? 1 : scenario.Nodes, hasPeers: !alone, [], network);
        var historyPath = Path.Combine(folder, "history.jsonl");
        var history = new HistoryFile(historyPath);
        var state = new WorkState(cluster, history, seed, scenario.Work);
        var run = new ScenarioRun(cluster, state, state.RandomOf("scenario"), folder, isShort);
        var problems = new List<string>();
        ulong? committed = null;
        try
        {
            committed = await WorkAsync(scenario, run);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            problems.Add(e is InvalidOperationException or TimeoutException ? e.Message : e.ToString());
        }

        await history.DisposeAsync();
        if (committed is { } index)
        {
            problems.AddRange(await CheckAsync(cluster, historyPath, index));
        }

        foreach (var disk in run.Disks)
        {
            await disk.UnmountAsync();
        }

        var line = Line(scenario, run, Clock.Now - began, problems);
        await File.WriteAllLinesAsync(Path.Combine(folder, "report.txt"), [line, $"seed {seed}", .. run.Notes, .. problems]);
        return new ScenarioResult(string.Join("\n  ", [line, .. run.Notes, .. problems]), problems.Count == 0);
    }

    private static async Task<ulong> WorkAsync(Scenario scenario, ScenarioRun run)
    {
        var (cluster, state) = (run.Cluster, run.State);
        await scenario.Prepare(run);
        await cluster.FormAsync();
        var subscribers = Enumerable.Range(0, state.Options.Subscribers).Select(i => new Subscriber(i, i == 1 ? "shared-0" : null, state)).ToList();
        LabClient[] writersAndReaders =
        [
            .. Enumerable.Range(0, state.Options.Writers).Select(i => new Writer(i, state)),
            .. Enumerable.Range(0, state.Options.Sessions).Select(i => new SessionWriter(i, state)),
            .. Enumerable.Range(0, state.Options.Readers).Select(i => new Reader(i, state)),
        ];
        LabClient[] watchers = [new StatusWatcher(state), .. subscribers];
        using var stopWork = new CancellationTokenSource();
        using var stopWatch = new CancellationTokenSource();
        var work = writersAndReaders.Select(c => Task.Run(() => c.RunAsync(stopWork.Token))).ToList();
        var watch = watchers.Select(c => Task.Run(() => c.RunAsync(stopWatch.Token))).ToList();
        try
        {
            await LabCluster.UntilAsync("the first appends", () => Task.FromResult(Broken(work, watch) ?? (state.Written >= WrittenBefore ? state : null)));
            await scenario.Body(run);
            await cluster.Network.HealAsync();
            await run.RecoveredAsync("a write after all was healed");
            await SeenAsync(run);
            await run.CalmAsync();
            await stopWork.CancelAsync();
            await Task.WhenAll(work);
            var committed = await cluster.HealedAsync();
            await DeliveredAsync(run, subscribers);
            await stopWatch.CancelAsync();
            await Task.WhenAll(watch);
            await cluster.StopAsync();
            return committed;
        }
        finally
        {
            await stopWork.CancelAsync();
            await stopWatch.CancelAsync();
            await Task.WhenAll([.. work, .. watch]).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            foreach (var client in writersAndReaders.Concat(watchers))
            {
                await client.DisposeAsync();
            }
        }
    }

    // A client that ended has a mistake, or found one that is none of the protocol's errors.
    private static object? Broken(List<Task> work, List<Task> watch) =>
        work.Concat(watch).FirstOrDefault(t => t.IsFaulted) is { Exception: { } e } ? throw new InvalidOperationException($"A client failed: {e}") : null;

    private static async Task SeenAsync(ScenarioRun run)
    {
        var since = Clock.Now;
        var coverage = run.State.Coverage = new Coverage(since);
        await run.State.AddAsync(new Mark { Client = "lab", Text = Coverage.Healed, Invoked = since, Completed = since });
        var nodes = run.Cluster.Nodes.Where(n => !n.IsGone).Select(n => n.Number).ToList();
        try
        {
            await LabCluster.UntilAsync("reads of every level at every node", () => Task.FromResult(coverage.Missing(nodes).Count == 0 ? coverage : null));
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"{e.Message} {string.Join("; ", coverage.Missing(nodes))}.", e);
        }
    }

    private static async Task DeliveredAsync(ScenarioRun run, List<Subscriber> subscribers)
    {
        var leader = await run.Cluster.LeaderAsync();
        var began = Clock.Now;
        foreach (var subscriber in subscribers)
        {
            var count = await run.Cluster.CountAsync(leader, subscriber.Stream);
            while (subscriber.Next < count)
            {
                if (Clock.Now - began > Clock.Ticks(DeliveryLimit))
                {
                    throw new TimeoutException($"{subscriber.Name} was given {subscriber.Next} of {count} events within {DeliveryLimit.TotalSeconds} s after the last append.");
                }

                await Task.Delay(50);
            }
        }
    }

    private static async Task<List<string>> CheckAsync(LabCluster cluster, string historyPath, ulong committed)
    {
        var problems = new List<string>();
        var members = cluster.Nodes.Where(n => !n.IsGone).ToList();
        foreach (var node in members)
        {
            var report = LogVerifier.Verify(new NativeFileSystem(), node.Data);
            problems.AddRange(report.Damage.Select(d => $"verify: node {node.Number}: {d}"));
        }

        if (problems.Count == 0)
        {
            var logs = members.Select(n => NodeLogFiles.Read(n.Number, n.Data)).ToList();
            problems.AddRange(HistoryChecker.Check(await HistoryFile.LoadAsync(historyPath), logs, committed).Select(f => f.ToString()));
        }

        return problems;
    }

    private static string Line(Scenario scenario, ScenarioRun run, long took, List<string> problems)
    {
        var state = run.State;
        // The last one is the write after all was healed.
        var failOvers = run.FailOvers.SkipLast(1).ToList();
        var times = failOvers.Count == 0 ? "-" : string.Join(' ', failOvers.Select(f => f.Leader is { } leader ? $"{leader}/{f.Write}" : $"{f.Write}"));
        var late = failOvers.Count(f => f.Write > UsualMilliseconds);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{scenario.Name,-20} {(problems.Count == 0 ? "ok    " : "FAILED")} {Clock.Milliseconds(took) / 1000,4} s  appends {state.Written} ok, {state.Unknown} unknown, {state.Refused} refused, {state.Conflicts} conflicts  leader/write {times} ms{(late > 0 ? $", {late} over {UsualMilliseconds}" : "")}  checker {(problems.Count == 0 ? "clean" : $"{problems.Count} findings")}");
    }
}
