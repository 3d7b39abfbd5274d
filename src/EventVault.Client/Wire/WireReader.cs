using System.Buffers.Binary;

namespace EventVault.Client;

/// <summary>
/// Walks the bytes of a protobuf message without building objects. Every read is checked: bytes from a peer
/// end in a <see cref="VaultErrorCode.ProtocolViolation"/>, never in an index out of range.
/// </summary>
internal ref struct WireReader(ReadOnlySpan<byte> message)
{
    private readonly ReadOnlySpan<byte> _message = message;
    private int _at;

    /// <summary>Offset of the next byte in the message.</summary>
    public readonly int Offset => _at;

    public int Field { get; private set; }

    public WireType Type { get; private set; }

    /// <summary>Goes to the next field; false at the message's end.</summary>
    public bool Next()
    {
        if (_at == _message.Length)
        {
            return false;
        }

        ulong tag = Varint();
        Field = (int)(tag >> 3);
        Type = (WireType)(tag & 7);
        return Field != 0 && tag <= uint.MaxValue ? true : throw Malformed("field number 0 or too large");
    }

    public ulong Varint()
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            if (_at >= _message.Length)
            {
                throw Malformed("a number is cut short");
            }

            byte b = _message[_at++];
            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
            {
                return value;
            }
        }

        throw Malformed("a number is longer than 10 bytes");
    }

    public ulong VarintField()
    {
        Require(WireType.Varint);
        return Varint();
    }

    public long Fixed64Field()
    {
        Require(WireType.Fixed64);
        if (_message.Length - _at < 8)
        {
            throw Malformed("a fixed number is cut short");
        }

        long value = BinaryPrimitives.ReadInt64LittleEndian(_message[_at..]);
        _at += 8;
        return value;
    }

    /// <summary>The bytes of a string, bytes or message field.</summary>
    public ReadOnlySpan<byte> BytesField()
    {
        Require(WireType.Bytes);
        ulong length = Varint();
        if (length > (ulong)(_message.Length - _at))
        {
            throw Malformed("a field is longer than its message");
        }

        ReadOnlySpan<byte> bytes = _message.Slice(_at, (int)length);
        _at += (int)length;
        return bytes;
    }

    public void Skip()
    {
        switch (Type)
        {
            case WireType.Varint:
                Varint();
                break;
            case WireType.Fixed64:
                Fixed64Field();
                break;
            case WireType.Bytes:
                BytesField();
                break;
            case WireType.Fixed32:
                if (_message.Length - _at < 4)
                {
                    throw Malformed("a fixed number is cut short");
                }

                _at += 4;
                break;
            default:
                throw Malformed($"wire type {(int)Type} does not exist in proto3");
        }
    }

    private readonly void Require(WireType type)
    {
        if (Type != type)
        {
            throw Malformed($"field {Field} has wire type {(int)Type} instead of {(int)type}");
        }
    }

    private static VaultException Malformed(string what) => VaultErrors.ProtocolViolation("a message is malformed, " + what);
}

internal enum WireType
{
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}
