using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Client;

/// <summary>
/// Runs a streaming read as one call after another: when a call fails for a passing reason, the next one begins
/// behind the last delivered event, so that nothing is missed and nothing comes twice. What "behind" means is the
/// <see cref="ReadPlan{TRequest}"/>'s knowledge.
/// </summary>
internal sealed class ResumingRead<TRequest> : PageReader
    where TRequest : class, IMessage<TRequest>, new()
{
    // A node that has to reach a position first is waited for this long, if there are others to ask.
    private static readonly TimeSpan PatienceWithBehind = TimeSpan.FromSeconds(2);

    private readonly NodeRoster _nodes;
    private readonly RpcMethod<TRequest, Protocol.ReadResponse> _method;
    private readonly ReadPlan<TRequest> _plan;
    private readonly Backoff _backoff;
    private readonly CredentialRefusals _refusals;
    private readonly SeenPosition _seen;
    private readonly bool _retries;
    private readonly TimeSpan _headTimeout;
    private RpcCall<TRequest, Protocol.ReadResponse>? _call;
    private CancellationTokenRegistration _lost;
    private VaultNode? _node;
    private bool _callHasHead;
    private long _headBy;
    private bool _ended;

    public ResumingRead(
        NodeRoster nodes,
        RpcMethod<TRequest, Protocol.ReadResponse> method,
        ReadPlan<TRequest> plan,
        VaultClientOptions options,
        SeenPosition seen,
        CancellationToken callerToken,
        CancellationToken clientClosed)
        : base(callerToken, clientClosed)
    {
        _nodes = nodes;
        _refusals = new CredentialRefusals(nodes);
        _method = method;
        _plan = plan;
        _seen = seen;
        RetryPolicy retry = options.Retry;
        _headTimeout = options.CallTimeout;
        _retries = retry.GiveUpAfter != TimeSpan.Zero;
        _backoff = new Backoff(retry, plan.GiveUpAfter ?? retry.GiveUpAfter);
    }

    private enum Content
    {
        Nothing,
        Head,
        Page,
    }

    public override async ValueTask<ReadHead> OpenAsync()
    {
        while (Head is null)
        {
            // The head is always the first message, and every call that ends without it is an error.
            if (!await AdvanceAsync(Content.Head).ConfigureAwait(false) && Head is null)
            {
                throw new VaultException(VaultErrorCode.Closed, "The read failed or was disposed before its head came; ask the client for another one.");
            }
        }

        return Head;
    }

    public override ValueTask<bool> NextAsync() => AdvanceAsync(Content.Page);

    protected override ValueTask CloseAsync(bool isPageInUse)
    {
        _ended = true;
        return CloseCallAsync(isPageInUse);
    }

    private async ValueTask<bool> AdvanceAsync(Content wanted)
    {
        while (true)
        {
            VaultException failure;
            try
            {
                // Taken once: who disposes the read takes it away, from another thread too.
                if ((_call ?? await OpenCallAsync().ConfigureAwait(false)) is not { } call)
                {
                    return false;
                }

                while (await MoveNextAsync(call).ConfigureAwait(false))
                {
                    if (Take(call.RawMessage) == wanted)
                    {
                        return true;
                    }
                }

                failure = End();
                if (_ended)
                {
                    return false;
                }
            }
            catch (RpcException e)
            {
                failure = VaultErrors.From(e);
            }
            catch (VaultException e) when (e.Code == VaultErrorCode.TimedOutBehind && !_ended)
            {
                failure = e;
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException && StopToken.IsCancellationRequested)
            {
                throw Cancelled();
            }
            catch (OperationCanceledException e) when (_node is { } node)
            {
                failure = VaultErrors.From(WatchedCalls.Lost(node, e));
            }

            ThrowIfStopped();
            await RecoverAsync(failure).ConfigureAwait(false);
        }
    }

    // Null: nothing is left to ask for.
    private async ValueTask<RpcCall<TRequest, Protocol.ReadResponse>?> OpenCallAsync()
    {
        // First of all: what was disposed between two pages was cut short, and must not look like the end.
        ThrowIfStopped();
        if (_ended || _plan.IsComplete)
        {
            _ended = true;
            return null;
        }

        _callHasHead = false;
        _headBy = _plan.IsEndless ? long.MaxValue : Environment.TickCount64 + (long)_headTimeout.TotalMilliseconds;
        TRequest request = _plan.NextRequest();
        _node = _refusals.For(request);
        await _nodes.GreetAsync(_node, TimeSpan.FromMilliseconds(Math.Clamp(_headBy - Environment.TickCount64, 1, Math.Max(1, _headTimeout.TotalMilliseconds))), StopToken).ConfigureAwait(false);
        RpcCall<TRequest, Protocol.ReadResponse> call = _node.Reads.Start(_method, request, default, StopToken);
        _lost = _node.Lost.UnsafeRegister(static c => ((RpcCall<TRequest, Protocol.ReadResponse>)c!).Cancel(), call);
        _call = call;
        return call;
    }

    // The time-out of the call itself would cut a long read; so only the wait for its head is bounded, by hand. A subscription's is
    // not: it holds on for as long as it was told to.
    private ValueTask<bool> MoveNextAsync(RpcCall<TRequest, Protocol.ReadResponse> call) =>
        _callHasHead ? call.MoveNextRawAsync() : HeadInTimeAsync(call);

    private async ValueTask<bool> HeadInTimeAsync(RpcCall<TRequest, Protocol.ReadResponse> call)
    {
        Task<bool> next = call.MoveNextRawAsync().AsTask();
        VaultNode node = _node!;
        long started = Environment.TickCount64;
        while (!await WatchedCalls.HasEndedAsync(next, Left(_headBy)).ConfigureAwait(false))
        {
            bool isBehind = _nodes.LeadsElsewhere(node) && Environment.TickCount64 - started >= PatienceWithBehind.TotalMilliseconds;
            _ended = Left(_headBy) == TimeSpan.Zero;
            if (_ended || isBehind)
            {
                await CloseCallAsync().ConfigureAwait(false);

                // Ends with the call; what it ends with was of no use any more.
                await ((Task)next).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                throw _ended ? VaultErrors.NoHead(_method.Path, _plan.AwaitedPosition, _headTimeout) : VaultErrors.KeepsWaiting(node.Address, _method.Path);
            }

            _nodes.Suspect(node);
        }

        return await next.ConfigureAwait(false);
    }

    // At most so long that others are asked about the node in between.
    private static TimeSpan Left(long until) =>
        TimeSpan.FromMilliseconds(Math.Clamp(until - Environment.TickCount64, 0, (long)NodeRoster.Patience.TotalMilliseconds));

    // The call ended with OK.
    private VaultException End()
    {
        if (!_callHasHead)
        {
            throw VaultErrors.ProtocolViolation($"{_method.Path} ended without a head");
        }

        _ended = !_plan.IsEndless;
        return new VaultException(VaultErrorCode.Unreachable, $"The node ended {_method.Path}, which has no end.");
    }

    private async ValueTask RecoverAsync(VaultException failure)
    {
        await CloseCallAsync().ConfigureAwait(false);
        bool isOthersTurn = _node is not null && _refusals.AskElsewhere(_node, failure);
        bool elsewhere = (_node is not null && _nodes.Failed(_node, failure)) || isOthersTurn;
        if (!(failure.IsTransient || isOthersTurn) || _backoff.Next(failure.RetryAfter, _nodes.Count, elsewhere) is not { } wait)
        {
            _ended = true;
            throw failure;
        }

        Tell(failure);
        try
        {
            await Task.Delay(wait, StopToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            throw Cancelled();
        }
    }

    private void Tell(VaultException failure)
    {
        ThrowIfStopped();
        try
        {
            _plan.Interrupted?.Invoke(failure);
        }
        catch
        {
            _ended = true; // It is the program's wish.
            throw;
        }
    }

    private async ValueTask CloseCallAsync(bool isPageInUse = false)
    {
        if (Interlocked.Exchange(ref _call, null) is { } call)
        {
            await _lost.DisposeAsync().ConfigureAwait(false);
            if (isPageInUse)
            {
                await call.DisposeBesideReaderAsync().ConfigureAwait(false);
            }
            else
            {
                await call.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    private Content Take(ReadOnlyMemory<byte> message)
    {
        Content content = Content.Nothing;
        var reader = new WireReader(message.Span);
        while (reader.Next())
        {
            if (reader.Field is < 1 or > 4)
            {
                reader.Skip();
                continue;
            }

            int length = reader.BytesField().Length;
            content = Take(reader.Field, message.Slice(reader.Offset - length, length));
        }

        return content;
    }

    private Content Take(int field, ReadOnlyMemory<byte> content)
    {
        if (field == 1)
        {
            TakeHead(content.Span);
            return Content.Head;
        }

        if (!_callHasHead)
        {
            throw VaultErrors.ProtocolViolation($"the first message of {_method.Path} is not the head");
        }

        if (field == 2)
        {
            Page.ReadEvents(content);
            _plan.Accept(Page);
            if (Page.Count == 0)
            {
                return Content.Nothing;
            }
        }
        else
        {
            Page.ReadProgress(content.Span, field == 3 ? SubscriptionMessageKind.CaughtUp : SubscriptionMessageKind.Progress);
            if (!_plan.AcceptProgress(Page.Position))
            {
                return Content.Nothing;
            }
        }

        if (Page.Position is { } position)
        {
            _seen.Observe(position);
        }

        _backoff.Progressed();
        return Content.Page;
    }

    private void TakeHead(ReadOnlySpan<byte> bytes)
    {
        Protocol.ReadHead message;
        try
        {
            message = Protocol.ReadHead.Parser.ParseFrom(bytes);
        }
        catch (InvalidProtocolBufferException)
        {
            throw VaultErrors.ProtocolViolation($"the head of {_method.Path} is malformed");
        }

        _callHasHead = true;
        _nodes.Answered(_node!);
        _refusals.Clear();
        if (_plan.IsEndless)
        {
            _backoff.GiveUpAfter = _plan.GiveUpAfter ?? (_retries ? Timeout.InfiniteTimeSpan : TimeSpan.Zero);
        }

        var head = ReadHead.From(message);
        if (_plan.SeenBefore is { } before && !(head.LastPosition >= before))
        {
            // All there is can't be less than what was there: this is another vault.
            _ended = true;
            throw VaultErrors.NoHead(_method.Path, before, _headTimeout);
        }

        _seen.Observe(head.LastPosition);

        // A later call's head is newer; the read still rests on the first one.
        if (Head is null)
        {
            Head = _plan.Begin(head);
        }
    }
}
