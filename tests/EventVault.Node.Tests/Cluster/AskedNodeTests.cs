using EventVault.Node.Tests.Peers;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.Node.Tests.Cluster;

/// <summary>The node that a change names, while it is asked what it is.</summary>
public sealed class AskedNodeTests
{
    [Fact]
    public async Task A_member_that_is_added_again_stays_what_it_is_and_by_its_own_address_nothing_changes()
    {
        await using var cluster = await new TestCluster { Host = System.Net.IPAddress.Loopback }.WithAsync(2);
        var leader = await cluster.LeaderAsync();
        var before = leader.Node!.Standing.MembershipIndex;
        foreach (var node in cluster.Nodes)
        {
            var answer = await leader.CallAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = node.PeerAddress });
            Assert.Equal([NodeRole.Voter, NodeRole.Voter], answer.Nodes.Select(n => n.Role));
        }

        var number = leader.Node!.NodeId();
        await leader.CallAsync(ClusterMethods.ReplaceNode, new ReplaceNodeRequest { NodeId = number, PeerAddress = leader.PeerAddress });
        var failure = await Fails.WithAsync(
            RpcCode.FailedPrecondition,
            Reason.NodeUnusable,
            () => leader.CallAsync(ClusterMethods.ReplaceNode, new ReplaceNodeRequest { NodeId = 3 - number, PeerAddress = leader.PeerAddress }));
        Assert.Contains($"node {number} of this vault", failure.Why, StringComparison.Ordinal);
        Assert.Equal(before, leader.Node!.Standing.MembershipIndex);

        // By another name it is the same node at another address.
        foreach (var node in cluster.Nodes)
        {
            var answer = await leader.CallAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = $"localhost:{node.Host.PeerPort}" });
            Assert.Equal([NodeRole.Voter, NodeRole.Voter], answer.Nodes.Select(n => n.Role));
        }
    }

    [Fact]
    public async Task However_many_look_at_the_nodes_each_is_asked_once_at_a_time()
    {
        await using var cluster = await TestCluster.FormAsync(2);
        var leader = await cluster.LeaderAsync();
        var answers = await Task.WhenAll(Enumerable.Range(0, 100).Select(_ => leader.CallAsync(ClusterMethods.GetCluster, new GetClusterRequest())));
        Assert.All(answers, a => Assert.Equal(2, a.Nodes.Count));
        Assert.Equal(1, cluster.Cuts.MostAsking);
    }

    [Fact]
    public async Task A_node_that_does_not_answer_at_once_is_asked_again()
    {
        await using var cluster = await TestCluster.FormAsync(1);
        var node = await cluster.StartUnjoinedAsync();
        await using var proxy = new BlackProxy(node.PeerAddress) { Refuses = 3 };
        await cluster.OnLeaderAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = proxy.Address });
        Assert.Equal(3, proxy.Refused);
        await cluster.UntilVotersAsync(2);
    }

    [Fact]
    public async Task A_node_that_is_not_there_is_refused_before_the_call_s_own_time_is_over()
    {
        await using var cluster = await TestCluster.FormAsync(1);
        var call = new RpcCallOptions { Timeout = TimeSpan.FromSeconds(5) };
        var failure = await Fails.WithAsync(
            RpcCode.FailedPrecondition,
            Reason.NodeUnusable,
            async () => await cluster.Nodes[0].Channel.UnaryAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = "127.0.0.1:1" }, call));
        Assert.Contains("can't be reached", failure.Why, StringComparison.Ordinal);
    }
}
