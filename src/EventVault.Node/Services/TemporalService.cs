using System.Buffers;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Rpc.Server;

namespace EventVault.Node.Services;

/// <summary>The service <c>eventvault.v1.Temporal</c>.</summary>
internal sealed class TemporalService(StateContext shared, ReducerCalls reducers)
{
    private readonly StateCalls _states = new(shared);
    private readonly HistoryCall _history = new(shared);
    private readonly FoldCalls _folds = new(shared);

    public void AddTo(RpcServer server) => server
        .UnaryRaw(RpcMethod<GetStateRequest, State>.Of(VaultServices.Temporal, "GetState"), _states.GetAsync)
        .ServerStreamingRaw(
            RpcMethod<GetStatesRequest, GetStatesResponse>.Of(VaultServices.Temporal, "GetStates"),
            (request, writer, context) => _states.GetManyAsync(RequestFields.Parse(GetStatesRequest.Parser, request), writer, context))
        .ServerStreamingRaw(
            RpcMethod<GetStateHistoryRequest, GetStateHistoryResponse>.Of(VaultServices.Temporal, "GetStateHistory"),
            (request, writer, context) => _history.RunAsync(RequestFields.Parse(GetStateHistoryRequest.Parser, request), writer, context))
        .ServerStreamingRaw(
            RpcMethod<ReadForFoldRequest, ReadForFoldResponse>.Of(VaultServices.Temporal, "ReadForFold"),
            (request, writer, context) => _folds.ReadAsync(RequestFields.Parse(ReadForFoldRequest.Parser, request), writer, context))
        .UnaryRaw(RpcMethod<PutFoldSnapshotRequest, PutFoldSnapshotResponse>.Of(VaultServices.Temporal, "PutFoldSnapshot"), _folds.PutAsync)
        .UnaryRaw(RpcMethod<ResolveTimeRequest, Cut>.Of(VaultServices.Temporal, "ResolveTime"), ResolveTimeAsync)
        .UnaryRaw(RpcMethod<DefineReducerRequest, DefineReducerResponse>.Of(VaultServices.Temporal, "DefineReducer"), reducers.DefineAsync)
        .UnaryRaw(RpcMethod<GetReducerRequest, NamedReducer>.Of(VaultServices.Temporal, "GetReducer"), reducers.GetAsync)
        .UnaryRaw(RpcMethod<ListReducersRequest, ListReducersResponse>.Of(VaultServices.Temporal, "ListReducers"), reducers.ListAsync);

    private async ValueTask<Cut> ResolveTimeAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var parsed = RequestFields.Parse(ResolveTimeRequest.Parser, request);
        var (time, field) = parsed.CutCase switch
        {
            ResolveTimeRequest.CutOneofCase.Time => (parsed.Time, "time"),
            ResolveTimeRequest.CutOneofCase.BeforeTime => (Cuts.JustBefore(parsed.BeforeTime), "before_time"),
            _ => throw Errors.InvalidRequest("cut", "says nothing: one of time and before_time must be set").ToException(),
        };
        await shared.Consistent.WaitAsync(parsed.Consistency, context);
        return shared.Cuts.ToMessage(await shared.Cuts.ReachTimeAsync(time, parsed.Wait, field, context));
    }
}
