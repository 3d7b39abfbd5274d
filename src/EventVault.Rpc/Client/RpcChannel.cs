using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using EventVault.Rpc.Client;
using EventVault.Rpc.Wire;
using Google.Protobuf;

namespace EventVault.Rpc;

/// <summary>
/// A gRPC client for one address: a fixed number of HTTP/2 connections, opened on first use, opened again after a
/// loss. It never retries a call: an <see cref="RpcException"/> says what happened and whether the server can have
/// seen the call. Thread-safe.
/// </summary>
public sealed class RpcChannel : IAsyncDisposable
{
    /// <summary>One carries hundreds of thousands of messages a second; a larger number is a mistake.</summary>
    private const int MaxConnections = 64;

    private readonly RpcChannelOptions _options;
    private readonly HttpMessageInvoker[] _connections;
    private readonly ConcurrentDictionary<string, Uri> _addresses = new(StringComparer.Ordinal);
    private uint _next;

    /// <summary>Creates the channel; nothing is connected yet.</summary>
    /// <param name="address"><c>http://host:port</c> (clear text) or <c>https://host:port</c>, without a path.</param>
    /// <param name="options">Null takes the defaults.</param>
    /// <exception cref="ArgumentException">The address is of another form or a setting is out of its range.</exception>
    public RpcChannel(Uri address, RpcChannelOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(address);
        if (!address.IsAbsoluteUri || address.Scheme is not ("http" or "https") || address.PathAndQuery != "/")
        {
            throw new ArgumentException($"{address} is not an address of the form http://host:port or https://host:port.", nameof(address));
        }

        _options = options ?? new RpcChannelOptions();
        if (_options.Connections is < 1 or > MaxConnections)
        {
            throw new ArgumentException($"Connections is {_options.Connections}; it must be 1 to {MaxConnections}.", nameof(options));
        }

        Address = address;
        _connections = new HttpMessageInvoker[_options.Connections];
        for (var i = 0; i < _connections.Length; i++)
        {
            _connections[i] = new HttpMessageInvoker(NewHandler(_options), disposeHandler: true);
        }
    }

    /// <summary>The address that the calls go to.</summary>
    public Uri Address { get; }

    internal BufferPool Buffers { get; } = new();

    internal int MaxReceiveBytes => _options.MaxReceiveBytes;

    /// <summary>One request, one answer.</summary>
    /// <param name="method">A unary method.</param>
    /// <param name="request">The request; encoded before this returns.</param>
    /// <param name="options">Time-out, headers, compression.</param>
    /// <param name="cancellation">Cancels the call, here and on the server.</param>
    /// <returns>The answer.</returns>
    /// <exception cref="RpcException">The call ended with another status than OK.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> was cancelled; the call may have had its effect.</exception>
    public async ValueTask<TResponse> UnaryAsync<TRequest, TResponse>(
        RpcMethod<TRequest, TResponse> method, TRequest request, RpcCallOptions options = default, CancellationToken cancellation = default)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        var call = Start(method, request, options, cancellation);
        await using (call.ConfigureAwait(false))
        {
            return await call.SingleAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Starts a call with one request: unary or server streaming.</summary>
    /// <param name="method">The method; its client side must not stream.</param>
    /// <param name="request">The request; encoded before this returns.</param>
    /// <param name="options">Time-out, headers, compression.</param>
    /// <param name="cancellation">Cancels the call, here and on the server.</param>
    /// <returns>The call; dispose it.</returns>
    /// <exception cref="ArgumentException">The method takes a stream of requests.</exception>
    public RpcCall<TRequest, TResponse> Start<TRequest, TResponse>(
        RpcMethod<TRequest, TResponse> method, TRequest request, RpcCallOptions options = default, CancellationToken cancellation = default)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ArgumentNullException.ThrowIfNull(method);
        ArgumentNullException.ThrowIfNull(request);
        if (method.Descriptor.IsClientStreaming)
        {
            throw new ArgumentException($"{method.Path} takes a stream of requests: start it without one and write them.", nameof(method));
        }

        var call = new ClientCall(this, method.Path, method.Descriptor.IsServerStreaming, options, cancellation);
        call.StartWith(request);
        return new RpcCall<TRequest, TResponse>(method, call);
    }

