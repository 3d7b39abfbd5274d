using EventVault.Rpc;

namespace EventVault.Client;

/// <summary>The calls of the contract that the client makes.</summary>
internal static class VaultMethods
{
    public static readonly RpcMethod<Protocol.AppendSessionRequest, Protocol.AppendSessionResponse> AppendSession =
        RpcMethod<Protocol.AppendSessionRequest, Protocol.AppendSessionResponse>.Of(Protocol.StreamsReflection.Descriptor.Services[0], "AppendSession");

    public static readonly RpcMethod<Protocol.ReadStreamRequest, Protocol.ReadResponse> ReadStream =
        RpcMethod<Protocol.ReadStreamRequest, Protocol.ReadResponse>.Of(Protocol.StreamsReflection.Descriptor.Services[0], "ReadStream");

    public static readonly RpcMethod<Protocol.ReadAllRequest, Protocol.ReadResponse> ReadAll =
        RpcMethod<Protocol.ReadAllRequest, Protocol.ReadResponse>.Of(Protocol.StreamsReflection.Descriptor.Services[0], "ReadAll");

    public static readonly RpcMethod<Protocol.SubscribeRequest, Protocol.ReadResponse> Subscribe =
        RpcMethod<Protocol.SubscribeRequest, Protocol.ReadResponse>.Of(Protocol.StreamsReflection.Descriptor.Services[0], "Subscribe");

    public static readonly RpcMethod<Protocol.GetStreamRequest, Protocol.StreamInfo> GetStream =
        RpcMethod<Protocol.GetStreamRequest, Protocol.StreamInfo>.Of(Protocol.StreamsReflection.Descriptor.Services[0], "GetStream");

    public static readonly RpcMethod<Protocol.ListStreamsRequest, Protocol.ListStreamsResponse> ListStreams =
        RpcMethod<Protocol.ListStreamsRequest, Protocol.ListStreamsResponse>.Of(Protocol.StreamsReflection.Descriptor.Services[0], "ListStreams");

    public static readonly RpcMethod<Protocol.CountEventsRequest, Protocol.CountEventsResponse> CountEvents =
        RpcMethod<Protocol.CountEventsRequest, Protocol.CountEventsResponse>.Of(Protocol.StreamsReflection.Descriptor.Services[0], "CountEvents");

    public static readonly RpcMethod<Protocol.GetAppendRequest, Protocol.AppendResponse> GetAppend =
        RpcMethod<Protocol.GetAppendRequest, Protocol.AppendResponse>.Of(Protocol.StreamsReflection.Descriptor.Services[0], "GetAppend");

    public static readonly RpcMethod<Protocol.DeleteStreamRequest, Protocol.AppendResponse> DeleteStream =
        RpcMethod<Protocol.DeleteStreamRequest, Protocol.AppendResponse>.Of(Protocol.StreamsReflection.Descriptor.Services[0], "DeleteStream");

    public static readonly RpcMethod<Protocol.TruncateStreamRequest, Protocol.AppendResponse> TruncateStream =
        RpcMethod<Protocol.TruncateStreamRequest, Protocol.AppendResponse>.Of(Protocol.StreamsReflection.Descriptor.Services[0], "TruncateStream");

    public static readonly RpcMethod<Protocol.SetRetentionRequest, Protocol.AppendResponse> SetRetention =
        RpcMethod<Protocol.SetRetentionRequest, Protocol.AppendResponse>.Of(Protocol.StreamsReflection.Descriptor.Services[0], "SetRetention");

    public static readonly RpcMethod<Protocol.GetRetentionRequest, Protocol.GetRetentionResponse> GetRetention =
        RpcMethod<Protocol.GetRetentionRequest, Protocol.GetRetentionResponse>.Of(Protocol.StreamsReflection.Descriptor.Services[0], "GetRetention");

    public static readonly RpcMethod<Protocol.ListRetentionRequest, Protocol.ListRetentionResponse> ListRetention =
        RpcMethod<Protocol.ListRetentionRequest, Protocol.ListRetentionResponse>.Of(Protocol.StreamsReflection.Descriptor.Services[0], "ListRetention");

    public static readonly RpcMethod<Protocol.GetInfoRequest, Protocol.GetInfoResponse> GetInfo =
        RpcMethod<Protocol.GetInfoRequest, Protocol.GetInfoResponse>.Of(Protocol.AdminReflection.Descriptor.Services[0], "GetInfo");

