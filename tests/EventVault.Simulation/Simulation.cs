// One run: a cluster, its clients and what goes wrong, on one thread, from one seed.
//
// First the cluster is formed without faults. Then, in the safety phase, anything may break at any time; whatever the
// referee sees that must never be ends the run. Then, in the liveness phase, some core of the cluster that can decide is
// healed for good, the rest stays as broken as it is: the core must find a leader, answer every client, and converge.
using System.Diagnostics.CodeAnalysis;
using EventVault.Node;
using EventVault.Node.Replication;
using EventVault.Raft;
using EventVault.Simulation.Checkers;
using EventVault.Simulation.Cluster;
using EventVault.Simulation.Faults;
using EventVault.Simulation.Network;
using EventVault.Simulation.Scheduling;
using EventVault.Simulation.Workload;
using EventVault.Storage;

namespace EventVault.Simulation;

/// <summary>One run of one seed.</summary>
internal sealed class Simulation
{
    /// <summary>Elections, catching up and the clients' own patience fit in several times.</summary>
    private static readonly long LivenessBound = TimeSpan.FromMinutes(4).Ticks;

    private static readonly long FormingBound = TimeSpan.FromMinutes(2).Ticks;

    private static readonly long LookInterval = TimeSpan.FromMilliseconds(100).Ticks;

    private readonly EventQueue _queue = new();
    private readonly List<FaultInjector> _faults = [];
    private readonly List<SimulatedNode> _nodes = [];
    private readonly ISimulationObserver[] _observers;
    private VaultIdentity? _identity;
    private bool _isStopped;
    private long _healedAt;

    public Simulation(SimulationOptions options)
    {
        Options = options;
        Trace = new Trace(() => Now);
        Disks = new DiskRegister(this);
        Network = new SimulatedNetwork(this);
        ClientNetwork = new ClientNetwork(this);
        for (var number = 1; number <= options.Nodes; number++)
        {
            _nodes.Add(new SimulatedNode(this, number));
        }

        Operator = new Operator(this);
        Restarts = new Restarts(this);
        Referee = new Referee(this);
        Clients = new ClientWorkload(this, Referee);
        _observers = [Referee, Clients];
        var limits = RandomFor("limits");
        AppendLimits = options.SmallLimits ? new AppendLimits(limits.Next(4, 40), limits.Next(16, 512) * 1024L) : new AppendLimits();
        AddFaults();
    }

    public SimulationOptions Options { get; }

    /// <summary>Virtual time since the run began, in ticks of 100 ns.</summary>
    public long Now { get; private set; }

    public Trace Trace { get; }

    public IReadOnlyList<SimulatedNode> Nodes => _nodes;

    public SimulatedNetwork Network { get; }

    public ClientNetwork ClientNetwork { get; }

    public DiskRegister Disks { get; }

    public Operator Operator { get; }

    public Restarts Restarts { get; }

    public Referee Referee { get; }

    public ClientWorkload Clients { get; }

    public AppendLimits AppendLimits { get; }

    public IReadOnlyList<FaultInjector> Faults => _faults;

    /// <summary>Whether the core was healed.</summary>
    public bool IsLiveness { get; private set; }

    /// <summary>Numbers of the nodes that were healed.</summary>
    public IReadOnlyList<int> Core { get; private set; } = [];

    public IReadOnlyList<SimulatedNode> LivenessCore => [.. _nodes.Where(node => Core.Contains(node.Number))];

    public long Events => Trace.Events;

    /// <summary>An independent stream of random numbers; keep it.</summary>
    public SeededRandom RandomFor(string subsystem, int node = 0) => SeededRandom.For(Options.Seed, subsystem, node);

    public void Add(in SimulatedEvent e) => _queue.Add(e);

    public void After(long delay, Action action) => _queue.Add(new SimulatedEvent(Now + delay, EventKind.Action, 0, 0, action));

    /// <summary>A client's request on its way to a node.</summary>
    public void ToNode(int client, int number, Action<SimulatedNode> deliver, Action? refused = null) => ClientNetwork.ToNode(client, number, deliver, refused);

    /// <summary>A node's answer on its way to a client.</summary>
    public void ToClient(int client, SimulatedNode from, Action deliver) => ClientNetwork.ToClient(client, from.Number, deliver);

    /// <summary>A rule is broken: the run ends.</summary>
    [DoesNotReturn]
    public static void Fail(string rule, string details) => throw new ViolationException(rule, details);

    /// <summary>Runs all phases.</summary>
    /// <exception cref="ViolationException">A rule was broken.</exception>
    public void Run()
    {
        try
        {
            Form();
            Clients.Start();
            _faults.ForEach(fault => fault.Begin());
            RunUntil(Options.SafetyTime.Ticks, () => false);
            Heal();
            Converge();
        }
        catch (ViolationException e) when (IsSilentLoss(e))
        {
            Trace.Note($"ends early: {e.Rule}, after a disk has lost in silence what it had confirmed");
        }
        catch (Exception e) when (e is not ViolationException)
        {
            throw new ViolationException(e is InvariantException ? "invariant" : "crash", e.ToString());
        }
    }

