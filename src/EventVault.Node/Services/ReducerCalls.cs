// DefineReducer, GetReducer and ListReducers. To define a reducer is an append of one event to `$reducers`, which requires that
// the stream is where this node looked at it: so version numbers follow each other, whoever else defines at the same time.
using System.Buffers;
using EventVault.Node.States;
using EventVault.Protocol;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Storage.Log;
using NamedReducer = EventVault.Protocol.NamedReducer;
using Position = EventVault.Storage.Position;
using StreamVersion = EventVault.Storage.StreamVersion;

namespace EventVault.Node.Services;

/// <summary>The calls about named reducers.</summary>
internal sealed class ReducerCalls(VaultStorage storage, SingleAppends appends, ConsistentReads consistent, ReducerRegistry registry, NodeLimits limits)
{
    public async ValueTask<DefineReducerResponse> DefineAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(DefineReducerRequest.Parser, request);
        var id = StreamChangeRequests.OperationId(parsed.OperationId);
        var seen = StreamChangeRequests.Seen(parsed.AttemptedAfter);
        var asked = ReducerRequests.ReadAsked(parsed, limits);
        uint? expected = parsed.HasExpectedVersion ? parsed.ExpectedVersion : null;
        appends.RequireLeader();
        await consistent.WaitAsync(null, context);
        while (true)
        {
            context.Cancellation.ThrowIfCancellationRequested();

            // In this order: an attempt that commits between the two looks must not be taken for somebody else's definition.
            var reducers = registry.Current();
            if (storage.Reader.FindAppend(id) is { } first)
            {
                return FirstAnswer(first.First, asked);
            }

            if (Decide(reducers, asked, expected, out var version) is { } unchanged)
            {
                return new DefineReducerResponse { Reducer = ToMessage(unchanged) };
            }

            var append = appends.New(context);
            Fill(append.Content, id, seen, asked, version, reducers.Through);
            if (await appends.DecideAsync(append) is { } refusal)
            {
                throw refusal.ToException();
            }

            switch (append.Outcome)
            {
                case AppendOutcome.Appended:
                    return new DefineReducerResponse { Reducer = ToMessage(Defined(append.First)), Changed = true };
                case AppendOutcome.Conflict or AppendOutcome.Known:
                    // Another definition, or the first attempt of this one, came in between: look again.
                    break;
                case AppendOutcome.Proven:
                    return FirstAnswer(append.Content.Proof!.First, asked);
                default:
                    throw appends.Refused(append).ToException();
            }
        }
    }

    public async ValueTask<NamedReducer> GetAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(GetReducerRequest.Parser, request);
        var name = ReducerRequests.CheckName(parsed.Name, "name", limits);
        await consistent.WaitAsync(parsed.Consistency, context);
        var defined = ReducerRequests.Find(registry, name, parsed.Version, parsed.Version == 0 ? "name" : "version");
        ReducerRequests.Readable(defined, "name");
        return ToMessage(defined);
    }

    /// <summary>Definitions that this node can't read are told without what it can't read.</summary>
    public async ValueTask<ListReducersResponse> ListAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(ListReducersRequest.Parser, request);
        await consistent.WaitAsync(parsed.Consistency, context);
        var response = new ListReducersResponse();
        response.Reducers.AddRange(registry.Current().ByName.Values.Select(r => ToMessage(r.Newest)));
        return response;
    }

    // What is there, if it is what is asked for; otherwise which version this one will be.
    private DefinedReducer? Decide(NamedReducers reducers, AskedReducer asked, uint? expected, out uint version)
    {
        var newest = reducers.ByName.TryGetValue(asked.Name, out var named) ? named.Newest : null;
        if (expected is { } e && e != (newest?.Version ?? 0))
        {
            throw Errors.DefinitionConflict(asked.Name, newest?.Version ?? 0).ToException();
        }

        version = (newest?.Version ?? 0) + 1;
        if (newest is not null)
        {
            return newest.Says(asked) ? newest : null;
        }

        var most = limits[NodeLimits.Reducers];
        return reducers.ByName.Count < most.Allowed ? null : throw Errors.LimitExceeded(most, reducers.ByName.Count + 1, "name").ToException();
    }

    private void Fill(AppendContent content, UInt128 id, Position? seen, AskedReducer asked, uint version, StreamVersion through)
    {
        content.Reset([]);
        content.OperationId = id;
        content.AttemptedAfter = seen;
        content.SetReducer(ReducerEvent.Encode(asked, version), through, ReducerEvent.Encode(asked, version: 0));
        if (content.Check(out _, out _) is { Kind: not EventProblemKind.None } problem)
        {
            // Nothing but a node set up for very small events refuses it.
            throw Errors.Event(problem, "definition", Errors.Name(ReducersStream.Name), 0, limits).ToException();
        }
    }

    // The operation id is known: it must have defined this very thing.
    private DefineReducerResponse FirstAnswer(Position first, AskedReducer asked) =>
        registry.ReadAt(first) is { } defined && defined.Says(asked)
            ? new DefineReducerResponse { Reducer = ToMessage(defined), Changed = true }
            : throw Errors.OperationIdReused(first).ToException();

    private DefinedReducer Defined(Position position)
    {
        var defined = registry.ReadAt(position);
        Invariant.Check(defined?.Reducer is not null, "What was just written can be read.");
        return defined;
    }

    private static NamedReducer ToMessage(DefinedReducer defined)
    {
        var message = new NamedReducer
        {
            Name = defined.Name,
            Version = defined.Version,
            Eager = defined.Eager,
            Position = (ulong)defined.Position.Value,
            RecordedAt = defined.RecordedAt,
        };
        message.Categories.AddRange(defined.Categories);
        if (defined.Reducer is { } reducer)
        {
            message.Definition = defined.Slots is { } slots ? new ReducerDefinition { Slots = slots } : new ReducerDefinition { MergePatch = new Empty() };
            message.Hash = Google.Protobuf.ByteString.CopyFrom(reducer.Hash);
        }

        return message;
    }
}
