using System.Buffers;
using System.Buffers.Binary;

namespace EventVault.Rpc.Wire;

// A message on the wire: 1 byte flag (0 plain, 1 compressed), 4 bytes length (big-endian), the message. Frames
// have nothing to do with the borders of HTTP/2 DATA frames. The length is checked against the limit before
// anything is buffered for it.
internal static class Framing
{
    public const int HeaderBytes = 5;

    public static void WriteHeader(Span<byte> destination, bool compressed, int length)
    {
        destination[0] = compressed ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteUInt32BigEndian(destination[1..], (uint)length);
    }

    /// <summary>Reads the header of a frame; false if fewer than five bytes are there.</summary>
    /// <exception cref="RpcException">INTERNAL for an unknown flag, RESOURCE_EXHAUSTED for a length above the limit.</exception>
    public static bool TryReadHeader(ReadOnlySpan<byte> source, int limitBytes, out bool compressed, out int length)
    {
        compressed = false;
        length = 0;
        if (source.Length < HeaderBytes)
        {
            return false;
        }

        var flag = source[0];
        if (flag > 1)
        {
            throw new RpcException(RpcCode.Internal, $"A message starts with the flag {flag}; only 0 (plain) and 1 (compressed) exist. The peer does not speak gRPC correctly.");
        }

        var declared = BinaryPrimitives.ReadUInt32BigEndian(source[1..]);
        if (declared > (uint)limitBytes)
        {
            throw TooLarge(declared, limitBytes, "receive");
        }

        compressed = flag == 1;
        length = (int)declared;
        return true;
    }

    /// <inheritdoc cref="TryReadHeader(ReadOnlySpan{byte}, int, out bool, out int)"/>
    public static bool TryReadHeader(in ReadOnlySequence<byte> source, int limitBytes, out bool compressed, out int length)
    {
        var first = source.FirstSpan;
        if (first.Length >= HeaderBytes)
        {
            return TryReadHeader(first, limitBytes, out compressed, out length);
        }

        Span<byte> header = stackalloc byte[HeaderBytes];
        if (source.Length < HeaderBytes)
        {
            return TryReadHeader([], limitBytes, out compressed, out length);
        }

        source.Slice(0, HeaderBytes).CopyTo(header);
        return TryReadHeader(header, limitBytes, out compressed, out length);
    }

    public static RpcException TooLarge(long size, int limitBytes, string direction) => new(
        RpcCode.ResourceExhausted,
        $"A message of {size} bytes is over the {direction} limit of {limitBytes} bytes. Send smaller messages or raise the limit.")
    {
        OverLimit = (size, limitBytes),
    };

    public static RpcException Truncated() => new(RpcCode.Internal, "The body ended inside a message.");
}
