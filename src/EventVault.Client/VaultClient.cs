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
/// the other are written in that order, without being awaited in between; with <see cref="VaultClientOptions.Sessions"/> over 1
/// only those whose first stream is the same.
/// </remarks>
public sealed class VaultClient : IAsyncDisposable
{
    private readonly VaultClientOptions _options;
    private readonly NodeRoster _nodes;
    private readonly AppendSessions _appends;
    private readonly VaultCalls _calls;
    private readonly VaultChanges _changes;
    private readonly SeenPosition _seen;
    private readonly CancellationTokenSource _closed = new();
    private readonly CancellationToken _closedToken;
    private VaultLimits _limits = VaultLimits.Defaults;
    private readonly Lock _disposing = new();
    private Task? _disposal;

    private VaultClient(IReadOnlyList<Uri> addresses, VaultClientOptions options, VaultCredentials? credentials)
    {
        options.Validate();
        _options = options;
        _closedToken = _closed.Token;
        _seen = new SeenPosition(options.ReadFrom);
        _nodes = new NodeRoster(addresses, options, credentials);
        _calls = new VaultCalls(_nodes, options, _closedToken);
        _changes = new VaultChanges(_calls, _seen, GetInfoAsync);
        Reducers = new VaultReducers(_calls, _changes, _seen);
        var streamed = new StreamedCalls(_nodes, options, _closedToken);
        States = new VaultStates(_calls, streamed, _seen, () => Volatile.Read(ref _limits));
        Backups = new VaultBackups(_calls, streamed);
        Cluster = new VaultCluster(_calls);
        Access = new VaultAccess(_calls, _changes, _seen);
        AppendSession[] sessions = [.. Enumerable.Range(0, options.Sessions).Select(i => new AppendSession(_nodes, i, options, _seen, GreetAsync))];
        _appends = new AppendSessions(sessions, () => Volatile.Read(ref _limits), LookUpLimitsAsync, options.CloseTimeout);
    }

    /// <summary>States of streams as of any moment.</summary>
    public VaultStates States { get; }

    /// <summary>Reducers that have a name.</summary>
    public VaultReducers Reducers { get; }

    /// <summary>The nodes of the vault, and how they change.</summary>
    public VaultCluster Cluster { get; }

    /// <summary>Who may do what.</summary>
    public VaultAccess Access { get; }

    /// <summary>What backups of the vault are made of.</summary>
    public VaultBackups Backups { get; }

    /// <summary>Makes a client. Connects on first use, so a node that is away is reported by the first call.</summary>
    /// <param name="address">
    /// <c>eventvault://host:port</c> (clear text) or <c>eventvaults://host:port</c> (TLS); <c>http://</c> and
    /// <c>https://</c> mean the same. The port is 7400 unless given. Of a vault of several nodes name one or several, with commas
    /// between: <c>eventvault://a:7400,b:7400</c>. The client asks them for the others, and finds the leader by itself. Name and password of a
    /// user may stand before them: <c>eventvaults://user:password@a:7400,b:7400</c>, with % and two digits for what has a meaning there.
    /// </param>
    /// <param name="options">Null: the defaults.</param>
    /// <exception cref="ArgumentException">
    /// The address is of another form or names a node twice, a setting is out of its range, or both have credentials.
    /// </exception>
    public static VaultClient Connect(string address, VaultClientOptions? options = null)
    {
        IReadOnlyList<Uri> nodes = VaultAddress.Parse(address, out VaultCredentials? credentials);
        options ??= new VaultClientOptions();
        return credentials is not null && options.Credentials is not null
            ? throw new ArgumentException("The address has a user, and the options have credentials, too: leave out the one or the other.", nameof(options))
            : new VaultClient(nodes, options, credentials ?? options.Credentials);
    }

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
    /// <exception cref="WrongExpectedVersionException">
    /// A stream, written or required, is not where it was expected; lists all that are not, and all conditions that failed.
    /// </exception>
    /// <exception cref="ConditionFailedException">An event matches a condition; all streams are where they were expected.</exception>
    /// <exception cref="RetryTooOldException">A repeat came too late for the vault to tell whether an earlier attempt was written.</exception>
    /// <exception cref="StreamTombstonedException">A stream was ended for ever.</exception>
    /// <exception cref="LimitExceededException">A limit was exceeded; nothing was sent.</exception>
    /// <exception cref="ArgumentException">The time-out is not longer than zero, or the options say how old the first attempt is, but not which.</exception>
    /// <exception cref="VaultException">
    /// It failed. With <see cref="VaultErrorCode.OutcomeUnknown"/> or <see cref="VaultErrorCode.RetryTooOld"/> it may have been written; with
    /// every other code this call has not. Of an earlier call with the same operation id only a failed check tells that, too.
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

