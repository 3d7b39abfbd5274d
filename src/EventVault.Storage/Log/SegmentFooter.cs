// Last block of a finalised segment file: written once every group in it is committed. Rebuildable: all of it
// follows from the groups.
//
// | offset | size | meaning                                                                          |
// |      0 |    8 | magic "EVFOOT\0\1"                                                               |
// |      8 |    4 | CRC32C, started with the vault's seed, of the block with this field zero         |
// |     12 |    4 | segment number                                                                   |
// |     16 |    4 | end: offset behind the last group                                                |
// |     20 |    4 | checksum of the last group, as in GroupHeader                                    |
// |     24 |    8 | first log index                                                                  |
// |     32 |    8 | last log index                                                                   |
// |     40 |    8 | term of the first group                                                          |
// |     48 |    8 | term of the last group                                                           |
// |     56 |    8 | first position                                                                   |
// |     64 |    8 | number of events                                                                 |
// |     72 |    8 | number of appends                                                                |
// |     80 |    8 | time of the first append                                                         |
// |     88 |    8 | time of the last append                                                          |
// |     96 |   16 | digest: SipHash-128 of the shared headers of all groups, which cover their bodies |
// |    112 |    4 | offset of the newest membership's group; 0: no membership in this segment       |
// |    116 |      | zero to the block's end                                                          |
using System.Buffers.Binary;
using EventVault.Storage.Index;

namespace EventVault.Storage.Log;

internal readonly record struct SegmentFooter(
    uint Segment, uint End, uint LastGroup, LogIndex FirstIndex, LogIndex LastIndex, Term FirstTerm, Term LastTerm,
    Position FirstPosition, long Events, long Appends, long FirstTime, long LastTime, SegmentDigest Digest, uint Membership)
{
    private static ReadOnlySpan<byte> Magic => "EVFOOT\0\u0001"u8;

    public void Encode(Span<byte> block, uint seed)
    {
        Invariant.Check(block.Length == Blocks.Size);
        block.Clear();
        Magic.CopyTo(block);
        BinaryPrimitives.WriteUInt32LittleEndian(block[12..], Segment);
        BinaryPrimitives.WriteUInt32LittleEndian(block[16..], End);
        BinaryPrimitives.WriteUInt32LittleEndian(block[20..], LastGroup);
        BinaryPrimitives.WriteUInt64LittleEndian(block[24..], FirstIndex.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(block[32..], LastIndex.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(block[40..], FirstTerm.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(block[48..], LastTerm.Value);
        BinaryPrimitives.WriteInt64LittleEndian(block[56..], FirstPosition.Value);
        BinaryPrimitives.WriteInt64LittleEndian(block[64..], Events);
        BinaryPrimitives.WriteInt64LittleEndian(block[72..], Appends);
        BinaryPrimitives.WriteInt64LittleEndian(block[80..], FirstTime);
        BinaryPrimitives.WriteInt64LittleEndian(block[88..], LastTime);
        Digest.Write(block[96..]);
        BinaryPrimitives.WriteUInt32LittleEndian(block[112..], Membership);
        BinaryPrimitives.WriteUInt32LittleEndian(block[8..], Checksum.Compute(block, seed));
    }

    /// <summary>Null if the block is not an intact footer.</summary>
    public static SegmentFooter? Decode(ReadOnlySpan<byte> block, uint seed)
    {
        if (block.Length < Blocks.Size || !block[..8].SequenceEqual(Magic))
        {
            return null;
        }

        Span<byte> copy = stackalloc byte[Blocks.Size];
        block[..Blocks.Size].CopyTo(copy);
        copy.Slice(8, 4).Clear();
        if (BinaryPrimitives.ReadUInt32LittleEndian(block[8..]) != Checksum.Compute(copy, seed))
        {
            return null;
        }

        return new SegmentFooter(
            BinaryPrimitives.ReadUInt32LittleEndian(block[12..]),
            BinaryPrimitives.ReadUInt32LittleEndian(block[16..]),
            BinaryPrimitives.ReadUInt32LittleEndian(block[20..]),
            new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(block[24..])),
            new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(block[32..])),
            new Term(BinaryPrimitives.ReadUInt64LittleEndian(block[40..])),
            new Term(BinaryPrimitives.ReadUInt64LittleEndian(block[48..])),
            new Position(BinaryPrimitives.ReadInt64LittleEndian(block[56..])),
            BinaryPrimitives.ReadInt64LittleEndian(block[64..]),
            BinaryPrimitives.ReadInt64LittleEndian(block[72..]),
            BinaryPrimitives.ReadInt64LittleEndian(block[80..]),
            BinaryPrimitives.ReadInt64LittleEndian(block[88..]),
            SegmentDigest.Read(block[96..]),
            BinaryPrimitives.ReadUInt32LittleEndian(block[112..]));
    }
}
