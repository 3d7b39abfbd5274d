using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Text.Unicode;
using EventVault.Storage.Index;
using EventVault.Storage.Queries;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Log;

/// <summary>What a stream's last version must be.</summary>
public enum ExpectedKind : byte
{
    /// <summary>Nothing is required.</summary>
    Any = 1,

    /// <summary>The stream has no events.</summary>
    NoStream = 2,

    /// <summary>The stream has events.</summary>
    Exists = 3,

    /// <summary>The stream's last version is exactly this.</summary>
    Exact = 4,
}

#pragma warning disable CA1051, CA1711 // A row of a reused table, filled in place; and "stream" is this field's word.
/// <summary>One stream of an append, as places in the append's bytes.</summary>
public struct AppendStream
{
    internal UInt128 Key;
    internal StreamVersion SealedVersion;

    /// <summary>Offset of the name in the append's bytes.</summary>
    public int NameOffset;

    /// <summary>Length of the name in bytes.</summary>
    public int NameLength;

    /// <summary>What is expected of the stream.</summary>
    public ExpectedKind Expected;

    /// <summary>With <see cref="ExpectedKind.Exact"/>: the version.</summary>
    public StreamVersion ExpectedVersion;

    /// <summary>Its first event in the append's list.</summary>
    public int FirstEvent;

    /// <summary>How many events it gets.</summary>
    public int EventCount;

    /// <summary>After the append was checked: the stream's last version before it; −1 if it never had events.</summary>
    public StreamVersion Actual;

    /// <summary>After the append was checked: the stream's first version that can be read; behind the last one if none can.</summary>
    public StreamVersion FirstVisible;

    /// <summary>After the append was checked: whether the stream must not be written.</summary>
    public bool IsTombstoned;

    /// <summary>Whether it has events that can be read.</summary>
    public readonly bool HasEvents => Actual >= FirstVisible;
}

/// <summary>One condition of an append: no event behind a position may match its query.</summary>
public struct AppendCondition
{
    internal EventFilter Filter;

    // No committed event up to here, and behind After, matches; found out on the caller's thread.
    internal Position LookedUntil;

    // A committed event that matched when the caller's thread looked; None: the sequencer need only look at what is newer.
    internal Position Found;

    /// <summary>The query: an event that matches any of them must not be there. The digest is over these.</summary>
    public IReadOnlyList<QueryItem> Items;

    /// <summary>Events up to here don't count; <see cref="Position.None"/>: all count.</summary>
    public Position After;

    /// <summary>After the append was checked: an event that matches; <see cref="Position.None"/>: the condition holds.</summary>
    public Position Match;
}
#pragma warning restore CA1051, CA1711

/// <summary>
/// One append, checked and ready to be sequenced: the request's bytes and where in them streams and events stand.
/// Reusable; owned by one caller at a time. Not safe for concurrent use.
/// </summary>
public sealed class AppendContent(VaultStorage storage)
{
    /// <summary>Tables that one huge append made longer than this are given back: contents are kept by the thousand.</summary>
    private const int KeptRows = 64;

    // Requirements and conditions stand at these values in the place where the digest has a stream's expectation.
    private const byte RequirementMark = 0x80;
    private const byte ConditionMark = 0xc0;
    private const byte ItemMark = 0xc1;
    private const byte ReducerMark = 0xc2;

    private AppendStream[] _streams = new AppendStream[1];
    private AppendStream[] _requires = [];
    private AppendCondition[] _conditions = [];
    private (int Offset, int Length)[] _events = new (int, int)[1];
    private UInt128 _firstEventId;
    private ulong[] _keys = new ulong[8];
    private int _keysLength;
    private int _ownEvent; // Of a change or a scavenge: where its event stands, whose bytes are final only when it is sequenced.
    private byte[]? _request;

    /// <summary>Bytes that names and events point into.</summary>
    public byte[] Bytes { get; private set; } = [];

    /// <summary>Names this append.</summary>
    public UInt128 OperationId { get; set; }

    /// <summary>Its streams, in the order in which they get their positions.</summary>
    public Span<AppendStream> Streams => _streams.AsSpan(0, StreamCount);

    /// <summary>How many streams it has.</summary>
    public int StreamCount { get; private set; }

    /// <summary>Streams that it does not write and yet expects something of, in the order in which they were added.</summary>
    public Span<AppendStream> Requires => _requires.AsSpan(0, RequireCount);

