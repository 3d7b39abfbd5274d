using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Client;

/// <summary>The calls that are answered once, with their retries, on one node after the other.</summary>
internal sealed class VaultCalls(NodeRoster nodes, VaultClientOptions options, CancellationToken clientClosed)
{
    /// <summary>A call that only reads, and so may be repeated at will.</summary>
    /// <exception cref="VaultException">It failed, and trying again did not help or makes no sense.</exception>
    public Task<TResponse> ReadAsync<TRequest, TResponse>(RpcMethod<TRequest, TResponse> method, TRequest request, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() => ReadInTimeAsync(method, request, options.CallTimeout, cancellation);

    /// <summary>A call that only reads, and for which the node may wait.</summary>
    /// <param name="method">The call.</param>
    /// <param name="request">The request, which says that it waits.</param>
    /// <param name="wait">How long; zero: not at all.</param>
    /// <param name="stopWaiting">Makes it a request that does not.</param>
    /// <param name="cancellation">Cancels the call.</param>
    /// <exception cref="VaultException">It failed, and trying again did not help or makes no sense.</exception>
    public async Task<TResponse> ReadAsync<TRequest, TResponse>(
        RpcMethod<TRequest, TResponse> method, TRequest request, TimeSpan wait, Action<TRequest> stopWaiting, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        if (wait > TimeSpan.Zero)
        {
            try
            {
                // The node stops waiting a tenth of the call's time, and at most 500 ms, before its deadline.
                TimeSpan reserve = TimeSpan.FromTicks(Math.Min(wait.Ticks / 9, TimeSpan.TicksPerSecond / 2));
                return await ReadInTimeAsync(method, request, wait + reserve, cancellation).ConfigureAwait(false);
            }
            catch (VaultException e) when (e.IsTransient)
            {
                // Asked without waiting it is refused by its own reason; or it was reached, and only the answer took longer.
                stopWaiting(request);
            }
        }

        return await ReadInTimeAsync(method, request, options.CallTimeout, cancellation).ConfigureAwait(false);
    }

    private async Task<TResponse> ReadInTimeAsync<TRequest, TResponse>(
        RpcMethod<TRequest, TResponse> method, TRequest request, TimeSpan timeout, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ThrowIfDisposed();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, clientClosed);
        var attempts = new Attempts(nodes, options.Retry, timeout);
        while (true)
        {
            VaultNode node = attempts.Refusals.For(request);
            try
            {
                TResponse answer = await nodes.UnaryAsync(node, method, request, attempts.TimeFor(node), stop.Token).ConfigureAwait(false);
                nodes.Answered(node);
                return answer;
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                cancellation.ThrowIfCancellationRequested();
                throw VaultErrors.Closed();
            }
            catch (RpcException e)
            {
                cancellation.ThrowIfCancellationRequested();
                if (attempts.Next(node, VaultErrors.From(e)) is not { } wait)
                {
                    throw attempts.Telling;
                }

                await WaitAsync(wait, stop.Token, cancellation).ConfigureAwait(false);
            }
        }
    }

    /// <summary>A call that does no harm when it fails, tried once.</summary>
    /// <returns>Null: it failed.</returns>
    public async Task<TResponse?> TryOnceAsync<TRequest, TResponse>(RpcMethod<TRequest, TResponse> method, TRequest request, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, clientClosed);
        try
        {
            return await nodes.UnaryAsync(nodes.Leader, method, request, options.CallTimeout, stop.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is RpcException or VaultException or OperationCanceledException)
        {
            cancellation.ThrowIfCancellationRequested();
            return null;
        }
    }

