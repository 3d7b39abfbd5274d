using System.Buffers.Binary;

namespace EventVault.Storage.Index;

// Header of the heads file: two slots of 8 KiB at 0 and 8,192, written in turn; data begins at 16,384.
//
//  offset size type  meaning
//       0   40       common part (FileHeader), magic "EVHEADS\n"
//      40    8 u64   sequence; the slot is sequence modulo 2, the whole slot with the higher one counts
//      48    8 i64   applied through: number of the last segment applied, -1 if none
//      56    8 i64   number of streams
//      64    4 u32   number of shards, 256
//      68   60       zero
//     128 4096       per shard, by the key's top 8 bits: offset u64, log2 of its slots u32, used slots u32
//    4224 3968       zero

/// <summary>One header slot of the heads file, decoded.</summary>
internal sealed class HeadsHeader
{
    public const int ShardCount = 256;
    public const int SlotLength = 8192;
    public const int DataStart = 2 * SlotLength;

    private const uint Version = 1;
    private const int DirectoryOffset = 128;
    private const int DirectoryEntryLength = 16;

    private static ReadOnlySpan<byte> Magic => "EVHEADS\n"u8;

    public ulong Sequence { get; set; }

    public long AppliedThrough { get; set; } = -1;

    public long StreamCount { get; set; }

    /// <summary>Where each shard's slots are, how many (as a power of two) and how many are used.</summary>
    public (long Offset, int Log2Slots, int Used)[] Shards { get; } = new (long, int, int)[ShardCount];

    /// <summary>One of its own with the same values.</summary>
    public HeadsHeader Copy()
    {
        var copy = new HeadsHeader { Sequence = Sequence, AppliedThrough = AppliedThrough, StreamCount = StreamCount };
        Shards.CopyTo(copy.Shards, 0);
        return copy;
    }

    /// <summary>Reads both slots: the one that counts, and the other if it is whole (what it refers to must not be reused).</summary>
    public static (HeadsHeader Newest, HeadsHeader? Older) Read(string path, ReadOnlySpan<byte> slots, long fileLength)
    {
        int newest = FileHeader.Newest(path, slots, SlotLength, Magic, Version);
        int older = SlotLength - newest;
        ReadOnlySpan<byte> olderSlot = slots.Slice(older, SlotLength);
        return (
            Decode(path, slots.Slice(newest, SlotLength), newest, fileLength),
            FileHeader.IsWhole(olderSlot, Magic) ? Decode(path, olderSlot, older, fileLength) : null);
    }

    public void Encode(Span<byte> slot)
    {
        slot.Clear();
        FileHeader.Write(slot, Magic, Version);
        BinaryPrimitives.WriteUInt64LittleEndian(slot[FileHeader.SequenceOffset..], Sequence);
        BinaryPrimitives.WriteInt64LittleEndian(slot[48..], AppliedThrough);
        BinaryPrimitives.WriteInt64LittleEndian(slot[56..], StreamCount);
        BinaryPrimitives.WriteUInt32LittleEndian(slot[64..], ShardCount);
        for (int i = 0; i < ShardCount; i++)
        {
            Span<byte> entry = slot[(DirectoryOffset + (i * DirectoryEntryLength))..];
            BinaryPrimitives.WriteInt64LittleEndian(entry, Shards[i].Offset);
            BinaryPrimitives.WriteInt32LittleEndian(entry[8..], Shards[i].Log2Slots);
            BinaryPrimitives.WriteInt32LittleEndian(entry[12..], Shards[i].Used);
        }

        FileHeader.Seal(slot);
    }

    private static HeadsHeader Decode(string path, ReadOnlySpan<byte> slot, int slotOffset, long fileLength)
    {
        var header = new HeadsHeader
        {
            Sequence = FileHeader.Sequence(slot),
            AppliedThrough = BinaryPrimitives.ReadInt64LittleEndian(slot[48..]),
            StreamCount = BinaryPrimitives.ReadInt64LittleEndian(slot[56..]),
        };
        uint shards = BinaryPrimitives.ReadUInt32LittleEndian(slot[64..]);
        if (shards != ShardCount)
        {
            throw new IndexDamageException(path, slotOffset + 64, $"{shards} shards, expected {ShardCount}");
        }

        for (int i = 0; i < ShardCount; i++)
        {
            int at = DirectoryOffset + (i * DirectoryEntryLength);
            ReadOnlySpan<byte> entry = slot[at..];
            long offset = BinaryPrimitives.ReadInt64LittleEndian(entry);
            int log2 = BinaryPrimitives.ReadInt32LittleEndian(entry[8..]);
            int used = BinaryPrimitives.ReadInt32LittleEndian(entry[12..]);
            bool sound = log2 is >= HeadsFile.SmallestLog2 and <= HeadsFile.LargestLog2
                && offset >= DataStart && offset % BlockWriter.BlockBytes == 0
                && offset <= fileLength - ((long)HeadSlot.Length << log2)
                && used >= 0 && used < 1 << log2;
            if (!sound)
            {
                throw new IndexDamageException(
                    path, slotOffset + at, $"shard {i}: {used} of 2^{log2} slots at {offset} in a file of {fileLength} bytes");
            }

            header.Shards[i] = (offset, log2, used);
        }

        return header;
    }
}
