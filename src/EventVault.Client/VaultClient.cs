using System.Runtime.CompilerServices;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Client;

/// <summary>
/// A client of a vault. Thread-safe: use one for the whole process. It connects when it is first used and again
/// after every loss.
/// </summary>
/// <remarks>
/// Concurrent appends are pipelined over one session: start many and await them together. Appends that were started one after
/// the other to the same stream are written in that order, without being awaited in between.
/// </remarks>
public sealed class VaultClient : IAsyncDisposable
{
    // A message of a read holds at least one event, and a node may be set to allow events larger than the default 4 MiB.
    private const int MaxAnswerBytes = 64 << 20;

    // A dead connection is given up after both together: well before the default time-out of an append, so that there
    // is time left to send it again.
    private static readonly TimeSpan KeepAlivePing = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan KeepAliveTimeout = TimeSpan.FromSeconds(10);

    private readonly VaultClientOptions _options;
    private readonly RpcChannel _reads;
    private readonly RpcChannel[] _appends;
    private readonly AppendSession[] _sessions;
    private readonly CancellationTokenSource _closed = new();
    private readonly CancellationToken _closedToken;
    private VaultLimits _limits = VaultLimits.Defaults;
    private bool _limitsKnown;
    private int _disposed;

    private VaultClient(Uri address, VaultClientOptions options)
    {
        options.Validate();
        _options = options;
        _closedToken = _closed.Token;
        _reads = NewChannel(address, options.ReadConnections, options.StreamWindowBytes);
        _appends = new RpcChannel[options.Sessions];
        _sessions = new AppendSession[options.Sessions];
        for (int i = 0; i < _sessions.Length; i++)
        {
            _appends[i] = NewChannel(address, connections: 1, streamWindow: 0);
            _sessions[i] = new AppendSession(_appends[i], options, GreetAsync);
        }
    }

    /// <summary>Makes a client. Connects on first use, so a node that is away is reported by the first call.</summary>
    /// <param name="address">
    /// <c>eventvault://host:port</c> (clear text) or <c>eventvaults://host:port</c> (TLS); <c>http://</c> and
    /// <c>https://</c> mean the same. The port is 7400 unless given.
    /// </param>
    /// <param name="options">Null: the defaults.</param>
    /// <exception cref="ArgumentException">The address is of another form, or a setting out of its range.</exception>
    public static VaultClient Connect(string address, VaultClientOptions? options = null) =>
        new(VaultAddress.Parse(address), options ?? new VaultClientOptions());

    /// <summary>Appends one event. See <see cref="AppendAsync(IReadOnlyList{StreamAppend}, AppendOptions?, CancellationToken)"/>.</summary>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="expected">What its last version must be.</param>
    /// <param name="event">The event.</param>
    /// <param name="options">Operation id and time-out; null: a new id, the client's time-out.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the append.</param>
    /// <returns>Where it was written.</returns>
    public Task<AppendResult> AppendAsync(
        string stream, ExpectedVersion expected, EventData @event, AppendOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(@event);
        return AppendAsync([new StreamAppend(stream, expected, [@event])], options, cancellationToken);
    }

    /// <summary>
    /// Appends events to one stream, all or none. See
    /// <see cref="AppendAsync(IReadOnlyList{StreamAppend}, AppendOptions?, CancellationToken)"/>.
    /// </summary>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="expected">What its last version must be.</param>
    /// <param name="events">The events, at least one.</param>
    /// <param name="options">Operation id and time-out; null: a new id, the client's time-out.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the append.</param>
    /// <returns>Where they were written.</returns>
    public Task<AppendResult> AppendAsync(
        string stream, ExpectedVersion expected, IEnumerable<EventData> events, AppendOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(events);
        return AppendAsync([new StreamAppend(stream, expected, [.. events])], options, cancellationToken);
    }

