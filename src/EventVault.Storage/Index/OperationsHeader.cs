using System.Buffers.Binary;

namespace EventVault.Storage.Index;

// Header of an operations file: two slots of 4 KiB at 0 and 4,096, written in turn; buckets begin at 8,192.
//
//  offset size type  meaning
//       0   40       common part (FileHeader), magic "EVOPERS\n"
//      40    8 u64   sequence; the slot is sequence modulo 2, the whole slot with the higher one counts
//      48    8 i64   applied through: number of the last segment applied, -1 if none
//      56    8 i64   number of the first append of this generation
//      64    8 i64   number of the first append of the oldest generation that is kept
//      72    4 u32   appends per generation
//      76    4 u32   number of buckets, a multiple of 64
//      80    4 u32   appends in this generation
//      84    4 u32   1: the last segment applied goes on in the next generation; else 0
//      88   40       zero
//     128    n       bit b of byte b / 8: block b of 4 KiB of buckets was written
//   128+n            zero

/// <summary>One header slot of an operations file, decoded.</summary>
internal sealed class OperationsHeader
{
    public const int SlotLength = 4096;
    public const int DataStart = 2 * SlotLength;

    private const uint Version = 1;
    private const int BitmapOffset = 128;

    private static ReadOnlySpan<byte> Magic => "EVOPERS\n"u8;

    public ulong Sequence { get; set; }

    public long AppliedThrough { get; set; } = -1;

    public required long FirstAppend { get; init; }

    public required long OldestFirstAppend { get; set; }

    public required int GenerationAppends { get; init; }

    public required int Buckets { get; init; }

    public int Count { get; set; }

    public bool GoesOn { get; set; }

    /// <summary>One bit for each block of buckets; a block whose bit is not set holds nothing.</summary>
    public required ulong[] Written { get; init; }

    public bool IsFull => Count == GenerationAppends;

    public long FileLength => DataStart + ((long)Buckets * OperationBucket.Length);

    /// <summary>The header of an empty generation.</summary>
    public static OperationsHeader Create(long firstAppend, long oldestFirstAppend, int generationAppends, long appliedThrough)
    {
        int blocks = BlocksFor(generationAppends);
        return new OperationsHeader
        {
            AppliedThrough = appliedThrough,
            FirstAppend = firstAppend,
            OldestFirstAppend = oldestFirstAppend,
            GenerationAppends = generationAppends,
            Buckets = blocks * (BlockWriter.BlockBytes / OperationBucket.Length),
            Written = new ulong[(blocks + 63) / 64],
        };
    }

    /// <summary>Blocks of buckets that so many entries fill to 65 %; at least one.</summary>
    public static int BlocksFor(int appends)
    {
        const int EntriesPerBlock = BlockWriter.BlockBytes / OperationBucket.Length * OperationBucket.Capacity;
        int blocks = (int)(((long)appends * 100 / (65 * EntriesPerBlock)) + 1);
        Invariant.Check(blocks <= (SlotLength - BitmapOffset) * 8);
        return blocks;
    }

    public static OperationsHeader Read(string path, ReadOnlySpan<byte> slots)
    {
        int at = FileHeader.Newest(path, slots, SlotLength, Magic, Version);
        ReadOnlySpan<byte> slot = slots.Slice(at, SlotLength);
        int appends = BinaryPrimitives.ReadInt32LittleEndian(slot[72..]);
        int count = BinaryPrimitives.ReadInt32LittleEndian(slot[80..]);
        if (appends <= 0 || count < 0 || count > appends)
        {
            throw new IndexDamageException(path, at + 72, $"{count} of {appends} appends");
        }

        OperationsHeader header = Create(
            BinaryPrimitives.ReadInt64LittleEndian(slot[56..]),
            BinaryPrimitives.ReadInt64LittleEndian(slot[64..]),
            appends,
            BinaryPrimitives.ReadInt64LittleEndian(slot[48..]));
        int buckets = BinaryPrimitives.ReadInt32LittleEndian(slot[76..]);
        if (buckets != header.Buckets)
        {
            throw new IndexDamageException(path, at + 76, $"{buckets} buckets, expected {header.Buckets}");
        }

        header.Sequence = FileHeader.Sequence(slot);
        header.Count = count;
        header.GoesOn = BinaryPrimitives.ReadUInt32LittleEndian(slot[84..]) != 0;
        for (int i = 0; i < header.Written.Length; i++)
        {
            header.Written[i] = BinaryPrimitives.ReadUInt64LittleEndian(slot[(BitmapOffset + (i * sizeof(ulong)))..]);
        }

        return header;
    }

    public void Encode(Span<byte> slot)
    {
        slot.Clear();
        FileHeader.Write(slot, Magic, Version);
        BinaryPrimitives.WriteUInt64LittleEndian(slot[FileHeader.SequenceOffset..], Sequence);
        BinaryPrimitives.WriteInt64LittleEndian(slot[48..], AppliedThrough);
        BinaryPrimitives.WriteInt64LittleEndian(slot[56..], FirstAppend);
        BinaryPrimitives.WriteInt64LittleEndian(slot[64..], OldestFirstAppend);
        BinaryPrimitives.WriteInt32LittleEndian(slot[72..], GenerationAppends);
        BinaryPrimitives.WriteInt32LittleEndian(slot[76..], Buckets);
        BinaryPrimitives.WriteInt32LittleEndian(slot[80..], Count);
        BinaryPrimitives.WriteUInt32LittleEndian(slot[84..], GoesOn ? 1u : 0u);
        for (int i = 0; i < Written.Length; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(slot[(BitmapOffset + (i * sizeof(ulong)))..], Written[i]);
        }

        FileHeader.Seal(slot);
    }

    public bool IsWritten(int block) => (Volatile.Read(ref Written[block / 64]) & (1UL << (block % 64))) != 0;
}
