using System.Buffers.Binary;

namespace EventVault.Storage.Index;

/// <summary>
/// The digest of a segment's file: a <see cref="UInt128"/> in two numbers, because code that touches one of those is never compiled ahead, and the
/// records that a start goes over have this in them.
/// </summary>
/// <param name="Low">Its low half.</param>
/// <param name="High">Its high half.</param>
public readonly record struct SegmentDigest(ulong Low, ulong High)
{
    /// <summary>From one number.</summary>
    public static implicit operator SegmentDigest(UInt128 digest) => new((ulong)digest, (ulong)(digest >> 64));

    /// <summary>From 16 bytes, little-endian.</summary>
    public static SegmentDigest Read(ReadOnlySpan<byte> bytes) =>
        new(BinaryPrimitives.ReadUInt64LittleEndian(bytes), BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..]));

    /// <summary>Into 16 bytes, little-endian.</summary>
    public void Write(Span<byte> bytes)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, Low);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[8..], High);
    }
}
