// Joins the checkers of a run. The simulator tells it what happens at nodes, the clients what they send and are answered.
using EventVault.Node.Replication;
using EventVault.Raft;
using EventVault.Storage;

namespace EventVault.Simulation.Checkers;

/// <summary>Watches a run and throws <see cref="ViolationException"/> when a rule is broken.</summary>
internal sealed class Referee
{
    private readonly Dictionary<uint, ReplicaView> _running = [];
    private readonly ReplicaChecker _replicas;

    public Referee(IDiskTruth disks)
    {
        History = new History(() => Now(), Ledger);
        Appends = new AppendChecker(Ledger, History);
        Reads = new ReadChecker(Ledger, History);
        _replicas = new ReplicaChecker(Ledger, Appends, new DurableState(disks));
    }

    /// <summary>Virtual time.</summary>
    public Func<long> Now { get; set; } = () => 0;

    public Ledger Ledger { get; } = new();

    public History History { get; }

    public AppendChecker Appends { get; }

    public ReadChecker Reads { get; }

    /// <summary>The highest wall clock that any node has shown, 100 ns ticks since 1970; null: times are not held against it.</summary>
    public long? HighestClock
    {
        get => Ledger.HighestClock;
        set => Ledger.HighestClock = value;
    }

    /// <summary>Elections won.</summary>
    public int Elections => _replicas.Elections;

    /// <summary>A node's storage is open; nothing has run yet.</summary>
    public void Started(uint node, VaultStorage storage, Replica replica)
    {
        var view = new ReplicaView(storage, replica);
        _running[node] = view;
        _replicas.Started(view);
    }

    /// <summary>A node ended in whatever way.</summary>
    public void Stopped(uint node)
    {
        _running.Remove(node);
        Reads.NodeStopped(node);
    }

    /// <summary>Something ran on a node.</summary>
    public void AfterEvent(uint node)
    {
        if (_running.TryGetValue(node, out var view))
        {
            view.Refresh();
            _replicas.Look(view);
        }
    }

    /// <summary>A node sends a message.</summary>
    public void Sent(uint node, in PeerMessage message)
    {
        if (_running.ContainsKey(node))
        {
            var raft = message.Raft;
            _replicas.Sent(raft.From, new SentMessage(raft.Kind, raft.Term.Value, raft.To, raft.Index.Value, raft.Rejected));
        }
    }

    /// <summary>Reads everything that these nodes hold.</summary>
    public void FinalCheck(IEnumerable<FinalNode> nodes) => new FinalCheck(Ledger, Appends).Run([.. nodes]);

    /// <summary>The last operations of clients, in words.</summary>
    public string LastOperations(int count) => string.Join('\n', History.Last(count));
}
