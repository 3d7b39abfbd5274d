using System.Buffers.Binary;

namespace EventVault.Storage.Index;

// One bucket of an operations file: 64 bytes at a multiple of 64.
//
//  offset size type  meaning
//       0    4 u32   CRC32C of 4..63, seeded with the bucket's number in the file (offset / 64)
//       4    1 u8    kind: 1 (0 only in blocks that were never written)
//       5    1 u8    number of entries, 0 to 4
//       6    1 u8    1: an entry that belongs here went on to a later bucket, as this one was full; else 0
//       7    1 u8    zero
//       8   56       4 entries: fingerprint 6 bytes, segment u32, offset u32; unused ones are zero

/// <summary>The bytes of a bucket.</summary>
internal static class OperationBucket
{
    // One cache line, which lies in one sector; four entries of 14 bytes and the head fill it.
    public const int Length = 64;
    public const int Capacity = 4;
    public const int FingerprintBits = 48;

    private const byte Kind = 1;
    private const int EntriesOffset = 8;
    private const int EntryLength = 14;

    /// <summary>Makes an empty bucket; <see cref="Seal"/> must follow.</summary>
    public static void Clear(Span<byte> bucket)
    {
        bucket.Clear();
        bucket[4] = Kind;
    }

    public static void Seal(Span<byte> bucket, long offset) =>
        BinaryPrimitives.WriteUInt32LittleEndian(bucket, ComputeChecksum(bucket, offset));

    public static bool IsWhole(ReadOnlySpan<byte> bucket, long offset) =>
        StoredChecksum(bucket) == ComputeChecksum(bucket, offset) && bucket[4] == Kind && bucket[5] <= Capacity;

    /// <summary>Whether it lies in a block that was never written: legal only where the header says so.</summary>
    public static bool IsUnwritten(ReadOnlySpan<byte> bucket) => !bucket.ContainsAnyExcept((byte)0);

    public static uint StoredChecksum(ReadOnlySpan<byte> bucket) => BinaryPrimitives.ReadUInt32LittleEndian(bucket);

    public static uint ComputeChecksum(ReadOnlySpan<byte> bucket, long offset) =>
        Checksum.Compute(bucket[sizeof(uint)..], (uint)(offset / Length));

    public static int Count(ReadOnlySpan<byte> bucket) => bucket[5];

    public static bool Overflowed(ReadOnlySpan<byte> bucket) => bucket[6] != 0;

    public static void SetOverflowed(Span<byte> bucket) => bucket[6] = 1;

    public static (ulong Fingerprint, Place Place) Entry(ReadOnlySpan<byte> bucket, int number)
    {
        ReadOnlySpan<byte> entry = bucket.Slice(EntriesOffset + (number * EntryLength), EntryLength);
        ulong fingerprint = BinaryPrimitives.ReadUInt32LittleEndian(entry)
            | ((ulong)BinaryPrimitives.ReadUInt16LittleEndian(entry[4..]) << 32);
        return (fingerprint, new Place(
            BinaryPrimitives.ReadUInt32LittleEndian(entry[6..]), BinaryPrimitives.ReadUInt32LittleEndian(entry[10..])));
    }

    /// <summary>Adds an entry behind the others; there must be room.</summary>
    public static void Add(Span<byte> bucket, ulong fingerprint, Place place)
    {
        int number = Count(bucket);
        Invariant.Check(number < Capacity && fingerprint >> FingerprintBits == 0);
        Span<byte> entry = bucket.Slice(EntriesOffset + (number * EntryLength), EntryLength);
        BinaryPrimitives.WriteUInt32LittleEndian(entry, (uint)fingerprint);
        BinaryPrimitives.WriteUInt16LittleEndian(entry[4..], (ushort)(fingerprint >> 32));
        BinaryPrimitives.WriteUInt32LittleEndian(entry[6..], place.Segment);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[10..], place.Offset);
        bucket[5]++;
    }
}
