// The in-memory index of one unsealed segment. Rebuildable: recovery fills it from the segment's groups, or behind a stop in
// order takes it as it was saved (ActiveIndexFile).
//
// The sequencer's thread adds streams and operations while it checks appends, and events when their group commits.
// Readers look up without locks. They see events only behind the published commit position, which is written after
// the events and read before them.
//
// The events of a stream form a list from the newest back, each with a second link that jumps (skew-binary numbers:
// Myers, "An applicative random-access stack", 1983), so any version is found in O(log n) steps without a list
// per stream.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace EventVault.Storage.Index;

internal sealed class ActiveIndex(uint segment, Position firstPosition, LogIndex firstIndex)
{
    private readonly KeyTable _streams = new();
    private readonly BlockList<StreamEntry> _streamEntries = new();
    private readonly BlockList<EventEntry> _events = new();
    private readonly KeyTable _operations = new();
    private readonly BlockList<uint> _operationGroups = new();
    private List<SparseMark> _marks = [];
    private readonly List<uint> _consensusGroups = [];
    private Term _lastTerm;
    private GatheredKeys? _gathered; // While the segment is walked.

    public uint Segment { get; } = segment;

    public Position FirstPosition { get; } = firstPosition;

    /// <summary>Log index of the segment's first group.</summary>
    public LogIndex FirstIndex { get; } = firstIndex;

    /// <summary>Committed events. Readers rely on the published commit position instead.</summary>
    public int EventCount => _events.Count;

    /// <summary>What its events can be found by, those of pending events included.</summary>
    public ActiveKeys Keys { get; private init; } = new();

    public int StreamCount => _streams.Count;

    public int OperationCount => _operations.Count;

    /// <summary>One mark per 64 KiB of log, for searches by log index and time in the sealed index.</summary>
    public List<SparseMark> Marks => _marks;

    /// <summary>Offsets of the committed groups that say something about consensus: the first one of each term here, and memberships.</summary>
    public IReadOnlyList<uint> ConsensusGroups => _consensusGroups;

    /// <summary>For <see cref="StreamLister"/>, under its lock: names of the new streams when there were so many streams here.</summary>
    public (int Streams, byte[][] Names)? NamesInOrder { get; set; }

    // ---- the sequencer's side ----

    /// <summary>
    /// Takes the memory of an index that nobody looks into any more, nor ever will, to use it while this one grows. Before the first entry.
    /// </summary>
    /// <remarks>Whoever looks into that one all the same nearly always fails: a net, not a promise.</remarks>
    public void TakeOver(ActiveIndex done)
    {
        _streams.TakeOver(done._streams);
        _streamEntries.TakeOver(done._streamEntries);
        _events.TakeOver(done._events);
        _operations.TakeOver(done._operations);
        _operationGroups.TakeOver(done._operationGroups);
        Keys.TakeOver(done.Keys);
        (_marks, done._marks) = (done._marks, []);
        _marks.Clear();
    }

    /// <summary>Lets go of what it took over and has not used. For every thread.</summary>
    public void LetGo()
    {
        _streams.LetGo();
        _streamEntries.LetGo();
        _events.LetGo();
        _operations.LetGo();
        _operationGroups.LetGo();
        Keys.LetGo();
    }

    /// <summary>The stream's number here, or −1.</summary>
    public int FindStream(UInt128 key) => _streams.Find(key);

    /// <summary>Adds a stream whose last version before this segment is <paramref name="last"/>.</summary>
    public int AddStream(UInt128 key, StreamVersion last)
    {
        ref var entry = ref _streamEntries.Add();
        entry.VersionBefore = last.Value;
        entry.Tail = last.Value;
        entry.Last = -1;
        return _streams.Add(key);
    }

    /// <summary>The stream's last version, pending appends included. Sequencer only.</summary>
    public ref long Tail(int stream) => ref _streamEntries[stream].Tail;

    /// <summary>Remembers in which group of this segment an operation stands, pending ones included.</summary>
    public void AddOperation(UInt128 id, uint groupOffset)
    {
        _operationGroups.Add() = groupOffset;
        if (_gathered is not null)
        {
            _operations.Gather(id);
        }
        else
        {
            _operations.Add(id);
        }
    }

    /// <summary>Adds the keys of the next event, the newest one so far.</summary>
    public void AddKeys(ReadOnlySpan<ulong> keys, uint ordinal)
    {
        if (_gathered is { } gathered)
        {
            gathered.Add(keys, ordinal);
        }
        else
        {
            Keys.Add(keys, ordinal);
        }
    }