    public StorageOptions StorageOptionsFor(SimulatedNode node, Random random) => new()
    {
        SegmentSizeBytes = StorageOptions.MinSegmentSizeBytes,
        OperationHorizon = 64 * 1024,
        Random = random,
        NodeId = (uint)node.Number,
        Join = _identity,
    };

    public RaftOptions RaftOptionsFor(ReplicaId id, Random random)
    {
        var limits = RandomFor("raft-limits", (int)id.Node);
        var options = new RaftOptions { Id = id, Random = random, ElectionTicks = Options.ElectionTicks, HeartbeatTicks = Options.HeartbeatTicks };
        return !Options.SmallLimits ? options : options with
        {
            MaxInFlightMessages = limits.Next(1, 5),
            MaxInFlightBytes = limits.Next(512, 16 * 1024),
            MaxMessageBytes = limits.Next(256, 8 * 1024),
            MaxMessageEntries = limits.Next(1, 5),
        };
    }

    public void OnStarted(SimulatedNode node)
    {
        _identity ??= node.Storage.Identity;
        Trace.Note($"node {node.Number}: starts as {node.Id}, term {node.Replica.Status().Term}, log up to {node.Storage.Tail.LastIndex}, commit {node.Storage.CommitIndex}, cut {node.Storage.CutBytes}");
        foreach (var observer in _observers)
        {
            observer.Started(node);
        }
    }

    public void OnStopped(SimulatedNode node, StopKind kind)
    {
        foreach (var observer in _observers)
        {
            observer.Stopped(node, kind);
        }
    }

    public void OnSent(SimulatedNode node, in PeerMessage message)
    {
        foreach (var observer in _observers)
        {
            observer.Sent(node, message);
        }
    }

    public void OnStepped(SimulatedNode node)
    {
        foreach (var observer in _observers)
        {
            observer.Stepped(node);
        }
    }

    public void OnEnded(SimulatedNode node)
    {
        Trace.Note($"node {node.Number}: ended ({node.LastStop}{(node.LastFailure is { } failure ? $": {failure.GetType().Name} {failure.Message}" : "")})");
        if (node.LastStop == StopKind.Refused && !node.IsDamaged && node.Aside is null)
        {
            Fail("refused-without-damage", $"Node {node.Number} refuses its disk, which nothing but crashes happened to: {node.LastFailure}");
        }

        if (!_isStopped)
        {
            Restarts.OnEnded(node);
        }
    }

    /// <summary>Whether a broken rule of a node's own is no bug: more is damaged than it can stand.</summary>
    public bool IsExcused(SimulatedNode node, Exception failure) =>
        failure is InvariantException && (node.IsDamaged || (Options.IsBeyondBudget && _nodes.Exists(n => n.IsDamaged)));

    /// <summary>Number of the node that leads, or thinks so with the highest term.</summary>
    public int? LeaderNumber()
    {
        SimulatedNode? leader = null;
        foreach (var node in _nodes)
        {
            if (node.IsRunning && node.Replica.Role == Role.Leader && (leader is null || node.Term > leader.Term))
            {
                leader = node;
            }
        }

        return leader?.Number;
    }

    /// <summary>Whether the others would still hold all that was acknowledged, and could decide, without this node's disk.</summary>
    public bool CanLose(SimulatedNode node)
    {
        if (node.IsDamaged || node.Aside is not null || Operator.Settled(out _) is not { } membership)
        {
            return false;
        }

        var voters = membership.Members.Where(member => membership.IsVoter(member.Id)).ToList();
        var lost = voters.Count(voter => voter.Id == node.Id || !_nodes.Exists(n => n.Id == voter.Id && !n.IsDamaged));
        return lost <= (voters.Count - 1) / 2;
    }

    /// <summary>A node whose disk was lost gets an empty one, and starts as another replica.</summary>
    public void GiveNewDisk(SimulatedNode node)
    {
        if (node.Aside is not null)
        {
            // Somebody else's disk is in it: first that one goes back.
            After(LookInterval, () => GiveNewDisk(node));
            return;
        }

        if (node.IsRunning)
        {
            node.CutPower();
        }

        node.Wipe();
        Trace.Note($"node {node.Number}: has a new disk");
        Restarts.Held.Remove(node.Number);
        if (!IsLiveness)
        {
            node.Start();
        }
    }

    // With disks that lie on a majority anything may be lost or decided twice. What is shown must be real all the same.
    private bool IsSilentLoss(ViolationException violation) =>
        Options.IsBeyondBudget && _faults.Exists(fault => fault.Class is FaultClass.Lie or FaultClass.Misdirect && fault.Strikes > 0)
        && violation.Rule is not (Rules.ReadTrue or Rules.OnlyWhatWasSent or Rules.ChainIntact or Rules.AppendWhole);