    /// <summary>How many streams it requires something of.</summary>
    public int RequireCount { get; private set; }

    /// <summary>Queries that must not match, in the order in which they were added.</summary>
    public Span<AppendCondition> Conditions => _conditions.AsSpan(0, ConditionCount);

    /// <summary>How many conditions it has.</summary>
    public int ConditionCount { get; private set; }

    /// <summary>
    /// Of a retry: a head that was seen before the first attempt, <see cref="Position.None"/> if the vault was empty. Null: a
    /// first attempt. Not part of the content: retries differ from first attempts in nothing else.
    /// </summary>
    public Position? AttemptedAfter { get; set; }

    /// <summary>The answer of a first attempt whose operation id is forgotten, worked out from the events that stand there.</summary>
    public AppendAnswer? Proof { get; internal set; }

    /// <summary>
    /// After the append was checked and is ahead of the log: which condition's <c>after</c>; null: it is
    /// <see cref="AttemptedAfter"/>. And the position of the last event then.
    /// </summary>
    public (int? Condition, Position Last) Ahead { get; private set; }

    /// <summary>How many events it has, over all streams.</summary>
    public int EventCount { get; private set; }

    /// <summary>
    /// Not null: what it does to the life of a stream, the first one in <see cref="Requires"/>. Then it writes one event to
    /// <c>$streams</c>, and behind it the anchors of a truncation.
    /// </summary>
    public StreamChange? Change { get; private set; }

    /// <summary>Not null: the append that starts or stops a scavenge.</summary>
    public ScavengeChange? Scavenge { get; private set; }

    /// <summary>Not null: the retention rule that it sets. Then it writes one event to <c>$streams</c>, and no other.</summary>
    public RetentionSetting? Retention { get; private set; }

    internal UInt128 Digest { get; private set; }

    /// <summary>What its events can be found by (<see cref="EventKeys"/>): for each event how many keys it has, and the keys.</summary>
    internal ReadOnlySpan<ulong> Keys => _keys.AsSpan(0, _keysLength);

    /// <summary>
    /// Bytes it holds beside those of the request, once it was filled: rows, keys and filters. What a queue of appends holds has to
    /// count them: 50,000 events of 16 tags have 15 MiB of keys.
    /// </summary>
    public int HeldBytes
    {
        get
        {
            const int ConditionBytes = 1024; // A filter and its ways: some objects for each item, all of them small.
            const int ItemBytes = 512;
            var conditions = 0;
            foreach (ref readonly var condition in Conditions)
            {
                conditions += ConditionBytes + (ItemBytes * condition.Items.Count);
                foreach (var item in condition.Items)
                {
                    conditions += 2 * sizeof(ulong) * ((item.Types.Count + 1) * (item.Tags.Count + 1)); // The keys, and their places in a way.
                }
            }

            return ((_streams.Length + _requires.Length) * Unsafe.SizeOf<AppendStream>()) + (_events.Length * sizeof(long)) + (_keys.Length * sizeof(ulong)) + conditions;
        }
    }

    internal bool IdOfFirstEvent => _firstEventId == OperationId;

    /// <summary>Bytes it takes in the log.</summary>
    public int EncodedLength { get; private set; }

    /// <summary>Number of sealed segments when <see cref="AppendStream.SealedVersion"/> was looked up.</summary>
    internal int SealedSegments { get; set; }

    /// <summary>Starts over with other bytes; the caller keeps them unchanged until the append has completed.</summary>
    public void Reset(byte[] bytes)
    {
        Bytes = bytes;
        StreamCount = 0;
        EventCount = 0;
        RequireCount = 0;
        ConditionCount = 0;
        AttemptedAfter = null;
        Proof = null;
        OperationId = default;
        _firstEventId = default;
        EncodedLength = 0;
        Change = null;
        Scavenge = null;
        Retention = null;
        _request = null;
        if (_streams.Length > KeptRows)
        {
            _streams = new AppendStream[1];
        }

        if (_events.Length > KeptRows)
        {
            _events = new (int, int)[1];
        }

        _keysLength = 0;
        if (_keys.Length > KeptRows * EventKeys.MostPerEvent)
        {
            _keys = new ulong[8];
        }

        if (_requires.Length > KeptRows)
        {
            _requires = [];
        }

        // Filters are objects of one append: not to be held on to until the next one.
        _conditions.AsSpan().Clear();
    }

    /// <summary>Lets go of all it holds. What it was filled with must not be looked at any more.</summary>
    public void Clear() => Reset([]);

