using System.Net;
using System.Security.Claims;
using EventVault.Rpc.Wire;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace EventVault.Rpc.Server;

/// <summary>
/// One call, as its handler sees it. Valid until the handler has returned; not thread-safe, except for the tokens.
/// </summary>
public sealed class RpcContext
{
    // What _life says. The host uses a call's objects again for another one: so nobody may cut a call that has ended, and none
    // ends while it is being cut, which takes some instructions.
    private const int Open = 0;
    private const int Cutting = 1;
    private const int Ended = 2;

    private readonly HttpContext _http;
    private readonly RpcServer _server;
    private readonly TimeSpan? _timeout;
    private readonly long _started = TimeProvider.System.GetTimestamp();
    private RpcMetadata? _requestMetadata;
    private RpcMetadata? _responseHeaders;
    private RpcMetadata? _trailers;
    private CancellationTokenSource? _cancellation;
    private RpcException? _endedBy;
    private int _life = Open;
    private bool _headersApplied;
    private bool _clientGone;

    internal RpcContext(RpcServer server, RpcServerOptions options, HttpContext http, string method, TimeSpan? timeout, bool requestIsGzip)
    {
        _server = server;
        _http = http;
        _timeout = timeout;
        Options = options;
        RequestIsGzip = requestIsGzip;
        Method = method;
        if (timeout is { } given)
        {
            var now = TimeProvider.System.GetUtcNow();
            Deadline = given < DateTimeOffset.MaxValue - now ? now + given : DateTimeOffset.MaxValue;
        }
    }

    /// <summary>The method's path, <c>/package.Service/Method</c>.</summary>
    public string Method { get; }

    /// <summary>What the client sent with the call, without what belongs to the transport.</summary>
    /// <exception cref="RpcException">INTERNAL: a binary value is not base64.</exception>
    public RpcMetadata RequestMetadata => _requestMetadata ??= ReadRequestMetadata();

    /// <summary>Sent before the first message; too late after it or after <see cref="SendHeadersAsync"/>.</summary>
    public RpcMetadata ResponseHeaders => _responseHeaders ??= new RpcMetadata();

    /// <summary>Sent with the status at the end of the call, beside those of an <see cref="RpcException"/>.</summary>
    public RpcMetadata Trailers => _trailers ??= new RpcMetadata();

    /// <summary>When the client stops waiting, by this machine's clock; null if it named no time-out.</summary>
    public DateTimeOffset? Deadline { get; }

    /// <summary>What is left of the time-out, never negative; null if the client named none.</summary>
    public TimeSpan? TimeLeft =>
        _timeout is not { } timeout ? null
        : timeout - TimeProvider.System.GetElapsedTime(_started) is var left && left > TimeSpan.Zero ? left
        : TimeSpan.Zero;

    /// <summary>How long ago the call began.</summary>
    public TimeSpan Elapsed => TimeProvider.System.GetElapsedTime(_started);

    /// <summary>
    /// Fires when the call is over for its client (cancelled, disconnected, deadline passed) or must end now (the drain
    /// time of a stopping server is up).
    /// </summary>
    public CancellationToken Cancellation => _cancellation?.Token ?? CreateCancellation();

    /// <summary>Fires when the server begins to drain. A handler that streams without an end should then end politely.</summary>
    public CancellationToken Draining => _server.Draining;

    /// <summary>
    /// Whether to compress the messages that follow, if the client accepts gzip. Set it before the first message.
    /// </summary>
    public bool CompressResponses { get; set; }

    /// <summary>Who calls, as far as a filter or TLS has found out.</summary>
    public ClaimsPrincipal User
    {
        get => _http.User;
        set => _http.User = value;
    }

    /// <summary>What a filter keeps for the call; null until one sets it.</summary>
    public object? State { get; set; }

    /// <summary>Address and port of the client.</summary>
    public string Peer => _http.Connection.RemoteIpAddress is { } address
        ? new IPEndPoint(address, _http.Connection.RemotePort).ToString()
        : "unknown";

    /// <summary>Address of the client; null: the connection has none.</summary>
    public IPAddress? RemoteAddress => _http.Connection.RemoteIpAddress;

