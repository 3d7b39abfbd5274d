// Joins the checkers of a run. The simulator tells it what happens at nodes, the clients what they send and are answered.
using EventVault.Node.Replication;
using EventVault.Simulation.Cluster;
using EventVault.Storage;

namespace EventVault.Simulation.Checkers;

/// <summary>Watches a run and throws <see cref="ViolationException"/> when a rule is broken.</summary>
internal sealed class Referee : ISimulationObserver
{
    private readonly Dictionary<int, ReplicaView> _running = [];
    private readonly ReplicaChecker _replicas;
    private readonly ScavengeChecker _scavenged;

    public Referee(Simulation simulation)
    {
        History = new History(() => simulation.Now, Ledger);
        Appends = new AppendChecker(Ledger, History);
        Reads = new ReadChecker(Ledger, History);
        Retention = new RetentionChecker(Ledger);
        _scavenged = new ScavengeChecker(Ledger);
        _replicas = new ReplicaChecker(Ledger, Appends, new DurableState(simulation.Disks));
    }

    public Ledger Ledger { get; } = new();

    public History History { get; }

    public AppendChecker Appends { get; }

    public ReadChecker Reads { get; }

    public RetentionChecker Retention { get; }

    /// <summary>The highest wall clock that any node has shown, 100 ns ticks since 1970; null: times are not held against it.</summary>
    public long? HighestClock
    {
        get => Ledger.HighestClock;
        set => Ledger.HighestClock = value;
    }

    /// <summary>Elections won.</summary>
    public int Elections => _replicas.Elections;

    /// <summary>Segments that were written anew without what is hidden, or came so from other nodes.</summary>
    public int Scavenged => _scavenged.Seen;

    /// <summary>Starts that put segments of other nodes in their places.</summary>
    public int Installs { get; private set; }

    /// <summary>How often a log lost entries.</summary>
    public int Truncations => _replicas.Truncations;

    /// <summary>A node tells a client that its append is definitely not done.</summary>
    public void Refusing(AppendAttempt attempt) => _replicas.Refused(attempt);

    public void Started(SimulatedNode node)
    {
        var view = new ReplicaView(node.Storage, node.Replica, Ledger);
        _running[node.Number] = view;
        Installs += view.InstalledThrough > 0 ? 1 : 0;
        _replicas.Started(view);
        if (view.InstalledThrough > 0 && node.Storage.Head >= node.Storage.WholeFrom && !node.IsDamaged)
        {
            new FinalCheck(Ledger, Appends).CheckReads(node.Number, node.Storage, "behind an install");
        }
    }

    /// <summary>A node says that a time is closed.</summary>
    public static void Closed(SimulatedNode node, long time) =>
        Require.That(Rules.TimeStaysClosed, node.Storage.ClosedTime >= time, $"node {node.Number} answers that {time} is closed, and {node.Storage.ClosedTime} is.");

    public void Stopped(SimulatedNode node, StopKind kind)
    {
        _running.Remove(node.Number);
        Reads.NodeStopped((uint)node.Number);
        _scavenged.Stopped(node.Number);
    }

    public void Stepped(SimulatedNode node)
    {
        if (_running.TryGetValue(node.Number, out var view))
        {
            view.Refresh();
            _replicas.Look(view);
            _scavenged.Look(node.Number, node.Storage);
            Ledger.CheckClosed($"node {node.Number}", node.Storage.CommitIndex.Value, node.Storage.ClosedTime);
        }
    }

    public void Sent(SimulatedNode from, in PeerMessage message)
    {
        if (_running.ContainsKey(from.Number))
        {
            var raft = message.Raft;
            _replicas.Sent(raft.From, new SentMessage(raft.Kind, raft.Term.Value, raft.To, raft.Index.Value, raft.Rejected, raft.IsTransfer));
        }
    }

    /// <summary>Reads everything that these nodes hold: as they run, and with all that can be rebuilt made anew.</summary>
    /// <param name="nodes">Nodes of a core that has converged.</param>
    /// <param name="reopen">Stops a node cleanly, deletes what can be rebuilt, and opens its storage once more.</param>
    public void CheckAtEnd(IReadOnlyList<SimulatedNode> nodes, Func<SimulatedNode, VaultStorage> reopen) =>
        new FinalCheck(Ledger, Appends).Run(nodes, reopen);

    /// <summary>The last operations of clients, in words.</summary>
    public IEnumerable<string> LastOperations(int count) => History.Last(count).Select(o => $"{o}");
}
