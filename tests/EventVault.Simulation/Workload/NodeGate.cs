// The services of one life of a node, as far as clients here use them: what StreamsService does in the product, without
// the wire. Everything here runs on the node.
using EventVault.Node;
using EventVault.Node.Replication;
using EventVault.Simulation.Checkers;
using EventVault.Simulation.Cluster;
using EventVault.Storage;
using EventVault.Storage.Log;
using StoredIndex = EventVault.Storage.LogIndex;

namespace EventVault.Simulation.Workload;

/// <summary>What a node answered to an append.</summary>
/// <param name="Outcome">What became of it.</param>
/// <param name="Answer">Appended, Duplicate: the answer.</param>
/// <param name="Told">Conflict: what it was held against.</param>
/// <param name="Why">Otherwise: why not.</param>
/// <param name="Leader">Who leads, as far as the node knows; 0: it does not.</param>
internal sealed record AppendReply(OperationOutcome Outcome, AppendedAnswer? Answer, ConflictTold? Told, string Why, int Leader);

/// <summary>What clients reach of a node, in one of its lives.</summary>
internal sealed class NodeGate(Simulation simulation, SimulatedNode node)
{
    /// <summary>Why an append is refused that speaks of a position which does not exist.</summary>
    public const string Ahead = "ahead";

    private const int PageEvents = 20;

    private readonly VaultStorage _storage = node.Storage;
    private readonly List<(long Position, Action Read)> _waiting = [];
    private readonly List<ServedSubscription> _subscriptions = [];
    private readonly Dictionary<int, AppendClient> _clients = []; // A connection each.
    private bool _isClosed;

    private int Leader => node.Replica.Leader is { } leader ? (int)leader.Node : 0;

    /// <summary>The node ended: nothing is answered any more.</summary>
    public void Close()
    {
        _isClosed = true;
        _waiting.Clear();
        _subscriptions.Clear();
    }

    /// <summary>Something ran on the node: what waits for commits goes on.</summary>
    public void Wake()
    {
        var head = _storage.Head.Value;
        for (var i = 0; i < _waiting.Count; i++)
        {
            if (_waiting[i].Position <= head)
            {
                var read = _waiting[i].Read;
                _waiting.RemoveAt(i--);
                read();
            }
        }

        foreach (var subscription in _subscriptions)
        {
            Push(subscription);
        }
    }

    /// <summary>Appends; the client waits for so long.</summary>
    public void Append(AppendAttempt attempt, AppendPlan plan, TimeSpan patience, Action<AppendReply> answer)
    {
        Append(attempt, plan.Encode(_storage), patience, reply => simulation.ToClient(attempt.Client, node, () => answer(reply)));
    }

    /// <summary>Appends, for a client or for the node itself; the answer comes here.</summary>
    public void Append(AppendAttempt attempt, AppendContent content, TimeSpan patience, Action<AppendReply> answer)
    {
        var problem = content.Check(out _, out _);
        if (problem.Kind != EventProblemKind.None)
        {
            Answer(attempt, answer, Refusal($"{problem.Kind}"));
            return;
        }

        var append = new ServedAppend(content, a => Answer(attempt, answer, ReplyTo(a)))
        {
            Deadline = VaultLoop.NowMs(node.Clock) + (long)patience.TotalMilliseconds,
            QueuedBytes = content.Bytes.Length,
            Client = ClientOf(attempt.Client),
        };
        if (_storage.Reader.LookUp(content, out var place))
        {
            append.Outcome = AppendOutcome.Known;
            append.Place = place;
            append.Complete();
            return;
        }

        var refused = node.Loop.Enqueue(append, append, 1, append.QueuedBytes);
        if (refused != AppendOutcome.None)
        {
            Answer(attempt, answer, Refusal($"{refused}"));
        }
    }

