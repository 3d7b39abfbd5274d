using System.Buffers;
using EventVault.Rpc.Wire;

namespace EventVault.Rpc.Client;

// Takes frames out of a response body. One contiguous buffer, so that a message can be handed out as memory
// without a copy; it grows as data comes, never because of a length that was merely declared. One owner: the
// call's reading side.
internal sealed class ResponseFrames(Stream body, BufferPool pool, int firstBufferBytes, int limitBytes, bool gzip)
{
    private byte[] _buffer = pool.Rent(firstBufferBytes);
    private byte[]? _decompressed;
    private int _start;
    private int _end;

    /// <summary>The last message taken; valid until the next one is.</summary>
    public ReadOnlyMemory<byte> Message { get; private set; }

    /// <summary>Takes a message that is already here.</summary>
    public bool TryTake()
    {
        if (!Framing.TryReadHeader(_buffer.AsSpan(_start, _end - _start), limitBytes, out var compressed, out var length)
            || _end - _start - Framing.HeaderBytes < length)
        {
            return false;
        }

        var message = _buffer.AsMemory(_start + Framing.HeaderBytes, length);
        _start += Framing.HeaderBytes + length;
        Message = compressed ? Decompress(message) : message;
        return true;
    }

    /// <summary>Waits for a message; false at the end of the body.</summary>
    public async ValueTask<bool> TakeAsync(CancellationToken cancellation)
    {
        while (!TryTake())
        {
            MakeRoom();
            var read = await body.ReadAsync(_buffer.AsMemory(_end), cancellation).ConfigureAwait(false);
            if (read == 0)
            {
                return _start == _end ? false : throw Framing.Truncated();
            }

            _end += read;
        }

        return true;
    }

    /// <summary>Gives the buffers back. Only when no read is under way.</summary>
    public void Return()
    {
        Message = default;
        _start = _end = 0;
        pool.Return(_buffer);
        _buffer = [];
        ReturnDecompressed();
    }

    /// <summary>
    /// Leaves the buffers to the garbage collector, and <see cref="Message"/> as it is, for whoever still uses it. In place of
    /// <see cref="Return"/>, and like that only when no read is under way.
    /// </summary>
    public void Abandon() => pool.Abandon(_buffer);

    private void MakeRoom()
    {
        if (_start == _end)
        {
            _start = _end = 0;
            return;
        }

        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            _end -= _start;
            _start = 0;
        }

        if (_end == _buffer.Length)
        {
            var larger = pool.Rent((int)Math.Min((long)_buffer.Length * 2, Array.MaxLength));
            _buffer.AsSpan(0, _end).CopyTo(larger);
            pool.Return(_buffer);
            _buffer = larger;
        }
    }

    private ReadOnlyMemory<byte> Decompress(ReadOnlyMemory<byte> message)
    {
        if (!gzip)
        {
            throw new RpcException(RpcCode.Internal, "The server sent a compressed message without naming its encoding.");
        }

        ReturnDecompressed();
        (_decompressed, var length) = GzipCodec.Decompress(new ReadOnlySequence<byte>(message), limitBytes);
        return _decompressed.AsMemory(0, length);
    }

    private void ReturnDecompressed()
    {
        if (_decompressed is { } rented)
        {
            _decompressed = null;
            ArrayPool<byte>.Shared.Return(rented);
        }
    }
}
