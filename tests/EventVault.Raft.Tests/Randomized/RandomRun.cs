using EventVault.Raft.Tests.Harness;

namespace EventVault.Raft.Tests.Randomized;

/// <summary>
/// One cluster and what a seed does to it: lost, late, doubled and reordered messages, crashes that lose unflushed writes,
/// cut links, wiped disks, membership changes, transfers, reads, shipping. Then everything is healed, and the cluster must
/// come to one log within a bounded time.
/// </summary>
internal sealed class RandomRun
{
    private const uint MostNodes = 7;
    private const int MostOnTheWay = 200;
    private const int MostRemembered = 500;

    private readonly Random _random;
    private readonly TestCluster _cluster;
    private readonly List<(int Weight, Action Do)> _events = [];
    private readonly List<Message> _delivered = [];
    private readonly HashSet<ReplicaId> _wiped = [];
    private readonly HashSet<uint> _stopped = [];
    private readonly int _length;
    private readonly int _lossPerThousand;
    private readonly int _doublesPerThousand;
    private readonly bool _inOrder;
    private int _weights;
    private ulong _reads;
    private bool _isHealed;
    private ushort _incarnations;
    private ulong _hash = 14695981039346656037;

    public RandomRun(int seed, int? length = null)
    {
        _random = new Random(seed);
        _cluster = new TestCluster { HasManualDisk = true, Seed = seed, Options = DrawOptions() };
        _length = length ?? _random.Next(200, 3000);
        _lossPerThousand = Draw(0, 20, 100, 250);
        _doublesPerThousand = Draw(0, 20, 100);
        _inOrder = _random.Next(3) == 0;
        DrawEvents();
        Create();
    }

    /// <summary>How often each kind of thing came about.</summary>
    public Dictionary<string, int> Covered { get; } = [];

    /// <summary>Of all that was seen from outside: equal for equal runs.</summary>
    public ulong Hash => _hash;

    public TextTrace Trace
    {
        set => _cluster.Trace = value;
    }

    public void Run()
    {
        for (int i = 0; i < _length; i++)
        {
            int at = _random.Next(_weights);
            foreach (var (weight, act) in _events)
            {
                at -= weight;
                if (at < 0)
                {
                    act();
                    break;
                }
            }

            Note();
        }

        Heal();
        Converge();
        Note();
        Count("term led", _cluster.Checker.Leaders);
        Count("entry committed", (int)_cluster.Checker.Committed.Value);
        Count("log truncated", _cluster.Checker.Truncations);
    }

    private RaftOptions DrawOptions() => new()
    {
        Id = default,
        Random = _random,
        ElectionTicks = Draw(4, 10, 20),
        HeartbeatTicks = Draw(1, 2, 3),
        MaxInFlightMessages = Draw(1, 2, 64),
        MaxInFlightBytes = Draw(1, 300, 1_000_000),
        MaxMessageBytes = Draw(1, 200, 1_000_000),
        MaxMessageEntries = Draw(1, 3, 64),
        MaxUncommittedBytes = Draw(200, 1_000, 1_000_000),
    };

    private void DrawEvents()
    {
        Add(500, Deliver);
        Add(Draw(100, 400), Flush);
        Add(Draw(30, 100, 250), TickAll);
        Add(Draw(0, 40), TickOne);
        Add(Draw(50, 200), () => Count("proposal", OnLeader(l => _cluster.Propose(l, _random.Next(1, 200)), ProposeResult.NotLeader)));
        Add(Draw(0, 10, 60), ProposeMembership);
        Add(Draw(0, 0, 10), Transfer);
        Add(Draw(0, 40), Read);
        Add(Draw(0, 10), StopClock);
        Add(Draw(2, 20), _stopped.Clear);
        Add(Draw(0, 0, 5, 20), Crash);
        Add(Draw(5, 30), Restart);
        Add(Draw(0, 0, 5, 20), Cut);
        Add(Draw(2, 20), () => _cluster.Cuts.Clear());
        Add(Draw(0, 0, 10), () => _cluster.Campaign(AnyUp().Id.Node));
        Add(Draw(0, 20), () => _cluster.ReportUnreachable(AnyUp().Id.Node, AnyNode()));
        Add(Draw(0, 30), StepAgain);
        Add(Draw(0, 0, 10), Forget);
        Add(20, Ship);
        Add(Draw(0, 0, 0, 5), Wipe);
    }

    private void Create()
    {
        uint voters = (uint)_random.Next(1, 6);
        uint learners = (uint)_random.Next(0, 2);
        var membership = Membership.Of(Enumerable.Range(1, (int)(voters + learners))
            .Select(n => new Member(new((uint)n, default), n <= voters ? MemberRole.Voter : MemberRole.Learner)));
        for (uint node = 1; node <= MostNodes; node++)
        {
            if (node <= voters + learners)
            {
                _cluster.Create(node, membership, 0, [], 0);
            }
            else
            {
                _cluster.CreateEmpty(node);
            }
        }
    }

