using System.Buffers;
using System.Buffers.Binary;
using System.IO.Compression;

namespace EventVault.Rpc.Wire;

// gzip of single messages. Decompression stops at the limit, so a small message can't fill the memory.
internal static class GzipCodec
{
    public const string Name = "gzip";

    private const int FirstGuessBytes = 16 << 10;

    /// <summary>gzip begins with 10 bytes and ends with a checksum and the length of what was compressed, 4 bytes each.</summary>
    private const int LeastBytes = 18;

    public static byte[] Compress(ReadOnlySpan<byte> message)
    {
        using var output = new MemoryStream(message.Length / 2);
        using (var gzip = new GZipStream(output, CompressionLevel.Fastest, leaveOpen: true))
        {
            gzip.Write(message);
        }

        return output.ToArray();
    }

    /// <summary>Returns an array rented from the shared pool, which the caller returns, and the message's length.</summary>
    /// <exception cref="RpcException">INTERNAL if it is not gzip, RESOURCE_EXHAUSTED above the limit.</exception>
    public static (byte[] Rented, int Length) Decompress(in ReadOnlySequence<byte> compressed, int limitBytes)
    {
        var input = ArrayPool<byte>.Shared.Rent((int)compressed.Length);
        var output = ArrayPool<byte>.Shared.Rent(Math.Min(limitBytes, FirstGuessBytes) + 1);
        try
        {
            compressed.CopyTo(input);
            using var gzip = new GZipStream(new MemoryStream(input, 0, (int)compressed.Length, writable: false), CompressionMode.Decompress);
            var length = 0;
            while (true)
            {
                if (length == output.Length)
                {
                    output = Grow(output, length, limitBytes);
                }

                var read = gzip.Read(output, length, output.Length - length);
                if (read == 0)
                {
                    CheckComplete(input.AsSpan(0, (int)compressed.Length), length);
                    return (output, length);
                }

                length += read;
                if (length > limitBytes)
                {
                    throw Framing.TooLarge(length, limitBytes, "receive");
                }
            }
        }
        catch (Exception e)
        {
            ArrayPool<byte>.Shared.Return(output);
            if (e is InvalidDataException)
            {
                throw new RpcException(RpcCode.Internal, "A message is marked as gzip and is not valid gzip.", inner: e);
            }

            throw;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(input);
        }
    }

    // GZipStream takes data that breaks off for data that ends, checksum unseen; part of a message may be a valid one.
    private static void CheckComplete(ReadOnlySpan<byte> compressed, int length)
    {
        if (compressed.IsEmpty)
        {
            // What some encoders make of an empty message.
            return;
        }

        if (compressed.Length < LeastBytes || BinaryPrimitives.ReadUInt32LittleEndian(compressed[^sizeof(uint)..]) != (uint)length)
        {
            throw new InvalidDataException("The gzip data break off.");
        }
    }

    private static byte[] Grow(byte[] full, int length, int limitBytes)
    {
        var larger = ArrayPool<byte>.Shared.Rent((int)Math.Min((long)full.Length * 2, (long)limitBytes + 1));
        full.AsSpan(0, length).CopyTo(larger);
        ArrayPool<byte>.Shared.Return(full);
        return larger;
    }
}
