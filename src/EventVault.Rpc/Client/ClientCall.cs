using EventVault.Rpc.Wire;
using Google.Protobuf;

namespace EventVault.Rpc.Client;

// One call on the wire, without its message types. At most one reader and one writer at a time, on any threads;
// cancelling and disposing are allowed at any moment beside them.
//
// The call ends once: by the server's status, by the deadline, by cancellation or by an error. The first end is
// kept (_end) and every later use of the call reports the same.
internal sealed class ClientCall : IAsyncDisposable
{
    private const int StreamBufferBytes = 64 << 10;

    // Larger requests are sent as a duplex body: with a plain one the HTTP client would not look at an early answer
    // (a refusal because of the size) before all of it is sent.
    private const int PlainBodyMaxBytes = 64 << 10;

    // The states of the reading and of the writing side. Whoever finds the other there leaves it the buffers.
    private const int Idle = 0;
    private const int Busy = 1;
    private const int Closed = 2;

    private readonly RpcChannel _channel;
    private readonly string _path;
    private readonly RpcCallOptions _options;
    private readonly CancellationToken _callerToken;
    private readonly CancellationTokenSource _stop;
    private readonly CancellationToken _stopToken;
    private readonly int _firstBufferBytes;
    private CancellationTokenRegistration _onStop;
    private PendingMessages? _pending;
    private RequestStream? _body;
    private Task<HttpResponseMessage>? _sending;
    private HttpResponseMessage? _response;
    private ResponseFrames? _frames;
    private RpcMetadata? _responseHeaders;
    private object? _end;
    private int _reader;
    private int _writer;
    private bool _completed;
    private bool _cancelled;
    private bool _disposed;
    private bool _keepsMessage;
    private volatile bool _isSent;

    public ClientCall(RpcChannel channel, string path, bool serverStreams, RpcCallOptions options, CancellationToken callerToken)
    {
        _channel = channel;
        _path = path;
        _options = options;
        _callerToken = callerToken;
        _firstBufferBytes = serverStreams ? StreamBufferBytes : BufferPool.SmallBytes;
        _stop = callerToken.CanBeCanceled ? CancellationTokenSource.CreateLinkedTokenSource(callerToken) : new CancellationTokenSource();
        _stopToken = _stop.Token;
    }

    /// <summary>The trailers, once the call has ended; empty before.</summary>
    public RpcMetadata Trailers { get; private set; } = new();

    public int PendingBytes => _pending?.Length ?? 0;

    public ReadOnlyMemory<byte> Message => _frames?.Message ?? default;

    public void StartWith(IMessage request)
    {
        var pending = new PendingMessages(_channel.Buffers, _options.Gzip);
        pending.Add(request);
        _pending = pending;
        _completed = true;
        if (pending.Length <= PlainBodyMaxBytes)
        {
            Start(new ReadOnlyMemoryContent(pending.Memory));
        }
        else
        {
            _body = new RequestStream();
            Start(_body);
            _writer = Busy;
            _ = SendLargeRequestAsync();
        }
    }

    public void StartStreaming()
    {
        _pending = new PendingMessages(_channel.Buffers, _options.Gzip);
        _body = new RequestStream();
        Start(_body);
    }

    public PendingMessages BeginWrite()
    {
        CheckWritable();
        return _pending!;
    }

    public async ValueTask FlushAsync()
    {
        CheckWritable();
        if (_pending!.Length == 0)
        {
            return;
        }

        if (Interlocked.CompareExchange(ref _writer, Busy, Idle) != Idle)
        {
            throw new InvalidOperationException($"{_path}: another flush of this call is under way; a call has one writer at a time.");
        }

        try
        {
            await WritePendingAsync().ConfigureAwait(false);
        }
        finally
        {
            // Disposed while this write was under way: nobody else takes care of its buffer.
            if (Interlocked.CompareExchange(ref _writer, Idle, Busy) == Closed)
            {
                _pending.Abandon();
            }
        }
    }

    public async ValueTask CompleteAsync()
    {
        if (_completed)
        {
            return;
        }

        await FlushAsync().ConfigureAwait(false);
        _completed = true;
        _body!.Complete();
    }

