using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Node.Tests.Support;

/// <summary>The temporal plane's calls, to a node under test.</summary>
internal static class StateCallsOfNode
{
    private static readonly RpcMethod<GetStatesRequest, GetStatesResponse> GetStates = Of<GetStatesRequest, GetStatesResponse>("GetStates");
    private static readonly RpcMethod<GetStateHistoryRequest, GetStateHistoryResponse> GetStateHistory = Of<GetStateHistoryRequest, GetStateHistoryResponse>("GetStateHistory");
    private static readonly RpcMethod<ReadForFoldRequest, ReadForFoldResponse> ReadForFold = Of<ReadForFoldRequest, ReadForFoldResponse>("ReadForFold");
    private static readonly RpcMethod<PutFoldSnapshotRequest, PutFoldSnapshotResponse> PutFoldSnapshot = Of<PutFoldSnapshotRequest, PutFoldSnapshotResponse>("PutFoldSnapshot");
    private static readonly RpcMethod<ResolveTimeRequest, Cut> ResolveTime = Of<ResolveTimeRequest, Cut>("ResolveTime");
    private static readonly RpcMethod<GetReducerRequest, NamedReducer> GetReducer = Of<GetReducerRequest, NamedReducer>("GetReducer");
    private static readonly RpcMethod<ListReducersRequest, ListReducersResponse> ListReducers = Of<ListReducersRequest, ListReducersResponse>("ListReducers");

    public static Task<State> StateAsync(this TestNode node, string stream, AsOf? asOf = null, ReducerReference? reducer = null, bool allowPartial = false) =>
        node.StateAsync(new GetStateRequest { Stream = stream, AsOf = asOf, Reducer = reducer, AllowPartial = allowPartial });

    public static Task<State> StateAsync(this TestNode node, GetStateRequest request, TimeSpan? timeout = null) =>
        node.Channel.UnaryAsync(Methods.GetState, request, timeout is { } t ? new RpcCallOptions { Timeout = t } : default).AsTask();

    public static Task<List<GetStatesResponse>> StatesAsync(this TestNode node, GetStatesRequest request) => ReadAsync(node, GetStates, request);

    public static Task<List<GetStateHistoryResponse>> HistoryAsync(this TestNode node, GetStateHistoryRequest request) => ReadAsync(node, GetStateHistory, request);

    public static Task<List<ReadForFoldResponse>> ForFoldAsync(this TestNode node, ReadForFoldRequest request) => ReadAsync(node, ReadForFold, request);

    public static async Task<bool> PutFoldAsync(this TestNode node, PutFoldSnapshotRequest request) => (await node.Channel.UnaryAsync(PutFoldSnapshot, request)).Kept;

    public static Task<Cut> ResolveAsync(this TestNode node, ResolveTimeRequest request) => node.Channel.UnaryAsync(ResolveTime, request).AsTask();

    public static Task<DefineReducerResponse> DefineAsync(this TestNode node, DefineReducerRequest request) => node.Channel.UnaryAsync(Methods.DefineReducer, request).AsTask();

    public static Task<DefineReducerResponse> DefineAsync(this TestNode node, string name, string slots, params string[] categories)
    {
        var request = new DefineReducerRequest { OperationId = Make.Id(), Name = name, Definition = new ReducerDefinition { Slots = slots } };
        request.Categories.AddRange(categories);
        return node.DefineAsync(request);
    }

    public static Task<NamedReducer> ReducerAsync(this TestNode node, string name, uint version = 0) =>
        node.Channel.UnaryAsync(GetReducer, new GetReducerRequest { Name = name, Version = version }).AsTask();

    public static async Task<IReadOnlyList<NamedReducer>> ReducersAsync(this TestNode node) => (await node.Channel.UnaryAsync(ListReducers, new ListReducersRequest())).Reducers;

    public static ReducerReference Slots(string slots) => new() { Inline = new ReducerDefinition { Slots = slots } };

    public static ReducerReference Named(string name, uint version = 0) => new() { Name = name, Version = version };

    public static string Json(this State state) => state.Json.ToStringUtf8();

    /// <summary>Appends events <c>{"n":1}</c>, <c>{"n":2}</c> … one to an append each, and tells their answers.</summary>
    public static async Task<List<AppendResponse>> AppendNumbersAsync(this TestNode node, string stream, int count, int first = 1)
    {
        var answers = new List<AppendResponse>();
        for (var i = first; i < first + count; i++)
        {
            answers.Add(await node.AppendAsync(stream, Make.Any, Make.Event(data: FormattableString.Invariant($$"""{"n":{{i}}}"""))));
        }

        return answers;
    }

    public static async Task TruncateAsync(this TestNode node, string stream, ulong before, ByteString? id = null) =>
        await node.Channel.UnaryAsync(Methods.TruncateStream, new TruncateStreamRequest { OperationId = id ?? Make.Id(), Stream = stream, Before = before, Expected = Make.Any });

    public static async Task<ulong> DeleteAsync(this TestNode node, string stream, bool tombstone = false) =>
        (await node.Channel.UnaryAsync(Methods.DeleteStream, new DeleteStreamRequest { OperationId = Make.Id(), Stream = stream, Expected = Make.Any, Tombstone = tombstone })).FirstPosition;

    private static async Task<List<TResponse>> ReadAsync<TRequest, TResponse>(TestNode node, RpcMethod<TRequest, TResponse> method, TRequest request)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        await using var call = node.Channel.Start(method, request);
        var messages = new List<TResponse>();
        while (await call.MoveNextAsync())
        {
            messages.Add(call.Current);
        }

        return messages;
    }

    private static RpcMethod<TRequest, TResponse> Of<TRequest, TResponse>(string name)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() =>
        RpcMethod<TRequest, TResponse>.Of(TemporalReflection.Descriptor.Services[0], name);
}
