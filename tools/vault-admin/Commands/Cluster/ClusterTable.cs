using System.Globalization;
using System.Text.Json;
using EventVault.Client;
using Spectre.Console;

namespace EventVault.Admin.Commands.Cluster;

/// <summary>How the nodes stand, as people and as scripts read it.</summary>
internal static class ClusterTable
{
    public static void Write(Output output, ClusterStatus status)
    {
        if (output.Json)
        {
            output.WriteJson(w => WriteJson(w, status));
        }
        else
        {
            Show(output, status);
        }
    }

    /// <summary>A role in words.</summary>
    public static string RoleOf(ClusterRole role) => role switch
    {
        ClusterRole.ReadReplica => "read replica",
        ClusterRole.None => "none",
        _ => role.ToString().ToLowerInvariant(),
    };

    private static void WriteJson(Utf8JsonWriter w, ClusterStatus status)
    {
        w.WriteStartObject();
        w.WriteBoolean("healthy", status.IsHealthy);
        if (status.VaultId is { } vault)
        {
            w.WriteString("vaultId", vault);
        }
        else
        {
            w.WriteNull("vaultId");
        }

        w.WriteNumber("answeredBy", status.AnsweredBy);
        w.WriteNumber("term", status.Term);
        w.WriteNumberOrNull("leader", status.LeaderNodeId);
        w.WriteBoolean("changing", status.IsChanging);
        w.WriteStartArray("nodes");
        foreach (var node in status.Nodes)
        {
            WriteJson(w, node);
        }

        w.WriteEndArray();
        w.WriteEndObject();
    }

    private static void WriteJson(Utf8JsonWriter w, ClusterNodeStatus node)
    {
        w.WriteStartObject();
        w.WriteNumber("node", node.NodeId);
        w.WriteString("role", RoleOf(node.Role));
        w.WriteBoolean("leader", node.IsLeader);
        w.WriteBoolean("healthy", node.IsHealthy);
        w.WriteBoolean("reachable", node.IsReachable);
        w.WriteString("state", node.State);
        w.WriteNumber("term", node.Term);
        w.WriteNumber("commitIndex", node.CommitIndex);
        w.WriteNumber("lastIndex", node.LastIndex);
        w.WriteNumberOrNull("head", node.Head);
        w.WriteNumberOrNull("lagGroups", node.LagGroups);
        w.WriteNumber("clockAheadMs", (long)node.ClockAhead.TotalMilliseconds);
        w.WriteString("address", node.Address);
        w.WriteString("peerAddress", node.PeerAddress);
        w.WriteString("incarnation", node.Incarnation?.ToString() ?? "");
        w.WriteString("version", node.Version);
        w.WriteString("problem", node.Problem);
        w.WriteEndObject();
    }

    private static void Show(Output output, ClusterStatus status)
    {
        if (status.VaultId is null)
        {
            output.WriteLine("This node belongs to no vault yet. vault-admin cluster init begins one; vault-admin cluster add takes the node into another.");
        }

        var table = new Table();
        foreach (var name in new[] { "node", "role", "state", "term", "commit", "last", "head", "lag", "clock", "address", "version", "problem" })
        {
            table.AddColumn(name is "term" or "commit" or "last" or "head" or "lag" or "clock" ? new TableColumn(name).RightAligned() : new TableColumn(name));
        }

        foreach (var node in status.Nodes)
        {
            table.AddRow([.. Cells(node).Select(Markup.Escape)]);
        }

        output.Show(table);
        output.WriteLine(
            $"{(status.LeaderNodeId is { } leader ? $"Node {leader} leads" : "Nobody leads")}, term {Number(status.Term)}{(status.IsChanging ? "; a change of the nodes is under way" : "")}. "
            + (status.IsHealthy ? "All is well." : "Not all is well."));
    }

    private static string[] Cells(ClusterNodeStatus node) =>
    [
        $"{node.NodeId}{(node.IsLeader ? " *" : "")}",
        RoleOf(node.Role),
        node.IsReachable ? node.State : "away",
        node.IsReachable ? Number(node.Term) : "",
        node.IsReachable ? Number(node.CommitIndex) : "",
        node.IsReachable ? Number(node.LastIndex) : "",
        node.Head is { } head ? Number(head) : "",
        node.LagGroups is { } lag ? Number(lag) : "",
        node.IsReachable ? string.Create(CultureInfo.InvariantCulture, $"{node.ClockAhead.TotalMilliseconds:+0;-0;0} ms") : "",
        node.Address,
        node.Version,
        node.Problem,
    ];

    private static string Number(ulong number) => number.ToString("N0", CultureInfo.InvariantCulture);
}