    /// <summary>
    /// Appends to one or several streams: all events or none, in the order listed. Completes once they are flushed
    /// to disk. Lost connections and passing refusals are retried, with the same operation id, so that nothing is
    /// written twice, until the time-out or the <see cref="RetryPolicy"/> ends it.
    /// </summary>
    /// <remarks>
    /// Cancelling cancels the waiting, never the append: it may still be written. The task's continuations run together with
    /// those of other appends on a pool thread; don't block in them.
    /// </remarks>
    /// <param name="streams">1 or more, each stream at most once; must not change until the append is answered.</param>
    /// <param name="options">Operation id and time-out; null: a new id, the client's time-out.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the append.</param>
    /// <returns>Where they were written.</returns>
    /// <exception cref="WrongExpectedVersionException">A stream is not where it was expected; lists all that are not.</exception>
    /// <exception cref="LimitExceededException">A limit was exceeded; nothing was sent.</exception>
    /// <exception cref="VaultException">
    /// It failed. With <see cref="VaultErrorCode.OutcomeUnknown"/> it may have been written; with every other code it was not.
    /// </exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The client was disposed before.</exception>
    public Task<AppendResult> AppendAsync(
        IReadOnlyList<StreamAppend> streams, AppendOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(streams);
        ThrowIfDisposed();
        TimeSpan timeout = options?.Timeout ?? _options.AppendTimeout;
        if (timeout <= TimeSpan.Zero && timeout != Timeout.InfiniteTimeSpan)
        {
            throw new ArgumentOutOfRangeException(nameof(options), timeout, "The time-out must be longer than zero.");
        }

        if (cancellationToken.IsCancellationRequested)
        {
            return Task.FromCanceled<AppendResult>(cancellationToken);
        }

        int size;
        try
        {
            size = AppendEncoder.Measure(streams, Volatile.Read(ref _limits));
        }
        catch (LimitExceededException) when (!Volatile.Read(ref _limitsKnown))
        {
            // The node may allow more than the defaults.
            return AppendAfterLimitsAsync(streams, options, timeout, cancellationToken);
        }
        catch (VaultException e)
        {
            return Task.FromException<AppendResult>(e);
        }

        return Append(streams, options, size, timeout, cancellationToken);
    }

    /// <summary>Reads the events of one stream. Nothing is sent before the result is used.</summary>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="options">What and in which order; null: everything, forwards.</param>
    /// <param name="cancellationToken">Ends the read.</param>
    /// <returns>The read; enumerating it throws <see cref="StreamNotFoundException"/> if the stream has no events.</returns>
    /// <exception cref="VaultException">The name is not valid.</exception>
    public ReadResult ReadStreamAsync(string stream, ReadOptions? options = null, CancellationToken cancellationToken = default)
    {
        CheckStream(stream);
        return new ReadResult(Reader(VaultMethods.ReadStream, new StreamReadPlan(stream, options ?? new ReadOptions()), cancellationToken));
    }

    /// <summary>Reads the events of all streams in the order of their positions. Nothing is sent before the result is used.</summary>
    /// <param name="options">What and in which order; null: everything, forwards.</param>
    /// <param name="cancellationToken">Ends the read.</param>
    /// <returns>The read.</returns>
    public ReadResult ReadAllAsync(ReadOptions? options = null, CancellationToken cancellationToken = default) =>
        new(Reader(VaultMethods.ReadAll, new AllReadPlan(options ?? new ReadOptions()), cancellationToken));

    /// <summary>Subscribes to one stream; if it doesn't exist yet, waits for it. Nothing is sent before the result is used.</summary>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="options">Where to begin; null: at the first event.</param>
    /// <param name="cancellationToken">Ends the subscription.</param>
    /// <returns>The subscription.</returns>
    /// <exception cref="VaultException">The name is not valid.</exception>
    public Subscription SubscribeToStreamAsync(string stream, SubscribeOptions? options = null, CancellationToken cancellationToken = default)
    {
        CheckStream(stream);
        return Subscribe(stream, options, cancellationToken);
    }

    /// <summary>Subscribes to all streams. Nothing is sent before the result is used.</summary>
    /// <param name="options">Where to begin; null: at the first event.</param>
    /// <param name="cancellationToken">Ends the subscription.</param>
    /// <returns>The subscription.</returns>
    public Subscription SubscribeToAllAsync(SubscribeOptions? options = null, CancellationToken cancellationToken = default) =>
        Subscribe(null, options, cancellationToken);

