// What goes over a connection between two nodes: frames. Each says from whom to whom it is, and no byte of it is believed
// before a checksum over it held; no length before it was held against a bound. Little-endian; UUIDs in network byte order.
//
// | offset | size | meaning                                                                  |
// |      0 |    4 | magic "EVPF"                                                             |
// |      4 |    1 | kind (FrameKind)                                                         |
// |      5 |    3 | zero                                                                     |
// |      8 |    4 | length of the content in bytes                                           |
// |     12 |    4 | CRC32C of the content                                                    |
// |     16 |   16 | vault of the sender; zero: it belongs to none yet                        |
// |     32 |   16 | sender: incarnation; zero while it has none                              |
// |     48 |    4 | sender: node; 0 while it has no number                                   |
// |     52 |   16 | receiver: incarnation; zero in a hello: whoever is there                 |
// |     68 |    4 | receiver: node                                                           |
// |     72 |    4 | CRC32C of bytes 0 to 71                                                  |
// |     76 |      | content                                                                  |
//
// Contents: texts are UTF-8.
//
//   Hello, Welcome   0: protocol version (2) · 2: lane (1; 0 in a welcome) · 3: zero (1) · 4: boot (16) · 20: start number (4)
//                    · 24: wall clock, 100 ns ticks since 1970 (8) · 32: length of the client address (1) · 33: length of the
//                    software's version (1) · 34: length of the peer address (1) · 35: zero (1) · 36: term when the disk was opened (8)
//                    · 44: index of the last entry then (8) · 52: the three texts
//   Refusal          0: 1 if the disk is an old copy, else 0 (1) · 1: why, for people
//   Ping, Pong       0: number (8), the same in the answer · 8: wall clock of who wrote it (8)
//                    · 16: its DiskMark: term, held, committed (8 each)
//   Message          0: kind (1) · 1: flags, 1 rejected, 2 transfer (1) · 2: entries (2) · 4: zero (4) · 8: term (8) · 16: index (8)
//                    · 24: term at index (8) · 32: commit (8) · 40: hint (8) · 48: term at hint (8) · 56: read (8)
//                    · 64: for each entry: term (8), kind (1), zero (3), length of its group (4) · then the groups, as in the log
//   Request          0: kind (1) · 1: content
//   Answer           content
//   Failure          why, for people
//
// The dialling side begins with Hello; Welcome or Refusal answers it. On an urgent or a bulk connection both sides then send
// pings, pongs and messages as they like. On one for requests each Request is followed by its Answer or Failure, one at a time.
using System.Buffers.Binary;
using System.Text;
using EventVault.Node.Replication;
using EventVault.Raft;
using EventVault.Storage.Log;

namespace EventVault.Node.Peers;

/// <summary>What a frame holds.</summary>
internal enum FrameKind : byte
{
    Hello = 1,
    Welcome,
    Refusal,
    Ping,
    Pong,
    Message,
    Request,
    Answer,
    Failure,
}

/// <summary>What a connection is for.</summary>
internal enum PeerLane : byte
{
    /// <summary>Messages of consensus that must not wait behind groups.</summary>
    Urgent = 1,

    /// <summary>Messages with groups.</summary>
    Bulk,

    /// <summary>Requests and what they transfer.</summary>
    Requests,
}

/// <summary>A frame without its content.</summary>
internal readonly record struct FrameHeader(FrameKind Kind, int Length, uint Checksum, Guid VaultId, ReplicaId From, ReplicaId To)
{
    /// <summary>Of an encoded one, in bytes.</summary>
    public const int Bytes = 76;

    private const uint Magic = 0x46505645; // "EVPF"

    public void Encode(Span<byte> into)
    {
        into[..Bytes].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(into, Magic);
        into[4] = (byte)Kind;
        BinaryPrimitives.WriteInt32LittleEndian(into[8..], Length);
        BinaryPrimitives.WriteUInt32LittleEndian(into[12..], Checksum);
        VaultId.TryWriteBytes(into[16..], bigEndian: true, out _);
        From.Incarnation.TryWriteBytes(into[32..], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt32LittleEndian(into[48..], From.Node);
        To.Incarnation.TryWriteBytes(into[52..], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt32LittleEndian(into[68..], To.Node);
        BinaryPrimitives.WriteUInt32LittleEndian(into[72..], Storage.Checksum.Compute(into[..72]));
    }

    /// <exception cref="BadFrameException">These bytes are no header, or its content would be longer than any of its kind.</exception>
    public static FrameHeader Decode(ReadOnlySpan<byte> bytes)
    {
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic)
        {
            throw new BadFrameException("no frame begins where one should; something else may use this port");
        }

        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[72..]) != Storage.Checksum.Compute(bytes[..72]))
        {
            throw new BadFrameException("a frame's header does not match its checksum");
        }

        var kind = (FrameKind)bytes[4];
        var length = BinaryPrimitives.ReadInt32LittleEndian(bytes[8..]);
        if (!Enum.IsDefined(kind) || (bytes[5] | bytes[6] | bytes[7]) != 0)
        {
            throw new BadFrameException($"a frame is of the unknown kind {bytes[4]}");
        }

        if (length < 0 || length > PeerFrames.MostContentBytes(kind))
        {
            throw new BadFrameException($"a frame ({kind}) says that its content has {length} bytes, {PeerFrames.MostContentBytes(kind)} are the most");
        }

        return new FrameHeader(
            kind, length, BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]), new Guid(bytes.Slice(16, 16), bigEndian: true),
            new ReplicaId(BinaryPrimitives.ReadUInt32LittleEndian(bytes[48..]), new Guid(bytes.Slice(32, 16), bigEndian: true)),
            new ReplicaId(BinaryPrimitives.ReadUInt32LittleEndian(bytes[68..]), new Guid(bytes.Slice(52, 16), bigEndian: true)));
    }
}

