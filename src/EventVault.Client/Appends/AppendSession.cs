using System.Diagnostics;
using EventVault.Rpc;

namespace EventVault.Client;

using SessionCall = RpcCall<Protocol.AppendSessionRequest, Protocol.AppendSessionResponse>;

/// <summary>
/// One <c>AppendSession</c> call after another, as long as there is something to append, each to the node that leads as far as is known. One loop
/// opens the call, waits for its end and decides what becomes of the unanswered; while a call is open, a writer sends all that is
/// queued in one write and one flush, and a reader matches the answers.
/// </summary>
/// <remarks>
/// What it guarantees: appends reach the node in the order of their calls; an append whose answer was lost is sent
/// again with the same operation id and bytes, before anything newer; a caller is told "not written" only if every
/// attempt was definitely refused or never sent.
/// </remarks>
internal sealed class AppendSession : IAsyncDisposable
{
    // Enough to fill a flush; the flush before it has to be waited for anyway.
    private const int MaxAppendsPerFlush = 512;
    private const int MaxBytesPerFlush = 1 << 20;

    // Time-outs are checked this often, and so are late by at most this much.
    private const int TickMs = 50;

    private static readonly TimeSpan EndOfCallTimeout = TimeSpan.FromSeconds(2);

    private readonly NodeRoster _nodes;
    private readonly int _number;
    private readonly VaultClientOptions _options;
    private readonly Func<VaultNode, RpcChannel, CancellationToken, Task> _greet;
    private readonly SeenPosition _seen;
    private readonly AppendQueue _queue;
    private readonly Backoff _backoff;
    private readonly CredentialRefusals _refusals;
    private readonly LeaderlessRefusal _leaderless;
    private readonly Queue<AnswerCompletion> _completions = new();
    private readonly CancellationTokenSource _stopping = new();
    private readonly Lock _startLock = new();
    private readonly Timer _timer;
    private Task? _loop;
    private int _ticking;
    private volatile bool _callEnded;
    private volatile VaultException? _lastFailure;
    private volatile CallWatch? _watch;

    /// <summary>Makes the session; it connects when there is something to append.</summary>
    /// <param name="nodes">The nodes.</param>
    /// <param name="number">Which session of the client it is.</param>
    /// <param name="options">The client's settings.</param>
    /// <param name="seen">What the client has seen.</param>
    /// <param name="greet">The first call over a connection.</param>
    public AppendSession(
        NodeRoster nodes, int number, VaultClientOptions options, SeenPosition seen, Func<VaultNode, RpcChannel, CancellationToken, Task> greet)
    {
        _greet = greet;
        _seen = seen;
        (_nodes, _number) = (nodes, number);
        _refusals = new CredentialRefusals(nodes);
        _leaderless = new LeaderlessRefusal(nodes);
        _options = options;
        _queue = new AppendQueue(options.MaxInFlightAppends, options.MaxInFlightBytes);
        _backoff = new Backoff(options.Retry, Timeout.InfiniteTimeSpan);
        _timer = new Timer(static state => ((AppendSession)state!).Tick(), this, Timeout.Infinite, Timeout.Infinite);
    }

    public Task<AppendResult> Append(PendingAppend append)
    {
        if (_queue.HasRoomFor(append.Size))
        {
            append.Encode();
        }

        if (!_queue.TryAdd(append))
        {
            append.Release();
            throw new ObjectDisposedException(nameof(VaultClient));
        }

        if (_loop is null)
        {
            Start();
        }

        if (Volatile.Read(ref _ticking) == 0)
        {
            StartTicking();
        }

        return append.Task;
    }

    /// <summary>Waits for what is in flight, for at most the close time-out, and fails the rest.</summary>
    public async ValueTask DisposeAsync() => await CloseAsync(_options.CloseTimeout).ConfigureAwait(false);

    /// <summary>As <see cref="DisposeAsync"/>.</summary>
    /// <param name="closeTimeout">How long to wait for appends in flight.</param>
    public async Task CloseAsync(TimeSpan closeTimeout)
    {
        Task emptied = _queue.CloseAsync();
        try
        {
            await emptied.WaitAsync(closeTimeout).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // What is left is failed below, once nothing is sent any more.
        }

        await _stopping.CancelAsync().ConfigureAwait(false);
        _queue.Work.Set();
        if (_loop is { } loop)
        {
            await loop.ConfigureAwait(false);
        }

        await _timer.DisposeAsync().ConfigureAwait(false);
        _queue.Rewind(refusedFrom: null, giveUpAt: 0);
        FailExpired(long.MaxValue, AppendFailures.Closed);

        // Without the timer this is the last chance to overtake a caller that blocks.
        AnswerCompletion.Rescue(_completions);
        AnswerCompletion.Rescue(_completions);
        _stopping.Dispose();
    }