    /// <summary>
    /// A call that changes the vault under an operation id, and so is written once however often it is sent. As of an append,
    /// "not done" is said only if every attempt was refused or never sent.
    /// </summary>
    /// <param name="method">The call.</param>
    /// <param name="request">The request, with its operation id.</param>
    /// <param name="onRetry">Puts what a retry has to say into the request; called before an attempt behind one that may have been done.</param>
    /// <param name="unknown">Makes the exception for a call of unknown outcome.</param>
    /// <param name="cancellation">Cancels the waiting, not the change.</param>
    /// <param name="onlyFirst">Ask the node that the user named first, and no other; otherwise the leader.</param>
    /// <exception cref="VaultException">It failed; with <see cref="VaultErrorCode.OutcomeUnknown"/> it may have been done.</exception>
    public async Task<TResponse> ChangeAsync<TRequest, TResponse>(
        RpcMethod<TRequest, TResponse> method,
        TRequest request,
        Action<TRequest> onRetry,
        Func<VaultException, VaultException> unknown,
        CancellationToken cancellation,
        bool onlyFirst = false)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ThrowIfDisposed();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, clientClosed);
        var attempts = new Attempts(nodes, options.Retry, options.CallTimeout);
        bool mayBeDone = false;
        while (true)
        {
            VaultNode node = onlyFirst ? nodes.First : attempts.Refusals.InPlaceOf(nodes.Leader);
            try
            {
                TResponse answer = await nodes.UnaryAsync(node, method, request, attempts.TimeFor(node), stop.Token).ConfigureAwait(false);
                nodes.Led(node);
                return answer;
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                cancellation.ThrowIfCancellationRequested();
                throw unknown(VaultErrors.Closed()); // It was under way.
            }
            catch (VaultException e) when (mayBeDone)
            {
                throw unknown(e); // Another vault stands there now: this attempt was not sent, an earlier one may have been done where it went.
            }
            catch (RpcException e)
            {
                cancellation.ThrowIfCancellationRequested();
                VaultException failure = VaultErrors.From(e);

                mayBeDone |= !e.NotProcessed && LeavesOpen(failure.Code);
                if (!e.NotProcessed && Settles(failure, mayBeDone))
                {
                    throw failure;
                }

                if (attempts.Next(node, failure) is not { } wait)
                {
                    throw mayBeDone ? unknown(attempts.Last) : attempts.Telling;
                }

                try
                {
                    await WaitAsync(wait, stop.Token, cancellation).ConfigureAwait(false);
                }
                catch (VaultException closed) when (mayBeDone)
                {
                    throw unknown(closed);
                }

                if (mayBeDone)
                {
                    onRetry(request);
                }
            }
        }
    }

    private static async Task WaitAsync(TimeSpan wait, CancellationToken stop, CancellationToken cancellation)
    {
        try
        {
            await Task.Delay(wait, stop).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            cancellation.ThrowIfCancellationRequested();
            throw VaultErrors.Closed();
        }
    }

    private void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(clientClosed.IsCancellationRequested, typeof(VaultClient));

    // A refusal that no other attempt changes. Behind one that may have been done, it must tell of that, too. (Of the nodes' changes, which have
    // no operation id, only NodeNotFound comes here, which tells as much as they do.)
    private static bool Settles(VaultException failure, bool mayBeDone) => mayBeDone
        ? VaultErrors.HoldsForEarlierAttempts(failure) || failure is { Failures.Count: > 0, Code: VaultErrorCode.NodeNotFound }
        : failure is { Failures.Count: > 0, Code: > VaultErrorCode.Unknown and < VaultErrorCode.Overloaded };

    // The others are refusals by a node that has looked at the request.
    private static bool LeavesOpen(VaultErrorCode code) => code is VaultErrorCode.OutcomeUnknown or VaultErrorCode.Unreachable
        or VaultErrorCode.TimedOut or VaultErrorCode.Unknown or VaultErrorCode.ProtocolViolation or VaultErrorCode.CredentialsEnded;

    /// <summary>How long one call goes on trying.</summary>
    private sealed class Attempts(NodeRoster nodes, RetryPolicy retry, TimeSpan timeout)
    {
        private readonly Backoff _backoff = new(retry);
        private readonly long _endsAt = Environment.TickCount64 + (long)timeout.TotalMilliseconds;
        private readonly LeaderlessRefusal _leaderless = new(nodes);
        private VaultException? _last;

        /// <summary>Who has refused its credentials.</summary>
        public CredentialRefusals Refusals { get; } = new(nodes);

        /// <summary>How long an attempt may take. A node that has to catch up first leaves time to ask the leader.</summary>
        public TimeSpan TimeFor(VaultNode node)
        {
            long left = Math.Max(1, _endsAt - Environment.TickCount64);
            return TimeSpan.FromMilliseconds(nodes.LeadsElsewhere(node) ? Math.Max(1, left / 2) : left);
        }

        /// <summary>The failure of the last attempt; of one that the time-out cut short, that of the one before, which says more.</summary>
        public VaultException Last => _last!;

        /// <summary>The failure to throw when it is given up and nothing was done.</summary>
        public VaultException Telling => _leaderless.InPlaceOf(_last)!;

        /// <summary>How long to wait before the next attempt; null: there is none.</summary>
        public TimeSpan? Next(VaultNode node, VaultException failure)
        {
            _last = failure.Code == VaultErrorCode.TimedOut && _last is not null ? _last : failure;
            _leaderless.Failed(_last);
            bool isOthersTurn = Refusals.AskElsewhere(node, failure);
            bool elsewhere = nodes.Failed(node, failure) || isOthersTurn;
            return (nodes.MayPass(failure) || isOthersTurn)
                && _backoff.Next(failure.RetryAfter, nodes.Count, elsewhere) is { } wait
                && Environment.TickCount64 + wait.TotalMilliseconds < _endsAt
                ? wait
                : null;
        }
    }
}
