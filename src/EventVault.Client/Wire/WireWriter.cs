using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace EventVault.Client;

/// <summary>Writes protobuf fields into a span that is known to be large enough. Sizes are worked out by the same rules.</summary>
internal ref struct WireWriter(Span<byte> target)
{
    /// <summary>Throws on lone surrogates instead of writing something else in their place.</summary>
    public static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly Span<byte> _target = target;

    public int Offset { get; private set; }

    public static int VarintSize(ulong value) => ((63 - BitOperations.LeadingZeroCount(value | 1)) / 7) + 1;

    /// <summary>Size of a length-delimited field with a field number below 16.</summary>
    public static int BytesFieldSize(int length) => 1 + VarintSize((ulong)length) + length;

    public static int VarintFieldSize(ulong value) => 1 + VarintSize(value);

    public void Tag(int field, WireType type) => _target[Offset++] = (byte)((field << 3) | (int)type);

    public void Varint(ulong value)
    {
        while (value >= 0x80)
        {
            _target[Offset++] = (byte)(value | 0x80);
            value >>= 7;
        }

        _target[Offset++] = (byte)value;
    }

    public void VarintField(int field, ulong value)
    {
        Tag(field, WireType.Varint);
        Varint(value);
    }

    public void Fixed64Field(int field, long value)
    {
        Tag(field, WireType.Fixed64);
        BinaryPrimitives.WriteInt64LittleEndian(_target[Offset..], value);
        Offset += 8;
    }

    /// <summary>Tag and length of a field whose bytes follow.</summary>
    public void BytesHeader(int field, int length)
    {
        Tag(field, WireType.Bytes);
        Varint((ulong)length);
    }

    public void BytesField(int field, ReadOnlySpan<byte> bytes)
    {
        BytesHeader(field, bytes.Length);
        bytes.CopyTo(_target[Offset..]);
        Offset += bytes.Length;
    }

    public void GuidField(int field, Guid id)
    {
        BytesHeader(field, 16);
        id.TryWriteBytes(_target[Offset..], bigEndian: true, out _);
        Offset += 16;
    }

    public void StringField(int field, string text)
    {
        BytesHeader(field, Utf8.GetByteCount(text));
        Offset += Utf8.GetBytes(text, _target[Offset..]);
    }
}