    /// <summary>Starts a call whose requests are written one by one: client streaming or duplex.</summary>
    /// <param name="method">The method; its client side must stream.</param>
    /// <param name="options">Time-out, headers, compression.</param>
    /// <param name="cancellation">Cancels the call, here and on the server.</param>
    /// <returns>The call; dispose it.</returns>
    /// <exception cref="ArgumentException">The method takes a single request.</exception>
    public RpcCall<TRequest, TResponse> Start<TRequest, TResponse>(
        RpcMethod<TRequest, TResponse> method, RpcCallOptions options = default, CancellationToken cancellation = default)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ArgumentNullException.ThrowIfNull(method);
        if (!method.Descriptor.IsClientStreaming)
        {
            throw new ArgumentException($"{method.Path} takes a single request: start it with one.", nameof(method));
        }

        var call = new ClientCall(this, method.Path, method.Descriptor.IsServerStreaming, options, cancellation);
        call.StartStreaming();
        return new RpcCall<TRequest, TResponse>(method, call);
    }

    /// <summary>
    /// Takes no more calls, and closes each connection when its calls have ended. Dispose the calls first if they should
    /// end now.
    /// </summary>
    public ValueTask DisposeAsync()
    {
        foreach (var connection in _connections)
        {
            connection.Dispose();
        }

        return ValueTask.CompletedTask;
    }

    /// <summary>A request with its headers, also those that the credentials add.</summary>
    internal async ValueTask<HttpRequestMessage> RequestAsync(string path, HttpContent content, RpcCallOptions options, CancellationToken cancellation)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, _addresses.GetOrAdd(path, static (p, address) => new Uri(address, p), Address))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = content,
        };
        content.Headers.TryAddWithoutValidation("content-type", "application/grpc");
        var headers = request.Headers;
        headers.TryAddWithoutValidation("te", "trailers");
        headers.TryAddWithoutValidation("user-agent", "eventvault-rpc");
        headers.TryAddWithoutValidation("grpc-accept-encoding", "identity,gzip");
        if (options.Gzip)
        {
            headers.TryAddWithoutValidation("grpc-encoding", GzipCodec.Name);
        }

        if (options.Timeout is { } timeout)
        {
            headers.TryAddWithoutValidation("grpc-timeout", TimeoutFormat.Format(timeout));
        }

        if (options.Headers is { } metadata)
        {
            AddTo(headers, metadata);
        }

        if (Activity.Current is { } activity)
        {
            DistributedContextPropagator.Current.Inject(activity, headers, static (carrier, name, value) => ((HttpRequestHeaders)carrier!).TryAddWithoutValidation(name, value));
        }

        if (_options.Credentials is { } credentials)
        {
            var added = new RpcMetadata();
            var adding = credentials(new RpcCallInfo(Address, path), added, cancellation);
            if (adding.IsCompleted)
            {
                await adding.ConfigureAwait(false);
            }
            else
            {
                // Code of the user's, which may not look at its token. What it fails with behind the call's end nobody waits for.
                var pending = adding.AsTask();
                _ = pending.ContinueWith(
                    static t => _ = t.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
                await pending.WaitAsync(cancellation).ConfigureAwait(false);
            }

            AddTo(headers, added);
        }

        return request;
    }

    /// <summary>Sends a request on the next connection in turn; returns at the answer's headers.</summary>
    internal Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellation)
    {
        var connection = _connections[(int)(Interlocked.Increment(ref _next) % (uint)_connections.Length)];
        return connection.SendAsync(request, cancellation);
    }

    private static void AddTo(HttpRequestHeaders headers, RpcMetadata metadata)
    {
        foreach (var entry in metadata)
        {
            headers.TryAddWithoutValidation(entry.Key, BinaryHeader.WireText(entry));
        }
    }

    private static SocketsHttpHandler NewHandler(RpcChannelOptions options)
    {
        var handler = new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            ActivityHeadersPropagator = null,
            EnableMultipleHttp2Connections = false,
            PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
            PooledConnectionLifetime = Timeout.InfiniteTimeSpan,
            ConnectTimeout = options.ConnectTimeout,
            KeepAlivePingDelay = options.KeepAlivePing,
            KeepAlivePingTimeout = options.KeepAliveTimeout,
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
        };
        if (options.InitialStreamWindow != 0)
        {
            handler.InitialHttp2StreamWindowSize = options.InitialStreamWindow;
        }

        if (options.Tls is { } tls)
        {
            handler.SslOptions = tls;
        }

        return handler;
    }
}