    /// <summary>Name of a stream, UTF-8.</summary>
    public ReadOnlySpan<byte> Name(in AppendStream stream) => Bytes.AsSpan(stream.NameOffset, stream.NameLength);

    /// <summary>Where an event stands in the append's bytes, by its place in the append's list.</summary>
    public (int Offset, int Length) EventAt(int i) => _events[i];

    /// <summary>The bytes of an event, by its place in the append's list.</summary>
    public ReadOnlySpan<byte> Event(int i) => Bytes.AsSpan(_events[i].Offset, _events[i].Length);

    /// <summary>Adds a stream; its events follow by <see cref="AddEvent"/>.</summary>
    public void AddStream(int nameOffset, int nameLength, ExpectedKind expected, StreamVersion version)
    {
        if (StreamCount == _streams.Length)
        {
            Array.Resize(ref _streams, StreamCount * 2);
        }

        _streams[StreamCount++] = new AppendStream
        {
            NameOffset = nameOffset,
            NameLength = nameLength,
            Expected = expected,
            ExpectedVersion = version,
            FirstEvent = EventCount,
            SealedVersion = StreamVersion.None,
            Actual = StreamVersion.None,
        };
    }

    /// <summary>Adds a stream that is not written, of which something is expected.</summary>
    /// <param name="nameOffset">Where its name begins in the append's bytes.</param>
    /// <param name="nameLength">Length of the name in bytes.</param>
    /// <param name="expected">What is expected.</param>
    /// <param name="version">With <see cref="ExpectedKind.Exact"/>: the version.</param>
    public void AddRequirement(int nameOffset, int nameLength, ExpectedKind expected, StreamVersion version)
    {
        if (RequireCount == _requires.Length)
        {
            Array.Resize(ref _requires, Math.Max(4, RequireCount * 2));
        }

        _requires[RequireCount++] = new AppendStream
        {
            NameOffset = nameOffset,
            NameLength = nameLength,
            Expected = expected,
            ExpectedVersion = version,
            SealedVersion = StreamVersion.None,
            Actual = StreamVersion.None,
        };
    }

    /// <summary>Adds a condition: no event behind <paramref name="after"/> may match any of the items.</summary>
    /// <param name="items">At least one; unchanged until the append has completed.</param>
    /// <param name="after">Events up to here don't count; <see cref="Position.None"/>: all count.</param>
    public void AddCondition(IReadOnlyList<QueryItem> items, Position after)
    {
        Invariant.Check(after >= Position.None, "Nothing lies before the first event.");
        if (ConditionCount == _conditions.Length)
        {
            Array.Resize(ref _conditions, Math.Max(1, ConditionCount * 2));
        }

        _conditions[ConditionCount++] = new AppendCondition
        {
            Filter = EventFilter.Create(storage, default, default, items, default, null),
            Items = items,
            After = after,
            LookedUntil = after,
            Found = Position.None,
            Match = Position.None,
        };
    }

    /// <summary>Adds an event to the stream added last.</summary>
    public void AddEvent(int offset, int length)
    {
        if (EventCount == _events.Length)
        {
            Array.Resize(ref _events, EventCount * 2);
        }

        _events[EventCount++] = (offset, length);
        _streams[StreamCount - 1].EventCount++;
    }

    /// <summary>
    /// Makes it the append that changes the life of a stream. The digest is over the event as it is without the version that the
    /// sequencer decides: a retry asks for the same. <see cref="OperationId"/> is set; <see cref="Check"/> follows, as
    /// with other appends.
    /// </summary>
    /// <param name="change">What happens.</param>
    /// <param name="stream">Name of the stream, not one of the vault's own.</param>
    /// <param name="expected">What is expected of it.</param>
    /// <param name="version">With <see cref="ExpectedKind.Exact"/>: its last version.</param>
    public void SetChange(StreamChange change, ReadOnlySpan<byte> stream, ExpectedKind expected, StreamVersion version)
    {
        Invariant.Check(StreamCount == 0 && RequireCount == 0 && change.Before.Value is >= 0 and <= StreamChange.MostBefore);
        Invariant.Check(change.Anchors is null || change.Kind == StreamChangeKind.Truncate, "What else takes a life away takes all of it.");
        var name = StreamLifeEvent.Stream;
        Change = change;
        AddRequirement(name.Length, stream.Length, expected, version);
        AddStream(0, name.Length, ExpectedKind.Any, default);
        AddEvent(0, 0);
        _ownEvent = name.Length + stream.Length;
        var longest = StreamLifeEvent.Encode(OperationId, change.Kind, stream, new StreamVersion(StreamChange.MostBefore));
        Bytes = [.. name, .. stream, .. longest, .. AddAnchors(change.Anchors, _ownEvent + longest.Length)];
        SetChangeEvent(change.Before);
    }

