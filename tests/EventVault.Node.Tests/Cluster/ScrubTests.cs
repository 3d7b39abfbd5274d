using System.Globalization;
using EventVault.Node.Peers;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Storage.Scavenging;
using EventVault.Storage.Shipping;

namespace EventVault.Node.Tests.Cluster;

/// <summary>Damage in sealed segments heals from another node, between real nodes on real files.</summary>
public sealed class ScrubTests
{
    private static readonly TimeSpan Always = TimeSpan.FromMilliseconds(1);

    private static readonly RpcMethod<StartScavengeRequest, ScavengeStatus> StartScavenge =
        RpcMethod<StartScavengeRequest, ScavengeStatus>.Of(AdminReflection.Descriptor.Services[0], "StartScavenge");

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_read_that_meets_damage_heals_it(bool leads)
    {
        await using var cluster = await TestCluster.FormAsync(3, o => o with { ScavengeBytesPerSecond = 0 });
        var events = await FillAsync(cluster, segments: 3);
        await cluster.UntilEqualAsync();
        var node = leads ? await cluster.LeaderAsync() : await cluster.FollowerAsync();
        await SealedAsync(cluster, node, 3);
        var openings = node.Host.Openings;
        Flip(node, segment: 1);
        await UntilRepairedAsync(cluster, node, 1, () => TryReadAsync(node));
        Assert.Equal(openings + 1, node.Host.Openings);
        await cluster.UntilEqualAsync();
        var read = await node.ReadAllAsync();
        Assert.Equal(events, read.Count(e => e.Stream.StartsWith("s-", StringComparison.Ordinal)));
        Assert.Equal(read.Count, read.Select(e => e.Position).Distinct().Count());
        Assert.Equal(string.Empty, await ProblemAsync(node));
    }

    [Fact]
    public async Task A_pass_finds_damage_that_nobody_reads_and_a_disk_that_fails_again_is_left_alone()
    {
        await using var cluster = await TestCluster.FormAsync(2, o => o with { ScavengeBytesPerSecond = 0, ScrubInterval = Always });
        await FillAsync(cluster, segments: 3);
        await cluster.UntilEqualAsync();
        var node = await cluster.FollowerAsync();
        await SealedAsync(cluster, node, 3);
        Flip(node, segment: 0);
        await UntilRepairedAsync(cluster, node, 0, () => Task.CompletedTask);
        await cluster.UntilEqualAsync();
        var openings = node.Host.Openings;
        Flip(node, segment: 0);
        await cluster.UntilAsync(() => node.Node?.Scrub.Problem.Contains("replaced not long ago", StringComparison.Ordinal) == true, "the node to say that its disk fails");
        var passes = node.Node!.Scrub.Passes;
        await cluster.UntilAsync(() => node.Node!.Scrub.Passes > passes, "another pass");
        Assert.Equal(openings, node.Host.Openings);
    }

    [Fact]
    public async Task A_comparison_that_fails_is_told_and_the_next_pass_compares_again()
    {
        await using var cluster = await TestCluster.FormAsync(2, o => o with { ScavengeBytesPerSecond = 0, ScrubInterval = Always });
        await FillAsync(cluster, segments: 2);
        var asked = 0;
        cluster.Cuts.Answering = (_, _, kind) => kind == PeerRequestKind.Segments && Interlocked.Increment(ref asked) <= 4
            ? Task.FromException<byte[]>(new InvalidOperationException("Nobody expects this."))
            : null;
        await cluster.UntilAsync(
            () => Volatile.Read(ref asked) > 4 && cluster.HasLogged("could not be compared with other nodes': Nobody expects this."),
            "the log to tell of it, and comparisons behind it");
    }

    [Fact]
    public async Task A_segment_that_is_sound_nowhere_stays_damaged_and_the_nodes_say_so()
    {
        await using var cluster = await TestCluster.FormAsync(3, o => o with { ScavengeBytesPerSecond = 0 });
        await FillAsync(cluster, segments: 3);
        await cluster.UntilEqualAsync();
        var node = await cluster.FollowerAsync();
        foreach (var each in cluster.Nodes)
        {
            await SealedAsync(cluster, each, 3);
            Flip(each, segment: 1);
        }

        var openings = node.Host.Openings;
        var refused = await Assert.ThrowsAsync<RpcException>(() => node.ReadAllAsync());
        Assert.Equal(RpcCode.DataLoss, refused.Code);
        await cluster.UntilAsync(() => node.Node!.Scrub.Problem.Contains("stays so", StringComparison.Ordinal), "the node to give up");
        Assert.Contains("segment 1 is damaged, and stays so: no other node has a sound one", await ProblemAsync(node), StringComparison.Ordinal);
        Assert.Equal(RpcCode.DataLoss, (await Assert.ThrowsAsync<RpcException>(() => node.ReadAllAsync())).Code);
        Assert.Equal(openings, node.Host.Openings);
        await cluster.AppendAsync("goes-on", Make.Events(1));
    }

