// Reads events, on the caller's thread, without locks, never past the commit position.
//
// Events of streams that were deleted or truncated are left out. Each page looks anew, behind the head: what was deleted
// before a read's head was fixed is never handed out; what is deleted while the read runs is left out from some page on.
using System.Buffers.Binary;
using System.Diagnostics;
using EventVault.Storage.Index;
using EventVault.Storage.Log;
using EventVault.Storage.Queries;

namespace EventVault.Storage;

/// <summary>Takes events that are read. The event's spans are valid only during the call.</summary>
public interface IEventSink
{
    /// <summary>Takes an event; false if it should be the last one of this page.</summary>
    bool Accept(in EventView e);
}

/// <summary>A stream as readers name it. Making one hashes the name; keep it for the whole read.</summary>
public readonly struct StreamReference
{
    internal StreamReference(byte[] name, UInt128 key)
    {
        Name = name;
        Key = key;
    }

    /// <summary>UTF-8.</summary>
    public byte[] Name { get; }

    internal UInt128 Key { get; }
}

/// <summary>What an append was answered, worked out from the log again.</summary>
/// <param name="First">Position of its first event.</param>
/// <param name="Last">Position of its last event.</param>
/// <param name="RecordedAt">100 ns ticks since 1970.</param>
/// <param name="SameContent">Whether the content digest is that of the append it was compared with.</param>
/// <param name="Versions">Last version of each stream, in the order in which they were written.</param>
/// <param name="Streams">Names of those streams, UTF-8.</param>
public sealed record AppendAnswer(
    Position First, Position Last, long RecordedAt, bool SameContent, IReadOnlyList<StreamVersion> Versions, IReadOnlyList<byte[]> Streams);

/// <summary>Reads streams and the whole vault. Safe for concurrent use.</summary>
public sealed class EventReader
{
    /// <summary>Events looked up at once: enough to spread a page's costs, few enough for the stack.</summary>
    private const int PageEvents = 128;

    /// <summary>Places that may hold an operation: more than one is a coincidence of fingerprints, one in 10¹².</summary>
    private const int MostCandidates = 4;

    /// <summary>In place of an ordinal that a scavenge removed with its event.</summary>
    private const uint NoOrdinal = uint.MaxValue;

    /// <summary>Records that the processor is asked for while one is read: in an interleaved stream none is near the one before.</summary>
    private const int HintAhead = 8;

    /// <summary>A first record that takes longer than this came from the disk: load the others ahead.</summary>
    private static readonly long ColdTicks = Stopwatch.Frequency / 20_000; // 50 µs

    private readonly VaultStorage _storage;
    private readonly MatchReader _matches;
    private readonly LifeReader _lives;

    internal EventReader(VaultStorage storage)
    {
        _storage = storage;
        _matches = new MatchReader(storage);
        _lives = new LifeReader(storage);
    }

    /// <summary>Position of the last committed event; <see cref="Position.None"/> if the vault is empty.</summary>
    public Position Head => _storage.Head;

    /// <summary>
    /// When the last committed group was recorded, fences included, 100 ns ticks since 1970; 0 if there is none. Nothing will ever be
    /// recorded at or before it. Read it before <see cref="Head"/>, which then covers all that was.
    /// </summary>
    public long ClosedTime => _storage.ClosedTime;

    /// <summary>A stream for the calls below.</summary>
    public StreamReference Reference(ReadOnlySpan<byte> name) => new(name.ToArray(), StreamKey.Compute(name, _storage.Meta.SipKey));

    /// <summary>Last committed version of a stream, whether it can be read or not; <see cref="StreamVersion.None"/> if it never had events.</summary>
    public StreamVersion LastVersion(in StreamReference stream) => LastVersion(stream.Key, Head);

    /// <summary>
    /// First version of a stream that can be read; behind its last one if none can, because it was deleted. Ask for it behind
    /// <see cref="LastVersion(in StreamReference)"/>: then a stream that is deleted and written again in between seems deleted, which it was.
    /// </summary>
    public StreamVersion FirstVisible(in StreamReference stream) => Canary.Is(Canary.DeletedIsShown) ? default : _storage.Lives.Of(stream.Key).FirstVisible;

