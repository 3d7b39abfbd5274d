using EventVault.FaultLab.Checks;
using EventVault.FaultLab.History;

namespace EventVault.FaultLab.Tests.Checks;

/// <summary>
/// A vault without a fault, and a random history of it: each operation takes effect at one moment between its beginning and its end,
/// and operations overlap. What tests alter in it, the checker must find.
/// </summary>
internal sealed class PerfectVault
{
    private const int MostLength = 60;
    private readonly Random _random;
    private readonly List<LogEvent> _log = [];
    private readonly List<(AppendAttempt Append, (long First, long Last) Place)> _written = [];
    private long _now;
    private long _sequence;

    public PerfectVault(int seed, int operations = 400)
    {
        _random = new Random(seed);
        for (var i = 0; i < operations; i++)
        {
            _now += 10;
            if (i == operations / 8)
            {
                History.Add(new Mark { Client = "lab", Text = Coverage.Healed, Invoked = _now, Completed = _now });
            }

            Step();
        }

        Finish();
    }

    public List<Operation> History { get; } = [];

    public List<NodeLog> Logs { get; } = [];

    public ulong Committed { get; private set; }

    /// <summary>What the checker says.</summary>
    public IReadOnlyList<Finding> Check() => HistoryChecker.Check(History, Logs, Committed);

    /// <summary>Puts something else in the place of an operation of a kind.</summary>
    /// <param name="which">Which ones will do.</param>
    /// <param name="altered">What to put there.</param>
    public void Alter<T>(Func<T, bool> which, Func<T, Operation> altered)
        where T : Operation
    {
        // One from the middle: with others before and behind it.
        var fitting = History.Select((o, i) => (o, i)).Where(x => x.o is T t && t.Failure is null && which(t)).ToList();
        var (operation, at) = fitting[fitting.Count / 2];
        History[at] = altered((T)operation);
    }

    /// <summary>Alters the log of one node, or of all.</summary>
    public void AlterLogs(Func<NodeLog, bool> which, Func<NodeLog, NodeLog> altered)
    {
        for (var i = 0; i < Logs.Count; i++)
        {
            Logs[i] = which(Logs[i]) ? altered(Logs[i]) : Logs[i];
        }
    }

    private void Step()
    {
        switch (_random.Next(10))
        {
            case < 4:
                Append();
                break;
            case 4:
                Repeat();
                break;
            case < 7:
                Read();
                break;
            case 7:
                Head();
                break;
            case 8:
                State();
                break;
            default:
                Lost();
                break;
        }

        History.Add(new StatusSample { Client = "watcher", Node = 1, Start = 1, Invoked = _now, Completed = _now, Term = 1 + (ulong)(_now / 2000), CommitIndex = (ulong)_written.Count, IsLeader = true });
        History.Add(new StatusSample { Client = "watcher", Node = 2, Start = 1, Invoked = _now, Completed = _now, Term = 1 + (ulong)(_now / 2000), CommitIndex = (ulong)_written.Count });
        History.Add(new StatusSample { Client = "watcher", Node = 3, Start = 1, Invoked = _now, Completed = _now, Term = 1, CommitIndex = (ulong)_written.Count });
    }

    private T Times<T>(T operation)
        where T : Operation => operation with { Node = 1 + _random.Next(3), Start = 1, Invoked = _now - _random.Next(MostLength), Completed = _now + _random.Next(MostLength) };

    private string Stream() => $"s-{_random.Next(4)}";

    private long Version(string stream) => _log.Count(e => e.Stream == stream) - 1;

    private Guid NewId()
    {
        Span<byte> bytes = stackalloc byte[16];
        _random.NextBytes(bytes);
        return new Guid(bytes);
    }

    private AppendAttempt Draw()
    {
        var streams = new[] { Stream(), Stream() }.Distinct().ToList();
        var writes = streams.Select(s => new StreamWrite(s, DrawExpected(s), [(ulong)_random.NextInt64(), (ulong)_random.NextInt64()])).ToList();
        var required = Stream();
        return Times(new AppendAttempt
        {
            Client = $"writer-{_random.Next(3)}",
            Sequence = _sequence++,
            OperationId = NewId(),
            Writes = writes,
            Requires = _random.Next(4) == 0 && !streams.Contains(required) ? [new Requirement(required, DrawExpected(required))] : [],
            Condition = _random.Next(3) == 0 ? new TagCondition(Tag(), _log.Count - 1 - _random.Next(10)) : null,
        });
    }

    private string Tag() => $"t-{_random.Next(4)}";

    private Expected DrawExpected(string stream) => _random.Next(5) switch
    {
        0 => Expected.Any,
        1 => Version(stream) < 0 ? Expected.NoStream : Expected.Exists,
        2 => Expected.Exactly(Version(stream) + 1),
        _ => Expected.Exactly(Version(stream)),
    };

