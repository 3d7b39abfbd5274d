using System.Buffers.Binary;
using System.Text.Unicode;
using EventVault.Storage.Index;

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
#pragma warning restore CA1051, CA1711

/// <summary>
/// One append, checked and ready to be sequenced: the request's bytes and where in them streams and events stand.
/// Reusable; owned by one caller at a time. Not safe for concurrent use.
/// </summary>
public sealed class AppendContent(VaultStorage storage)
{
    /// <summary>Tables that one huge append made longer than this are given back: contents are kept by the thousand.</summary>
    private const int KeptRows = 64;

    private AppendStream[] _streams = new AppendStream[1];
    private (int Offset, int Length)[] _events = new (int, int)[1];
    private UInt128 _firstEventId;
    private AppendStream _changed;

    /// <summary>Bytes that names and events point into.</summary>
    public byte[] Bytes { get; private set; } = [];

    /// <summary>Names this append.</summary>
    public UInt128 OperationId { get; set; }

    /// <summary>Its streams, in the order in which they get their positions.</summary>
    public Span<AppendStream> Streams => _streams.AsSpan(0, StreamCount);

    /// <summary>How many streams it has.</summary>
    public int StreamCount { get; private set; }

    /// <summary>How many events it has, over all streams.</summary>
    public int EventCount { get; private set; }

    /// <summary>Not null: what it does to the life of a stream; then it writes one event to <c>$streams</c>, and no other.</summary>
    public StreamChange? Change { get; private set; }

    /// <summary>With <see cref="Change"/>: the stream to which it happens, and what is expected of it.</summary>
    public ref AppendStream ChangedStream => ref _changed;

    internal UInt128 Digest { get; private set; }

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
        OperationId = default;
        _firstEventId = default;
        EncodedLength = 0;
        Change = null;
        _changed = default;
        if (_streams.Length > KeptRows)
        {
            _streams = new AppendStream[1];
        }

        if (_events.Length > KeptRows)
        {
            _events = new (int, int)[1];
        }
    }

    /// <summary>Lets go of all it holds. What it was filled with must not be looked at any more.</summary>
    public void Clear() => Reset([]);

    /// <summary>Name of a stream, UTF-8.</summary>
    public ReadOnlySpan<byte> Name(in AppendStream stream) => Bytes.AsSpan(stream.NameOffset, stream.NameLength);

    /// <summary>Where an event stands in the append's bytes, by its place in the append's list.</summary>
    public (int Offset, int Length) EventAt(int i) => _events[i];

    internal ReadOnlySpan<byte> Event(int i) => Bytes.AsSpan(_events[i].Offset, _events[i].Length);

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
    /// Makes it the append that changes the life of a stream. <see cref="OperationId"/> is set; <see cref="Check"/> follows, as
    /// with other appends.
    /// </summary>
    /// <param name="change">What happens.</param>
    /// <param name="stream">Name of the stream, not one of the vault's own.</param>
    /// <param name="expected">What is expected of it.</param>
    /// <param name="version">With <see cref="ExpectedKind.Exact"/>: its last version.</param>
    public void SetChange(StreamChange change, ReadOnlySpan<byte> stream, ExpectedKind expected, StreamVersion version)
    {
        Invariant.Check(StreamCount == 0 && change.Before.Value is >= 0 and <= StreamChange.MostBefore);
        var name = StreamLifeEvent.Stream;
        var bytes = new byte[name.Length + stream.Length];
        name.CopyTo(bytes);
        stream.CopyTo(bytes.AsSpan(name.Length));
        Bytes = bytes;
        Change = change;
        _changed = new AppendStream { NameOffset = name.Length, NameLength = stream.Length, Expected = expected, ExpectedVersion = version, SealedVersion = StreamVersion.None };
        AddStream(0, name.Length, ExpectedKind.Any, default);
        AddEvent(0, 0);
        SetChangeEvent(change.Before);
    }

    /// <summary>The event of a change, once it is known from which version on the stream is kept.</summary>
    internal void SetChangeEvent(StreamVersion before)
    {
        Invariant.Check(Change is not null && StreamCount == 1 && EventCount == 1);
        var start = _changed.NameOffset + _changed.NameLength;
        var e = StreamLifeEvent.Encode(OperationId, Change.Kind, Name(_changed), before);
        Bytes = [.. Bytes.AsSpan(0, start), .. e];
        _events[0] = (start, e.Length);
        EncodedLength = RecordFormat.AppendHeaderBytes(IdOfFirstEvent) + RecordFormat.RecordLength(_streams[0].NameLength, e.Length);
    }

    /// <summary>
    /// Walks all events in full, digests the content, and looks up what is sealed. Call it on the caller's thread:
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
        for (stream = 0; stream < StreamCount; stream++)
        {
            ref var s = ref _streams[stream];
            var name = Name(s);
            s.Key = StreamKey.Compute(name, storage.Meta.SipKey);
            BinaryPrimitives.WriteInt32LittleEndian(head, name.Length);
            head[4] = (byte)s.Expected;
            BinaryPrimitives.WriteInt64LittleEndian(head[8..], s.ExpectedVersion.Value);
            BinaryPrimitives.WriteInt32LittleEndian(head[16..], s.EventCount);
            digest.Append(head);
            digest.Append(name);
            for (index = 0; index < s.EventCount; index++)
            {
                var bytes = Event(s.FirstEvent + index);
                var problem = EventFields.Check(bytes, storage.Options.Limits, ref digest);
                if (problem.Kind != EventProblemKind.None)
                {
                    return problem;
                }

                length += RecordFormat.RecordLength(name.Length, bytes.Length);
            }
        }

        if (Change is not null)
        {
            // The name is in the event; the event's version is not decided yet, and no part of what was asked for.
            _changed.Key = StreamKey.Compute(Name(_changed), storage.Meta.SipKey);
            head.Clear();
            head[4] = (byte)_changed.Expected;
            BinaryPrimitives.WriteInt64LittleEndian(head[8..], _changed.ExpectedVersion.Value);
            digest.Append(head);
        }

        stream = index = 0;
        EventFields.TryReadId(Event(0), out _firstEventId);
        length += RecordFormat.AppendHeaderBytes(IdOfFirstEvent);
        var most = storage.MaxAppendBytes;
        if (length > most)
        {
            return new EventProblem(EventProblemKind.LimitExceeded, "streams", $"the append takes {length} bytes in the log, {most} are allowed", "append_bytes", length, most);
        }

        EncodedLength = (int)length;
        Digest = digest.Finish();
        return EventProblem.None;
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
