using System.Net.Security;
using EventVault.FaultLab.Machine;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.FaultLab.Calls;

/// <summary>
/// The calls of the contract that the lab makes, to one node, over a connection of their own. No SDK between: which node answered
/// what, and which attempt it was, must not be hidden by a client that retries and follows leaders.
/// </summary>
internal sealed class NodeConnection : IAsyncDisposable
{
    private static readonly RpcMethod<AppendRequest, AppendResponse> AppendMethod = Of<AppendRequest, AppendResponse>(StreamsReflection.Descriptor, "Append");
    private static readonly RpcMethod<ReadStreamRequest, ReadResponse> ReadStreamMethod = Of<ReadStreamRequest, ReadResponse>(StreamsReflection.Descriptor, "ReadStream");
    private static readonly RpcMethod<ReadAllRequest, ReadResponse> ReadAllMethod = Of<ReadAllRequest, ReadResponse>(StreamsReflection.Descriptor, "ReadAll");
    private static readonly RpcMethod<SubscribeRequest, ReadResponse> SubscribeMethod = Of<SubscribeRequest, ReadResponse>(StreamsReflection.Descriptor, "Subscribe");
    private static readonly RpcMethod<GetStreamRequest, StreamInfo> GetStreamMethod = Of<GetStreamRequest, StreamInfo>(StreamsReflection.Descriptor, "GetStream");
    private static readonly RpcMethod<GetStateRequest, State> GetStateMethod = Of<GetStateRequest, State>(TemporalReflection.Descriptor, "GetState");
    private static readonly RpcMethod<GetStatusRequest, GetStatusResponse> GetStatusMethod = Of<GetStatusRequest, GetStatusResponse>(AdminReflection.Descriptor, "GetStatus");
    private static readonly RpcMethod<GetClusterRequest, GetClusterResponse> GetClusterMethod = Of<GetClusterRequest, GetClusterResponse>(ClusterReflection.Descriptor, "GetCluster");
    private static readonly RpcMethod<InitClusterRequest, GetClusterResponse> InitClusterMethod = Of<InitClusterRequest, GetClusterResponse>(ClusterReflection.Descriptor, "InitCluster");
    private static readonly RpcMethod<AddNodeRequest, GetClusterResponse> AddNodeMethod = Of<AddNodeRequest, GetClusterResponse>(ClusterReflection.Descriptor, "AddNode");
    private static readonly RpcMethod<RemoveNodeRequest, GetClusterResponse> RemoveNodeMethod = Of<RemoveNodeRequest, GetClusterResponse>(ClusterReflection.Descriptor, "RemoveNode");
    private static readonly RpcMethod<ReplaceNodeRequest, GetClusterResponse> ReplaceNodeMethod = Of<ReplaceNodeRequest, GetClusterResponse>(ClusterReflection.Descriptor, "ReplaceNode");

    private static readonly RpcMethod<TransferLeadershipRequest, GetClusterResponse> TransferMethod =
        Of<TransferLeadershipRequest, GetClusterResponse>(ClusterReflection.Descriptor, "TransferLeadership");

    private readonly RpcChannel _channel;

    public NodeConnection(LabNode node, SslClientAuthenticationOptions trust)
    {
        Node = node;
        _channel = new RpcChannel(new Uri($"https://{node.Address}:{LabNode.Port}"), new RpcChannelOptions
        {
            Tls = trust,
            ConnectTimeout = TimeSpan.FromSeconds(2),
            KeepAlivePing = TimeSpan.FromSeconds(2),
            KeepAliveTimeout = TimeSpan.FromSeconds(2),
        });
    }

    public LabNode Node { get; }

    /// <summary>How long a call may take.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(4);

    public ValueTask<AppendResponse> AppendAsync(AppendRequest request) => Call(AppendMethod, request, Timeout);

    public ValueTask<StreamInfo> GetStreamAsync(GetStreamRequest request) => Call(GetStreamMethod, request, Timeout);

    public ValueTask<State> GetStateAsync(GetStateRequest request) => Call(GetStateMethod, request, Timeout);

    public ValueTask<GetStatusResponse> GetStatusAsync() => Call(GetStatusMethod, new GetStatusRequest(), Timeout);

    public ValueTask<GetClusterResponse> GetClusterAsync() => Call(GetClusterMethod, new GetClusterRequest(), Timeout);

    public ValueTask<GetClusterResponse> InitClusterAsync(InitClusterRequest request) => Call(InitClusterMethod, request, ChangeTimeout);

    public ValueTask<GetClusterResponse> AddNodeAsync(AddNodeRequest request) => Call(AddNodeMethod, request, ChangeTimeout);

    public ValueTask<GetClusterResponse> RemoveNodeAsync(RemoveNodeRequest request) => Call(RemoveNodeMethod, request, ChangeTimeout);

    public ValueTask<GetClusterResponse> ReplaceNodeAsync(ReplaceNodeRequest request) => Call(ReplaceNodeMethod, request, ChangeTimeout);

    public ValueTask<GetClusterResponse> TransferAsync(TransferLeadershipRequest request) => Call(TransferMethod, request, ChangeTimeout);

    /// <summary>Reads a stream to its end; the head comes first.</summary>
    public Task<(ReadHead Head, List<RecordedEvent> Events)> ReadStreamAsync(ReadStreamRequest request) => Read(ReadStreamMethod, request);

    /// <summary>Reads all streams to their end; the head comes first.</summary>
    public Task<(ReadHead Head, List<RecordedEvent> Events)> ReadAllAsync(ReadAllRequest request) => Read(ReadAllMethod, request);

    /// <summary>Subscribes. The call lasts until it is cancelled.</summary>
    public RpcCall<SubscribeRequest, ReadResponse> Subscribe(SubscribeRequest request, CancellationToken cancellation) =>
        _channel.Start(SubscribeMethod, request, default, cancellation);

    public ValueTask DisposeAsync() => _channel.DisposeAsync();

    // Changes of members wait for commits and, if the leader goes, for a hand-over.
    private static TimeSpan ChangeTimeout => TimeSpan.FromSeconds(30);

    private static RpcMethod<TRequest, TResponse> Of<TRequest, TResponse>(Google.Protobuf.Reflection.FileDescriptor file, string name)
        where TRequest : class, Google.Protobuf.IMessage<TRequest>, new()
        where TResponse : class, Google.Protobuf.IMessage<TResponse>, new() =>
        RpcMethod<TRequest, TResponse>.Of(file.Services[0], name);

    private ValueTask<TResponse> Call<TRequest, TResponse>(RpcMethod<TRequest, TResponse> method, TRequest request, TimeSpan timeout)
        where TRequest : class, Google.Protobuf.IMessage<TRequest>, new()
        where TResponse : class, Google.Protobuf.IMessage<TResponse>, new() =>
        _channel.UnaryAsync(method, request, new RpcCallOptions(timeout));

    private async Task<(ReadHead Head, List<RecordedEvent> Events)> Read<TRequest>(RpcMethod<TRequest, ReadResponse> method, TRequest request)
        where TRequest : class, Google.Protobuf.IMessage<TRequest>, new()
    {
        var events = new List<RecordedEvent>();
        ReadHead? head = null;
        await using var call = _channel.Start(method, request, new RpcCallOptions(Timeout));
        while (await call.MoveNextAsync())
        {
            head ??= call.Current.Head;
            if (call.Current.Events is { } list)
            {
                events.AddRange(list.Events);
            }
        }

        return (head ?? throw new InvalidDataException($"{method} was answered without a head."), events);
    }
}
