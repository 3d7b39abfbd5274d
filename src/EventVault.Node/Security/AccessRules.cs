// What each call takes: the one table. A call that is not in it is refused to everybody (and a test fails), so a new one needs a row.
using System.Collections.Frozen;
using EventVault.Protocol;
using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace EventVault.Node.Security;

/// <summary>What a call takes.</summary>
internal enum Asks
{
    /// <summary>Not even credentials.</summary>
    Nothing,

    /// <summary>Credentials of somebody who is allowed anything at all.</summary>
    Somebody,

    /// <summary>Credentials alone: it is about the caller, and written nowhere but in its own name.</summary>
    Itself,

    /// <summary>An administrator.</summary>
    Admin,

    /// <summary>What its request says.</summary>
    Request,

    /// <summary>What its requests say, which its handler looks at as it reads them.</summary>
    Content,
}

/// <summary>Whether an act is recorded.</summary>
internal enum Recorded
{
    /// <summary>It is no administrative one.</summary>
    Not,

    /// <summary>In <c>$audit</c>; if that can't be, it is not done.</summary>
    BeforeItIsDone,

    /// <summary>In the node's log, and in <c>$audit</c> where and while the vault takes appends.</summary>
    AsFarAsCanBe,
}

/// <summary>What one call takes.</summary>
/// <param name="Asks">What in general.</param>
/// <param name="Request">With <see cref="Asks.Request"/>, and with what is audited: what its request is.</param>
/// <param name="Grants">With <see cref="Asks.Request"/>: what a request takes, all of it.</param>
/// <param name="Recorded">Whether it is an administrative act, and how that is kept.</param>
internal sealed record AccessRule(Asks Asks, MessageDescriptor? Request = null, Func<IMessage, IEnumerable<Grant>>? Grants = null, Recorded Recorded = Recorded.Not);

/// <summary>The table.</summary>
internal static class AccessRules
{
    private static readonly Grant ReadAll = new(Operations.Read, Grant.Everything);

