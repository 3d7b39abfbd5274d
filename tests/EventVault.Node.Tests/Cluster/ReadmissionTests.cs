using EventVault.Node.Peers;
using EventVault.Protocol;
using EventVault.Raft;
using EventVault.Storage;
using Google.Protobuf;

namespace EventVault.Node.Tests.Cluster;

/// <summary>Disks that are damaged in their unsealed end while their node is down, and get their place back by themselves.</summary>
public sealed class ReadmissionTests
{
    /// <summary>Where a segment's groups begin, in bytes (FORMAT.md).</summary>
    private const int FirstGroupOffset = 4096;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_disk_that_began_anew_gets_its_place_back_by_itself(bool leads)
    {
        await using var cluster = await TestCluster.FormAsync(3);
        var acknowledged = await FailOverTests.AppendAsync(cluster, 10);
        await cluster.UntilEqualAsync();
        var node = leads ? await cluster.LeaderAsync() : await cluster.FollowerAsync();
        var old = node.Node!.Peers.Self;
        await StopAndDamageAsync(node);
        acknowledged.AddRange(await FailOverTests.AppendAsync(cluster, 3));

        await node.StartAsync();
        var self = node.Node!.Peers.Self;
        Assert.Equal((old.Node, old.Incarnation), (self.Node, node.Node.Storage.Reincarnated!.Before));
        await UntilTakenInAsync(cluster, old, self);
        acknowledged.AddRange(await FailOverTests.AppendAsync(cluster, 3));
        await cluster.UntilVotersAsync(3);
        await cluster.UntilEqualAsync();
        Assert.Equal(acknowledged, (await node.ReadAllAsync()).Select(e => e.Event.Id.ToBase64()));
        Assert.NotEmpty(Directory.GetFiles(Path.Combine(node.Options.Directory, "damaged")));

        // It is a member like any other.
        await cluster.OnLeaderAsync(ClusterMethods.TransferLeadership, new TransferLeadershipRequest { ToNodeId = self.Node });
        await cluster.UntilVotersAsync(3);
        await UntilItSaysAsync(node, string.Empty);
    }

    [Fact]
    public async Task It_asks_also_behind_a_restart_and_is_not_taken_for_removed()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        await FailOverTests.AppendAsync(cluster, 10);
        await cluster.UntilEqualAsync();
        var node = await cluster.FollowerAsync();
        var old = node.Node!.Peers.Self;
        await StopAndDamageAsync(node);
        cluster.Cuts.Isolate(old.Node, [.. cluster.Nodes.Where(n => n != node).Select(n => n.Node!.NodeId())]);
        await node.StartAsync();
        var self = node.Node!.Peers.Self;
        await UntilItSaysAsync(node, "begun anew");
        await node.RestartAsync();
        Assert.Null(node.Node!.Storage.Reincarnated);
        Assert.Equal(self, node.Node.Peers.Self);
        await UntilItSaysAsync(node, "begun anew");
        Assert.NotEqual(0, (int)cluster.Leader!.Node!.Standing.Membership.RoleOf(old));

        cluster.Cuts.Heal();
        await UntilTakenInAsync(cluster, old, self);
        await cluster.UntilVotersAsync(3);
        await cluster.UntilEqualAsync();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Where_the_others_are_no_majority_it_refuses_and_says_how_to_go_on(int voters)
    {
        await using var cluster = await TestCluster.FormAsync(voters);
        var acknowledged = await FailOverTests.AppendAsync(cluster, 10);
        await cluster.UntilEqualAsync();
        var node = cluster.Nodes[0];
        var old = node.Node!.Peers.Self;
        var mend = await StopAndDamageAsync(node);
        var damage = await Assert.ThrowsAsync<DamageException>(() => node.StartAsync());
        Assert.Contains("cluster replace", damage.Message, StringComparison.Ordinal);

        // It is still what it was.
        mend();
        await node.StartAsync();
        await cluster.UntilVotersAsync(voters);
        Assert.Equal(old, node.Node!.Peers.Self);
        Assert.Equal(acknowledged, (await node.ReadAllAsync()).Select(e => e.Event.Id.ToBase64()));
    }