    /// <summary>
    /// Reads a page of the whole vault, from <paramref name="from"/> in the given direction, up to and including
    /// <paramref name="until"/>. Returns the number of events looked at: the next page begins behind them. Events that can't be
    /// read any more are not handed out.
    /// </summary>
    /// <exception cref="DamageException">Bytes on the way are damaged; events before them were handed out.</exception>
    public int ReadAll<TSink>(Position from, Position until, bool backwards, ref TSink sink)
        where TSink : IEventSink, allows ref struct
    {
        var head = Head;
        var shown = _storage.Lives.IsEmpty ? default : new Shown(_storage.Lives);
        if (!backwards)
        {
            var last = until < head ? until : head;
            from = from.Value < 0 ? new Position(0) : from;
            return from > last ? 0 : ReadForwards(from, last, shown, ref sink);
        }

        from = from < head ? from : head;
        until = until.Value < 0 ? new Position(0) : until;
        return from < until ? 0 : ReadBackwards(from, until, shown, ref sink);
    }

    /// <summary>
    /// Reads a page of the events that match a filter, from <paramref name="from"/> in the given direction, up to and including
    /// <paramref name="until"/>. A page is a bounded piece of work: it may be empty and yet not the last one.
    /// </summary>
    /// <param name="filter">Which events.</param>
    /// <param name="from">Where to begin.</param>
    /// <param name="until">Where to end.</param>
    /// <param name="backwards">From the newest to the oldest.</param>
    /// <param name="sink">Gets the events.</param>
    /// <param name="next">Where the next page begins: behind <paramref name="until"/> or the head (backwards: before until or
    /// position 0) if this was the last one.</param>
    /// <returns>How many events it handed out.</returns>
    /// <exception cref="DamageException">Bytes on the way are damaged; events before them were handed out.</exception>
    public int ReadMatching<TSink>(EventFilter filter, Position from, Position until, bool backwards, ref TSink sink, out Position next)
        where TSink : IEventSink, allows ref struct =>
        _matches.Read(filter, from, until, backwards, ref sink, out next);

    /// <summary>
    /// A committed event behind <paramref name="after"/> that matches a filter, from the newest segment that has one;
    /// <see cref="Position.None"/> if there is none up to <paramref name="through"/>, the head of now. Whoever checks a condition
    /// calls this first, on his own thread: the sequencer then looks only behind <paramref name="through"/>.
    /// </summary>
    /// <exception cref="DamageException">Bytes on the way are damaged.</exception>
    public Position LastMatch(EventFilter filter, Position after, out Position through)
    {
        through = Head;
        return _matches.Last(filter, after, through, tail: null);
    }

    /// <summary>Stretches of the log that are known to hold nothing for conditions that were looked up.</summary>
    internal int KnownBarren => _matches.KnownBarren;

    internal Position LastMatch(EventFilter filter, Position after, Position until, LogTail tail) => _matches.Last(filter, after, until, tail);

    /// <summary>How many events match a filter, events of <c>$</c> streams left out. Both bounds are inclusive.</summary>
    /// <exception cref="DamageException">Bytes on the way are damaged.</exception>
    public long CountMatching(EventFilter filter, Position from, Position until) => _matches.Count(filter, from, until);

    /// <summary>
    /// Reads a page of a stream, from <paramref name="from"/> in the given direction up to and including
    /// <paramref name="until"/>, both of which exist. Returns the number of events looked at; those that can't be read any more
    /// are not handed out.
    /// </summary>
    /// <exception cref="DamageException">Bytes on the way are damaged; events before them were handed out.</exception>
    public int ReadStream<TSink>(in StreamReference stream, StreamVersion from, StreamVersion until, bool backwards, ref TSink sink)
        where TSink : IEventSink, allows ref struct => ReadVersions(stream, from, until, backwards, new Shown(FirstVisible(stream)), ref sink);

