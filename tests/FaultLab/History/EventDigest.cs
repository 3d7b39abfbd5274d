using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace EventVault.FaultLab.History;

/// <summary>64 bits that stand for an event's stream and content: events hold random ids, so equal digests are equal events.</summary>
internal static class EventDigest
{
    /// <summary>Of a stream's name and the bytes of the message EventData.</summary>
    public static ulong Of(string stream, ReadOnlySpan<byte> eventData)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(stream));
        hash.AppendData([0]);
        hash.AppendData(eventData);
        return BinaryPrimitives.ReadUInt64LittleEndian(hash.GetHashAndReset());
    }
}
