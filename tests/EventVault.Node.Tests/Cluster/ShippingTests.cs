using EventVault.Node.Peers;
using EventVault.Node.Peers.Shipping;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Storage;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Node.Tests.Cluster;

/// <summary>Followers that groups alone don't help get segments, between real nodes.</summary>
public sealed class ShippingTests
{
    private static readonly RpcMethod<StartScavengeRequest, ScavengeStatus> StartScavenge =
        RpcMethod<StartScavengeRequest, ScavengeStatus>.Of(AdminReflection.Descriptor.Services[0], "StartScavenge");

    [Fact]
    public async Task A_node_that_was_away_for_segments_catches_up_by_segments_while_appends_go_on()
    {
        await using var cluster = await TestCluster.FormAsync(3, o => o with { ShipFarBytes = 1 });
        var away = await cluster.FollowerAsync();
        await away.StopAsync();
        await FillAsync(cluster, segments: 4);
        await away.StartAsync();
        for (var i = 0; (away.Node?.Storage.Shipped.Installed ?? 0) == 0; i++)
        {
            Assert.True(i < 100_000, cluster.Log);
            await cluster.AppendAsync($"meanwhile-{i % 3}", Make.Events(1));
        }

        await cluster.UntilEqualAsync();
        Assert.True(away.Host.Openings > 1);
        Assert.Equal((await (await cluster.LeaderAsync()).ReadAllAsync()).Count, (await away.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task A_node_joins_a_vault_whose_first_groups_were_scavenged()
    {
        await using var cluster = await TestCluster.FormAsync(1, o => o with { ScavengeBytesPerSecond = 0 });
        await FillAsync(cluster, segments: 4);
        for (var i = 0; i < 2; i++)
        {
            await cluster.OnLeaderAsync(Methods.DeleteStream, new DeleteStreamRequest { OperationId = Make.Id(), Stream = $"s-{i}", Expected = Make.Any });
        }

        await FillAsync(cluster, segments: 5);
        await cluster.OnLeaderAsync(StartScavenge, new StartScavengeRequest { OperationId = Make.Id() });
        var first = cluster.Nodes[0];
        await FillAsync(cluster, segments: 6); // So that all before the scavenge's point is sealed.
        await cluster.UntilAsync(() => first.Node!.Storage.Scavenger.Progress is { State: Storage.Scavenging.ScavengeState.Done, SegmentsRewritten: > 0 }, "the scavenge to end");
        var joined = await cluster.AddAsync();
        await cluster.UntilVotersAsync(2);
        Assert.True(joined.Node!.Storage.Shipped.Installed > 3, cluster.Log);
        Assert.Contains(joined.Node.Storage.Source.List(0, 10), s => s.Form == Storage.Shipping.ShippedForm.Scavenged);
        await cluster.AppendAsync("behind", Make.Events(1));
        await cluster.UntilAsync(() => joined.Node.Storage.CommitIndex == first.Node!.Storage.CommitIndex, "the tail");
        Assert.Equal(await first.ReadAllAsync(), await joined.ReadAllAsync());
    }

    [Theory]
    [InlineData(3)]
    [InlineData(50)]
    public async Task Whoever_lacks_more_segments_than_a_plan_holds_gives_up_for_good_and_says_so(int most)
    {
        await using var cluster = await TestCluster.FormAsync(1);
        await FillAsync(cluster, segments: 4);
        var source = cluster.Nodes[0].Node!;
        using var shelf = new SegmentShelf(source.Storage, bytesPerSecond: 0, TimeProvider.System);
        using var storage = VaultStorage.Open(new SimulatedFileSystem(), "/data", new StorageOptions { NodeId = 2, Join = source.Storage.Identity }, now: 1_000_000);
        var receiver = new SegmentReceiver(storage, most);
        var (asked, now) = (0, 0L);
        for (var order = 0; order < 2; order++)
        {
            receiver.Order();
            while (receiver is { IsOrdered: true, WantsReopening: false })
            {
                Assert.True(++asked < 1000, receiver.Problem);
                if (receiver.Next(now += 10_000, [source.Peers.Self]) is { } ask)
                {
                    receiver.Answered(ask.Kind == PeerRequestKind.Segments ? shelf.Segments(ask.Content) : shelf.SegmentBytes(ask.Content), now);
                }
            }

            Assert.Equal((most < 4, most > 4), (receiver.IsHopeless, receiver.WantsReopening));
            Assert.Contains(most < 4 ? "lacks more than 2 sealed segments" : "", receiver.Problem ?? "", StringComparison.Ordinal);
        }

        receiver.Close();
    }

    private static async Task FillAsync(TestCluster cluster, int segments)
    {
        var data = new string('x', 20_000);
        var leader = (await cluster.LeaderAsync()).Node!;
        for (var i = 0; leader.Storage.SegmentCounts.Sealed < segments; i++)
        {
            await cluster.AppendAsync($"s-{i % 3}", Make.Event(data: $"\"{data}{i}\""));
        }
    }
}
