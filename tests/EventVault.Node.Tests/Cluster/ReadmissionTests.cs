using System.Net;
using EventVault.Node.Peers;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Raft;
using EventVault.Rpc;
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

    // Were both to begin anew, nobody could decide anything any more. The first one of them may have begun already, and wait for its place.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_second_damaged_disk_of_three_waits_changes_nothing_and_says_why(bool firstHasBegun)
    {
        await using var cluster = await TestCluster.FormAsync(3);
        var acknowledged = await FailOverTests.AppendAsync(cluster, 10);
        await cluster.UntilEqualAsync();
        var (first, leader) = (await cluster.FollowerAsync(), await cluster.LeaderAsync());
        var second = cluster.Nodes.Single(n => n != first && n != leader);
        var (was, own) = (first.Node!.Peers.Self, second.Node!.Peers.Self);
        await StopAndDamageAsync(first);
        var starting = Task.CompletedTask;
        if (firstHasBegun)
        {
            cluster.Cuts.Isolate(was.Node, own.Node, leader.Node!.NodeId()); // It asks all the same, as it shows no number; and never gets its place.
            await first.StartAsync();
            Assert.Equal(was.Incarnation, first.Node!.Storage.Reincarnated!.Before);
        }

        var mend = await StopAndDamageAsync(second);
        var log = await File.ReadAllBytesAsync(SegmentOf(second));
        var waiting = second.BeginStart();
        starting = firstHasBegun ? starting : first.BeginStart();
        await UntilItWaitsAsync(second);
        if (!firstHasBegun)
        {
            await UntilItWaitsAsync(first);
            Assert.False(Directory.Exists(Path.Combine(first.Options.Directory, "damaged")));
        }

        Assert.False(waiting.IsCompleted);
        Assert.Equal(log, await File.ReadAllBytesAsync(SegmentOf(second)));
        Assert.False(Directory.Exists(Path.Combine(second.Options.Directory, "damaged")));

        // As an operator does it: with the segment from a copy it is who it was, and the others are a majority again.
        await second.EndStartAsync();
        mend();
        cluster.Cuts.Heal();
        await second.StartAsync();
        Assert.Equal(own, second.Node!.Peers.Self);
        await starting.WaitAsync(Wait.Limit);
        Assert.Equal(was.Incarnation, first.Node!.Storage.Reincarnated!.Before);
        await UntilTakenInAsync(cluster, was, first.Node.Peers.Self);
        acknowledged.AddRange(await FailOverTests.AppendAsync(cluster, 3));
        await cluster.UntilEqualAsync();
        Assert.Equal(acknowledged, (await first.ReadAllAsync()).Select(e => e.Event.Id.ToBase64()));
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

    [Fact]
    public async Task Nobody_gets_leave_to_begin_anew_who_is_needed()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        var leader = await cluster.LeaderAsync();
        var (away, other) = (cluster.Nodes.First(n => n != leader), cluster.Nodes.Last(n => n != leader));
        await cluster.UntilAsync(() => leader.Node!.Peers.Links.All(l => l.SinceHeard < TimeSpan.FromSeconds(1)), "the leader to hear of all");
        var vault = leader.Node!.Storage.VaultId;
        var disk = away.Node!.Peers.Self;
        await RefusedAsync(leader, vault, disk, "is there");
        await away.StopAsync();
        await cluster.UntilAsync(() => leader.Node!.Peers.Links.Single(l => l.Peer.Id == disk).SinceHeard > TimeSpan.FromSeconds(2), "the leader to miss it");
        await cluster.LeaderAsync();
        await RefusedAsync(leader, Guid.NewGuid(), disk, "another vault");
        await RefusedAsync(leader, vault, new ReplicaId(disk.Node, Guid.NewGuid()), "another disk");
        await RefusedAsync(leader, vault, new ReplicaId(99, disk.Incarnation), "no member any more");
        await RefusedAsync(other, vault, disk, "leads no more");
        Assert.Empty(await AskAsync(leader, vault, disk));

        // The leader has yet to notice that it is alone, and must not answer by what it knew.
        cluster.Cuts.Muted = other.Node!.NodeId();
        await RefusedAsync(leader, vault, disk, string.Empty);

        static async Task RefusedAsync(ClusterNodeUnderTest asked, Guid vault, ReplicaId disk, string why) =>
            Assert.Contains(why, (await Assert.ThrowsAsync<PeerRequestException>(() => AskAsync(asked, vault, disk))).Message, StringComparison.Ordinal);

        static Task<byte[]> AskAsync(ClusterNodeUnderTest asked, Guid vault, ReplicaId disk)
        {
            var request = new BeginAnewRequest { VaultId = ClusterView.Bytes(vault), NodeId = disk.Node };
            request.Incarnations.Add(ClusterView.Bytes(disk.Incarnation));
            return asked.Node!.Peers.AnswerAsync(
                new PeerHello(Guid.Empty, default, Guid.NewGuid(), 0, string.Empty, "test"), PeerRequestKind.BeginAnew, request.ToByteArray(), CancellationToken.None);
        }
    }

    private static string SegmentOf(ClusterNodeUnderTest node) => Path.Combine(node.Options.Directory, "log", "00000000000000000000.seg");

    // Over its own ports, which are there while its storage waits.
    private static async Task UntilItWaitsAsync(ClusterNodeUnderTest node)
    {
        using var http = new HttpClient { BaseAddress = new Uri($"http://{node.Options.Address}:{node.Options.HttpPort}") };
        var said = string.Empty;
        await Wait.UntilAsync(
            async () =>
            {
                try
                {
                    using var ready = await http.GetAsync(new Uri("/health/ready", UriKind.Relative));
                    said = await ready.Content.ReadAsStringAsync();
                    Assert.Equal(HttpStatusCode.ServiceUnavailable, ready.StatusCode);
                }
                catch (HttpRequestException)
                {
                    // The ports are not open yet.
                }

                return said.Contains("it waits for a leader of the others", StringComparison.Ordinal);
            },
            "the node to say that it waits");
        Assert.Contains("\"status\":\"opening\"", said, StringComparison.Ordinal);
        using var live = await http.GetAsync(new Uri("/health/live", UriKind.Relative));
        Assert.Equal(HttpStatusCode.OK, live.StatusCode);
        await using var channel = new RpcChannel(new Uri($"http://{node.Address}"));
        var refused = await Fails.WithAsync(RpcCode.Unavailable, Reason.Opening, () => channel.UnaryAsync(Methods.Append, Make.Append(Make.Stream("s", Make.Any))).AsTask());
        Assert.True(refused.HasRetryAfterMs);
        Assert.Contains("it waits for a leader of the others", refused.Message, StringComparison.Ordinal);
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
    internal static async Task<Action> StopAndDamageAsync(ClusterNodeUnderTest node)
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

        var path = SegmentOf(node);
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