    private void Deliver()
    {
        for (int i = _random.Next(1, 12); i > 0 && _cluster.Network.Count > 0; i--)
        {
            int at = _inOrder ? 0 : _random.Next(_cluster.Network.Count);
            Message message = _cluster.Network[at];
            if (_random.Next(1000) < _lossPerThousand)
            {
                _cluster.DropAt(at);
                continue;
            }

            if (_random.Next(1000) < _doublesPerThousand)
            {
                _cluster.Network.Add(message);
            }

            _cluster.DeliverAt(at);
            if (_delivered.Count < MostRemembered)
            {
                _delivered.Add(message);
            }
            else
            {
                _delivered[_random.Next(MostRemembered)] = message;
            }
        }
    }

    // A message can be as late as it likes.
    private void StepAgain()
    {
        if (_delivered.Count > 0)
        {
            _cluster.Step(_delivered[_random.Next(_delivered.Count)]);
        }
    }

    // Each disk at its own pace.
    private void Flush()
    {
        foreach (TestReplica replica in Up().Where(r => r.Disk.Unflushed.Count > 0 && _random.Next(2) == 0))
        {
            if (replica.Disk.Unflushed[0] is LogWrite { Entries.Length: > 0 } log)
            {
                LogIndex last = log.From + (ulong)(log.Entries.Length - 1);
                Count("flushed after it was replaced", replica.Core.TermAt(last) != log.Entries[^1].Term);
            }

            _cluster.Flush(replica.Id.Node, _random.Next(1, 4), saveFirst: _random.Next(4) == 0);
        }
    }

    private void TickAll()
    {
        foreach (TestReplica replica in Up().Where(r => !_stopped.Contains(r.Id.Node)))
        {
            _cluster.Tick(replica.Id.Node);
        }

        while (_cluster.Network.Count > MostOnTheWay)
        {
            _cluster.Network.RemoveAt(_random.Next(_cluster.Network.Count));
        }
    }

    private void Read()
    {
        uint node = AnyUp().Id.Node;
        _cluster.ReadIndex(_random.Next(2) == 0 ? node : OnLeader(l => l, otherwise: node), ++_reads);
        Count("read answered", _cluster.Reads.Count(r => r.Result.Ok));
        Count("read refused", _cluster.Reads.Count(r => !r.Result.Ok));
        _cluster.Reads.Clear();
    }

    // A clock that stands still makes a leader that does not notice that it was deposed.
    private void StopClock() => _stopped.Add(_random.Next(2) == 0 ? AnyNode() : OnLeader(l => l, otherwise: AnyNode()));

    private void TickOne() => _cluster.Tick(AnyUp().Id.Node, _random.Next(1, 4));

    private void ProposeMembership()
    {
        var members = new List<Member>();
        for (uint node = 1; node <= MostNodes; node++)
        {
            int what = _random.Next(4);
            if (what < 3)
            {
                members.Add(new Member(_cluster[node].Id, what < 2 ? MemberRole.Voter : MemberRole.Learner));
            }
        }

        if (members.Exists(m => m.Role == MemberRole.Voter))
        {
            Count("membership", OnLeader(l => _cluster.ProposeMembership(l, Membership.Of(members)), ProposeResult.NotLeader));
        }
    }

    private void Transfer() => Count("transfer begun", OnLeader(l => _cluster.Transfer(l, AnyNode()), otherwise: false));

    private void Crash()
    {
        _cluster.Crash(AnyUp().Id.Node, _random);
        Count("crash");
        if (Up().Count == 0 || _random.Next(3) == 0)
        {
            Restart();
        }
    }

    private void Restart()
    {
        List<TestReplica> down = [.. _cluster.Replicas.Values.Where(r => !r.IsUp)];
        if (down.Count > 0)
        {
            _cluster.Restart(down[_random.Next(down.Count)].Id.Node);
        }
    }

    private void Cut()
    {
        // What a leader still takes while nobody hears it is what gets truncated later.
        uint node = _random.Next(2) == 0 ? AnyNode() : OnLeader(l => l, otherwise: AnyNode());
        uint other = AnyNode();
        bool isWhole = _random.Next(2) == 0;
        for (uint n = 1; n <= MostNodes; n++)
        {
            if (n == other || isWhole)
            {
                _cluster.Cuts.Add((node, n));
                if (_random.Next(3) > 0)
                {
                    _cluster.Cuts.Add((n, node));
                }
            }
        }

        Count("links cut");
    }

    // Segments that were removed can only be shipped.
    private void Forget()
    {
        TestReplica replica = AnyUp();
        replica.First = new(Math.Max(replica.First.Value, (ulong)_random.NextInt64((long)replica.Core.CommitIndex.Value + 1)));
        replica.There = replica.First.Value % 3 == 0 ? replica.First : replica.There ?? new(1); // Often more is there than is sent as a rule.
    }

