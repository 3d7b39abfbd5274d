// Takes frames out of a connection. What is in the buffer is used before anything more is read; what is larger than the buffer
// is read straight into where it belongs.
using EventVault.Node.Replication;

namespace EventVault.Node.Peers;

/// <summary>Reads frames. For one caller at a time.</summary>
/// <param name="stream">The connection.</param>
internal sealed class FrameReader(Stream stream)
{
    /// <summary>Bytes read at once: some hundred messages, and little for a connection that has not said hello yet.</summary>
    private const int BufferBytes = 16 * 1024;

    private readonly byte[] _buffer = new byte[BufferBytes];
    private readonly byte[] _head = new byte[MessageCodec.MostHeadBytes];
    private int _start;
    private int _end;
    private int _left;
    private uint _checksum;
    private long _reads;

    /// <summary>Rises whenever something came. For every thread.</summary>
    public long Reads => Volatile.Read(ref _reads);

    /// <summary>The next frame's header; null: the other side has ended the connection in order.</summary>
    /// <exception cref="BadFrameException">What came is no frame.</exception>
    /// <exception cref="IOException">The connection broke.</exception>
    public async ValueTask<FrameHeader?> ReadHeaderAsync(CancellationToken cancellation)
    {
        Invariant.Check(_left == 0, "The content before was read to its end.");
        while (_end - _start < FrameHeader.Bytes)
        {
            _buffer.AsSpan(_start.._end).CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
            var read = await stream.ReadAsync(_buffer.AsMemory(_end), cancellation);
            if (read == 0)
            {
                return _end == 0 ? null : throw new EndOfStreamException("The connection ended within a frame.");
            }

            _end += read;
            Volatile.Write(ref _reads, _reads + 1);
        }

        var header = FrameHeader.Decode(_buffer.AsSpan(_start));
        _start += FrameHeader.Bytes;
        _left = header.Length;
        _checksum = 0;
        return header;
    }

    /// <summary>All of the content of the header that was just read, in memory of its own.</summary>
    /// <exception cref="BadFrameException">It does not match its checksum.</exception>
    public async ValueTask<byte[]> ReadContentAsync(FrameHeader header, CancellationToken cancellation)
    {
        var bytes = new byte[header.Length];
        await FillAsync(bytes, cancellation);
        EndContent(header);
        return bytes;
    }

    /// <summary>A ping or pong.</summary>
    /// <exception cref="BadFrameException">It is none.</exception>
    public async ValueTask<(ulong Number, long Clock, DiskMark Mark)> ReadPingAsync(FrameHeader header, CancellationToken cancellation)
    {
        var bytes = _head.AsMemory(0, header.Length);
        await FillAsync(bytes, cancellation);
        EndContent(header);
        return PeerFrames.DecodePing(bytes.Span);
    }

    /// <summary>A message, each of its groups in an array of its own.</summary>
    /// <exception cref="BadFrameException">It is none.</exception>
    public async ValueTask<PeerMessage> ReadMessageAsync(FrameHeader header, CancellationToken cancellation)
    {
        if (header.Length < MessageCodec.FixedBytes)
        {
            throw new BadFrameException($"a message has {header.Length} bytes");
        }

        await FillAsync(_head.AsMemory(0, MessageCodec.FixedBytes), cancellation);
        var length = MessageCodec.FixedBytes + (MessageCodec.EntryBytes * MessageCodec.EntriesOf(header, _head));
        await FillAsync(_head.AsMemory(MessageCodec.FixedBytes, length - MessageCodec.FixedBytes), cancellation);
        var message = MessageCodec.DecodeHead(header, _head.AsSpan(0, length));
        for (var i = 0; i < message.Groups.Length; i++)
        {
            // Bounded by DecodeHead, all of them together by the frame's length.
            message.Groups[i] = GC.AllocateUninitializedArray<byte>(message.Raft.Entries[i].Bytes);
            await FillAsync(message.Groups[i], cancellation);
        }

        EndContent(header);
        return message;
    }

    private void EndContent(in FrameHeader header)
    {
        Invariant.Check(_left == 0);
        if (_checksum != header.Checksum)
        {
            throw new BadFrameException($"the content of a frame ({header.Kind}) does not match its checksum");
        }
    }

    private async ValueTask FillAsync(Memory<byte> into, CancellationToken cancellation)
    {
        Invariant.Check(into.Length <= _left);
        _left -= into.Length;
        var all = into;
        while (into.Length > 0)
        {
            if (_start < _end)
            {
                var part = Math.Min(into.Length, _end - _start);
                _buffer.AsSpan(_start, part).CopyTo(into.Span);
                _start += part;
                into = into[part..];
                continue;
            }

            var isLarge = into.Length >= BufferBytes;
            var read = await stream.ReadAsync(isLarge ? into : _buffer, cancellation);
            if (read == 0)
            {
                throw new EndOfStreamException("The connection ended within a frame.");
            }

            Volatile.Write(ref _reads, _reads + 1);
            if (isLarge)
            {
                into = into[read..];
            }
            else
            {
                (_start, _end) = (0, read);
            }
        }

        _checksum = Storage.Checksum.Compute(all.Span, _checksum);
    }
}