    /// <summary>Its segment is walked: until <see cref="EndWalk"/> nobody looks for an operation or a key.</summary>
    public void BeginWalk() => _gathered = new GatheredKeys(Keys);

    /// <summary>From here on operations and keys can be looked for.</summary>
    public void EndWalk()
    {
        Invariant.Check(_gathered is not null);
        _operations.IndexGathered();
        _gathered.End();
        _gathered = null;
    }

    /// <summary>Offset of the group that holds the operation; 0 if this segment doesn't have it.</summary>
    public uint FindOperation(UInt128 id)
    {
        Invariant.Check(_gathered is null, "A walk has to end first.");
        var number = _operations.Find(id);
        return number < 0 ? 0 : _operationGroups[number];
    }

    /// <summary>Reads where <see cref="FindOperation"/> begins to look.</summary>
    public int TouchOperation(UInt128 id) => _operations.Touch(id);

    public (UInt128 Id, uint GroupOffset) Operation(int number) => (_operations[number], _operationGroups[number]);

    /// <summary>Adds the next committed event of the segment.</summary>
    /// <param name="stream">Its stream's number here.</param>
    /// <param name="offset">Its record's offset in the segment.</param>
    public void AddEvent(int stream, uint offset)
    {
        Invariant.Check(offset % 8 == 0 && offset > 0);
        ref var entry = ref _streamEntries[stream];
        var ordinal = _events.Count;
        var last = entry.Last;
        ref var added = ref _events.Add();
        added.Offset = offset;
        if (last < 0)
        {
            added.Previous = ordinal;
            added.Jump = ordinal;
        }
        else
        {
            ref var previous = ref _events[last];
            ref var jump = ref _events[previous.Jump];
            added.Previous = last;
            added.Depth = previous.Depth + 1;
            added.Jump = previous.Depth - jump.Depth == jump.Depth - _events[jump.Jump].Depth ? jump.Jump : last;
        }

        // Publishes the event: whoever sees it as last sees its links.
        Volatile.Write(ref entry.Last, ordinal);
    }

    /// <summary>Notes a group for the sparse marks, and for consensus.</summary>
    public void AddGroup(LogIndex index, Term term, bool isMembership, long time, uint offset)
    {
        const uint Spacing = 64 * 1024;
        Invariant.Check(term >= _lastTerm, "Terms rise along the log.");
        if (term > _lastTerm || isMembership)
        {
            _consensusGroups.Add(offset);
            _lastTerm = term;
        }

        if (_marks.Count == 0 || offset - _marks[^1].Offset >= Spacing)
        {
            _marks.Add(new SparseMark(index.Value, time, (uint)_events.Count, offset));
        }
    }

    /// <summary>
    /// An index with the committed content alone, for when what is pending here is truncated: this one stays as it is,
    /// because readers may hold it.
    /// </summary>
    /// <param name="end">Offset behind the last committed group.</param>
    public ActiveIndex CopyCommitted(uint end)
    {
        Invariant.Check(_gathered is null, "A walk has to end first.");
        var copy = new ActiveIndex(Segment, FirstPosition, FirstIndex) { Keys = Keys.Copy(_events.Count) };
        for (var i = 0; i < _events.Count; i++)
        {
            Invariant.Check(_events[i].Offset < end, "Only committed events are in the index.");
            copy._events.Add() = _events[i];
        }

        for (var i = 0; i < _streams.Count; i++)
        {
            ref var entry = ref _streamEntries[i];
            if (entry.Last >= 0)
            {
                var number = copy.AddStream(_streams[i], new StreamVersion(entry.VersionBefore));
                copy._streamEntries[number].Last = entry.Last;
                copy._streamEntries[number].Tail = entry.VersionBefore + _events[entry.Last].Depth + 1;
            }
        }

        for (var i = 0; i < _operations.Count && _operationGroups[i] < end; i++)
        {
            copy.AddOperation(_operations[i], _operationGroups[i]);
        }

        copy._marks.AddRange(_marks);
        copy._consensusGroups.AddRange(_consensusGroups);
        copy._lastTerm = _lastTerm;
        return copy;
    }

    /// <summary>About the bytes that saving it takes; rather too many.</summary>
    public long SavedBytes => Keys.Bytes + (64L * (StreamCount + OperationCount)) + (16L * EventCount) + (24L * Marks.Count) + (1024 * 1024);

