using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Client;

/// <summary>Calls that end when their node is lost, and that have others asked about it when it keeps them waiting.</summary>
internal static class WatchedCalls
{
    /// <summary>One request, one answer. A node that led when it was asked, does not answer and no longer leads is left: the new leader may be asked in its place.</summary>
    /// <param name="roster">The nodes.</param>
    /// <param name="node">Which one to ask.</param>
    /// <param name="method">The call.</param>
    /// <param name="request">The request.</param>
    /// <param name="timeout">How long it may take.</param>
    /// <param name="cancellation">Cancels it.</param>
    /// <exception cref="RpcException">It failed, or the node was lost meanwhile.</exception>
    /// <exception cref="VaultException">Another vault has taken the place of the one that this client knows.</exception>
    public static async Task<TResponse> UnaryAsync<TRequest, TResponse>(
        this NodeRoster roster, VaultNode node, RpcMethod<TRequest, TResponse> method, TRequest request, TimeSpan timeout, CancellationToken cancellation)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        if (!node.IsGreeted)
        {
            long began = Environment.TickCount64;
            await roster.GreetAsync(node, timeout, cancellation).ConfigureAwait(false);
            timeout = TimeSpan.FromMilliseconds(Math.Max(1, timeout.TotalMilliseconds - (Environment.TickCount64 - began)));
        }

        var options = new RpcCallOptions(timeout);
        if (roster.Count == 1)
        {
            return await node.Reads.UnaryAsync(method, request, options, cancellation).ConfigureAwait(false);
        }

        bool led = !roster.LeadsElsewhere(node);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, node.Lost);
        Task<TResponse> answer = node.Reads.UnaryAsync(method, request, options, stop.Token).AsTask();
        try
        {
            while (!await HasEndedAsync(answer, NodeRoster.Patience).ConfigureAwait(false))
            {
                roster.Suspect(node);
                if (led && roster.LeadsElsewhere(node))
                {
                    await stop.CancelAsync().ConfigureAwait(false);
                }
            }

            return await answer.ConfigureAwait(false);
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested)
        {
            throw Lost(node, e);
        }
    }

    /// <summary>Waits, but not for ever.</summary>
    /// <param name="call">What for; its failure is not thrown.</param>
    /// <param name="limit">How long.</param>
    /// <returns>Whether it has ended.</returns>
    public static async ValueTask<bool> HasEndedAsync(Task call, TimeSpan limit)
    {
        if (call.IsCompleted)
        {
            return true;
        }

        await ((Task)call.WaitAsync(limit)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return call.IsCompleted;
    }

    /// <summary>What a call ends with whose node was lost: as a lost connection, it says nothing about what became of the request.</summary>
    /// <param name="node">The node.</param>
    /// <param name="inner">How the call ended.</param>
    public static RpcException Lost(VaultNode node, Exception? inner = null) => new(
        RpcCode.Unavailable,
        $"the node at {node.Address.Host}:{node.Address.Port} is no longer part of the vault, is cut off from its leader, or no longer leads and does not answer",
        inner: inner);
}