    private void Ship()
    {
        if (_cluster.Ships.Count == 0)
        {
            return;
        }

        (uint node, ShipRequest request) = _cluster.Ships[0];
        _cluster.Ships.RemoveAt(0);
        if (!_cluster[node].IsUp)
        {
            return;
        }

        if (!_cluster[request.To.Node].IsUp || _cluster[request.To.Node].Id != request.To || _random.Next(4) == 0)
        {
            _cluster.Input(node, core => core.ShipDone(request.To, default, ok: false));
            Count("shipping failed");
        }
        else
        {
            // Now and then it brings less than there is by then, as long as there comes more.
            ulong commit = _cluster[node].Core.CommitIndex.Value;
            _cluster.Ship(node, request.To.Node, butLast: commit % 2 == 0 && !_isHealed ? commit / 3 : 0);
            Count("shipped");
        }
    }

    // A disk is lost for good: only as long as every membership that anyone has or may go back to keeps its majorities.
    private void Wipe()
    {
        TestReplica victim = AnyUp();
        bool survives = _cluster.Replicas.Values.SelectMany(MembershipsOf).All(m => Survives(m, MemberRole.Voter, victim.Id) && Survives(m, MemberRole.OutgoingVoter, victim.Id));
        if (survives)
        {
            _cluster.Crash(victim.Id.Node);
            _wiped.Add(victim.Id);
            _cluster.CreateEmpty(victim.Id.Node, ++_incarnations);
            Count("disk wiped");
        }
    }

    private bool Survives(Membership membership, MemberRole role, ReplicaId victim)
    {
        List<ReplicaId> voters = [.. membership.Members.Where(m => m.Role.HasFlag(role)).Select(m => m.Id)];
        return voters.Count == 0 || voters.Count(v => v == victim || _wiped.Contains(v)) <= (voters.Count - 1) / 2;
    }

    private static IEnumerable<Membership> MembershipsOf(TestReplica replica) =>
        replica.Log.Concat(replica.Disk.Entries).Select(e => e.Membership).Append(replica.Disk.First).OfType<Membership>();

    private void Heal()
    {
        _isHealed = true;
        _cluster.Cuts.Clear();
        _stopped.Clear();
        foreach (TestReplica replica in _cluster.Replicas.Values.Where(r => !r.IsUp).ToList())
        {
            _cluster.Restart(replica.Id.Node);
        }
    }

    private void Converge()
    {
        int most = _cluster.Options.ElectionTicks * 60;
        for (int i = 0; i < most; i++)
        {
            TickAll();
            _cluster.Settle();
            while (_cluster.Ships.Count > 0)
            {
                Ship();
                _cluster.Settle();
            }

            if (IsOne())
            {
                Count("ticks to come to rest", i + 1);
                return;
            }
        }

        throw new SafetyException($"The healed cluster has not come to one log after {most} ticks: {string.Join("; ", Up().Select(Describe))}");
    }

    // A leader that everybody who belongs to it agrees with, and no change of membership left half done.
    private bool IsOne()
    {
        TestReplica? leader = Up().Where(r => r.Core.Role == Role.Leader).MaxBy(r => r.Core.Term);
        return leader is not null && leader.Core.IsCaughtUpLeader && leader.Core.CommitIndex == leader.Core.LastIndex && !leader.Core.Membership.IsJoint
            && leader.Core.Membership.Members.Where(m => !_wiped.Contains(m.Id)).Select(m => _cluster[m.Id.Node])
                .All(r => r.Core.CommitIndex == leader.Core.CommitIndex && r.Log.SequenceEqual(leader.Log) && r.Core.Leader == leader.Id);
    }

    private static string Describe(TestReplica replica) =>
        $"{replica.Id} {Words.Standing(replica.Core)}, log {replica.Core.LastIndex}, commit {replica.Core.CommitIndex}, {replica.Core.Membership}";

    private void Note()
    {
        foreach (TestReplica replica in _cluster.Replicas.Values)
        {
            Mix(replica.Core.Term.Value);
            Mix((ulong)replica.Core.Role);
            Mix(replica.Core.LastIndex.Value);
            Mix(replica.Core.CommitIndex.Value);
        }

        Mix((ulong)_cluster.Network.Count);
    }

    private void Mix(ulong value) => _hash = (_hash ^ value) * 1099511628211;

    private T OnLeader<T>(Func<uint, T> act, T otherwise)
    {
        List<TestReplica> leaders = [.. Up().Where(r => r.Core.Role == Role.Leader)];
        return leaders.Count == 0 ? otherwise : act(leaders[_random.Next(leaders.Count)].Id.Node);
    }

    private List<TestReplica> Up() => [.. _cluster.Replicas.Values.Where(r => r.IsUp)];

    private TestReplica AnyUp()
    {
        if (Up().Count == 0)
        {
            Restart();
        }

        List<TestReplica> up = Up();
        return up[_random.Next(up.Count)];
    }

    private uint AnyNode() => (uint)_random.Next(1, (int)MostNodes + 1);

    private int Draw(params ReadOnlySpan<int> values) => values[_random.Next(values.Length)];

    private void Add(int weight, Action act)
    {
        _events.Add((weight, act));
        _weights += weight;
    }

    private void Count(string what, ProposeResult result) => Count($"{what}: {result}");

    private void Count(string what, bool happened = true) => Count(what, happened ? 1 : 0);

    private void Count(string what, int times) => Covered[what] = Covered.GetValueOrDefault(what) + times;
}