    /// <summary>Writes all of it as it stands. Nothing is pending.</summary>
    public void Save(ActiveIndexWriter writer)
    {
        Invariant.Check(_gathered is null, "A walk has to end first.");
        _streams.Save(writer);
        _streamEntries.Save(writer);
        _events.Save(writer);
        _operations.Save(writer);
        _operationGroups.Save(writer);
        writer.Write(_marks.Count);
        writer.Write(CollectionsMarshal.AsSpan(_marks));
        writer.Write(_consensusGroups.Count);
        writer.Write(CollectionsMarshal.AsSpan(_consensusGroups));
        Keys.Save(writer);
    }

    /// <summary>Takes what was saved; it is empty. What it took may be anything until the reader has found the file whole.</summary>
    /// <param name="reader">Of the file.</param>
    /// <param name="lastTerm">Term of the segment's last group.</param>
    /// <exception cref="IndexDamageException">The file ends before it.</exception>
    public void Load(ActiveIndexReader reader, Term lastTerm)
    {
        _streams.Load(reader);
        _streamEntries.Load(reader);
        _events.Load(reader);
        _operations.Load(reader);
        _operationGroups.Load(reader);
        CollectionsMarshal.SetCount(_marks, reader.ReadCount(Unsafe.SizeOf<SparseMark>()));
        reader.Read(CollectionsMarshal.AsSpan(_marks));
        CollectionsMarshal.SetCount(_consensusGroups, reader.ReadCount(sizeof(uint)));
        reader.Read(CollectionsMarshal.AsSpan(_consensusGroups));
        _lastTerm = lastTerm;
        Keys.Load(reader);
    }

    // ---- the readers' side ----

    /// <summary>The last mark at or before a group of this segment. The sequencer's thread.</summary>
    public bool TryMarkAtLogIndex(LogIndex index, out SparseMark mark)
    {
        int low = 0, high = _marks.Count;
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = _marks[middle].LogIndex <= index.Value ? (middle + 1, high) : (low, middle);
        }

        mark = low == 0 ? default : _marks[low - 1];
        return low > 0;
    }

    /// <summary>Offset of an event's record in the segment.</summary>
    public uint OffsetOf(int ordinal) => _events[ordinal].Offset;

    /// <summary>
    /// The stream's events here, as far as they are committed: the version of the first, and how many.
    /// </summary>
    /// <param name="stream">Number of the stream.</param>
    /// <param name="committed">Events of this segment that are committed.</param>
    /// <param name="newest">Ordinal of the newest one; −1 if there is none.</param>
    public (StreamVersion First, int Count) Run(int stream, int committed, out int newest)
    {
        ref var entry = ref _streamEntries[stream];
        newest = Volatile.Read(ref entry.Last);
        while (newest >= committed)
        {
            ref var e = ref _events[newest];
            newest = e.Depth == 0 ? -1 : _events[newest].Jump >= committed ? e.Jump : e.Previous;
        }

        return (new StreamVersion(entry.VersionBefore + 1), newest < 0 ? 0 : _events[newest].Depth + 1);
    }

    /// <summary>Writes the ordinals of the events at <paramref name="depth"/> and on into the span.</summary>
    /// <param name="newest">As from <see cref="Run"/>.</param>
    /// <param name="depth">Place in the stream's run here, from 0.</param>
    /// <param name="ordinals">Filled whole: the run must be long enough.</param>
    public void CopyOrdinals(int newest, int depth, Span<uint> ordinals)
    {
        var last = depth + ordinals.Length - 1;
        var ordinal = newest;
        while (_events[ordinal].Depth > last)
        {
            ref var e = ref _events[ordinal];
            ordinal = _events[e.Jump].Depth >= last ? e.Jump : e.Previous;
        }

        for (var i = ordinals.Length - 1; i >= 0; i--)
        {
            ref var e = ref _events[ordinal];
            Invariant.Check(e.Depth == depth + i);
            ordinals[i] = (uint)ordinal;
            ordinal = e.Previous;
        }
    }

    public UInt128 StreamKeyOf(int stream) => _streams[stream];

    public StreamVersion VersionBefore(int stream) => new(_streamEntries[stream].VersionBefore);

    private struct StreamEntry
    {
        public long VersionBefore;
        public long Tail;
        public int Last;
    }

    private struct EventEntry
    {
        public uint Offset;
        public int Previous;
        public int Jump;
        public int Depth;
    }
}
