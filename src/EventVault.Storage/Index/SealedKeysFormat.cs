using System.Buffers.Binary;
using System.Numerics;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Index;

// Keys of one sealed segment (NNN.kx): immutable, rebuildable. Key → ordinals of the events that have it (its postings);
// an ordinal counts the segment's events from 0. Parts follow one another, each padded with zeros to 64 bytes.
//
//  Header
//  offset size type  meaning
//       0   40       common part (FileHeader), magic "EVSKEYS\n"
//      40    4 u32   segment
//      44    4 u32   number of events in the segment
//      48    8 i64   position of the first event (of the vault's next one if there is none)
//      56    8 u64   file length in bytes
//      64   16 u128  digest of the segment: keys of another log are never taken for this one's
//      80    4 u32   number of keys, k
//      84    4 u32   blocks of the bloom filter: k / 64, rounded up
//      88    1 u8    bytes of a key that an entry holds, s: 6, 7 or 8. The bytes above them are the key's bucket
//      89    1 u8    bytes of an entry's value, v: 3 or 4
//      90    1 u8    bits of an ordinal in a short list: as many as the highest ordinal of the segment takes
//      91    1       zero
//      92    4 u32   CRC32C of the checksums (part 5) with their padding
//      96    8 u64   length of the lists (part 4) in bytes, without padding
//     104    8 u64   number of postings
//     112   16       zero
//
//  Part 1, bloom filter: blocks of 64 bytes. A key's block is (low half of the key × number of blocks) >> 32; its six bits
//  there are the groups of 9 bits of (key × 9E3779B97F4A7C15h), from bit 10 on. Bit n is bit n mod 8 of byte n / 8.
//  Part 2, directory: for each of the 2^(64 - 8s) buckets, and one more, u32 number of the first entry that belongs to it or
//  to a later one.
//  Part 3, entries, ascending by key: low s bytes of the key, then v bytes of value. An even value is twice the ordinal of
//  the key's only posting; an odd one, halved, is where the key's list begins in part 4.
//  Part 4, lists, in the order of their keys; 8 zero bytes end the part.
//       number of postings n, from 2: varint, 7 bits a byte, lowest first
//       n <= 128: n ordinals, packed
//       n > 128: for each 128 of them, 9 bytes: first ordinal u32, offset u32 of its packed part behind the last of these
//       9 bytes, bits u8; then the packed parts: ordinal less first ordinal
//     Packed: number i is the bits from i × width on, lowest bit of the lowest byte first; the last byte's rest is zero.
//  Part 5, checksums: u32 CRC32C of each 4,096 bytes of the file up to this part. The first begins behind the header.

/// <summary>The bytes of a key file; <see cref="SealedKeys"/> reads and <see cref="SealedKeysWriter"/> writes them.</summary>
internal static class SealedKeysFormat
{
    /// <summary>Files of version 1 lack the keys of kinds 7 and 8; their bytes mean the same otherwise.</summary>
    public const uint Version = 2;
    public const string Extension = ".kx";
    public const int HeaderLength = 128;

    /// <summary>What one checksum covers, in bytes: a page, which is what a look-up faults in anyway.</summary>
    public const int BlockBytes = 4096;

    public const int BloomBlockBytes = 64;

    /// <summary>Keys to a block of the bloom filter: 8 bits each, which lets some 3 of 100 absent keys through.</summary>
    public const int KeysPerBloomBlock = 64;

    /// <summary>Postings to a stretch of a long list; a list up to this long has no stretches.</summary>
    public const int StretchPostings = 128;

    public const int StretchEntryLength = 9;

    /// <summary>Zeros behind the lists, so that packed numbers can be read 8 bytes at a time.</summary>
    public const int ListsEndBytes = 8;

    /// <summary>Longest varint of a list's length, in bytes.</summary>
    public const int CountBytes = 5;

    private const int BloomBits = 6;

    public static ReadOnlySpan<byte> Magic => "EVSKEYS\n"u8;