    [Fact]
    public async Task A_node_alone_says_what_is_damaged()
    {
        await using var cluster = await TestCluster.FormAsync(1, o => o with { ScavengeBytesPerSecond = 0, ScrubInterval = Always });
        await FillAsync(cluster, segments: 2);
        var node = cluster.Nodes[0];
        await cluster.UntilAsync(() => node.Node!.Scrub.Passes > 1, "two passes");
        Assert.Equal(string.Empty, node.Node!.Scrub.Problem);
        var openings = node.Host.Openings;
        Flip(node, segment: 0);
        await cluster.UntilAsync(() => node.Node!.Scrub.Problem.Contains("there is no other node", StringComparison.Ordinal), "the damage to be found");
        Assert.Contains("segment 0 is damaged", await ProblemAsync(node), StringComparison.Ordinal);
        Assert.Equal(openings, node.Host.Openings);
    }

    [Fact]
    public async Task A_scavenged_segment_heals_from_one_of_the_same_form()
    {
        await using var cluster = await TestCluster.FormAsync(2, o => o with { ScavengeBytesPerSecond = 0, ScrubInterval = Always });
        await FillAsync(cluster, segments: 3);
        await cluster.OnLeaderAsync(Methods.DeleteStream, new DeleteStreamRequest { OperationId = Make.Id(), Stream = "s-0", Expected = Make.Any });
        await FillAsync(cluster, segments: 4);
        await cluster.OnLeaderAsync(StartScavenge, new StartScavengeRequest { OperationId = Make.Id() });
        await FillAsync(cluster, segments: 5);
        foreach (var each in cluster.Nodes)
        {
            await cluster.UntilAsync(() => each.Node!.Storage.Scavenger.Progress is { State: ScavengeState.Done, SegmentsRewritten: > 0 }, "the scavenge to end");
        }

        var node = await cluster.FollowerAsync();
        var damaged = node.Node!.Storage.Source.List(0, 10).First(s => s.Form == ShippedForm.Scavenged);
        Flip(node, damaged.Segment);
        await UntilRepairedAsync(cluster, node, damaged.Segment, () => Task.CompletedTask);
        await cluster.UntilAsync(() => node.Node!.Storage.SegmentCounts.Sealed > damaged.Segment, "the node");
        Assert.Equal(damaged, node.Node!.Storage.Source.List(damaged.Segment, 1)[0]);
        Assert.Equal(await (await cluster.LeaderAsync()).ReadAllAsync(), await node.ReadAllAsync());
    }

    private static async Task<int> FillAsync(TestCluster cluster, int segments)
    {
        var data = new string('x', 20_000);
        var events = 0;
        for (; (await cluster.LeaderAsync()).Node!.Storage.SegmentCounts.Sealed < segments; events++)
        {
            await cluster.AppendAsync($"s-{events % 3}", Make.Event(data: $"\"{data}{events}\""));
        }

        return events;
    }

    private static Task SealedAsync(TestCluster cluster, ClusterNodeUnderTest node, int segments) =>
        cluster.UntilAsync(() => node.Node!.Storage.SegmentCounts.Sealed >= segments, "segments to be sealed");

    // In the middle of what the segment holds: an event's data.
    private static void Flip(ClusterNodeUnderTest node, uint segment)
    {
        var path = Path.Combine(node.Options.Directory, "log", segment.ToString("D20", CultureInfo.InvariantCulture) + ".seg");
        using var file = File.Open(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        file.Position = file.Length / 2;
        var value = file.ReadByte();
        file.Position--;
        file.WriteByte((byte)(value ^ 0x10));
    }

    private static async Task UntilRepairedAsync(TestCluster cluster, ClusterNodeUnderTest node, uint segment, Func<Task> meanwhile)
    {
        var end = DateTime.UtcNow + Wait.Limit;
        while (node.Node?.Storage.Shipped.Repaired != segment)
        {
            Assert.True(DateTime.UtcNow < end, $"Waited {Wait.Limit} for the repair.{Environment.NewLine}{cluster.Log}");
            await meanwhile();
            await Task.Delay(20);
        }

        await cluster.UntilAsync(() => node.Node?.State == NodeHealth.Serving && cluster.Leader is not null, "the node to be back");
    }

    // As a client that goes on whatever it is told.
    private static async Task TryReadAsync(ClusterNodeUnderTest node)
    {
        try
        {
            await node.ReadAllAsync(new Consistency { Local = new() });
        }
        catch (RpcException e)
        {
            Assert.NotEqual(RpcCode.Internal, e.Code);
        }
    }

    private static async Task<string> ProblemAsync(ClusterNodeUnderTest node)
    {
        var cluster = await node.CallAsync(ClusterMethods.GetCluster, new GetClusterRequest());
        return cluster.Nodes.Single(n => n.NodeId == cluster.NodeId).Problem;
    }
}
