using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace EventVault.Node.Tests.Cluster;

/// <summary>What each call does on a node that does not lead.</summary>
public sealed class FollowerCallsTests
{
    /// <summary>Calls that change something, each with a request that a leader would take.</summary>
    private static readonly Dictionary<string, Func<RpcChannel, Task>> Changing = new()
    {
        ["Append"] = c => c.UnaryAsync(Methods.Append, Make.Append(Make.Stream("s", Make.Any))).AsTask(),
        ["AppendSession"] = AppendInSessionAsync,
        ["DeleteStream"] = c => c.UnaryAsync(Methods.DeleteStream, new DeleteStreamRequest { OperationId = Make.Id(), Stream = "s", Expected = Make.Any }).AsTask(),
        ["TruncateStream"] = c => c.UnaryAsync(Methods.TruncateStream, new TruncateStreamRequest { OperationId = Make.Id(), Stream = "s", Expected = Make.Any, Before = 1 }).AsTask(),
        ["SetRetention"] = c => c.UnaryAsync(Methods.SetRetention, new SetRetentionRequest { OperationId = Make.Id(), Scope = new RetentionScope { Stream = "s" }, Rule = new RetentionRule { MaxEvents = 5 } }).AsTask(),
        ["DefineReducer"] = c => c.UnaryAsync(Methods.DefineReducer, new DefineReducerRequest { OperationId = Make.Id(), Name = "r", Definition = new ReducerDefinition { MergePatch = new Empty() } }).AsTask(),
        ["StartScavenge"] = c => c.UnaryAsync(Of<StartScavengeRequest, ScavengeStatus>(AdminReflection.Descriptor.Services[0], "StartScavenge"), new StartScavengeRequest { OperationId = Make.Id() }).AsTask(),
        ["StopScavenge"] = c => c.UnaryAsync(Of<StopScavengeRequest, ScavengeStatus>(AdminReflection.Descriptor.Services[0], "StopScavenge"), new StopScavengeRequest { OperationId = Make.Id() }).AsTask(),
        ["AddNode"] = c => c.UnaryAsync(ClusterMethods.AddNode, new AddNodeRequest { PeerAddress = "127.0.0.1:9" }).AsTask(),
        ["RemoveNode"] = c => c.UnaryAsync(ClusterMethods.RemoveNode, new RemoveNodeRequest { NodeId = 1 }).AsTask(),
        ["ReplaceNode"] = c => c.UnaryAsync(ClusterMethods.ReplaceNode, new ReplaceNodeRequest { NodeId = 1, PeerAddress = "127.0.0.1:9" }).AsTask(),
        ["TransferLeadership"] = c => c.UnaryAsync(ClusterMethods.TransferLeadership, new TransferLeadershipRequest()).AsTask(),
    };

    /// <summary>Calls that don't: they are answered by every node, or wait for what they ask for. The second word says who tests them.</summary>
    private static readonly Dictionary<string, string> Others = new()
    {
        ["ReadStream"] = "here",
        ["ReadAll"] = "here",
        ["Subscribe"] = "here",
        ["GetStream"] = "here",
        ["ListStreams"] = "here",
        ["CountEvents"] = "here",
        ["GetAppend"] = "here",
        ["GetRetention"] = "reads alike",
        ["ListRetention"] = "reads alike",
        ["GetState"] = "here",
        ["GetStates"] = "states alike",
        ["GetStateHistory"] = "states alike",
        ["ReadForFold"] = "reads alike",
        ["PutFoldSnapshot"] = "the node's own",
        ["ResolveTime"] = "here",
        ["GetReducer"] = "reads alike",
        ["ListReducers"] = "reads alike",
        ["GetInfo"] = "the node's own",
        ["GetStatus"] = "the node's own",
        ["GetScavenge"] = "the node's own",
        ["ExplainScavenge"] = "the node's own",
        ["ListBackup"] = "ClusterTests of vault-admin",
        ["ReadBackup"] = "ClusterTests of vault-admin",
        ["GetCluster"] = "ClusterTests",
        ["InitCluster"] = "ClusterTests",
    };

    [Fact]
    public void Every_call_of_the_protocol_is_in_one_of_the_tables()
    {
        var all = new[] { StreamsReflection.Descriptor, TemporalReflection.Descriptor, AdminReflection.Descriptor, ClusterReflection.Descriptor }
            .SelectMany(file => file.Services).SelectMany(service => service.Methods).Select(method => method.Name).Order().ToList();
        Assert.Equal(all, Changing.Keys.Concat(Others.Keys).Order());
    }