    public bool TryTake()
    {
        if (_end is not null || _frames is null || !EnterReader())
        {
            return false;
        }

        try
        {
            return _frames.TryTake();
        }
        catch (RpcException e)
        {
            throw Fail(e);
        }
        finally
        {
            LeaveReader();
        }
    }

    /// <summary>Waits for a message; false at the end of a call that ended with OK.</summary>
    public async ValueTask<bool> TakeAsync()
    {
        if (_end is not null)
        {
            return _end is Exception error ? throw Again(error) : false;
        }

        if (!EnterReader())
        {
            throw _disposed ? new ObjectDisposedException(_path) : new InvalidOperationException($"{_path}: another read of this call is under way; a call has one reader at a time.");
        }

        try
        {
            _frames ??= await OpenResponseAsync().ConfigureAwait(false);
            if (await _frames.TakeAsync(_stopToken).ConfigureAwait(false))
            {
                return true;
            }

            EndWithStatus(await _sending!.ConfigureAwait(false));
            return false;
        }
        catch (Exception e)
        {
            throw Fail(e);
        }
        finally
        {
            LeaveReader();
        }
    }

    public async ValueTask<RpcMetadata> ResponseHeadersAsync()
    {
        try
        {
            var response = await _sending!.ConfigureAwait(false);
            return _responseHeaders ??= ReadMetadata(response.Headers.NonValidated);
        }
        catch (Exception e)
        {
            throw Fail(e);
        }
    }

    public void Cancel()
    {
        _cancelled = true;
        if (!_disposed)
        {
            try
            {
                _stop.Cancel();
            }
            catch (ObjectDisposedException)
            {
                // The call was disposed meanwhile, which cancels too.
            }
        }
    }

    /// <summary>Keeps the first end of the call, stops everything that is under way, returns what to throw.</summary>
    public Exception Fail(Exception error)
    {
        var mapped = Map(error);
        if (Interlocked.CompareExchange(ref _end, mapped, null) is Exception first)
        {
            return Again(first);
        }

        if (mapped is RpcException rpc)
        {
            Trailers = rpc.Trailers;
        }

        GiveUp();
        return mapped;
    }

    public ValueTask DisposeAsync() => DisposeAsync(keepsMessage: false);

    /// <summary>Ends the call.</summary>
    /// <param name="keepsMessage">The last message taken is still in use: its buffer must not go to another call.</param>
    public async ValueTask DisposeAsync(bool keepsMessage)
    {
        if (_disposed)
        {
            return;
        }

        _keepsMessage = keepsMessage;
        _disposed = true;
        var endedWell = _end is EndedWell;
        if (_end is null)
        {
            _cancelled = true;
            await _stop.CancelAsync().ConfigureAwait(false);
        }

        GiveUp();
        await _onStop.DisposeAsync().ConfigureAwait(false);
        await ObserveSendAsync().ConfigureAwait(false);
        if (Interlocked.Exchange(ref _reader, Closed) == Idle)
        {
            LeaveFrames();
        }

        // Only after a good end is it certain that the connection does not read the request any more.
        if (Interlocked.Exchange(ref _writer, Closed) == Idle)
        {
            if (endedWell)
            {
                _pending?.Return();
            }
            else
            {
                _pending?.Abandon();
            }
        }

        _stop.Dispose();
    }

    private void Start(HttpContent content)
    {
        if (_options.Timeout is { } timeout)
        {
            if (timeout <= TimeSpan.Zero)
            {
                _end = new RpcException(RpcCode.DeadlineExceeded, $"{_path}: the time-out of {timeout} had passed before the call was sent.") { NotProcessed = true };
                _sending = Task.FromException<HttpResponseMessage>((Exception)_end);
                _ = _sending.Exception;
                content.Dispose();
                return;
            }

            // Timers hold at most 49 days; a longer time-out is none that this process could keep.
            _stop.CancelAfter(timeout.TotalMilliseconds < uint.MaxValue - 1 ? timeout : Timeout.InfiniteTimeSpan);
        }

        _onStop = _stopToken.UnsafeRegister(static state => ((ClientCall)state!).GiveUp(), this);
        _sending = SendAsync(content);
    }