    private void Start()
    {
        lock (_startLock)
        {
            _loop ??= Task.Run(RunAsync);
        }
    }

    private async Task RunAsync()
    {
        Activity.Current = null; // The session is not part of the trace in which it happened to begin.
        while (!_stopping.IsCancellationRequested)
        {
            if (_queue.Undecided == 0)
            {
                _leaderless.Clear();
                await _queue.Work.WaitAsync().ConfigureAwait(false);
                continue;
            }

            VaultNode node = _refusals.InPlaceOf(_nodes.Leader);
            CallEnd end;
            try
            {
                end = await RunCallAsync(node).ConfigureAwait(false);
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                // The loop's boundary: were it to die, every later append would only time out, and nobody knew why.
                end = new CallEnd(new VaultException(VaultErrorCode.Unknown, $"The append session failed unexpectedly: {e.Message}", inner: e), null, null);
            }

            if (_stopping.IsCancellationRequested)
            {
                return;
            }

            await RecoverAsync(node, end).ConfigureAwait(false);
        }
    }

    private async Task<CallEnd> RunCallAsync(VaultNode node)
    {
        _callEnded = false;
        RpcChannel channel = node.AppendsOf(_number);
        using var watch = new CallWatch(_nodes, node, _stopping.Token);
        _watch = watch;
        if (await GreetAsync(watch, channel).ConfigureAwait(false) is { } unreached)
        {
            return unreached;
        }

        SessionCall call = channel.Start(VaultMethods.AppendSession, default, watch.Stop);
        await using (call.ConfigureAwait(false))
        {
            Task<CallEnd> reader = ReadAsync(call, watch);
            Task writer = Task.Run(() => WriteAsync(call));
            try
            {
                if (await Task.WhenAny(reader, writer).ConfigureAwait(false) == writer)
                {
                    // The call no longer takes requests; why, the reader is told. If not, the connection is beyond use.
                    await Task.WhenAny(reader, Task.Delay(EndOfCallTimeout, CancellationToken.None)).ConfigureAwait(false);
                    call.Cancel();
                }

                return await reader.ConfigureAwait(false);
            }
            finally
            {
                // The writer may be waiting for work, or for the peer to take more.
                _callEnded = true;
                _watch = null;
                _queue.Work.Set();
                call.Cancel();
                await writer.ConfigureAwait(false);
            }
        }
    }

    // An append is marked as sent when it is given to the call. Without this one of them, given to a connection that
    // never comes about, would be of unknown outcome.
    private async Task<CallEnd?> GreetAsync(CallWatch watch, RpcChannel channel)
    {
        _lastFailure ??= new VaultException(VaultErrorCode.Unreachable, "There was no connection to the node yet.");
        try
        {
            watch.Asked();
            await _greet(watch.Node, channel, watch.Stop).ConfigureAwait(false);
            watch.Heard();
            _lastFailure = null;
            return null;
        }
        catch (RpcException e)
        {
            return new CallEnd(VaultErrors.From(e), null, null) { WasOpen = false };
        }
        catch (VaultException e)
        {
            return new CallEnd(e, null, null) { WasOpen = false };
        }
        catch (OperationCanceledException e) when (!_stopping.IsCancellationRequested)
        {
            return new CallEnd(VaultErrors.From(WatchedCalls.Lost(watch.Node, e)), null, null) { WasOpen = false };
        }
        catch (OperationCanceledException e)
        {
            return new CallEnd(new VaultException(VaultErrorCode.Closed, "The client was disposed.", inner: e), null, null) { WasOpen = false };
        }
    }