    private void AddFaults()
    {
        // Foreign disks first: they have to be back where they belong before the disks' own faults are taken back.
        FaultInjector[] all =
        [
            new ForeignDisks(this), new PowerLosses(this), new Kills(this), new Pauses(this), new ClockFaults(this), new DiskErrors(this), new FullDisks(this), new SlowDisks(this), new Partitions(this),
            new OneWayCuts(this), new Flaps(this), new Clogs(this), new Transfers(this), new MembershipChanges(this), new Wipes(this), new Rot(this),
            new SilentLosses(this, FaultClass.Lie), new SilentLosses(this, FaultClass.Misdirect),
        ];
        _faults.AddRange(all.Where(fault => Options.Has(fault.Class)));
    }

    private void Form()
    {
        foreach (var node in _nodes)
        {
            if (!node.Start())
            {
                Fail("no-first-start", $"{node}");
            }
        }

        Operator.Begin();
        if (!RunUntil(FormingBound, Operator.IsDone))
        {
            Fail("not-formed", "A cluster without faults did not come to the wanted membership.");
        }

        Trace.Note($"formed: {string.Join(", ", _nodes.Select(node => node.Id))}");
    }

    // Runs for so long, or until the condition holds; looks now and then only.
    private bool RunUntil(long duration, Func<bool> isDone)
    {
        var end = Now + duration;
        var look = Now + LookInterval;
        while (Now < end)
        {
            var e = _queue.Take();
            Now = e.Time;
            Handle(e);
            if (Now >= look)
            {
                look = Now + LookInterval;
                if (isDone())
                {
                    return true;
                }
            }
        }

        return isDone();
    }

    private void Handle(in SimulatedEvent e)
    {
        Trace.Event(e);
        if (e.Payload is IParcel parcel)
        {
            parcel.MixInto(Trace);
        }

        if (e.Node > 0)
        {
            _nodes[e.Node - 1].Handle(e);
        }
        else
        {
            ((Action)e.Payload!)();
        }
    }

    private void Heal()
    {
        _faults.ForEach(fault => fault.Stop());
        Operator.Stop();
        IsLiveness = true;
        _healedAt = Now;
        var random = RandomFor("liveness");
        Core = Cluster.LivenessCore.Draw(this, random);
        Trace.Note($"core: {string.Join(' ', Core)}");
        Network.HealAmong(Core, random);
        ClientNetwork.HealAll();
        foreach (var node in _nodes)
        {
            Restarts.Held.Add(node.Number);
            if (!Core.Contains(node.Number))
            {
                continue;
            }

            node.Resume();
            node.SpareProcess();
            Restarts.Held.Remove(node.Number);
            if (!node.IsRunning && !node.Start())
            {
                Restarts.OnEnded(node);
            }
        }
    }

    private void Converge()
    {
        if (Options.IsBeyondBudget)
        {
            RunUntil(LivenessBound / 10, () => false);
            return;
        }

        Clients.EnterLiveness();
        if (!RunUntil(LivenessBound, () => Clients.IsDone && HasConverged()))
        {
            var leader = LeaderOfCore() is { } number ? $"{number}" : "none";
            Fail("not-converged", $"Within {TimeSpan.FromTicks(LivenessBound)} after it was healed the core {string.Join(' ', Core)} did not come to one log, or some client got no answer. Pending: {Clients.Pending}, converged: {HasConverged()}, leader: {leader}.");
        }

        // Long enough for any leader that was left outside to find out that it leads nobody.
        RunUntil(_healedAt + (20 * Options.ElectionTicks * SimulationOptions.TickTicks) - Now, () => false);
        if (_nodes.Find(node => !Core.Contains(node.Number) && IsLonelyLeader(node)) is { } lonely)
        {
            Fail("leader-without-quorum", $"Long after its links were cut {lonely} leads still.");
        }

        _isStopped = true;
        Referee.CheckAtEnd([.. _nodes.Where(node => Core.Contains(node.Number) && node.IsRunning)], node => node.ReopenWithoutIndex());
    }

    private static bool IsLonelyLeader(SimulatedNode node) => node.IsRunning && !node.IsPaused && node.Replica.Role == Role.Leader && !node.Replica.IsAlone;

    private SimulatedNode? LeaderOfCore() =>
        LeaderNumber() is { } number && Core.Contains(number) && _nodes[number - 1].Replica.IsCaughtUp ? _nodes[number - 1] : null;

    private bool HasConverged()
    {
        if (LeaderOfCore() is not { } leader)
        {
            return false;
        }

        var last = leader.Storage.Tail.LastIndex;
        var membership = leader.Replica.Status().Membership;
        return _nodes.TrueForAll(node => !Core.Contains(node.Number) || membership.RoleOf(node.Id!.Value) == 0 || (node.IsRunning && node.Storage.CommitIndex == last && node.Storage.Tail.LastIndex == last));
    }
}