    private async Task<HttpResponseMessage> SendAsync(HttpContent content)
    {
        HttpResponseMessage response;
        try
        {
            _callerToken.ThrowIfCancellationRequested();
            var request = await _channel.RequestAsync(_path, content, _options, _stopToken).ConfigureAwait(false);
            _isSent = true;
            response = await _channel.SendAsync(request, _stopToken).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            // Without a connection nobody ever asks for the body, and whoever writes would wait for that.
            _body?.GiveUp(e);
            throw;
        }

        _response = response;
        if (_stop.IsCancellationRequested || _disposed)
        {
            response.Dispose();
        }

        return response;
    }

    private async Task SendLargeRequestAsync()
    {
        try
        {
            await _body!.WriteAsync(_pending!.Memory).ConfigureAwait(false);
            _body!.Complete();
            _pending!.Return();
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // The call's answer says what happened; the body must only not stay open.
            _body!.GiveUp(e);
            _pending!.Abandon();
        }
    }

    private async ValueTask WritePendingAsync()
    {
        if (_end is Exception ended)
        {
            throw Again(ended);
        }

        try
        {
            await _body!.WriteAsync(_pending!.Memory).ConfigureAwait(false);
            _pending!.Clear();
        }
        catch (Exception e)
        {
            _pending!.Abandon();
            throw await WhyNotWritableAsync(e).ConfigureAwait(false);
        }
    }

    // A write fails when the call is over, and the call's status says more than the write's error. If the status is
    // still on its way behind messages that nobody has read, only the reader can get at it.
    private async ValueTask<Exception> WhyNotWritableAsync(Exception error)
    {
        if (_end is Exception ended)
        {
            return Again(ended);
        }

        if (_stop.IsCancellationRequested)
        {
            return Fail(error);
        }

        try
        {
            var response = await _sending!.ConfigureAwait(false);
            if (StatusOf(response.Headers.NonValidated) is not null)
            {
                EndWithStatus(response);
            }
        }
        catch (Exception e)
        {
            return Fail(e);
        }

        return new RpcException(
            RpcCode.Unavailable,
            $"{_path}: the server ended the call while messages were being written. Read the call to its end for the status.",
            inner: error);
    }

    private async ValueTask<ResponseFrames> OpenResponseAsync()
    {
        var response = await _sending!.ConfigureAwait(false);
        var headers = response.Headers.NonValidated;
        var contentType = response.Content.Headers.NonValidated.TryGetValues("content-type", out var values) ? values.ToString() : null;
        if ((int)response.StatusCode != 200 || !IsGrpc(contentType))
        {
            if (StatusOf(headers) is not null)
            {
                EndWithStatus(response);
            }

            var code = (int)response.StatusCode == 200 ? RpcCode.Unknown : StatusMapping.FromHttpStatus((int)response.StatusCode);
            throw new RpcException(
                code,
                $"{_path}: {_channel.Address} answered HTTP {(int)response.StatusCode} with content type {contentType ?? "(none)"} instead of gRPC. Check address and port.");
        }

        var encoding = headers.TryGetValues("grpc-encoding", out var encodings) ? encodings.ToString() : "identity";
        if (encoding is not ("identity" or GzipCodec.Name))
        {
            throw new RpcException(RpcCode.Internal, $"{_path}: the server compresses with {encoding}, which was not offered.");
        }

        var body = await response.Content.ReadAsStreamAsync(_stopToken).ConfigureAwait(false);
        return new ResponseFrames(body, _channel.Buffers, _firstBufferBytes, _channel.MaxReceiveBytes, encoding == GzipCodec.Name);
    }

    /// <summary>Takes status and trailers at the end of the body; throws unless the status is OK.</summary>
    private void EndWithStatus(HttpResponseMessage response)
    {
        // Trailers-Only answers carry them in the headers.
        var source = StatusOf(response.TrailingHeaders.NonValidated) is not null ? response.TrailingHeaders.NonValidated : response.Headers.NonValidated;
        var text = StatusOf(source) ?? throw new RpcException(RpcCode.Unknown, $"{_path}: the answer ended without grpc-status.");
        var code = StatusMapping.FromGrpcStatus(text);
        var trailers = ReadMetadata(source);
        Trailers = trailers;
        if (code != RpcCode.Ok)
        {
            var message = source.TryGetValues("grpc-message", out var values) ? PercentEncoding.Decode(values.ToString()) : string.Empty;
            throw new RpcException(code, message, trailers);
        }

        Interlocked.CompareExchange(ref _end, EndedWell.Instance, null);
        _body?.GiveUp(new RpcException(RpcCode.Cancelled, $"{_path}: the server has ended the call with OK."));
    }

