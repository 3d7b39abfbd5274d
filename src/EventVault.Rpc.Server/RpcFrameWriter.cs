using System.Buffers;
using System.IO.Pipelines;
using EventVault.Rpc.Wire;

namespace EventVault.Rpc.Server;

/// <summary>
/// Writes response messages that are already encoded. Messages gather in the connection's buffer until a flush; a
/// flush waits while the client does not take more, and that wait is the back-pressure. For one user at a time.
/// </summary>
public class RpcFrameWriter : IBufferWriter<byte>
{
    private readonly RpcContext _context;
    private readonly PipeWriter _pipe;
    private readonly int _limitBytes;
    private readonly int _flushThreshold;
    private int _frameRemaining;

    internal RpcFrameWriter(RpcContext context, PipeWriter pipe, int limitBytes, int flushThreshold)
    {
        _context = context;
        _pipe = pipe;
        _limitBytes = limitBytes;
        _flushThreshold = flushThreshold;
    }

    /// <summary>Whether so much is unflushed that the handler should flush before it writes more.</summary>
    public bool WantsFlush => UnflushedBytes >= _flushThreshold;

    /// <summary>Bytes written since the last flush, frame headers included.</summary>
    public int UnflushedBytes { get; private set; }

    /// <summary>Messages written so far.</summary>
    public long Messages { get; private set; }

    /// <summary>
    /// Starts a message whose length is known; its bytes then go straight into the connection's buffer. Exactly
    /// <paramref name="length"/> bytes must be written before the next message, flush or end of the call.
    /// Not compressed, whatever <see cref="RpcContext.CompressResponses"/> says.
    /// </summary>
    /// <param name="length">Bytes of the encoded message.</param>
    /// <returns>Where to write them.</returns>
    /// <exception cref="RpcException">RESOURCE_EXHAUSTED: over the send limit.</exception>
    /// <exception cref="InvalidOperationException">The message before this one has not got all its bytes.</exception>
    public IBufferWriter<byte> BeginFrame(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        BeginFrame(length, compressed: false);
        return this;
    }

    /// <summary>Writes a message that is already encoded.</summary>
    /// <param name="encoded">The protobuf bytes of one response; copied, not checked.</param>
    /// <exception cref="RpcException">RESOURCE_EXHAUSTED: over the send limit.</exception>
    public void WriteFrame(ReadOnlySpan<byte> encoded)
    {
        if (_context.CompressesNow)
        {
            CheckSize(encoded.Length);
            var compressed = GzipCodec.Compress(encoded);
            BeginFrame(compressed.Length, compressed: true);
            CopyIn(compressed);
            return;
        }

        BeginFrame(encoded.Length, compressed: false);
        CopyIn(encoded);
    }

    /// <summary>Sends all that was written. Waits while the client does not take more.</summary>
    /// <exception cref="OperationCanceledException">The call has ended: client gone, deadline passed, server stopping.</exception>
    public async ValueTask FlushAsync()
    {
        CheckFrameComplete();
        UnflushedBytes = 0;

        // Also a flush without a message starts the response, and fixes where the status goes.
        _context.ApplyHeaders();
        FlushResult result;
        try
        {
            result = await _pipe.FlushAsync(_context.Cancellation).ConfigureAwait(false);
        }
        catch (IOException e)
        {
            throw _context.ClientGone(e);
        }

        if (result.IsCompleted || result.IsCanceled)
        {
            throw _context.ClientGone(null);
        }
    }

    /// <summary>Flushes if <see cref="WantsFlush"/>; costs nothing otherwise.</summary>
    /// <exception cref="OperationCanceledException">As for <see cref="FlushAsync"/>.</exception>
    public ValueTask FlushIfFullAsync() => WantsFlush ? FlushAsync() : ValueTask.CompletedTask;

    void IBufferWriter<byte>.Advance(int count)
    {
        if (count > _frameRemaining)
        {
            throw new InvalidOperationException($"{_context.Method}: {count} bytes written into a message that has only {_frameRemaining} left; its announced length is wrong.");
        }

        _frameRemaining -= count;
        _pipe.Advance(count);
    }

    Memory<byte> IBufferWriter<byte>.GetMemory(int sizeHint) => _pipe.GetMemory(sizeHint);

    Span<byte> IBufferWriter<byte>.GetSpan(int sizeHint) => _pipe.GetSpan(sizeHint);

    internal bool IsInsideMessage => _frameRemaining != 0;

    /// <summary>Called at the end of the call, so that a message cut short is not sent as if it were whole.</summary>
    internal void CheckFrameComplete()
    {
        if (_frameRemaining != 0)
        {
            throw new InvalidOperationException($"{_context.Method}: the last message lacks {_frameRemaining} of its announced bytes.");
        }
    }

    /// <summary>Writes a header and counts the message; the caller then writes <paramref name="length"/> bytes.</summary>
    private protected void BeginFrame(int length, bool compressed)
    {
        CheckFrameComplete();
        CheckSize(length);
        _context.ApplyHeaders();
        var header = _pipe.GetSpan(Framing.HeaderBytes);
        Framing.WriteHeader(header, compressed, length);
        _pipe.Advance(Framing.HeaderBytes);
        _frameRemaining = length;
        UnflushedBytes += Framing.HeaderBytes + length;
        Messages++;
    }

    private void CopyIn(ReadOnlySpan<byte> bytes)
    {
        _frameRemaining -= bytes.Length;
        _pipe.Write(bytes);
    }

    private void CheckSize(int length)
    {
        if (length > _limitBytes)
        {
            throw Framing.TooLarge(length, _limitBytes, "send");
        }
    }
}
