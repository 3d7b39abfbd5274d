using System.Buffers.Binary;

namespace EventVault.Storage.Index;

/// <summary>The vault's 128-bit secret for <see cref="SipHash128"/>: without it nobody can choose names that collide.</summary>
internal readonly record struct SipKey(ulong K0, ulong K1)
{
    public const int LengthBytes = 16;

    /// <summary>The key whose little-endian bytes these are, as the SipHash paper counts them.</summary>
    public static SipKey FromBytes(ReadOnlySpan<byte> bytes)
    {
        Invariant.Check(bytes.Length == LengthBytes);
        return new SipKey(
            BinaryPrimitives.ReadUInt64LittleEndian(bytes), BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..]));
    }

    /// <summary>Never prints the secret.</summary>
    public override string ToString() => "SipKey";
}
