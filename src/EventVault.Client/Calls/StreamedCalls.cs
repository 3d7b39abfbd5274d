using System.Runtime.CompilerServices;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Client;

/// <summary>The calls of the temporal plane that stream their answer, begun again where they were cut.</summary>
/// <remarks>
/// That is simpler than for reads (<see cref="ResumingRead{TRequest}"/>): the first message tells which position the answer rests on,
/// and as of that position the answer is the same however often it is asked for.
/// </remarks>
internal sealed class StreamedCalls(NodeRoster nodes, VaultClientOptions options, CancellationToken clientClosed)
{
    /// <summary>Runs a call to its end. What fails in passing is asked for again.</summary>
    /// <param name="method">The call.</param>
    /// <param name="nextRequest">Makes the request for what is left, told whether it may wait for its moment; called before each attempt.</param>
    /// <param name="wait">
    /// How long the moment may be waited for. Then it is asked for without waiting: that is refused by its own reason, or answered.
    /// </param>
    /// <param name="cancellation">Ends it.</param>
    /// <returns>The messages, encoded; each is valid until the next one is asked for.</returns>
    /// <exception cref="VaultException">It failed, and trying again did not help or makes no sense.</exception>
    public async IAsyncEnumerable<ReadOnlyMemory<byte>> RunAsync<TRequest, TResponse>(
        RpcMethod<TRequest, TResponse> method, Func<bool, TRequest> nextRequest, TimeSpan wait, [EnumeratorCancellation] CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ObjectDisposedException.ThrowIf(clientClosed.IsCancellationRequested, typeof(VaultClient));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, clientClosed);
        var backoff = new Backoff(options.Retry);
        var refusals = new CredentialRefusals(nodes);
        long waitsUntil = Environment.TickCount64 + (long)wait.TotalMilliseconds;
        while (true)
        {
            var waitLeft = TimeSpan.FromMilliseconds(waitsUntil - Environment.TickCount64);
            bool waits = waitLeft > TimeSpan.Zero;
            TimeSpan limit = waits ? waitLeft : options.CallTimeout;
            TRequest request = nextRequest(waits);
            VaultNode node = refusals.For(request);
            if (await GreetAsync(node, limit, stop.Token, cancellation).ConfigureAwait(false) is { } foreign)
            {
                await WaitAsync(node, foreign, backoff, refusals, cancellation).ConfigureAwait(false);
                continue;
            }

            RpcCall<TRequest, TResponse> call = node.Reads.Start(method, request, default, stop.Token);
            VaultException? failure;
            bool? isMessage;
            CancellationTokenRegistration lost = node.Lost.UnsafeRegister(static c => ((RpcCall<TRequest, TResponse>)c!).Cancel(), call);
            await using (call.ConfigureAwait(false))
            await using (lost.ConfigureAwait(false))
            {
                bool isFirst = true;
                while (true)
                {
                    (isMessage, failure) = await NextAsync(node, call, isFirst ? limit : null, cancellation).ConfigureAwait(false);
                    if (isMessage is not true)
                    {
                        break;
                    }

                    if (isFirst)
                    {
                        nodes.Answered(node);
                        refusals.Clear();
                    }

                    // The moment was reached.
                    (isFirst, waitsUntil) = (false, 0);
                    backoff.Progressed();
                    yield return call.RawMessage;
                }

                if (isMessage is false && failure is null && isFirst)
                {
                    throw VaultErrors.ProtocolViolation($"{method.Path} ended without a message");
                }
            }

            if (isMessage is null)
            {
                if (!waits)
                {
                    throw VaultErrors.NoHead(method.Path, position: null, limit);
                }

                waitsUntil = 0;
                continue;
            }

            if (failure is null)
            {
                yield break;
            }

            await WaitAsync(node, failure, backoff, refusals, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Decodes what <see cref="RunAsync"/> gave.</summary>
    /// <param name="parser">The parser of the messages.</param>
    /// <param name="message">One of them.</param>
    /// <exception cref="VaultException">It is no such message.</exception>
    public static T Parse<T>(MessageParser<T> parser, ReadOnlyMemory<byte> message)
        where T : IMessage<T>
    {
        try
        {
            return parser.ParseFrom(message.Span);
        }
        catch (InvalidProtocolBufferException)
        {
            throw VaultErrors.ProtocolViolation($"an answer is no valid {typeof(T).Name}");
        }
    }

    // Why it can't be asked; null: it can.
    private async ValueTask<VaultException?> GreetAsync(VaultNode node, TimeSpan limit, CancellationToken stop, CancellationToken cancellation)
    {
        try
        {
            await nodes.GreetAsync(node, limit, stop).ConfigureAwait(false);
            return null;
        }
        catch (RpcException e) when (!stop.IsCancellationRequested)
        {
            return VaultErrors.From(e);
        }
        catch (Exception e) when (e is RpcException or OperationCanceledException)
        {
            throw Cancelled(cancellation);
        }
    }

    private async ValueTask WaitAsync(VaultNode node, VaultException failure, Backoff backoff, CredentialRefusals refusals, CancellationToken cancellation)
    {
        bool isOthersTurn = refusals.AskElsewhere(node, failure);
        bool elsewhere = nodes.Failed(node, failure) || isOthersTurn;
        if (!(failure.IsTransient || isOthersTurn) || backoff.Next(failure.RetryAfter, nodes.Count, elsewhere) is not { } wait)
        {
            throw failure;
        }

        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, clientClosed);
        try
        {
            await Task.Delay(wait, stop.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            throw Cancelled(cancellation);
        }
    }

    // No message and no failure: the end. Null: none came in time.
    private async ValueTask<(bool? IsMessage, VaultException? Failure)> NextAsync<TRequest, TResponse>(
        VaultNode node, RpcCall<TRequest, TResponse> call, TimeSpan? limit, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        try
        {
            return (limit is { } l ? await FirstInTimeAsync(node, call, l).ConfigureAwait(false) : await call.MoveNextRawAsync().ConfigureAwait(false), null);
        }
        catch (RpcException e) when (!cancellation.IsCancellationRequested && !clientClosed.IsCancellationRequested)
        {
            return (false, VaultErrors.From(e));
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested && !clientClosed.IsCancellationRequested)
        {
            return (false, VaultErrors.From(WatchedCalls.Lost(node, e)));
        }
        catch (Exception e) when (e is RpcException or OperationCanceledException)
        {
            throw Cancelled(cancellation);
        }
    }

    // The time-out of the call itself would cut a long answer; so only the wait for its first message is bounded, by hand.
    private async Task<bool?> FirstInTimeAsync<TRequest, TResponse>(VaultNode node, RpcCall<TRequest, TResponse> call, TimeSpan limit)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        Task<bool> next = call.MoveNextRawAsync().AsTask();
        bool led = !nodes.LeadsElsewhere(node);
        bool isLeft = false;
        while (!isLeft && limit > TimeSpan.Zero)
        {
            if (await WatchedCalls.HasEndedAsync(next, limit < NodeRoster.Patience ? limit : NodeRoster.Patience).ConfigureAwait(false))
            {
                return await next.ConfigureAwait(false);
            }

            nodes.Suspect(node);
            limit -= NodeRoster.Patience;
            isLeft = led && nodes.LeadsElsewhere(node);
        }

        call.Cancel();

        // Ends with the call; what it ends with was of no use any more.
        await ((Task)next).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return isLeft ? throw WatchedCalls.Lost(node) : null;
    }

    private static Exception Cancelled(CancellationToken cancellation) => cancellation.IsCancellationRequested
        ? new OperationCanceledException(cancellation)
        : VaultErrors.Closed();
}