    /// <summary>Reads, when the node may; null: it may not.</summary>
    public void Read(ReadOperation read, Action<ReadAnswer?> answer)
    {
        switch (read.Request.Consistency)
        {
            case Consistency.Linearizable:
                node.Replica.ReadIndex(new ReadWaiter(ok => Show(read, answer, ok)));
                break;
            case Consistency.AtLeast when read.Request.AtLeast > _storage.Head.Value:
                _waiting.Add((Math.Max(read.Request.AtLeast, _storage.WholeFrom.Value), () => Show(read, answer, ok: true)));
                break;
            default:
                if (_storage.Head < _storage.WholeFrom)
                {
                    _waiting.Add((_storage.WholeFrom.Value, () => Show(read, answer, ok: true)));
                    break;
                }

                Show(read, answer, ok: true);
                break;
        }
    }

    /// <summary>Sends everything from a position on, a page at a time; the next one when the client has the last.</summary>
    public void Subscribe(ServedSubscription subscription)
    {
        // A second connection of the same client takes the place of the first.
        _subscriptions.RemoveAll(s => s.Client == subscription.Client && s.Name == subscription.Name);
        _subscriptions.Add(subscription);
        Push(subscription);
    }

    /// <summary>The client has all up to here.</summary>
    public void Acknowledge(ServedSubscription subscription)
    {
        subscription.IsWaiting = false;
        Push(subscription);
    }

    private void Push(ServedSubscription subscription)
    {
        var head = _storage.Head.Value;
        if (_isClosed || _storage.Head < _storage.WholeFrom || subscription.IsWaiting || subscription.Next > head || !_subscriptions.Contains(subscription))
        {
            return;
        }

        var request = subscription.Stream is { } stream
            ? new ReadRequest(ReadKind.Events, Consistency.Local, Stream: stream, From: FirstVersion(stream, subscription.Next), Most: PageEvents)
            : new ReadRequest(ReadKind.All, Consistency.Local, From: subscription.Next, Most: PageEvents);
        ReadAnswer page;
        try
        {
            page = VaultReads.Read(_storage, request);
        }
        catch (DamageException)
        {
            return; // The client goes to another node.
        }

        var isAll = page.Events.Count < PageEvents;
        var caughtUp = isAll ? head : page.Events[^1].Position;
        subscription.Next = caughtUp + 1;
        subscription.IsWaiting = true;
        simulation.ToClient(subscription.Client, node, () => subscription.Receive(page.Events, caughtUp, head));
    }

    private long FirstVersion(string stream, long position)
    {
        var reference = _storage.Reader.Reference(System.Text.Encoding.UTF8.GetBytes(stream));
        return _storage.Reader.FirstVersionAtOrAfter(reference, new Position(position), _storage.Reader.LastVersion(reference)).Value;
    }

    private AppendClient ClientOf(int client)
    {
        if (!_clients.TryGetValue(client, out var known))
        {
            _clients[client] = known = new AppendClient();
        }

        return known;
    }

    private void Show(ReadOperation read, Action<ReadAnswer?> answer, bool ok)
    {
        if (_isClosed)
        {
            return;
        }

        ReadAnswer? shown = null;
        try
        {
            shown = ok ? VaultReads.Read(_storage, read.Request) : null;
        }
        catch (DamageException)
        {
            // Answered as a refusal: what is damaged is not shown.
        }

        if (shown is not null)
        {
            Look();
            simulation.Referee.Reads.Shown(read, shown);
        }

        simulation.ToClient(read.Client, node, () => answer(shown));
    }

    private void Answer(AppendAttempt attempt, Action<AppendReply> answer, AppendReply reply)
    {
        if (!_isClosed)
        {
            Look();
            if (reply.Outcome == OperationOutcome.Refused)
            {
                simulation.Referee.Refusing(attempt);
            }

            answer(reply);
        }
    }

    // Whatever the answer rests on has to be known to the referee, even if the node dies before this event is over.
    private void Look() => simulation.Referee.Stepped(node);

