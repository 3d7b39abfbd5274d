using System.Globalization;
using EventVault.Raft.Tests.Harness;

namespace EventVault.Raft.Tests.Scenarios;

/// <summary>The commands of a scenario; docs/TESTING.md lists them. Nodes are written as their numbers.</summary>
internal sealed class ScenarioCommands
{
    private readonly Dictionary<string, Action<CommandWords>> _commands;
    private readonly List<string> _output = [];
    private TestCluster _cluster = new();
    private ushort _incarnations;
    private bool _isQuiet;

    public ScenarioCommands()
    {
        _cluster.Trace = new TextTrace(Write);
        _commands = Commands();
    }


    /// <summary>Runs one command; <c>quiet</c> before it hides what it puts out.</summary>
    public IReadOnlyList<string> Run(string command)
    {
        _output.Clear();
        var words = new CommandWords(command);
        string verb = words.Next();
        _isQuiet = verb == "quiet";
        verb = _isQuiet ? words.Next() : verb;
        if (!_commands.TryGetValue(verb, out Action<CommandWords>? act))
        {
            throw new FormatException($"There is no command {verb}.");
        }

        act(words);
        words.End();
        return _output;
    }

    private Dictionary<string, Action<CommandWords>> Commands() => new()
    {
        ["cluster"] = Cluster,
        ["node"] = Node,
        ["wipe"] = w => Wipe(w.Node()),
        ["disk"] = w => _cluster.HasManualDisk = w.Next() == "manual",
        ["elect"] = w => Quietly(() => _cluster.Elect(w.Node())),
        ["tick"] = w => Tick(w),
        ["timeout"] = w => _cluster[w.Node()].Core.ElectionTimeoutTicks = w.Number(),
        ["may-campaign"] = w => _cluster[w.Node()].Core.MayCampaign = w.Next() == "yes",
        ["campaign"] = w => _cluster.Campaign(w.Node()),
        ["propose"] = Propose,
        ["members"] = w => Say(_cluster.ProposeMembership(w.Node(), w.Membership())),
        ["transfer"] = w => Say(_cluster.Transfer(w.Node(), w.Node()) ? ProposeResult.Taken : ProposeResult.NotLeader),
        ["read"] = w => _cluster.ReadIndex(w.Node(), (ulong)w.Number()),
        ["unreachable"] = w => _cluster.ReportUnreachable(w.Node(), w.Node()),
        ["step"] = w => _cluster.Step(w.Message()),
        ["deliver"] = w => _cluster.Deliver(w.Filter(), w.Times(int.MaxValue)),
        ["drop"] = w => _cluster.Drop(w.Filter(), w.Times(int.MaxValue)),
        ["double"] = w => Double(w.Filter()),
        ["reverse"] = _ => _cluster.Network.Reverse(),
        ["settle"] = w => _cluster.Settle(w.Nodes()),
        ["cut"] = w => _cluster.Cuts.UnionWith(w.Links()),
        ["heal"] = _ => _cluster.Cuts.Clear(),
        ["flush"] = w => _cluster.Flush(w.Node(), w.Times(1), w.Has("save")),
        ["crash"] = w => _cluster.Crash(w.Node()),
        ["restart"] = w => _cluster.Restart(w.Node()),
        ["first"] = w => _cluster[w.Node()].First = new((ulong)w.Number()),
        ["there"] = w => _cluster[w.Node()].There = new((ulong)w.Number()),
        ["ship"] = w => _cluster.Ship(w.Node(), w.Node()),
        ["ship-failed"] = w => ShipFailed(w.Node(), w.Node()),
        ["status"] = w => ForEach(w, Status),
        ["progress"] = w => Progress(w.Node()),
        ["log"] = w => ForEach(w, Log),
        ["network"] = _ => _output.AddRange(_cluster.Network.Select(Words.Of)),
    };

    private void Cluster(CommandWords words)
    {
        int voters = words.Number();
        (ulong index, ulong term) = words.At();
        _cluster = new TestCluster
        {
            HasManualDisk = words.Has("manual-disk"),
            Options = new RaftOptions
            {
                Id = default,
                Random = new Random(0),
                ElectionTicks = (int)words.Value("election", 10),
                HeartbeatTicks = (int)words.Value("heartbeat", 1),
                MaxInFlightMessages = (int)words.Value("messages", 64),
                MaxInFlightBytes = words.Value("bytes", 1_000_000),
                MaxMessageBytes = words.Value("message-bytes", 1_000_000),
                MaxMessageEntries = (int)words.Value("message-entries", 64),
                MaxUncommittedBytes = words.Value("uncommitted", 1_000_000),
            },
            Trace = new TextTrace(Write),
        };
        int learners = (int)words.Value("learners", 0);
        var membership = Membership.Of(Enumerable.Range(1, voters + learners)
            .Select(n => new Member(new((uint)n, default), n <= voters ? MemberRole.Voter : MemberRole.Learner)));
        for (uint node = 1; node <= voters + learners; node++)
        {
            _cluster.Create(node, membership, term, [(index, term)], index);
        }
    }