    private async Task WriteAsync(SessionCall call)
    {
        var appends = new PendingAppend[MaxAppendsPerFlush];
        try
        {
            while (!_callEnded)
            {
                int count = _queue.TakeUnsent(appends, MaxBytesPerFlush);
                if (count == 0)
                {
                    await _queue.Work.WaitAsync().ConfigureAwait(false);
                    continue;
                }

                Write(call, appends.AsSpan(0, count));
                await call.FlushAsync().ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is RpcException or OperationCanceledException)
        {
            // The reader gets the call's real end.
        }
    }

    private void Write(SessionCall call, Span<PendingAppend> appends)
    {
        long now = Environment.TickCount64;
        SeenHead? seen = _seen.Head;
        foreach (PendingAppend append in appends)
        {
            if (append.IsEncoded || TryEncode(append))
            {
                call.WriteRaw(append.Frame(now, seen));
            }
        }

        _queue.MarkWritten();
        appends.Clear();
    }

    private bool TryEncode(PendingAppend append)
    {
        try
        {
            append.Encode();
            return true;
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // The caller's lists changed since they were measured. That is this append's fault alone.
            if (_queue.TryWithdraw(append))
            {
                append.Failure = new VaultException(VaultErrorCode.InvalidRequest, "The append was not sent: " + e.Message, inner: e);
                new AnswerCompletion([append]).Start(_completions);
            }

            return false;
        }
    }

    private async Task<CallEnd> ReadAsync(SessionCall call, CallWatch watch)
    {
        try
        {
            while (await call.MoveNextRawAsync().ConfigureAwait(false))
            {
                CallEnd? end = ReadAnswers(watch.Node, call.RawMessage.Span);
                watch.Heard();
                if (end is not null)
                {
                    return end;
                }
            }

            return new CallEnd(new VaultException(VaultErrorCode.Unreachable, "The node ended the append session."), null, null);
        }
        catch (RpcException e)
        {
            // What was certainly never processed may be sent again as if it had never been sent.
            // Not so a session whose credentials ended while it was open: what it had taken may be done.
            VaultException error = VaultErrors.From(e);
            bool wasRefused = e.Code is RpcCode.Unimplemented or RpcCode.Unauthenticated or RpcCode.PermissionDenied && error.Code != VaultErrorCode.CredentialsEnded;
            return new CallEnd(error, e.NotProcessed || wasRefused ? 0 : null, null);
        }
        catch (VaultException e)
        {
            return new CallEnd(e, null, null);
        }
        catch (OperationCanceledException e)
        {
            return new CallEnd(VaultErrors.From(WatchedCalls.Lost(watch.Node, e)), null, null);
        }
    }

    private CallEnd? ReadAnswers(VaultNode node, ReadOnlySpan<byte> message)
    {
        var done = new List<PendingAppend>();
        bool leads = false; // It has done, or decided, what only a leader does.
        try
        {
            var reader = new WireReader(message);
            while (reader.Next())
            {
                if (reader.Field != 1)
                {
                    reader.Skip();
                    continue;
                }

                Answer answer = AnswerReader.Read(reader.BytesField());
                if (answer.HasError)
                {
                    (VaultException failure, bool endsSession) = AnswerReader.ReadError(answer.Error);
                    if (endsSession)
                    {
                        return new CallEnd(failure, answer.RequestId, answer.RequestId);
                    }

                    if (_refusals.AskElsewhere(node, failure))
                    {
                        // What stands behind it may have been done.
                        return new CallEnd(failure, null, answer.RequestId) { IsOthersTurn = true };
                    }

                    leads |= failure.Code != VaultErrorCode.NotAllowed;
                    Take(answer.RequestId, failure, default, done);
                }
                else
                {
                    leads = true;
                    Take(answer.RequestId, null, answer.Result, done);
                }
            }
        }
        finally
        {
            // Also when a later answer is malformed: those before it stand.
            if (leads)
            {
                _nodes.Led(node);
                _refusals.Clear();
            }

            Complete(done);
        }

        return null;
    }

    private void Take(ulong requestId, VaultException? failure, ReadOnlySpan<byte> result, List<PendingAppend> done)
    {
        PendingAppend? append = _queue.Answered(requestId, out bool wasWaiting);
        if (append is null || !wasWaiting)
        {
            return;
        }

        append.Failure = failure is not null && append.MayBeWritten && !VaultErrors.HoldsForEarlierAttempts(failure)
            ? AppendFailures.OutcomeUnknown(append, "an earlier attempt had no answer, and the refusal of this one tells nothing of it", failure)
            : failure;
        done.Add(append);
        try
        {
            append.Result = failure is null ? AnswerReader.ReadResult(result, append.Streams) : null;
        }
        catch (VaultException e)
        {
            // It has left the queue, so it must be told here: it was done, but nobody can say how.
            append.Failure = AppendFailures.OutcomeUnknown(append, "its answer is malformed", e);
            throw;
        }
    }

    private void Complete(List<PendingAppend> done)
    {
        if (done.Count == 0)
        {
            return;
        }

        // Before the callers go on: their next read must see what they wrote. The last answer may be that of an old append.
        ulong? highest = null;
        foreach (PendingAppend append in done)
        {
            if (append.Result is { } result && result.LastPosition >= (highest ?? 0))
            {
                highest = result.LastPosition;
            }
            else if (append.Failure is AppendConflictException { FailedConditions: { Count: > 0 } failed })
            {
                // The next read, from which the decision is made again, must find what stood in the way.
                highest = Math.Max(highest ?? 0, failed.Max(static f => f.Position));
            }
        }

        if (highest is not null)
        {
            _seen.Observe(highest);
        }

        _backoff.Progressed();
        _lastFailure = null;
        _leaderless.Clear();
        new AnswerCompletion(done).Start(_completions);
    }

    /// <summary>Decides what becomes of the unanswered: some fail at once, the rest is sent again after a wait.</summary>
    private async Task RecoverAsync(VaultNode node, CallEnd end)
    {
        bool isOthersTurn = end.IsOthersTurn || _refusals.AskElsewhere(node, end.Failure);
        bool elsewhere = _nodes.Failed(node, end.Failure) || isOthersTurn;
        bool wasIdle = _queue.Undecided == 0;
        VaultErrorCode code = end.Failure.Code;
        ulong? refusedFrom = code == VaultErrorCode.OutcomeUnknown ? null : end.RefusedFrom;
        List<PendingAppend> concerned = _queue.Undecideds(sentOnly: end.WasOpen);
        long giveUpAt = _options.Retry.GiveUpAfter == Timeout.InfiniteTimeSpan
            ? long.MaxValue
            : Environment.TickCount64 + (long)_options.Retry.GiveUpAfter.TotalMilliseconds;
        _lastFailure = wasIdle ? null : end.Failure;
        _leaderless.Failed(end.Failure);
        _queue.Rewind(refusedFrom, giveUpAt, refused: end.IsOthersTurn ? end.RequestId : null);
        if (code is VaultErrorCode.TimedOutInQueue or VaultErrorCode.TimedOut && end.RequestId is { } late)
        {
            // Its own time is over; those behind it were refused only for the sake of the order.
            Fail(concerned.FindAll(a => a.RequestId == late), end.Failure);
            Tick();
            return;
        }

        if (!_nodes.MayPass(end.Failure) && !isOthersTurn)
        {
            _refusals.Clear();
            Fail(concerned, end.Failure);
        }

        Tick();
        if (!wasIdle && _backoff.Next(end.Failure.RetryAfter, _nodes.Count, elsewhere) is { } wait)
        {
            await Task.Delay(wait, _stopping.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private void Fail(List<PendingAppend> appends, VaultException failure)
    {
        var done = new List<PendingAppend>();
        foreach (PendingAppend append in appends)
        {
            if (_queue.TryDecide(append))
            {
                append.Failure = AppendFailures.SessionEnded(append, failure);
                done.Add(append);
            }
        }

        if (done.Count > 0)
        {
            new AnswerCompletion(done).Start(_completions);
        }
    }

    private void StartTicking()
    {
        if (Interlocked.Exchange(ref _ticking, 1) == 0)
        {
            try
            {
                _timer.Change(TickMs, Timeout.Infinite);
            }
            catch (ObjectDisposedException)
            {
                // The client was disposed meanwhile and fails what is left by itself.
            }
        }
    }

    private void Tick()
    {
        VaultException? last = _lastFailure;
        FailExpired(Environment.TickCount64, append => AppendFailures.GivenUp(append, last, _leaderless.InPlaceOf(last)));
        _watch?.Tick(_queue.HasUnanswered);
        bool watching = AnswerCompletion.Rescue(_completions);
        Volatile.Write(ref _ticking, 0);
        if (watching || _queue.Undecided > 0)
        {
            StartTicking();
        }
    }

    private void FailExpired(long now, Func<PendingAppend, VaultException> failure)
    {
        var expired = new List<PendingAppend>();
        _queue.TakeExpired(now, expired);
        if (expired.Count == 0)
        {
            return;
        }

        foreach (PendingAppend append in expired)
        {
            append.Failure = failure(append);
        }

        new AnswerCompletion(expired).Start(_completions);
    }

    /// <summary>How a call ended.</summary>
    /// <param name="Failure">What it ended with.</param>
    /// <param name="RefusedFrom">This request and all after it were definitely not done; null: unknown.</param>
    /// <param name="RequestId">The request whose refusal ended the call, if one did.</param>
    private sealed record CallEnd(VaultException Failure, ulong? RefusedFrom, ulong? RequestId)
    {
        /// <summary>False: the node could not even be greeted, which concerns all appends alike.</summary>
        public bool WasOpen { get; init; } = true;

        /// <summary>The node refused what another one may take: see <see cref="CredentialRefusals"/>.</summary>
        public bool IsOthersTurn { get; init; }
    }
}
