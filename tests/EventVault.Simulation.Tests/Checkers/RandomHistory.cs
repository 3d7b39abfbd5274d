using EventVault.Simulation.Checkers;

namespace EventVault.Simulation.Tests.Checkers;

/// <summary>What a vault could do wrong, once.</summary>
internal enum Lie
{
    None,
    Versions,
    Position,
    StaleConflict,
    FutureConflict,
    RefuseWritten,
    WriteTwice,
    IgnoreExpectation,
    AnswerEarly,
    StaleRead,
    SkipEvent,
    SkipDelivery,
    RepeatDelivery,
}

/// <summary>A perfect vault and its clients: a sequential model with requests that overlap; or a vault that lies once.</summary>
internal sealed class RandomHistory(int seed)
{
    private readonly Random _random = new(seed);
    private readonly List<Request> _open = [];
    private readonly List<SentAppend> _sent = [];
    private readonly List<SubscriptionChecker> _subscriptions = [];
    private ulong _lastId;
    private int _step;

    public PlantedRun Run { get; } = new();

    public Lie Lie { get; init; }

    /// <summary>No lie before this step.</summary>
    public int LieAfter { get; init; }

    public bool HasLied { get; private set; }

    /// <summary>Steps of chance, then everything that is open ends.</summary>
    public void Play(int steps)
    {
        for (_step = 0; _step < steps; _step++)
        {
            switch (_random.Next(8))
            {
                case < 3:
                    SendAppend();
                    break;
                case 3:
                    SendRead();
                    break;
                case 4:
                    Subscribe();
                    break;
                default:
                    if (_open.Count > 0)
                    {
                        Advance(_open[_random.Next(_open.Count)]);
                    }

                    break;
            }
        }

        while (_open.Count > 0)
        {
            Advance(_open[0]);
        }
    }

    private bool Lies(Lie lie)
    {
        if (lie != Lie || HasLied || _step < LieAfter)
        {
            return false;
        }

        HasLied = true;
        return true;
    }

    private void SendAppend()
    {
        var append = _sent.Count > 0 && _random.Next(4) == 0 ? _sent[_random.Next(_sent.Count)] : MakeAppend();
        _sent.Add(append);
        _open.Add(new Request(Run.Appends.Begin(1, 1, append)));
    }

    private SentAppend MakeAppend()
    {
        var id = _sent.Count > 0 && _random.Next(12) == 0 ? (ulong)_sent[_random.Next(_sent.Count)].Id : ++_lastId;
        var names = new[] { "a", "b", "c", "d" }.OrderBy(_ => _random.Next()).Take(_random.Next(1, 3)).ToList();
        var made = PlantedRun.Append(++_lastId, [.. names.Select(name =>
        {
            var last = Run.Ledger.LastVersion(name, long.MaxValue);
            return _random.Next(4) switch
            {
                0 => (name, Expectation.NoStream, 0L, _random.Next(1, 4)),
                1 when last >= 0 => (name, Expectation.Exact, last, _random.Next(1, 4)),
                2 => (name, Expectation.Exists, 0L, _random.Next(1, 4)),
                _ => (name, Expectation.Any, 0L, _random.Next(1, 4)),
            };
        })]);
        return new SentAppend(id, made.Streams);
    }

    private void SendRead()
    {
        var kinds = Enum.GetValues<ReadKind>();
        var request = new ReadRequest(
            kinds[_random.Next(kinds.Length)], (Consistency)_random.Next(3), Run.Ledger.Head, "a", _random.Next(10), _random.Next(1, 20), _random.Next(2) == 0);
        _open.Add(new Request(Run.Reads.Begin(1, 1, request)));
    }

    // A subscription from somewhere reads on, some way.
    private void Subscribe()
    {
        if (_subscriptions.Count < 3)
        {
            _subscriptions.Add(new SubscriptionChecker(Run.Ledger, 1, _random.Next(2) == 0 ? "a" : null, _random.NextInt64(Run.Ledger.Head + 2)));
            return;
        }

        var subscription = _subscriptions[_random.Next(_subscriptions.Count)];
        var skips = false;
        for (var position = subscription.Next; position <= Run.Ledger.Head; position++)
        {
            var seen = Run.Seen(position);
            if (subscription.Stream is { } stream && stream != seen.Stream)
            {
                continue;
            }

            if (!skips && Lies(Lie.SkipDelivery))
            {
                skips = true;
                continue;
            }

            subscription.Deliver(1, seen);
            if (Lies(Lie.RepeatDelivery))
            {
                subscription.Deliver(1, seen);
            }
        }

        subscription.CaughtUp(1, Run.Ledger.Head);
    }