/// <summary>Bounds of frames, and the layout of the small ones.</summary>
internal static class PeerFrames
{
    /// <summary>Nodes of one version understand each other; a node refuses who speaks another one.</summary>
    public const ushort ProtocolVersion = 1;

    /// <summary>Longest text in a refusal or a failure, in bytes: a few sentences.</summary>
    public const int MostTextBytes = 2048;

    /// <summary>Largest group, in bytes: the largest append, and as much for its headers as recovery allows for.</summary>
    public const int MostGroupBytes = VaultLimits.MostAppendBytes + (4 * 1024 * 1024);

    /// <summary>Most entries of an Append: what <see cref="RaftOptions.MaxMessageEntries"/> allows.</summary>
    public const int MostEntries = 64;

    /// <summary>Of a ping or pong, in bytes.</summary>
    public const int PingBytes = 40;

    private const int HelloBytes = 52;

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Longest content of a kind of frame, in bytes.</summary>
    public static int MostContentBytes(FrameKind kind) => kind switch
    {
        FrameKind.Hello or FrameKind.Welcome => HelloBytes + (3 * byte.MaxValue),
        FrameKind.Refusal => 1 + MostTextBytes,
        FrameKind.Failure => MostTextBytes,
        FrameKind.Ping or FrameKind.Pong => PingBytes,
        FrameKind.Message => MessageCodec.MostBytes,
        FrameKind.Request => 1 + PeerLimits.RequestBytes,
        FrameKind.Answer => PeerLimits.RequestBytes,
        _ => 0,
    };

    /// <summary>A hello's or welcome's content.</summary>
    /// <param name="hello">Who says it.</param>
    /// <param name="lane">What the connection is for; of a welcome: 0.</param>
    /// <param name="clock">The wall clock, 100 ns ticks since 1970.</param>
    public static byte[] EncodeHello(PeerHello hello, PeerLane lane, long clock)
    {
        var address = Encoding.UTF8.GetBytes(hello.ClientAddress);
        var version = Encoding.UTF8.GetBytes(hello.Version);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(address.Length, byte.MaxValue);
        var peerAddress = Encoding.UTF8.GetBytes(hello.PeerAddress);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(version.Length, byte.MaxValue);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(peerAddress.Length, byte.MaxValue);
        var bytes = new byte[HelloBytes + address.Length + version.Length + peerAddress.Length];
        var span = bytes.AsSpan();
        BinaryPrimitives.WriteUInt16LittleEndian(span, ProtocolVersion);
        span[2] = (byte)lane;
        hello.Boot.TryWriteBytes(span[4..], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt32LittleEndian(span[20..], hello.StartNumber);
        BinaryPrimitives.WriteInt64LittleEndian(span[24..], clock);
        span[32] = (byte)address.Length;
        span[33] = (byte)version.Length;
        span[34] = (byte)peerAddress.Length;
        BinaryPrimitives.WriteUInt64LittleEndian(span[36..], hello.OpenedTerm);
        BinaryPrimitives.WriteUInt64LittleEndian(span[44..], hello.OpenedLast);
        address.CopyTo(span[HelloBytes..]);
        version.CopyTo(span[(HelloBytes + address.Length)..]);
        peerAddress.CopyTo(span[(HelloBytes + address.Length + version.Length)..]);
        return bytes;
    }

    /// <exception cref="BadFrameException">It is none, or of another protocol version.</exception>
    public static (PeerHello Hello, PeerLane Lane, long Clock) DecodeHello(in FrameHeader header, ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length >= 2 && BinaryPrimitives.ReadUInt16LittleEndian(bytes) is var version && version != ProtocolVersion)
        {
            throw new BadFrameException($"the other node speaks version {version} of the protocol between nodes, this one version {ProtocolVersion}");
        }

        if (bytes.Length < HelloBytes || bytes.Length != HelloBytes + bytes[32] + bytes[33] + bytes[34])
        {
            throw new BadFrameException("a hello is not as long as it says");
        }

        var lane = (PeerLane)bytes[2];
        if (header.Kind == FrameKind.Hello != Enum.IsDefined(lane))
        {
            throw new BadFrameException($"a hello is for the unknown lane {bytes[2]}");
        }

        var hello = new PeerHello(
            header.VaultId, header.From, new Guid(bytes.Slice(4, 16), bigEndian: true), BinaryPrimitives.ReadUInt32LittleEndian(bytes[20..]),
            DecodeText(bytes.Slice(HelloBytes, bytes[32])), DecodeText(bytes.Slice(HelloBytes + bytes[32], bytes[33])))
        {
            OpenedTerm = BinaryPrimitives.ReadUInt64LittleEndian(bytes[36..]),
            OpenedLast = BinaryPrimitives.ReadUInt64LittleEndian(bytes[44..]),
            PeerAddress = DecodeText(bytes[(HelloBytes + bytes[32] + bytes[33])..]),
        };
        return (hello, lane, BinaryPrimitives.ReadInt64LittleEndian(bytes[24..]));
    }

