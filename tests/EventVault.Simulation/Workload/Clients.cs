// All clients of a run, and the nodes' side of them. Clients keep their own view of the cluster (who leads, what was last
// seen of each stream), work one request after the other in each hand, and never believe that no answer means no effect.
using EventVault.Node;
using EventVault.Node.Replication;
using EventVault.Simulation.Checkers;
using EventVault.Storage;

namespace EventVault.Simulation.Workload;

/// <summary>The clients of a run.</summary>
internal sealed class Clients
{
    private readonly Dictionary<uint, NodeGate> _gates = [];
    private readonly List<Writer> _writers = [];
    private readonly List<Reader> _readers = [];
    private readonly List<Subscriber> _subscribers = [];

    public Clients(ClientWorkloadOptions options, Random random, Referee referee, IClientWorld world)
    {
        (Options, Referee, World) = (options, referee, world);
        referee.Now = () => world.Now;
        Made = new AppendMaker(options, new Random(random.Next()), () => world.Now);
        for (var client = 1; client <= options.Clients; client++)
        {
            var view = new ClientView(client, world.Nodes);
            _writers.Add(new Writer(this, view, new Random(random.Next())));
            _readers.Add(new Reader(this, view, new Random(random.Next())));
            for (var i = 0; i < options.Subscriptions; i++)
            {
                _subscribers.Add(new Subscriber(this, view, i, new Random(random.Next())));
            }
        }
    }

    public ClientWorkloadOptions Options { get; }

    public Referee Referee { get; }

    public IClientWorld World { get; }

    public AppendMaker Made { get; }

    /// <summary>Appends that were written and answered so.</summary>
    public int Succeeded => (int)Referee.History.Count(OperationOutcome.Appended);

    /// <summary>No new operations; what is under way goes on until it is decided.</summary>
    public bool IsQuiescing { get; private set; }

    /// <summary>Whether nothing is under way.</summary>
    public bool IsQuiet => IsQuiescing && _writers.TrueForAll(w => w.IsIdle) && _readers.TrueForAll(r => r.IsIdle);

    public NodeGate NodeStarted(uint node, VaultStorage storage, VaultLoop loop, Replica replica, TimeProvider clock)
    {
        Referee.Started(node, storage, replica);
        var gate = new NodeGate(node, storage, loop, replica, clock, World, Referee);
        _gates[node] = gate;
        return gate;
    }

    public void NodeStopped(uint node)
    {
        if (_gates.Remove(node, out var gate))
        {
            gate.Close();
        }

        Referee.Stopped(node);
    }

    public void AfterEvent(uint node)
    {
        Referee.AfterEvent(node);
        if (_gates.TryGetValue(node, out var gate))
        {
            gate.Wake();
        }
    }

    /// <summary>All clients begin.</summary>
    public void Start()
    {
        _writers.ForEach(w => w.Start());
        _readers.ForEach(r => r.Start());
        _subscribers.ForEach(s => s.Start());
    }

    public void Quiesce() => IsQuiescing = true;

    /// <summary>Whether every subscription has all up to a position.</summary>
    public bool SubscriptionsAt(Position head) => _subscribers.TrueForAll(s => s.IsAt(head.Value));

    public string Summary()
    {
        var history = Referee.History;
        var outcomes = Enum.GetValues<OperationOutcome>().Select(o => $"{o} {history.Count(o)}");
        return $"{history.Begun} operations ({string.Join(", ", outcomes)}, open {history.Open}); {Referee.Appends.Counts.Written} appends in the log, "
            + $"{Referee.Appends.Counts.Acknowledged} acknowledged; {Referee.Ledger.Head + 1} events in {Referee.Ledger.Streams.Count} streams; {_subscribers.Sum(s => s.Delivered)} delivered to {_subscribers.Count} subscriptions";
    }
}
