// A scavenged segment: what a scavenge leaves of a sealed one, under the same name. Truth. Its file is as long as need be:
//
//   header block · records · streams · names · appends · consensus · zeros · footer block
//
// The footer is the one that the segment had. The header block is a segment's (SegmentHeader), with required feature bit 1
// and behind its fields:
//
// | offset | size | meaning                                                                              |
// |     84 |    4 | zero                                                                                 |
// |     88 |    8 | scavenge point: position of the event $scavenge-started                              |
// |     96 |    8 | length of the file in bytes, a multiple of 4,096                                     |
// |    104 |   16 | digest: SipHash-128 of the block with digest and checksum zero: it covers the        |
// |        |      | checksums of all sections                                                            |
// |    120 |   12 | its index file: length i64, checksum of the header u32                               |
// |    132 |    4 | zero                                                                                 |
// |    136 |   12 | index file of the segment as it was sealed, likewise                                 |
// |    148 |    4 | zero                                                                                 |
// |    152 |    4 | events kept                                                                          |
// |    156 |    4 | streams                                                                              |
// |    160 |    4 | appends whose operation ids are kept: all of the segment's, or 0                     |
// |    164 |    4 | zero                                                                                 |
// |    168 |   60 | the five sections: offset u32, length u32, seeded CRC32C u32 each                    |
// |    228 |      | zero to the block's end                                                              |
//
// Sections follow one another, each padded with zeros to 8 bytes; the checksum leaves the padding out.
//
// records    The records of the events kept, as they were (RecordFormat), ascending by position.
// streams    A run for each stream that the segment had, 64 bytes, as in its index (SealedIndexFormat), but for bytes 28 to
//            31: the ordinal of the stream's last event, kept or not.
// names      For each of these streams u32 offset of its name, from the section's start; then the names: length u16, UTF-8.
// appends    For each append u32 offset, from the section's start, in the order of the log; then the appends, each
//            |  0 |  4 | length in bytes, a multiple of 8                                |
//            |  4 |  4 | seeded CRC32C of the bytes from 8 on                            |
//            |  8 | 16 | operation id                                                    |
//            | 24 | 16 | digest of the content                                           |
//            | 40 |  4 | offset that its group had in the segment                        |
//            | 44 |  4 | number of streams that it wrote to                              |
//            | 48 |  8 | position of its first event                                     |
//            | 56 |  8 | position of its last event                                      |
//            | 64 |  8 | recorded at                                                     |
//            | 72 | 16 | for each stream: place in the section streams u32, zero u32, last version i64 |
// consensus  Number of terms u32, length of the newest membership u32, its log index u64 (0: none); for each term log index
//            of its first group in the segment u64, term u64; then the membership's bytes.
using System.Buffers.Binary;
using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Storage.Scavenging;

/// <summary>A part of a scavenged segment.</summary>
/// <param name="Offset">Where it begins, in bytes of the file.</param>
/// <param name="Length">Bytes without padding.</param>
/// <param name="Checksum">Of these bytes.</param>
internal readonly record struct ScavengedSection(uint Offset, uint Length, uint Checksum)
{
    /// <summary>Behind its padding.</summary>
    public uint End => Offset + (uint)Blocks.Align((int)Length);
}

/// <summary>What the header block of a scavenged segment says beyond any segment's.</summary>
internal sealed record ScavengedHeader
{
    public const int SectionCount = 5;
    public const int Records = 0;
    public const int Streams = 1;
    public const int Names = 2;
    public const int Appends = 3;
    public const int Consensus = 4;

    /// <summary>Bytes of an append before its streams.</summary>
    public const int AppendLength = 72;

    /// <summary>Bytes of each stream of an append.</summary>
    public const int AppendStreamLength = 16;

    private const int DigestOffset = 104;
    private const int DigestLength = 16;
    private const int SectionsOffset = 168;
    private const int SectionLength = 12;

    /// <summary>Position of the event that started the scavenge.</summary>
    public required Position Point { get; init; }

    /// <summary>Bytes of the file.</summary>
    public required long FileLength { get; init; }

    /// <summary>Of all the file but its footer. Equal on every node that scavenged alike.</summary>
    public SegmentDigest Digest { get; init; }

    /// <summary>Its index file.</summary>
    public required SealedIndexMark Index { get; init; }

    /// <summary>The index file that the segment had when it was sealed: the catalog goes on naming that.</summary>
    public required SealedIndexMark SealedIndex { get; init; }

