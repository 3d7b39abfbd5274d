using EventVault.Client;

namespace EventVault.Admin.Commands.Cluster;

/// <summary>Waits until every node is in its place.</summary>
internal static class Settled
{
    // Often enough not to be waited for, seldom enough to cost the nodes nothing.
    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(200);

    /// <summary>Waits until a node leads, no change is under way, and no node is a learner or on its way out. As long as it takes: a log may be long.</summary>
    /// <param name="client">A client of the vault.</param>
    /// <param name="stop">Ends the waiting; the nodes go on.</param>
    public static async Task<ClusterStatus> WaitAsync(VaultClient client, CancellationToken stop)
    {
        var said = "";
        while (true)
        {
            var status = await client.Cluster.StatusAsync(stop);
            var unsettled = status.Nodes.Where(n => n.Role is not (ClusterRole.Voter or ClusterRole.ReadReplica)).ToList();
            if (status is { LeaderNodeId: not null, IsChanging: false } && unsettled.Count == 0)
            {
                return status;
            }

            // Every node that is not in its place is named once, not each time it is looked at.
            var now = unsettled.Count == 0 ? "" : $"Waiting for {string.Join(", ", unsettled.Select(n => $"node {n.NodeId} ({ClusterTable.RoleOf(n.Role)})"))}.";
            if (now != said && now.Length > 0)
            {
                Output.Note(now);
            }

            said = now;
            await Task.Delay(LookAgain, stop);
        }
    }
}
