// TruncateStream: an append of one event to `$streams`, and with it the anchors of the states that must stay what they are.
using EventVault.Node.States;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node.Services;

/// <summary>TruncateStream.</summary>
internal sealed class TruncateCall(VaultStorage storage, SingleAppends appends, AnchorMaker anchors, NodeLimits limits)
{
    /// <summary>Looks at reducers and stream: each but the first because somebody changed them in the meantime.</summary>
    private const int MostLooks = 16;

    public async ValueTask<AppendResponse> TruncateAsync(AskedChange asked, RpcContext context)
    {
        using var ends = CancellationTokenSource.CreateLinkedTokenSource(context.Cancellation, context.Draining);
        for (var looks = 1; ; looks++)
        {
            var append = appends.New(context);
            asked.Fill(append.Content, await MakeAsync(asked, context, ends.Token));
            if (append.Content.Check(out _, out _) is { Kind: not EventProblemKind.None } problem)
            {
                // The anchors together are more than an append may be, or one of them than an event.
                throw Errors.Event(problem, "before", Errors.Name(asked.Stream), 0, limits).ToException();
            }

            try
            {
                return await appends.RecordAsync(append);
            }
            catch (RpcException) when (append.Content.Change!.Problem == StreamChangeProblem.LookAgain && looks < MostLooks)
            {
                // A reducer was defined, or the stream changed: the anchors are to be made anew.
            }
        }
    }

    // A repeated truncation needs none: the sequencer finds the first one.
    private async ValueTask<TruncationAnchors?> MakeAsync(AskedChange asked, RpcContext context, CancellationToken cancellation)
    {
        if (storage.Reader.FindAppend(asked.OperationId) is not null)
        {
            return null;
        }

        try
        {
            return await anchors.MakeAsync(asked.Stream, asked.Change.Before, cancellation);
        }
        catch (OperationCanceledException e) when (context.Draining.IsCancellationRequested)
        {
            throw Errors.Draining("the truncation was not done").ToException(e);
        }
        catch (Exception e) when (Errors.OfState(e, Errors.Name(asked.Stream), limits) is { } refusal)
        {
            throw refusal.ToException(e);
        }
    }
}