    public static long Align(long length) => (length + 63) & ~63L;

    /// <summary>Bytes of a key that an entry holds: fewer as keys get more, so that a bucket never has many.</summary>
    public static int SuffixBytes(int keys) => keys >= 1 << 16 ? 6 : keys >= 1 << 8 ? 7 : 8;

    public static int BloomBlocks(int keys) => (int)(((long)keys + KeysPerBloomBlock - 1) / KeysPerBloomBlock);

    public static int Buckets(int suffixBytes) => 1 << (64 - (8 * suffixBytes));

    public static int BucketOf(ulong key, int suffixBytes) => suffixBytes == 8 ? 0 : (int)(key >> (8 * suffixBytes));

    /// <summary>Bits that hold every number up to this one.</summary>
    public static int Width(uint most) => 32 - BitOperations.LeadingZeroCount(most);

    public static int PackedLength(int count, int width) => (int)((((long)count * width) + 7) >> 3);

    public static int BloomBlockOf(ulong key, int blocks) => (int)(((ulong)(uint)key * (uint)blocks) >> 32);

    /// <summary>Sets a key's bits in its block.</summary>
    public static void AddToBloom(Span<byte> block, ulong key)
    {
        ulong hash = key * 0x9E3779B97F4A7C15;
        for (int i = 0; i < BloomBits; i++)
        {
            int bit = (int)(hash >> (10 + (9 * i))) & 511;
            block[bit >> 3] |= (byte)(1 << (bit & 7));
        }
    }

    /// <summary>Whether all of a key's bits are set in its block.</summary>
    public static bool IsInBloom(ReadOnlySpan<byte> block, ulong key)
    {
        Invariant.Check(block.Length == BloomBlockBytes);
        ulong hash = key * 0x9E3779B97F4A7C15;
        int missing = 0;
        for (int i = 0; i < BloomBits; i++)
        {
            int bit = (int)(hash >> (10 + (9 * i))) & 511;
            missing |= ~(block[bit >> 3] >> (bit & 7)) & 1;
        }

        return missing == 0;
    }

    /// <summary>Number <paramref name="i"/> of packed ones; at least 8 bytes must follow the one that it begins in.</summary>
    public static uint Unpack(ReadOnlySpan<byte> packed, int width, int i)
    {
        long bit = (long)i * width;
        ulong word = BinaryPrimitives.ReadUInt64LittleEndian(packed[(int)(bit >> 3)..]);
        return (uint)((word >> (int)(bit & 7)) & ((1UL << width) - 1));
    }

    public static void WriteHeader(Span<byte> header, in KeyedSegment segment, in SealedKeysShape shape, uint tableChecksum)
    {
        Invariant.Check(header.Length == HeaderLength);
        header.Clear();
        FileHeader.Write(header, Magic, Version);
        BinaryPrimitives.WriteUInt32LittleEndian(header[40..], segment.Segment);
        BinaryPrimitives.WriteInt32LittleEndian(header[44..], segment.Events);
        BinaryPrimitives.WriteInt64LittleEndian(header[48..], segment.FirstPosition.Value);
        BinaryPrimitives.WriteInt64LittleEndian(header[56..], shape.FileLength);
        segment.Digest.Write(header[64..]);
        BinaryPrimitives.WriteInt32LittleEndian(header[80..], shape.Keys);
        BinaryPrimitives.WriteInt32LittleEndian(header[84..], shape.BloomBlocks);
        header[88] = (byte)shape.SuffixBytes;
        header[89] = (byte)shape.ValueBytes;
        header[90] = (byte)Width((uint)Math.Max(0, segment.Events - 1));
        BinaryPrimitives.WriteUInt32LittleEndian(header[92..], tableChecksum);
        BinaryPrimitives.WriteInt64LittleEndian(header[96..], shape.ListsLength);
        BinaryPrimitives.WriteInt64LittleEndian(header[104..], shape.Postings);
        FileHeader.Seal(header);
    }

