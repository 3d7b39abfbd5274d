using System.Globalization;
using System.Text.Json;
using EventVault.Client;
using Spectre.Console;

namespace EventVault.Admin.Commands.Cluster;

/// <summary>How the nodes stand, as people and as scripts read it.</summary>
internal static class ClusterTable
{
    private static readonly IReadOnlyList<Column> Columns =
    [
        new("node", n => $"{n.NodeId}{(n.IsLeader ? " *" : "")}"),
        new("role", n => RoleOf(n.Role)),
        new("state", n => n.IsReachable ? n.State : "away"),
        new("term", n => n.IsReachable ? Number(n.Term) : "", IsNumber: true, Spare: 3),
        new("commit", n => n.IsReachable ? Number(n.CommitIndex) : "", IsNumber: true, Spare: 2),
        new("last", n => n.IsReachable ? Number(n.LastIndex) : "", IsNumber: true),
        new("head", n => n.Head is { } head ? Rows.Place(head) : "", IsNumber: true, Spare: 1),
        new("lag", n => n.LagGroups is { } lag ? Number(lag) : "", IsNumber: true),
        new("clock", n => n.IsReachable ? string.Create(CultureInfo.InvariantCulture, $"{n.ClockAhead.TotalMilliseconds:+0;-0;0} ms") : "", IsNumber: true, Spare: 4),
        new("address", n => n.Address),
        new("version", n => n.Version, Spare: 5),
    ];

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

        var (table, leftOut) = TableOf(status, Output.Width);
        output.Show(table);
        if (leftOut.Count > 0)
        {
            output.WriteLine($"No room for: {string.Join(", ", leftOut)}. A wider window shows them, and --json.");
        }

        foreach (var sentence in status.VaultId is null ? [] : SentencesOf(status))
        {
            output.WriteLine(sentence);
        }
    }

    /// <summary>The nodes, one a line, in a window of this width; and the columns that it has no room for.</summary>
    /// <param name="status">The nodes.</param>
    /// <param name="width">In characters. Where even the columns that are needed are too wide, they are broken.</param>
    internal static (Table Table, IReadOnlyList<string> LeftOut) TableOf(ClusterStatus status, int width)
    {
        var columns = Columns.ToList();
        foreach (var spare in Columns.Where(c => c.Spare > 0).OrderByDescending(c => c.Spare))
        {
            if (columns.Sum(c => WidthOf(c, status)) + 1 > width)
            {
                columns.Remove(spare);
            }
        }

        var table = new Table();
        foreach (var column in columns)
        {
            table.AddColumn(column.Name, c => c.Alignment = column.IsNumber ? Justify.Right : Justify.Left);
        }

        foreach (var node in status.Nodes)
        {
            table.AddRow([.. columns.Select(c => Markup.Escape(c.Cell(node)))]);
        }

        return (table, [.. Columns.Except(columns).Select(c => c.Name)]);
    }

    // With the line before it and a space on each side.
    private static int WidthOf(Column column, ClusterStatus status) => status.Nodes.Select(n => column.Cell(n).Length).Append(column.Name.Length).Max() + 3;

    /// <summary>Who leads, whether all is well, and if not, what to do about each node.</summary>
    /// <param name="status">The nodes.</param>
    internal static IEnumerable<string> SentencesOf(ClusterStatus status)
    {
        var leader = status.Nodes.FirstOrDefault(n => n.NodeId == status.LeaderNodeId);
        var leads = status.LeaderNodeId is not { } id
            ? $"Node {status.AnsweredBy} knows of no leader: unless others have one, no append succeeds until a majority of the voters reach each other"
            : leader is { IsReachable: false }
            ? $"Node {id} led when node {status.AnsweredBy} last heard of it: the others choose another leader within seconds if they are a majority of the voters"
            : $"Node {id} leads";
        yield return $"{leads}; term {Number(status.Term)}{(status.IsChanging ? ", a change of the nodes is under way" : "")}. {(status.IsHealthy ? "All is well." : "Not all is well.")}";
        foreach (var node in status.Nodes.Where(n => !n.IsHealthy))
        {
            yield return $"Node {node.NodeId}{WhatIsWrong(node)}";
        }
    }

    private static string WhatIsWrong(ClusterNodeStatus node) =>
        !node.IsReachable ? $" does not answer at {node.PeerAddress}{(node.Problem.Length > 0 ? $" ({node.Problem.TrimEnd('.')})" : "")}: see whether it runs, what it logs, and whether node and network let the others connect to that port."
        : node.Problem.Length > 0 ? $": {node.Problem.TrimEnd('.')}."
        : node.State != "serving" ? $" is {node.State}: its log says why."
        : node.Role is not (ClusterRole.Voter or ClusterRole.ReadReplica) ? $" has the role {RoleOf(node.Role)}: it is on its way in or out; if that does not end, its log says why."
        : $" is {Number(node.LagGroups ?? 0)} groups behind the leader: it catches up by itself, or its log says why not.";

    private static string Number(ulong number) => number.ToString("N0", CultureInfo.InvariantCulture);

    // Spare: the higher, the sooner left out where room is short; 0: never.
    private sealed record Column(string Name, Func<ClusterNodeStatus, string> Cell, bool IsNumber = false, int Spare = 0);
}
