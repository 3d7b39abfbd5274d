using EventVault.Simulation.Checkers;

namespace EventVault.Simulation.Tests.Checkers;

/// <summary>A run that a test writes down by hand: what clients send, what is committed, what is answered.</summary>
internal sealed class PlantedRun
{
    private readonly Dictionary<string, long> _versions = [];
    private long _now;
    private long _head = -1;
    private long _time = 1_000;
    private uint _checksum;
    private ulong _index;

    public PlantedRun()
    {
        History = new History(() => ++_now, Ledger);
        Appends = new AppendChecker(Ledger, History);
        Reads = new ReadChecker(Ledger, History);
        Retention = new RetentionChecker(Ledger);
    }

    public Ledger Ledger { get; } = new();

    public History History { get; }

    /// <summary>Tag of the events that are made from now on; −1: none.</summary>
    public int Tag { get; set; } = -1;

    public AppendChecker Appends { get; }

    public ReadChecker Reads { get; }

    public RetentionChecker Retention { get; }

    /// <summary>An append whose events are named by its id.</summary>
    public static SentAppend Append(ulong id, params (string Stream, Expectation Expected, long Version, int Events)[] streams)
    {
        var ordinal = 0UL;
        return new SentAppend(id, [.. streams.Select(s => new SentStream(s.Stream, s.Expected, s.Version, [.. Enumerable.Range(0, s.Events).Select(_ => (id * 1000) + ordinal++)]))]);
    }

    public static SentAppend Append(ulong id, string stream, int events = 1) => Append(id, (stream, Expectation.Any, 0, events));

    /// <summary>An append that changes the life of a stream.</summary>
    public static SentAppend Change(ulong id, ChangeKind kind, string stream, long before = 0, Expectation expected = Expectation.Any) =>
        new(id, [new SentStream("$streams", Expectation.Any, 0, [id * 1000])]) { Change = new SentChange(kind, new SentStream(stream, expected, 0, []), before) };

    /// <summary>An append that sets a retention rule.</summary>
    public static SentAppend Retain(ulong id, SentRule rule) => new(id, [new SentStream("$streams", Expectation.Any, 0, [id * 1000])]) { Rule = rule };

    /// <summary>The next group as a correct node makes it of these appends.</summary>
    public CommittedGroup Group(params SentAppend[] appends)
    {
        var group = new CommittedGroup(
            ++_index, new LogMark(1, ++_checksum), _checksum - 1, _time, _head + 1,
            [.. appends.Select((a, i) => new CommittedAppend(a.Id, [.. a.Streams.SelectMany(s => s.Digests.Select(d => Event(s.Name, d, _time + i) with { Change = Written(a.Change), Rule = a.Rule }))]))]);
        _time += group.Ticks + 3;
        return group;
    }

    /// <summary>The group is committed.</summary>
    public void Commit(CommittedGroup group)
    {
        Ledger.Add(group, group.Mark.Term, "node 1", append => Appends.Committed(append, group, "node 1"));
    }

    public void Commit(params SentAppend[] appends) => Commit(Group(appends));

    /// <summary>Sent, committed in a group of its own, and answered.</summary>
    public AppendAttempt Write(SentAppend append)
    {
        var attempt = Appends.Begin(1, 1, append);
        Commit(append);
        Appends.Appended(attempt, Answer(append));
        return attempt;
    }

    /// <summary>The true answer to an append that is committed.</summary>
    public AppendedAnswer Answer(SentAppend append)
    {
        var last = append.First!.Value + append.EventCount - 1;
        return new AppendedAnswer(append.First.Value, last, Ledger.Event(append.First.Value).RecordedAt, [.. append.Streams.Select(s => Ledger.LastVersion(s.Name, last))]);
    }

    /// <summary>The event at a position, as a client sees it.</summary>
    public SeenEvent Seen(long position)
    {
        var e = Ledger.Event(position);
        return new SeenEvent(Ledger.Streams[e.Stream], e.Version, position, e.RecordedAt, e.Digest);
    }

    /// <summary>A true answer to a read at a head.</summary>
    public ReadAnswer TrueAnswer(ReadRequest request, long head)
    {
        var answer = new ReadAnswer { Head = head };
        var positions = Enumerable.Range(0, (int)head + 1).Select(p => (long)p);
        if (request.Kind is ReadKind.Events or ReadKind.StreamHead)
        {
            positions = positions.Where(p => Seen(p).Stream == request.Stream);
        }

        switch (request.Kind)
        {
            case ReadKind.Events:
                positions = request.Backwards ? positions.Where(p => Seen(p).Version <= request.From).Reverse() : positions.Where(p => Seen(p).Version >= request.From);
                answer.Events.AddRange(positions.Take(request.Most).Select(Seen));
                break;
            case ReadKind.All:
                positions = request.Backwards ? positions.Where(p => p <= request.From).Reverse() : positions.Where(p => p >= request.From);
                answer.Events.AddRange(positions.Take(request.Most).Select(Seen));
                break;
            case ReadKind.StreamHead:
                answer.Events.AddRange(positions.TakeLast(1).Select(Seen));
                break;
            case ReadKind.List:
                answer.Streams.AddRange(positions.Select(Seen).GroupBy(e => e.Stream).Where(g => string.CompareOrdinal(g.Key, request.Stream) > 0)
                    .OrderBy(g => g.Key, StringComparer.Ordinal).Take(request.Most).Select(g => (g.Key, g.Last().Version, g.Last().Position)));
                break;
            case ReadKind.Time:
                answer.Position = positions.Where(p => Seen(p).RecordedAt >= request.From).DefaultIfEmpty(head + 1).First();
                break;
        }

        return answer;
    }

    /// <summary>The named rule, and no other, is found broken.</summary>
    public static void Breaks(string rule, Action act) => Assert.Equal(rule, Assert.Throws<ViolationException>(act).Rule);

    private CommittedChange? Written(SentChange? change) => change is null ? null
        : new CommittedChange(change.Kind, change.Target.Name, change.Kind == ChangeKind.Truncate ? change.Before : _versions.GetValueOrDefault(change.Target.Name, -1) + 1);

    private CommittedEvent Event(string stream, ulong digest, long time)
    {
        var version = _versions.GetValueOrDefault(stream, -1) + 1;
        _versions[stream] = version;
        return new CommittedEvent(stream, version, ++_head, time, digest, new EventLabel(0, Tag));
    }
}
