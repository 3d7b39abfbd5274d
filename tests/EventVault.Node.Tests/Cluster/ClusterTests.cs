using EventVault.Node.Tests.Support;

namespace EventVault.Node.Tests.Cluster;

public sealed class ClusterTests
{
    [Fact]
    public async Task Three_nodes_form_and_what_one_takes_all_of_them_show()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        for (var i = 0; i < 20; i++)
        {
            await cluster.AppendAsync($"s-{i}", Make.Events(3));
        }

        foreach (var node in cluster.Nodes)
        {
            Assert.Equal(60, (await node.ReadAllAsync()).Count);
        }

        await cluster.UntilEqualAsync();
    }
}