    // First the request takes effect, then it is answered; or it gets lost before either.
    private void Advance(Request request)
    {
        if (request.Operation is ReadOperation read)
        {
            Advance(request, read);
            return;
        }

        var attempt = (AppendAttempt)request.Operation;
        if (request.Answer is { } answer)
        {
            _open.Remove(request);
            answer();
        }
        else if (_random.Next(12) == 0)
        {
            _open.Remove(request);
            Run.Appends.Unknown(attempt, "deadline");
        }
        else if (_random.Next(12) == 0)
        {
            request.Answer = () => Run.Appends.Refused(attempt, "not leader");
        }
        else
        {
            request.Answer = Sequence(attempt);
        }
    }

    private Action Sequence(AppendAttempt attempt)
    {
        var append = attempt.Append;
        var actual = append.Streams.Select(s => Run.Ledger.LastVersion(s.Name, long.MaxValue)).ToArray();
        var isAllowed = !append.Streams.Where((s, i) => !s.Allows(actual[i])).Any();
        if (_sent.Find(s => s.Id == append.Id && s.First is not null) is { } first && !(isAllowed && Lies(Lie.WriteTwice)))
        {
            return first == append ? () => Run.Appends.Duplicate(attempt, Run.Answer(append)) : () => Run.Appends.Reused(attempt);
        }

        if (!isAllowed && !Lies(Lie.IgnoreExpectation))
        {
            return Conflict(attempt, actual);
        }

        if (Lies(Lie.AnswerEarly))
        {
            Run.Appends.Appended(attempt, new AppendedAnswer(0, 0, 0, actual));
        }

        Run.Commit(append);
        if (append.OpenAttempts == 1 && Lies(Lie.RefuseWritten))
        {
            Run.Appends.Refused(attempt, "not leader");
        }

        return () => Run.Appends.Appended(attempt, Answer(append));
    }

    private Action Conflict(AppendAttempt attempt, long[] actual)
    {
        // A version that was passed before the request came, and one that is not there yet.
        var passed = Run.Ledger.PositionOf(attempt.Append.Streams[0].Name, actual[0]) <= attempt.HeadBefore && actual[0] > 0;
        if (passed && !attempt.Append.Streams[0].Allows(actual[0] - 1) && Lies(Lie.StaleConflict))
        {
            actual[0]--;
        }
        else if (!attempt.Append.Streams[0].Allows(actual[0] + 1) && Lies(Lie.FutureConflict))
        {
            actual[0]++;
            Run.Appends.Conflict(attempt, actual);
        }

        return () => Run.Appends.Conflict(attempt, actual);
    }

    private AppendedAnswer Answer(SentAppend append)
    {
        var answer = Run.Answer(append);
        return Lies(Lie.Versions) ? answer with { Versions = [.. answer.Versions.Select(v => v + 1)] }
            : Lies(Lie.Position) ? answer with { First = answer.First + 1 }
            : answer;
    }

    private void Advance(Request request, ReadOperation read)
    {
        if (request.Answer is { } ready)
        {
            _open.Remove(request);
            ready();
            return;
        }

        var head = Run.Ledger.Head;
        if (read.Request.Consistency == Consistency.Linearizable && read.HeadBefore >= 0 && Lies(Lie.StaleRead))
        {
            head = read.HeadBefore - 1;
        }

        var answer = Run.TrueAnswer(read.Request, head);
        Run.Reads.NodeStopped(1); // Any node may be asked, and each has come as far as it has.
        Run.Reads.Shown(read, answer);
        if (answer.Events.Count > 1 && Lies(Lie.SkipEvent))
        {
            answer.Events.RemoveAt(0);
        }

        request.Answer = () => Run.Reads.Answered(read, answer);
    }

    private sealed class Request(Operation operation)
    {
        public Operation Operation => operation;

        /// <summary>It has taken effect, and this is what is said of it.</summary>
        public Action? Answer { get; set; }
    }
}
