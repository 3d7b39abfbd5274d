using System.Buffers.Binary;

namespace EventVault.Storage.Index;

// Index of one sealed segment (NNN.ix): immutable, rebuildable. Sections and header are padded with zeros to
// 64 bytes; the padding of a section is covered by its checksum.
//
//  Header
//  offset size type  meaning
//       0   40       common part (FileHeader), magic "EVINDEX\n"
//      40    4 u32   segment
//      44    4 u32   number of events in the segment
//      48    8 i64   position of the first event (of the vault's next one if there is none)
//      56    8 u64   file length in bytes
//      64    4 u32   number of streams
//      68    4 u32   number of sections, n
//      72   24       zero
//      96  32n       section table
//
//  Section table entry
//       0    4 u32   kind, from 1
//       4    4 u32   flags; bit 0: required, a reader that does not know the kind refuses the file
//       8    8 u64   offset, a multiple of 64
//      16    8 u64   length in bytes, without padding
//      24    4 u32   CRC32C of the section with its padding
//      28    4 u32   zero
//
//  Section 1: streams, ascending by key; entry e at 64e
//       0   16 u128  stream key
//      16    8 i64   first version
//      24    4 u32   number of events, from 1
//      28    4 u32   where its ordinals begin in section 2
//      32   12       previous node: segment u32, entry u32, depth u32; depth 0: none
//      44   12       jump node, likewise
//      56    4 u32   flags; bit 0: stream first seen in this segment
//      60    4 u32   how many of the first events a scavenge removed
//  Section 2: u32 ordinals of the events of each stream, stream after stream, ascending in each; of removed ones none, but of
//             a stream's last event if all were removed
//  Section 3: u32 byte offset >> 3 of each event's record that is not removed, by ordinal
//  Section 4: marks, ascending: log index u64, time i64, ordinal u32, byte offset u32
//  Section 5: u32 entries of the streams first seen in this segment, ascending by the bytes of their names
//  Section 6, in indexes of scavenged segments only: which events are not removed; for each 64 ordinals, 12 bytes:
//       0    8 u64   a bit for each that is not, the lowest one for the first
//       8    4 u32   how many are not before these 64

/// <summary>The bytes of an index file; <see cref="SealedIndex"/> reads and <see cref="SealedIndexWriter"/> writes them.</summary>
internal static class SealedIndexFormat
{
    public const uint Version = 1;
    public const string TemporarySuffix = ".tmp";
    public const int FixedHeaderLength = 96;
    public const int SectionEntryLength = 32;
    public const int MaxSections = 256; // a bound for reading, far above what any version will define
    public const int RunLength = 64;
    public const int MarkLength = 24;

    public const uint StreamsSection = 1;
    public const uint OrdinalsSection = 2;
    public const uint OffsetsSection = 3;
    public const uint MarksSection = 4;
    public const uint NewStreamsSection = 5;
    public const uint KeptSection = 6;
    public const int SectionCount = 5;

    /// <summary>In the index of a scavenged segment.</summary>
    public const int ScavengedSectionCount = 6;

    /// <summary>Bytes of <see cref="KeptSection"/> for each <see cref="KeptOrdinals"/>.</summary>
    public const int KeptLength = 12;

    public const int KeptOrdinals = 64;

    private const uint RequiredSection = 1;

    public static ReadOnlySpan<byte> Magic => "EVINDEX\n"u8;

    public static int HeaderLength(int sections) => FixedHeaderLength + (sections * SectionEntryLength);

    public static long Align(long length) => (length + 63) & ~63L;

    public static uint WriteHeader(
        Span<byte> header, uint segment, int events, long firstPosition, long fileLength, int streams)
    {
        FileHeader.Write(header, Magic, Version);
        BinaryPrimitives.WriteUInt32LittleEndian(header[40..], segment);
        BinaryPrimitives.WriteInt32LittleEndian(header[44..], events);
        BinaryPrimitives.WriteInt64LittleEndian(header[48..], firstPosition);
        BinaryPrimitives.WriteInt64LittleEndian(header[56..], fileLength);
        BinaryPrimitives.WriteInt32LittleEndian(header[64..], streams);
        BinaryPrimitives.WriteInt32LittleEndian(header[68..], (header.Length - FixedHeaderLength) / SectionEntryLength);
        return FileHeader.Seal(header);
    }

    public static uint Segment(ReadOnlySpan<byte> header) => BinaryPrimitives.ReadUInt32LittleEndian(header[40..]);

