using System.Globalization;
using EventVault.Raft.Tests.Harness;

namespace EventVault.Raft.Tests.Scenarios;

/// <summary>The commands of a scenario; docs/TESTING.md lists them. Nodes are written as their numbers.</summary>
internal sealed class ScenarioCommands
{
    private const int MostRepeats = 1000;

    private readonly Dictionary<string, Action<Words>> _commands;
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
        var words = new Words(command);
        string verb = words.Next();
        _isQuiet = verb == "quiet";
        verb = _isQuiet ? words.Next() : verb;
        if (!_commands.TryGetValue(verb, out Action<Words>? act))
        {
            throw new FormatException($"There is no command {verb}.");
        }

        act(words);
        words.End();
        return _output;
    }

    private Dictionary<string, Action<Words>> Commands() => new()
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
        ["ship"] = w => _cluster.Ship(w.Node(), w.Node()),
        ["ship-failed"] = w => ShipFailed(w.Node(), w.Node()),
        ["status"] = w => ForEach(w, Status),
        ["progress"] = w => Progress(w.Node()),
        ["log"] = w => ForEach(w, Log),
        ["network"] = _ => _output.AddRange(_cluster.Network.Select(Harness.Words.Of)),
    };

    private void Cluster(Words words)
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
    private void Node(Words words)
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

    private void Tick(Words words)
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

    private void Propose(Words words)
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

    private void ForEach(Words words, Action<TestReplica> act)
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
            ? $"{replica.Id} {Harness.Words.Standing(replica.Core)}, vote {status.VotedFor?.ToString() ?? "-"}, log {status.LastIndex}, durable {status.DurableIndex}, "
                + $"commit {status.CommitIndex}, {status.Membership} from {status.MembershipIndex}{(status.TransferTo is { } to ? $", hands over to {to}" : "")}"
            : $"{replica.Id} is down");
    }

    private void Progress(uint node)
    {
        foreach (FollowerProgress f in _cluster[node].Core.Status().Followers)
        {
            Write($"{f.Id} {f.State}, match {f.Match}, next {f.Next}, in flight {f.InFlightMessages} ({f.InFlightBytes} bytes)"
                + $"{(f.IsActive ? "" : ", inactive")}{(f.IsPaused ? ", paused" : "")}");
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

    /// <summary>The words of one command, taken one after the other; named ones (<c>key=value</c>) in any order.</summary>
    private sealed class Words(string command)
    {
        private readonly List<string> _words = [.. command.Split(' ', StringSplitOptions.RemoveEmptyEntries)];

        public string Next()
        {
            string word = _words.Count > 0 ? _words[0] : throw new FormatException("Something is missing at the end.");
            _words.RemoveAt(0);
            return word;
        }

        public int Number() => int.Parse(Next(), CultureInfo.InvariantCulture);

        public uint Node() => uint.Parse(Next(), CultureInfo.InvariantCulture);

        /// <summary>All plain numbers that are left.</summary>
        public uint[] Nodes()
        {
            uint[] nodes = [.. _words.Where(w => uint.TryParse(w, out _)).Select(w => uint.Parse(w, CultureInfo.InvariantCulture))];
            _words.RemoveAll(w => uint.TryParse(w, out _));
            return nodes;
        }

        public bool Has(string word) => _words.Remove(word);

        public long Value(string key, long otherwise) => long.Parse(Text(key, otherwise.ToString(CultureInfo.InvariantCulture)), CultureInfo.InvariantCulture);

        public string Text(string key, string otherwise)
        {
            string? found = _words.Find(w => w.StartsWith(key + "=", StringComparison.Ordinal));
            _words.Remove(found ?? "");
            return found?[(key.Length + 1)..] ?? otherwise;
        }

        /// <summary><c>x5</c>: how often, or how many.</summary>
        public int Times(int otherwise)
        {
            string? found = _words.Find(w => w.Length > 1 && w[0] == 'x' && char.IsAsciiDigit(w[1]));
            _words.Remove(found ?? "");
            return found is null ? otherwise : Math.Min(int.Parse(found[1..], CultureInfo.InvariantCulture), MostRepeats);
        }

        /// <summary><c>at 10/1</c>: log index and term.</summary>
        public (ulong Index, ulong Term) At()
        {
            if (!Has("at"))
            {
                return (0, 0);
            }

            string[] parts = Next().Split('/');
            return (ulong.Parse(parts[0], CultureInfo.InvariantCulture), ulong.Parse(parts[1], CultureInfo.InvariantCulture));
        }

        /// <summary><c>(1 2 3/0001) learners=(4)</c>.</summary>
        public Membership Membership()
        {
            string text = string.Join(' ', _words);
            _words.Clear();
            string[] parts = text.Split("learners=");
            return Raft.Membership.Of([.. Members(parts[0], MemberRole.Voter), .. parts.Length > 1 ? Members(parts[1], MemberRole.Learner) : []]);
        }

        /// <summary><c>1-&gt;2</c>, <c>1-&gt;</c>, <c>-&gt;2</c> and a kind of message, each of them or none.</summary>
        public Predicate<Message> Filter()
        {
            string? link = _words.Find(w => w.Contains("->", StringComparison.Ordinal));
            _words.Remove(link ?? "");
            string[] ends = (link ?? "->").Split("->");
            string? kind = _words.Find(w => Enum.TryParse<MessageKind>(w, out _));
            _words.Remove(kind ?? "");
            return m => (ends[0].Length == 0 || $"{m.From.Node}" == ends[0]) && (ends[1].Length == 0 || $"{m.To.Node}" == ends[1]) && (kind is null || $"{m.Kind}" == kind);
        }

        /// <summary><c>1-&gt;2</c>: one way. <c>1-2</c>: both.</summary>
        public IEnumerable<(uint, uint)> Links()
        {
            foreach (string word in _words)
            {
                uint[] ends = [.. word.Split("->").SelectMany(e => e.Split('-')).Select(e => uint.Parse(e, CultureInfo.InvariantCulture))];
                yield return (ends[0], ends[1]);
                if (!word.Contains('>', StringComparison.Ordinal))
                {
                    yield return (ends[1], ends[0]);
                }
            }

            _words.Clear();
        }

        /// <summary><c>2-&gt;1 Vote term=5 index=3 log-term=2 …</c>: a message that nobody sent.</summary>
        public Message Message()
        {
            string[] ends = Next().Split("->");
            MessageKind kind = Enum.Parse<MessageKind>(Next());
            return new Message(kind, Id(ends[0]), Id(ends[1]), new((ulong)Value("term", 0)))
            {
                Index = new((ulong)Value("index", 0)),
                LogTerm = new((ulong)Value("log-term", 0)),
                Commit = new((ulong)Value("commit", 0)),
                Read = (ulong)Value("read", 0),
                Hint = new((ulong)Value("hint", 0)),
                HintTerm = new((ulong)Value("hint-term", 0)),
                Rejected = Has("rejected"),
                IsTransfer = Has("transfer"),
                Entries = [.. Text("entries", "").Split(',', StringSplitOptions.RemoveEmptyEntries)
                    .Select(t => new Entry(new(ulong.Parse(t, CultureInfo.InvariantCulture)), EntryKind.Appends, 10))],
            };
        }

        public void End()
        {
            if (_words.Count > 0)
            {
                throw new FormatException($"'{string.Join(' ', _words)}' means nothing here.");
            }
        }

        private static IEnumerable<Member> Members(string text, MemberRole role) =>
            text.Trim().TrimStart('(').TrimEnd(')').Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(id => new Member(Id(id), role));

        private static ReplicaId Id(string text)
        {
            string[] parts = text.Split('/');
            Guid incarnation = parts.Length == 1 ? default : new Guid(parts[1] + new string('0', 28));
            return new ReplicaId(uint.Parse(parts[0], CultureInfo.InvariantCulture), incarnation);
        }
    }
}
