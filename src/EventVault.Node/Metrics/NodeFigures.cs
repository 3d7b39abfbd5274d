using EventVault.Node.Subscriptions;

namespace EventVault.Node.Metrics;

/// <summary>What the node's services count. For every thread.</summary>
internal sealed class NodeFigures
{
    /// <summary>Appends of clients.</summary>
    public AppendFigures Appends { get; } = new();

    /// <summary>Calls of any kind.</summary>
    public CallFigures Calls { get; } = new();

    /// <summary>Reads of one stream.</summary>
    public ReadFigures StreamReads { get; } = new();

    /// <summary>Reads of all streams.</summary>
    public ReadFigures AllReads { get; } = new();

    /// <summary>What subscriptions delivered.</summary>
    public ReadFigures Delivered { get; } = new();

    /// <summary>The subscriptions that run.</summary>
    public LiveSubscriptions Subscriptions { get; } = new();
}