    /// <summary>The header <c>authorization</c> as it came; null: none came.</summary>
    public string? Authorization => _http.Request.Headers.Authorization is { Count: > 0 } sent ? sent.ToString() : null;

    /// <summary>Which connection the call came over.</summary>
    /// <exception cref="InvalidOperationException">Its port was opened before <see cref="RpcHosting.ConfigureForRpc"/>.</exception>
    public RpcConnection Connection => _http.Features.Get<RpcConnection>()
        ?? throw new InvalidOperationException("The connection is not known: call ConfigureForRpc before the ports are opened.");

    /// <summary>
    /// Ends a call whose client does not take what was written: nothing more reaches it but the reset of its stream, which says
    /// RESOURCE_EXHAUSTED. From any thread, at any time: nothing happens to a call that has ended.
    /// </summary>
    public void CutShort()
    {
        const int EnhanceYourCalm = 11; // RFC 9113, section 7; gRPC makes RESOURCE_EXHAUSTED of it.
        if (Interlocked.CompareExchange(ref _life, Cutting, Open) == Open)
        {
            try
            {
                _http.Features.Get<IHttpResetFeature>()?.Reset(EnhanceYourCalm);
            }
            finally
            {
                Volatile.Write(ref _life, Open); // Or its end would wait for us for ever.
            }
        }
    }

    /// <summary>
    /// Cancels a call that must not go on: its status is <paramref name="why"/>, unless it ends before its handler has heard of it. From
    /// any thread, at any time: nothing happens to a call that has ended.
    /// </summary>
    /// <param name="why">The call's status.</param>
    public void End(RpcException why)
    {
        if (Interlocked.CompareExchange(ref _life, Cutting, Open) == Open)
        {
            try
            {
                _endedBy = why;
                _ = Cancellation;
                _ = _cancellation!.CancelAsync(); // What the handler does when it hears of it runs elsewhere.
            }
            finally
            {
                Volatile.Write(ref _life, Open);
            }
        }
    }

    /// <summary>
    /// Gives back what the request of a call with one request takes, before its end. For handlers that were given its bytes and have read them: they are valid no more.
    /// </summary>
    public void DropRequest() => Reader?.Release();

    internal HttpContext Http => _http;

    internal RpcServerOptions Options { get; }

    internal ReceiveBudget Receiving => _server.Receiving;

    /// <summary>The same for all calls of a connection, and for no others.</summary>
    internal string ConnectionId => _http.Connection.Id;

    internal bool RequestIsGzip { get; }

    internal int MaxReceiveBytes { get; init; }

    internal RpcFrameReader? Reader { get; set; }

    internal RpcFrameWriter? Writer { get; set; }

    /// <summary>Whether the handler itself writes the one answer of the call.</summary>
    internal bool AnswersOnce { get; set; }

    /// <summary>Whether frames may be compressed: fixed when the headers are.</summary>
    internal bool CompressesNow { get; private set; }

    internal bool HeadersApplied => _headersApplied;

    internal bool HasResponseHeaders => _responseHeaders is { Count: > 0 };

    internal bool WrotePartOfMessage => Writer is { IsInsideMessage: true };

    /// <summary>Sends the headers now, before the first message.</summary>
    /// <exception cref="OperationCanceledException">The call has ended: client gone, deadline passed, server stopping.</exception>
    public async ValueTask SendHeadersAsync()
    {
        ApplyHeaders();
        try
        {
            await _http.Response.StartAsync(Cancellation).ConfigureAwait(false);
            await _http.Response.BodyWriter.FlushAsync(Cancellation).ConfigureAwait(false);
        }
        catch (IOException e)
        {
            throw ClientGone(e);
        }
    }

    /// <summary>Called when the handler has returned.</summary>
    /// <exception cref="InvalidOperationException">It has not written what it had to.</exception>
    internal void CheckAnswered()
    {
        Writer?.CheckFrameComplete();
        if (AnswersOnce && Writer is not { Messages: 1 })
        {
            throw new InvalidOperationException($"{Method}: the handler wrote {Writer?.Messages ?? 0} messages; a unary call is answered with exactly one.");
        }
    }