    // A node that belongs to nothing yet; or one with a log (its terms, one for each entry), among the voters given.
    private void Node(CommandWords words)
    {
        uint node = words.Node();
        string log = words.Text("log", "");
        long voters = words.Value("voters", 0);
        if (voters == 0)
        {
            _cluster.CreateEmpty(node);
            return;
        }

        ulong[] terms = log.Length == 0 ? [] : [.. log.Split(',').Select(t => ulong.Parse(t, CultureInfo.InvariantCulture))];
        long vote = words.Value("vote", 0);
        var membership = Membership.OfVoters([.. Enumerable.Range(1, (int)voters).Select(n => new ReplicaId((uint)n, default))]);
        _cluster.Create(
            node, membership, (ulong)words.Value("term", terms.Length == 0 ? 0 : (long)terms[^1]),
            terms.Select((t, i) => ((ulong)i + 1, t)), (ulong)words.Value("commit", 0), vote == 0 ? null : (ulong)vote);
    }

    private void Wipe(uint node)
    {
        _cluster.Crash(node);
        _cluster.CreateEmpty(node, ++_incarnations);
    }

    private void Tick(CommandWords words)
    {
        uint[] nodes = words.Nodes();
        for (int times = words.Times(1); times > 0; times--)
        {
            foreach (uint node in nodes.Length > 0 ? nodes : [.. _cluster.Replicas.Where(r => r.Value.IsUp).Select(r => r.Key)])
            {
                _cluster.Tick(node);
            }
        }
    }

    private void Propose(CommandWords words)
    {
        uint node = words.Node();
        int bytes = (int)words.Value("bytes", 10);
        for (int times = words.Times(1); times > 0; times--)
        {
            Say(_cluster.Propose(node, bytes));
        }
    }

    private void Double(Predicate<Message> which) => _cluster.Network.AddRange(_cluster.Network.Where(m => which(m)).ToList());

    private void ShipFailed(uint leader, uint follower) =>
        _cluster.Input(leader, core => core.ShipDone(_cluster[follower].Id, default, ok: false));

    private void ForEach(CommandWords words, Action<TestReplica> act)
    {
        uint[] nodes = words.Nodes();
        foreach (TestReplica replica in _cluster.Replicas.Values.Where(r => nodes.Length == 0 || nodes.Contains(r.Id.Node)))
        {
            act(replica);
        }
    }

    private void Status(TestReplica replica)
    {
        RaftStatus status = replica.Core.Status();
        Write(replica.IsUp
            ? $"{replica.Id} {Words.Standing(replica.Core)}, vote {status.VotedFor?.ToString() ?? "-"}, log {status.LastIndex}, durable {status.DurableIndex}, "
                + $"commit {status.CommitIndex}, {status.Membership} from {status.MembershipIndex}{(status.TransferTo is { } to ? $", hands over to {to}" : "")}"
            : $"{replica.Id} is down");
    }

    private void Progress(uint node)
    {
        foreach (FollowerProgress f in _cluster[node].Core.Status().Followers)
        {
            Write($"{f.Id} {f.State}, match {f.Match}, next {f.Next}, in flight {f.InFlightMessages} ({f.InFlightBytes} bytes)"
                + $"{(f.IsActive ? "" : ", inactive")}{(f.IsPaused ? ", paused" : "")}{(f.TakesEntries ? ", takes entries" : "")}");
        }
    }

    private void Log(TestReplica replica)
    {
        IReadOnlyList<TermRun> runs = replica.Core.Terms();
        var text = runs.Select((r, i) => $"{r.First}..{(i + 1 < runs.Count ? runs[i + 1].First - 1 : replica.Core.LastIndex)} in term {r.Term}");
        Write($"{replica.Id}: {(runs.Count == 0 ? "empty" : string.Join(", ", text))}; "
            + $"members {string.Join(", ", replica.Core.Memberships().Select(m => $"{m.Membership} at {m.Index}"))}");
    }

    private void Say(ProposeResult result)
    {
        if (result != ProposeResult.Taken)
        {
            Write($"refused: {result}");
        }
    }

    private void Quietly(Action act)
    {
        bool before = _isQuiet;
        _isQuiet = true;
        act();
        _isQuiet = before;
    }

    private void Write(string line)
    {
        if (!_isQuiet)
        {
            _output.Add(line);
        }
    }
}
