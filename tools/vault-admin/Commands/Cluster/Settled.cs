using EventVault.Client;

namespace EventVault.Admin.Commands.Cluster;

/// <summary>Waits until every node is in its place.</summary>
internal static class Settled
{
    // Often enough not to be waited for, seldom enough to cost the nodes nothing.
    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(200);

    /// <summary>Waits until a node leads, no change is under way, and all nodes are in their places. As long as it takes: a log may be long.</summary>
    /// <param name="client">A client of the vault.</param>
    /// <param name="newcomer">Peer address of a node that has to have the log, too; null: only that none is a learner or on its way out.</param>
    /// <param name="stop">Ends the waiting; the nodes go on.</param>
    public static async Task<ClusterStatus> WaitAsync(VaultClient client, string? newcomer, CancellationToken stop)
    {
        var said = "";
        ulong? wanted = null; // The leader's last index at the first look: it goes on meanwhile.
        while (true)
        {
            var status = await client.Cluster.StatusAsync(stop);
            wanted ??= status.Nodes.FirstOrDefault(static n => n.IsLeader)?.LastIndex;
            var unsettled = status.Nodes.Where(n => !IsInPlace(n, newcomer, wanted ?? ulong.MaxValue)).ToList();
            if (status is { LeaderNodeId: not null, IsChanging: false } && unsettled.Count == 0)
            {
                return status;
            }

            // Every node that is not in its place is named once, not each time it is looked at.
            var now = string.Join(", ", unsettled.Select(n => $"node {n.NodeId} ({ClusterTable.RoleOf(n.Role)})"));
            if (now != said && now.Length > 0)
            {
                Output.Note($"Waiting for {now}.");
            }

            said = now;
            await Task.Delay(LookAgain, stop);
        }
    }

    /// <summary>Whether a node is what it is to be, and has the log: voters do by then, of read replicas, which have their role before it, the newcomer is asked.</summary>
    /// <param name="node">The node.</param>
    /// <param name="newcomer">Peer address of the node that has to have the log, too; null: none.</param>
    /// <param name="wanted">Up to which index.</param>
    public static bool IsInPlace(ClusterNodeStatus node, string? newcomer, ulong wanted) => node.Role == ClusterRole.Voter
        || (node.Role == ClusterRole.ReadReplica && (node.PeerAddress != newcomer || (node.IsReachable && node.CommitIndex >= wanted)));
}
