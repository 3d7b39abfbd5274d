// The body of a group: appends, each a header followed by its records. Truth. All lengths are multiples of 8 and
// padding is zero.
//
// Append header
// | offset | size | meaning                                                                          |
// |      0 |    4 | length in bytes, with its records                                                |
// |      4 |    2 | header length: 24, or 40 with an operation id; later versions may add to it      |
// |      6 |    1 | kind: 1 append                                                                   |
// |      7 |    1 | flags: 1 = the operation id is the id of the first event, and left out here      |
// |      8 |   16 | digest of the decoded content (EventFields), to tell a retry from a reused id    |
// |     24 |   16 | operation id, unless flag 1                                                      |
//
// Record header
// | offset | size | meaning                                                                          |
// |      0 |    4 | length in bytes, with name, event and padding                                    |
// |      4 |    4 | CRC32C, started with the vault's seed, of the bytes from 8 on                    |
// |      8 |    2 | header length: 40                                                                |
// |     10 |    1 | kind: 1 event                                                                    |
// |     11 |    1 | padding bytes at the end, 0 to 7                                                 |
// |     12 |    2 | ordinal of its append in the group                                               |
// |     14 |    2 | length of the stream's name                                                      |
// |     16 |    8 | position                                                                         |
// |     24 |    8 | version in its stream                                                            |
// |     32 |    8 | recorded at, 100 ns ticks since 1970                                             |
// |     40 |      | stream name (UTF-8) · the event: bytes of the message EventData as they came · 0 |
using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace EventVault.Storage.Log;

internal static class RecordFormat
{
    public const int AppendHeaderLength = 24;
    public const int AppendHeaderWithIdLength = 40;
    public const int RecordHeaderLength = 40;

    /// <summary>Longest stream name, in bytes of UTF-8. Fits the 2-byte field and keeps headers small.</summary>
    public const int MaxNameBytes = 1024;

    private const byte KindAppend = 1;
    private const byte KindEvent = 1;
    private const byte FlagIdOfFirstEvent = 1;

    public static int RecordLength(int nameLength, int eventLength) =>
        Blocks.Align(RecordHeaderLength + nameLength + eventLength);

    public static int AppendHeaderBytes(bool idOfFirstEvent) => idOfFirstEvent ? AppendHeaderLength : AppendHeaderWithIdLength;

    public static void EncodeAppend(Span<byte> header, int length, UInt128 digest, UInt128 operationId, bool idOfFirstEvent)
    {
        BinaryPrimitives.WriteInt32LittleEndian(header, length);
        BinaryPrimitives.WriteUInt16LittleEndian(header[4..], (ushort)AppendHeaderBytes(idOfFirstEvent));
        header[6] = KindAppend;
        header[7] = idOfFirstEvent ? FlagIdOfFirstEvent : (byte)0;
        BinaryPrimitives.WriteUInt128LittleEndian(header[8..], digest);
        if (!idOfFirstEvent)
        {
            BinaryPrimitives.WriteUInt128BigEndian(header[24..], operationId);
        }
    }

    /// <summary>Writes a whole record; returns its length.</summary>
    public static int EncodeEvent(
        Span<byte> record, int appendOrdinal, ReadOnlySpan<byte> name, ReadOnlySpan<byte> eventData,
        Position position, StreamVersion version, long recordedAt, uint seed)
    {
        Invariant.Check(name.Length is > 0 and <= MaxNameBytes);
        Invariant.Check(appendOrdinal is >= 0 and <= ushort.MaxValue);
        Invariant.Check(position.Value >= 0 && version.Value >= 0 && recordedAt > 0);
        var used = RecordHeaderLength + name.Length + eventData.Length;
        var length = Blocks.Align(used);
        record = record[..length];
        BinaryPrimitives.WriteInt32LittleEndian(record, length);
        BinaryPrimitives.WriteUInt16LittleEndian(record[8..], RecordHeaderLength);
        record[10] = KindEvent;
        record[11] = (byte)(length - used);
        BinaryPrimitives.WriteUInt16LittleEndian(record[12..], (ushort)appendOrdinal);
        BinaryPrimitives.WriteUInt16LittleEndian(record[14..], (ushort)name.Length);
        BinaryPrimitives.WriteInt64LittleEndian(record[16..], position.Value);
        BinaryPrimitives.WriteInt64LittleEndian(record[24..], version.Value);
        BinaryPrimitives.WriteInt64LittleEndian(record[32..], recordedAt);
        name.CopyTo(record[RecordHeaderLength..]);
        eventData.CopyTo(record[(RecordHeaderLength + name.Length)..]);
        record[used..].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(record[4..], Checksum.Compute(record[8..], seed));
        return length;
    }

