// GetState and GetStates. Each resolves its cut once; what follows is a function of the log up to there. Folds that take long run
// in their turn (FoldPlaces), and a call of many streams gives its thread back between them.
using System.Buffers;
using System.Diagnostics;
using EventVault.Node.States;
using EventVault.Protocol;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Temporal;
using EventVault.Temporal.Reducers;
using Position = EventVault.Storage.Position;

namespace EventVault.Node.Services;

/// <summary>What the calls of the temporal plane share.</summary>
/// <param name="Storage">The vault.</param>
/// <param name="States">Folds.</param>
/// <param name="Registry">Named reducers.</param>
/// <param name="Places">Where long folds run.</param>
/// <param name="Cuts">Resolves cuts.</param>
/// <param name="Consistent">Holds calls back until the node is as far as they ask for.</param>
/// <param name="Pages">Bounds what is written and not taken.</param>
/// <param name="Limits">What is allowed.</param>
/// <param name="Options">Clock and intervals.</param>
internal sealed record StateContext(
    VaultStorage Storage, StateReader States, ReducerRegistry Registry, FoldPlaces Places, Cuts Cuts, ConsistentReads Consistent, PageShare Pages, NodeLimits Limits, NodeOptions Options)
{
    /// <summary>A budget for the folds of one call.</summary>
    public FoldBudget NewBudget() => new(Limits[NodeLimits.FoldEvents].Allowed);

    /// <summary>The reducer of a request, behind its consistency.</summary>
    /// <param name="reference">What the request says.</param>
    /// <param name="read">What <see cref="ReducerRequests.ReadReference"/> made of it.</param>
    public Reducer ReducerOf(ReducerReference? reference, Reducer? read)
    {
        const string Field = "reducer.name";
        return read ?? ReducerRequests.Readable(ReducerRequests.Find(Registry, reference!.Name, reference.Version, Field), Field);
    }

    /// <summary>The state of a stream, in its turn.</summary>
    /// <exception cref="Rpc.RpcException">UNAVAILABLE: the node drains.</exception>
    public async ValueTask<StateAnswer> ReadAsync(
        Reducer reducer, StreamReference stream, ResolvedCut cut, bool allowPartial, FoldBudget budget, RpcContext context)
    {
        using var ends = CancellationTokenSource.CreateLinkedTokenSource(context.Cancellation, context.Draining);
        var ended = ends.Token;
        try
        {
            var answer = await Places.RunAsync(
                share => States.Read(reducer, stream, cut.Position, new StateOptions(cut.Occurred, allowPartial, share.MostEvents) { CutTime = cut.Time, MostBytes = share.MostBytes }, ended),
                budget, ended);
            budget.Spend(answer.EventsFolded, answer.BytesFolded);
            return answer;
        }
        catch (OperationCanceledException e) when (context.Draining.IsCancellationRequested)
        {
            throw Errors.Draining("the state was not folded to its end").ToException(e);
        }
    }
}

/// <summary>GetState and GetStates.</summary>
internal sealed class StateCalls(StateContext shared)
{
    /// <summary>Names looked at before a call comes up for air: some milliseconds.</summary>
    private const int MostListed = 1024;