    [Fact]
    public async Task Calls_that_change_something_name_the_leader_and_change_nothing()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        await cluster.AppendAsync("s", Make.Events(3));
        await cluster.UntilEqualAsync();
        var (leader, follower) = (await cluster.LeaderAsync(), await cluster.FollowerAsync());
        await cluster.UntilAsync(() => follower.Node!.Loop.LeaderAddress.Length > 0, "the leader's address");
        var before = leader.Node!.Storage.Head;
        foreach (var (name, call) in Changing)
        {
            var failure = await Fails.WithAsync(RpcCode.Unavailable, Reason.NotLeader, () => call(follower.Channel));
            Assert.True(leader.Address == failure.Address, $"{name}: {failure.Address}");
        }

        Assert.Equal(before, leader.Node.Storage.Head);
    }

    [Fact]
    public async Task Reads_on_a_follower_see_all_that_was_acknowledged_before_they_came()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        var follower = await cluster.FollowerAsync();
        for (var i = 1; i <= 30; i++)
        {
            var answer = await cluster.AppendAsync("s", Make.Event());
            Assert.Equal(i, (await follower.ReadAllAsync()).Count);
            Assert.Equal((ulong)i - 1, (await follower.CallAsync(Methods.GetStream, new GetStreamRequest { Stream = "s" })).LastVersion);
            Assert.Equal((ulong)i, (await follower.CallAsync(Methods.CountEvents, new CountEventsRequest { Filter = new EventFilter { StreamPrefix = "s" } })).Count);
            Assert.Single((await follower.CallAsync(Methods.ListStreams, new ListStreamsRequest())).Streams);
            Assert.True((await follower.ReadAllAsync(new Consistency { AtLeast = answer.LastPosition })).Count >= i);
        }

        Assert.InRange((await follower.ReadAllAsync(new Consistency { Local = new Empty() })).Count, 0, 30);
    }

    [Fact]
    public async Task An_append_is_found_on_every_node_by_its_operation_id()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        var append = Make.Append(Make.Stream("s", Make.Any));
        var answer = await cluster.OnLeaderAsync(Methods.Append, append);
        foreach (var node in cluster.Nodes)
        {
            var found = await node.CallAsync(Methods.GetAppend, new GetAppendRequest { OperationId = append.OperationId });
            Assert.Equal(answer.FirstPosition, found.FirstPosition);
        }
    }

    [Fact]
    public async Task A_subscription_on_a_follower_gets_everything_in_order_as_it_is_committed()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        var follower = await cluster.FollowerAsync();
        await using var call = follower.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() });
        var got = new List<ulong>();
        for (var i = 0; i < 20; i++)
        {
            await cluster.AppendAsync($"s-{i % 3}", Make.Event());
            while (got.Count <= i && await call.MoveNextAsync())
            {
                if (call.Current.ContentCase == ReadResponse.ContentOneofCase.Events)
                {
                    got.AddRange(call.Current.Events.Events.Select(e => e.Position));
                }
            }
        }

        Assert.Equal(Enumerable.Range(0, 20).Select(i => (ulong)i), got);
    }

    [Fact]
    public async Task A_time_that_only_the_leader_can_close_is_refused_with_its_address()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        await cluster.AppendAsync("s", Make.Event());
        await cluster.UntilEqualAsync();
        var (leader, follower) = (await cluster.LeaderAsync(), await cluster.FollowerAsync());
        await cluster.UntilAsync(() => follower.Node!.Loop.LeaderAddress.Length > 0, "the leader's address");
        var closed = follower.Node!.Storage.ClosedTime;
        var known = await follower.CallAsync(Methods.GetState, State(new AsOf { Time = closed }));
        Assert.True(known.Exists);
        var later = VaultLoop.Now(TimeProvider.System);
        Assert.True(later > closed);
        var failure = await Fails.WithAsync(RpcCode.Unavailable, Reason.NotLeader, () => follower.CallAsync(Methods.GetState, State(new AsOf { Time = later })));
        Assert.Equal(leader.Address, failure.Address);
    }

    private static GetStateRequest State(AsOf asOf) => new() { Stream = "s", AsOf = asOf, Reducer = new ReducerReference { Inline = new ReducerDefinition { MergePatch = new Empty() } } };

    private static async Task AppendInSessionAsync(RpcChannel channel)
    {
        await using var call = channel.Start(Methods.AppendSession);
        var request = new AppendSessionRequest { RequestId = 1, Append = Make.Append(Make.Stream("s", Make.Any)) };
        call.Write(request);
        await call.CompleteAsync();
        while (await call.MoveNextAsync())
        {
        }
    }

    private static RpcMethod<TRequest, TResponse> Of<TRequest, TResponse>(ServiceDescriptor service, string name)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() => RpcMethod<TRequest, TResponse>.Of(service, name);
}
