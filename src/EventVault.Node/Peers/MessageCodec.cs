// Messages of consensus as content of frames; the layout stands in PeerFrames. Groups are neither copied nor looked at: what
// they are is checked by Replica, which knows the vault's checksum seed.
using System.Buffers.Binary;
using EventVault.Node.Replication;
using EventVault.Raft;

namespace EventVault.Node.Peers;

/// <summary>Encodes and decodes <see cref="PeerMessage"/>.</summary>
internal static class MessageCodec
{
    /// <summary>Of a message without entries, in bytes.</summary>
    public const int FixedBytes = 64;

    /// <summary>For each entry, beside its group, in bytes.</summary>
    public const int EntryBytes = 16;

    /// <summary>Largest part of a message in front of its groups, in bytes.</summary>
    public const int MostHeadBytes = FixedBytes + (PeerFrames.MostEntries * EntryBytes);

    /// <summary>Largest message, in bytes: more than one group goes only while they are small, so there is at most one that is large.</summary>
    public const int MostBytes = MostHeadBytes + PeerFrames.MostGroupBytes;

    private const byte FlagRejected = 1;
    private const byte FlagTransfer = 2;

    /// <summary>Length of a message's content, in bytes.</summary>
    public static int LengthOf(in PeerMessage message)
    {
        long length = HeadLengthOf(message);
        foreach (var group in message.Groups)
        {
            length += group.Length;
        }

        Invariant.Check(length <= MostBytes, "No group is larger than the largest append, and several go together only up to 1 MiB.");
        return (int)length;
    }

    /// <summary>Length of the part in front of the groups, in bytes.</summary>
    public static int HeadLengthOf(in PeerMessage message)
    {
        Invariant.Check(message.Groups.Length <= PeerFrames.MostEntries && message.Groups.Length == message.Raft.Entries.Length);
        return FixedBytes + (EntryBytes * message.Groups.Length);
    }

    /// <summary>Writes all but the groups.</summary>
    /// <param name="message">The message.</param>
    /// <param name="into">As long as <see cref="HeadLengthOf"/> says.</param>
    public static void EncodeHead(in PeerMessage message, Span<byte> into)
    {
        var raft = message.Raft;
        into.Clear();
        into[0] = (byte)raft.Kind;
        into[1] = (byte)((raft.Rejected ? FlagRejected : 0) | (raft.IsTransfer ? FlagTransfer : 0));
        BinaryPrimitives.WriteUInt16LittleEndian(into[2..], (ushort)raft.Entries.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(into[8..], raft.Term.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(into[16..], raft.Index.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(into[24..], raft.LogTerm.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(into[32..], raft.Commit.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(into[40..], raft.Hint.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(into[48..], raft.HintTerm.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(into[56..], raft.Read);
        for (var i = 0; i < raft.Entries.Length; i++)
        {
            var entry = into[(FixedBytes + (i * EntryBytes))..];
            BinaryPrimitives.WriteUInt64LittleEndian(entry, raft.Entries[i].Term.Value);
            entry[8] = (byte)raft.Entries[i].Kind;
            BinaryPrimitives.WriteInt32LittleEndian(entry[12..], message.Groups[i].Length);
        }
    }

    /// <summary>How many entries follow the fixed part, which is all there is of <paramref name="head"/> yet.</summary>
    /// <exception cref="BadFrameException">More than any message has, or than this one has room for.</exception>
    public static int EntriesOf(in FrameHeader header, ReadOnlySpan<byte> head)
    {
        var kind = (MessageKind)head[0];
        int entries = BinaryPrimitives.ReadUInt16LittleEndian(head[2..]);
        if (!Enum.IsDefined(kind) || (head[1] & ~(FlagRejected | FlagTransfer)) != 0 || BinaryPrimitives.ReadUInt32LittleEndian(head[4..]) != 0)
        {
            throw new BadFrameException($"a message is of the unknown kind {head[0]}");
        }

        if (entries > PeerFrames.MostEntries || (entries > 0 && kind != MessageKind.Append) || FixedBytes + ((EntryBytes + 1) * entries) > header.Length
            || (entries == 0 && header.Length != FixedBytes))
        {
            throw new BadFrameException($"a message ({kind}) of {header.Length} bytes says that it has {entries} entries");
        }

        return entries;
    }

    /// <summary>Reads a message's part in front of the groups. Its groups are still null: their lengths are those of the entries.</summary>
    /// <exception cref="BadFrameException">It contradicts itself.</exception>
    public static PeerMessage DecodeHead(in FrameHeader header, ReadOnlySpan<byte> head)
    {
        var count = EntriesOf(header, head);
        var entries = count == 0 ? [] : new Entry[count];
        long groupBytes = 0;
        for (var i = 0; i < count; i++)
        {
            var bytes = head.Slice(FixedBytes + (i * EntryBytes), EntryBytes);
            var kind = (EntryKind)bytes[8];
            var length = BinaryPrimitives.ReadInt32LittleEndian(bytes[12..]);
            if (!Enum.IsDefined(kind) || (bytes[9] | bytes[10] | bytes[11]) != 0 || length is <= 0 or > PeerFrames.MostGroupBytes)
            {
                throw new BadFrameException($"an entry of kind {bytes[8]} says that it has {length} bytes");
            }

            groupBytes += length;
            entries[i] = new Entry(new Term(BinaryPrimitives.ReadUInt64LittleEndian(bytes)), kind, length);
        }

        if (head.Length + groupBytes != header.Length)
        {
            throw new BadFrameException($"a message's groups have {groupBytes} bytes, its frame has room for {header.Length - head.Length}");
        }

        var raft = new Message((MessageKind)head[0], header.From, header.To, new Term(BinaryPrimitives.ReadUInt64LittleEndian(head[8..])))
        {
            Rejected = (head[1] & FlagRejected) != 0,
            IsTransfer = (head[1] & FlagTransfer) != 0,
            Index = new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(head[16..])),
            LogTerm = new Term(BinaryPrimitives.ReadUInt64LittleEndian(head[24..])),
            Commit = new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(head[32..])),
            Hint = new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(head[40..])),
            HintTerm = new Term(BinaryPrimitives.ReadUInt64LittleEndian(head[48..])),
            Read = BinaryPrimitives.ReadUInt64LittleEndian(head[56..]),
            Entries = entries,
        };
        return new PeerMessage(header.VaultId, raft, count == 0 ? [] : new byte[count][]);
    }
}
