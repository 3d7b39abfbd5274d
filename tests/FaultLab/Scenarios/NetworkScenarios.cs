namespace EventVault.FaultLab.Scenarios;

/// <summary>Links between nodes that are cut, lossy or slow. Clients reach every node all the while.</summary>
internal static class NetworkScenarios
{
    public static IEnumerable<Scenario> All =>
    [
        new("cut-leader", "the leader is cut off from the others, and clients go on asking it", CutLeaderAsync) { IsShort = true },
        new("cut-one-way", "the leader is heard by nobody; then it hears nobody", CutOneWayAsync),
        new("cut-flapping", "a node is cut off and connected again a few times a second", FlapAsync),
        new("loss", "a fifth of all packets between nodes is lost", LoseAsync),
        new("slow-link", "the link of a follower, then of the leader, carries 1 Mbit/s", SlowAsync),
    ];

    private static IEnumerable<int> Numbers(ScenarioRun run) => run.Cluster.Nodes.Select(n => n.Number);

    private static async Task HealAsync(ScenarioRun run)
    {
        await run.MarkAsync("heal all links");
        await run.Cluster.Network.HealAsync();
        await run.CalmAsync();
    }

    private static async Task CutLeaderAsync(ScenarioRun run)
    {
        for (var i = 0; i < run.Rounds(4); i++)
        {
            await run.CalmAsync();
            var leader = await run.Cluster.LeaderAsync();
            await run.FailOverAsync($"cut node {leader.Number} off", () => run.Cluster.Network.CutAsync(leader.Number, Numbers(run)));
            await run.CalmAsync(6000);
            await HealAsync(run);
        }
    }

    private static async Task CutOneWayAsync(ScenarioRun run)
    {
        for (var i = 0; i < 4; i++)
        {
            await run.CalmAsync();
            var leader = await run.Cluster.LeaderAsync();
            var others = Numbers(run).Where(n => n != leader.Number).ToList();
            var isHeard = i % 2 == 1;
            await run.FailOverAsync(isHeard ? $"node {leader.Number} hears nobody" : $"nobody hears node {leader.Number}", async () =>
            {
                foreach (var other in others)
                {
                    await (isHeard ? run.Cluster.Network.CutOneWayAsync(other, leader.Number) : run.Cluster.Network.CutOneWayAsync(leader.Number, other));
                }
            });
            await run.CalmAsync(6000);
            await HealAsync(run);
        }
    }

    private static async Task FlapAsync(ScenarioRun run)
    {
        for (var i = 0; i < 40; i++)
        {
            var node = run.Cluster.Nodes[run.Random.Next(run.Cluster.Nodes.Count)];
            await run.MarkAsync($"cut node {node.Number} off");
            await run.Cluster.Network.CutAsync(node.Number, Numbers(run));
            await Task.Delay(run.Random.Next(100, 900));
            await run.MarkAsync("heal all links");
            await run.Cluster.Network.HealAsync();
            await Task.Delay(run.Random.Next(100, 500));
        }
    }

    private static async Task LoseAsync(ScenarioRun run)
    {
        await run.MarkAsync("lose 20 % of all packets");
        await run.Cluster.Network.LoseAsync(percent: 20);
        for (var i = 0; i < 5; i++)
        {
            await run.CalmAsync(6000);
            await run.RecoveredAsync("a write although packets are lost");
        }

        await HealAsync(run);
    }

    private static async Task SlowAsync(ScenarioRun run)
    {
        foreach (var isLeader in new[] { false, true })
        {
            var node = isLeader ? await run.Cluster.LeaderAsync() : await run.FollowerAsync();
            await run.MarkAsync($"slow link of node {node.Number}");
            await Machine.LabNetwork.SlowAsync(node.Number, "1mbit");
            await Task.Delay(15_000);
            await run.RecoveredAsync("a write although a link is slow");
            await run.MarkAsync($"good link of node {node.Number}");
            await Machine.LabNetwork.SpeedUpAsync(node.Number);
            await run.CalmAsync();
        }
    }
}
