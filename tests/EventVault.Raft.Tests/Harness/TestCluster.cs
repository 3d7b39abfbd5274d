namespace EventVault.Raft.Tests.Harness;

/// <summary>
/// Replicas, their disks and the network between them on one thread. Nothing happens by itself: every tick, delivery and
/// flush is a call. After each, <see cref="SafetyChecker"/> looks at everything.
/// </summary>
internal sealed class TestCluster
{
    private const int MostSteps = 100_000;

    private readonly SortedDictionary<uint, TestReplica> _replicas = [];
    private int _starts;

    /// <summary>How the replicas behave; identity and seed are set for each.</summary>
    public RaftOptions Options { get; init; } = new() { Id = default, Random = new Random(0), ElectionTicks = 10, HeartbeatTicks = 1 };

    /// <summary>Writes wait for <see cref="Flush"/>. Otherwise they are durable before the call that asked for them returns.</summary>
    public bool HasManualDisk { get; set; }

    /// <summary>Each start of a replica has a generator of its own, drawn from this.</summary>
    public int Seed { get; init; }

    /// <summary>What is on its way, oldest first.</summary>
    public List<Message> Network { get; } = [];

    /// <summary>Links that lose everything.</summary>
    public HashSet<(uint From, uint To)> Cuts { get; } = [];

    /// <summary>Reads that were decided: where, and how.</summary>
    public List<(uint Node, ReadResult Result)> Reads { get; } = [];

    /// <summary>Followers that are to be shipped to: by whom, and what.</summary>
    public List<(uint Node, ShipRequest Request)> Ships { get; } = [];

    public SafetyChecker Checker { get; } = new();

    /// <summary>Writes down what happens, in the words of the scenarios.</summary>
    public TextTrace? Trace { get; set; }

    /// <summary>By node number; also those that are down.</summary>
    public IReadOnlyDictionary<uint, TestReplica> Replicas => _replicas;

    public TestReplica this[uint node] => _replicas[node];

    /// <summary>Nodes 1 to <paramref name="voters"/>, all of them voters, with equal logs that are committed.</summary>
    public static TestCluster OfVoters(int voters, ulong lastIndex = 0, ulong term = 0, bool manualDisk = false)
    {
        var cluster = new TestCluster { HasManualDisk = manualDisk };
        var membership = Membership.OfVoters([.. Enumerable.Range(1, voters).Select(n => new ReplicaId((uint)n, default))]);
        for (uint node = 1; node <= voters; node++)
        {
            cluster.Create(node, membership, term, [(lastIndex, term)], lastIndex);
        }

        return cluster;
    }

    /// <summary>A node whose log holds runs of entries, each up to an index, in a term.</summary>
    public TestReplica Create(uint node, Membership? membership, ulong term, IEnumerable<(ulong UpTo, ulong Term)> log, ulong commit, ulong? votedFor = null)
    {
        var entries = new List<Entry>();
        foreach (var (upTo, of) in log)
        {
            while ((ulong)entries.Count < upTo)
            {
                entries.Add(new Entry(new(of), EntryKind.Appends, 10));
            }
        }

        return Start(new ReplicaId(node, default), new TestDisk
        {
            Term = new(term),
            VotedFor = votedFor is { } vote ? new ReplicaId((uint)vote, default) : null,
            Entries = entries,
            First = membership,
            Commit = new(commit),
        });
    }

    /// <summary>A node that belongs to no vault yet, also instead of one whose disk was wiped.</summary>
    public TestReplica CreateEmpty(uint node, ushort incarnation = 0)
    {
        Span<byte> bytes = stackalloc byte[16];
        bytes.Clear();
        bytes[0] = (byte)(incarnation >> 8);
        bytes[1] = (byte)incarnation;
        return Start(new ReplicaId(node, new Guid(bytes, bigEndian: true)), new TestDisk());
    }

    public void Tick(uint node, int ticks = 1)
    {
        for (int i = 0; i < ticks; i++)
        {
            Input(node, core => core.Tick());
        }
    }

    public void Campaign(uint node) => Input(node, core => core.Campaign());

    public ProposeResult Propose(uint node, int bytes = 10) => Input(node, core => core.Propose(bytes));

    public ProposeResult ProposeMembership(uint node, Membership target) => Input(node, core => core.ProposeMembership(target));

    public bool Transfer(uint node, uint to) => Input(node, core => core.Transfer(_replicas[to].Id));

    public void ReadIndex(uint node, ulong id)
    {
        Checker.ReadAsked(_replicas[node].Id, id);
        Input(node, core => core.ReadIndex(id));
    }

    public void ReportUnreachable(uint node, uint replica) => Input(node, core => core.ReportUnreachable(_replicas[replica].Id));

    /// <summary>Gives a message to whom it is for, if it is up. It needn't be on its way.</summary>
    public void Step(Message message)
    {
        if (_replicas.TryGetValue(message.To.Node, out TestReplica? replica) && replica.IsUp)
        {
            Input(message.To.Node, core => core.Step(message));
        }
    }

    /// <summary>Delivers what is on its way now, oldest first, not what comes of it. Links that are cut lose theirs.</summary>
    /// <returns>How many were taken from the network.</returns>
    public int Deliver(Predicate<Message>? which = null, int most = int.MaxValue) => Remove(which, most, Arrive);

    /// <summary>Delivers one that is on its way.</summary>
    public void DeliverAt(int at)
    {
        Message message = Network[at];
        Network.RemoveAt(at);
        Arrive(message);
    }

    /// <summary>Loses what is on its way now.</summary>
    public int Drop(Predicate<Message>? which = null, int most = int.MaxValue) => Remove(which, most, message => Trace?.Delivery(message, arrives: false));