    private AppendReply ReplyTo(QueuedAppend append)
    {
        var content = append.Content;
        switch (append.Outcome)
        {
            case AppendOutcome.Appended:
                var versions = new long[content.StreamCount];
                for (var i = 0; i < versions.Length; i++)
                {
                    versions[i] = content.Streams[i].Actual.Value + content.Streams[i].EventCount;
                }

                var appended = new AppendedAnswer(append.First.Value, append.First.Value + content.EventCount - 1, append.RecordedAt, versions);
                return new AppendReply(OperationOutcome.Appended, appended, null, "", Leader);
            case AppendOutcome.Known:
                return ReplyToKnown(append);
            case AppendOutcome.Conflict:
                return new AppendReply(OperationOutcome.Conflict, null, ToldOf(content), "", Leader);
            case AppendOutcome.Ahead:
                return new AppendReply(OperationOutcome.Refused, null, null, Ahead, Leader);
            case AppendOutcome.Unknown:
                return new AppendReply(OperationOutcome.Unknown, null, null, "said by the node", Leader);
            default:
                return Refusal($"{append.Outcome}");
        }
    }

    private AppendReply ReplyToKnown(QueuedAppend append)
    {
        try
        {
            if (_storage.Reader.ReadAnswer(append.Place, append.Content) is not { } first)
            {
                return Refusal($"{AppendOutcome.TooOld}");
            }

            return first.SameContent
                ? new AppendReply(OperationOutcome.Duplicate, new AppendedAnswer(first.First.Value, first.Last.Value, first.RecordedAt, [.. first.Versions.Select(v => v.Value)]), null, "", Leader)
                : new AppendReply(OperationOutcome.Reused, null, null, "", Leader);
        }
        catch (DamageException)
        {
            return new AppendReply(OperationOutcome.Unknown, null, null, "damaged", Leader);
        }
    }

    private static ConflictTold ToldOf(AppendContent content)
    {
        var matches = new long[content.ConditionCount];
        for (var i = 0; i < matches.Length; i++)
        {
            matches[i] = content.Conditions[i].Match.Value;
        }

        return new ConflictTold(StatesOf(content.Streams), StatesOf(content.Requires), matches, content.Change is { Problem: not StreamChangeProblem.None },
            content.Change is { Problem: StreamChangeProblem.Held }, content.Change is { Problem: StreamChangeProblem.NotDue });
    }

    private static StreamState[] StatesOf(ReadOnlySpan<AppendStream> streams)
    {
        var states = new StreamState[streams.Length];
        for (var i = 0; i < states.Length; i++)
        {
            states[i] = new StreamState(streams[i].Actual.Value, streams[i].FirstVisible.Value, streams[i].IsTombstoned);
        }

        return states;
    }

    private AppendReply Refusal(string why) => new(OperationOutcome.Refused, null, null, why, Leader);

    private sealed class ServedAppend(AppendContent content, Action<QueuedAppend> complete) : QueuedAppend(content)
    {
        public override void Complete() => complete(this);
    }

    private sealed class ReadWaiter(Action<bool> read) : IReadWaiter
    {
        public StoredIndex AtLeast => default;

        public void OnRead(bool ok) => read(ok);

        // The client has its own time-out.
        public void GiveUp(long nowMs)
        {
        }
    }
}

/// <summary>One connection of a subscription, as the node has it.</summary>
/// <param name="client">Whose it is.</param>
/// <param name="name">Tells the subscriptions of a client apart.</param>
/// <param name="stream">The stream; null: the whole vault.</param>
/// <param name="from">The first position that is wanted.</param>
/// <param name="receive">Called at the client: a page, up to which position it is all there is, and the node's head.</param>
internal sealed class ServedSubscription(int client, int name, string? stream, long from, Action<IReadOnlyList<SeenEvent>, long, long> receive)
{
    public int Client => client;

    public int Name => name;

    public string? Stream => stream;

    /// <summary>What comes next.</summary>
    public long Next { get; set; } = from;

    /// <summary>Whether a page is on its way that the client has not confirmed.</summary>
    public bool IsWaiting { get; set; }

    public void Receive(IReadOnlyList<SeenEvent> events, long caughtUp, long head) => receive(events, caughtUp, head);
}
