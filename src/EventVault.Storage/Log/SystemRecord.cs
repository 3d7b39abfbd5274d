// The body of a system group: what consensus itself writes into the log. It has a log index and a time, but no position;
// readers of events never see it. Truth.
//
// | offset | size | meaning                                                                          |
// |      0 |    4 | length in bytes, with content and padding; a multiple of 8                       |
// |      4 |    4 | CRC32C, started with the vault's seed, of the bytes from 8 on                    |
// |      8 |    2 | header length: 16                                                                |
// |     10 |    1 | kind: 2 system (a record of kind 1 is an event)                                  |
// |     11 |    1 | padding bytes at the end, 0 to 7                                                 |
// |     12 |    2 | type: 1 no-op, 2 membership. A reader refuses a type that it does not know       |
// |     14 |    2 | zero                                                                             |
// |     16 |      | content (of a membership: as EventVault.Raft encodes it; of a no-op: none) · 0   |
using System.Buffers.Binary;

namespace EventVault.Storage.Log;

/// <summary>What a group holds.</summary>
public enum GroupKind : byte
{
    /// <summary>Appends of clients.</summary>
    Appends = 1,

    /// <summary>Nothing: a leader's first entry.</summary>
    NoOp,

    /// <summary>A membership, as bytes that storage does not look into.</summary>
    Membership,
}

internal static class SystemRecord
{
    public const int HeaderLength = 16;

    /// <summary>Longest content, in bytes: the largest membership (64 members with addresses of 255 bytes) and far less than a segment.</summary>
    public const int MaxContentBytes = 32 * 1024;

    private const byte KindSystem = 2;
    private const ushort TypeNoOp = 1;
    private const ushort TypeMembership = 2;

    public static int Length(int contentLength) => Blocks.Align(HeaderLength + contentLength);

    /// <summary>Writes a whole record; returns its length.</summary>
    public static int Encode(Span<byte> record, GroupKind kind, ReadOnlySpan<byte> content, uint seed)
    {
        Invariant.Check(kind == GroupKind.Membership || (kind == GroupKind.NoOp && content.IsEmpty), "A system group is a no-op without content, or a membership.");
        Invariant.Check(content.Length <= MaxContentBytes);
        var used = HeaderLength + content.Length;
        var length = Blocks.Align(used);
        record = record[..length];
        record.Clear();
        BinaryPrimitives.WriteInt32LittleEndian(record, length);
        BinaryPrimitives.WriteUInt16LittleEndian(record[8..], HeaderLength);
        record[10] = KindSystem;
        record[11] = (byte)(length - used);
        BinaryPrimitives.WriteUInt16LittleEndian(record[12..], kind == GroupKind.NoOp ? TypeNoOp : TypeMembership);
        content.CopyTo(record[HeaderLength..]);
        BinaryPrimitives.WriteUInt32LittleEndian(record[4..], Checksum.Compute(record[8..], seed));
        return length;
    }

    /// <summary>Reads the body of a system group; false if it breaks the format.</summary>
    /// <exception cref="UnsupportedFormatException">It is of a type that this version does not know.</exception>
    public static bool TryDecode(ReadOnlySpan<byte> body, uint seed, out GroupKind kind, out ReadOnlySpan<byte> content)
    {
        kind = default;
        content = default;
        if (body.Length < HeaderLength
            || BinaryPrimitives.ReadInt32LittleEndian(body) != body.Length
            || BinaryPrimitives.ReadUInt32LittleEndian(body[4..]) != Checksum.Compute(body[8..], seed))
        {
            return false;
        }

        var padding = body[11];
        var contentLength = body.Length - HeaderLength - padding;
        if (BinaryPrimitives.ReadUInt16LittleEndian(body[8..]) != HeaderLength || body[10] != KindSystem
            || padding >= Blocks.Alignment || contentLength < 0 || body[(HeaderLength + contentLength)..].ContainsAnyExcept((byte)0))
        {
            return false;
        }

        var type = BinaryPrimitives.ReadUInt16LittleEndian(body[12..]);
        kind = type switch
        {
            TypeNoOp => GroupKind.NoOp,
            TypeMembership => GroupKind.Membership,
            _ => throw new UnsupportedFormatException(VaultStorage.LogFolder, $"system records of type {type}"),
        };
        content = body.Slice(HeaderLength, contentLength);
        return kind == GroupKind.Membership || contentLength == 0;
    }
}
