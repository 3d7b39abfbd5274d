// What nodes ask each other for when segments are shipped, and the answers. Little-endian.
//
//   Ship           to a follower: u64, the first index whose group can be sent; the leader's membership, with addresses    answer: nothing
//   Segments       u32, the first segment wanted                                                   answer: descriptions, 72 bytes each (ShippedSegment)
//   SegmentBytes   description, 72 bytes; offset i64; length i32, 1 to 1,048,576                   answer: CRC32C u32 of the bytes behind it; these
using System.Buffers.Binary;
using EventVault.Raft;
using EventVault.Storage.Shipping;

namespace EventVault.Node.Peers.Shipping;

/// <summary>Requests and answers of shipping, as bytes.</summary>
internal static class ShipMessages
{
    /// <summary>Most descriptions in one answer: 72 KiB. Who wants more asks again.</summary>
    public const int MostSegments = 1024;

    private const int BytesRequestLength = ShippedSegment.EncodedLength + 12;
    private const int ChecksumLength = 4;

    public static byte[] Ship(LogIndex first, Membership membership)
    {
        var members = membership.Encode();
        var bytes = new byte[sizeof(ulong) + members.Length];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, first.Value);
        members.CopyTo(bytes, sizeof(ulong));
        return bytes;
    }

    /// <exception cref="PeerRequestException">It is no such request.</exception>
    public static (LogIndex First, Membership Members) ReadShip(ReadOnlySpan<byte> content) =>
        content.Length > sizeof(ulong) && Membership.Decode(content[sizeof(ulong)..]) is { } members
            ? (new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(content)), members)
            : throw Malformed(PeerRequestKind.Ship);

    public static byte[] Segments(uint from)
    {
        var bytes = new byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, from);
        return bytes;
    }

    /// <exception cref="PeerRequestException">It is no such request.</exception>
    public static uint ReadSegments(ReadOnlySpan<byte> content) =>
        content.Length == sizeof(uint) ? BinaryPrimitives.ReadUInt32LittleEndian(content) : throw Malformed(PeerRequestKind.Segments);

    public static byte[] SegmentsAnswer(IReadOnlyList<ShippedSegment> segments)
    {
        Invariant.Check(segments.Count <= MostSegments);
        var bytes = new byte[segments.Count * ShippedSegment.EncodedLength];
        for (var i = 0; i < segments.Count; i++)
        {
            segments[i].Encode(bytes.AsSpan(i * ShippedSegment.EncodedLength));
        }

        return bytes;
    }

    /// <summary>Null: it is no answer to a request for these.</summary>
    public static List<ShippedSegment>? ReadSegmentsAnswer(ReadOnlySpan<byte> content, uint from, uint segmentSizeBytes)
    {
        if (content.Length % ShippedSegment.EncodedLength != 0 || content.Length > MostSegments * ShippedSegment.EncodedLength)
        {
            return null;
        }

        var segments = new List<ShippedSegment>();
        for (; !content.IsEmpty; content = content[ShippedSegment.EncodedLength..])
        {
            if (ShippedSegment.TryDecode(content, segmentSizeBytes) is not { } segment || segment.Segment != from + (uint)segments.Count
                || (segments.Count > 0 && segments[^1].Form == ShippedForm.Beginning))
            {
                return null;
            }

            segments.Add(segment);
        }

        return segments;
    }

    public static byte[] SegmentBytes(in ShippedSegment segment, long offset, int length)
    {
        var bytes = new byte[BytesRequestLength];
        segment.Encode(bytes);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(ShippedSegment.EncodedLength), offset);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(ShippedSegment.EncodedLength + sizeof(long)), length);
        return bytes;
    }

    /// <exception cref="PeerRequestException">It is no such request.</exception>
    public static (ShippedSegment Segment, long Offset, int Length) ReadSegmentBytes(ReadOnlySpan<byte> content, uint segmentSizeBytes)
    {
        if (content.Length != BytesRequestLength || ShippedSegment.TryDecode(content, segmentSizeBytes) is not { } segment)
        {
            throw Malformed(PeerRequestKind.SegmentBytes);
        }

        var offset = BinaryPrimitives.ReadInt64LittleEndian(content[ShippedSegment.EncodedLength..]);
        var length = BinaryPrimitives.ReadInt32LittleEndian(content[(ShippedSegment.EncodedLength + sizeof(long))..]);
        return offset >= 0 && offset < segment.LengthBytes && length is > 0 and <= ShipSource.MostBytes ? (segment, offset, length) : throw Malformed(PeerRequestKind.SegmentBytes);
    }

    /// <summary>The answer's array for so many bytes; they go behind the checksum, which <see cref="Seal"/> writes.</summary>
    public static byte[] BytesAnswer(int length, out Span<byte> bytes)
    {
        var answer = new byte[ChecksumLength + length];
        bytes = answer.AsSpan(ChecksumLength);
        return answer;
    }

    /// <summary>Finishes an answer of bytes.</summary>
    public static byte[] Seal(byte[] answer)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(answer, ShipSource.Checksum(answer.AsSpan(ChecksumLength)));
        return answer;
    }

    /// <summary>Whether the answer's bytes match their checksum.</summary>
    public static bool TryReadBytes(ReadOnlySpan<byte> answer, out ReadOnlySpan<byte> bytes)
    {
        bytes = default;
        if (answer.Length <= ChecksumLength
            || (BinaryPrimitives.ReadUInt32LittleEndian(answer) != ShipSource.Checksum(answer[ChecksumLength..]) && !Canary.Is(Canary.ShippedUnverified)))
        {
            return false;
        }

        bytes = answer[ChecksumLength..];
        return true;
    }

    private static PeerRequestException Malformed(PeerRequestKind kind) => new($"The bytes are no request for {kind}.");
}