    [Fact]
    public async Task Nobody_else_gets_a_place_by_asking()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        var leader = await cluster.LeaderAsync();
        var follower = await cluster.FollowerAsync();
        await cluster.UntilAsync(() => leader.Node!.Peers.Links.All(l => l.SinceHeard < TimeSpan.FromSeconds(1)), "the leader to hear of all");
        var self = follower.Node!.Peers.Self;
        var other = new ReplicaId(self.Node, Guid.NewGuid());
        var (vault, before) = (leader.Node!.Storage.VaultId, leader.Node.Standing.Membership);

        await RefusedAsync(vault, other, "is there", self.Incarnation);
        await RefusedAsync(vault, other, "no member any more", Guid.NewGuid());
        await RefusedAsync(vault, new ReplicaId(99, Guid.NewGuid()), "no member any more", self.Incarnation);
        await RefusedAsync(Guid.NewGuid(), other, "this vault", self.Incarnation);
        Assert.Empty(await AskAsync(vault, self, Guid.NewGuid())); // Who is a member may have asked twice.
        Assert.Equal(before, leader.Node.Standing.Membership);

        async Task RefusedAsync(Guid of, ReplicaId from, string why, Guid was) =>
            Assert.Contains(why, (await Assert.ThrowsAsync<PeerRequestException>(() => AskAsync(of, from, was))).Message, StringComparison.Ordinal);

        Task<byte[]> AskAsync(Guid of, ReplicaId from, Guid was)
        {
            var request = new ReadmitRequest { PeerAddress = follower.PeerAddress };
            request.Before.Add(ClusterView.Bytes(was));
            return leader.Node.Peers.AnswerAsync(
                new PeerHello(of, from, Guid.NewGuid(), 1, follower.Address, "test"), PeerRequestKind.Readmit, request.ToByteArray(), CancellationToken.None);
        }
    }

    private static Task UntilTakenInAsync(TestCluster cluster, ReplicaId old, ReplicaId self) => cluster.UntilAsync(
        () => cluster.Leader?.Node?.Standing.Membership is { IsJoint: false } members && members.RoleOf(old) == 0 && members.RoleOf(self) == MemberRole.Voter,
        "the disk to be a voter again");

    private static async Task UntilItSaysAsync(ClusterNodeUnderTest node, string problem)
    {
        // The node looks once a second.
        string said;
        do
        {
            await Task.Delay(5);
            said = (await node.CallAsync(ClusterMethods.GetCluster, new GetClusterRequest())).Nodes.Last(n => n.NodeId == node.Node!.NodeId()).Problem;
            Assert.DoesNotContain("removed", said, StringComparison.Ordinal);
        }
        while (problem.Length == 0 ? said.Length > 0 : !said.Contains(problem, StringComparison.Ordinal));
    }

    // Flips a bit of a group that others follow, as if the node had been killed before: what a stop in order notes is not there. What it returns flips it back.
    private static async Task<Action> StopAndDamageAsync(ClusterNodeUnderTest node)
    {
        var storage = node.Node!.Storage;
        Assert.Equal((0, 1), storage.SegmentCounts);
        var (start, length) = await node.Node.Loop.AskAsync(_ =>
        {
            var damaged = storage.CommitIndex.Value - 4;
            var lengths = Enumerable.Range(1, (int)damaged).Select(i => storage.ReadGroup(new Storage.LogIndex((ulong)i)).Length).ToList();
            return (FirstGroupOffset + lengths.SkipLast(1).Sum(), lengths[^1]);
        });
        await node.StopAsync();
        foreach (var note in new[] { "index/clean-stop", "index/unsealed" })
        {
            File.Delete(Path.Combine(node.Options.Directory, note));
        }

        var path = Path.Combine(node.Options.Directory, "log", "00000000000000000000.seg");
        Flip();
        return Flip;

        void Flip()
        {
            var bytes = File.ReadAllBytes(path);
            bytes[start + (length / 2)] ^= 8;
            File.WriteAllBytes(path, bytes);
        }
    }
}
