using System.Buffers;
using System.Diagnostics;
using System.IO.Pipelines;
using EventVault.Rpc.Wire;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;

namespace EventVault.Rpc.Server;

/// <summary>
/// Takes request messages off a call, encoded. Reading is what lets the client send more: a handler that does not
/// read holds its client back. For one user at a time.
/// </summary>
public class RpcFrameReader
{
    private readonly RpcContext _context;
    private readonly PipeReader _pipe;
    private readonly int _limitBytes;
    private readonly bool _gzip;
    private ReadOnlySequence<byte> _unread;
    private byte[]? _decompressed;
    private long _taken; // Of the server's budget, for a large message.
    private long _patienceFrom; // When it last got on by what patience asks for.
    private long _arrived; // How far it was then.
    private bool _holding;
    private bool _end;
    private bool _isTaken; // The message that _taken is for was handed out: with the next wait its bytes go.
    private volatile bool _stopped;

    internal RpcFrameReader(RpcContext context, PipeReader pipe, int limitBytes, bool gzip)
    {
        _context = context;
        _pipe = pipe;
        _limitBytes = limitBytes;
        _gzip = gzip;
    }

    /// <summary>The encoded message of the last successful read. Lies in the connection's buffers: valid only until the next read.</summary>
    public ReadOnlySequence<byte> Message { get; private set; }

    /// <summary>Waits for the next message.</summary>
    /// <returns>False when the client has sent its last one.</returns>
    /// <exception cref="RpcException">A frame is malformed, too large or cut short.</exception>
    /// <exception cref="OperationCanceledException">The call has ended: client gone, deadline passed, server stopping.</exception>
    public ValueTask<bool> ReadFrameAsync() => TryReadFrame() ? new ValueTask<bool>(true) : ReadSlowAsync();

    /// <summary>
    /// Takes the next message if it has already arrived. Take all there are, write the answers, then flush once: that is
    /// what makes a stream fast. Ends by itself, because it looks only at what the last wait brought.
    /// </summary>
    /// <returns>Whether <see cref="Message"/> is a new message; false says nothing about the end.</returns>
    /// <exception cref="RpcException">A frame is malformed or too large.</exception>
    public bool TryReadFrame()
    {
        if (!Framing.TryReadHeader(_unread, _limitBytes, out var compressed, out var length)
            || _unread.Length - Framing.HeaderBytes < length)
        {
            return false;
        }

        var message = _unread.Slice(Framing.HeaderBytes, length);
        _unread = _unread.Slice(message.End);
        Message = compressed ? Decompress(message) : message;
        _isTaken = true;
        return true;
    }

    /// <summary>
    /// Ends the reading: a wait for the next message, now or later, returns false as if the client had sent its last one.
    /// For handlers that must end while they wait. Thread-safe, until the handler has returned.
    /// </summary>
    public void StopReading()
    {
        _stopped = true;
        _pipe.CancelPendingRead();
    }

