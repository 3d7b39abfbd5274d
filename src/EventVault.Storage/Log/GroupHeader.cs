// A group: one entry of the Raft log, written and flushed whole. Appends of clients, or a system record. Truth.
//
// | offset | size | meaning                                                                          |
// |      0 |    4 | magic "EVGR"                                                                     |
// |      4 |    1 | kind: 1 appends, 2 system                                                        |
// |      5 |    1 | zero                                                                             |
// |      6 |    2 | header length: 104                                                               |
// |      8 |    4 | body length in bytes, a multiple of 8                                            |
// |     12 |    4 | CRC32C of the body                                                               |
// |     16 |    8 | own place: segment number << 32 | offset                                         |
// |     24 |    8 | Raft term                                                                        |
// |     32 |    8 | log index                                                                        |
// |     40 |    8 | position of the first event                                                      |
// |     48 |    8 | time: append k of the group is recorded at time + k, 100 ns ticks since 1970     |
// |        |      | (a system group takes one tick)                                                  |
// |     56 |    8 | the leader's commit index when it made the group                                 |
// |     64 |    4 | number of appends; 0 in a system group                                           |
// |     68 |    4 | number of events; 0 in a system group                                            |
// |     72 |    4 | checksum of the group before (its field at 84)                                   |
// |     76 |    8 | zero                                                                             |
// |     84 |    4 | CRC32C of bytes 0 to 83: the group's checksum, chained into the next             |
// |     88 |    8 | node-local: log index known durable on this disk when the group was written      |
// |     96 |    4 | node-local: start number                                                         |
// |    100 |    4 | node-local: CRC32C of the group's checksum and bytes 88 to 99                    |
// |    104 |      | body: appends (RecordFormat), or one system record (SystemRecord)                |
//
// Every checksum is started with the vault's seed, a secret: bytes of a client's making can't pass for a group.
using System.Buffers.Binary;

namespace EventVault.Storage.Log;

