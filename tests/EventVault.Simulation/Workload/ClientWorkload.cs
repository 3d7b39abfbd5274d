// All clients of a run, and the nodes' side of them. Clients keep their own view of the cluster (who leads, what was last
// seen of each stream), work one request after the other, and never believe that no answer means no effect.
using EventVault.Node.Replication;
using EventVault.Simulation.Checkers;
using EventVault.Simulation.Cluster;

namespace EventVault.Simulation.Workload;

/// <summary>The clients of a run.</summary>
internal sealed class ClientWorkload : ISimulationObserver
{
    private readonly Simulation _simulation;
    private readonly Dictionary<int, NodeGate> _gates = [];
    private readonly Dictionary<int, NodeRetention> _retention = [];
    private readonly List<Writer> _writers = [];
    private readonly List<Reader> _readers = [];
    private readonly List<Subscriber> _subscribers = [];

    public ClientWorkload(Simulation simulation, Referee referee)
    {
        (_simulation, Referee) = (simulation, referee);
        var random = simulation.RandomFor("workload");
        Options = ClientWorkloadOptions.Draw(simulation.Options, random);
        Made = new AppendMaker(Options, simulation.RandomFor("appends"), () => simulation.Now);
        for (var client = 1; client <= Options.Clients; client++)
        {
            var view = new ClientView(client);
            for (var i = 0; i < Options.Pipeline; i++)
            {
                _writers.Add(new Writer(this, view, simulation.RandomFor($"writer-{i}", client)));
            }

            _readers.Add(new Reader(this, view, simulation.RandomFor("reader", client)));
            for (var i = 0; i < Options.Subscriptions; i++)
            {
                _subscribers.Add(new Subscriber(this, view, i, simulation.RandomFor($"subscriber-{i}", client)));
            }
        }
    }

    public ClientWorkloadOptions Options { get; }

    public Referee Referee { get; }

    public AppendMaker Made { get; }

    /// <summary>Whether faults are over: each client has to get one more append through, and is done then.</summary>
    public bool IsLiveness { get; private set; }

    /// <summary>Clients and subscriptions that are not done.</summary>
    public int Pending =>
        _writers.Count(w => !w.IsDone) + _readers.Count(r => !r.IsDone) + _subscribers.Count(s => !s.IsAt(Referee.Ledger.Head));

    /// <summary>Whether every client had its answers and every subscription has all there is.</summary>
    public bool IsDone => IsLiveness && Pending == 0;

    /// <summary>Truncations that leaders found due, by their operation ids: whoever finds one again means the same.</summary>
    public Dictionary<UInt128, SentAppend> Due { get; } = [];

    public void Started(SimulatedNode node)
    {
        _gates[node.Number] = new NodeGate(_simulation, node);
        if (Options.Retains > 0)
        {
            _retention[node.Number] = new NodeRetention(this, _simulation, node, _gates[node.Number]);
            _retention[node.Number].Start();
        }
    }

    public void Stopped(SimulatedNode node, StopKind kind)
    {
        if (_gates.Remove(node.Number, out var gate))
        {
            gate.Close();
        }

        if (_retention.Remove(node.Number, out var retention))
        {
            retention.Stop();
        }
    }

    public void Stepped(SimulatedNode node)
    {
        if (_gates.TryGetValue(node.Number, out var gate))
        {
            gate.Wake();
        }
    }

    public void Sent(SimulatedNode from, in PeerMessage message)
    {
    }

    /// <summary>All clients begin.</summary>
    public void Start()
    {
        _writers.ForEach(w => w.Start());
        _readers.ForEach(r => r.Start());
        _subscribers.ForEach(s => s.Start());
    }

    /// <summary>Faults are over, for some nodes.</summary>
    public void EnterLiveness() => IsLiveness = true;

    /// <summary>What the clients did, in a line.</summary>
    public string Summary()
    {
        var history = Referee.History;
        var outcomes = Enum.GetValues<OperationOutcome>().Where(o => o != OperationOutcome.Pending).Select(o => $"{o} {history.Count(o)}");
        return $"{history.Begun} operations ({string.Join(", ", outcomes)}, open {history.Open}); {Referee.Appends.Counts.Written} appends in the log, "
            + $"{Referee.Appends.Counts.Acknowledged} acknowledged, {Referee.Appends.Written.Count(a => a.Conditions.Length > 0)} with conditions, {Referee.Appends.Written.Count(a => a.Change is not null && a.DueBy.Count == 0)} that change a stream's life, {Referee.Appends.Written.Count(a => a.Rule is not null)} rules, {Referee.Appends.Written.Count(a => a.DueBy.Count > 0)} truncations by them; {Referee.Ledger.Head + 1} events in {Referee.Ledger.Streams.Count} streams; "
            + $"{_subscribers.Sum(s => s.Delivered)} delivered to {_subscribers.Count} subscriptions; {Referee.Elections} elections, {Referee.Truncations} logs cut, {Referee.Scavenged} segments scavenged, {Referee.Installs} starts that installed segments" + WhoWaits();
    }

    private string WhoWaits()
    {
        var who = _writers.Where(w => !w.IsDone).Select(w => $"{w}").Concat(_readers.Where(r => !r.IsDone).Select(r => $"{r}"))
            .Concat(_subscribers.Where(s => !s.IsAt(Referee.Ledger.Head)).Select(s => $"{s}"));
        return IsLiveness && Pending > 0 ? $"\nnot done: {string.Join("; ", who)}" : "";
    }

    /// <summary>Runs an action at the client later.</summary>
    public void After(long delay, Action action) => _simulation.After(delay, action);

    /// <summary>A node that a client asks: the one it takes for the leader, or any.</summary>
    public int Choose(ClientView view, Random random, double wanders)
    {
        var nodes = IsLiveness ? _simulation.LivenessCore : _simulation.Nodes;
        return view.Leader != 0 && random.NextDouble() >= wanders && nodes.Any(n => n.Number == view.Leader)
            ? view.Leader
            : nodes[random.Next(nodes.Count)].Number;
    }

    /// <summary>Sends a request to a node.</summary>
    public void Send(ClientView view, int node, Action<NodeGate> deliver, Action refused) => _simulation.ToNode(
        view.Client,
        node,
        at =>
        {
            if (_gates.TryGetValue(at.Number, out var gate))
            {
                deliver(gate);
            }
        },
        refused);
}