    /// <summary>Loses one that is on its way.</summary>
    public void DropAt(int at)
    {
        Trace?.Delivery(Network[at], arrives: false);
        Network.RemoveAt(at);
    }

    /// <summary>The next writes of a node become durable.</summary>
    public void Flush(uint node, int writes = 1, bool saveFirst = false)
    {
        for (int i = 0; i < writes && _replicas[node].Disk.Unflushed.Count > 0; i++)
        {
            FlushNext(_replicas[node], saveFirst);
        }
    }

    /// <summary>Delivers and flushes until nothing is on its way, between these nodes or all.</summary>
    public void Settle(params uint[] nodes)
    {
        for (int steps = 0; ; steps++)
        {
            Assert.True(steps < MostSteps, "The cluster never comes to rest.");
            int done = Deliver(m => nodes.Length == 0 || (nodes.Contains(m.From.Node) && nodes.Contains(m.To.Node)));
            foreach (TestReplica replica in _replicas.Values.Where(r => r.IsUp && (nodes.Length == 0 || nodes.Contains(r.Id.Node))))
            {
                done += replica.Disk.Unflushed.Count;
                Flush(replica.Id.Node, replica.Disk.Unflushed.Count);
            }

            if (done == 0)
            {
                return;
            }
        }
    }

    /// <summary>Elects a node, whatever stands against it: nobody heard from a leader for long.</summary>
    public void Elect(uint node)
    {
        foreach (TestReplica replica in _replicas.Values.Where(r => r.IsUp && r.Id.Node != node && r.Core.Role != Role.Leader))
        {
            replica.Core.ElectionTimeoutTicks = int.MaxValue;
            Tick(replica.Id.Node, Options.ElectionTicks);
        }

        Campaign(node);
        Settle();
        Assert.Equal(Role.Leader, _replicas[node].Core.Role);
    }

    /// <summary>Power loss at a node. What is on its way stays so.</summary>
    public void Crash(uint node, Random? random = null)
    {
        _replicas[node].Crash(random);
        Checker.Crashed(_replicas[node]);
    }

    /// <summary>Starts a node again with what its disk holds.</summary>
    public void Restart(uint node) => Start(_replicas[node].Id, _replicas[node].Disk);

    /// <summary>
    /// What segments brought: the follower starts again with the leader's committed log, perhaps but its last entries, and the leader is told. One that has
    /// all of it keeps what follows: it may have acknowledged that.
    /// </summary>
    public void Ship(uint leader, uint follower, ulong butLast = 0)
    {
        TestReplica from = _replicas[leader];
        TestReplica to = _replicas[follower];
        ulong last = Math.Max(1, from.Core.CommitIndex.Value - Math.Min(butLast, from.Core.CommitIndex.Value));
        if (to.Core.TermAt(new(last)) != from.Core.TermAt(new(last)))
        {
            to.Crash();
            var shipped = new TestDisk { Term = to.Disk.Term, VotedFor = to.Disk.VotedFor, First = from.Disk.First, Entries = [.. from.Log.Take((int)last)], Commit = new(last) };
            if (shipped.Term < from.Log[(int)last - 1].Term)
            {
                (shipped.Term, shipped.VotedFor) = (from.Log[(int)last - 1].Term, null);
            }

            Start(to.Id, shipped);
        }

        Input(leader, core => core.ShipDone(_replicas[follower].Id, new(last), ok: true));
    }

    /// <summary>Gives a running core any input, handles its output, and checks the cluster.</summary>
    public void Input(uint node, Action<RaftCore> input) => Input(node, core =>
    {
        input(core);
        return true;
    });

    private T Input<T>(uint node, Func<RaftCore, T> input)
    {
        TestReplica replica = _replicas[node];
        Assert.True(replica.IsUp, $"{replica.Id} is down.");
        T result = input(replica.Core);
        HandleOutput(replica);
        while (!HasManualDisk && replica.Disk.Unflushed.Count > 0)
        {
            replica.FlushNext();
            HandleOutput(replica);
        }

        return result;
    }

    private void FlushNext(TestReplica replica, bool saveFirst)
    {
        DiskWrite write = replica.FlushNext(saveFirst);
        Trace?.Flush(replica, write);
        HandleOutput(replica);
    }

    private void HandleOutput(TestReplica replica)
    {
        TakenOutput output = replica.Take();
        Trace?.Output(replica, output);
        Network.AddRange(output.Messages);
        Reads.AddRange(output.Reads.Select(r => (replica.Id.Node, r)));
        Ships.AddRange(output.Ships.Select(s => (replica.Id.Node, s)));
        Checker.After(replica, output);
    }

    private void Arrive(Message message)
    {
        bool arrives = !Cuts.Contains((message.From.Node, message.To.Node)) && _replicas.TryGetValue(message.To.Node, out var to) && to.IsUp;
        Trace?.Delivery(message, arrives);
        if (arrives)
        {
            Step(message);
        }
    }

    private int Remove(Predicate<Message>? which, int most, Action<Message> then)
    {
        List<Message> taken = [.. Network.Where(m => which is null || which(m)).Take(most)];
        foreach (Message message in taken)
        {
            Network.Remove(message);
            then(message);
        }

        return taken.Count;
    }

    private TestReplica Start(ReplicaId id, TestDisk disk)
    {
        var replica = new TestReplica(Options with { Id = id, Random = new Random((Seed * 1009) + (int)id.Node + (_starts++ * 7)) }, disk);
        _replicas[id.Node] = replica;
        Checker.Started(replica);
        Trace?.Started(replica);
        HandleOutput(replica);
        return replica;
    }
}
