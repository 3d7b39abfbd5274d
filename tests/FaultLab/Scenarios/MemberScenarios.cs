using EventVault.FaultLab.History;
using EventVault.FaultLab.Workload;

namespace EventVault.FaultLab.Scenarios;

/// <summary>What operators do on purpose, under load.</summary>
internal static class MemberScenarios
{
    private const long MebibytesBehind = 500;

    // Several rounds of segments, each shorter than the one before, while writers go on: a minute at rest.
    private static readonly TimeSpan CatchUpLimit = TimeSpan.FromMinutes(8);

    // Far less than what is sent, far more than a node needs under the lab's writers: growth with the distance would show.
    private const int MostMebibytes = 400;

    public static IEnumerable<Scenario> All =>
    [
        new("rolling-restart", "each node in turn is stopped in order and started again", RollAsync) { IsShort = true },
        new("transfer", "leadership is handed over again and again", TransferAsync),
        new("members", "one node becomes three, five and three again", MembersAsync) { Nodes = 1 },
        new("behind", "a follower comes back 500 MiB behind and catches up while writes go on", BehindAsync)
        {
            Work = new WorkOptions { Writers = 8, Readers = 1, Subscribers = 1, TextBytes = 100_000, PauseMilliseconds = 0 },
        },
    ];

    private static async Task RollAsync(ScenarioRun run)
    {
        await run.WithSdkAsync(() => RestartEachAsync(run));
        RequireFewUnknown(run);
    }

    private static async Task RestartEachAsync(ScenarioRun run)
    {
        for (var round = 0; round < run.Rounds(2); round++)
        {
            foreach (var node in run.Cluster.Nodes)
            {
                await run.CalmAsync();
                await run.MarkAsync($"stop node {node.Number}");
                var code = await node.StopAsync();
                ScenarioRun.Require(code == 0, $"node {node.Number} ends with exit code 0, not {code}");
                await run.MarkAsync($"start node {node.Number}");
                await node.StartAsync();
                await run.Cluster.CaughtUpAsync();
            }
        }
    }

    private static async Task TransferAsync(ScenarioRun run)
    {
        await run.WithSdkAsync(async () =>
        {
            for (var i = 0; i < 10; i++)
            {
                await run.CalmAsync();
                await run.FailOverAsync("transfer", run.Cluster.TransferAsync);
            }
        });
        RequireFewUnknown(run);
    }

    private static void RequireFewUnknown(ScenarioRun run)
    {
        var state = run.State;
        ScenarioRun.RequireFew(state.Unknown, state.Written + state.Unknown);
        ScenarioRun.Require(state.Abandoned == 0, $"no append fails after retries; {state.Abandoned} did");
    }

    private static async Task MembersAsync(ScenarioRun run)
    {
        foreach (var _ in Enumerable.Range(0, 4))
        {
            await run.CalmAsync();
            var node = run.Cluster.NewNode();
            await run.MarkAsync($"add node {node.Number}");
            await node.StartAsync();
            await run.Cluster.AddAsync(node);
            await run.Cluster.CaughtUpAsync();
        }

        // The leader goes, too.
        foreach (var isLeader in new[] { false, true })
        {
            await run.CalmAsync();
            var node = isLeader ? await run.Cluster.LeaderAsync() : await run.FollowerAsync();
            await run.MarkAsync($"remove node {node.Number}");
            node.IsGone = true;
            await run.Cluster.RemoveAsync(node);
            await run.RecoveredAsync($"a write after node {node.Number} was removed");
            await run.Cluster.CaughtUpAsync();
            await node.StopAsync();
        }
    }

    private static async Task BehindAsync(ScenarioRun run)
    {
        var node = await run.FollowerAsync();
        var leader = await run.Cluster.LeaderAsync();
        await run.MarkAsync($"stop node {node.Number}");
        await node.StopAsync();
        var began = Clock.Now;
        var from = (await run.Cluster.StatusAsync(leader)).LogBytes;
        while ((await run.Cluster.StatusAsync(leader)).LogBytes < from + ((ulong)MebibytesBehind << 20))
        {
            await Task.Delay(500);
        }

        var returned = Clock.Now;
        await run.MarkAsync($"start node {node.Number}");
        await node.StartAsync();
        var caughtUp = run.Cluster.CaughtUpAsync(CatchUpLimit);

        // Whoever leads meanwhile: on a busy disk leadership is handed over.
        var (servers, memory) = (run.Cluster.Nodes.Where(n => n != node).ToList(), 0L);
        while (!caughtUp.IsCompleted)
        {
            memory = Math.Max(memory, servers.Max(n => n.OwnMemoryBytes));
            await Task.WhenAny(caughtUp, Task.Delay(200));
        }

        await caughtUp;
        var now = Clock.Now;
        var (before, meanwhile) = (run.State.P99Milliseconds(began, returned), run.State.P99Milliseconds(returned, now));
        run.Note(
            $"  {MebibytesBehind} MiB behind, caught up within {Clock.Milliseconds(now - returned) / 1000} s; p99 of appends {before:0} ms before, {meanwhile:0} ms meanwhile ({meanwhile / before:0.0} times); "
            + $"who sent took {memory >> 20} MiB of its own at most");
        ScenarioRun.Require(memory < (long)MostMebibytes << 20, $"a node that others catch up from takes less than {MostMebibytes} MiB of its own, not {memory >> 20}");
    }
}