    internal void ApplyHeaders()
    {
        if (_headersApplied)
        {
            return;
        }

        _headersApplied = true;
        var headers = _http.Response.Headers;
        if (_responseHeaders is { } metadata)
        {
            AppendTo(headers, metadata);
        }

        if (CompressResponses && Options.AllowGzip && AcceptsGzip())
        {
            headers["grpc-encoding"] = GzipCodec.Name;
            CompressesNow = true;
        }
    }

    /// <summary>Notes that nobody is there to answer, and gives what ends the handler.</summary>
    internal OperationCanceledException ClientGone(Exception? cause)
    {
        _clientGone = true;
        return new OperationCanceledException($"{Method}: the client has ended the call.", cause);
    }

    /// <summary>What a cancellation that came out of the handler means. Null: the client is gone, there is nobody to tell.</summary>
    internal RpcException? WhyCancelled()
    {
        if (_clientGone || _http.RequestAborted.IsCancellationRequested)
        {
            return null;
        }

        if (_endedBy is { } why)
        {
            return why;
        }

        if (_server.Stopping.IsCancellationRequested)
        {
            return new RpcException(RpcCode.Unavailable, "The server stops and the time for running calls is up. Whether the call had its effect is unknown.");
        }

        // Our own timer has fired and the connection is alive. Never by comparing clocks: the timer may be a moment early.
        return _cancellation is { IsCancellationRequested: true } && _timeout is not null
            ? new RpcException(RpcCode.DeadlineExceeded, $"{Method}: not done within the time-out of {_timeout}.")
            : new RpcException(RpcCode.Cancelled, $"{Method}: the handler cancelled the call.");
    }

    internal void AppendTrailersTo(IHeaderDictionary target, RpcMetadata? fromError)
    {
        if (_trailers is { } own)
        {
            AppendTo(target, own);
        }

        if (fromError is not null)
        {
            AppendTo(target, fromError);
        }
    }

    internal void Release()
    {
        SpinWait spin = default;
        while (Interlocked.CompareExchange(ref _life, Ended, Open) == Cutting)
        {
            spin.SpinOnce();
        }

        Reader?.Release();
        _cancellation?.Dispose();
    }

    internal static void AppendTo(IHeaderDictionary target, RpcMetadata metadata)
    {
        foreach (var entry in metadata)
        {
            target.Append(entry.Key, BinaryHeader.WireText(entry));
        }
    }

    // On first use only: most unary calls end without ever asking. A duplex handler may ask from two threads at once.
    private CancellationToken CreateCancellation()
    {
        var source = CancellationTokenSource.CreateLinkedTokenSource(_http.RequestAborted, _server.Stopping);
        if (TimeLeft is { } left && left.TotalMilliseconds < uint.MaxValue - 1)
        {
            source.CancelAfter(left);
        }

        if (Interlocked.CompareExchange(ref _cancellation, source, null) is { } first)
        {
            source.Dispose();
            return first.Token;
        }

        return source.Token;
    }

    private bool AcceptsGzip()
    {
        foreach (var line in _http.Request.Headers["grpc-accept-encoding"])
        {
            foreach (var part in line.AsSpan().Split(','))
            {
                if (line.AsSpan()[part].Trim().Equals(GzipCodec.Name, StringComparison.OrdinalIgnoreCase))
                {
                    return true;
                }
            }
        }

        return false;
    }

    private RpcMetadata ReadRequestMetadata()
    {
        var metadata = new RpcMetadata();
        foreach (var (key, values) in _http.Request.Headers)
        {
#pragma warning disable CA1308 // Kestrel shows known names in capitals; on the wire and in metadata they are lower case.
            var lowerKey = key.ToLowerInvariant();
#pragma warning restore CA1308
            if (RpcMetadata.BelongsToTransport(lowerKey))
            {
                continue;
            }

            foreach (var value in values)
            {
                if (!BinaryHeader.AddTo(metadata, lowerKey, value ?? string.Empty))
                {
                    throw new RpcException(RpcCode.Internal, $"The value of the metadata {lowerKey} is not base64.");
                }
            }
        }

        return metadata;
    }
}
