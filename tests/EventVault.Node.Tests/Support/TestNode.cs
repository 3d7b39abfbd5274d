using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Storage.Tests.Simulated;
using Google.Protobuf;

namespace EventVault.Node.Tests.Support;

/// <summary>A node in this process on free ports, on a simulated disk unless told otherwise, and a channel to it.</summary>
internal sealed class TestNode : IAsyncDisposable
{
    /// <summary>Small, so that tests that write a lot go over several segments.</summary>
    public const uint SegmentSizeBytes = 1024 * 1024;

    private readonly NodeOptions _options;
    private bool _stopped;

    private TestNode(Node node, NodeOptions options)
    {
        Node = node;
        _options = options;
        Channel = new RpcChannel(new Uri($"http://{node.RpcEndPoint}"));
    }

    public Node Node { get; }

    public RpcChannel Channel { get; }

    public string Directory => _options.Directory;

    public SimulatedFileSystem Disk => (SimulatedFileSystem)_options.Files;

    public static async Task<TestNode> StartAsync(Func<NodeOptions, NodeOptions>? configure = null)
    {
        var options = new NodeOptions
        {
            Directory = "/vault",
            Files = new SimulatedFileSystem(tracksLosses: false),
            SegmentSizeBytes = SegmentSizeBytes,
            ProgressInterval = TimeSpan.FromMilliseconds(50),
            RetentionInterval = TimeSpan.FromHours(1), // Tests that want a pass make one.
        };
        return await StartWithAsync(configure is null ? options : configure(options));
    }

    /// <summary>Stops this node and starts another one on its disk.</summary>
    public async Task<TestNode> RestartAsync()
    {
        await StopAsync();
        return await StartWithAsync(_options);
    }

    public async Task StopAsync()
    {
        _stopped = true;
        await Node.StopAsync();
        await Channel.DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (!_stopped)
        {
            await StopAsync();
        }
    }

    private static async Task<TestNode> StartWithAsync(NodeOptions options) => new(await Node.StartAsync(options), options);

    // Far longer than any test holds up an append: one that is not answered fails its test, and says where it was left.
    public async ValueTask<AppendResponse> AppendAsync(AppendRequest request)
    {
        try
        {
            return await Channel.UnaryAsync(Methods.Append, request, new RpcCallOptions(4 * Wait.Limit));
        }
        catch (RpcException e) when (e.Status.Code == RpcCode.DeadlineExceeded)
        {
            throw new TimeoutException(
                $"An append was not answered. Calls in the node: {Node.Calls.ActiveCalls}; appends that wait: {Node.Loop.Waiting}, of them since {Node.Loop.WaitsSince}; "
                + $"idle {Node.Loop.IsIdle}, queued {Node.Loop.HasQueued}, waits for room {Node.Loop.WaitsForRoom}, disk full {Node.Storage.DiskIsFull}, {Node.Standing}.",
                e);
        }
    }

    public ValueTask<AppendResponse> AppendAsync(string stream, ExpectedVersion expected, params EventData[] events) =>
        AppendAsync(Make.Append(Make.Stream(stream, expected, events)));

    public async Task<AppendResponse> RetainAsync(RetentionScope scope, RetentionRule? rule) =>
        await Channel.UnaryAsync(Methods.SetRetention, new SetRetentionRequest { OperationId = Make.Id(), Scope = scope, Rule = rule });

    public async Task<List<RecordedEvent>> ReadAllAsync(ReadAllRequest? request = null) =>
        (await ReadAsync(Methods.ReadAll, request ?? new ReadAllRequest())).Events;

    public async Task<List<RecordedEvent>> ReadStreamAsync(ReadStreamRequest request) => (await ReadAsync(Methods.ReadStream, request)).Events;

    public async Task<(ReadHead Head, List<RecordedEvent> Events)> ReadAsync<T>(RpcMethod<T, ReadResponse> method, T request)
        where T : class, IMessage<T>, new()
    {
        await using var call = Channel.Start(method, request);
        var events = new List<RecordedEvent>();
        Assert.True(await call.MoveNextAsync());
        var head = call.Current.Head;
        Assert.NotNull(head);
        while (await call.MoveNextAsync())
        {
            Assert.Equal(ReadResponse.ContentOneofCase.Events, call.Current.ContentCase);
            events.AddRange(call.Current.Events.Events);
        }

        return (head, events);
    }
}