internal readonly record struct GroupHeader(
    int BodyLength, uint BodyChecksum, Place Place, Term Term, LogIndex Index, Position FirstPosition, long Time,
    LogIndex LeaderCommit, int Appends, int Events, uint PreviousGroup)
{
    public const int Length = 104;
    public const int SharedLength = 88;
    private const uint Magic = 0x52475645; // "EVGR"
    private const byte KindAppends = 1;
    private const byte KindSystem = 2;

    /// <summary>Bytes in the log, header and body.</summary>
    public int TotalLength => Length + BodyLength;

    /// <summary>Whether its body is a system record: no appends, no events, no positions.</summary>
    public bool IsSystem => Appends == 0;

    /// <summary>Ticks it takes: the time of its last append, or of the system record.</summary>
    public long LastTime => Time + Math.Max(1, Appends) - 1;

    /// <summary>Where the log ends if this is its last group.</summary>
    /// <param name="checksum">The group's checksum.</param>
    public LogEnd EndWith(uint checksum) => new(
        Place with { Offset = Place.Offset + (uint)TotalLength }, checksum, Index, FirstPosition + (Events - 1), LastTime, Term);

    /// <summary>Writes the part that is the same on every node; returns the group's checksum.</summary>
    public uint EncodeShared(Span<byte> header, uint seed)
    {
        Invariant.Check(BodyLength > 0 && BodyLength % Blocks.Alignment == 0);
        Invariant.Check(Place.Offset % Blocks.Alignment == 0 && Place.Offset >= Blocks.Size);
        Invariant.Check(Appends >= 0 && Events > 0 == Appends > 0 && Index.Value > 0 && Time > 0);
        header[..Length].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(header, Magic);
        header[4] = IsSystem ? KindSystem : KindAppends;
        BinaryPrimitives.WriteUInt16LittleEndian(header[6..], Length);
        BinaryPrimitives.WriteInt32LittleEndian(header[8..], BodyLength);
        BinaryPrimitives.WriteUInt32LittleEndian(header[12..], BodyChecksum);
        BinaryPrimitives.WriteUInt64LittleEndian(header[16..], PlaceWord(Place));
        BinaryPrimitives.WriteUInt64LittleEndian(header[24..], Term.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(header[32..], Index.Value);
        BinaryPrimitives.WriteInt64LittleEndian(header[40..], FirstPosition.Value);
        BinaryPrimitives.WriteInt64LittleEndian(header[48..], Time);
        BinaryPrimitives.WriteUInt64LittleEndian(header[56..], LeaderCommit.Value);
        BinaryPrimitives.WriteInt32LittleEndian(header[64..], Appends);
        BinaryPrimitives.WriteInt32LittleEndian(header[68..], Events);
        BinaryPrimitives.WriteUInt32LittleEndian(header[72..], PreviousGroup);
        var checksum = Checksum.Compute(header[..84], seed);
        BinaryPrimitives.WriteUInt32LittleEndian(header[84..], checksum);
        return checksum;
    }

    /// <summary>Writes the node's own part, when the group goes to this node's disk.</summary>
    public static void EncodeLocal(Span<byte> header, LogIndex durable, uint startNumber, uint seed)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(header[88..], durable.Value);
        BinaryPrimitives.WriteUInt32LittleEndian(header[96..], startNumber);
        BinaryPrimitives.WriteUInt32LittleEndian(header[100..], Checksum.Compute(header.Slice(84, 16), seed));
    }

    /// <summary>Whether these bytes can begin a header: the cheap test before <see cref="TryDecode"/>.</summary>
    public static bool MayBegin(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt32LittleEndian(bytes) == Magic;

    /// <summary>
    /// Reads a header and checks both its checksums; the body is not looked at. A header from another place (a
    /// copy of log bytes inside an event, say) is not a header here.
    /// </summary>
    public static bool TryDecode(ReadOnlySpan<byte> bytes, Place place, uint seed, out GroupHeader header, out GroupLocal local)
    {
        local = default;
        header = default;
        if (bytes.Length < Length || !MayBegin(bytes)
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes[100..]) != Checksum.Compute(bytes.Slice(84, 16), seed)
            || BinaryPrimitives.ReadUInt64LittleEndian(bytes[16..]) != PlaceWord(place)
            || !TryDecodeShared(bytes, seed, out header, out var checksum))
        {
            return false;
        }

        local = new GroupLocal(
            checksum,
            new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(bytes[88..])),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[96..]));
        return true;
    }

    /// <summary>
    /// Reads the part that is the same on every node and checks its checksum: of a group that came from a peer. Neither
    /// the node's own part nor the place is looked at.
    /// </summary>
    public static bool TryDecodeShared(ReadOnlySpan<byte> bytes, uint seed, out GroupHeader header, out uint checksum)
    {
        header = default;
        checksum = 0;
        if (bytes.Length < Length || !MayBegin(bytes))
        {
            return false;
        }

        checksum = BinaryPrimitives.ReadUInt32LittleEndian(bytes[84..]);
        if (checksum != Checksum.Compute(bytes[..84], seed))
        {
            return false;
        }

        var word = BinaryPrimitives.ReadUInt64LittleEndian(bytes[16..]);
        var place = new Place((uint)(word >> 32), (uint)word);
        if (bytes[4] is not (KindAppends or KindSystem) || BinaryPrimitives.ReadUInt16LittleEndian(bytes[6..]) != Length)
        {
            throw new UnsupportedFormatException(SegmentHeader.FileName(place.Segment), $"groups of kind {bytes[4]} with headers of {BinaryPrimitives.ReadUInt16LittleEndian(bytes[6..])} bytes (offset {place.Offset})");
        }

        header = new GroupHeader(
            BinaryPrimitives.ReadInt32LittleEndian(bytes[8..]),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]),
            place,
            new Term(BinaryPrimitives.ReadUInt64LittleEndian(bytes[24..])),
            new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(bytes[32..])),
            new Position(BinaryPrimitives.ReadInt64LittleEndian(bytes[40..])),
            BinaryPrimitives.ReadInt64LittleEndian(bytes[48..]),
            new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(bytes[56..])),
            BinaryPrimitives.ReadInt32LittleEndian(bytes[64..]),
            BinaryPrimitives.ReadInt32LittleEndian(bytes[68..]),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[72..]));
        var isSystem = bytes[4] == KindSystem;
        return header.BodyLength > 0 && header.BodyLength % Blocks.Alignment == 0
            && (isSystem ? header.Appends == 0 && header.Events == 0 : header.Appends > 0 && header.Events > 0);
    }

    private static ulong PlaceWord(Place place) => ((ulong)place.Segment << 32) | place.Offset;
}

/// <summary>What a group's header says beyond the shared part.</summary>
/// <param name="GroupChecksum">The group's own checksum, chained into the next group.</param>
/// <param name="Durable">Log index known durable on this disk when the group was written.</param>
/// <param name="StartNumber">Start of this data directory in which it was written.</param>
internal readonly record struct GroupLocal(uint GroupChecksum, LogIndex Durable, uint StartNumber);
