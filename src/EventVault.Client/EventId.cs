using System.Buffers.Binary;
using System.Security.Cryptography;

namespace EventVault.Client;

/// <summary>
/// Makes UUIDv7 ids. Random bits are drawn from the system a page at a time: one draw per id was a tenth of
/// the client's time in a pipelined load, nearly all of it in the kernel.
/// </summary>
internal static class EventId
{
    private const int RandomBytesPerId = 10;
    private const int IdsPerDraw = 100;

    [ThreadStatic]
    private static byte[]? RandomPage;

    [ThreadStatic]
    private static int UsedBytes;

    public static Guid New()
    {
        byte[] random = RandomPage ??= new byte[RandomBytesPerId * IdsPerDraw];
        if (UsedBytes % random.Length == 0)
        {
            RandomNumberGenerator.Fill(random);
            UsedBytes = 0;
        }

        Span<byte> id = stackalloc byte[16];
        BinaryPrimitives.WriteInt64BigEndian(id, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() << 16);
        random.AsSpan(UsedBytes, RandomBytesPerId).CopyTo(id[6..]);
        UsedBytes += RandomBytesPerId;
        id[6] = (byte)((id[6] & 0x0F) | 0x70);
        id[8] = (byte)((id[8] & 0x3F) | 0x80);
        return new Guid(id, bigEndian: true);
    }
}
