using EventVault.Client;

namespace EventVault.Admin.Commands.Cluster;

/// <summary>Waits until every node is in its place.</summary>
internal static class Settled
{
    // Often enough not to be waited for, seldom enough to cost the nodes nothing.
    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(200);

    // A read replica has its role before it has the log. So near it is in the midst of appends, too.
    private const ulong NearGroups = 1000;

    /// <summary>Waits until a node leads, no change is under way, and all nodes are in their places. As long as it takes: a log may be long.</summary>
    /// <param name="client">A client of the vault.</param>
    /// <param name="newcomer">Peer address of a node that has to have the log, too; null: only that none is a learner or on its way out.</param>
    /// <param name="stop">Ends the waiting; the nodes go on.</param>
    public static async Task<ClusterStatus> WaitAsync(VaultClient client, string? newcomer, CancellationToken stop)
    {
        var said = "";
        while (true)
        {
            var status = await client.Cluster.StatusAsync(stop);
            var unsettled = status.Nodes.Where(n => !IsInPlace(n, newcomer)).ToList();
            if (status is { LeaderNodeId: not null, IsChanging: false } && unsettled.Count == 0)
            {
                return status;
            }

            // Every node that is not in its place is named once, not each time it is looked at.
            var now = unsettled.Count == 0 ? "" : $"Waiting for {string.Join(", ", unsettled.Select(Say))}.";
            if (now != said && now.Length > 0)
            {
                Output.Note(now);
            }

            said = now;
            await Task.Delay(LookAgain, stop);
        }
    }

    /// <summary>Whether a node is what it is to be, and has the log: voters do by then, of read replicas the newcomer is asked.</summary>
    public static bool IsInPlace(ClusterNodeStatus node, string? newcomer) => node.Role == ClusterRole.Voter
        || (node.Role == ClusterRole.ReadReplica && (node.PeerAddress != newcomer || node is { IsReachable: true, State: "serving" or "full", LagGroups: <= NearGroups }));

    private static string Say(ClusterNodeStatus node) =>
        $"node {node.NodeId} ({ClusterTable.RoleOf(node.Role)}{(!node.IsReachable ? ", away" : node.State == "serving" ? "" : $", {node.State}")}{(node.Problem.Length == 0 ? "" : $": {node.Problem.TrimEnd('.')}")})";
}
