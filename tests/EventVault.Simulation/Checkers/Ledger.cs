// What is committed: the first thing that any node took for committed at each log index, in order. Everything that anyone
// shows later is held against it, so each check is made once, when something new is seen, and costs the same at any size.
namespace EventVault.Simulation.Checkers;

/// <summary>A committed group as the ledger keeps it.</summary>
/// <param name="Mark">Its term and checksum.</param>
/// <param name="CommitTerm">Term of the node that committed it first: every leader of a later term must have it.</param>
/// <param name="LastPosition">Position of the last event up to and with it.</param>
/// <param name="LastTime">When its last append, or its system record, was recorded.</param>
/// <param name="Voters">Of a group with a membership: the voters.</param>
internal readonly record struct LedgerGroup(LogMark Mark, ulong CommitTerm, long LastPosition, long LastTime, VoterSets? Voters);

/// <summary>A committed event as the ledger keeps it.</summary>
internal readonly record struct LedgerEvent(int Stream, long Version, long RecordedAt, ulong Digest, EventLabel Label);

/// <summary>The committed log of a run.</summary>
internal sealed class Ledger
{
    private readonly List<LedgerGroup> _groups = [];
    private readonly List<LedgerEvent> _events = [];
    private readonly Dictionary<string, int> _numbers = new(StringComparer.Ordinal);
    private readonly List<string> _names = [];
    private readonly List<List<long>> _positions = [];
    private readonly Dictionary<int, List<(long At, long First, bool IsTombstoned)>> _lives = [];
    private readonly Dictionary<int, List<long>> _tagged = [];
    private readonly Dictionary<(bool IsCategory, string Name), List<(long At, SentRule Rule)>> _rules = [];
    private long _freeTime = long.MinValue;
    private long _firstScavenge = long.MaxValue;
    private long _firstHold = long.MaxValue;

    /// <summary>Index of the last committed group.</summary>
    public ulong LastIndex => (ulong)_groups.Count;

    /// <summary>Position of the last committed event; −1: none.</summary>
    public long Head => _events.Count - 1;

    /// <summary>Streams that have events, by their numbers here.</summary>
    public IReadOnlyList<string> Streams => _names;

    /// <summary>Highest wall clock that any node has shown; recorded times come from it. Not looked at while null.</summary>
    public long? HighestClock { get; set; }

    public LedgerGroup Group(ulong index) => _groups[(int)index - 1];

    public LedgerEvent Event(long position) => _events[(int)position];

    /// <summary>Position of the last event in the groups up to this index.</summary>
    public long PositionAt(ulong index) => index == 0 ? -1 : Group(index).LastPosition;

    /// <summary>
    /// A node that shows the groups up to this index says that nothing will be recorded at or before a time. As times rise along the log, that
    /// is so if it is the last time among what it shows.
    /// </summary>
    public void CheckClosed(string where, ulong shown, long time)
    {
        var last = shown == 0 ? 0 : Group(shown).LastTime;
        Require.That(Rules.TimeStaysClosed, time == last, $"{where} says that {time} is closed; the times up to group {shown}, go to {last}.");
    }

    /// <summary>A stream's number; −1 if it has no committed events.</summary>
    public int NumberOf(string stream) => _numbers.GetValueOrDefault(stream, -1);

    /// <summary>Last version of a stream at a head; −1 if it had no events then.</summary>
    public long LastVersion(string stream, long head)
    {
        var number = NumberOf(stream);
        if (number < 0)
        {
            return -1;
        }

        var found = _positions[number].BinarySearch(head);
        return found >= 0 ? found : ~found - 1;
    }

    /// <summary>What there is of a stream at a head.</summary>
    public StreamState StateOf(string stream, long head)
    {
        var number = NumberOf(stream);
        var (first, isTombstoned) = number < 0 ? (0, false) : LifeOf(number, head);
        return new StreamState(LastVersion(stream, head), first, isTombstoned);
    }

    /// <summary>Whether something may have been scavenged by what is committed up to a head.</summary>
    public bool IsScavenged(long head) => _firstScavenge <= head;

