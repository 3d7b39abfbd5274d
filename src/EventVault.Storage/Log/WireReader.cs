using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace EventVault.Storage.Log;

/// <summary>
/// Walks the fields of one encoded protobuf message without building objects.
/// The encoding: protobuf.dev, "Encoding"; only the four wire types that proto3 uses are accepted.
/// </summary>
public ref struct WireReader(ReadOnlySpan<byte> message)
{
    /// <summary>Wire type of integers.</summary>
    public const int Varint = 0;

    /// <summary>Wire type of 8-byte fields.</summary>
    public const int Fixed64 = 1;

    /// <summary>Wire type of strings, bytes and messages.</summary>
    public const int Delimited = 2;

    /// <summary>Wire type of 4-byte fields.</summary>
    public const int Fixed32 = 5;

    private readonly ReadOnlySpan<byte> _message = message;

    /// <summary>Bytes walked so far.</summary>
    public int Offset { get; private set; }

    /// <summary>Number of the field read last.</summary>
    public int Field { get; private set; }

    /// <summary>Wire type of the field read last.</summary>
    public int WireType { get; private set; }

    /// <summary>Value of a Varint, Fixed64 or Fixed32 field.</summary>
    public ulong Number { get; private set; }

    /// <summary>Start of a Delimited field's bytes in the message.</summary>
    public int Start { get; private set; }

    /// <summary>Length of a Delimited field's bytes.</summary>
    public int Length { get; private set; }

    /// <summary>Whether the bytes broke the encoding; then no further field is read.</summary>
    public bool Malformed { get; private set; }

    /// <summary>Bytes of a Delimited field.</summary>
    public readonly ReadOnlySpan<byte> Bytes => _message.Slice(Start, Length);

    /// <summary>Steps to the next field; false at the end, or if the bytes are <see cref="Malformed"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Next()
    {
        if (Offset >= _message.Length)
        {
            return false;
        }

        if (!TryVarint(out var tag) || tag > uint.MaxValue || tag >> 3 == 0)
        {
            return Fail();
        }

        Field = (int)(tag >> 3);
        WireType = (int)(tag & 7);
        switch (WireType)
        {
            case Delimited:
                if (!TryVarint(out var length) || length > (ulong)(_message.Length - Offset))
                {
                    return Fail();
                }

                Start = Offset;
                Length = (int)length;
                Offset += Length;
                return true;
            case Varint:
                if (!TryVarint(out var number))
                {
                    return Fail();
                }

                Number = number;
                return true;
            case Fixed64 when _message.Length - Offset >= 8:
                Number = BinaryPrimitives.ReadUInt64LittleEndian(_message[Offset..]);
                Offset += 8;
                return true;
            case Fixed32 when _message.Length - Offset >= 4:
                Number = BinaryPrimitives.ReadUInt32LittleEndian(_message[Offset..]);
                Offset += 4;
                return true;
            default:
                return Fail();
        }
    }

    private bool Fail()
    {
        Malformed = true;
        return false;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool TryVarint(out ulong value)
    {
        if (Offset < _message.Length && _message[Offset] < 0x80)
        {
            value = _message[Offset++];
            return true;
        }

        return TryLongVarint(out value);
    }

    private bool TryLongVarint(out ulong value)
    {
        value = 0;
        for (var shift = 0; shift < 70; shift += 7)
        {
            if (Offset >= _message.Length)
            {
                return false;
            }

            var b = _message[Offset++];
            if (shift == 63 && b > 1)
            {
                return false; // More than 64 bits.
            }

            value |= (ulong)(b & 0x7f) << shift;
            if (b < 0x80)
            {
                return true;
            }
        }

        return false;
    }
}