    private static readonly FrozenDictionary<string, AccessRule> Table = new Dictionary<string, AccessRule>(StringComparer.Ordinal)
    {
        ["/eventvault.v1.Streams/Append"] = new(Asks.Content),
        ["/eventvault.v1.Streams/AppendSession"] = new(Asks.Content),
        ["/eventvault.v1.Streams/ReadStream"] = By<ReadStreamRequest>(static r => [Read(r.Stream)]),
        ["/eventvault.v1.Streams/ReadAll"] = By<ReadAllRequest>(static r => Matching(r.Filter, r.IncludeSystem)),
        ["/eventvault.v1.Streams/Subscribe"] = By<SubscribeRequest>(static r => r.SourceCase == SubscribeRequest.SourceOneofCase.Stream ? [Read(r.Stream)] : Matching(r.Filter, r.IncludeSystem)),
        ["/eventvault.v1.Streams/GetStream"] = By<GetStreamRequest>(static r => [Read(r.Stream)]),
        ["/eventvault.v1.Streams/ListStreams"] = By<ListStreamsRequest>(static r => [r.Category.Length > 0 ? new Grant(Operations.Read, r.Category) : OfPrefix(r.Prefix)]),
        ["/eventvault.v1.Streams/CountEvents"] = By<CountEventsRequest>(static r => Matching(r.Filter, includeSystem: false)),
        ["/eventvault.v1.Streams/GetAppend"] = By<GetAppendRequest>(static _ => [ReadAll]),
        ["/eventvault.v1.Streams/DeleteStream"] = By<DeleteStreamRequest>(static r => [Manage(r.Stream)], Recorded.BeforeItIsDone),
        ["/eventvault.v1.Streams/TruncateStream"] = By<TruncateStreamRequest>(static r => [Manage(r.Stream)], Recorded.BeforeItIsDone),
        ["/eventvault.v1.Streams/SetRetention"] = By<SetRetentionRequest>(static r => [Of(Operations.Manage, r.Scope)], Recorded.BeforeItIsDone),
        ["/eventvault.v1.Streams/GetRetention"] = By<GetRetentionRequest>(static r => [Of(Operations.Read, r.Scope)]),
        ["/eventvault.v1.Streams/ListRetention"] = By<ListRetentionRequest>(static _ => [ReadAll]),

        ["/eventvault.v1.Temporal/GetState"] = By<GetStateRequest>(static r => [Read(r.Stream)]),
        ["/eventvault.v1.Temporal/GetStates"] = By<GetStatesRequest>(static r => r.Streams.Count == 0 || r.Category.Length > 0 ? [.. r.Streams.Select(Read), new Grant(Operations.Read, r.Category)] : r.Streams.Select(Read)),
        ["/eventvault.v1.Temporal/GetStateHistory"] = By<GetStateHistoryRequest>(static r => [Read(r.Stream)]),
        ["/eventvault.v1.Temporal/ReadForFold"] = By<ReadForFoldRequest>(static r => [Read(r.Stream)]),

        // What is put there others go on from, so it takes as much as writing the events.
        ["/eventvault.v1.Temporal/PutFoldSnapshot"] = By<PutFoldSnapshotRequest>(static r => [new(Operations.Append, Grant.CategoryOf(r.Stream))]),
        ["/eventvault.v1.Temporal/ResolveTime"] = new(Asks.Somebody),
        ["/eventvault.v1.Temporal/DefineReducer"] = By<DefineReducerRequest>(static _ => [new(Operations.Manage, Grant.Everything)], Recorded.BeforeItIsDone),
        ["/eventvault.v1.Temporal/GetReducer"] = new(Asks.Somebody),
        ["/eventvault.v1.Temporal/ListReducers"] = new(Asks.Somebody),

        ["/eventvault.v1.Admin/GetInfo"] = new(Asks.Somebody),
        ["/eventvault.v1.Admin/GetStatus"] = new(Asks.Somebody),
        ["/eventvault.v1.Admin/StartScavenge"] = Act<StartScavengeRequest>(),
        ["/eventvault.v1.Admin/StopScavenge"] = Act<StopScavengeRequest>(),
        ["/eventvault.v1.Admin/GetScavenge"] = new(Asks.Somebody),
        ["/eventvault.v1.Admin/ExplainScavenge"] = new(Asks.Admin),

        // All that is in the vault, hashes of passwords included.
        ["/eventvault.v1.Admin/ListBackup"] = new(Asks.Admin, ListBackupRequest.Descriptor, Recorded: Recorded.AsFarAsCanBe),
        ["/eventvault.v1.Admin/ReadBackup"] = new(Asks.Admin, ReadBackupRequest.Descriptor, Recorded: Recorded.AsFarAsCanBe),

        ["/eventvault.v1.Cluster/GetCluster"] = new(Asks.Somebody),

        // It changes only a node without a vault, which has no stream to record it in; its log says who asked.
        ["/eventvault.v1.Cluster/InitCluster"] = new(Asks.Admin),
        ["/eventvault.v1.Cluster/AddNode"] = Act<AddNodeRequest>(),
        ["/eventvault.v1.Cluster/RemoveNode"] = Act<RemoveNodeRequest>(),
        ["/eventvault.v1.Cluster/ReplaceNode"] = Act<ReplaceNodeRequest>(),
        ["/eventvault.v1.Cluster/TransferLeadership"] = Act<TransferLeadershipRequest>(),

        ["/eventvault.v1.Access/WhoAmI"] = new(Asks.Itself),
        ["/eventvault.v1.Access/ChangePassword"] = new(Asks.Itself), // No administrative act: whoever may do nothing else must not fill `$audit` by it.
        ["/eventvault.v1.Access/SetUser"] = Act<SetUserRequest>(),
        ["/eventvault.v1.Access/RemoveUser"] = Act<RemoveUserRequest>(),
        ["/eventvault.v1.Access/ListUsers"] = new(Asks.Admin),
        ["/eventvault.v1.Access/SetRole"] = Act<SetRoleRequest>(),
        ["/eventvault.v1.Access/RemoveRole"] = Act<RemoveRoleRequest>(),
        ["/eventvault.v1.Access/ListRoles"] = new(Asks.Admin),

        // Probes have no credentials, and learn nothing but whether the node serves; so it is over HTTP.
        ["/grpc.health.v1.Health/Check"] = new(Asks.Nothing),
        ["/grpc.health.v1.Health/Watch"] = new(Asks.Nothing),
        ["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] = new(Asks.Somebody),
        ["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"] = new(Asks.Somebody),
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>What a call takes; null: it is not in the table.</summary>
    /// <param name="method">Its path, <c>/package.Service/Method</c>.</param>
    public static AccessRule? Find(string method) => Table.GetValueOrDefault(method);

    private static AccessRule By<T>(Func<T, IEnumerable<Grant>> grants, Recorded recorded = Recorded.Not)
        where T : class, IMessage<T>, new() => new(Asks.Request, new T().Descriptor, request => grants((T)request), recorded);

    private static AccessRule Act<T>()
        where T : class, IMessage<T>, new() => new(Asks.Admin, new T().Descriptor, Recorded: Recorded.BeforeItIsDone);

    private static Grant Read(string stream) => new(Operations.Read, Grant.CategoryOf(stream));

    private static Grant Manage(string stream) => new(Operations.Manage, Grant.CategoryOf(stream));

    private static Grant Of(Operations operation, RetentionScope? scope) => scope?.ScopeCase switch
    {
        RetentionScope.ScopeOneofCase.Stream => new(operation, Grant.CategoryOf(scope.Stream)),
        RetentionScope.ScopeOneofCase.Category => new(operation, scope.Category),
        _ => new(operation, Grant.Everything), // It says nothing, and is refused for that.
    };

    // A prefix with a - is of one category; any other one may be the beginning of many.
    private static Grant OfPrefix(string prefix) =>
        prefix.Contains('-', StringComparison.Ordinal) ? Read(prefix) : new(Operations.Read, prefix.StartsWith('$') ? Grant.System : Grant.Everything);

    // What else a filter says makes the events fewer. Whoever may read one category must name it.
    private static IEnumerable<Grant> Matching(EventFilter? filter, bool includeSystem) => filter switch
    {
        { Category.Length: > 0 } => [new Grant(Operations.Read, filter.Category)],
        { StreamPrefix.Length: > 0 } => [OfPrefix(filter.StreamPrefix)],
        _ => includeSystem ? [ReadAll, new Grant(Operations.Read, Grant.System)] : [ReadAll],
    };
}
