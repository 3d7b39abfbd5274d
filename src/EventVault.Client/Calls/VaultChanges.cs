using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Client;

/// <summary>The calls that change the vault under an operation id and say, when repeated, how long the vault was at the first attempt.</summary>
/// <param name="calls">Runs them.</param>
/// <param name="seen">What the client has seen.</param>
/// <param name="lookAtHead">Sees the head.</param>
internal sealed class VaultChanges(VaultCalls calls, SeenPosition seen, Func<CancellationToken, Task> lookAtHead)
{
    /// <summary>Runs a change. Retried as an append is.</summary>
    /// <param name="method">The call.</param>
    /// <param name="request">The request, but for the two fields that are set here.</param>
    /// <param name="options">Operation id; null: a new one.</param>
    /// <param name="setOperationId">Puts the operation id into the request.</param>
    /// <param name="setAttemptedAfter">Puts in what a repeat has to say; null: the call has nothing of that, and whoever makes it may not be allowed to see the head.</param>
    /// <param name="cancellation">Cancels the waiting, not the change.</param>
    /// <exception cref="ArgumentException">The options say how old the first attempt is, but not which.</exception>
    /// <exception cref="VaultException">It failed; with <see cref="VaultErrorCode.OutcomeUnknown"/> it may have been done.</exception>
    public async Task<TResponse> RunAsync<TRequest, TResponse>(
        RpcMethod<TRequest, TResponse> method,
        TRequest request,
        ChangeOptions? options,
        Action<TRequest, ByteString> setOperationId,
        Action<TRequest, Protocol.SeenHead>? setAttemptedAfter,
        CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        VaultErrors.CheckRepeat(options?.OperationId, options?.AttemptedAfter);
        Guid operationId = options?.OperationId ?? EventId.New();
        setOperationId(request, WireId(operationId));
        if (options?.AttemptedAfter is { } given)
        {
            setAttemptedAfter?.Invoke(request, given.ToMessage());
        }

        if (seen.Head is null && setAttemptedAfter is not null)
        {
            // A retry has to say how long the vault was before the first attempt.
            await lookAtHead(cancellation).ConfigureAwait(false);
        }

        SeenHead? attemptedAfter = options?.AttemptedAfter ?? seen.Head;
        return await calls.ChangeAsync(
            method,
            request,
            r => setAttemptedAfter?.Invoke(r, (attemptedAfter ?? default).ToMessage()),
            last => VaultErrors.ChangeUnknown(operationId, attemptedAfter, last),
            cancellation).ConfigureAwait(false);
    }

    /// <summary>An id as it goes over the wire.</summary>
    public static ByteString WireId(Guid id) => ByteString.CopyFrom(id.ToByteArray(bigEndian: true));
}
