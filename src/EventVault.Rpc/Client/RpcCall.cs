using EventVault.Rpc.Client;
using Google.Protobuf;

namespace EventVault.Rpc;

/// <summary>
/// An open call. One reader and one writer may work at the same time, on different threads; neither side may be used
/// twice at once. <see cref="Cancel"/> and <see cref="DisposeAsync"/> may be called at any time. Disposing a call
/// that has not ended cancels it.
/// </summary>
/// <typeparam name="TRequest">The generated request message.</typeparam>
/// <typeparam name="TResponse">The generated response message.</typeparam>
public sealed class RpcCall<TRequest, TResponse> : IAsyncDisposable
    where TRequest : class, IMessage<TRequest>, new()
    where TResponse : class, IMessage<TResponse>, new()
{
    private readonly RpcMethod<TRequest, TResponse> _method;
    private readonly ClientCall _call;
    private TResponse? _current;

    internal RpcCall(RpcMethod<TRequest, TResponse> method, ClientCall call)
    {
        _method = method;
        _call = call;
    }

    /// <summary>The message of the last successful <see cref="MoveNextAsync"/> or <see cref="TryMoveNext"/>.</summary>
    /// <exception cref="InvalidOperationException">No message has been read.</exception>
    public TResponse Current => _current ?? throw new InvalidOperationException($"{_method.Path}: no message has been read yet.");

    /// <summary>
    /// The encoded message of the last successful raw read. It lies in the call's own buffer and is valid only until the
    /// next read or the end of the call.
    /// </summary>
    public ReadOnlyMemory<byte> RawMessage => _call.Message;

    /// <summary>What the server sent with its status; empty until the call has ended.</summary>
    public RpcMetadata Trailers => _call.Trailers;

    /// <summary>Bytes written and not yet flushed.</summary>
    public int PendingBytes => _call.PendingBytes;

    /// <summary>Adds a request to those that the next flush sends. Never waits; the caller bounds <see cref="PendingBytes"/>.</summary>
    /// <param name="message">Encoded before this returns.</param>
    /// <exception cref="InvalidOperationException">The requests are complete.</exception>
    public void Write(TRequest message)
    {
        ArgumentNullException.ThrowIfNull(message);
        _call.BeginWrite().Add(message);
    }

    /// <summary>As <see cref="Write"/>, for a request that is already encoded. The bytes are copied, not checked.</summary>
    /// <param name="encoded">The protobuf bytes of one <typeparamref name="TRequest"/>.</param>
    /// <exception cref="InvalidOperationException">The requests are complete.</exception>
    public void WriteRaw(ReadOnlySpan<byte> encoded) => _call.BeginWrite().AddRaw(encoded);

    /// <summary>
    /// Sends all that is pending in one write. Waits while the server does not take more (flow control). Nothing may be
    /// written until it has returned.
    /// </summary>
    /// <exception cref="RpcException">The call has ended; what was pending is dropped. Read to the end for the status.</exception>
    /// <exception cref="OperationCanceledException">The caller's token was cancelled.</exception>
    public ValueTask FlushAsync() => _call.FlushAsync();

    /// <summary>Flushes and tells the server that no more requests follow.</summary>
    /// <exception cref="RpcException">As for <see cref="FlushAsync"/>.</exception>
    /// <exception cref="OperationCanceledException">The caller's token was cancelled.</exception>
    public ValueTask CompleteAsync() => _call.CompleteAsync();

    /// <summary>Waits for the next message and decodes it into <see cref="Current"/>.</summary>
    /// <returns>False when the server has ended the call with OK.</returns>
    /// <exception cref="RpcException">The call ended with another status, or a message is malformed.</exception>
    /// <exception cref="OperationCanceledException">The caller's token was cancelled.</exception>
    public ValueTask<bool> MoveNextAsync() => TryMoveNext() ? new ValueTask<bool>(true) : MoveNextSlowAsync();

    /// <summary>Takes a message that has already arrived, without waiting. False says nothing about the end of the call.</summary>
    /// <returns>Whether <see cref="Current"/> is a new message.</returns>
    /// <exception cref="RpcException">A message is malformed.</exception>
    public bool TryMoveNext()
    {
        if (!_call.TryTake())
        {
            return false;
        }

        Parse();
        return true;
    }

    /// <summary>As <see cref="MoveNextAsync"/>, but leaves the message encoded in <see cref="RawMessage"/>.</summary>
    /// <returns>False when the server has ended the call with OK.</returns>
    /// <exception cref="RpcException">The call ended with another status, or a frame is malformed.</exception>
    /// <exception cref="OperationCanceledException">The caller's token was cancelled.</exception>
    public ValueTask<bool> MoveNextRawAsync() => _call.TryTake() ? new ValueTask<bool>(true) : _call.TakeAsync();

    /// <summary>As <see cref="TryMoveNext"/>, but leaves the message encoded in <see cref="RawMessage"/>.</summary>
    /// <returns>Whether <see cref="RawMessage"/> is a new message.</returns>
    /// <exception cref="RpcException">A frame is malformed.</exception>
    public bool TryMoveNextRaw() => _call.TryTake();

    /// <summary>
    /// The one answer of a unary or client-streaming method, after its status. Completes the requests first, if that has
    /// not been done.
    /// </summary>
    /// <returns>The answer.</returns>
    /// <exception cref="RpcException">The call ended with another status, or with none or several messages.</exception>
    /// <exception cref="OperationCanceledException">The caller's token was cancelled.</exception>
    public async ValueTask<TResponse> SingleAsync()
    {
        try
        {
            await _call.CompleteAsync().ConfigureAwait(false);
        }
        catch (RpcException)
        {
            // A server may answer before it has read all requests; its answer or status comes with the read.
        }

        if (!await MoveNextAsync().ConfigureAwait(false))
        {
            throw _call.Fail(WrongCount("none"));
        }

        var answer = Current;
        if (await _call.TakeAsync().ConfigureAwait(false))
        {
            throw _call.Fail(WrongCount("several"));
        }

        return answer;
    }

    /// <summary>Waits for the metadata that the server sent before its first message.</summary>
    /// <returns>The metadata, without what belongs to the transport.</returns>
    /// <exception cref="RpcException">The call failed before.</exception>
    /// <exception cref="OperationCanceledException">The caller's token was cancelled.</exception>
    public ValueTask<RpcMetadata> ResponseHeadersAsync() => _call.ResponseHeadersAsync();

    /// <summary>
    /// Ends the call now, here and on the server; pending reads and writes fail with CANCELLED. Does nothing after the end.
    /// </summary>
    public void Cancel() => _call.Cancel();

    /// <summary>Cancels the call if it has not ended, and frees its buffers: nobody may use <see cref="RawMessage"/> any more.</summary>
    public ValueTask DisposeAsync() => _call.DisposeAsync();

    /// <summary>
    /// As <see cref="DisposeAsync"/>, while somebody else may still use a <see cref="RawMessage"/>: it stays as it is, and its
    /// buffer goes to the garbage collector instead of to the next call.
    /// </summary>
    public ValueTask DisposeBesideReaderAsync() => _call.DisposeAsync(keepsMessage: true);

    private async ValueTask<bool> MoveNextSlowAsync()
    {
        if (!await _call.TakeAsync().ConfigureAwait(false))
        {
            return false;
        }

        Parse();
        return true;
    }

    private void Parse()
    {
        try
        {
            _current = _method.ResponseParser.ParseFrom(_call.Message.Span);
        }
        catch (InvalidProtocolBufferException e)
        {
            // Derives from IOException: left alone it would look like a lost connection, and be retried for ever.
            throw _call.Fail(new RpcException(RpcCode.Internal, $"{_method.Path}: the answer is not a valid {typeof(TResponse).Name}: {e.Message}", inner: e));
        }
    }

    private RpcException WrongCount(string count) =>
        new(RpcCode.Unimplemented, $"{_method.Path}: expected one answer, the server sent {count}.");
}
