using System.Net;

namespace EventVault.Rpc.Client;

// The request body of a call whose caller sends messages over time. The HTTP client asks for the body once it has
// a stream; that stream is handed to the call, and the body stays open until the call completes or gives it up.
internal sealed class RequestStream : HttpContent
{
    private readonly TaskCompletionSource<Stream> _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _writes = new(); // No timer and no link: there is nothing to dispose.
    private readonly Lock _lock = new();
    private Stream? _stream;
    private Exception? _givenUp;
    private bool _written;
    private bool _writing;

    /// <summary>
    /// Writes as soon as there is a stream to write to, until all is sent or the body is given up. One write at a time.
    /// After a connection that was closing refused the call, the HTTP client starts it again on another one; that is
    /// invisible as long as nothing was written.
    /// </summary>
    public async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes)
    {
        await _opened.Task.ConfigureAwait(false);
        Stream stream;
        lock (_lock)
        {
            if (_givenUp is not null)
            {
                throw new IOException("The request was given up.", _givenUp);
            }

            _written = true;
            _writing = true;
            stream = _stream!;
        }

        try
        {
            await stream.WriteAsync(bytes, _writes.Token).ConfigureAwait(false);

            // The write alone may stay in the connection's buffer.
            await stream.FlushAsync(_writes.Token).ConfigureAwait(false);
        }
        finally
        {
            lock (_lock)
            {
                _writing = false;
            }

            if (_givenUp is { } reason)
            {
                End(reason);
            }
        }
    }

    /// <summary>No more messages: the body ends in good order.</summary>
    public void Complete() => _done.TrySetResult();

    /// <summary>
    /// Ends what waits; without this the HTTP client's send task would never end. The body must not look complete, or
    /// the server would take a cancelled request for a whole one. It ends only when nobody writes any more: the HTTP
    /// client resets the stream then, and what comes behind a reset costs all calls their connection.
    /// </summary>
    public void GiveUp(Exception reason)
    {
        bool writing;
        lock (_lock)
        {
            _givenUp ??= reason;
            writing = _writing;
        }

        _opened.TrySetException(reason);
        _ = _opened.Task.Exception;
        if (writing)
        {
            _writes.Cancel();
        }
        else
        {
            End(reason);
        }
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            if (_written)
            {
                // The HTTP client starts over only what no server has looked at.
                throw new RpcException(RpcCode.Unavailable, "The connection was closing and refused the call after messages were written to it. Start the call again.")
                {
                    NotProcessed = true,
                };
            }

            _stream = stream;
        }

        // Without this the headers may lie in the connection's buffer until the first message is flushed, and a server
        // that speaks first is never called.
        await stream.FlushAsync(CancellationToken.None).ConfigureAwait(false);
        _opened.TrySetResult(stream);

        // Not with the token: the HTTP client cancels it when the server ends the stream, and a body that then ends as
        // cancelled would hide why, and whether the server has seen the call. The call's own end comes through _done.
        await _done.Task.ConfigureAwait(false);
    }

    private void End(Exception reason)
    {
        _done.TrySetException(reason);
        _ = _done.Task.Exception;
    }

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }
}