    /// <summary>Reads the append header at the start of <paramref name="body"/>; false if it breaks the format.</summary>
    public static bool TryDecodeAppend(ReadOnlySpan<byte> body, out AppendView append)
    {
        append = default;
        if (body.Length < AppendHeaderLength)
        {
            return false;
        }

        var length = BinaryPrimitives.ReadInt32LittleEndian(body);
        var headerLength = BinaryPrimitives.ReadUInt16LittleEndian(body[4..]);
        var idOfFirstEvent = (body[7] & FlagIdOfFirstEvent) != 0;
        if (body[6] != KindAppend || headerLength < AppendHeaderBytes(idOfFirstEvent) || headerLength % Blocks.Alignment != 0
            || length > body.Length || length % Blocks.Alignment != 0 || length < headerLength + RecordHeaderLength)
        {
            return false;
        }

        var records = body[headerLength..length];
        UInt128 id;
        if (!idOfFirstEvent)
        {
            id = BinaryPrimitives.ReadUInt128BigEndian(body[24..]);
        }
        else if (!TryDecodeEvent(records, out var first) || !EventFields.TryReadId(first.EventData, out id))
        {
            return false;
        }

        append = new AppendView(length, id, BinaryPrimitives.ReadUInt128LittleEndian(body[8..]), records);
        return true;
    }

    /// <summary>Reads the record at the start of the bytes without its checksum; false if it breaks the format.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TryDecodeEvent(ReadOnlySpan<byte> bytes, out EventView view)
    {
        view = default;
        if (bytes.Length < RecordHeaderLength)
        {
            return false;
        }

        var length = BinaryPrimitives.ReadInt32LittleEndian(bytes);
        var headerLength = BinaryPrimitives.ReadUInt16LittleEndian(bytes[8..]);
        var padding = bytes[11];
        var nameLength = BinaryPrimitives.ReadUInt16LittleEndian(bytes[14..]);
        var eventLength = length - headerLength - nameLength - padding;
        if (bytes[10] != KindEvent || headerLength < RecordHeaderLength || length > bytes.Length || length % Blocks.Alignment != 0
            || padding >= Blocks.Alignment || nameLength is 0 or > MaxNameBytes || eventLength < 0)
        {
            return false;
        }

        view = new EventView(
            bytes.Slice(headerLength, nameLength),
            bytes.Slice(headerLength + nameLength, eventLength),
            new Position(BinaryPrimitives.ReadInt64LittleEndian(bytes[16..])),
            new StreamVersion(BinaryPrimitives.ReadInt64LittleEndian(bytes[24..])),
            BinaryPrimitives.ReadInt64LittleEndian(bytes[32..]),
            BinaryPrimitives.ReadUInt16LittleEndian(bytes[12..]),
            length);
        return view.Position.Value >= 0 && view.Version.Value >= 0;
    }

    /// <summary>Reads a record and checks its checksum.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TryReadEvent(ReadOnlySpan<byte> bytes, uint seed, out EventView view) =>
        TryDecodeEvent(bytes, out view)
        && BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]) == Checksum.Compute(bytes[8..view.RecordLength], seed);
}

/// <summary>One append in a group's body.</summary>
internal readonly ref struct AppendView(int length, UInt128 operationId, UInt128 digest, ReadOnlySpan<byte> records)
{
    public readonly int Length = length;
    public readonly UInt128 OperationId = operationId;
    public readonly UInt128 Digest = digest;
    public readonly ReadOnlySpan<byte> Records = records;
}

/// <summary>An event where it stands in the log. Valid only while the reader that handed it out says so.</summary>
public readonly ref struct EventView
{
    internal EventView(
        ReadOnlySpan<byte> stream, ReadOnlySpan<byte> eventData, Position position, StreamVersion version,
        long recordedAt, int appendOrdinal, int recordLength)
    {
        Stream = stream;
        EventData = eventData;
        Position = position;
        Version = version;
        RecordedAt = recordedAt;
        AppendOrdinal = appendOrdinal;
        RecordLength = recordLength;
    }

    /// <summary>Name of the stream, UTF-8.</summary>
    public ReadOnlySpan<byte> Stream { get; }

    /// <summary>The client's bytes of the message <c>EventData</c>, exactly as they came.</summary>
    public ReadOnlySpan<byte> EventData { get; }

    /// <summary>Place in the vault.</summary>
    public Position Position { get; }

    /// <summary>Place in the stream.</summary>
    public StreamVersion Version { get; }

    /// <summary>100 ns ticks since 1970.</summary>
    public long RecordedAt { get; }

    /// <summary>Whether the stream is one of the vault's own (its name starts with <c>$</c>).</summary>
    public bool IsSystem => Stream[0] == (byte)'$';

    internal int AppendOrdinal { get; }

    internal int RecordLength { get; }
}
