using System.Buffers.Binary;

namespace EventVault.Storage.Index;

// One slot of the heads file: 64 bytes at a multiple of 64, so that it lies in one cache line and one sector.
//
//  offset size type  meaning
//       0   16 u128  stream key
//      16    8 i64   last version
//      24    8 i64   position of the last event
//      32    4 u32   depth of the latest node, from 1; 0: the slot is empty, and all of 0..59 is zero
//      36    8       latest node: segment u32, entry u32
//      44    8       its jump, likewise; the depth follows from the depth above (StreamChain.JumpDepth)
//      52    8       the jump's jump, likewise
//      60    4 u32   CRC32C of 0..59, seeded with the slot's number in the file (offset / 64)
//
// Empty slots carry their checksum too: a block that was lost and reads as zeros is damage, not "no such stream".

/// <summary>The bytes of a slot.</summary>
internal static class HeadSlot
{
    public const int Length = 64;
    private const int ChecksumOffset = 60;

    public static void Write(Span<byte> slot, UInt128 key, in StreamHead head)
    {
        BinaryPrimitives.WriteUInt128LittleEndian(slot, key);
        BinaryPrimitives.WriteInt64LittleEndian(slot[16..], head.LastVersion);
        BinaryPrimitives.WriteInt64LittleEndian(slot[24..], head.LastPosition);
        BinaryPrimitives.WriteUInt32LittleEndian(slot[32..], head.Latest.Depth);
        WriteNode(slot[36..], head.Latest);
        WriteNode(slot[44..], head.Jump);
        WriteNode(slot[52..], head.JumpOfJump);
    }

    /// <summary>Adds the checksum; the slot's place in the file is part of it.</summary>
    public static void Seal(Span<byte> slot, long offset) =>
        BinaryPrimitives.WriteUInt32LittleEndian(slot[ChecksumOffset..], ComputeChecksum(slot, offset));

    public static bool IsWhole(ReadOnlySpan<byte> slot, long offset) =>
        StoredChecksum(slot) == ComputeChecksum(slot, offset);

    public static uint StoredChecksum(ReadOnlySpan<byte> slot) =>
        BinaryPrimitives.ReadUInt32LittleEndian(slot[ChecksumOffset..]);

    public static uint ComputeChecksum(ReadOnlySpan<byte> slot, long offset) =>
        Checksum.Compute(slot[..ChecksumOffset], (uint)(offset / Length));

    public static bool IsEmpty(ReadOnlySpan<byte> slot) => Depth(slot) == 0;

    public static UInt128 Key(ReadOnlySpan<byte> slot) => BinaryPrimitives.ReadUInt128LittleEndian(slot);

    public static StreamHead Read(ReadOnlySpan<byte> slot)
    {
        uint depth = Depth(slot);
        uint jump = StreamChain.JumpDepth(depth);
        return new StreamHead
        {
            LastVersion = BinaryPrimitives.ReadInt64LittleEndian(slot[16..]),
            LastPosition = BinaryPrimitives.ReadInt64LittleEndian(slot[24..]),
            Latest = ReadNode(slot[36..], depth),
            Jump = ReadNode(slot[44..], jump),
            JumpOfJump = ReadNode(slot[52..], StreamChain.JumpDepth(jump)),
        };
    }

    private static uint Depth(ReadOnlySpan<byte> slot) => BinaryPrimitives.ReadUInt32LittleEndian(slot[32..]);

    private static void WriteNode(Span<byte> bytes, in ChainNode node)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, node.Segment);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[4..], node.Entry);
    }

    private static ChainNode ReadNode(ReadOnlySpan<byte> bytes, uint depth) => new(
        BinaryPrimitives.ReadUInt32LittleEndian(bytes), BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]), depth);
}