    /// <summary>Whether a legal hold was set up to a head: what an earlier scavenge took on one node, another one keeps then.</summary>
    public bool HasHolds(long head) => _firstHold <= head;

    /// <summary>The rule whose limits count for a stream at a head, its own or else its category's, and the position that set it.</summary>
    public (SentRule Rule, long SetAt)? RuleOf(string stream, long head) => RuleOf(isCategory: false, stream, head) ?? RuleOf(isCategory: true, stream.Split('-')[0], head);

    /// <summary>Whether nothing may be taken from a stream at a head.</summary>
    public bool IsHeld(string stream, long head) =>
        RuleOf(isCategory: false, stream, head) is { Rule.IsHold: true } || RuleOf(isCategory: true, stream.Split('-')[0], head) is { Rule.IsHold: true };

    /// <summary>Whether an event can be read at a head.</summary>
    public bool IsVisible(long position, long head) => _lives.Count == 0 || _events[(int)position] is var e && e.Version >= LifeOf(e.Stream, head).First;

    /// <summary>The newest event behind a position that has a label and can be read at a head; null if there is none.</summary>
    public long? FindMatch(in SentCondition condition, long head)
    {
        // Conditions here ask for a tag, always.
        var tagged = _tagged.GetValueOrDefault(condition.Asked.Tag, []);
        for (var i = tagged.Count - 1; i >= 0 && tagged[i] > condition.After; i--)
        {
            if (tagged[i] <= head && IsMatch(condition, tagged[i], head))
            {
                return tagged[i];
            }
        }

        return null;
    }

    /// <summary>Whether a condition fails by an event, at a head.</summary>
    public bool IsMatch(in SentCondition condition, long position, long head) => position > condition.After && position <= Math.Min(head, Head)
        && _events[(int)position].Label.Matches(condition.Asked) && _names[_events[(int)position].Stream][0] != '$' && IsVisible(position, head);

    private (SentRule Rule, long SetAt)? RuleOf(bool isCategory, string name, long head)
    {
        if (_rules.TryGetValue((isCategory, name), out var changes))
        {
            for (var i = changes.Count - 1; i >= 0; i--)
            {
                if (changes[i].At <= head)
                {
                    return changes[i].Rule.IsRemoval ? null : (changes[i].Rule, changes[i].At);
                }
            }
        }

        return null;
    }

    // First version that can be read, and whether it is tombstoned: as of the last change up to the head.
    private (long First, bool IsTombstoned) LifeOf(int stream, long head)
    {
        if (_lives.TryGetValue(stream, out var changes))
        {
            for (var i = changes.Count - 1; i >= 0; i--)
            {
                if (changes[i].At <= head)
                {
                    return (changes[i].First, changes[i].IsTombstoned);
                }
            }
        }

        return (0, false);
    }

    /// <summary>Position of a version; null if it is not committed.</summary>
    public long? PositionOf(string stream, long version)
    {
        var number = NumberOf(stream);
        return number >= 0 && version >= 0 && version < _positions[number].Count ? _positions[number][(int)version] : null;
    }

    /// <summary>First position up to a head that was recorded at or after a time; behind the head if there is none.</summary>
    public long FirstAtOrAfter(long time, long head)
    {
        long low = 0, high = head + 1;
        while (low < high)
        {
            var middle = low + ((high - low) / 2);
            (low, high) = _events[(int)middle].RecordedAt >= time ? (low, middle) : (middle + 1, high);
        }

        return low;
    }

