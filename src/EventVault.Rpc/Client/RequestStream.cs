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
                throw new IOException("The connection refused the call after messages were written; they can't be sent again from here.");
            }

            _stream = stream;
        }

        _opened.TrySetResult(stream);
        try
        {
            await _done.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException e) when (cancellationToken.IsCancellationRequested)
        {
            // The HTTP client stops an open body when its connection dies. As a cancellation that would look like a
            // connect time-out, and a call that was at work like one that was never sent.
            throw new IOException("The connection ended while the requests of the call were open.", e);
        }
    }

    protected override bool TryComputeLength(out long length)
    {
        length = 0;
        return false;
    }
}