    private int ReadVersions<TSink>(in StreamReference stream, StreamVersion from, StreamVersion until, bool backwards, in Shown shown, ref TSink sink)
        where TSink : IEventSink, allows ref struct
    {
        Span<uint> ordinals = stackalloc uint[PageEvents];
        var wanted = (int)Math.Min(PageEvents, Math.Abs(until.Value - from.Value) + 1);
        using var view = _storage.LeaseView();
        var segment = Locate(view, stream.Key, from, backwards, ordinals[..wanted], out var count);
        return ReadOrdinals(segment, ordinals[..count], stream.Name, shown, ref sink);
    }

    /// <summary>
    /// As <see cref="ReadStream"/>, forwards, with the events that can't be read any more: they still say what was written. Those that
    /// a scavenge removed are left out, so whoever needs all of them looks at the versions.
    /// </summary>
    /// <exception cref="DamageException">Bytes on the way are damaged; events before them were handed out.</exception>
    public int ReadWritten<TSink>(in StreamReference stream, StreamVersion from, StreamVersion until, ref TSink sink)
        where TSink : IEventSink, allows ref struct => ReadVersions(stream, from, until, backwards: false, shown: default, ref sink);

    /// <summary>
    /// Position of a committed event of a stream; of one that a scavenge removed a position at or before its own, and at or
    /// before those of later versions.
    /// </summary>
    public Position PositionOf(in StreamReference stream, StreamVersion version)
    {
        Span<uint> ordinal = stackalloc uint[1];
        using var view = _storage.LeaseView();
        var segment = Locate(view, stream.Key, version, backwards: false, ordinal, out _);
        return ordinal[0] == NoOrdinal ? segment.FirstPosition : segment.FirstPosition + ordinal[0];
    }

    /// <summary>
    /// When a committed event was recorded, 100 ns ticks since 1970; for one that a scavenge removed, when the next event of its
    /// segment was that is still there, or the segment's last one. So times never fall along the log.
    /// </summary>
    public long RecordedAt(Position position)
    {
        using var view = _storage.LeaseView();
        var segment = SegmentOf(view, position, out _);
        var ordinal = segment.NextKept((uint)(position.Value - segment.FirstPosition.Value));
        if (segment.Sealed is { } @sealed && ordinal >= @sealed.Record.EventCount)
        {
            return @sealed.Record.LastTime;
        }

        using var lease = segment.Lease();
        return lease.Reader.Read(segment.OffsetOf(ordinal), segment.FirstPosition + ordinal).RecordedAt;
    }

    /// <summary>Whether a committed event is still there, or a scavenge removed it.</summary>
    public bool IsThere(Position position)
    {
        using var view = _storage.LeaseView();
        var segment = SegmentOf(view, position, out _);
        var ordinal = (uint)(position.Value - segment.FirstPosition.Value);
        return segment.NextKept(ordinal) == ordinal;
    }

    /// <summary>The first committed position recorded at or after a time; behind the head if there is none.</summary>
    public Position FirstAtOrAfter(long time)
    {
        // The catalog says of whole segments when they end: only the one is looked into in which the time lies. At every start this is
        // called, and each further look would take an index into memory.
        var segments = _storage.View.Sealed;
        int first = 0, behind = segments.Length;
        while (first < behind)
        {
            var middle = (first + behind) / 2;
            (first, behind) = segments[middle].Record.LastTime >= time ? (first, middle) : (middle + 1, behind);
        }

        var low = first == 0 ? 0 : segments[first - 1].FirstPosition.Value + segments[first - 1].Record.EventCount;
        var high = first == segments.Length ? Head.Value + 1 : segments[first].FirstPosition.Value + segments[first].Record.EventCount;
        while (low < high)
        {
            var middle = low + ((high - low) / 2);
            (low, high) = RecordedAt(new Position(middle)) >= time ? (low, middle) : (middle + 1, high);
        }

        return new Position(low);
    }

    /// <summary>
    /// The stream's first version at or after a position, counted up to <paramref name="last"/>; behind it if there
    /// is none.
    /// </summary>
    public StreamVersion FirstVersionAtOrAfter(in StreamReference stream, Position position, StreamVersion last)
    {
        long low = 0, high = last.Value + 1;
        while (low < high)
        {
            var middle = low + ((high - low) / 2);
            (low, high) = PositionOf(stream, new StreamVersion(middle)) >= position ? (low, middle) : (middle + 1, high);
        }

        return new StreamVersion(low);
    }