/// <summary>The methods of the node's services.</summary>
internal static class Methods
{
    public static readonly RpcMethod<AppendRequest, AppendResponse> Append = Of<AppendRequest, AppendResponse>("Append");
    public static readonly RpcMethod<AppendSessionRequest, AppendSessionResponse> AppendSession = Of<AppendSessionRequest, AppendSessionResponse>("AppendSession");
    public static readonly RpcMethod<ReadAllRequest, ReadResponse> ReadAll = Of<ReadAllRequest, ReadResponse>("ReadAll");
    public static readonly RpcMethod<ReadStreamRequest, ReadResponse> ReadStream = Of<ReadStreamRequest, ReadResponse>("ReadStream");
    public static readonly RpcMethod<SubscribeRequest, ReadResponse> Subscribe = Of<SubscribeRequest, ReadResponse>("Subscribe");
    public static readonly RpcMethod<GetStreamRequest, StreamInfo> GetStream = Of<GetStreamRequest, StreamInfo>("GetStream");
    public static readonly RpcMethod<ListStreamsRequest, ListStreamsResponse> ListStreams = Of<ListStreamsRequest, ListStreamsResponse>("ListStreams");
    public static readonly RpcMethod<CountEventsRequest, CountEventsResponse> CountEvents = Of<CountEventsRequest, CountEventsResponse>("CountEvents");
    public static readonly RpcMethod<GetAppendRequest, AppendResponse> GetAppend = Of<GetAppendRequest, AppendResponse>("GetAppend");
    public static readonly RpcMethod<DeleteStreamRequest, AppendResponse> DeleteStream = Of<DeleteStreamRequest, AppendResponse>("DeleteStream");
    public static readonly RpcMethod<TruncateStreamRequest, AppendResponse> TruncateStream = Of<TruncateStreamRequest, AppendResponse>("TruncateStream");
    public static readonly RpcMethod<SetRetentionRequest, AppendResponse> SetRetention = Of<SetRetentionRequest, AppendResponse>("SetRetention");
    public static readonly RpcMethod<GetRetentionRequest, GetRetentionResponse> GetRetention = Of<GetRetentionRequest, GetRetentionResponse>("GetRetention");
    public static readonly RpcMethod<ListRetentionRequest, ListRetentionResponse> ListRetention = Of<ListRetentionRequest, ListRetentionResponse>("ListRetention");
    public static readonly RpcMethod<GetStateRequest, State> GetState =
        RpcMethod<GetStateRequest, State>.Of(TemporalReflection.Descriptor.Services[0], "GetState");
    public static readonly RpcMethod<DefineReducerRequest, DefineReducerResponse> DefineReducer =
        RpcMethod<DefineReducerRequest, DefineReducerResponse>.Of(TemporalReflection.Descriptor.Services[0], "DefineReducer");
    public static readonly RpcMethod<GetInfoRequest, GetInfoResponse> GetInfo =
        RpcMethod<GetInfoRequest, GetInfoResponse>.Of(AdminReflection.Descriptor.Services[0], "GetInfo");
    public static readonly RpcMethod<GetStatusRequest, GetStatusResponse> GetStatus =
        RpcMethod<GetStatusRequest, GetStatusResponse>.Of(AdminReflection.Descriptor.Services[0], "GetStatus");

    private static RpcMethod<TRequest, TResponse> Of<TRequest, TResponse>(string name)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() =>
        RpcMethod<TRequest, TResponse>.Of(StreamsReflection.Descriptor.Services[0], name);
}

/// <summary>Makes messages.</summary>
internal static class Make
{
    public static ExpectedVersion Any => new() { Any = new Empty() };

    public static ExpectedVersion NoStream => new() { NoStream = new Empty() };

    public static ExpectedVersion Exists => new() { Exists = new Empty() };

    public static ExpectedVersion Version(ulong version) => new() { Version = version };

    public static ByteString Id(int seed = 0)
    {
        var bytes = Guid.NewGuid().ToByteArray(bigEndian: true);
        if (seed != 0)
        {
            Array.Clear(bytes);
            BitConverter.TryWriteBytes(bytes, seed);
        }

        return ByteString.CopyFrom(bytes);
    }

    public static EventData Event(string type = "happened", string data = "{}") =>
        new() { Id = Id(), Type = type, Data = ByteString.CopyFromUtf8(data) };

    public static EventData[] Events(int count) => [.. Enumerable.Range(0, count).Select(i => Event(data: $"{{\"n\":{i}}}"))];

    public static EventData Tagged(string type, params string[] tags)
    {
        var e = Event(type);
        e.Tags.AddRange(tags);
        return e;
    }

    /// <summary>An item of types and tags, each a list with commas; empty: none.</summary>
    public static QueryItem Item(string types = "", string tags = "")
    {
        var item = new QueryItem();
        item.Types_.AddRange(types.Split(',', StringSplitOptions.RemoveEmptyEntries));
        item.Tags.AddRange(tags.Split(',', StringSplitOptions.RemoveEmptyEntries));
        return item;
    }

    public static Query Query(params QueryItem[] items)
    {
        var query = new Query();
        query.Items.AddRange(items);
        return query;
    }

    public static AppendCondition Condition(ulong? after, params QueryItem[] items)
    {
        var condition = new AppendCondition { Query = Query(items) };
        if (after is { } position)
        {
            condition.After = position;
        }

        return condition;
    }

    public static StreamRequirement Requirement(string stream, ExpectedVersion expected) => new() { Stream = stream, Expected = expected };

    public static StreamAppend Stream(string stream, ExpectedVersion expected, params EventData[] events)
    {
        var append = new StreamAppend { Stream = stream, Expected = expected };
        append.Events.AddRange(events.Length == 0 ? [Event()] : events);
        return append;
    }

    public static AppendRequest Append(params StreamAppend[] streams)
    {
        var request = new AppendRequest { OperationId = Id() };
        request.Streams.AddRange(streams);
        return request;
    }
}
