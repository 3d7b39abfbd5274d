// ReadForFold and PutFoldSnapshot: what clients need to fold by themselves, with code of their own. Events go out as in reads, raw
// and page by page; but those that were deleted behind the cut are handed out, too, as long as they are there.
using System.Buffers;
using System.Text;
using EventVault.Protocol;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Temporal;
using Google.Protobuf;
using StreamVersion = EventVault.Storage.StreamVersion;

namespace EventVault.Node.Services;

/// <summary>The calls for folds by clients.</summary>
internal sealed class FoldCalls(StateContext shared)
{
    private readonly EventReader _reader = shared.Storage.Reader;

    public async ValueTask ReadAsync(ReadForFoldRequest request, RpcWriter<ReadForFoldResponse> writer, RpcContext context)
    {
        var stream = StreamNames.Reference(_reader, request.Stream, shared.Limits);
        var fold = CheckFold(request.Fold);
        shared.Cuts.Check(request.AsOf, "as_of", ofOneStream: true, takesOccurred: false);
        await shared.Consistent.WaitAsync(request.Consistency, context);
        try
        {
            var cut = await shared.Cuts.ResolveAsync(request.AsOf, "as_of", new CutScope(stream, request.Stream, null), context);
            var start = shared.States.StartFold(fold, stream, cut.Position, request.AllowPartial);
            writer.Write(new ReadForFoldResponse { Head = Head(start, cut) });
            using var page = new EventPage(shared.Pages);
            using var pace = new ReadPace(writer, context, shared.Pages, shared.Options.Clock, shared.Options.ProgressInterval);
            await pace.GetOnAsync();
            var range = new EventRange(_reader, stream, null, backwards: false) { Next = start.Next.Value, Last = start.Last.Value, TakesHidden = true };
            while (start.Exists && !range.IsDone)
            {
                ReadCalls.CheckGoesOn(context);
                await pace.WritePageAsync(range, page);
                await pace.GetOnAsync();
            }
        }
        catch (Exception e) when (Errors.OfState(e, request.Stream, shared.Limits) is { } refusal)
        {
            throw refusal.ToException(e);
        }
    }

    public ValueTask<PutFoldSnapshotResponse> PutAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(PutFoldSnapshotRequest.Parser, request);
        var stream = StreamNames.Reference(_reader, parsed.Stream, shared.Limits);
        var fold = CheckFold(parsed.Fold) is { Length: > 0 } named ? named : throw Errors.InvalidRequest("fold", "is missing: name the fold and its version").ToException();
        var most = shared.Limits[NodeLimits.StateBytes];
        if (parsed.State.Length > most.Allowed)
        {
            throw Errors.LimitExceeded(most, parsed.State.Length, "state").ToException();
        }

        if (parsed.FirstVersion > parsed.Version)
        {
            throw Errors.InvalidRequest("first_version", "is behind version: no event was folded").ToException();
        }

        var last = _reader.LastVersion(stream);
        if (parsed.Version > long.MaxValue || (long)parsed.Version > last.Value)
        {
            throw (last == StreamVersion.None ? Errors.StreamNotFound(parsed.Stream) : Errors.VersionNotReached(parsed.Stream, "version", parsed.Version, last)).ToException();
        }

        var kept = shared.States.KeepFold(fold, stream, new StreamVersion((long)parsed.FirstVersion), new StreamVersion((long)parsed.Version), parsed.State.Span);
        return ValueTask.FromResult(new PutFoldSnapshotResponse { Kept = kept });
    }

    private string CheckFold(string fold)
    {
        var (most, bytes) = (shared.Limits[NodeLimits.FoldNameBytes], Encoding.UTF8.GetByteCount(fold));
        return bytes > most.Allowed ? throw Errors.LimitExceeded(most, bytes, "fold").ToException() : fold;
    }

    private FoldHead Head(FoldStart start, ResolvedCut cut)
    {
        var head = new FoldHead { Cut = shared.Cuts.ToMessage(cut.Position), Exists = start.Exists, Deleted = start.Deleted, FirstVersion = (ulong)start.First.Value };
        if (start.Exists)
        {
            head.LastVersion = (ulong)start.Last.Value;
        }

        if (start.Kept is { } kept)
        {
            head.KeptState = UnsafeByteOperations.UnsafeWrap(kept);
            head.KeptVersion = (ulong)start.KeptVersion.Value;
        }

        if (start.PartialFrom is { } partial)
        {
            head.PartialFromVersion = (ulong)partial.Value;
        }

        return head;
    }
}