    /// <summary>Events that stand in it.</summary>
    public required int KeptEvents { get; init; }

    /// <summary>Streams that it had.</summary>
    public required int StreamCount { get; init; }

    /// <summary>Appends whose operation ids are kept.</summary>
    public required int KeptAppends { get; init; }

    /// <summary>Its parts, in the order of the constants.</summary>
    public required ScavengedSection[] Sections { get; init; }

    /// <summary>Writes it into a segment's header block.</summary>
    public void Encode(Span<byte> block)
    {
        Invariant.Check(block.Length == Blocks.Size && Sections.Length == SectionCount && Point > Position.None);
        Invariant.Check(FileLength % Blocks.Size == 0 && Sections[^1].End <= FileLength - Blocks.Size);
        BinaryPrimitives.WriteInt64LittleEndian(block[88..], Point.Value);
        BinaryPrimitives.WriteInt64LittleEndian(block[96..], FileLength);
        Digest.Write(block[DigestOffset..]);
        WriteMark(block[120..], Index);
        WriteMark(block[136..], SealedIndex);
        BinaryPrimitives.WriteInt32LittleEndian(block[152..], KeptEvents);
        BinaryPrimitives.WriteInt32LittleEndian(block[156..], StreamCount);
        BinaryPrimitives.WriteInt32LittleEndian(block[160..], KeptAppends);
        for (var i = 0; i < SectionCount; i++)
        {
            var section = block[(SectionsOffset + (i * SectionLength))..];
            BinaryPrimitives.WriteUInt32LittleEndian(section, Sections[i].Offset);
            BinaryPrimitives.WriteUInt32LittleEndian(section[4..], Sections[i].Length);
            BinaryPrimitives.WriteUInt32LittleEndian(section[8..], Sections[i].Checksum);
        }
    }

    /// <summary>Reads it from a segment's header block, whose checksum held; null if its numbers contradict each other.</summary>
    public static ScavengedHeader? Decode(ReadOnlySpan<byte> block)
    {
        var sections = new ScavengedSection[SectionCount];
        long end = Blocks.Size;
        var isWhole = true;
        for (var i = 0; i < SectionCount; i++)
        {
            var section = block[(SectionsOffset + (i * SectionLength))..];
            sections[i] = new ScavengedSection(
                BinaryPrimitives.ReadUInt32LittleEndian(section), BinaryPrimitives.ReadUInt32LittleEndian(section[4..]), BinaryPrimitives.ReadUInt32LittleEndian(section[8..]));
            isWhole &= sections[i].Offset == end && sections[i].Length <= StorageOptions.MaxSegmentSizeBytes;
            end = sections[i].End;
        }

        var header = new ScavengedHeader
        {
            Point = new Position(BinaryPrimitives.ReadInt64LittleEndian(block[88..])),
            FileLength = BinaryPrimitives.ReadInt64LittleEndian(block[96..]),
            Digest = SegmentDigest.Read(block[DigestOffset..]),
            Index = ReadMark(block[120..]),
            SealedIndex = ReadMark(block[136..]),
            KeptEvents = BinaryPrimitives.ReadInt32LittleEndian(block[152..]),
            StreamCount = BinaryPrimitives.ReadInt32LittleEndian(block[156..]),
            KeptAppends = BinaryPrimitives.ReadInt32LittleEndian(block[160..]),
            Sections = sections,
        };
        return isWhole && header.Point > Position.None && header.FileLength == Blocks.Ceiling(end) + Blocks.Size
            && header.KeptEvents >= 0 && header.StreamCount > 0 && header.KeptAppends >= 0
            && sections[Streams].Length == (long)header.StreamCount * SealedIndexFormat.RunLength ? header : null;
    }

    /// <summary>The digest that a header block must have.</summary>
    public static SegmentDigest ComputeDigest(ReadOnlySpan<byte> block, in SipKey key)
    {
        Span<byte> copy = stackalloc byte[Blocks.Size];
        block.CopyTo(copy);
        copy.Slice(8, 4).Clear();
        copy.Slice(DigestOffset, DigestLength).Clear();
        return SipHash128.Compute(copy, key);
    }

    private static void WriteMark(Span<byte> bytes, in SealedIndexMark mark)
    {
        BinaryPrimitives.WriteInt64LittleEndian(bytes, mark.LengthBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[8..], mark.Checksum);
    }

    private static SealedIndexMark ReadMark(ReadOnlySpan<byte> bytes) =>
        new(BinaryPrimitives.ReadInt64LittleEndian(bytes), BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]));
}