    /// <summary>
    /// The last committed position recorded at or before a time; <see cref="Position.None"/> if there is none. It is so for ever if
    /// <see cref="ClosedTime"/>, read before, was at least that time. Of events that a scavenge removed it is the one before
    /// them, as nobody knows their times any more: no event that is still there lies between.
    /// </summary>
    public Position LastAtOrBefore(long time) => time == long.MaxValue ? Head : FirstAtOrAfter(time + 1) + -1;

    /// <summary>
    /// A stream's last version at or before a position; <see cref="StreamVersion.None"/> if there is none. Exact for versions that are still
    /// there; where a scavenge removed events it may be the last one that it removed. So compare it with
    /// <see cref="StreamLifeAt.FirstKept"/> before anything rests on it: what is exact then is so on every node.
    /// </summary>
    public StreamVersion LastVersionAt(in StreamReference stream, Position cut)
    {
        var last = LastVersion(stream);
        return cut >= Head || last == StreamVersion.None ? last : FirstVersionAtOrAfter(stream, cut + 1, last) + -1;
    }

    /// <summary>
    /// The life of a stream at a position, by all that is committed now. A few look-ups for each segment from the stream's first event on; next to
    /// nothing for a stream that was never deleted or truncated, as are the vault's own.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="cut">The position; behind the head counts as the head.</param>
    /// <exception cref="DamageException">Bytes on the way are damaged.</exception>
    /// <exception cref="IndexDamageException">A key file is.</exception>
    public StreamLifeAt LifeAt(in StreamReference stream, Position cut) => _lives.At(stream, cut);

    /// <summary>
    /// Operation ids of appends at or before this position are no longer kept; <see cref="Position.None"/>: all are. Rises
    /// before any is forgotten, and may be higher than need be by a segment.
    /// </summary>
    public Position OperationFloor => _storage.OperationFloor;

    /// <summary>
    /// Looks up what the log says about an append, before it is queued: the operation id and the streams in sealed segments,
    /// conditions in all that is committed. The sequencer then looks at what is newer.
    /// </summary>
    /// <returns>Whether its operation id is in a sealed segment; then it needs no queueing.</returns>
    /// <exception cref="DamageException">Bytes on the way are damaged.</exception>
    public bool LookUp(AppendContent append, out OperationPlace known)
    {
        var view = _storage.View;
        append.SealedSegments = view.Sealed.Length;
        known = default;
        if (view.Sealed.Length > 0)
        {
            foreach (ref var stream in append.Streams)
            {
                stream.SealedVersion = view.SealedVersion(stream.Key);
            }

            foreach (ref var required in append.Requires)
            {
                required.SealedVersion = view.SealedVersion(required.Key);
            }

            if (TryFindSealedOperation(append.OperationId, out known))
            {
                return true;
            }

            if (append.AttemptedAfter < OperationFloor)
            {
                append.Proof = AppendProof.Find(this, append);
            }
        }

        foreach (ref var condition in append.Conditions)
        {
            LookUp(ref condition);
        }

        return false;
    }

    // Committed events never change: what is not found here, up to the head, the sequencer need not look for.
    private void LookUp(ref AppendCondition condition)
    {
        condition.Found = LastMatch(condition.Filter, condition.After, out var through);
        condition.LookedUntil = through > condition.After ? through : condition.After;
    }

    /// <summary>The committed append with this operation id and its first answer; null: none, or it is forgotten.</summary>
    /// <exception cref="DamageException">Bytes on the way are damaged.</exception>
    public AppendAnswer? FindAppend(UInt128 operationId) =>
        TryFindOperation(operationId, out var place) ? ReadAnswer(place, operationId, default) : null;