    public static readonly RpcMethod<Protocol.GetStatusRequest, Protocol.GetStatusResponse> GetStatus =
        RpcMethod<Protocol.GetStatusRequest, Protocol.GetStatusResponse>.Of(Protocol.AdminReflection.Descriptor.Services[0], "GetStatus");

    public static readonly RpcMethod<Protocol.StartScavengeRequest, Protocol.ScavengeStatus> StartScavenge =
        RpcMethod<Protocol.StartScavengeRequest, Protocol.ScavengeStatus>.Of(Protocol.AdminReflection.Descriptor.Services[0], "StartScavenge");

    public static readonly RpcMethod<Protocol.StopScavengeRequest, Protocol.ScavengeStatus> StopScavenge =
        RpcMethod<Protocol.StopScavengeRequest, Protocol.ScavengeStatus>.Of(Protocol.AdminReflection.Descriptor.Services[0], "StopScavenge");

    public static readonly RpcMethod<Protocol.GetScavengeRequest, Protocol.ScavengeStatus> GetScavenge =
        RpcMethod<Protocol.GetScavengeRequest, Protocol.ScavengeStatus>.Of(Protocol.AdminReflection.Descriptor.Services[0], "GetScavenge");

    public static readonly RpcMethod<Protocol.ExplainScavengeRequest, Protocol.ExplainScavengeResponse> ExplainScavenge =
        RpcMethod<Protocol.ExplainScavengeRequest, Protocol.ExplainScavengeResponse>.Of(Protocol.AdminReflection.Descriptor.Services[0], "ExplainScavenge");

    public static readonly RpcMethod<Protocol.ListBackupRequest, Protocol.ListBackupResponse> ListBackup =
        RpcMethod<Protocol.ListBackupRequest, Protocol.ListBackupResponse>.Of(Protocol.AdminReflection.Descriptor.Services[0], "ListBackup");

    public static readonly RpcMethod<Protocol.ReadBackupRequest, Protocol.ReadBackupResponse> ReadBackup =
        RpcMethod<Protocol.ReadBackupRequest, Protocol.ReadBackupResponse>.Of(Protocol.AdminReflection.Descriptor.Services[0], "ReadBackup");

    public static readonly RpcMethod<Protocol.GetStateRequest, Protocol.State> GetState =
        RpcMethod<Protocol.GetStateRequest, Protocol.State>.Of(Protocol.TemporalReflection.Descriptor.Services[0], "GetState");

    public static readonly RpcMethod<Protocol.GetStatesRequest, Protocol.GetStatesResponse> GetStates =
        RpcMethod<Protocol.GetStatesRequest, Protocol.GetStatesResponse>.Of(Protocol.TemporalReflection.Descriptor.Services[0], "GetStates");

    public static readonly RpcMethod<Protocol.GetStateHistoryRequest, Protocol.GetStateHistoryResponse> GetStateHistory =
        RpcMethod<Protocol.GetStateHistoryRequest, Protocol.GetStateHistoryResponse>.Of(Protocol.TemporalReflection.Descriptor.Services[0], "GetStateHistory");

    public static readonly RpcMethod<Protocol.ReadForFoldRequest, Protocol.ReadForFoldResponse> ReadForFold =
        RpcMethod<Protocol.ReadForFoldRequest, Protocol.ReadForFoldResponse>.Of(Protocol.TemporalReflection.Descriptor.Services[0], "ReadForFold");

    public static readonly RpcMethod<Protocol.PutFoldSnapshotRequest, Protocol.PutFoldSnapshotResponse> PutFoldSnapshot =
        RpcMethod<Protocol.PutFoldSnapshotRequest, Protocol.PutFoldSnapshotResponse>.Of(Protocol.TemporalReflection.Descriptor.Services[0], "PutFoldSnapshot");

    public static readonly RpcMethod<Protocol.ResolveTimeRequest, Protocol.Cut> ResolveTime =
        RpcMethod<Protocol.ResolveTimeRequest, Protocol.Cut>.Of(Protocol.TemporalReflection.Descriptor.Services[0], "ResolveTime");

    public static readonly RpcMethod<Protocol.DefineReducerRequest, Protocol.DefineReducerResponse> DefineReducer =
        RpcMethod<Protocol.DefineReducerRequest, Protocol.DefineReducerResponse>.Of(Protocol.TemporalReflection.Descriptor.Services[0], "DefineReducer");