    public static int Events(ReadOnlySpan<byte> header) => BinaryPrimitives.ReadInt32LittleEndian(header[44..]);

    public static long FirstPosition(ReadOnlySpan<byte> header) => BinaryPrimitives.ReadInt64LittleEndian(header[48..]);

    public static long FileLength(ReadOnlySpan<byte> header) => BinaryPrimitives.ReadInt64LittleEndian(header[56..]);

    public static int Streams(ReadOnlySpan<byte> header) => BinaryPrimitives.ReadInt32LittleEndian(header[64..]);

    public static int Sections(ReadOnlySpan<byte> header) => BinaryPrimitives.ReadInt32LittleEndian(header[68..]);

    public static void WriteSectionKind(Span<byte> header, int section, uint kind)
    {
        Span<byte> entry = Entry(header, section);
        BinaryPrimitives.WriteUInt32LittleEndian(entry, kind);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[4..], RequiredSection);
    }

    public static void WriteSectionPlace(Span<byte> header, int section, long offset, long length, uint checksum)
    {
        Span<byte> entry = Entry(header, section);
        BinaryPrimitives.WriteInt64LittleEndian(entry[8..], offset);
        BinaryPrimitives.WriteInt64LittleEndian(entry[16..], length);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[24..], checksum);
    }

    public static (uint Kind, bool Required, long Offset, long Length, uint Checksum) ReadSection(
        ReadOnlySpan<byte> header, int section)
    {
        ReadOnlySpan<byte> entry = header.Slice(FixedHeaderLength + (section * SectionEntryLength), SectionEntryLength);
        return (
            BinaryPrimitives.ReadUInt32LittleEndian(entry),
            (BinaryPrimitives.ReadUInt32LittleEndian(entry[4..]) & RequiredSection) != 0,
            BinaryPrimitives.ReadInt64LittleEndian(entry[8..]),
            BinaryPrimitives.ReadInt64LittleEndian(entry[16..]),
            BinaryPrimitives.ReadUInt32LittleEndian(entry[24..]));
    }

    public static void WriteRun(Span<byte> bytes, in StreamRun run)
    {
        BinaryPrimitives.WriteUInt128LittleEndian(bytes, run.Key);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[16..], run.FirstVersion);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[24..], run.Count);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[28..], run.FirstOrdinalIndex);
        WriteNode(bytes[32..], run.Previous);
        WriteNode(bytes[44..], run.Jump);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[56..], run.Flags);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[60..], run.Removed);
    }

    public static StreamRun ReadRun(ReadOnlySpan<byte> bytes) => new()
    {
        Key = BinaryPrimitives.ReadUInt128LittleEndian(bytes),
        FirstVersion = BinaryPrimitives.ReadInt64LittleEndian(bytes[16..]),
        Count = BinaryPrimitives.ReadInt32LittleEndian(bytes[24..]),
        FirstOrdinalIndex = BinaryPrimitives.ReadInt32LittleEndian(bytes[28..]),
        Previous = ReadNode(bytes[32..]),
        Jump = ReadNode(bytes[44..]),
        Flags = BinaryPrimitives.ReadUInt32LittleEndian(bytes[56..]),
        Removed = BinaryPrimitives.ReadInt32LittleEndian(bytes[60..]),
    };

    public static void WriteMark(Span<byte> bytes, in SparseMark mark)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, mark.LogIndex);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[8..], mark.Time);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[16..], mark.Ordinal);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[20..], mark.Offset);
    }

    public static SparseMark ReadMark(ReadOnlySpan<byte> bytes) => new(
        BinaryPrimitives.ReadUInt64LittleEndian(bytes),
        BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]),
        BinaryPrimitives.ReadUInt32LittleEndian(bytes[16..]),
        BinaryPrimitives.ReadUInt32LittleEndian(bytes[20..]));

    private static Span<byte> Entry(Span<byte> header, int section) =>
        header.Slice(FixedHeaderLength + (section * SectionEntryLength), SectionEntryLength);

    private static void WriteNode(Span<byte> bytes, in ChainNode node)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, node.Segment);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[4..], node.Entry);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[8..], node.Depth);
    }

    private static ChainNode ReadNode(ReadOnlySpan<byte> bytes) => new(
        BinaryPrimitives.ReadUInt32LittleEndian(bytes),
        BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]),
        BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]));
}