    /// <summary>What a whole header of this version says; null: it contradicts itself.</summary>
    public static (KeyedSegment Segment, SealedKeysShape Shape, uint TableChecksum)? ReadHeader(ReadOnlySpan<byte> header)
    {
        Invariant.Check(header.Length == HeaderLength);
        var segment = new KeyedSegment(
            BinaryPrimitives.ReadUInt32LittleEndian(header[40..]),
            BinaryPrimitives.ReadInt32LittleEndian(header[44..]),
            new Position(BinaryPrimitives.ReadInt64LittleEndian(header[48..])),
            SegmentDigest.Read(header[64..]));
        var shape = new SealedKeysShape(
            BinaryPrimitives.ReadInt32LittleEndian(header[80..]),
            BinaryPrimitives.ReadInt64LittleEndian(header[104..]),
            BinaryPrimitives.ReadInt64LittleEndian(header[96..]),
            header[89]);

        // Bounds first: what follows from them must not overflow.
        bool isSane = segment.Events >= 0 && segment.FirstPosition.Value >= 0 && shape.Keys >= 0
            && shape.ListsLength is >= ListsEndBytes and <= int.MaxValue && shape.ValueBytes is 3 or 4
            && shape.Postings >= shape.Keys && shape.Postings <= (long)EventKeys.MostPerEvent * segment.Events
            && BinaryPrimitives.ReadInt32LittleEndian(header[84..]) == shape.BloomBlocks && header[88] == shape.SuffixBytes
            && header[90] == Width((uint)Math.Max(0, segment.Events - 1))
            && BinaryPrimitives.ReadInt64LittleEndian(header[56..]) == shape.FileLength;
        return isSane ? (segment, shape, BinaryPrimitives.ReadUInt32LittleEndian(header[92..])) : null;
    }
}

/// <summary>The segment that a key file was made from.</summary>
/// <param name="Segment">Its number.</param>
/// <param name="Events">Events in it.</param>
/// <param name="FirstPosition">Position of its first event; of the vault's next event if it has none.</param>
/// <param name="Digest">Its digest, which no other segment has.</param>
internal readonly record struct KeyedSegment(uint Segment, int Events, Position FirstPosition, SegmentDigest Digest)
{
    /// <param name="entry">The segment.</param>
    /// <param name="scavenged">Not null: it was scavenged.</param>
    public static KeyedSegment Of(in CatalogEntry entry, ScavengedHeader? scavenged) =>
        new(entry.Segment, checked((int)entry.EventCount), entry.FirstPosition, scavenged?.Digest ?? entry.Digest);
}

/// <summary>Sizes of a key file's parts, from which it follows where each begins.</summary>
/// <param name="Keys">Number of keys.</param>
/// <param name="Postings">Number of postings, of all keys together.</param>
/// <param name="ListsLength">Length of the lists, in bytes.</param>
/// <param name="ValueBytes">Bytes of an entry's value.</param>
internal readonly record struct SealedKeysShape(int Keys, long Postings, long ListsLength, int ValueBytes)
{
    public int BloomBlocks => SealedKeysFormat.BloomBlocks(Keys);

    public int SuffixBytes => SealedKeysFormat.SuffixBytes(Keys);

    public int EntryBytes => SuffixBytes + ValueBytes;

    public long Directory => SealedKeysFormat.HeaderLength + ((long)BloomBlocks * SealedKeysFormat.BloomBlockBytes);

    public long Entries => Directory + SealedKeysFormat.Align(sizeof(uint) * (SealedKeysFormat.Buckets(SuffixBytes) + 1L));

    public long Lists => Entries + SealedKeysFormat.Align((long)Keys * EntryBytes);

    public long Table => Lists + SealedKeysFormat.Align(ListsLength);

    public int Blocks => (int)((Table + SealedKeysFormat.BlockBytes - 1) / SealedKeysFormat.BlockBytes);

    public long FileLength => Table + SealedKeysFormat.Align((long)Blocks * sizeof(uint));
}
