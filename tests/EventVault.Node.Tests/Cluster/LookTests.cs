using System.Globalization;
using EventVault.Node.Peers;
using EventVault.Protocol;

namespace EventVault.Node.Tests.Cluster;

/// <summary>How a node learns how the others stand, however many want to know it.</summary>
public sealed class LookTests
{
    [Fact]
    public async Task A_member_that_is_heard_of_is_not_out_of_reach_because_of_one_answer_that_is_lost()
    {
        await using var cluster = await TestCluster.FormAsync(2, o => o with { ElectionTimeout = TimeSpan.FromSeconds(10) });
        var leader = await cluster.LeaderAsync();
        var asker = leader.Node!.NodeId();
        var other = cluster.Nodes.Single(n => n != leader);
        var status = await leader.Node!.Peers.AskAsync(new PeerTarget(other.PeerAddress), PeerRequestKind.Status, default, CancellationToken.None);
        await cluster.UntilAsync(() => leader.Node.Peers.Links.All(l => l.IsConnected), "the connections to stand");
        var (lose, lost) = (0, 0);
        cluster.Cuts.Answering = (from, _, kind) =>
        {
            if (from != asker || kind != PeerRequestKind.Status)
            {
                return null;
            }

            if (Interlocked.Decrement(ref lose) < 0)
            {
                return Task.FromResult(status);
            }

            Interlocked.Increment(ref lost);
            return Task.FromException<byte[]>(new PeerRequestException("the answer is lost"));
        };
        async Task<bool> IsReachableAsync() =>
            (await leader.CallAsync(ClusterMethods.GetCluster, new GetClusterRequest())).Nodes.Single(n => n.NodeId != asker).IsReachable;
        var end = DateTime.UtcNow + Support.Wait.Limit;
        while (!await IsReachableAsync())
        {
            Assert.True(DateTime.UtcNow < end, "The member is never reachable.");
        }

        Volatile.Write(ref lose, 1);
        for (var seen = 0; seen == 0; seen = Volatile.Read(ref lost))
        {
            Assert.True(await IsReachableAsync());
        }

        Assert.True(await IsReachableAsync());

        // What goes on is no accident.
        Volatile.Write(ref lose, int.MaxValue);
        while (await IsReachableAsync())
        {
            Assert.True(DateTime.UtcNow < end, string.Create(CultureInfo.InvariantCulture, $"It stays reachable after {lost} lost answers."));
        }
    }
}
