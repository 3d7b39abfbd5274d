namespace EventVault.FaultLab.Scenarios;

/// <summary>Processes that die, hang or are stopped in order.</summary>
internal static class CrashScenarios
{
    public static IEnumerable<Scenario> All =>
    [
        new("kill-leader", "kill -9 of the leader, five times", KillLeaderAsync) { WorksAlone = true, IsShort = true },
        new("kill-all", "kill -9 of all nodes at once, four times", KillAllAsync) { WorksAlone = true, IsShort = true },
        new("pause-leader", "the leader stands still for longer than the election timeout, and wakes up as if nothing had been", PauseLeaderAsync) { WorksAlone = true },
    ];

    private static async Task KillLeaderAsync(ScenarioRun run)
    {
        for (var i = 0; i < run.Rounds(5); i++)
        {
            await run.CalmAsync();
            var leader = await run.Cluster.LeaderAsync();
            if (!run.Cluster.HasPeers)
            {
                await run.FailOverAsync($"kill node {leader.Number} and start it", async () => { await leader.KillAsync(); await leader.StartAsync(); });
                continue;
            }

            await run.FailOverAsync($"kill node {leader.Number}", leader.KillAsync);
            await run.CalmAsync();
            await run.MarkAsync($"start node {leader.Number}");
            await leader.StartAsync();
            await run.CalmAsync();
        }
    }

    private static async Task KillAllAsync(ScenarioRun run)
    {
        for (var i = 0; i < run.Rounds(4); i++)
        {
            await run.CalmAsync();
            await run.MarkAsync("kill all nodes");
            await Task.WhenAll(run.Cluster.Nodes.Select(n => n.KillAsync()));
            await run.FailOverAsync("start all nodes", () => Task.WhenAll(run.Cluster.Nodes.Select(n => n.StartAsync())));
        }
    }

    private static async Task PauseLeaderAsync(ScenarioRun run)
    {
        for (var i = 0; i < 4; i++)
        {
            await run.CalmAsync();
            var leader = await run.Cluster.LeaderAsync();
            await (run.Cluster.HasPeers ? run.FailOverAsync($"pause node {leader.Number}", leader.PauseAsync) : leader.PauseAsync());

            await run.CalmAsync(6000);
            await run.MarkAsync($"resume node {leader.Number}");
            await leader.ResumeAsync();
            await run.CalmAsync();
        }
    }
}