    /// <summary>The last version of a stream, and where and when it was written.</summary>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="StreamNotFoundException">The stream has no events.</exception>
    /// <exception cref="VaultException">The call failed.</exception>
    public async Task<StreamInfo> GetStreamAsync(string stream, CancellationToken cancellationToken = default)
    {
        CheckStream(stream);
        var request = new Protocol.GetStreamRequest { Stream = stream };
        return StreamInfo.From(await CallAsync(VaultMethods.GetStream, request, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>
    /// Streams in the order of their names (bytes of UTF-8), asked for a page at a time. Streams made or changed
    /// meanwhile may or may not be among them.
    /// </summary>
    /// <param name="prefix">How the names begin; empty: all but the vault's own, whose prefix is <c>$</c>.</param>
    /// <param name="pageSize">Streams to a page, 1 to 1,000.</param>
    /// <param name="cancellationToken">Ends the listing.</param>
    /// <exception cref="VaultException">A call failed.</exception>
    public async IAsyncEnumerable<StreamInfo> ListStreamsAsync(
        string prefix = "", int pageSize = 1000, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(prefix);
        ArgumentOutOfRangeException.ThrowIfLessThan(pageSize, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(pageSize, 1000);
        string token = "";
        do
        {
            var request = new Protocol.ListStreamsRequest { Prefix = prefix, PageSize = (uint)pageSize, PageToken = token };
            Protocol.ListStreamsResponse page = await CallAsync(VaultMethods.ListStreams, request, cancellationToken).ConfigureAwait(false);
            foreach (Protocol.StreamInfo stream in page.Streams)
            {
                yield return StreamInfo.From(stream);
            }

            token = page.NextPageToken;
        }
        while (token.Length > 0);
    }

    /// <summary>What the node is: version, identity, limits, head.</summary>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="VaultException">The call failed.</exception>
    public async Task<VaultInfo> GetInfoAsync(CancellationToken cancellationToken = default)
    {
        Protocol.GetInfoResponse info = await CallAsync(VaultMethods.GetInfo, new Protocol.GetInfoRequest(), cancellationToken).ConfigureAwait(false);
        return new VaultInfo(
            info.Version,
            info.VaultId.Length == 16 ? new Guid(info.VaultId.Span, bigEndian: true) : Guid.Empty,
            Remember(info),
            info.HasHead ? info.Head : null,
            VaultTime.FromTicksOrNone(info.HeadRecordedAt),
            info.SegmentSizeBytes);
    }

    /// <summary>How the node is doing right now.</summary>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="VaultException">The call failed.</exception>
    public async Task<VaultStatus> GetStatusAsync(CancellationToken cancellationToken = default) =>
        VaultStatus.From(await CallAsync(VaultMethods.GetStatus, new Protocol.GetStatusRequest(), cancellationToken).ConfigureAwait(false));

    /// <summary>
    /// Closes the client. Takes no new appends, waits for those in flight for at most
    /// <see cref="VaultClientOptions.CloseTimeout"/> and fails the rest; ends reads and subscriptions.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        await Task.WhenAll(_sessions.Select(static session => session.DisposeAsync().AsTask())).ConfigureAwait(false);
        await _closed.CancelAsync().ConfigureAwait(false);
        foreach (RpcChannel channel in _appends)
        {
            await channel.DisposeAsync().ConfigureAwait(false);
        }

        await _reads.DisposeAsync().ConfigureAwait(false);
        _closed.Dispose();
    }

    private RpcChannel NewChannel(Uri address, int connections, int streamWindow) => new(address, new RpcChannelOptions
    {
        MaxReceiveBytes = MaxAnswerBytes,
        KeepAlivePing = KeepAlivePing,
        KeepAliveTimeout = KeepAliveTimeout,
        Connections = connections,
        ConnectTimeout = _options.ConnectTimeout,
        Tls = _options.Tls,
        InitialStreamWindow = streamWindow,
    });

    private Task<AppendResult> Append(
        IReadOnlyList<StreamAppend> streams, AppendOptions? options, int size, TimeSpan timeout, CancellationToken cancellation)
    {
        Guid operationId = options?.OperationId ?? streams[0].Events[0].TakeOperationId();
        int session = _sessions.Length == 1
            ? 0
            : (int)((uint)string.GetHashCode(streams[0].Stream, StringComparison.Ordinal) % (uint)_sessions.Length);
        Task<AppendResult> answer = _sessions[session].Append(new PendingAppend(operationId, streams, size, timeout));
        return cancellation.CanBeCanceled ? answer.WaitAsync(cancellation) : answer;
    }

    private async Task<AppendResult> AppendAfterLimitsAsync(
        IReadOnlyList<StreamAppend> streams, AppendOptions? options, TimeSpan timeout, CancellationToken cancellation)
    {
        await GetInfoAsync(cancellation).ConfigureAwait(false);
        int size = AppendEncoder.Measure(streams, Volatile.Read(ref _limits));
        return await Append(streams, options, size, timeout, cancellation).ConfigureAwait(false);
    }

    /// <summary>
    /// The first call over a session's connection: it proves the connection, so that appends are not sent into the
    /// blue, and brings the node's limits.
    /// </summary>
    private async Task GreetAsync(RpcChannel channel, CancellationToken cancellation)
    {
        var options = new RpcCallOptions(_options.CallTimeout);
        Remember(await channel.UnaryAsync(VaultMethods.GetInfo, new Protocol.GetInfoRequest(), options, cancellation).ConfigureAwait(false));
    }

    private VaultLimit[] Remember(Protocol.GetInfoResponse info)
    {
        VaultLimit[] limits = [.. info.Limits.Select(static l => new VaultLimit(l.Name, l.Allowed, l.Setting))];
        Volatile.Write(ref _limits, VaultLimits.From(limits));
        Volatile.Write(ref _limitsKnown, true);
        return limits;
    }

    private Subscription Subscribe(string? stream, SubscribeOptions? options, CancellationToken cancellation)
    {
        options ??= new SubscribeOptions();
        if (options.FromEnd && options.From is not null)
        {
            throw new ArgumentException("A subscription begins either at From or at the end, not both.", nameof(options));
        }

        return new Subscription(Reader(VaultMethods.Subscribe, new SubscriptionPlan(stream, options), cancellation));
    }

    private ResumingRead<TRequest> Reader<TRequest>(
        RpcMethod<TRequest, Protocol.ReadResponse> method, ReadPlan<TRequest> plan, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
    {
        ThrowIfDisposed();
        return new ResumingRead<TRequest>(_reads, method, plan, _options.Retry, cancellation, _closedToken);
    }

    /// <summary>A call that only reads, and so may be repeated at will.</summary>
    private async Task<TResponse> CallAsync<TRequest, TResponse>(
        RpcMethod<TRequest, TResponse> method, TRequest request, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ThrowIfDisposed();
        var backoff = new Backoff(_options.Retry);
        VaultException? before = null;
        long endsAt = Environment.TickCount64 + (long)_options.CallTimeout.TotalMilliseconds;
        while (true)
        {
            VaultException failure;
            var left = TimeSpan.FromMilliseconds(Math.Max(1, endsAt - Environment.TickCount64));
            try
            {
                return await _reads.UnaryAsync(method, request, new RpcCallOptions(left), cancellation).ConfigureAwait(false);
            }
            catch (RpcException e)
            {
                cancellation.ThrowIfCancellationRequested();
                failure = VaultErrors.From(e);
            }

            // Cut short by the time-out, the last attempt says less than the one before.
            before = failure.Code == VaultErrorCode.TimedOut && before is not null ? before : failure;
            if (!failure.IsTransient
                || backoff.Next(failure.RetryAfter) is not { } wait
                || Environment.TickCount64 + wait.TotalMilliseconds >= endsAt)
            {
                throw before;
            }

            await Task.Delay(wait, cancellation).ConfigureAwait(false);
        }
    }

    private void CheckStream(string stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        VaultNames.CheckStream(stream, index: -1, Volatile.Read(ref _limits));
    }

    private void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
}