    /// <summary>Where the committed append with this operation id stands; false: there is none, or it is forgotten.</summary>
    /// <exception cref="DamageException">Bytes on the way are damaged.</exception>
    public bool TryFindOperation(UInt128 operationId, out OperationPlace place)
    {
        var head = Head;
        using var lease = _storage.LeaseView();
        var view = lease.View;
        for (var i = view.Unsealed.Length - 1; i >= 0; i--)
        {
            var index = view.Unsealed[i].Index(lease);
            var offset = index.FindOperation(operationId);
            if (offset != 0)
            {
                // Groups are committed whole, and those of appends have events: a group before the last committed one's record is.
                // Where another segment follows, the head says nothing of how many events this one has.
                var end = i + 1 < view.Unsealed.Length ? view.Unsealed[i + 1].FirstPosition + -1 : head;
                var committed = CommittedIn(index, end < head ? end : head);
                place = new OperationPlace(index.Segment, offset);
                return committed > 0 && offset < index.OffsetOf(committed - 1);
            }
        }

        return TryFindSealedOperation(operationId, out place);
    }

    /// <summary>
    /// The answer that a committed append was given; null: a scavenge has just removed what it was answered, its operation id is
    /// behind the floor.
    /// </summary>
    /// <param name="place">Where it stands.</param>
    /// <param name="append">The append that has its operation id now.</param>
    public AppendAnswer? ReadAnswer(OperationPlace place, AppendContent append) => ReadAnswer(place, append.OperationId, append.Digest);

    private AppendAnswer? ReadAnswer(OperationPlace place, UInt128 operationId, UInt128 digest)
    {
        var source = SourceOf(place.Place.Segment);
        using var lease = source.Lease();
        if (source.Scavenged(lease.Reader, _storage.Meta) is { } scavenged)
        {
            // Whoever found the place may have found it in the form before this one.
            return scavenged.TryFindAppend(place.Place.Offset, operationId, out var kept)
                ? scavenged.Answer(kept, digest, source.Sealed!.Index) : null;
        }

        var body = lease.Reader.ReadGroup(place.Place.Offset, out _);
        Invariant.Check(TryFindAppend(body, operationId, out var found));
        return Answer(found, digest);
    }

    internal bool TryFindSealedOperation(UInt128 id, out OperationPlace known)
    {
        Span<Place> candidates = stackalloc Place[MostCandidates];
        Span<byte> bytes = stackalloc byte[OperationEntry.IdLengthBytes];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, id);
        var count = _storage.Operations.Find(bytes, candidates);
        foreach (var place in candidates[..count])
        {
            var source = SourceOf(place.Segment);
            using var lease = source.Lease();
            if (source.Scavenged(lease.Reader, _storage.Meta) is { } scavenged
                ? scavenged.TryFindAppend(place.Offset, id, out _)
                : TryFindAppend(lease.Reader.ReadGroup(place.Offset, out _), id, out _))
            {
                known = new OperationPlace(place.Segment, place.Offset);
                return true;
            }
        }

