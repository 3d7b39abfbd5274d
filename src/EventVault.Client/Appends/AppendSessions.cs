namespace EventVault.Client;

/// <summary>
/// Where appends go: each to the session of its first stream's name, once it was measured. One that is over the default limits waits until the
/// node's own are known, and whatever comes meanwhile waits behind it: so the order of the calls stays. Thread-safe.
/// </summary>
/// <param name="sessions">The sessions, at least one; disposed with this.</param>
/// <param name="limits">The limits as far as they are known.</param>
/// <param name="lookUpLimits">Learns the node's, unless they are known.</param>
/// <param name="closeTimeout">How long disposing waits for what is under way.</param>
internal sealed class AppendSessions(AppendSession[] sessions, Func<VaultLimits> limits, Func<Task> lookUpLimits, TimeSpan closeTimeout) : IAsyncDisposable
{
    private readonly Lock _lock = new();

    // Null: no look-up is under way, and appends go to their session at once.
    private List<WaitingAppend>? _waiting;
    private Task _lookUp = Task.CompletedTask; // The newest one; never fails.

    /// <summary>Appends as <see cref="VaultClient.AppendAsync(IReadOnlyList{StreamAppend}, AppendOptions?, CancellationToken)"/> says.</summary>
    public Task<AppendResult> Append(IReadOnlyList<StreamAppend> streams, AppendOptions? options, TimeSpan timeout, CancellationToken cancellation)
    {
        if (Volatile.Read(ref _waiting) is not null)
        {
            return AppendInTurn(streams, options, timeout, cancellation);
        }

        VaultLimits known = limits();
        int size;
        try
        {
            size = AppendEncoder.Measure(streams, known, options);
        }
        catch (LimitExceededException) when (ReferenceEquals(known, VaultLimits.Defaults))
        {
            // The node may allow more.
            return AppendInTurn(streams, options, timeout, cancellation);
        }
        catch (VaultException e)
        {
            return Task.FromException<AppendResult>(e);
        }

        Task<AppendResult> answer = Send(streams, options, size, timeout);
        return cancellation.CanBeCanceled ? answer.WaitAsync(cancellation) : answer;
    }

    /// <summary>As <see cref="AppendSession.CloseAsync"/>, of all at once. What waits for limits is sent before, within the same time.</summary>
    public async ValueTask DisposeAsync()
    {
        long began = Environment.TickCount64;
        await Volatile.Read(ref _lookUp).WaitAsync(closeTimeout).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        TimeSpan left = closeTimeout - TimeSpan.FromMilliseconds(Environment.TickCount64 - began);
        await Task.WhenAll(sessions.Select(session => session.CloseAsync(left > TimeSpan.Zero ? left : TimeSpan.Zero))).ConfigureAwait(false);
    }

    private Task<AppendResult> Send(IReadOnlyList<StreamAppend> streams, AppendOptions? options, int size, TimeSpan timeout)
    {
        Guid operationId = options?.OperationId ?? streams[0].Events[0].TakeOperationId();
        int session = sessions.Length == 1
            ? 0
            : (int)((uint)string.GetHashCode(streams[0].Stream, StringComparison.Ordinal) % (uint)sessions.Length);
        return sessions[session].Append(new PendingAppend(operationId, streams, size, timeout, options));
    }

    private Task<AppendResult> AppendInTurn(IReadOnlyList<StreamAppend> streams, AppendOptions? options, TimeSpan timeout, CancellationToken cancellation)
    {
        var waiting = new WaitingAppend((left, failure) => SendInTurnAsync(streams, options, left, failure), timeout);
        bool isFirst;
        lock (_lock)
        {
            isFirst = _waiting is null;
            (_waiting ??= []).Add(waiting);
        }

        if (isFirst)
        {
            Volatile.Write(ref _lookUp, LookUpAsync());
        }

        return waiting.ResultAsync(cancellation);
    }

    // Up to its first wait it runs where it is called: what is called first is queued first.
    private async Task<AppendResult> SendInTurnAsync(IReadOnlyList<StreamAppend> streams, AppendOptions? options, TimeSpan timeout, VaultException? failure)
    {
        try
        {
            int size = AppendEncoder.Measure(streams, limits(), options);
            return await Send(streams, options, size, timeout).ConfigureAwait(false);
        }
        catch (LimitExceededException) when (failure is not null)
        {
            throw VaultErrors.Again(
                failure, $"The append is over the default limits, and the node has not told its own; it was definitely not written. {failure.Message}", failure);
        }
        catch (ObjectDisposedException)
        {
            throw AppendFailures.NeverSent();
        }
    }

    // Never fails: whoever waits would wait for ever.
    private async Task LookUpAsync()
    {
        VaultException? failure = null;
        try
        {
            await lookUpLimits().ConfigureAwait(false);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            failure = AppendFailures.NeverSent();
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            failure = e as VaultException ?? new VaultException(VaultErrorCode.Unknown, $"Looking up the limits failed unexpectedly: {e.Message}", inner: e);
        }

        // What comes while these are sent still waits behind them.
        while (TakeWaiting() is { } turn)
        {
            foreach (WaitingAppend append in turn)
            {
                append.Send(failure);
            }
        }
    }

    private List<WaitingAppend>? TakeWaiting()
    {
        lock (_lock)
        {
            List<WaitingAppend>? taken = _waiting is { Count: > 0 } some ? some : null;
            Volatile.Write(ref _waiting, taken is null ? null : []);
            return taken;
        }
    }
}