    private void Append()
    {
        var append = Draw();
        var conflicts = append.Writes.Select(w => (w.Stream, w.Expected)).Concat(append.Requires.Select(r => (r.Stream, r.Expected)))
            .Where(c => !c.Expected.IsMetBy(Version(c.Stream))).Select(c => new ToldVersion(c.Stream, Version(c.Stream))).ToList();
        var match = append.Condition is { } condition ? _log.Where(e => e.Position > condition.After && e.Tags.Contains(condition.Tag)).Select(e => e.Position).LastOrDefault(-1) : -1;
        if (conflicts.Count > 0 || match >= 0)
        {
            History.Add(append with { Outcome = AppendOutcome.Conflict, Conflicts = conflicts, MatchingPosition = match });
            return;
        }

        var place = Write(append);
        append = append with
        {
            Outcome = AppendOutcome.Written,
            FirstPosition = place.First,
            LastPosition = place.Last,
            Versions = [.. append.Writes.Select(w => Version(w.Stream))],
            RecordedAt = Clock.RealTime(0) + _now,
        };
        _written.Add((append, place));
        History.Add(append);
    }

    private (long First, long Last) Write(AppendAttempt append)
    {
        var first = _log.Count;
        var tag = Tag();
        foreach (var write in append.Writes)
        {
            foreach (var digest in write.Events)
            {
                _log.Add(new LogEvent
                {
                    Position = _log.Count,
                    Stream = write.Stream,
                    Version = Version(write.Stream) + 1,
                    RecordedAt = Clock.RealTime(0) + _now,
                    Digest = digest,
                    OperationId = append.OperationId,
                    Tags = _random.Next(3) == 0 ? [tag] : [],
                });
            }
        }

        return (first, _log.Count - 1);
    }

    private void Repeat()
    {
        if (_written.Count > 0)
        {
            var append = _written[_random.Next(_written.Count)].Append;
            History.Add(Times(append with { Outcome = AppendOutcome.Duplicate }));
        }
    }

    // Unknown outcomes, written and not, and refusals.
    private void Lost()
    {
        var append = Draw() with { Failure = "lost", Condition = null, Requires = [], Outcome = AppendOutcome.Unknown };
        append = append with { Writes = [.. append.Writes.Select(w => w with { Expected = Expected.Any })] };
        switch (_random.Next(3))
        {
            case 0:
                Write(append);
                History.Add(append);
                break;
            case 1:
                History.Add(append);
                break;
            default:
                History.Add(append with { Outcome = AppendOutcome.Refused });
                break;
        }
    }

    private static SeenEvent Seen(LogEvent e) => new(e.Position, e.Version, e.RecordedAt, e.Digest);

    private void Read()
    {
        var stream = _random.Next(2) == 0 ? null : Stream();
        var level = (Level)_random.Next(3);
        var isBackwards = _random.Next(2) == 0;
        var limit = _random.Next(1, 30);
        var events = _log.Where(e => stream is null || e.Stream == stream).ToList();
        var from = _random.Next(2) == 0 ? -1 : _random.Next(events.Count + 1);
        var shown = isBackwards
            ? events.Take(from < 0 ? events.Count : Math.Min(from + 1, events.Count)).Reverse().Take(limit)
            : events.Skip(Math.Max(from, 0)).Take(limit);
        History.Add(Times(new ReadAttempt
        {
            Client = "reader",
            Stream = stream,
            Level = level,
            AtLeast = level == Level.AtLeast ? _random.Next(_log.Count + 1) - 1 : -1,
            IsBackwards = isBackwards,
            From = from,
            Limit = limit,
            Head = _log.Count - 1,
            LastVersion = stream is null ? -1 : Version(stream),
            Events = [.. shown.Select(Seen)],
        }));
    }

    private void Head()
    {
        var stream = Stream();
        History.Add(Times(new HeadAttempt
        {
            Client = "reader",
            Stream = stream,
            Level = (Level)_random.Next(3),
            AtLeast = _log.Count - 1,
            LastVersion = Version(stream),
            LastPosition = _log.LastOrDefault(e => e.Stream == stream)?.Position ?? -1,
        }));
    }

    private void State()
    {
        var stream = Stream();
        var asOf = _random.Next(_log.Count + 1);
        asOf = Math.Min(asOf, _log.Count - 1);
        var version = _log.Count(e => e.Stream == stream && e.Position <= asOf) - 1;
        History.Add(Times(new StateAttempt { Client = "reader", Stream = stream, AsOf = asOf, Version = version, Count = version + 1 }));
    }

    private void Finish()
    {
        foreach (var stream in new[] { null, "s-0" })
        {
            foreach (var events in _log.Where(e => stream is null || e.Stream == stream).Chunk(7))
            {
                _now += 10;
                History.Add(new Delivery { Client = $"subscriber to {stream}", Stream = stream, Node = 1, Start = 1, Invoked = _now, Completed = _now, Events = [.. events.Select(Seen)] });
            }
        }

        var appends = _log.Select(e => e.OperationId).Distinct().ToList();
        Committed = (ulong)appends.Count;
        List<LogGroup> groups = [.. appends.Select((id, i) => new LogGroup((ulong)i + 1, 1 + ((ulong)i / 40), (ulong)id.GetHashCode()))];
        Logs.AddRange(Enumerable.Range(1, 3).Select(node => new NodeLog(node, groups, _log)));
    }
}