    /// <summary>Adds the next group, as some node committed it; checks what can be said of the log by itself.</summary>
    /// <param name="group">The group.</param>
    /// <param name="commitTerm">Term of the node that committed it.</param>
    /// <param name="where">That node, for messages.</param>
    /// <param name="check">Called for each append, when everything before it is here and nothing of it.</param>
    public void Add(CommittedGroup group, ulong commitTerm, string where, Action<CommittedAppend>? check = null)
    {
        Require.That(Rules.IndexesDense, group.Index == LastIndex + 1, $"{where}, group {group.Index} of term {group.Mark.Term}: index {LastIndex + 1} comes next.");
        var before = LastIndex == 0 ? default : Group(LastIndex).Mark;
        Require.That(Rules.ChainIntact, LastIndex == 0 || group.Previous == before.Checksum, $"{where}, group {group.Index} of term {group.Mark.Term}: it names {group.Previous:x8} as the group before, which is {before.Checksum:x8}.");
        Require.That(Rules.TermsRise, group.Mark.Term >= before.Term, $"{where}, group {group.Index} of term {group.Mark.Term}: the group before has term {before.Term}.");
        Require.That(Rules.TimesRise, group.Time >= _freeTime, $"{where}, group {group.Index} of term {group.Mark.Term}: its time {group.Time} is not behind {_freeTime - 1}, the last one before.");
        Require.That(Rules.TimeFromClock, HighestClock is not { } clock || group.Time <= Math.Max(clock, _freeTime), $"{where}, group {group.Index} of term {group.Mark.Term}: its time {group.Time} is ahead of every clock ({HighestClock}) and of the log ({_freeTime}).");
        Require.That(Rules.PositionsDense, group.FirstPosition == Head + 1, $"{where}, group {group.Index} of term {group.Mark.Term}: it begins at position {group.FirstPosition}, the head is {Head}.");
        var time = group.Time;
        foreach (var append in group.Appends)
        {
            check?.Invoke(append);
            foreach (var e in append.Events)
            {
                Require.That(Rules.PositionsDense, e.Position == Head + 1, $"{where}, group {group.Index} of term {group.Mark.Term}: an event has position {e.Position}, the head is {Head}.");
                Require.That(Rules.TimesRise, e.RecordedAt == time, $"{where}, group {group.Index} of term {group.Mark.Term}: position {e.Position} is recorded at {e.RecordedAt}, its append at {time}.");
                Add(e, group, where);
            }

            time++;
        }

        _freeTime = group.Time + group.Ticks;
        _groups.Add(new LedgerGroup(group.Mark, commitTerm, Head, _freeTime - 1, group.Voters));
    }

    private void Add(in CommittedEvent e, CommittedGroup group, string where)
    {
        if (!_numbers.TryGetValue(e.Stream, out var number))
        {
            number = _names.Count;
            _numbers.Add(e.Stream, number);
            _names.Add(e.Stream);
            _positions.Add([]);
        }

        var positions = _positions[number];
        Require.That(Rules.VersionsDense, e.Version == positions.Count, $"{where}, group {group.Index} of term {group.Mark.Term}: position {e.Position} is version {e.Version} of {e.Stream}, {positions.Count} comes next.");
        positions.Add(e.Position);
        _events.Add(new LedgerEvent(number, e.Version, e.RecordedAt, e.Digest, e.Label));
        if (e.Label.Tag >= 0)
        {
            if (!_tagged.TryGetValue(e.Label.Tag, out var tagged))
            {
                _tagged.Add(e.Label.Tag, tagged = []);
            }

            tagged.Add(e.Position);
        }

        if (e.Change is { } change)
        {
            Change(change, e.Position);
        }

        if (e.Scavenge is not null && _firstScavenge == long.MaxValue)
        {
            _firstScavenge = e.Position;
        }

        if (e.Rule is { } rule)
        {
            if (!_rules.TryGetValue((rule.IsCategory, rule.Name), out var changes))
            {
                _rules.Add((rule.IsCategory, rule.Name), changes = []);
            }

            changes.Add((e.Position, rule));
            _firstHold = rule.IsHold && _firstHold == long.MaxValue ? e.Position : _firstHold;
        }
    }

    // Lives only get shorter.
    private void Change(CommittedChange change, long position)
    {
        var number = NumberOf(change.Stream);
        Require.That(Rules.ExpectationHeld, number >= 0, $"position {position} changes the stream {change.Stream}, which has no events.");
        var (first, isTombstoned) = LifeOf(number, long.MaxValue);
        if (!_lives.TryGetValue(number, out var changes))
        {
            _lives.Add(number, changes = []);
        }

        changes.Add((position, Math.Max(first, change.Before), isTombstoned || change.Kind == ChangeKind.Tombstone));
    }
}
