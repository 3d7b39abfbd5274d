using System.Net;

namespace EventVault.Rpc.Client;

// The request body of a call whose caller sends messages over time. The HTTP client asks for the body once it has
// a stream; that stream is handed to the call, and the body stays open until the call completes or gives it up.
internal sealed class RequestStream : HttpContent
{
    private readonly TaskCompletionSource<Stream> _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _lock = new();
    private Stream? _stream;
    private bool _written;

    /// <summary>
    /// The stream to write to, as soon as there is one. After a connection that was closing refused the call, the HTTP
    /// client starts it again on another one; that is invisible as long as nothing was written.
    /// </summary>
    public async ValueTask<Stream> OpenAsync(CancellationToken cancellation)
    {
        await _opened.Task.WaitAsync(cancellation).ConfigureAwait(false);
        lock (_lock)
        {
            _written = true;
            return _stream!;
        }
    }

    /// <summary>No more messages: the body ends in good order.</summary>
    public void Complete() => _done.TrySetResult();

    /// <summary>
    /// Ends both waits; without this the HTTP client's send task would never end. The body must not look complete, or
    /// the server would take a cancelled request for a whole one.
    /// </summary>
    public void GiveUp(Exception reason)
    {
        _opened.TrySetException(reason);
        _ = _opened.Task.Exception;
        _done.TrySetException(reason);
        _ = _done.Task.Exception;
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

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }
}
