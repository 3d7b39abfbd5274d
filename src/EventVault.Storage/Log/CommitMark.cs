// A note at the log's end, written once the log rested for some milliseconds and at a clean stop: "all up to here
// is durable". It turns damage in the last group from something that looks torn into something provably damaged.
// Node-local and no entry: the next group overwrites it. Two equal copies of 40 bytes, so that one flipped bit in
// the mark itself shows too.
//
// | offset | size | meaning                                              |
// |      0 |    4 | magic "EVMK"                                         |
// |      4 |    4 | CRC32C, started with the seed, of bytes 8 to 39      |
// |      8 |    8 | own place: segment number << 32 | offset (of copy 1) |
// |     16 |    8 | durable log index                                    |
// |     24 |    4 | checksum of the last group                           |
// |     28 |    4 | start number                                         |
// |     32 |    8 | Raft term of the last group; 0: written by 0.1       |
using System.Buffers.Binary;

namespace EventVault.Storage.Log;

internal readonly record struct CommitMark(Place Place, LogIndex Durable, uint LastGroup, uint StartNumber, Term Term)
{
    public const int CopyLength = 40;
    public const int Length = 2 * CopyLength;
    private const uint Magic = 0x4B4D5645; // "EVMK"

    public void Encode(Span<byte> bytes, uint seed)
    {
        var copy = bytes[..CopyLength];
        copy.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(copy, Magic);
        BinaryPrimitives.WriteUInt64LittleEndian(copy[8..], ((ulong)Place.Segment << 32) | Place.Offset);
        BinaryPrimitives.WriteUInt64LittleEndian(copy[16..], Durable.Value);
        BinaryPrimitives.WriteUInt32LittleEndian(copy[24..], LastGroup);
        BinaryPrimitives.WriteUInt32LittleEndian(copy[28..], StartNumber);
        BinaryPrimitives.WriteUInt64LittleEndian(copy[32..], Term.Value);
        BinaryPrimitives.WriteUInt32LittleEndian(copy[4..], Checksum.Compute(copy[8..], seed));
        copy.CopyTo(bytes[CopyLength..]);
    }

    public static bool MayBegin(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt32LittleEndian(bytes) == Magic;

    /// <summary>Reads one copy. <paramref name="place"/> is the mark's, also for its second copy.</summary>
    public static bool TryDecodeCopy(ReadOnlySpan<byte> bytes, Place place, uint seed, out CommitMark mark)
    {
        mark = default;
        if (bytes.Length < CopyLength || !MayBegin(bytes)
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]) != Checksum.Compute(bytes[8..CopyLength], seed)
            || BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..]) != (((ulong)place.Segment << 32) | place.Offset))
        {
            return false;
        }

        mark = new CommitMark(
            place,
            new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(bytes[16..])),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[24..]),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[28..]),
            new Term(BinaryPrimitives.ReadUInt64LittleEndian(bytes[32..])));
        return true;
    }

    /// <summary>Whether exactly this mark stands here, in both its copies.</summary>
    public bool IsWhole(ReadOnlySpan<byte> bytes, uint seed)
    {
        Span<byte> whole = stackalloc byte[Length];
        Encode(whole, seed);
        return bytes.StartsWith(whole);
    }

    /// <summary>Reads the mark from whichever copy is intact.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> bytes, Place place, uint seed, out CommitMark mark) =>
        TryDecodeCopy(bytes, place, seed, out mark)
        || (bytes.Length >= Length && TryDecodeCopy(bytes[CopyLength..], place, seed, out mark));
}