    private Exception Map(Exception error)
    {
        if (_callerToken.IsCancellationRequested && error is not RpcException)
        {
            return new OperationCanceledException($"{_path}: cancelled by the caller.", error, _callerToken);
        }

        var mapped = error is InvalidOperationException ? error : ErrorMapping.From(error, _channel.Address, _path);
        var stopped = _stop.IsCancellationRequested && !_callerToken.IsCancellationRequested;
        if (stopped && _cancelled && error is not RpcException)
        {
            return new RpcException(RpcCode.Cancelled, $"{_path}: cancelled by the caller.", inner: error);
        }

        // By whether the timer has fired, never by comparing clocks: it may fire a moment before the clock agrees. The
        // server's CANCELLED is then its echo of our own reset.
        if (stopped && !_cancelled && (error is not RpcException || mapped is RpcException { Code: RpcCode.Cancelled }))
        {
            return _isSent
                ? new RpcException(RpcCode.DeadlineExceeded, $"{_path}: no answer within {_options.Timeout}. Whether the call had its effect is unknown.", inner: error)
                : new RpcException(RpcCode.DeadlineExceeded, $"{_path}: the client's credentials were not there within {_options.Timeout}. Nothing was sent.", inner: error) { NotProcessed = true };
        }

        return mapped;
    }

    // A new exception for every throw, so that stack traces do not pile up in one that several threads see.
    private static Exception Again(Exception ended) => ended switch
    {
        RpcException rpc => new RpcException(rpc.Code, rpc.Message, rpc.Trailers, rpc) { NotProcessed = rpc.NotProcessed },
        OperationCanceledException cancelled => new OperationCanceledException(cancelled.Message, cancelled, cancelled.CancellationToken),
        _ => ended,
    };

    private void GiveUp()
    {
        _body?.GiveUp(new OperationCanceledException($"{_path}: the call has ended."));
        _response?.Dispose();
    }

    private async ValueTask ObserveSendAsync()
    {
        try
        {
            (await _sending!.ConfigureAwait(false)).Dispose();
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // Reported by whoever read the call; here it only must not stay unobserved.
        }
    }

    private void CheckWritable()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_completed)
        {
            throw new InvalidOperationException($"{_path}: the requests of this call are complete; nothing more can be written.");
        }
    }

    private bool EnterReader() => Interlocked.CompareExchange(ref _reader, Busy, Idle) == Idle;

    private void LeaveReader()
    {
        // Disposed while this read was under way: its buffer is ours to return.
        if (Interlocked.CompareExchange(ref _reader, Idle, Busy) == Closed)
        {
            LeaveFrames();
        }
    }

    private void LeaveFrames()
    {
        if (_keepsMessage)
        {
            _frames?.Abandon();
        }
        else
        {
            _frames?.Return();
        }
    }

    private static string? StatusOf(System.Net.Http.Headers.HttpHeadersNonValidated headers) =>
        headers.TryGetValues("grpc-status", out var values) ? values.ToString() : null;

    private static bool IsGrpc(string? contentType) =>
        contentType is not null && contentType.StartsWith("application/grpc", StringComparison.OrdinalIgnoreCase)
        && (contentType.Length == 16 || contentType[16] is '+' or ';' or ' ');

    private static RpcMetadata ReadMetadata(System.Net.Http.Headers.HttpHeadersNonValidated headers)
    {
        var metadata = new RpcMetadata();
        foreach (var (key, values) in headers)
        {
#pragma warning disable CA1308 // HTTP/2 field names are lower case on the wire.
            var lowerKey = key.ToLowerInvariant();
#pragma warning restore CA1308
            if (RpcMetadata.BelongsToTransport(lowerKey))
            {
                continue;
            }

            foreach (var value in values)
            {
                // A value that is not base64 is left out: the status matters more.
                BinaryHeader.AddTo(metadata, lowerKey, value);
            }
        }

        return metadata;
    }

    private sealed class EndedWell
    {
        public static readonly EndedWell Instance = new();
    }
}
