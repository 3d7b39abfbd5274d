using System.Numerics;
using System.Runtime.InteropServices;

namespace EventVault.Storage;

/// <summary>
/// CRC32C (Castagnoli) with the usual inversion at both ends, so that the checksum of two pieces can be computed
/// one after the other: <c>Compute(b, Compute(a))</c> equals the checksum of a followed by b.
/// </summary>
/// <remarks>
/// The instruction has a latency of three cycles but a throughput of one, so a long input is cut into three lanes
/// that advance side by side; a table then shifts the first two past the bytes that follow them.
/// </remarks>
public static class Checksum
{
    // Two lane lengths: the long one makes the shift cost vanish, the short one serves inputs from about 1 KiB.
    private const int LongLaneBytes = 1024;
    private const int ShortLaneBytes = 256;

    private static readonly uint[] LongShift = BuildShift(LongLaneBytes);
    private static readonly uint[] ShortShift = BuildShift(ShortLaneBytes);

    /// <summary>Checksum of <paramref name="bytes"/>, continuing from <paramref name="seed"/>.</summary>
    public static uint Compute(ReadOnlySpan<byte> bytes, uint seed = 0)
    {
        uint crc = ~seed;
        while (bytes.Length >= 3 * LongLaneBytes)
        {
            crc = ThreeLanes(crc, bytes[..(3 * LongLaneBytes)], LongShift);
            bytes = bytes[(3 * LongLaneBytes)..];
        }

        while (bytes.Length >= 3 * ShortLaneBytes)
        {
            crc = ThreeLanes(crc, bytes[..(3 * ShortLaneBytes)], ShortShift);
            bytes = bytes[(3 * ShortLaneBytes)..];
        }

        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(bytes))
        {
            crc = BitOperations.Crc32C(crc, word);
        }

        foreach (byte b in bytes[(bytes.Length & ~7)..])
        {
            crc = BitOperations.Crc32C(crc, b);
        }

        return ~crc;
    }

    private static uint ThreeLanes(uint crc, ReadOnlySpan<byte> bytes, uint[] shift)
    {
        int lane = bytes.Length / 3;
        ReadOnlySpan<ulong> first = MemoryMarshal.Cast<byte, ulong>(bytes[..lane]);
        ReadOnlySpan<ulong> second = MemoryMarshal.Cast<byte, ulong>(bytes.Slice(lane, lane))[..first.Length];
        ReadOnlySpan<ulong> third = MemoryMarshal.Cast<byte, ulong>(bytes.Slice(2 * lane, lane))[..first.Length];
        uint a = crc;
        uint b = 0;
        uint c = 0;
        for (int i = 0; i < first.Length; i++)
        {
            a = BitOperations.Crc32C(a, first[i]);
            b = BitOperations.Crc32C(b, second[i]);
            c = BitOperations.Crc32C(c, third[i]);
        }

        return Shift(Shift(a, shift) ^ b, shift) ^ c;
    }

    private static uint Shift(uint crc, uint[] shift) =>
        shift[crc & 0xFF] ^ shift[256 + ((crc >> 8) & 0xFF)] ^ shift[512 + ((crc >> 16) & 0xFF)] ^ shift[768 + (crc >> 24)];

    /// <summary>The effect of <paramref name="zeroBytes"/> zero bytes on each value of each of the four register bytes.</summary>
    private static uint[] BuildShift(int zeroBytes)
    {
        // The register moves linearly over zeros, so 32 single bits describe the whole effect.
        Span<uint> ofBit = stackalloc uint[32];
        for (int bit = 0; bit < 32; bit++)
        {
            uint crc = 1u << bit;
            for (int i = 0; i < zeroBytes / sizeof(ulong); i++)
            {
                crc = BitOperations.Crc32C(crc, 0UL);
            }

            ofBit[bit] = crc;
        }

        var table = new uint[4 * 256];
        for (int i = 0; i < table.Length; i++)
        {
            for (int bit = 0; bit < 8; bit++)
            {
                if (((i >> bit) & 1) != 0)
                {
                    table[i] ^= ofBit[(8 * (i >> 8)) + bit];
                }
            }
        }

        return table;
    }
}
