using EventVault.Node.Tests.Support;
using EventVault.Protocol;

namespace EventVault.Node.Tests.Cluster;

/// <summary>Disks that were put back from an older copy, and disks that only look like it.</summary>
public sealed class OldDiskTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_followers_disk_put_back_from_a_copy_promises_nothing_any_more(bool whileRunning)
    {
        await using var cluster = await TestCluster.FormAsync(3);
        await cluster.AppendAsync("before", Make.Events(3));
        await cluster.UntilEqualAsync();
        var restored = await cluster.FollowerAsync();
        if (!whileRunning)
        {
            await restored.StopAsync();
        }

        var copy = restored.Options.Directory + "-copy";
        Copy(restored.Options.Directory, copy);
        if (whileRunning)
        {
            await restored.StopAsync();
        }

        await restored.StartAsync();
        await cluster.AppendAsync("behind", Make.Events(3));
        await cluster.UntilEqualAsync();
        await restored.StopAsync(); // With its last pings: at the latest now the others know how far it is.
        restored.Wipe();
        Directory.Move(copy, restored.Options.Directory);

        for (var start = 0; start < 3; start++)
        {
            await restored.StartAsync();
            await cluster.UntilAsync(() => restored.Node!.Peers.Barred.Contains("old copy", StringComparison.Ordinal), "the old disk to be told");
            if (start == 2)
            {
                // Without the leader nobody has a majority: the one that is left may not count on the old disk.
                var leader = await cluster.LeaderAsync();
                var other = cluster.Nodes.Single(n => n != restored && n != leader);
                await leader.StopAsync();
                await cluster.UntilAsync(() => other.Node!.Standing.Leader is null, "the leader to be missed");
                await Task.Delay(3 * restored.Options.ElectionTimeout); // Long enough for an election, if there could be one.
                Assert.Null(other.Node!.Standing.Leader);
                Assert.NotEqual(Raft.Role.Leader, restored.Node!.Standing.Role);
                await leader.StartAsync();
            }
            else
            {
                await restored.StopAsync();
            }
        }

        var seen = await (await cluster.LeaderAsync()).CallAsync(ClusterMethods.GetCluster, new GetClusterRequest());
        Assert.Contains("old copy", seen.Nodes.Single(n => n.NodeId == restored.Node!.Peers.Self.Node).Problem, StringComparison.Ordinal);
        Assert.Equal(6, (await (await cluster.LeaderAsync()).ReadAllAsync()).Count);
    }

    [Fact]
    public async Task Nodes_that_stop_lead_and_follow_in_turn_are_never_taken_for_old_ones()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        for (var round = 0; round < 6; round++)
        {
            var leader = await cluster.LeaderAsync();
            var number = leader.Node!.Peers.Self.Node;
            cluster.Cuts.Isolate(number, [.. cluster.Nodes.Select(n => n.Node!.Peers.Self.Node).Where(n => n != number)]);

            // What it takes now is cut off by the next leader.
            var lost = Enumerable.Range(0, 3).Select(_ => leader.CallAsync(Methods.Append, Make.Append(Make.Stream("lost", Make.Any, Make.Events(1))))).ToList();
            await cluster.UntilAsync(() => cluster.Leader is { } next && next != leader, "another leader");
            await cluster.AppendAsync("kept", Make.Events(1));
            if (round % 2 == 0)
            {
                await leader.StopAsync();
            }

            cluster.Cuts.Heal();
            if (round % 2 == 0)
            {
                await leader.StartAsync();
            }

            await Task.WhenAll(lost).ContinueWith(static _ => { }, TaskScheduler.Default);
            await cluster.UntilEqualAsync();
            await (await cluster.FollowerAsync()).RestartAsync();
            await cluster.UntilEqualAsync();
        }

        Assert.All(cluster.Nodes, n => Assert.Empty(n.Node!.Peers.Barred));
    }

    private static void Copy(string from, string to)
    {
        foreach (var file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories).Where(f => Path.GetFileName(f) != "lock"))
        {
            var target = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
    }
}