        known = default;
        return false;
    }

    internal StreamVersion LastVersion(UInt128 key, Position head)
    {
        using var lease = _storage.LeaseView();
        var view = lease.View;
        for (var i = view.Unsealed.Length - 1; i >= 0; i--)
        {
            var index = view.Unsealed[i].Index(lease);
            var number = index.FindStream(key);
            if (number >= 0)
            {
                var (first, count) = index.Run(number, CommittedIn(index, head), out _);
                if (count > 0)
                {
                    return first + (count - 1);
                }
            }
        }

        return view.SealedVersion(key);
    }

    /// <summary>Committed events of an unsealed segment, as of a head.</summary>
    internal static int CommittedIn(ActiveIndex index, Position head) =>
        (int)Math.Clamp(head.Value - index.FirstPosition.Value + 1, 0, int.MaxValue);

    private static bool TryFindAppend(ReadOnlySpan<byte> body, UInt128 id, out AppendView append)
    {
        while (RecordFormat.TryDecodeAppend(body, out append))
        {
            if (append.OperationId == id)
            {
                return true;
            }

            body = body[append.Length..];
        }

        return false;
    }

    private static AppendAnswer Answer(in AppendView append, UInt128 digest)
    {
        var versions = new List<StreamVersion>();
        var streams = new List<byte[]>();
        ReadOnlySpan<byte> stream = default;
        Position first = Position.None, last = Position.None;
        var recordedAt = 0L;
        for (var records = append.Records; !records.IsEmpty;)
        {
            Invariant.Check(RecordFormat.TryDecodeEvent(records, out var view));
            if (view.Stream.SequenceEqual(stream))
            {
                versions[^1] = view.Version;
            }
            else
            {
                stream = view.Stream;
                versions.Add(view.Version);
                streams.Add(stream.ToArray());
            }

            first = first == Position.None ? view.Position : first;
            last = view.Position;
            recordedAt = view.RecordedAt;
            records = records[view.RecordLength..];
        }

        return new AppendAnswer(first, last, recordedAt, append.Digest == digest, versions, streams);
    }

    private int ReadForwards<TSink>(Position from, Position last, in Shown shown, ref TSink sink)
        where TSink : IEventSink, allows ref struct
    {
        using var view = _storage.LeaseView();
        var segment = SegmentOf(view, from, out var end);
        last = end < last ? end : last;
        var ordinal = (uint)(from.Value - segment.FirstPosition.Value);
        var removed = segment.NextKept(ordinal) - ordinal;
        if (removed > 0)
        {
            // A removed run costs one page, however long it is.
            return (int)Math.Min(removed, last.Value - from.Value + 1);
        }

        var count = (int)Math.Min(PageEvents, last.Value - from.Value + 1);
        Span<uint> ordinals = stackalloc uint[PageEvents];
        for (var i = 0; i < count; i++)
        {
            ordinals[i] = ordinal + (uint)i;
        }

        return ReadOrdinals(segment, ordinals[..count], default, shown, ref sink);
    }

    private int ReadBackwards<TSink>(Position from, Position until, in Shown shown, ref TSink sink)
        where TSink : IEventSink, allows ref struct
    {
        using var view = _storage.LeaseView();
        var segment = SegmentOf(view, from, out _);
        var first = until > segment.FirstPosition ? until : segment.FirstPosition;
        var ordinal = (uint)(from.Value - segment.FirstPosition.Value);
        var removed = ordinal - segment.LastKept(ordinal);
        if (removed > 0)
        {
            return (int)Math.Min(removed, from.Value - first.Value + 1);
        }

        var count = (int)Math.Min(PageEvents, from.Value - first.Value + 1);
        Span<uint> ordinals = stackalloc uint[PageEvents];
        for (var i = 0; i < count; i++)
        {
            ordinals[i] = ordinal - (uint)i;
        }

        return ReadOrdinals(segment, ordinals[..count], default, shown, ref sink);
    }

    private static int ReadOrdinals<TSink>(
        in SegmentSource segment, scoped ReadOnlySpan<uint> ordinals, scoped ReadOnlySpan<byte> stream, in Shown shown, ref TSink sink)
        where TSink : IEventSink, allows ref struct
    {
        using var lease = segment.Lease();
        Span<uint> offsets = stackalloc uint[PageEvents];
        for (var i = 0; i < ordinals.Length; i++)
        {
            offsets[i] = ordinals[i] == NoOrdinal ? 0 : segment.OffsetOf(ordinals[i]);
        }

        for (var i = 0; i < ordinals.Length; i++)
        {
            if (i + HintAhead < ordinals.Length)
            {
                lease.Reader.Hint(offsets[i + HintAhead]);
            }

            if (offsets[i] == 0)
            {
                continue; // A scavenge removed it.
            }

            var before = i == 0 ? Stopwatch.GetTimestamp() : 0;
            var view = lease.Reader.Read(offsets[i], segment.FirstPosition + ordinals[i]);
            if (i == 0 && ordinals.Length > 1 && Stopwatch.GetTimestamp() - before > ColdTicks)
            {
                lease.Reader.Prefetch(offsets[1..ordinals.Length], view.RecordLength);
            }

            // The index finds a stream by the hash of its name; the record has the name itself.
            Invariant.Check(stream.IsEmpty || view.Stream.SequenceEqual(stream));
            if (shown.Includes(view) && !sink.Accept(view))
            {
                return i + 1;
            }
        }

        return ordinals.Length;
    }

    /// <summary>The segment that holds a committed position, and its last position.</summary>
    private static SegmentSource SegmentOf(in ViewLease lease, Position position, out Position last)
    {
        var view = lease.View;
        for (var i = view.Unsealed.Length - 1; i >= 0; i--)
        {
            if (view.Unsealed[i].FirstPosition <= position)
            {
                last = i + 1 < view.Unsealed.Length ? view.Unsealed[i + 1].FirstPosition + -1 : new Position(long.MaxValue - 1);
                return new SegmentSource(view.Unsealed[i], lease);
            }
        }

        var segment = view.Sealed[view.SealedSegmentOf(position)];
        last = segment.FirstPosition + ((long)segment.Record.EventCount - 1);
        return new SegmentSource(segment);
    }

    // The segment that holds a version, and the ordinals of it and of those behind it in the given direction.
    private SegmentSource Locate(in ViewLease lease, UInt128 key, StreamVersion version, bool backwards, Span<uint> ordinals, out int count)
    {
        var head = Head;
        var view = _storage.View; // With a head that is newer than the lease: what may be looked into is the same.
        while (true)
        {
            if (TryLocateUnsealed(lease, view, head, key, version, backwards, ordinals, out var unsealed, out count))
            {
                return unsealed;
            }

            if (view.TryFindSealedRun(key, version, out var segment, out var entry))
            {
                count = CopyOrdinals(segment.Index, entry, version, backwards, ordinals);
                return new SegmentSource(segment);
            }

            // Segments were sealed meanwhile. Views are published before the heads that need them.
            var newer = _storage.View;
            Invariant.Check(!ReferenceEquals(newer, view));
            view = newer;
        }
    }

    private static bool TryLocateUnsealed(
        in ViewLease lease, LogView view, Position head, UInt128 key, StreamVersion version, bool backwards, Span<uint> ordinals, out SegmentSource source, out int count)
    {
        for (var i = view.Unsealed.Length - 1; i >= 0; i--)
        {
            var index = view.Unsealed[i].Index(lease);
            var number = index.FindStream(key);
            if (number < 0)
            {
                continue;
            }

            var (first, events) = index.Run(number, CommittedIn(index, head), out var newest);
            if (events > 0 && version >= first && version < first + events)
            {
                var depth = (int)(version.Value - first.Value);
                count = Math.Min(ordinals.Length, backwards ? depth + 1 : events - depth);
                index.CopyOrdinals(newest, backwards ? depth - count + 1 : depth, ordinals[..count]);
                if (backwards)
                {
                    ordinals[..count].Reverse();
                }

                source = new SegmentSource(view.Unsealed[i], lease);
                return true;
            }
        }

        (source, count) = (default, 0);
        return false;
    }

    private static int CopyOrdinals(SealedIndex index, int entry, StreamVersion version, bool backwards, Span<uint> ordinals)
    {
        var run = index.Run(entry);
        var at = (int)(version.Value - run.FirstVersion);
        Invariant.Check(at >= 0 && at < run.Count);
        if (at < run.Removed)
        {
            var removed = Math.Min(ordinals.Length, backwards ? at + 1 : run.Removed - at);
            ordinals[..removed].Fill(NoOrdinal);
            return removed;
        }

        var count = Math.Min(ordinals.Length, backwards ? at - run.Removed + 1 : run.Count - at);
        for (var i = 0; i < count; i++)
        {
            ordinals[i] = index.OrdinalOf(run, backwards ? at - i : at + i);
        }

        return count;
    }

    private SegmentSource SourceOf(uint segment)
    {
        var view = _storage.View;
        return segment < view.Sealed.Length
            ? new SegmentSource(view.Sealed[segment])
            : new SegmentSource(view.Unsealed[(int)segment - view.Sealed.Length]);
    }

    // What a page hands out. The default: everything. A page of one stream is compared by version, without hashing names.
    private readonly struct Shown
    {
        private readonly StreamLives? _lives;
        private readonly StreamVersion _first;

        public Shown(StreamLives lives) => _lives = lives;

        public Shown(StreamVersion first) => _first = first;

        public bool Includes(in EventView e) => _lives is null ? e.Version >= _first : _lives.IsVisible(e);
    }

}