    public static readonly RpcMethod<Protocol.GetReducerRequest, Protocol.NamedReducer> GetReducer =
        RpcMethod<Protocol.GetReducerRequest, Protocol.NamedReducer>.Of(Protocol.TemporalReflection.Descriptor.Services[0], "GetReducer");

    public static readonly RpcMethod<Protocol.ListReducersRequest, Protocol.ListReducersResponse> ListReducers =
        RpcMethod<Protocol.ListReducersRequest, Protocol.ListReducersResponse>.Of(Protocol.TemporalReflection.Descriptor.Services[0], "ListReducers");

    public static readonly RpcMethod<Protocol.WhoAmIRequest, Protocol.WhoAmIResponse> WhoAmI = Access<Protocol.WhoAmIRequest, Protocol.WhoAmIResponse>("WhoAmI");

    public static readonly RpcMethod<Protocol.ChangePasswordRequest, Protocol.AppendResponse> ChangePassword =
        Access<Protocol.ChangePasswordRequest, Protocol.AppendResponse>("ChangePassword");

    public static readonly RpcMethod<Protocol.SetUserRequest, Protocol.AppendResponse> SetUser = Access<Protocol.SetUserRequest, Protocol.AppendResponse>("SetUser");

    public static readonly RpcMethod<Protocol.RemoveUserRequest, Protocol.AppendResponse> RemoveUser = Access<Protocol.RemoveUserRequest, Protocol.AppendResponse>("RemoveUser");

    public static readonly RpcMethod<Protocol.ListUsersRequest, Protocol.ListUsersResponse> ListUsers = Access<Protocol.ListUsersRequest, Protocol.ListUsersResponse>("ListUsers");

    public static readonly RpcMethod<Protocol.SetRoleRequest, Protocol.AppendResponse> SetRole = Access<Protocol.SetRoleRequest, Protocol.AppendResponse>("SetRole");

    public static readonly RpcMethod<Protocol.RemoveRoleRequest, Protocol.AppendResponse> RemoveRole = Access<Protocol.RemoveRoleRequest, Protocol.AppendResponse>("RemoveRole");

    public static readonly RpcMethod<Protocol.ListRolesRequest, Protocol.ListRolesResponse> ListRoles = Access<Protocol.ListRolesRequest, Protocol.ListRolesResponse>("ListRoles");

    public static readonly RpcMethod<Protocol.GetClusterRequest, Protocol.GetClusterResponse> GetCluster = Cluster<Protocol.GetClusterRequest>("GetCluster");

    public static readonly RpcMethod<Protocol.InitClusterRequest, Protocol.GetClusterResponse> InitCluster = Cluster<Protocol.InitClusterRequest>("InitCluster");

    public static readonly RpcMethod<Protocol.AddNodeRequest, Protocol.GetClusterResponse> AddNode = Cluster<Protocol.AddNodeRequest>("AddNode");

    public static readonly RpcMethod<Protocol.RemoveNodeRequest, Protocol.GetClusterResponse> RemoveNode = Cluster<Protocol.RemoveNodeRequest>("RemoveNode");

    public static readonly RpcMethod<Protocol.ReplaceNodeRequest, Protocol.GetClusterResponse> ReplaceNode = Cluster<Protocol.ReplaceNodeRequest>("ReplaceNode");

    public static readonly RpcMethod<Protocol.TransferLeadershipRequest, Protocol.GetClusterResponse> TransferLeadership =
        Cluster<Protocol.TransferLeadershipRequest>("TransferLeadership");

    private static RpcMethod<TRequest, TResponse> Access<TRequest, TResponse>(string name)
        where TRequest : class, Google.Protobuf.IMessage<TRequest>, new()
        where TResponse : class, Google.Protobuf.IMessage<TResponse>, new() =>
        RpcMethod<TRequest, TResponse>.Of(Protocol.AccessReflection.Descriptor.Services[0], name);

    private static RpcMethod<TRequest, Protocol.GetClusterResponse> Cluster<TRequest>(string name)
        where TRequest : class, Google.Protobuf.IMessage<TRequest>, new() =>
        RpcMethod<TRequest, Protocol.GetClusterResponse>.Of(Protocol.ClusterReflection.Descriptor.Services[0], name);
}