    // The stream of definitions, of which only the version is looked at, then each anchor's stream and event.
    private List<byte> AddAnchors(TruncationAnchors? anchors, int start)
    {
        if (anchors is null)
        {
            return [];
        }

        List<byte> bytes = [.. ReducersStream.Name];
        AddRequirement(start, bytes.Count, ExpectedKind.Any, default);
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var anchor in anchors.Events)
        {
            Invariant.Check(
                EventKeys.IsSystem(anchor.Stream) && !anchor.Stream.AsSpan().SequenceEqual(StreamLifeEvent.Stream) && names.Add(Convert.ToHexString(anchor.Stream)),
                "Each anchor has a stream of its own, which is the vault's.");
            AddStream(start + bytes.Count, anchor.Stream.Length, ExpectedKind.Any, default);
            bytes.AddRange(anchor.Stream);
            AddEvent(start + bytes.Count, anchor.EventData.Length);
            bytes.AddRange(anchor.EventData);
        }

        return bytes;
    }

    /// <summary>
    /// Makes it the append that defines a reducer: one event of <see cref="ReducersStream"/>. The digest is over the request alone:
    /// a retry asks for the same, whichever version it would get by now. <see cref="OperationId"/> is set; <see cref="Check"/>
    /// follows, as with other appends.
    /// </summary>
    /// <param name="json">The event's data.</param>
    /// <param name="last">Last version of the stream as it was looked at; <see cref="StreamVersion.None"/>: it had no events. Another one is a conflict.</param>
    /// <param name="request">What makes it the same operation: all that was asked for, in one form. Not to be changed until the append has completed.</param>
    public void SetReducer(ReadOnlySpan<byte> json, StreamVersion last, byte[] request)
    {
        Invariant.Check(StreamCount == 0 && RequireCount == 0 && Change is null);
        var name = ReducersStream.Name;
        var e = EventFields.Encode(OperationId, ReducersStream.Defined, json, ReducersStream.Schema);
        Bytes = [.. name, .. e];
        _request = request;
        AddStream(0, name.Length, ExpectedKind.Exact, last);
        AddEvent(name.Length, e.Length);
    }

    /// <summary>
    /// Makes it the append of one event to a stream of the vault's own that Storage does not look into. <see cref="OperationId"/> is set;
    /// <see cref="Check"/> follows, as with other appends.
    /// </summary>
    /// <param name="stream">Name of the stream, begins with <c>$</c>; neither <c>$streams</c> nor <see cref="ReducersStream"/>.</param>
    /// <param name="type">Type of the event.</param>
    /// <param name="schema">Schema version of the event.</param>
    /// <param name="json">The event's data.</param>
    /// <param name="expected">The last version that the stream must have; null: any.</param>
    public void SetVaultEvent(ReadOnlySpan<byte> stream, ReadOnlySpan<byte> type, uint schema, ReadOnlySpan<byte> json, StreamVersion? expected = null)
    {
        Invariant.Check(StreamCount == 0 && RequireCount == 0 && Change is null);
        Invariant.Check(
            EventKeys.IsSystem(stream) && !stream.SequenceEqual(StreamLifeEvent.Stream) && !stream.SequenceEqual(ReducersStream.Name),
            "What Storage reads itself has a form of its own.");
        var e = EventFields.Encode(OperationId, type, json, schema);
        Bytes = [.. stream, .. e];
        AddStream(0, stream.Length, expected is null ? ExpectedKind.Any : ExpectedKind.Exact, expected ?? default);
        AddEvent(stream.Length, e.Length);
    }

    /// <summary>
    /// Whether it speaks of a position behind the last one, where nobody can have read. Such a condition would overlook all that
    /// comes until the log has got there, and such a retry be written on a guess.
    /// </summary>
    internal bool IsAhead(Position last)
    {
        Ahead = (null, last);
        for (var i = 0; i < ConditionCount; i++)
        {
            if (_conditions[i].After > last)
            {
                Ahead = (i, last);
                return true;
            }
        }

        return AttemptedAfter > last;
    }

    /// <summary>
    /// Makes it the append that starts or stops a scavenge. The digest is over the event as it is without the floor that the
    /// sequencer adds: a retry asks for the same. <see cref="OperationId"/> is set; <see cref="Check"/> follows, as with other
    /// appends.
    /// </summary>
    public void SetScavenge(ScavengeChange change)
    {
        Invariant.Check(StreamCount == 0 && RequireCount == 0 && Change is null);
        Scavenge = change;
        _ownEvent = StreamLifeEvent.Stream.Length;
        Bytes = [.. StreamLifeEvent.Stream, .. ScavengeEvent.Encode(OperationId, change, new Position(long.MaxValue))];
        AddStream(0, _ownEvent, ExpectedKind.Any, default);
        AddEvent(0, 0);
        SetScavengeEvent(Position.None);
    }

    /// <summary>The event that starts or stops a scavenge, once the floor of the operation ids is known.</summary>
    internal void SetScavengeEvent(Position floor)
    {
        Invariant.Check(Scavenge is not null && StreamCount == 1 && EventCount == 1);
        SetOwnEvent(ScavengeEvent.Encode(OperationId, Scavenge.Value, floor));
    }

    // In place, where there is room for the longest: what stands behind it may be long, and this is the sequencer's thread.
    private void SetOwnEvent(byte[] e)
    {
        e.CopyTo(Bytes, _ownEvent);
        _events[0] = (_ownEvent, e.Length);
        EncodedLength = RecordFormat.AppendHeaderBytes(IdOfFirstEvent);
        foreach (ref readonly var stream in Streams)
        {
            Invariant.Check(stream.EventCount == 1);
            EncodedLength += RecordFormat.RecordLength(stream.NameLength, _events[stream.FirstEvent].Length);
        }
    }

    /// <summary>
    /// Makes it the append that sets a retention rule. <see cref="OperationId"/> is set; <see cref="Check"/> follows, as with
    /// other appends.
    /// </summary>
    public void SetRetention(RetentionSetting setting)
    {
        Invariant.Check(StreamCount == 0 && RequireCount == 0 && Change is null);
        var name = StreamLifeEvent.Stream;
        var e = RetentionEvent.Encode(OperationId, setting.Scope, setting.Name, setting.Rule);
        Bytes = [.. name, .. e];
        Retention = setting;
        AddStream(0, name.Length, ExpectedKind.Any, default);
        AddEvent(name.Length, e.Length);
    }

    /// <summary>The event of a change, once it is known from which version on the stream is kept.</summary>
    internal void SetChangeEvent(StreamVersion before)
    {
        Invariant.Check(Change is not null && EventCount == StreamCount && RequireCount == (Change.Anchors is null ? 1 : 2));
        SetOwnEvent(StreamLifeEvent.Encode(OperationId, Change.Kind, Name(_requires[0]), before));
    }

    /// <summary>
    /// Walks all events in full, digests the content, and computes its keys. Call it on the caller's thread:
    /// it is most of the work of an append that writes little.
    /// </summary>
    /// <param name="stream">The stream of the event concerned.</param>
    /// <param name="index">The event's place in its stream's list.</param>
    public EventProblem Check(out int stream, out int index)
    {
        var digest = new SipHash128(storage.Meta.SipKey);
        Span<byte> head = stackalloc byte[32];
        head.Clear();
        var length = 0L;
        _keysLength = 0;
        if (_request is not null)
        {
            DigestRow(ref digest, ReducerMark, _request.Length, 0, 0);
            digest.Append(_request);
        }

        // What is written beside that, and beside a truncation's own event, is worked out anew by each attempt.
        var others = new SipHash128(storage.Meta.SipKey);
        for (stream = 0; stream < StreamCount; stream++)
        {
            ref var part = ref (_request is not null || (Change is not null && stream > 0) ? ref others : ref digest);
            ref var s = ref _streams[stream];
            var name = Name(s);
            s.Key = StreamKey.Compute(name, storage.Meta.SipKey);
            BinaryPrimitives.WriteInt32LittleEndian(head, name.Length);
            head[4] = (byte)s.Expected;
            BinaryPrimitives.WriteInt64LittleEndian(head[8..], s.ExpectedVersion.Value);
            BinaryPrimitives.WriteInt32LittleEndian(head[16..], s.EventCount);
            part.Append(head);
            part.Append(name);
            for (index = 0; index < s.EventCount; index++)
            {
                var bytes = Event(s.FirstEvent + index);
                var problem = EventFields.Check(bytes, storage.Options.Limits, ref part);
                if (problem.Kind != EventProblemKind.None)
                {
                    return problem;
                }

                length += RecordFormat.RecordLength(name.Length, bytes.Length);
                AddKeys(name, bytes);
            }
        }

        stream = index = 0;
        EventFields.TryReadId(Event(0), out _firstEventId);
        length += RecordFormat.AppendHeaderBytes(IdOfFirstEvent);
        var most = storage.MaxAppendBytes;
        if (length > most)
        {
            return new EventProblem(EventProblemKind.LimitExceeded, "streams", $"the append takes {length} bytes in the log, {most} are allowed", "append_bytes", length, most);
        }

        DigestChecks(ref digest);
        EncodedLength = (int)length;
        Digest = digest.Finish();
        return EventProblem.None;
    }

    private void AddKeys(ReadOnlySpan<byte> name, ReadOnlySpan<byte> eventData)
    {
        if (_keys.Length < _keysLength + 1 + EventKeys.MostPerEvent)
        {
            Array.Resize(ref _keys, Math.Max(2 * _keys.Length, _keysLength + 1 + EventKeys.MostPerEvent));
        }

        var view = new EventView(name, eventData, default, default, recordedAt: 0, appendOrdinal: 0, recordLength: 0);
        var count = EventKeys.Of(view, storage.Meta.SipKey, _keys.AsSpan(_keysLength + 1));
        _keys[_keysLength] = (ulong)count;
        _keysLength += 1 + count;
    }

    // Adds nothing if there are none: digests of appends from before there were any stay what they are.
    private void DigestChecks(ref SipHash128 digest)
    {
        foreach (ref var required in Requires)
        {
            var name = Name(required);
            required.Key = StreamKey.Compute(name, storage.Meta.SipKey);
            if (Change is not null && name.SequenceEqual(ReducersStream.Name))
            {
                continue; // What the anchors rest on: no more part of the content than they are.
            }

            DigestRow(ref digest, (byte)(RequirementMark | (byte)required.Expected), name.Length, required.ExpectedVersion.Value, 0);
            digest.Append(name);
        }

        foreach (ref readonly var condition in Conditions)
        {
            DigestRow(ref digest, ConditionMark, condition.Items.Count, condition.After.Value, 0);
            foreach (var item in condition.Items)
            {
                DigestRow(ref digest, ItemMark, item.Types.Count, 0, item.Tags.Count);
                DigestTerms(ref digest, item.Types);
                DigestTerms(ref digest, item.Tags);
            }
        }
    }

    // As a stream's row, with another mark: no list of streams, requirements and conditions reads like another one.
    private static void DigestRow(ref SipHash128 digest, byte mark, int first, long number, int second)
    {
        Span<byte> row = stackalloc byte[32];
        row.Clear();
        BinaryPrimitives.WriteInt32LittleEndian(row, first);
        row[4] = mark;
        BinaryPrimitives.WriteInt64LittleEndian(row[8..], number);
        BinaryPrimitives.WriteInt32LittleEndian(row[16..], second);
        digest.Append(row);
    }

    private static void DigestTerms(ref SipHash128 digest, IReadOnlyList<ReadOnlyMemory<byte>> terms)
    {
        Span<byte> length = stackalloc byte[sizeof(int)];
        foreach (var term in terms)
        {
            BinaryPrimitives.WriteInt32LittleEndian(length, term.Length);
            digest.Append(length);
            digest.Append(term.Span);
        }
    }
}

/// <summary>The rules for names of streams.</summary>
public static class StreamName
{
    /// <summary>Why a name is refused; null if it is fine. The length is checked apart, as a limit.</summary>
    public static string? Problem(ReadOnlySpan<byte> name)
    {
        if (name.IsEmpty)
        {
            return "is empty";
        }

        if (!Utf8.IsValid(name))
        {
            return "is not valid UTF-8";
        }

        // Control characters: C0 and DEL are single bytes; C1 (U+0080 to U+009F) is C2 followed by 80 to 9F.
        if (name.IndexOfAnyInRange((byte)0, (byte)0x1f) >= 0 || name.Contains((byte)0x7f))
        {
            return "has a control character";
        }

        for (var rest = name; rest.IndexOf((byte)0xc2) is >= 0 and var at; rest = rest[(at + 2)..])
        {
            if (rest[at + 1] <= 0x9f)
            {
                return "has a control character";
            }
        }

        return null;
    }
}
