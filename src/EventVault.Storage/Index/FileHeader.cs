using System.Buffers.Binary;

namespace EventVault.Storage.Index;

// The first 40 bytes of every rebuildable file, and of each of its two header slots where it has two (A/B).
//
//  offset size type  meaning
//       0    8 bytes magic, ASCII
//       8    4 u32   version of the format, from 1
//      12    4 u32   header length in bytes, this part included; the checksum covers exactly these
//      16    8 u64   required features: an unknown bit refuses the file
//      24    8 u64   optional features: an unknown bit is ignored
//      32    4 u32   CRC32C of the header with this field as zero
//      36    4 u32   zero
//      40    8 u64   A/B files only: sequence of the header; slot = sequence modulo 2, the higher one counts

/// <summary>Writes and checks the part that all rebuildable files begin with.</summary>
internal static class FileHeader
{
    public const int LengthBytes = 40;
    public const int SequenceOffset = 40;

    private const int VersionOffset = 8;
    private const int HeaderLengthOffset = 12;
    private const int RequiredOffset = 16;
    private const int ChecksumOffset = 32;

    /// <summary>Fills in the common part; the whole span is the header. <see cref="Seal"/> must follow.</summary>
    public static void Write(Span<byte> header, ReadOnlySpan<byte> magic, uint version)
    {
        Invariant.Check(magic.Length == 8 && header.Length >= LengthBytes && version != 0);
        magic.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[VersionOffset..], version);
        BinaryPrimitives.WriteUInt32LittleEndian(header[HeaderLengthOffset..], (uint)header.Length);
    }

    /// <summary>Computes the checksum; returns it, as it stands for all that the header describes.</summary>
    public static uint Seal(Span<byte> header)
    {
        uint checksum = ComputeChecksum(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[ChecksumOffset..], checksum);
        return checksum;
    }

    /// <summary>The checksum that <see cref="Seal"/> stored.</summary>
    public static uint StoredChecksum(ReadOnlySpan<byte> header) =>
        BinaryPrimitives.ReadUInt32LittleEndian(header[ChecksumOffset..]);

    /// <summary>Length of the header that starts here, as it says itself. Not trustworthy before <see cref="Fault"/>.</summary>
    public static uint StoredLength(ReadOnlySpan<byte> header) =>
        BinaryPrimitives.ReadUInt32LittleEndian(header[HeaderLengthOffset..]);

    /// <summary>Version of the format of a header without a <see cref="Fault"/>.</summary>
    public static uint StoredVersion(ReadOnlySpan<byte> header) => BinaryPrimitives.ReadUInt32LittleEndian(header[VersionOffset..]);

    /// <summary>
    /// What is wrong with the header at the start of <paramref name="bytes"/>, or null if it is whole. A whole
    /// header may still be of an unknown format: <see cref="RequireSupported"/>.
    /// </summary>
    public static string? Fault(ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> magic)
    {
        if (bytes.Length < LengthBytes)
        {
            return $"{bytes.Length} bytes, expected at least a header of {LengthBytes}";
        }

        if (!bytes[..8].SequenceEqual(magic))
        {
            return $"magic {Convert.ToHexString(bytes[..8])}, expected {Convert.ToHexString(magic)}";
        }

        uint length = StoredLength(bytes);
        if (length < LengthBytes || length > bytes.Length)
        {
            return $"header length {length}, expected {LengthBytes} to {bytes.Length}";
        }

        uint expected = ComputeChecksum(bytes[..(int)length]);
        uint stored = StoredChecksum(bytes);
        return stored == expected ? null : $"header checksum {stored:X8}, expected {expected:X8}";
    }

    /// <summary>Refuses a whole header of another version or with unknown required features.</summary>
    public static void RequireSupported(string path, ReadOnlySpan<byte> header, uint version, ulong knownFeatures = 0)
    {
        uint stored = StoredVersion(header);
        if (stored != version)
        {
            throw new UnsupportedFormatException(path, $"format version {stored}");
        }

        ulong unknown = BinaryPrimitives.ReadUInt64LittleEndian(header[RequiredOffset..]) & ~knownFeatures;
        if (unknown != 0)
        {
            throw new UnsupportedFormatException(path, $"required features 0x{unknown:X}");
        }
    }

    /// <summary>
    /// Of two header slots of equal length, the start of the one that counts: 0 or <paramref name="slotLength"/>.
    /// The other may be torn by a crash; if both are bad the file is damaged.
    /// </summary>
    public static int Newest(string path, ReadOnlySpan<byte> slots, int slotLength, ReadOnlySpan<byte> magic, uint version)
    {
        string? faultA = SlotFault(path, slots[..slotLength], magic, version);
        string? faultB = SlotFault(path, slots.Slice(slotLength, slotLength), magic, version);
        if (faultA is not null && faultB is not null)
        {
            throw new IndexDamageException(path, 0, $"both headers are bad ({faultA}; {faultB})");
        }

        return faultB is not null || (faultA is null && Sequence(slots) > Sequence(slots[slotLength..])) ? 0 : slotLength;
    }

    /// <summary>Whether one of two slots is whole.</summary>
    public static bool IsWhole(ReadOnlySpan<byte> slot, ReadOnlySpan<byte> magic) =>
        Fault(slot, magic) is null && StoredLength(slot) == slot.Length;

    /// <summary>Sequence of an A/B header.</summary>
    public static ulong Sequence(ReadOnlySpan<byte> slot) =>
        BinaryPrimitives.ReadUInt64LittleEndian(slot[SequenceOffset..]);

    private static string? SlotFault(string path, ReadOnlySpan<byte> slot, ReadOnlySpan<byte> magic, uint version)
    {
        string? fault = Fault(slot, magic);
        if (fault is null)
        {
            RequireSupported(path, slot, version);
            if (StoredLength(slot) != slot.Length)
            {
                fault = $"header length {StoredLength(slot)}, expected {slot.Length}";
            }
        }

        return fault;
    }

    private static uint ComputeChecksum(ReadOnlySpan<byte> header)
    {
        ReadOnlySpan<byte> zero = [0, 0, 0, 0];
        uint checksum = Checksum.Compute(header[..ChecksumOffset]);
        checksum = Checksum.Compute(zero, checksum);
        return Checksum.Compute(header[(ChecksumOffset + sizeof(uint))..], checksum);
    }
}