    /// <summary>A refusal's content.</summary>
    public static byte[] EncodeRefusal(PeerRefusal refusal) => [refusal.IsOldDisk ? (byte)1 : (byte)0, .. EncodeText(refusal.Why)];

    /// <exception cref="BadFrameException">It is none.</exception>
    public static PeerRefusal DecodeRefusal(ReadOnlySpan<byte> bytes) =>
        bytes is [0 or 1, ..] ? new PeerRefusal(DecodeText(bytes[1..]), bytes[0] == 1) : throw new BadFrameException("a refusal is none");

    /// <summary>A text, cut where it would be too long.</summary>
    public static byte[] EncodeText(string text)
    {
        var bytes = new byte[MostTextBytes];
        Encoding.UTF8.GetEncoder().Convert(text, bytes, flush: false, out _, out var used, out _);
        return bytes[..used];
    }

    /// <summary>A text of another node, fit for a line of a log: without line breaks and other control characters.</summary>
    /// <exception cref="BadFrameException">It is no UTF-8.</exception>
    public static string DecodeText(ReadOnlySpan<byte> bytes)
    {
        try
        {
            var text = StrictUtf8.GetString(bytes);
            return text.AsSpan().IndexOfAnyInRange('\0', '\u001f') < 0 ? text : string.Concat(text.Select(c => char.IsControl(c) ? ' ' : c));
        }
        catch (DecoderFallbackException)
        {
            throw new BadFrameException("a text is no UTF-8");
        }
    }

    /// <summary>What <see cref="FrameKind.Ping"/> and <see cref="FrameKind.Pong"/> hold.</summary>
    public static void EncodePing(Span<byte> into, ulong number, long clock, in DiskMark mark)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(into, number);
        BinaryPrimitives.WriteInt64LittleEndian(into[8..], clock);
        BinaryPrimitives.WriteUInt64LittleEndian(into[16..], mark.Term);
        BinaryPrimitives.WriteUInt64LittleEndian(into[24..], mark.Held);
        BinaryPrimitives.WriteUInt64LittleEndian(into[32..], mark.Committed);
    }

    /// <exception cref="BadFrameException">It has another length.</exception>
    public static (ulong Number, long Clock, DiskMark Mark) DecodePing(ReadOnlySpan<byte> bytes) => bytes.Length == PingBytes
        ? (BinaryPrimitives.ReadUInt64LittleEndian(bytes), BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]),
            new DiskMark(
                BinaryPrimitives.ReadUInt64LittleEndian(bytes[16..]), BinaryPrimitives.ReadUInt64LittleEndian(bytes[24..]), BinaryPrimitives.ReadUInt64LittleEndian(bytes[32..])))
        : throw new BadFrameException($"a ping has {bytes.Length} bytes");
}

/// <summary>What came is not what this protocol allows: the connection is closed.</summary>
internal sealed class BadFrameException(string message) : IOException(message);
