using System.Buffers.Binary;

namespace EventVault.Simulation.Checkers;

/// <summary>A 64-bit digest of bytes, to compare what was sent with what was read without keeping either.</summary>
internal static class ContentDigest
{
    private const ulong Odd = 0x9E3779B97F4A7C15;

    /// <summary>Equal bytes, equal digest; the other way round up to chance.</summary>
    public static ulong Of(ReadOnlySpan<byte> bytes)
    {
        var digest = Mix((ulong)bytes.Length ^ Odd);
        for (; bytes.Length >= sizeof(ulong); bytes = bytes[sizeof(ulong)..])
        {
            digest = Mix(digest ^ BinaryPrimitives.ReadUInt64LittleEndian(bytes));
        }

        foreach (var b in bytes)
        {
            digest = Mix(digest ^ b);
        }

        return digest;
    }

    // A permutation of 64 bits (the finisher of splitmix64): no bit of the input is lost on the way.
    private static ulong Mix(ulong x)
    {
        x += Odd;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }
}
