using EventVault.FaultLab.History;
using EventVault.FaultLab.Machine;
using EventVault.FaultLab.Workload;

namespace EventVault.FaultLab.Scenarios;

/// <summary>Disks that fail, hang or fill up, and clocks that jump.</summary>
internal static class DiskScenarios
{
    // docs/OPERATIONS.md: the disk failed.
    private const int ExitDiskFailed = 6;

    // Room for what the writers write while another disk is full, several times over: 64 were full by themselves within seconds on a quick machine.
    private const int SmallDiskMebibytes = 256;

    // docs/OPERATIONS.md: further off, a node does not lead.
    private static readonly TimeSpan MostClockOffset = TimeSpan.FromSeconds(60);

    private static readonly WorkOptions Filling = new() { TextBytes = 12_000, PauseMilliseconds = 40 };

    public static IEnumerable<Scenario> All =>
    [
        new("flush-fails", "every flush of the leader fails: it must end, and acknowledge nothing more", FlushFailsAsync) { WorksAlone = true, IsShort = true },
        new("flush-hangs", "every flush of the leader hangs for eight seconds", FlushHangsAsync) { WorksAlone = true },
        new("full-leader", "the leader's disk fills up; later there is room again", run => FillAsync(run, isLeader: true)) { WorksAlone = true, Work = Filling, Prepare = SmallDisksAsync },
        new("full-follower", "a follower's disk fills up; later there is room again", run => FillAsync(run, isLeader: false)) { Work = Filling, Prepare = SmallDisksAsync },
        new("clock-jumps", "the clock of a node jumps an hour ahead, two hours back, and home", ClockAsync) { WorksAlone = true, Prepare = ClocksAsync },
    ];

    private static async Task FlushFailsAsync(ScenarioRun run)
    {
        for (var i = 0; i < run.Rounds(3); i++)
        {
            await run.CalmAsync();
            var leader = await run.Cluster.LeaderAsync();
            var code = -1;
            async Task FailAsync()
            {
                await leader.BeginFlushFaultAsync("error=EIO");
                code = await leader.ExitAsync();
            }

            await (run.Cluster.HasPeers ? run.FailOverAsync($"flushes of node {leader.Number} fail", FailAsync) : FailAsync());
            ScenarioRun.Require(code == ExitDiskFailed, $"a node whose flush fails ends with exit code {ExitDiskFailed}, not {code}");
            await run.MarkAsync($"start node {leader.Number}");
            await leader.StartAsync();
            await run.RecoveredAsync("a write after the node was started again");
        }
    }

    private static async Task FlushHangsAsync(ScenarioRun run)
    {
        for (var i = 0; i < 3; i++)
        {
            await run.CalmAsync();
            var leader = await run.Cluster.LeaderAsync();
            Task HangAsync() => leader.BeginFlushFaultAsync("delay_enter=8000000");
            await (run.Cluster.HasPeers ? run.FailOverAsync($"flushes of node {leader.Number} hang", HangAsync) : HangAsync());

            await run.CalmAsync(10_000);
            await run.MarkAsync($"flushes of node {leader.Number} work");
            await leader.EndFlushFaultAsync();
            await run.RecoveredAsync("a write after the disk came back");
        }
    }

    private static async Task SmallDisksAsync(ScenarioRun run)
    {
        foreach (var node in run.Cluster.Nodes)
        {
            run.Disks.Add(await SmallDisk.MountAsync(Path.GetDirectoryName(node.Data)!, SmallDiskMebibytes));
        }
    }

    private static async Task FillAsync(ScenarioRun run, bool isLeader)
    {
        await run.CalmAsync();
        var node = isLeader ? await run.Cluster.LeaderAsync() : await run.FollowerAsync();
        var disk = run.Disks[node.Number - 1];
        await run.MarkAsync($"fill the disk of node {node.Number}");
        var written = run.State.Written;
        for (var until = Environment.TickCount64 + 15_000; Environment.TickCount64 < until; await Task.Delay(20))
        {
            disk.Fill(); // Also what the node gives up, and just when it counts on it.
        }

        if (run.Cluster.HasPeers)
        {
            await run.RecoveredAsync("a write although one disk is full");
            await LeftAsync(run, node);
        }

        run.Note($"  with a full disk: {run.State.Written - written} appends in 15 s");
        await run.MarkAsync($"room on the disk of node {node.Number}");
        disk.Free();
        await run.RecoveredAsync("a write after there was room again");
    }

    private static async Task ClocksAsync(ScenarioRun run)
    {
        foreach (var node in run.Cluster.Nodes)
        {
            var shim = await ClockShim.BuildAsync(Path.GetDirectoryName(node.Data)!);
            node.SetEnvironment("LD_PRELOAD", shim.Library);
            node.SetEnvironment("LAB_CLOCK", shim.OffsetFile);
            run.Clocks.Add(shim);
        }
    }

    // Whose clock is off or disk is full must not lead, if there are others.
    private static async Task LeftAsync(ScenarioRun run, LabNode node)
    {
        if (run.Cluster.HasPeers)
        {
            await LabCluster.UntilAsync($"another node than {node.Number} to lead", async () => await run.Cluster.LeaderAsync() is var leader && leader != node ? leader : null);
        }
    }

    private static async Task ClockAsync(ScenarioRun run)
    {
        foreach (var isLeader in run.Cluster.HasPeers ? new[] { true, false } : [true])
        {
            var node = isLeader ? await run.Cluster.LeaderAsync() : await run.FollowerAsync();
            foreach (var ahead in new[] { TimeSpan.FromHours(1), TimeSpan.FromHours(-2), TimeSpan.FromSeconds(30), TimeSpan.Zero })
            {
                await run.MarkAsync($"clock of node {node.Number}: {ahead}");
                var began = Clock.Now;
                run.Clocks[node.Number - 1].Set(ahead);
                await run.RecoveredAsync("a write after a clock had jumped");
                if (ahead.Duration() > MostClockOffset)
                {
                    await LeftAsync(run, node);
                    var left = run.Cluster.HasPeers ? Clock.Now : long.MaxValue;
                    await run.State.AddAsync(new WrongClock { Client = "lab", Node = node.Number, Ahead = ahead.Ticks, Invoked = began, Completed = left });
                }

                await run.CalmAsync(4000);
            }
        }
    }
}
