// Puts frames into a connection. Small things gather in a buffer until somebody flushes it; large groups go out from where they
// are, so a group's bytes are copied at most once.
using EventVault.Node.Replication;
using EventVault.Raft;

namespace EventVault.Node.Peers;

/// <summary>Writes frames. For one caller at a time.</summary>
/// <param name="stream">The connection.</param>
/// <param name="vault">Of this node.</param>
/// <param name="from">This node.</param>
/// <param name="onSent">Told of bytes that the connection took; null: nobody counts.</param>
internal sealed class FrameWriter(Stream stream, Guid vault, ReplicaId from, Action<long>? onSent = null)
{
    /// <summary>Bytes gathered before they are written: a system call for some hundred messages.</summary>
    private const int BufferBytes = 32 * 1024;

    /// <summary>Groups of this many bytes and more are not worth copying.</summary>
    private const int LargeBytes = 8 * 1024;

    /// <summary>A large group goes out in pieces of this many bytes, so that progress shows on a slow connection.</summary>
    private const int PieceBytes = 256 * 1024;

    private readonly byte[] _buffer = new byte[BufferBytes];
    private int _length;
    private long _writes;

    /// <summary>Rises whenever the connection took something. For every thread.</summary>
    public long Writes => Volatile.Read(ref _writes);

    /// <summary>A frame with content that is at hand.</summary>
    /// <exception cref="IOException">The connection broke.</exception>
    public async ValueTask WriteAsync(FrameKind kind, ReplicaId to, ReadOnlyMemory<byte> content, CancellationToken cancellation)
    {
        Invariant.Check(content.Length <= PeerFrames.MostContentBytes(kind));
        await ReserveAsync(FrameHeader.Bytes, cancellation);
        Begin(kind, to, content.Length, Storage.Checksum.Compute(content.Span));
        await AddAsync(content, cancellation);
    }

    /// <summary>A ping or pong.</summary>
    /// <exception cref="IOException">The connection broke.</exception>
    public async ValueTask WritePingAsync(FrameKind kind, ReplicaId to, ulong number, long clock, DiskMark mark, CancellationToken cancellation)
    {
        await ReserveAsync(FrameHeader.Bytes + PeerFrames.PingBytes, cancellation);
        var content = _buffer.AsSpan(_length + FrameHeader.Bytes, PeerFrames.PingBytes);
        PeerFrames.EncodePing(content, number, clock, mark);
        Begin(kind, to, content.Length, Storage.Checksum.Compute(content));
        _length += PeerFrames.PingBytes;
    }

    /// <summary>A message.</summary>
    /// <exception cref="IOException">The connection broke.</exception>
    public async ValueTask WriteAsync(PeerMessage message, CancellationToken cancellation)
    {
        var headLength = MessageCodec.HeadLengthOf(message);
        await ReserveAsync(FrameHeader.Bytes + headLength, cancellation);
        var head = _buffer.AsSpan(_length + FrameHeader.Bytes, headLength);
        MessageCodec.EncodeHead(message, head);
        var checksum = Storage.Checksum.Compute(head);
        foreach (var group in message.Groups)
        {
            checksum = Storage.Checksum.Compute(group, checksum);
        }

        Begin(FrameKind.Message, message.Raft.To, MessageCodec.LengthOf(message), checksum);
        _length += headLength;
        foreach (var group in message.Groups)
        {
            await AddAsync(group, cancellation);
        }
    }

    /// <summary>Hands what was gathered to the connection.</summary>
    /// <exception cref="IOException">The connection broke.</exception>
    public async ValueTask FlushAsync(CancellationToken cancellation)
    {
        if (_length > 0)
        {
            await stream.WriteAsync(_buffer.AsMemory(0, _length), cancellation);
            onSent?.Invoke(_length);
            _length = 0;
            Volatile.Write(ref _writes, _writes + 1);
        }
    }

    private void Begin(FrameKind kind, ReplicaId to, int length, uint checksum)
    {
        new FrameHeader(kind, length, checksum, vault, from, to).Encode(_buffer.AsSpan(_length));
        _length += FrameHeader.Bytes;
    }

    private ValueTask ReserveAsync(int bytes, CancellationToken cancellation) => _length + bytes > BufferBytes ? FlushAsync(cancellation) : default;

    private async ValueTask AddAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        if (bytes.Length < LargeBytes)
        {
            await ReserveAsync(bytes.Length, cancellation);
            bytes.Span.CopyTo(_buffer.AsSpan(_length));
            _length += bytes.Length;
            return;
        }

        await FlushAsync(cancellation);
        for (; bytes.Length > 0; bytes = bytes[Math.Min(PieceBytes, bytes.Length)..])
        {
            await stream.WriteAsync(bytes[..Math.Min(PieceBytes, bytes.Length)], cancellation);
            onSent?.Invoke(Math.Min(PieceBytes, bytes.Length));
            Volatile.Write(ref _writes, _writes + 1);
        }
    }
}
