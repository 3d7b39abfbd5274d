using System.Collections.Concurrent;
using EventVault.FaultLab.Calls;
using EventVault.FaultLab.History;
using EventVault.FaultLab.Machine;
using EventVault.Protocol;
using Google.Protobuf;

namespace EventVault.FaultLab.Workload;

/// <summary>A client of the lab: a name, its own chance, and connections of its own to every node.</summary>
internal abstract class LabClient(string name, WorkState state) : IAsyncDisposable
{
    private readonly ConcurrentDictionary<int, NodeConnection> _connections = [];

    public string Name { get; } = name;

    protected WorkState State { get; } = state;

    protected Random Random { get; } = state.RandomOf(name);

    /// <summary>Does its work until it is told to stop.</summary>
    public abstract Task RunAsync(CancellationToken stop);

    public async ValueTask DisposeAsync()
    {
        foreach (var connection in _connections.Values)
        {
            await connection.DisposeAsync();
        }

        GC.SuppressFinalize(this);
    }

    protected NodeConnection To(LabNode node) =>
        _connections.GetOrAdd(node.Number, static (_, x) => new NodeConnection(x.node, x.trust), (node, trust: State.Cluster.Certificate.Trust));

    protected LabNode AnyNode()
    {
        var nodes = State.Cluster.Nodes.Where(static n => !n.IsForeign).ToList();
        return nodes[Random.Next(nodes.Count)];
    }

    /// <summary>Sleeps for a while of chance; returns early when it is time to stop.</summary>
    protected async Task PauseAsync(int mostMilliseconds, CancellationToken stop) =>
        await Task.Delay(Random.Next(mostMilliseconds + 1), stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    protected static SeenEvent Seen(RecordedEvent e) =>
        new((long)e.Position, (long)e.Version, e.RecordedAt, EventDigest.Of(e.Stream, e.Event.ToByteArray()));
}
