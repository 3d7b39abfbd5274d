namespace EventVault.Client;

/// <summary>How the nodes of a vault stand, as one of them sees them.</summary>
public sealed record ClusterStatus
{
    /// <summary>The vault; null: the node that answered belongs to none yet.</summary>
    public required Guid? VaultId { get; init; }

    /// <summary>The node that answered; 0: it has no number yet.</summary>
    public required uint AnsweredBy { get; init; }

    /// <summary>The newest term that it knows.</summary>
    public required ulong Term { get; init; }

    /// <summary>The node that leads; null: nobody does, as far as it knows.</summary>
    public required uint? LeaderNodeId { get; init; }

    /// <summary>Whether a change of the nodes is under way.</summary>
    public required bool IsChanging { get; init; }

    /// <summary>The nodes, by their numbers; while one is being replaced, its old and its new disk.</summary>
    public required IReadOnlyList<ClusterNodeStatus> Nodes { get; init; }

    /// <summary>
    /// Whether all is as it should be: a node leads, no change is under way, every node answers, keeps up, is a voter or a read replica, and reports no problem.
    /// </summary>
    public bool IsHealthy => LeaderNodeId is not null && !IsChanging && Nodes.Count > 0 && Nodes.All(static n => n.IsHealthy);

    internal static ClusterStatus From(Protocol.GetClusterResponse message) => new()
    {
        VaultId = message.VaultId.Length == 16 ? new Guid(message.VaultId.Span, bigEndian: true) : null,
        AnsweredBy = message.NodeId,
        Term = message.Term,
        LeaderNodeId = message.LeaderNodeId == 0 ? null : message.LeaderNodeId,
        IsChanging = message.IsChanging,
        Nodes = [.. message.Nodes.Select(ClusterNodeStatus.From)],
    };
}