    public async ValueTask<State> GetAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var began = Stopwatch.GetTimestamp();
        var parsed = RequestFields.Parse(GetStateRequest.Parser, request);
        var stream = StreamNames.Reference(shared.Storage.Reader, parsed.Stream, shared.Limits);
        var read = ReducerRequests.ReadReference(parsed.Reducer, shared.Limits);
        shared.Cuts.Check(parsed.AsOf, "as_of", ofOneStream: true, takesOccurred: true);
        await shared.Consistent.WaitAsync(parsed.Consistency, context);
        var reducer = shared.ReducerOf(parsed.Reducer, read);
        try
        {
            var cut = await shared.Cuts.ResolveAsync(parsed.AsOf, "as_of", new CutScope(stream, parsed.Stream, reducer), context);
            var answer = await shared.ReadAsync(reducer, stream, cut, parsed.AllowPartial, shared.NewBudget(), context);
            var state = StateMessages.ToMessage(parsed.Stream, reducer, answer, began);
            state.Cut = shared.Cuts.ToMessage(cut.Position);
            state.Token = StateToken.Encode(cut, reducer, shared.Storage.VaultId);
            return state;
        }
        catch (Exception e) when (Errors.OfState(e, parsed.Stream, shared.Limits) is { } refusal)
        {
            throw refusal.ToException(e);
        }
    }

    public async ValueTask GetManyAsync(GetStatesRequest request, RpcWriter<GetStatesResponse> writer, RpcContext context)
    {
        var category = CheckMany(request);
        var read = ReducerRequests.ReadReference(request.Reducer, shared.Limits);
        shared.Cuts.Check(request.AsOf, "as_of", ofOneStream: false, takesOccurred: true);
        await shared.Consistent.WaitAsync(request.Consistency, context);
        var reducer = shared.ReducerOf(request.Reducer, read);
        var cut = await shared.Cuts.ResolveAsync(request.AsOf, "as_of", new CutScope(null, string.Empty, reducer), context);
        using var pace = new ReadPace(writer, context, shared.Pages, shared.Options.Clock, shared.Options.ProgressInterval);
        writer.Write(new GetStatesResponse { Cut = shared.Cuts.ToMessage(cut.Position) });
        await pace.FlushAsync(); // A category may be large: the client is to know at once what is looked for.
        var states = new ManyStates(shared, reducer, cut, request, pace, context);
        if (category is null)
        {
            foreach (var name in request.Streams)
            {
                await states.WriteAsync(name, isListed: true);
            }

            return;
        }

        await WriteCategoryAsync(category, cut.Position, request, states);
    }

    private async ValueTask WriteCategoryAsync(byte[] category, Position cut, GetStatesRequest request, ManyStates states)
    {
        var remaining = request.Limit == 0 ? ulong.MaxValue : request.Limit;
        var after = System.Text.Encoding.UTF8.GetBytes(request.After);
        while (remaining > 0)
        {
            states.CheckGoesOn();
            var names = shared.Storage.Streams.ListCategoryAsOf(category, cut, after, MostListed, MostListed, out var lookedUntil);
            foreach (var name in names)
            {
                remaining -= await states.WriteAsync(Errors.Name(name), isListed: false) ? 1u : 0u;
                if (remaining == 0)
                {
                    return;
                }
            }

            after = lookedUntil ?? (names.Count > 0 ? names[^1] : []);
            if (after.Length == 0 || (lookedUntil is null && names.Count < MostListed))
            {
                return;
            }

            await states.TellAsync(Errors.Name(after));
        }
    }

    // The category's bytes; null: a list of streams.
    private byte[]? CheckMany(GetStatesRequest request)
    {
        if (request.Streams.Count > 0 == request.Category.Length > 0)
        {
            throw Errors.InvalidRequest("streams", "and category: exactly one of them must be set").ToException();
        }

        if (request.Category.Length > 0)
        {
            var category = StreamNames.CheckLength(request.Category, "category", shared.Limits);
            EventFilters.CheckCategory(category, "category");
            StreamNames.CheckLength(request.After, "after", shared.Limits);
            return category;
        }

        if (request.Limit != 0 || request.After.Length > 0)
        {
            throw Errors.InvalidRequest(request.Limit != 0 ? "limit" : "after", "belongs to a category: leave it out beside a list").ToException();
        }

        var most = shared.Limits[NodeLimits.StatesListed];
        if (request.Streams.Count > most.Allowed)
        {
            throw Errors.LimitExceeded(most, request.Streams.Count, "streams").ToException();
        }

        foreach (var name in request.Streams)
        {
            StreamNames.Check(name, shared.Limits);
        }

        return null;
    }
}

/// <summary>Writes the states of one GetStates, a stream at a time.</summary>
internal sealed class ManyStates(StateContext shared, Reducer reducer, ResolvedCut cut, GetStatesRequest request, ReadPace pace, RpcContext context)
{
    private readonly FoldBudget _budget = shared.NewBudget();

    /// <summary>Whether the call goes on.</summary>
    /// <exception cref="Rpc.RpcException">UNAVAILABLE: the node drains.</exception>
    public void CheckGoesOn() => ReadCalls.CheckGoesOn(context);

    /// <summary>Folds and writes one stream.</summary>
    /// <param name="name">The stream.</param>
    /// <param name="isListed">Whether it is written in any case.</param>
    /// <returns>Whether it was written.</returns>
    public async ValueTask<bool> WriteAsync(string name, bool isListed)
    {
        CheckGoesOn();
        var began = Stopwatch.GetTimestamp();
        GetStatesResponse response;
        try
        {
            var answer = await shared.ReadAsync(reducer, shared.Storage.Reader.Reference(System.Text.Encoding.UTF8.GetBytes(name)), cut, request.AllowPartial, _budget, context);
            if (!answer.Exists && !isListed)
            {
                await pace.GetOnAsync();
                return false;
            }

            response = new GetStatesResponse { State = StateMessages.ToMessage(name, reducer, answer, began) };
        }
        catch (Exception e) when (Refusal(e, name) is { } refusal)
        {
            response = new GetStatesResponse { Failure = new StateFailure { Stream = name, Error = refusal.ToAppendError() } };
        }

        await pace.WriteAsync(response);
        return true;
    }

    /// <summary>Tells how far the search is, if nothing was sent for long.</summary>
    public async ValueTask TellAsync(string lookedUntil)
    {
        if (pace.IsDue)
        {
            await pace.WriteAsync(new GetStatesResponse { LookedUntil = lookedUntil });
            await pace.FlushAsync();
        }
    }

    // What concerns this stream alone: the others go on.
    private Refusal? Refusal(Exception e, string name) =>
        e is DamageException or IndexDamageException ? Errors.Damaged(e) : Errors.OfState(e, name, shared.Limits);
}