    /// <summary>Reads the only message of a call, to the end of the body. <see cref="Message"/> is valid until the call ends.</summary>
    internal async ValueTask ReadSingleAsync()
    {
        while (true)
        {
            // A second message is refused before it is buffered.
            if (Framing.TryReadHeader(_unread, _limitBytes, out _, out var length) && _unread.Length > Framing.HeaderBytes + length)
            {
                throw WrongCount("more than one");
            }

            if (_end)
            {
                if (_unread.IsEmpty)
                {
                    throw WrongCount("none");
                }

                if (!TryReadFrame())
                {
                    throw Framing.Truncated();
                }

                return;
            }

            await FillAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Gives back what is held; nothing may be read afterwards.</summary>
    internal void Release()
    {
        Message = default;
        if (_holding)
        {
            _holding = false;
            try
            {
                _pipe.AdvanceTo(_unread.Start);
            }
            catch (Exception e) when (e is IOException or OperationCanceledException)
            {
                // The connection broke, or the call was cut. Whoever waits for the client next, or answers it, finds out.
                _ = _context.ClientGone(e);
            }

            _unread = default;
        }

        ReturnDecompressed();
        GiveBack();
    }

    private async ValueTask<bool> ReadSlowAsync()
    {
        while (!_end)
        {
            await FillAsync().ConfigureAwait(false);
            if (TryReadFrame())
            {
                return true;
            }
        }

        return _unread.IsEmpty || _stopped ? false : throw Framing.Truncated();
    }

    private async ValueTask FillAsync()
    {
        Message = default;
        if (_isTaken)
        {
            GiveBack();
        }

        ReadResult result;
        try
        {
            if (_holding)
            {
                _holding = false;
                _pipe.AdvanceTo(_unread.Start, _unread.End);
            }

            if (!_pipe.TryRead(out result))
            {
                result = _taken > 0 && !_isTaken
                    ? await ReadLargeAsync().ConfigureAwait(false)
                    : await _pipe.ReadAsync(_context.Cancellation).ConfigureAwait(false);
            }
        }
        catch (BadHttpRequestException e)
        {
            throw new RpcException(RpcCode.Internal, $"The request body is malformed: {e.Message}", inner: e);
        }
        catch (Exception e) when (e is IOException or ConnectionAbortedException)
        {
            // A client's reset shows here before the call's abort token fires. It is a cancellation, not a fault.
            throw _context.ClientGone(e);
        }

        _unread = result.Buffer;
        _holding = true;
        _end = result.IsCompleted;
        if (result.IsCanceled)
        {
            _end = _stopped ? true : throw _context.ClientGone(null);
        }

        TakeBudget();
    }

    // For what has arrived, not for what is announced: to announce costs nothing, and would keep others out.
    private void TakeBudget()
    {
        if (!Framing.TryReadHeader(_unread, _limitBytes, out _, out var length) || length <= ReceiveBudget.FreeBytes)
        {
            return;
        }

        var arrived = Math.Min(_unread.Length, Framing.HeaderBytes + length);
        if (_taken == 0 || arrived - _arrived >= ReceiveBudget.FreeBytes)
        {
            (_arrived, _patienceFrom) = (arrived, Stopwatch.GetTimestamp());
        }

        if (arrived > _taken)
        {
            Take(arrived - _taken);
        }
    }

    // The rest of a large message. One that no longer comes is given up when its room is wanted.
    private async ValueTask<ReadResult> ReadLargeAsync()
    {
        var mostWait = _context.Options.ReceivePatience;
        while (true)
        {
            var left = mostWait - Stopwatch.GetElapsedTime(_patienceFrom);
            if (left <= TimeSpan.Zero)
            {
                if (_context.Receiving.IsTight)
                {
                    throw Overloaded();
                }

                left = mostWait;
            }

            using var patience = new CancellationTokenSource(left);
            using var ends = CancellationTokenSource.CreateLinkedTokenSource(_context.Cancellation, patience.Token);
            try
            {
                return await _pipe.ReadAsync(ends.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (patience.IsCancellationRequested && !_context.Cancellation.IsCancellationRequested)
            {
            }
        }
    }

    private void Take(long length)
    {
        if (!_context.Receiving.TryTake(_context.ConnectionId, _taken, length))
        {
            throw Overloaded();
        }

        _taken += length;
        _isTaken = false;
    }

    private RpcException Overloaded() => _context.Options.OverloadRefusal?.Invoke()
        ?? new RpcException(RpcCode.ResourceExhausted, "The server holds as many bytes of requests as it may; this one was not taken. Try again, after a wait that grows.");

    private void GiveBack()
    {
        if (_taken > 0)
        {
            _context.Receiving.GiveBack(_context.ConnectionId, _taken);
            _taken = 0;
        }
    }

    private ReadOnlySequence<byte> Decompress(in ReadOnlySequence<byte> message)
    {
        if (!_gzip)
        {
            throw new RpcException(RpcCode.Internal, "A request message is compressed, but the call names no encoding in grpc-encoding.");
        }

        ReturnDecompressed();
        (_decompressed, var length) = GzipCodec.Decompress(message, _limitBytes);
        if (length > ReceiveBudget.FreeBytes)
        {
            Take(length); // Only now is it known. Not given out if there is no room, so what is over is one for each thread.
        }

        return new ReadOnlySequence<byte>(_decompressed, 0, length);
    }

    private void ReturnDecompressed()
    {
        if (_decompressed is { } rented)
        {
            _decompressed = null;
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private RpcException WrongCount(string count) =>
        new(RpcCode.Unimplemented, $"{_context.Method} takes exactly one request message, the client sent {count}.");
}