        VaultErrors.CheckRepeat(options?.OperationId, options?.AttemptedAfter);
        if (cancellationToken.IsCancellationRequested)
        {
            return Task.FromCanceled<AppendResult>(cancellationToken);
        }

        return VaultTracing.IsOn
            ? AppendTraced(streams, options, timeout, cancellationToken)
            : _appends.Append(streams, options, timeout, cancellationToken);
    }

    private Task<AppendResult> AppendTraced(
        IReadOnlyList<StreamAppend> streams, AppendOptions? options, TimeSpan timeout, CancellationToken cancellation) =>
        VaultTracing.AppendAsync(streams, options, Volatile.Read(ref _limits), stamped => _appends.Append(stamped, options, timeout, cancellation));

    /// <summary>Reads the events of one stream. Nothing is sent before the result is used.</summary>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="options">What and in which order; null: everything, forwards.</param>
    /// <param name="cancellationToken">Ends the read.</param>
    /// <returns>The read; enumerating it throws <see cref="StreamNotFoundException"/> if the stream has no events.</returns>
    /// <exception cref="VaultException">The name is not valid.</exception>
    public ReadResult ReadStreamAsync(string stream, ReadOptions? options = null, CancellationToken cancellationToken = default)
    {
        CheckStream(stream);
        if (options?.Filter is not null)
        {
            throw OnlyForAll(nameof(options));
        }

        return new ReadResult(Reader(VaultMethods.ReadStream, new StreamReadPlan(stream, options ?? new ReadOptions(), _seen), cancellationToken));
    }

    /// <summary>Reads the events of all streams in the order of their positions. Nothing is sent before the result is used.</summary>
    /// <param name="options">What and in which order; null: everything, forwards.</param>
    /// <param name="cancellationToken">Ends the read.</param>
    /// <returns>The read.</returns>
    /// <exception cref="VaultException">The filter is not well formed or exceeds a limit.</exception>
    public ReadResult ReadAllAsync(ReadOptions? options = null, CancellationToken cancellationToken = default)
    {
        CheckFilter(options?.Filter);
        return new ReadResult(Reader(VaultMethods.ReadAll, new AllReadPlan(options ?? new ReadOptions(), _seen), cancellationToken));
    }

    /// <summary>
    /// The state of a stream as of a moment, folded here by the type's own code. See
    /// <see cref="VaultStates.FoldAsync{TState}(Fold{TState}, string, AsOf, StateOptions?, CancellationToken)"/>.
    /// </summary>
    /// <typeparam name="TState">Type of the state.</typeparam>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="asOf">The moment; by default the newest state.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    public Task<FoldedState<TState>> StateAsOfAsync<TState>(string stream, AsOf asOf = default, CancellationToken cancellationToken = default)
        where TState : IFolded<TState> => States.FoldAsync(TState.Fold, stream, asOf, options: null, cancellationToken);

    /// <summary>Subscribes to one stream; if it doesn't exist yet, waits for it. Nothing is sent before the result is used.</summary>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="options">Where to begin; null: at the first event.</param>
    /// <param name="cancellationToken">Ends the subscription.</param>
    /// <returns>The subscription.</returns>
    /// <exception cref="VaultException">The name is not valid.</exception>
    public Subscription SubscribeToStreamAsync(string stream, SubscribeOptions? options = null, CancellationToken cancellationToken = default)
    {
        CheckStream(stream);
        if (options?.Filter is not null)
        {
            throw OnlyForAll(nameof(options));
        }

        return Subscribe(stream, options, cancellationToken);
    }

    /// <summary>Subscribes to all streams. Nothing is sent before the result is used.</summary>
    /// <param name="options">Where to begin; null: at the first event.</param>
    /// <param name="cancellationToken">Ends the subscription.</param>
    /// <returns>The subscription.</returns>
    /// <exception cref="VaultException">The filter is not well formed or exceeds a limit.</exception>
    public Subscription SubscribeToAllAsync(SubscribeOptions? options = null, CancellationToken cancellationToken = default)
    {
        CheckFilter(options?.Filter);
        return Subscribe(null, options, cancellationToken);
    }

    /// <summary>
    /// How many events match a filter, by the node's indexes. Events of the vault's own streams and events that can no longer
    /// be read are not counted.
    /// </summary>
    /// <param name="filter">The filter.</param>
    /// <param name="from">Where to begin, inclusive; null: at the first event.</param>
    /// <param name="until">Where to end, inclusive; null: at the head.</param>
    /// <param name="consistency">What the count must have seen.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="VaultException">The filter is not well formed or exceeds a limit, or the call failed.</exception>
    public async Task<EventCount> CountEventsAsync(
        EventFilter filter,
        ReadBound? from = null,
        ReadBound? until = null,
        Consistency consistency = default,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(filter);
        CheckFilter(filter);
        var request = new Protocol.CountEventsRequest
        {
            Filter = filter.ToMessage(),
            From = from?.ToMessage(),
            Until = until?.ToMessage(),
            Consistency = consistency.ToMessage(_seen),
        };
        Protocol.CountEventsResponse answer = await CallAsync(VaultMethods.CountEvents, request, cancellationToken).ConfigureAwait(false);
        var head = ReadHead.From(answer.Head ?? throw VaultErrors.ProtocolViolation("a count came without the head that it is based on"));
        _seen.Observe(head.LastPosition);
        return new EventCount(answer.Count, head);
    }

    /// <summary>
    /// What the append with an operation id was answered: how to find out what became of an append whose outcome is unknown.
    /// Sees every append that was acknowledged before. One that is still on its way may be written after this said that there
    /// is none; to settle it, send it again.
    /// </summary>
    /// <param name="operationId">Its <see cref="AppendOptions.OperationId"/>.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="VaultException">
    /// The call failed; <see cref="VaultErrorCode.OperationNotFound"/>: no append with this id is among those that the vault
    /// remembers (<see cref="VaultInfo.OperationFloor"/>).
    /// </exception>
    public async Task<AppendResult> GetAppendAsync(Guid operationId, CancellationToken cancellationToken = default)
    {
        var request = new Protocol.GetAppendRequest { OperationId = VaultChanges.WireId(operationId) };
        return Result(await CallAsync(VaultMethods.GetAppend, request, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>
    /// Ends a stream: its events so far are no longer read. Unless it is tombstoned it then counts as having no events and can
    /// be written again, its versions going on. Recorded as an event of the stream <c>$streams</c>. Retried as an append is.
    /// </summary>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="expected">What its last version must be.</param>
    /// <param name="tombstone">For ever: the name can't be written any more.</param>
    /// <param name="options">Operation id; null: a new one.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the deletion.</param>
    /// <returns>Where the deletion was recorded.</returns>
    /// <exception cref="StreamNotFoundException">
    /// The stream has no event that can be read. (To tombstone one that was deleted before is fine.)
    /// </exception>
    /// <exception cref="WrongExpectedVersionException">The stream is not where it was expected.</exception>
    /// <exception cref="StreamTombstonedException">The stream was ended for ever before.</exception>
    /// <exception cref="StreamHeldException">The stream is under a legal hold.</exception>
    /// <exception cref="VaultException">It failed; with <see cref="VaultErrorCode.OutcomeUnknown"/> it may have been done.</exception>
    public async Task<AppendResult> DeleteStreamAsync(
        string stream, ExpectedVersion expected, bool tombstone = false, ChangeOptions? options = null, CancellationToken cancellationToken = default)
    {
        CheckChange(stream, expected);
        var request = new Protocol.DeleteStreamRequest { Stream = stream, Expected = expected.ToMessage(), Tombstone = tombstone };
        return await ChangeAsync(
            VaultMethods.DeleteStream,
            request,
            options,
            static (r, id) => r.OperationId = id,
            static (r, seen) => r.AttemptedAfter = seen,
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Takes away a stream's oldest events: those before a version are no longer read. Versions and positions stay; it never
    /// moves back: a version at or before the first one that can be read changes nothing. Recorded as an event of the stream
    /// <c>$streams</c>. Retried as an append is.
    /// </summary>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="before">The first version that is kept, at most the last version + 1, which leaves none.</param>
    /// <param name="expected">What its last version must be.</param>
    /// <param name="options">Operation id; null: a new one.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the truncation.</param>
    /// <returns>Where the truncation was recorded.</returns>
    /// <exception cref="StreamNotFoundException">The stream has no events.</exception>
    /// <exception cref="WrongExpectedVersionException">The stream is not where it was expected.</exception>
    /// <exception cref="StreamHeldException">The stream is under a legal hold.</exception>
    /// <exception cref="VaultException">It failed; with <see cref="VaultErrorCode.OutcomeUnknown"/> it may have been done.</exception>
    public async Task<AppendResult> TruncateStreamAsync(
        string stream, ulong before, ExpectedVersion expected, ChangeOptions? options = null, CancellationToken cancellationToken = default)
    {
        CheckChange(stream, expected);
        var request = new Protocol.TruncateStreamRequest { Stream = stream, Expected = expected.ToMessage(), Before = before };
        return await ChangeAsync(
            VaultMethods.TruncateStream,
            request,
            options,
            static (r, id) => r.OperationId = id,
            static (r, seen) => r.AttemptedAfter = seen,
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Sets how long the events of a stream or of a category are kept, in place of any rule that it had. Recorded as an event of
    /// the stream <c>$streams</c>. Events that are due then are no longer read, within a minute as a rule; their space returns
    /// with the next scavenge (<see cref="StartScavengeAsync"/>). Retried as an append is.
    /// </summary>
    /// <param name="scope">To what it applies. Neither the stream nor the category need exist yet.</param>
    /// <param name="rule">The rule.</param>
    /// <param name="options">Operation id; null: a new one.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the change.</param>
    /// <returns>Where it was recorded.</returns>
    /// <exception cref="VaultException">
    /// The scope or the rule is not valid, or it failed; with <see cref="VaultErrorCode.OutcomeUnknown"/> it may have been done.
    /// </exception>
    public async Task<AppendResult> SetRetentionAsync(
        RetentionScope scope, RetentionRule rule, ChangeOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(rule);
        RetentionChecks.Check(scope, Volatile.Read(ref _limits));
        RetentionChecks.Check(rule);
        return await SetAsync(scope, rule, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Takes a rule back, with its legal hold. What was due stays hidden. Recorded as an event of the stream <c>$streams</c>.
    /// Retried as an append is.
    /// </summary>
    /// <param name="scope">Whose rule.</param>
    /// <param name="options">Operation id; null: a new one.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the change.</param>
    /// <returns>Where it was recorded.</returns>
    /// <exception cref="VaultException">
    /// The scope is not valid, or it failed; with <see cref="VaultErrorCode.OutcomeUnknown"/> it may have been done.
    /// </exception>
    public async Task<AppendResult> RemoveRetentionAsync(RetentionScope scope, ChangeOptions? options = null, CancellationToken cancellationToken = default)
    {
        RetentionChecks.Check(scope, Volatile.Read(ref _limits));
        return await SetAsync(scope, rule: null, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The retention of a stream and where it comes from, or the rule that was set for a category.</summary>
    /// <param name="scope">Which stream or category; it need not exist.</param>
    /// <param name="consistency">What the answer must have seen.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="VaultException">The scope is not valid, or the call failed.</exception>
    public async Task<AppliedRetention> GetRetentionAsync(RetentionScope scope, Consistency consistency = default, CancellationToken cancellationToken = default)
    {
        RetentionChecks.Check(scope, Volatile.Read(ref _limits));
        var request = new Protocol.GetRetentionRequest { Scope = scope.ToMessage(), Consistency = consistency.ToMessage(_seen) };
        return AppliedRetention.Of(await CallAsync(VaultMethods.GetRetention, request, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>
    /// All retention rules, asked for a page at a time: those of categories first, then those of streams, each in the order of
    /// their names (bytes of UTF-8). Rules set or removed meanwhile may or may not be among them.
    /// </summary>
    /// <param name="pageSize">Rules to a page, 1 to 1,000.</param>
    /// <param name="consistency">What the listing must have seen.</param>
    /// <param name="cancellationToken">Ends the listing.</param>
    /// <exception cref="VaultException">A call failed.</exception>
    public IAsyncEnumerable<RetentionEntry> ListRetentionAsync(
        int pageSize = 1000, Consistency consistency = default, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(pageSize, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(pageSize, 1000);
        return ListRulesAsync(pageSize, consistency, cancellationToken);
    }

    /// <summary>The last version of a stream, and where and when it was written.</summary>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="StreamNotFoundException">The stream has no events.</exception>
    /// <exception cref="VaultException">The call failed.</exception>
    public Task<StreamInfo> GetStreamAsync(string stream, CancellationToken cancellationToken = default) =>
        GetStreamAsync(stream, consistency: default, cancellationToken);

    /// <summary>The last version of a stream, and where and when it was written.</summary>
    /// <param name="stream">Name of the stream.</param>
    /// <param name="consistency">What the answer must have seen.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="StreamNotFoundException">The stream has no events.</exception>
    /// <exception cref="VaultException">The call failed.</exception>
    public async Task<StreamInfo> GetStreamAsync(string stream, Consistency consistency, CancellationToken cancellationToken = default)
    {
        CheckStream(stream);
        var request = new Protocol.GetStreamRequest { Stream = stream, Consistency = consistency.ToMessage(_seen) };
        Protocol.StreamInfo info = await CallAsync(VaultMethods.GetStream, request, cancellationToken).ConfigureAwait(false);
        _seen.Observe(info.LastPosition);
        return StreamInfo.From(info);
    }

    /// <summary>
    /// Streams in the order of their names (bytes of UTF-8), asked for a page at a time. Streams made or changed
    /// meanwhile may or may not be among them.
    /// </summary>
    /// <param name="options">Which streams.</param>
    /// <param name="cancellationToken">Ends the listing.</param>
    /// <exception cref="VaultException">A call failed.</exception>
    public IAsyncEnumerable<StreamInfo> ListStreamsAsync(ListStreamsOptions options, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(options.Prefix, nameof(options));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.PageSize, 1, nameof(options));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.PageSize, 1000, nameof(options));
        if (options.Category is not null && options.Prefix.Length > 0)
        {
            throw new ArgumentException("Streams are listed either by prefix or by category, not both.", nameof(options));
        }

        QueryChecks.CheckCategory(options.Category, "category", Volatile.Read(ref _limits));
        return ListAsync(options, cancellationToken);
    }

    /// <summary>
    /// Streams in the order of their names. See <see cref="ListStreamsAsync(ListStreamsOptions, CancellationToken)"/>.
    /// </summary>
    /// <param name="prefix">How the names begin; empty: all but the vault's own, whose prefix is <c>$</c>.</param>
    /// <param name="pageSize">Streams to a page, 1 to 1,000.</param>
    /// <param name="cancellationToken">Ends the listing.</param>
    /// <exception cref="VaultException">A call failed.</exception>
    public IAsyncEnumerable<StreamInfo> ListStreamsAsync(string prefix = "", int pageSize = 1000, CancellationToken cancellationToken = default) =>
        ListStreamsAsync(new ListStreamsOptions { Prefix = prefix, PageSize = pageSize }, cancellationToken);

    /// <summary>What the node is: version, identity, limits, head.</summary>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="VaultException">The call failed.</exception>
    public async Task<VaultInfo> GetInfoAsync(CancellationToken cancellationToken = default)
    {
        Protocol.GetInfoResponse info = await CallAsync(VaultMethods.GetInfo, new Protocol.GetInfoRequest(), cancellationToken).ConfigureAwait(false);
        _nodes.Know(info.VaultId);
        return new VaultInfo(
            info.Version,
            info.VaultId.Length == 16 ? new Guid(info.VaultId.Span, bigEndian: true) : Guid.Empty,
            Remember(info),
            info.HasHead ? info.Head : null,
            VaultTime.FromTicksOrNone(info.HeadRecordedAt),
            info.SegmentSizeBytes)
        {
            OperationFloor = info.HasOperationFloor ? info.OperationFloor : null,
        };
    }

    /// <summary>How the node is doing right now.</summary>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="VaultException">The call failed.</exception>
    public async Task<VaultStatus> GetStatusAsync(CancellationToken cancellationToken = default) =>
        VaultStatus.From(await CallAsync(VaultMethods.GetStatus, new Protocol.GetStatusRequest(), cancellationToken).ConfigureAwait(false));

    /// <summary>
    /// Starts a scavenge: sealed segments are written anew without the events that can't be read any more, in the background, so
    /// that their disk space returns. What can be read stays as it is, positions and versions too. Recorded as an event of the
    /// stream <c>$streams</c>; goes on by itself after a restart. One that runs is replaced: what it did is kept. Retried as an
    /// append is.
    /// </summary>
    /// <param name="operationId">Names the start: a repeat starts nothing anew. Null: the client makes one.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the start.</param>
    /// <returns>How it is doing: it has only begun.</returns>
    /// <exception cref="VaultException">It failed; with <see cref="VaultErrorCode.OutcomeUnknown"/> it may have been started.</exception>
    public Task<ScavengeStatus> StartScavengeAsync(Guid? operationId = null, CancellationToken cancellationToken = default)
    {
        Guid id = operationId ?? EventId.New();
        return ScavengeAsync(VaultMethods.StartScavenge, new Protocol.StartScavengeRequest { OperationId = VaultChanges.WireId(id) }, id, cancellationToken);
    }

    /// <summary>
    /// Ends the scavenge that runs, for good; what it has done stays. From then on none starts by itself until one was started by
    /// hand, also if none runs. Does nothing in a vault in which none was ever started. Recorded as an event of the stream
    /// <c>$streams</c>. Retried as an append is.
    /// </summary>
    /// <param name="operationId">Names the stop: a repeat does nothing. Null: the client makes one.</param>
    /// <param name="cancellationToken">Cancels the waiting, not the stop.</param>
    /// <returns>How far it has come.</returns>
    /// <exception cref="VaultException">It failed; with <see cref="VaultErrorCode.OutcomeUnknown"/> it may have been stopped.</exception>
    public Task<ScavengeStatus> StopScavengeAsync(Guid? operationId = null, CancellationToken cancellationToken = default)
    {
        Guid id = operationId ?? EventId.New();
        return ScavengeAsync(VaultMethods.StopScavenge, new Protocol.StopScavengeRequest { OperationId = VaultChanges.WireId(id) }, id, cancellationToken);
    }

    /// <summary>How the scavenge that was started last is doing on this node.</summary>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="VaultException">The call failed.</exception>
    public async Task<ScavengeStatus> GetScavengeAsync(CancellationToken cancellationToken = default) => ScavengeStatus.From(
        await CallAsync(VaultMethods.GetScavenge, new Protocol.GetScavengeRequest(), cancellationToken).ConfigureAwait(false));

    /// <summary>
    /// What a scavenge that started now would do, segment by segment in the order of the log, and what keeps the rest. Changes
    /// nothing. Asked for in pages.
    /// </summary>
    /// <param name="fromSegment">The first segment.</param>
    /// <param name="pageSize">Segments to a page, 1 to 1,000. The node looks into each of them, which takes it a while.</param>
    /// <param name="cancellationToken">Ends the listing.</param>
    /// <exception cref="VaultException">A call failed.</exception>
    public IAsyncEnumerable<SegmentScavenge> ExplainScavengeAsync(uint fromSegment = 0, int pageSize = 100, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(pageSize, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(pageSize, 1000);
        return ExplainAsync(fromSegment, pageSize, cancellationToken);
    }

    /// <summary>
    /// Closes the client. Takes no new appends, waits for those in flight for at most
    /// <see cref="VaultClientOptions.CloseTimeout"/> and fails the rest; ends reads, subscriptions and all other calls
    /// (<see cref="VaultErrorCode.Closed"/>; <see cref="VaultErrorCode.OutcomeUnknown"/> for a change that may have been done). Whoever
    /// calls it again waits for the same end.
    /// </summary>
    public ValueTask DisposeAsync()
    {
        lock (_disposing)
        {
            // Elsewhere: callers' code may run when appends end, which must not happen under a lock.
            _disposal ??= Task.Run(CloseAsync);
            return new ValueTask(_disposal);
        }
    }

    private async Task CloseAsync()
    {
        await _appends.DisposeAsync().ConfigureAwait(false);
        await _closed.CancelAsync().ConfigureAwait(false);
        await _nodes.DisposeAsync().ConfigureAwait(false);
        _closed.Dispose();
    }

    private Task LookUpLimitsAsync() =>
        ReferenceEquals(Volatile.Read(ref _limits), VaultLimits.Defaults) ? GetInfoAsync(_closedToken) : Task.CompletedTask;

    /// <summary>
    /// The first call over a session's connection: it proves the connection, so that appends are not sent into the
    /// blue, and brings the node's limits.
    /// </summary>
    private async Task GreetAsync(VaultNode node, RpcChannel channel, CancellationToken cancellation)
    {
        var options = new RpcCallOptions(_options.CallTimeout);
        Protocol.GetInfoResponse info = await channel.UnaryAsync(VaultMethods.GetInfo, new Protocol.GetInfoRequest(), options, cancellation).ConfigureAwait(false);
        _nodes.CheckVault(node, info.VaultId);
        Remember(info);
    }

    private VaultLimit[] Remember(Protocol.GetInfoResponse info)
    {
        _seen.Observe(info.HasHead ? info.Head : null);
        VaultLimit[] limits = [.. info.Limits.Select(static l => new VaultLimit(l.Name, l.Allowed, l.Setting))];
        Volatile.Write(ref _limits, VaultLimits.From(limits));
        return limits;
    }

    private Subscription Subscribe(string? stream, SubscribeOptions? options, CancellationToken cancellation)
    {
        options ??= new SubscribeOptions();
        if (options.FromEnd && options.From is not null)
        {
            throw new ArgumentException("A subscription begins either at From or at the end, not both.", nameof(options));
        }

        return new Subscription(Reader(VaultMethods.Subscribe, new SubscriptionPlan(stream, options, _seen), cancellation));
    }

    private ResumingRead<TRequest> Reader<TRequest>(
        RpcMethod<TRequest, Protocol.ReadResponse> method, ReadPlan<TRequest> plan, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
    {
        ThrowIfDisposed();
        return new ResumingRead<TRequest>(_nodes, method, plan, _options, _seen, cancellation, _closedToken);
    }

    private Task<TResponse> CallAsync<TRequest, TResponse>(
        RpcMethod<TRequest, TResponse> method, TRequest request, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ThrowIfDisposed();
        return _calls.ReadAsync(method, request, cancellation);
    }

    private async IAsyncEnumerable<StreamInfo> ListAsync(ListStreamsOptions options, [EnumeratorCancellation] CancellationToken cancellation)
    {
        var request = new Protocol.ListStreamsRequest
        {
            Prefix = options.Prefix,
            Category = options.Category ?? "",
            PageSize = (uint)options.PageSize,
        };
        do
        {
            request.Consistency = options.Consistency.ToMessage(_seen);
            Protocol.ListStreamsResponse page = await CallAsync(VaultMethods.ListStreams, request, cancellation).ConfigureAwait(false);
            foreach (Protocol.StreamInfo stream in page.Streams)
            {
                _seen.Observe(stream.LastPosition);
                yield return StreamInfo.From(stream);
            }

            request.PageToken = page.NextPageToken;
        }
        while (request.PageToken.Length > 0);
    }

    private async Task<AppendResult> ChangeAsync<TRequest>(
        RpcMethod<TRequest, Protocol.AppendResponse> method,
        TRequest request,
        ChangeOptions? options,
        Action<TRequest, ByteString> setOperationId,
        Action<TRequest, Protocol.SeenHead> setAttemptedAfter,
        CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
    {
        ThrowIfDisposed();
        return Result(await _changes.RunAsync(method, request, options, setOperationId, setAttemptedAfter, cancellation).ConfigureAwait(false));
    }

    private Task<AppendResult> SetAsync(RetentionScope scope, RetentionRule? rule, ChangeOptions? options, CancellationToken cancellation) => ChangeAsync(
        VaultMethods.SetRetention,
        new Protocol.SetRetentionRequest { Scope = scope.ToMessage(), Rule = rule?.ToMessage() },
        options,
        static (r, id) => r.OperationId = id,
        static (r, seen) => r.AttemptedAfter = seen,
        cancellation);

    private async IAsyncEnumerable<RetentionEntry> ListRulesAsync(
        int pageSize, Consistency consistency, [EnumeratorCancellation] CancellationToken cancellation)
    {
        var request = new Protocol.ListRetentionRequest { PageSize = (uint)pageSize };
        do
        {
            request.Consistency = consistency.ToMessage(_seen);
            Protocol.ListRetentionResponse page = await CallAsync(VaultMethods.ListRetention, request, cancellation).ConfigureAwait(false);
            foreach (Protocol.RetentionEntry entry in page.Entries)
            {
                _seen.Observe(entry.SetAt);
                yield return RetentionEntry.From(entry);
            }

            request.PageToken = page.NextPageToken;
        }
        while (request.PageToken.Length > 0);
    }

    private async Task<ScavengeStatus> ScavengeAsync<TRequest>(
        RpcMethod<TRequest, Protocol.ScavengeStatus> method, TRequest request, Guid operationId, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
    {
        ThrowIfDisposed();

        // A start that was forgotten after 16 M other appends and is then started again does no harm: a retry says no more.
        return ScavengeStatus.From(await _calls.ChangeAsync(
            method,
            request,
            static _ => { },
            last => VaultErrors.ChangeUnknown(operationId, attemptedAfter: null, last),
            cancellation).ConfigureAwait(false));
    }

    private async IAsyncEnumerable<SegmentScavenge> ExplainAsync(uint from, int pageSize, [EnumeratorCancellation] CancellationToken cancellation)
    {
        uint? next = from;
        while (next is { } segment)
        {
            var request = new Protocol.ExplainScavengeRequest { FromSegment = segment, PageSize = (uint)pageSize };
            Protocol.ExplainScavengeResponse page = await CallAsync(VaultMethods.ExplainScavenge, request, cancellation).ConfigureAwait(false);
            foreach (Protocol.SegmentScavenge explained in page.Segments)
            {
                yield return SegmentScavenge.From(explained);
            }

            if (page.HasNextSegment && page.NextSegment <= segment)
            {
                throw VaultErrors.ProtocolViolation("a page of segments is followed by one that lies before it");
            }

            next = page.HasNextSegment ? page.NextSegment : null;
        }
    }

    private AppendResult Result(Protocol.AppendResponse answer)
    {
        _seen.Observe(answer.LastPosition);
        StreamVersion[] streams = [.. answer.Streams.Select(static s => new StreamVersion(s.Stream, s.Version))];
        return streams.Length == 0
            ? throw VaultErrors.ProtocolViolation("an append was answered without its streams")
            : new AppendResult(streams[0].Stream, streams[0].Version, streams)
            {
                FirstPosition = answer.FirstPosition,
                LastPosition = answer.LastPosition,
                RecordedAt = VaultTime.FromTicks(answer.RecordedAt),
                Deduplicated = answer.Deduplicated,
            };
    }

    private void CheckChange(string stream, ExpectedVersion expected)
    {
        CheckStream(stream);
        if (stream[0] == '$')
        {
            throw VaultErrors.ReservedName("stream", stream);
        }

        if (expected.Kind == ExpectedVersionKind.Unspecified)
        {
            throw VaultErrors.InvalidRequest("expected", "is not set; use ExpectedVersion.Any, NoStream, Exists or Exact");
        }
    }

    private void CheckFilter(EventFilter? filter)
    {
        if (filter is not null)
        {
            QueryChecks.Check(filter, Volatile.Read(ref _limits));
        }
    }

    private static ArgumentException OnlyForAll(string parameter) =>
        new("A filter goes with reads of and subscriptions to all streams; a single stream is read whole.", parameter);

    private void CheckStream(string stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        VaultNames.CheckStream(stream, index: -1, Volatile.Read(ref _limits));
    }

    private void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposal) is not null, this);
}
