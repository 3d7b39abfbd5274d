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

    /// <summary>After the append was checked: the stream's last version before it; −1 if it has no events.</summary>
    public StreamVersion Actual;
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
    private ulong[] _keys = new ulong[8];
    private int _keysLength;

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

    internal UInt128 Digest { get; private set; }

    /// <summary>What its events can be found by (<see cref="EventKeys"/>): for each event how many keys it has, and the keys.</summary>
    internal ReadOnlySpan<ulong> Keys => _keys.AsSpan(0, _keysLength);

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
