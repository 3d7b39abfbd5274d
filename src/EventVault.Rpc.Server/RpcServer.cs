using System.Buffers;
using System.Collections.Frozen;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Microsoft.AspNetCore.Http;

namespace EventVault.Rpc.Server;

/// <summary>
/// Serves gRPC methods on an ASP.NET Core host. Add handlers and filters first, then let calls in; the set is frozen at
/// the first call. Handlers run on thread-pool threads, any number at once.
/// </summary>
/// <remarks>
/// What a handler throws becomes the call's status: <see cref="RpcException"/> its own, with trailers;
/// <see cref="OperationCanceledException"/> DEADLINE_EXCEEDED, UNAVAILABLE or CANCELLED by its cause; anything else UNKNOWN,
/// logged, and its text is not sent.
/// </remarks>
#pragma warning disable CA1001 // The two token sources have neither timers nor parents; there is nothing to dispose.
public sealed class RpcServer
#pragma warning restore CA1001
{
    /// <summary>As much is in the connection's own buffer, which bounds it.</summary>
    private const int LargeAnswerBytes = 64 << 10;

    private readonly RpcServerOptions _options;
    private readonly Dictionary<string, MethodEntry> _added = new(StringComparer.Ordinal);
    private readonly List<RpcService> _services = [];
    private readonly List<Action> _unchecked = [];
    private readonly List<RpcFilter> _filters = [];
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _draining = new();
    private readonly CancellationTokenSource _stopping = new();
    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private FrozenDictionary<string, MethodEntry>? _methods;
    private long _activeCalls;

    /// <summary>Creates a server without methods.</summary>
    /// <param name="options">Null takes the defaults.</param>
    public RpcServer(RpcServerOptions? options = null)
    {
        _options = options ?? new RpcServerOptions();
        Receiving = new ReceiveBudget(_options.MaxReceivingBytes);
    }

    /// <summary>Calls that are being handled now.</summary>
    public long ActiveCalls => Volatile.Read(ref _activeCalls);

    /// <summary>Fires when the server begins to drain.</summary>
    public CancellationToken Draining => _draining.Token;

    internal ReceiveBudget Receiving { get; }

    internal CancellationToken Stopping => _stopping.Token;

    internal IReadOnlyList<RpcService> Services => _services;

    /// <summary>Adds a method with one request and one answer.</summary>
    /// <param name="method">The method.</param>
    /// <param name="handler">Gives the answer.</param>
    /// <returns>This server.</returns>
    /// <exception cref="ArgumentException">The method is of another kind or has a handler.</exception>
    public RpcServer Unary<TRequest, TResponse>(RpcMethod<TRequest, TResponse> method, Func<TRequest, RpcContext, ValueTask<TResponse>> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ArgumentNullException.ThrowIfNull(handler);
        return Add(method, clientStreams: false, serverStreams: false, async context =>
        {
            var request = await ReadSingleAsync(method, context).ConfigureAwait(false);
            await AnswerAsync(await handler(request, context).ConfigureAwait(false), context).ConfigureAwait(false);
        });
    }

    /// <summary>Adds a method with one request, handed over encoded, and one answer.</summary>
    /// <param name="method">The method.</param>
    /// <param name="handler">Gives the answer. The bytes lie in the connection's buffers, not checked, and are valid until it returns.</param>
    /// <returns>This server.</returns>
    /// <exception cref="ArgumentException">The method is of another kind or has a handler.</exception>
    public RpcServer UnaryRaw<TRequest, TResponse>(RpcMethod<TRequest, TResponse> method, Func<ReadOnlySequence<byte>, RpcContext, ValueTask<TResponse>> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ArgumentNullException.ThrowIfNull(handler);
        return Add(method, clientStreams: false, serverStreams: false, async context =>
        {
            var reader = NewReader(method, context);
            await reader.ReadSingleAsync().ConfigureAwait(false);
            if (_options.Inspect is { } inspect)
            {
                await inspect(reader.Message, context).ConfigureAwait(false);
            }

            await AnswerAsync(await handler(reader.Message, context).ConfigureAwait(false), context).ConfigureAwait(false);
        });
    }

    /// <summary>Adds a method with one request, handed over encoded, and one answer, which the handler writes, encoded or not.</summary>
    /// <param name="method">The method.</param>
    /// <param name="handler">
    /// Writes exactly one message, and need not flush it. The bytes lie in the connection's buffers, not checked, and are valid until it returns.
    /// </param>
    /// <returns>This server.</returns>
    /// <exception cref="ArgumentException">The method is of another kind or has a handler.</exception>
    public RpcServer UnaryRaw<TRequest, TResponse>(
        RpcMethod<TRequest, TResponse> method, Func<ReadOnlySequence<byte>, RpcWriter<TResponse>, RpcContext, ValueTask> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ArgumentNullException.ThrowIfNull(handler);
        return Add(method, clientStreams: false, serverStreams: false, context =>
        {
            context.AnswersOnce = true;
            var reader = NewReader(method, context);
            var reading = reader.ReadSingleAsync();

            if (!reading.IsCompletedSuccessfully)
            {
                return ReadFirstAsync(reading, reader, context);
            }

            // The usual request is here in full already, and nothing in it to be waited for: then this is no state machine of its own.
            var looking = _options.Inspect?.Invoke(reader.Message, context) ?? default;
            return looking.IsCompletedSuccessfully ? handler(reader.Message, NewWriter<TResponse>(context), context) : LookFirstAsync(looking, reader, context);
        });

        async ValueTask ReadFirstAsync(ValueTask reading, RpcReader<TRequest> reader, RpcContext context)
        {
            await reading.ConfigureAwait(false);
            await LookFirstAsync(_options.Inspect?.Invoke(reader.Message, context) ?? default, reader, context).ConfigureAwait(false);
        }

        async ValueTask LookFirstAsync(ValueTask looking, RpcReader<TRequest> reader, RpcContext context)
        {
            await looking.ConfigureAwait(false);
            await handler(reader.Message, NewWriter<TResponse>(context), context).ConfigureAwait(false);
        }
    }

    /// <summary>Adds a method with one request and a stream of answers.</summary>
    /// <param name="method">The method.</param>
    /// <param name="handler">Writes the answers; the stream ends when it returns.</param>
    /// <returns>This server.</returns>
    /// <exception cref="ArgumentException">The method is of another kind or has a handler.</exception>
    public RpcServer ServerStreaming<TRequest, TResponse>(RpcMethod<TRequest, TResponse> method, Func<TRequest, RpcWriter<TResponse>, RpcContext, ValueTask> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ArgumentNullException.ThrowIfNull(handler);
        return Add(method, clientStreams: false, serverStreams: true, async context =>
        {
            var request = await ReadSingleAsync(method, context).ConfigureAwait(false);
            await handler(request, NewWriter<TResponse>(context), context).ConfigureAwait(false);
        });
    }

    /// <summary>Adds a method with one request, handed over encoded, and a stream of answers.</summary>
    /// <param name="method">The method.</param>
    /// <param name="handler">Writes the answers. The bytes lie in the connection's buffers, not checked, and are valid until it returns.</param>
    /// <returns>This server.</returns>
    /// <exception cref="ArgumentException">The method is of another kind or has a handler.</exception>
    public RpcServer ServerStreamingRaw<TRequest, TResponse>(
        RpcMethod<TRequest, TResponse> method, Func<ReadOnlySequence<byte>, RpcWriter<TResponse>, RpcContext, ValueTask> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ArgumentNullException.ThrowIfNull(handler);
        return Add(method, clientStreams: false, serverStreams: true, async context =>
        {
            var reader = NewReader(method, context);
            await reader.ReadSingleAsync().ConfigureAwait(false);
            if (_options.Inspect is { } inspect)
            {
                await inspect(reader.Message, context).ConfigureAwait(false);
            }

            await handler(reader.Message, NewWriter<TResponse>(context), context).ConfigureAwait(false);
        });
    }

    /// <summary>Adds a method with a stream of requests and one answer.</summary>
    /// <param name="method">The method.</param>
    /// <param name="handler">Reads the requests, decoded or encoded, and gives the answer.</param>
    /// <returns>This server.</returns>
    /// <exception cref="ArgumentException">The method is of another kind or has a handler.</exception>
    public RpcServer ClientStreaming<TRequest, TResponse>(RpcMethod<TRequest, TResponse> method, Func<RpcReader<TRequest>, RpcContext, ValueTask<TResponse>> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ArgumentNullException.ThrowIfNull(handler);
        return Add(method, clientStreams: true, serverStreams: false, async context =>
        {
            var answer = await handler(NewReader(method, context), context).ConfigureAwait(false);
            NewWriter<TResponse>(context).Write(answer);
        });
    }

    /// <summary>Adds a method with a stream of requests and a stream of answers.</summary>
    /// <param name="method">The method.</param>
    /// <param name="handler">Reads and writes, in any order and at the same time if it likes; the stream ends when it returns.</param>
    /// <returns>This server.</returns>
    /// <exception cref="ArgumentException">The method is of another kind or has a handler.</exception>
    public RpcServer Duplex<TRequest, TResponse>(RpcMethod<TRequest, TResponse> method, Func<RpcReader<TRequest>, RpcWriter<TResponse>, RpcContext, ValueTask> handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ArgumentNullException.ThrowIfNull(handler);
        return Add(method, clientStreams: true, serverStreams: true, context =>
            handler(NewReader(method, context), NewWriter<TResponse>(context), context));
    }

    /// <summary>Adds a filter around every call, inside those added before.</summary>
    /// <param name="filter">The filter.</param>
    /// <returns>This server.</returns>
    public RpcServer Use(RpcFilter filter)
    {
        ArgumentNullException.ThrowIfNull(filter);
        lock (_lock)
        {
            CheckNotFrozen();
            _filters.Add(filter);
        }

        return this;
    }

    /// <summary>Gives methods that were added so far a smaller limit for their requests than <see cref="RpcServerOptions.MaxReceiveBytes"/>.</summary>
    /// <param name="bytes">The limit, also after decompression; above it: RESOURCE_EXHAUSTED. One that a method has already, and is smaller, stays.</param>
    /// <param name="which">Tells of a path whether it is concerned.</param>
    /// <returns>This server.</returns>
    public RpcServer LimitRequests(int bytes, Func<string, bool> which)
    {
        ArgumentNullException.ThrowIfNull(which);
        lock (_lock)
        {
            CheckNotFrozen();
            foreach (var (path, entry) in _added.Where(added => which(added.Key)).ToList())
            {
                _added[path] = entry with { MaxReceiveBytes = Math.Min(entry.MaxReceiveBytes, bytes) };
            }
        }

        return this;
    }

    /// <summary>
    /// Checks that every method of every service of which one was added has a handler, and that the handlers fit their methods. It makes the
    /// descriptors of all services: a server that must start quickly leaves it to its tests.
    /// </summary>
    /// <param name="absent">Methods that are meant to be missing; they answer UNIMPLEMENTED.</param>
    /// <returns>This server.</returns>
    /// <exception cref="InvalidOperationException">A method has no handler; the message names it.</exception>
    /// <exception cref="ArgumentException">A handler was added for a method of another kind, or that its service doesn't have.</exception>
    public RpcServer RequireComplete(params MethodDescriptor[] absent)
    {
        ArgumentNullException.ThrowIfNull(absent);
        lock (_lock)
        {
            _unchecked.ForEach(static check => check());
            _unchecked.Clear();
            var missing = _services.SelectMany(s => s.Descriptor.Methods).Except(absent).Where(m => !_added.ContainsKey(PathOf(m))).Select(m => m.FullName).ToList();
            return missing.Count == 0 ? this : throw new InvalidOperationException($"These methods have no handler: {string.Join(", ", missing)}.");
        }
    }

    /// <summary>Whether a request is meant for gRPC: content type <c>application/grpc</c>, alone or with <c>+proto</c> or the like.</summary>
    /// <param name="request">The request.</param>
    /// <returns>False also for <c>application/grpc-web</c>.</returns>
    public static bool IsRpc(HttpRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        const string Grpc = "application/grpc";
        var type = request.ContentType;
        return type is not null && type.StartsWith(Grpc, StringComparison.OrdinalIgnoreCase)
            && (type.Length == Grpc.Length || type[Grpc.Length] is '+' or ';' or ' ');
    }

    /// <summary>Whether a path is a method of this server.</summary>
    /// <param name="path">The path of a request.</param>
    /// <returns>True if there is a handler.</returns>
    public bool Serves(PathString path) => path.Value is { } value && Freeze().ContainsKey(value);

    /// <summary>Handles one request that <see cref="IsRpc"/>. Never throws because of a client or a handler.</summary>
    /// <param name="http">The request and its response.</param>
    /// <returns>Ends with the call.</returns>
    public Task InvokeAsync(HttpContext http)
    {
        ArgumentNullException.ThrowIfNull(http);
        if (!ServerCall.Accept(http))
        {
            return Task.CompletedTask;
        }

        var path = http.Request.Path.Value ?? string.Empty;
        Freeze().TryGetValue(path, out var method);
        Interlocked.Increment(ref _activeCalls);
        return ServerCall.RunAsync(this, _options, http, path, method);
    }

    /// <summary>A call of <see cref="InvokeAsync"/> is over.</summary>
    internal void EndCall()
    {
        if (Interlocked.Decrement(ref _activeCalls) == 0 && _draining.IsCancellationRequested)
        {
            _drained.TrySetResult();
        }
    }

    /// <summary>
    /// From now on new calls fail with UNAVAILABLE (health checks excepted) and <see cref="RpcContext.Draining"/> fires.
    /// Running calls go on. Can't be undone; may be called again.
    /// </summary>
    public void BeginDrain()
    {
        // What the handlers do when they hear of it runs elsewhere: it must neither delay the drain nor fail it.
        _ = _draining.CancelAsync();
        if (ActiveCalls == 0)
        {
            _drained.TrySetResult();
        }
    }

    /// <summary>
    /// Begins to drain and waits for the running calls. When the limit is up, those that remain are cancelled with
    /// UNAVAILABLE. Stop the host after it.
    /// </summary>
    /// <param name="limit">How long running calls may take; zero cancels them at once.</param>
    /// <returns>Whether all calls ended by themselves.</returns>
    public async Task<bool> DrainAsync(TimeSpan limit)
    {
        BeginDrain();
        try
        {
            await _drained.Task.WaitAsync(limit).ConfigureAwait(false);
            return true;
        }
        catch (TimeoutException)
        {
            await _stopping.CancelAsync().ConfigureAwait(false);
            return false;
        }
    }

    /// <summary>A second name for all methods of a service that were added, with the same messages.</summary>
    internal void Alias(RpcService service, string otherName)
    {
        lock (_lock)
        {
            CheckNotFrozen();
            foreach (var (path, entry) in AddedOf(service))
            {
                _added.Add($"/{otherName}/{path[(service.FullName.Length + 2)..]}", entry);
            }
        }
    }

    /// <summary>Lets the methods of a service that were added answer while the server drains.</summary>
    internal void ServeWhileDraining(RpcService service)
    {
        lock (_lock)
        {
            CheckNotFrozen();
            foreach (var (path, entry) in AddedOf(service))
            {
                _added[path] = entry with { ServesWhileDraining = true };
            }
        }
    }

    private static string PathOf(MethodDescriptor method) => $"/{method.Service.FullName}/{method.Name}";

    private static async ValueTask<TRequest> ReadSingleAsync<TRequest, TResponse>(RpcMethod<TRequest, TResponse> method, RpcContext context)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        var reader = NewReader(method, context);
        await reader.ReadSingleAsync().ConfigureAwait(false);
        var request = reader.Parse();
        reader.Release();
        return request;
    }

    private static RpcReader<TRequest> NewReader<TRequest, TResponse>(RpcMethod<TRequest, TResponse> method, RpcContext context)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        var reader = new RpcReader<TRequest>(context, context.Http.Request.BodyReader, context.MaxReceiveBytes, context.RequestIsGzip, method.RequestParser);
        context.Reader = reader;
        return reader;
    }

    private static RpcWriter<TResponse> NewWriter<TResponse>(RpcContext context)
        where TResponse : class, IMessage<TResponse>, new()
    {
        var options = context.Options;
        var writer = new RpcWriter<TResponse>(context, context.Http.Response.BodyWriter, options.MaxSendBytes, options.FlushThreshold);
        context.Writer = writer;
        return writer;
    }

    // A call that has ended has its answer in memory all the same, as long as its client does not take it.
    private ValueTask AnswerAsync<TResponse>(TResponse answer, RpcContext context)
        where TResponse : class, IMessage<TResponse>, new()
    {
        var writer = NewWriter<TResponse>(context);
        if (_options.HoldAnswer is { } hold && answer.CalculateSize() is var bytes and > LargeAnswerBytes)
        {
            return AnswerHeldAsync();
        }

        writer.Write(answer);
        return ValueTask.CompletedTask;

        async ValueTask AnswerHeldAsync()
        {
            using var room = await hold(bytes, context).ConfigureAwait(false);
            writer.Write(answer);
            await writer.FlushAsync().ConfigureAwait(false);
        }
    }

    private RpcServer Add<TRequest, TResponse>(RpcMethod<TRequest, TResponse> method, bool clientStreams, bool serverStreams, RpcHandler handler)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ArgumentNullException.ThrowIfNull(method);
        if (method.IsDescribed)
        {
            CheckKind(method.Descriptor, clientStreams, serverStreams);
        }

        lock (_lock)
        {
            CheckNotFrozen();
            if (!_added.TryAdd(method.Path, new MethodEntry(handler)))
            {
                throw new ArgumentException($"{method.Path} has a handler already.", nameof(method));
            }

            _unchecked.Add(() => CheckKind(method.Descriptor, clientStreams, serverStreams));
            if (_services.TrueForAll(s => s.FullName != method.Service.FullName))
            {
                _services.Add(method.Service);
            }
        }

        return this;
    }

    private static void CheckKind(MethodDescriptor method, bool clientStreams, bool serverStreams)
    {
        if (method.IsClientStreaming != clientStreams || method.IsServerStreaming != serverStreams)
        {
            throw new ArgumentException($"{method.FullName} is of another kind: its client {Streams(method.IsClientStreaming)}, its server {Streams(method.IsServerStreaming)}.");
        }

        static string Streams(bool streams) => streams ? "streams" : "sends one message";
    }

    private List<KeyValuePair<string, MethodEntry>> AddedOf(RpcService service) =>
        [.. _added.Where(added => added.Key.StartsWith($"/{service.FullName}/", StringComparison.Ordinal))];

    private void CheckNotFrozen()
    {
        if (_methods is not null)
        {
            throw new InvalidOperationException("The server has begun to take calls; add methods and filters before.");
        }
    }

    private FrozenDictionary<string, MethodEntry> Freeze() => _methods ?? FreezeSlow();

    // The filters are composed here, once, and not for every call.
    private FrozenDictionary<string, MethodEntry> FreezeSlow()
    {
        lock (_lock)
        {
            return _methods ??= _added.ToFrozenDictionary(entry => entry.Key, entry => entry.Value with { Handler = Compose(entry.Value.Handler) }, StringComparer.Ordinal);
        }
    }

    private RpcHandler Compose(RpcHandler handler)
    {
        for (var i = _filters.Count - 1; i >= 0; i--)
        {
            var (filter, next) = (_filters[i], handler);
            handler = context => filter(context, next);
        }

        return handler;
    }
}
