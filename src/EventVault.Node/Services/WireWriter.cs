using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace EventVault.Node.Services;

/// <summary>Writes protobuf fields into bytes that are large enough. The encoding: protobuf.dev, "Encoding".</summary>
internal static class WireWriter
{
    /// <summary>Longest varint, in bytes.</summary>
    public const int MaxVarintBytes = 10;

    /// <summary>A tag of one byte and 8 bytes of value.</summary>
    public const int Fixed64FieldBytes = 9;

    /// <summary>Bytes of a varint.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int VarintBytes(ulong value) => (70 - System.Numerics.BitOperations.LeadingZeroCount(value | 1)) / 7;

    /// <summary>Bytes of a field with a tag of one byte.</summary>
    public static int VarintFieldBytes(ulong value) => 1 + VarintBytes(value);

    /// <summary>Bytes of a field with a tag of one byte.</summary>
    public static int DelimitedFieldBytes(int length) => 1 + VarintBytes((ulong)length) + length;

    /// <summary>Writes a varint; returns where the next byte goes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Varint(Span<byte> bytes, int at, ulong value)
    {
        while (value >= 0x80)
        {
            bytes[at++] = (byte)(value | 0x80);
            value >>= 7;
        }

        bytes[at++] = (byte)value;
        return at;
    }

    /// <summary>Writes a field of wire type 0.</summary>
    public static int VarintField(Span<byte> bytes, int at, int field, ulong value)
    {
        bytes[at++] = (byte)(field << 3);
        return Varint(bytes, at, value);
    }

    /// <summary>Writes a field of wire type 1.</summary>
    public static int Fixed64Field(Span<byte> bytes, int at, int field, long value)
    {
        bytes[at++] = (byte)((field << 3) | 1);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[at..], value);
        return at + sizeof(long);
    }

    /// <summary>Writes tag and length of a field of wire type 2; its bytes follow.</summary>
    public static int DelimitedHeader(Span<byte> bytes, int at, int field, int length)
    {
        bytes[at++] = (byte)((field << 3) | 2);
        return Varint(bytes, at, (ulong)length);
    }

    /// <summary>Writes a field of wire type 2.</summary>
    public static int DelimitedField(Span<byte> bytes, int at, int field, ReadOnlySpan<byte> value)
    {
        at = DelimitedHeader(bytes, at, field, value.Length);
        value.CopyTo(bytes[at..]);
        return at + value.Length;
    }
}
