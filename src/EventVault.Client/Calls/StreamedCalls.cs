using System.Runtime.CompilerServices;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Client;

/// <summary>The calls of the temporal plane that stream their answer, begun again where they were cut.</summary>
/// <remarks>
/// That is simpler than for reads (<see cref="ResumingRead{TRequest}"/>): the first message tells which position the answer rests on,
/// and as of that position the answer is the same however often it is asked for.
/// </remarks>
internal sealed class StreamedCalls(RpcChannel channel, VaultClientOptions options, CancellationToken clientClosed)
{
    /// <summary>Runs a call to its end. What fails in passing is asked for again.</summary>
    /// <param name="method">The call.</param>
    /// <param name="nextRequest">Makes the request for what is left; called before each attempt.</param>
    /// <param name="wait">How long the node may wait for the moment that was asked for, beside the time that any call may take.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <returns>The messages, encoded; each is valid until the next one is asked for.</returns>
    /// <exception cref="VaultException">It failed, and trying again did not help or makes no sense.</exception>
    public async IAsyncEnumerable<ReadOnlyMemory<byte>> RunAsync<TRequest, TResponse>(
        RpcMethod<TRequest, TResponse> method, Func<TRequest> nextRequest, TimeSpan wait, [EnumeratorCancellation] CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        ObjectDisposedException.ThrowIf(clientClosed.IsCancellationRequested, typeof(VaultClient));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, clientClosed);
        var backoff = new Backoff(options.Retry);
        while (true)
        {
            RpcCall<TRequest, TResponse> call = channel.Start(method, nextRequest(), default, stop.Token);
            VaultException? failure;
            await using (call.ConfigureAwait(false))
            {
                bool isFirst = true;
                while (true)
                {
                    (bool isMessage, failure) = await NextAsync(call, isFirst ? options.CallTimeout + wait : null, method.Path, cancellation).ConfigureAwait(false);
                    if (!isMessage)
                    {
                        break;
                    }

                    isFirst = false;
                    backoff.Progressed();
                    yield return call.RawMessage;
                }

                if (failure is null && isFirst)
                {
                    throw VaultErrors.ProtocolViolation($"{method.Path} ended without a message");
                }
            }

            if (failure is null)
            {
                yield break;
            }

            await WaitAsync(failure, backoff, cancellation).ConfigureAwait(false);
        }
    }

    private async ValueTask WaitAsync(VaultException failure, Backoff backoff, CancellationToken cancellation)
    {
        if (!failure.IsTransient || backoff.Next(failure.RetryAfter) is not { } wait)
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

    // No message and no failure: the end.
    private async ValueTask<(bool IsMessage, VaultException? Failure)> NextAsync<TRequest, TResponse>(
        RpcCall<TRequest, TResponse> call, TimeSpan? limit, string path, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        try
        {
            return (limit is { } l ? await FirstInTimeAsync(call, l, path).ConfigureAwait(false) : await call.MoveNextRawAsync().ConfigureAwait(false), null);
        }
        catch (RpcException e) when (!cancellation.IsCancellationRequested && !clientClosed.IsCancellationRequested)
        {
            return (false, VaultErrors.From(e));
        }
        catch (Exception e) when (e is RpcException or OperationCanceledException)
        {
            throw Cancelled(cancellation);
        }
    }

    // The time-out of the call itself would cut a long answer; so only the wait for its first message is bounded, by hand.
    private static async Task<bool> FirstInTimeAsync<TRequest, TResponse>(RpcCall<TRequest, TResponse> call, TimeSpan limit, string path)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        Task<bool> next = call.MoveNextRawAsync().AsTask();
        try
        {
            return await next.WaitAsync(limit).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            call.Cancel();

            // Ends with the call; what it ends with was of no use any more.
            await ((Task)next).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw VaultErrors.NoHead(path, position: null, limit);
        }
    }

    private static Exception Cancelled(CancellationToken cancellation) => cancellation.IsCancellationRequested
        ? new OperationCanceledException(cancellation)
        : new VaultException(VaultErrorCode.Closed, "The call was cut short: its client was disposed.");
}
