using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Raft;
using EventVault.Rpc;

namespace EventVault.Node.Tests.Cluster;

public sealed class MemberTests
{
    [Fact]
    public async Task A_node_without_a_vault_says_so_and_forms_nothing_by_itself()
    {
        await using var cluster = new TestCluster();
        var node = await cluster.StartUnjoinedAsync();
        await Fails.WithAsync(RpcCode.Unavailable, Reason.NotJoined, () => node.CallAsync(Methods.Append, Make.Append(Make.Stream("s", Make.Any))));
        await Fails.WithAsync(RpcCode.Unavailable, Reason.NotJoined, () => node.CallAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = "127.0.0.1:9" }));
        var before = await node.CallAsync(ClusterMethods.GetCluster, new GetClusterRequest());
        Assert.Equal((0, 0u, 0u), (before.VaultId.Length, before.NodeId, before.LeaderNodeId));
        Assert.Equal((node.PeerAddress, node.Address, "unjoined"), (Assert.Single(before.Nodes).PeerAddress, before.Nodes[0].Address, before.Nodes[0].State));
        await node.RestartAsync();
        Assert.Null(node.Node);
        var made = await node.CallAsync(ClusterMethods.InitCluster, new InitClusterRequest { NodeId = 7 });
        Assert.Equal((16, 7u), (made.VaultId.Length, made.NodeId));
        await cluster.UntilAsync(() => node.Node is { Loop.Leads: true }, "it to lead alone");
        var again = await cluster.OnLeaderAsync(ClusterMethods.InitCluster, new InitClusterRequest { NodeId = 7 });
        Assert.Equal((made.VaultId, 7u, 7u), (again.VaultId, again.NodeId, again.LeaderNodeId));
        await cluster.AppendAsync("s", Make.Event());
        await Fails.WithAsync(RpcCode.FailedPrecondition, Reason.NodeUnusable, () => node.CallAsync(ClusterMethods.InitCluster, new InitClusterRequest { NodeId = 8 }));
    }

    [Fact]
    public async Task One_becomes_three_becomes_five_becomes_three_under_appends()
    {
        await using var cluster = await TestCluster.FormAsync(1);
        using var ends = new CancellationTokenSource();
        var appending = FailOverTests.AppendUntilAsync(cluster, ends.Token);
        foreach (var voters in new[] { 3, 5 })
        {
            while (cluster.Nodes.Count < voters)
            {
                await cluster.AddAsync();
            }

            await cluster.UntilVotersAsync(voters);
        }

        foreach (var number in new uint[] { 1, 4 })
        {
            await cluster.OnLeaderAsync(ClusterMethods.RemoveNode, new RemoveNodeRequest { NodeId = number });
        }

        await cluster.UntilVotersAsync(3);
        await ends.CancelAsync();
        var acknowledged = await appending;
        await cluster.UntilEqualAsync();
        foreach (var node in cluster.Nodes.Where((_, i) => i is 1 or 2 or 4))
        {
            Assert.Equal(acknowledged, (await node.ReadAllAsync()).Select(e => e.Event.Id.ToBase64()));
        }
    }

    [Fact]
    public async Task A_node_that_is_added_twice_is_there_once()
    {
        await using var cluster = await TestCluster.FormAsync(1);
        var node = await cluster.AddAsync();
        await cluster.UntilVotersAsync(2);
        var again = await cluster.OnLeaderAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = node.PeerAddress });
        Assert.Equal([(1u, NodeRole.Voter), (2u, NodeRole.Voter)], again.Nodes.Select(n => (n.NodeId, n.Role)));
        Assert.All(again.Nodes, n => Assert.True(n.IsReachable));
    }

    [Fact]
    public async Task A_node_that_has_moved_is_found_again_when_it_is_added_once_more()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        var node = await cluster.FollowerAsync();
        var (id, before) = (node.Node!.Peers.Self, node.PeerAddress);
        await node.StopAsync();
        await node.MoveAsync();
        Assert.NotEqual(before, node.PeerAddress);
        await cluster.OnLeaderAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = node.PeerAddress });
        var members = (await cluster.LeaderAsync()).Node!.Standing.Membership.Members;
        Assert.Equal((node.PeerAddress, MemberRole.Voter, 3), (members.Single(m => m.Id == id).Address, members.Single(m => m.Id == id).Role, members.Count));
        await FailOverTests.AppendAsync(cluster, 3);
        await cluster.UntilVotersAsync(3);
        await cluster.UntilEqualAsync();
    }

    [Fact]
    public async Task A_node_on_another_machine_is_not_added_by_one_that_it_could_not_reach()
    {
        await using var cluster = await TestCluster.FormAsync(1);
        var failure = await Fails.WithAsync(
            RpcCode.FailedPrecondition, Reason.NodeUnusable,
            () => cluster.Nodes[0].CallAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = "192.0.2.7:7412" })); // RFC 5737: nobody's.
        Assert.Contains("--peer-advertise", failure.Why, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_node_that_was_invited_and_not_added_is_added_by_another_try()
    {
        await using var cluster = await TestCluster.FormAsync(1);
        var node = await cluster.StartUnjoinedAsync();
        var invitation = new InviteRequest { Identity = Google.Protobuf.ByteString.CopyFrom(cluster.Nodes[0].Node!.Storage.Identity.Encode()), NodeId = 9 };
        await cluster.Nodes[0].Node!.Peers.AskAsync(
            new EventVault.Node.Peers.PeerTarget(node.PeerAddress), EventVault.Node.Peers.PeerRequestKind.Invite, Google.Protobuf.MessageExtensions.ToByteArray(invitation), CancellationToken.None);
        await cluster.UntilAsync(() => node.Node is not null, "it to open the vault's directory");
        await Fails.WithAsync(
            RpcCode.FailedPrecondition, Reason.NodeUnusable,
            () => cluster.OnLeaderAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = node.PeerAddress, NodeId = 2 }));
        await node.RestartAsync();
        await cluster.OnLeaderAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = node.PeerAddress });
        await cluster.UntilVotersAsync(2);
        Assert.Equal(9u, node.Node!.NodeId());
    }

    // On a busy disk the first opening takes longer than the call: the disk belongs to the vault from the answer to the invitation on.
    [Fact]
    public async Task A_node_that_does_not_come_back_from_its_invitation_in_time_is_a_member_all_the_same()
    {
        await using var cluster = await TestCluster.FormAsync(1);
        var node = await cluster.StartUnjoinedAsync();
        var isInvited = false;
        cluster.Cuts.Answering = (_, target, kind) =>
        {
            isInvited |= kind == EventVault.Node.Peers.PeerRequestKind.Invite;
            return isInvited && kind == EventVault.Node.Peers.PeerRequestKind.Status && target.Id is null
                ? Task.FromException<byte[]>(new EventVault.Node.Peers.PeerRequestException("it is opening", new IOException()))
                : null;
        };
        await cluster.OnLeaderAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = node.PeerAddress });
        await cluster.UntilVotersAsync(2);
        Assert.True(isInvited);
    }

    [Fact]
    public async Task A_read_replica_gets_everything_and_never_votes()
    {
        await using var cluster = await TestCluster.FormAsync(1);
        var replica = await cluster.AddAsync(readReplica: true);
        await cluster.AppendAsync("s", Make.Events(3));
        await cluster.UntilAsync(() => replica.Node?.Standing.Leader is not null, "the read replica to hear of its leader"); // Until then it says NO_QUORUM.
        Assert.Equal(3, (await replica.ReadAllAsync()).Count);

        // Another one that is added later becomes a voter before it would have had its turn.
        await cluster.AddAsync();
        await cluster.UntilVotersAsync(2);
        var answer = await replica.CallAsync(ClusterMethods.GetCluster, new GetClusterRequest());
        Assert.Equal([NodeRole.Voter, NodeRole.ReadReplica, NodeRole.Voter], answer.Nodes.Select(n => n.Role));
        await Fails.WithAsync(
            RpcCode.FailedPrecondition, Reason.NodeUnusable, () => cluster.OnLeaderAsync(ClusterMethods.TransferLeadership, new TransferLeadershipRequest { ToNodeId = 2 }));
    }

    [Fact]
    public async Task A_wiped_disk_is_replaced_in_one_step_and_gets_all()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        var acknowledged = await FailOverTests.AppendAsync(cluster, 10);
        var node = await cluster.FollowerAsync();
        var number = node.Node!.NodeId();
        var old = node.Node!.Peers.Self;
        await node.StopAsync();
        node.Wipe();
        await node.StartAsync();
        Assert.Null(node.Node);
        await cluster.OnLeaderAsync(ClusterMethods.ReplaceNode, new ReplaceNodeRequest { NodeId = number, PeerAddress = node.PeerAddress });
        await cluster.UntilAsync(
            () => cluster.Leader?.Node?.Standing.Membership is { IsJoint: false } m && m.RoleOf(old) == 0 && m.Members.Count(x => x.Role == MemberRole.Voter) == 3, "the new disk to vote");
        await cluster.UntilVotersAsync(3);
        Assert.Equal(number, node.Node!.NodeId());
        acknowledged.AddRange(await FailOverTests.AppendAsync(cluster, 3));
        await cluster.UntilEqualAsync();
        Assert.Equal(acknowledged, (await node.ReadAllAsync()).Select(e => e.Event.Id.ToBase64()));
        await Fails.WithAsync(
            RpcCode.NotFound, Reason.NodeNotFound, () => cluster.OnLeaderAsync(ClusterMethods.ReplaceNode, new ReplaceNodeRequest { NodeId = 77, PeerAddress = node.PeerAddress }));
    }

    [Fact]
    public async Task A_change_that_leaves_too_few_voters_is_refused_unless_it_is_forced()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        var leader = await cluster.LeaderAsync();
        var stopped = await cluster.FollowerAsync();
        var removed = cluster.Nodes.First(n => n != leader && n != stopped).Node!.NodeId();
        await stopped.StopAsync();
        await cluster.UntilAsync(() => leader.Node!.Peers.Links.Any(l => l.SinceHeard > 2 * leader.Options.ElectionTimeout), "the leader to miss it");
        var failure = await Fails.WithAsync(
            RpcCode.FailedPrecondition, Reason.UnsafeChange, () => leader.CallAsync(ClusterMethods.RemoveNode, new RemoveNodeRequest { NodeId = removed }));
        Assert.Contains("majority is 2", failure.Why, StringComparison.Ordinal);
        Assert.Equal(3, leader.Node!.Standing.Membership.Members.Count);
    }

    [Fact]
    public async Task The_only_voter_stays()
    {
        await using var cluster = await TestCluster.FormAsync(1);
        await Fails.WithAsync(
            RpcCode.FailedPrecondition, Reason.UnsafeChange, () => cluster.Nodes[0].CallAsync(ClusterMethods.RemoveNode, new RemoveNodeRequest { NodeId = 1, Force = true }));
        var nothing = await cluster.Nodes[0].CallAsync(ClusterMethods.RemoveNode, new RemoveNodeRequest { NodeId = 5 });
        Assert.Single(nothing.Nodes);
    }

    [Fact]
    public async Task A_node_that_was_removed_keeps_its_data_says_so_and_answers_local_reads_only()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        await cluster.AppendAsync("s", Make.Events(3));
        await cluster.UntilEqualAsync();
        var node = await cluster.FollowerAsync();
        var number = node.Node!.NodeId();
        await cluster.OnLeaderAsync(ClusterMethods.RemoveNode, new RemoveNodeRequest { NodeId = number });
        await cluster.UntilVotersAsync(2);
        GetClusterResponse? answer = null;
        while (answer?.Nodes.FirstOrDefault(n => n.NodeId == number)?.Problem.Contains("removed", StringComparison.Ordinal) != true)
        {
            answer = await node.CallAsync(ClusterMethods.GetCluster, new GetClusterRequest());
        }

        Assert.Equal(3, (await node.ReadAllAsync(new Consistency { Local = new Empty() })).Count);
        await cluster.UntilAsync(() => node.Node!.Standing.Leader is null, "it to know no leader");
        var failure = await Assert.ThrowsAsync<RpcException>(() => node.ReadAllAsync());
        Assert.Equal(Reason.NoQuorum, Fails.Detail(RpcCode.Unavailable, failure).Failures[0].Reason);
        await Fails.WithAsync(RpcCode.Unavailable, Reason.NotLeader, () => node.CallAsync(Methods.Append, Make.Append(Make.Stream("s", Make.Any))));
        Assert.Equal(2, (await cluster.LeaderAsync()).Node!.Standing.Membership.Members.Count);

        // It has kept what it promised, so it may come back as it is.
        await cluster.OnLeaderAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = node.PeerAddress });
        await cluster.UntilVotersAsync(3);
        await cluster.UntilEqualAsync();
    }

    [Fact]
    public async Task The_cluster_is_seen_alike_from_every_node()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        await cluster.AppendAsync("s", Make.Events(3));
        await cluster.UntilEqualAsync();
        foreach (var node in cluster.Nodes)
        {
            // What others said a moment ago may be shown, and a node that takes long to answer, as on a busy machine, is shown as out of reach.
            GetClusterResponse answer = new();
            await Wait.UntilAsync(async () => (answer = await node.CallAsync(ClusterMethods.GetCluster, new GetClusterRequest())).Nodes.All(n => n.IsReachable && n.Head == 2), "all nodes to show what they have");
            Assert.Equal((node.Node!.NodeId(), false, 3), (answer.NodeId, answer.IsChanging, answer.Nodes.Count));
            Assert.Equal(answer.LeaderNodeId, Assert.Single(answer.Nodes, n => n.IsLeader).NodeId);
            Assert.Equal(cluster.Nodes.Select(n => (n.Address, n.PeerAddress)), answer.Nodes.Select(n => (n.Address, n.PeerAddress)));
            Assert.All(answer.Nodes, n => Assert.Equal((NodeRole.Voter, true, "serving", 2ul, 0ul, answer.Term), (n.Role, n.IsReachable, n.State, n.Head, n.LagGroups, n.Term)));
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("nowhere")]
    [InlineData("host:0")]
    [InlineData("::1:7")]
    public async Task An_address_that_is_none_is_refused(string address)
    {
        await using var cluster = await TestCluster.FormAsync(1);
        await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, () => cluster.Nodes[0].CallAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = address }));
    }

    [Fact]
    public async Task A_node_of_another_vault_and_one_that_is_not_there_can_t_be_added()
    {
        await using var cluster = await TestCluster.FormAsync(1);
        await using var other = await TestCluster.FormAsync(1);
        var first = cluster.Nodes[0];
        var foreign = await Fails.WithAsync(
            RpcCode.FailedPrecondition, Reason.NodeUnusable, () => first.CallAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = other.Nodes[0].PeerAddress }));
        Assert.Contains("vault", foreign.Why, StringComparison.Ordinal);
        var gone = other.Nodes[0].PeerAddress;
        await other.Nodes[0].StopAsync();
        await Fails.WithAsync(RpcCode.FailedPrecondition, Reason.NodeUnusable, () => first.CallAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = gone }));
        Assert.Single(first.Node!.Standing.Membership.Members);
    }

    [Fact]
    public async Task A_member_that_is_reached_elsewhere_gets_its_new_address_into_the_membership_the_leader_too()
    {
        await using var cluster = await new TestCluster { Host = System.Net.IPAddress.Loopback }.WithAsync(2);
        foreach (var node in cluster.Nodes)
        {
            var address = $"localhost:{node.PeerAddress.Split(':')[1]}";
            await node.StopAsync();
            await node.StartAsync(o => o with { PeerAdvertise = address });
            await cluster.UntilAsync(
                () => cluster.Nodes.All(n => n.Node!.Standing.Membership.Members.Any(m => m.Id == node.Node!.Peers.Self && m.Address == address)), "the new address to be a member's");
        }

        await cluster.AppendAsync("behind", Make.Events(1));
        await cluster.UntilEqualAsync();
    }

    [Fact]
    public async Task A_node_elsewhere_is_not_added_to_a_vault_whose_nodes_it_could_not_reach()
    {
        await using var cluster = await TestCluster.FormAsync(1);
        var joining = await cluster.StartUnjoinedAsync(o => o with { PeerAddress = System.Net.IPAddress.Any });
        var elsewhere = $"0.0.0.0:{joining.PeerAddress.Split(':')[1]}"; // An address that is no loopback and reaches this machine.
        var refused = await Fails.WithAsync(
            RpcCode.FailedPrecondition, Reason.NodeUnusable, () => cluster.Nodes[0].CallAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = elsewhere }));
        Assert.Contains("--peer-advertise", refused.Message, StringComparison.Ordinal);
        Assert.Single(cluster.Nodes[0].Node!.Standing.Membership.Members);
    }
}
