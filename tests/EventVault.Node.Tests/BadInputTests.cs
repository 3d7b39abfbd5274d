using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Storage.Log;
using Google.Protobuf;

namespace EventVault.Node.Tests;

/// <summary>What was tried stands in docs/TESTING.md; keep the two in step.</summary>
public sealed class BadInputTests
{
    private const RpcCode Invalid = RpcCode.InvalidArgument;

    [Fact]
    public async Task Bad_appends_are_refused_with_the_place_of_what_is_wrong_and_the_node_goes_on()
    {
        await using var node = await TestNode.StartAsync(o => o with { Limits = new VaultLimits { AppendEvents = 100, EventBytes = 10_000, AppendBytes = 50_000 } });

        async Task Refused(Reason reason, string field, Action<AppendRequest> spoil)
        {
            var request = Make.Append(Make.Stream("a", Make.Any, Make.Event(), Make.Event()), Make.Stream("b", Make.NoStream));
            spoil(request);
            var failure = await Fails.WithAsync(Invalid, reason, () => node.AppendAsync(request).AsTask());
            Assert.Equal(field, failure.Field);
            if (reason == Reason.LimitExceeded)
            {
                Assert.True(failure.Limit.Value > failure.Limit.Allowed);
                var info = await node.Channel.UnaryAsync(Methods.GetInfo, new GetInfoRequest());
                var limit = info.Limits.Single(l => l.Name == failure.Limit.Limit);
                Assert.Equal((limit.Allowed, limit.Setting), (failure.Limit.Allowed, failure.Limit.Setting));
            }
        }

        await Refused(Reason.InvalidRequest, "operation_id", r => r.OperationId = ByteString.Empty);
        await Refused(Reason.InvalidRequest, "operation_id", r => r.OperationId = ByteString.CopyFrom(new byte[15]));
        await Refused(Reason.InvalidRequest, "operation_id", r => r.OperationId = ByteString.CopyFrom(new byte[17]));
        await Refused(Reason.InvalidRequest, "streams", r => r.Streams.Clear());
        await Refused(Reason.InvalidName, "streams[0].stream", r => r.Streams[0].Stream = "");
        await Refused(Reason.InvalidName, "streams[1].stream", r => r.Streams[1].Stream = "a\nb");
        await Refused(Reason.InvalidName, "streams[1].stream", r => r.Streams[1].Stream = "a\u0085b");
        await Refused(Reason.LimitExceeded, "streams[0].stream", r => r.Streams[0].Stream = new string('x', 10_000));
        await Refused(Reason.LimitExceeded, "streams[0].stream", r => r.Streams[0].Stream = new string('é', 513));
        await Refused(Reason.ReservedName, "streams[0].stream", r => r.Streams[0].Stream = "$a");
        await Refused(Reason.InvalidRequest, "streams[1].stream", r => r.Streams[1].Stream = "a");
        await Refused(Reason.InvalidRequest, "streams[19].stream", r => r.Streams.AddRange(Enumerable.Range(0, 18).Select(i => Make.Stream(i == 17 ? "b" : $"c{i}", Make.Any))));
        await Refused(Reason.InvalidRequest, "streams[1].expected", r => r.Streams[1].Expected = null);
        await Refused(Reason.InvalidRequest, "streams[1].expected", r => r.Streams[1].Expected = new ExpectedVersion());
        await Refused(Reason.InvalidRequest, "streams[1].expected.version", r => r.Streams[1].Expected = Make.Version(ulong.MaxValue));
        await Refused(Reason.InvalidRequest, "streams[1].expected.version", r => r.Streams[1].Expected = Make.Version((ulong)long.MaxValue + 1));
        await Refused(Reason.InvalidRequest, "streams[0].events", r => r.Streams[0].Events.Clear());
        await Refused(Reason.InvalidEvent, "streams[0].events[1].id", r => r.Streams[0].Events[1].Id = ByteString.Empty);
        await Refused(Reason.InvalidEvent, "streams[0].events[1].id", r => r.Streams[0].Events[1].Id = ByteString.CopyFrom(new byte[3]));
        await Refused(Reason.InvalidEvent, "streams[0].events[1].type", r => r.Streams[0].Events[1].Type = "");
        await Refused(Reason.LimitExceeded, "streams[0].events[1].type", r => r.Streams[0].Events[1].Type = new string('t', 257));
        await Refused(Reason.LimitExceeded, "streams[0].events[1].content_type", r => r.Streams[0].Events[1].ContentType = new string('t', 257));
        await Refused(Reason.LimitExceeded, "streams[0].events[1].tags[0]", r => r.Streams[0].Events[1].Tags.Add(new string('t', 129)));
        await Refused(Reason.LimitExceeded, "streams[0].events[1].tags", r => r.Streams[0].Events[1].Tags.AddRange(Enumerable.Range(0, 17).Select(i => $"{i}")));
        await Refused(Reason.InvalidEvent, "streams[0].events[1].tags[1]", r => r.Streams[0].Events[1].Tags.AddRange(["a", "a"]));
        await Refused(Reason.InvalidEvent, "streams[0].events[1].tags[0]", r => r.Streams[0].Events[1].Tags.Add(""));
        await Refused(Reason.LimitExceeded, "streams[0].events[1].metadata", r => r.Streams[0].Events[1].Metadata.Add(Enumerable.Range(0, 1025).ToDictionary(i => $"{i}", _ => "")));
        await Refused(Reason.LimitExceeded, "streams[0].events[1]", r => r.Streams[0].Events[1].Data = ByteString.CopyFrom(new byte[10_001]));
        await Refused(Reason.InvalidName, "requires[0].stream", r => r.Requires.Add(Make.Requirement("a\nb", Make.Any)));
        await Refused(Reason.ReservedName, "requires[1].stream", r => r.Requires.AddRange([Make.Requirement("c", Make.Any), Make.Requirement("$c", Make.Any)]));
        await Refused(Reason.LimitExceeded, "requires[0].stream", r => r.Requires.Add(Make.Requirement(new string('x', 1025), Make.Any)));
        await Refused(Reason.InvalidRequest, "requires[0].expected", r => r.Requires.Add(Make.Requirement("c", new ExpectedVersion())));
        await Refused(Reason.InvalidRequest, "requires[0].expected.version", r => r.Requires.Add(Make.Requirement("c", Make.Version(ulong.MaxValue))));
        await Refused(Reason.InvalidRequest, "requires[0].stream", r => r.Requires.Add(Make.Requirement("b", Make.Exists)));
        await Refused(Reason.InvalidRequest, "requires[1].stream", r => r.Requires.AddRange([Make.Requirement("c", Make.Any), Make.Requirement("c", Make.Any)]));
        await Refused(Reason.InvalidRequest, "requires[29].stream", r => r.Requires.AddRange(Enumerable.Range(0, 30).Select(i => Make.Requirement($"c{i % 29}", Make.Any))));
        await Refused(Reason.LimitExceeded, "requires", r => r.Requires.AddRange(Enumerable.Range(0, 1001).Select(i => Make.Requirement($"c{i}", Make.Any))));
        await Refused(Reason.LimitExceeded, "conditions", r => r.Conditions.AddRange(Enumerable.Range(0, 17).Select(_ => Make.Condition(null, Make.Item("t")))));
        await Refused(Reason.InvalidRequest, "conditions[0].after", r => r.Conditions.Add(Make.Condition(ulong.MaxValue, Make.Item("t"))));
        await Refused(Reason.LimitExceeded, "conditions[1].query.items", r => r.Conditions.AddRange([Make.Condition(null, Make.Item("t")), Make.Condition(null, [.. Enumerable.Repeat(Make.Item("t"), 33)])]));
        await Refused(Reason.LimitExceeded, "conditions[0].query.items[1].types", r => r.Conditions.Add(Make.Condition(null, Make.Item("t"), Make.Item(string.Join(',', Enumerable.Repeat("t", 33))))));
        await Refused(Reason.LimitExceeded, "conditions[0].query.items[0].tags", r => r.Conditions.Add(Make.Condition(null, Make.Item("", string.Join(',', Enumerable.Repeat("t", 17))))));
        var wide = Make.Item(string.Join(',', Enumerable.Repeat("t", 32)), string.Join(',', Enumerable.Repeat("t", 16)));
        await Refused(Reason.LimitExceeded, "conditions[1].query.items[1]", r => r.Conditions.AddRange([Make.Condition(null, wide), Make.Condition(null, wide, Make.Item("t"))]));
        await Refused(Reason.LimitExceeded, "conditions[2].query.items[0]", r => r.Conditions.AddRange([Make.Condition(null, wide), Make.Condition(null, wide), Make.Condition(null, Make.Item("", "x"))]));
        await Refused(Reason.LimitExceeded, "conditions[0].query.items[0].types[0]", r => r.Conditions.Add(Make.Condition(null, Make.Item(new string('t', 257)))));
        await Refused(Reason.LimitExceeded, "conditions[0].query.items[0].tags[0]", r => r.Conditions.Add(Make.Condition(null, Make.Item("", new string('t', 129)))));
        await Refused(Reason.InvalidRequest, "attempted_after.position", r => r.AttemptedAfter = new SeenHead { Position = ulong.MaxValue });
        await Refused(Reason.LimitExceeded, "streams", r => r.Streams[0].Events.AddRange(Make.Events(98)));
        await Refused(Reason.LimitExceeded, "streams", r => r.Streams.AddRange(Enumerable.Range(0, 100).Select(i => Make.Stream($"c{i}", Make.Any))));
        await Refused(Reason.LimitExceeded, "streams", r => r.Streams[0].Events.AddRange(Enumerable.Range(0, 6).Select(_ => Make.Event(data: new string('x', 9_900)))));

        await node.AppendAsync(Make.Append(Make.Stream("a", Make.NoStream, Make.Events(97)), Make.Stream("b", Make.NoStream)));
        Assert.Equal(98, (await node.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task Metadata_over_its_limit_and_huge_messages_are_refused_by_name()
    {
        await using var node = await TestNode.StartAsync(o => o with { SegmentSizeBytes = 64 * 1024 * 1024 });
        var request = Make.Append(Make.Stream("a", Make.Any));
        request.Streams[0].Events[0].Metadata["k"] = new string('v', 65_536);
        Assert.Equal("metadata_bytes", (await Fails.WithAsync(Invalid, Reason.LimitExceeded, () => node.AppendAsync(request).AsTask())).Limit.Limit);

        request = Make.Append(Make.Stream("a", Make.Any));
        request.Streams[0].Events[0].Data = ByteString.CopyFrom(new byte[(4 << 20) + 1]);
        Assert.Equal("event_bytes", (await Fails.WithAsync(Invalid, Reason.LimitExceeded, () => node.AppendAsync(request).AsTask())).Limit.Limit);

        request = Make.Append(Make.Stream("a", Make.Any, Make.Events(1_000_000)));
        Assert.Equal("message_bytes", (await Fails.WithAsync(Invalid, Reason.LimitExceeded, () => node.AppendAsync(request).AsTask())).Limit.Limit);

        // Another connection: Kestrel closes one on which the rest of a refused message still comes after 5 seconds, as it may on a busy machine.
        await using var another = new RpcChannel(new Uri($"http://{node.Node.RpcEndPoint}"));
        await another.UnaryAsync(Methods.Append, Make.Append(Make.Stream("a", Make.NoStream)));
    }

    // What is not an append is small, and is decoded before it is known who may ask it.
    [Fact]
    public async Task Requests_that_bring_no_events_have_a_smaller_limit_and_so_have_filters()
    {
        await using var node = await TestNode.StartAsync();
        var limit = (await Fails.WithAsync(Invalid, Reason.LimitExceeded, () => node.Channel.UnaryAsync(Methods.ListStreams, new ListStreamsRequest { PageToken = new string('a', 2 << 20) }).AsTask())).Limit;
        Assert.Equal(("request_bytes", 2_000_000ul), (limit.Limit, limit.Allowed));

        var filter = new EventFilter { Query = new Query() };
        for (var i = 0; i < 32; i++)
        {
            var item = new QueryItem();
            item.Types_.AddRange(Enumerable.Range(0, 32).Select(j => $"{i}-{j}-".PadRight(200, 't')));
            filter.Query.Items.Add(item);
        }

        limit = (await Fails.WithAsync(Invalid, Reason.LimitExceeded, () => node.Channel.UnaryAsync(Methods.CountEvents, new CountEventsRequest { Filter = filter }).AsTask())).Limit;
        Assert.Equal(("filter_bytes", 128ul << 10), (limit.Limit, limit.Allowed));

        // Short enough, it is taken: as many keys as there may be.
        foreach (var item in filter.Query.Items)
        {
            var shorter = item.Types_.Select(t => t[..100]).ToList();
            item.Types_.Clear();
            item.Types_.AddRange(shorter);
        }

        Assert.Equal(0ul, (await node.Channel.UnaryAsync(Methods.CountEvents, new CountEventsRequest { Filter = filter })).Count);
    }

    [Fact]
    public async Task Lists_within_lists_count_together()
    {
        await using var node = await TestNode.StartAsync();
        var filter = new EventFilter { Query = new Query() };
        for (var i = 0; i < 100; i++)
        {
            var item = new QueryItem();
            item.Types_.AddRange(Enumerable.Repeat("t", 100));
            filter.Query.Items.Add(item);
        }

        var failure = await Fails.WithAsync(Invalid, Reason.InvalidRequest, () => node.Channel.UnaryAsync(Methods.CountEvents, new CountEventsRequest { Filter = filter }).AsTask());
        Assert.Equal("filter.query.items.types", failure.Field);
        Assert.Contains("far too long", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_message_that_is_too_long_leaves_its_connection_as_it_was()
    {
        await using var node = await TestNode.StartAsync(o => o with { Limits = new VaultLimits { AppendBytes = 65_536, EventBytes = 65_536 } });
        var request = Make.Append(Make.Stream("a", Make.Any));
        request.Streams[0].Events[0].Data = ByteString.CopyFrom(new byte[(2 << 20) - 1]);
        Assert.Equal("message_bytes", (await Fails.WithAsync(Invalid, Reason.LimitExceeded, () => node.AppendAsync(request).AsTask())).Limit.Limit);
        await node.AppendAsync("a", Make.NoStream);
    }

    [Fact]
    public async Task Encodings_that_a_generated_parser_would_let_pass_are_refused()
    {
        await using var node = await TestNode.StartAsync();
        var good = Make.Append(Make.Stream("a", Make.Any)).ToByteArray();

        // Unknown fields on every level, doubled fields, wrong wire types, fields that are not served yet, cut messages.
        await RawAppend(node, Reason.UnknownField, "9", [.. good, 9 << 3, 1]);
        await RawAppend(node, Reason.UnknownField, "checkpoint", [.. good, (5 << 3) | 2, 0]);
        await RawAppend(node, Reason.InvalidRequest, "attempted_after", [.. good, 6 << 3, 0]);
        await RawAppend(node, Reason.InvalidRequest, "attempted_after", [.. good, (6 << 3) | 2, 0, (6 << 3) | 2, 0]);
        await RawAppend(node, Reason.InvalidRequest, "attempted_after", [.. good, (6 << 3) | 2, 1, 1 << 3]);
        await RawAppend(node, Reason.UnknownField, "attempted_after.2", [.. good, (6 << 3) | 2, 2, 2 << 3, 1]);
        await RawAppend(node, Reason.InvalidRequest, "attempted_after.position", [.. good, (6 << 3) | 2, 4, 1 << 3, 1, 1 << 3, 1]);
        await RawAppend(node, Reason.InvalidRequest, "attempted_after.position", [.. good, (6 << 3) | 2, 2, (1 << 3) | 2, 0]);
        await RawAppend(node, Reason.InvalidRequest, "requires[0]", [.. good, 3 << 3, 0]);
        await RawAppend(node, Reason.InvalidName, "requires[0].stream", [.. good, (3 << 3) | 2, 0]);
        await RawAppend(node, Reason.InvalidRequest, "requires[0]", [.. good, (3 << 3) | 2, 2, (1 << 3) | 2, 9]);
        await RawAppend(node, Reason.InvalidRequest, "requires[0].expected", [.. good, (3 << 3) | 2, 3, (1 << 3) | 2, 1, (byte)'r']);
        await RawAppend(node, Reason.InvalidRequest, "requires[0].stream", [.. good, (3 << 3) | 2, 6, (1 << 3) | 2, 1, (byte)'r', (1 << 3) | 2, 1, (byte)'r']);
        await RawAppend(node, Reason.UnknownField, "requires[0].3", [.. good, (3 << 3) | 2, 5, (1 << 3) | 2, 1, (byte)'r', 3 << 3, 1]);
        await RawAppend(node, Reason.InvalidRequest, "conditions[0]", [.. good, 4 << 3, 0]);
        await RawAppend(node, Reason.InvalidRequest, "conditions[0].query", [.. good, (4 << 3) | 2, 0]);
        await RawAppend(node, Reason.InvalidRequest, "conditions[0].query.items", [.. good, (4 << 3) | 2, 2, (1 << 3) | 2, 0]);
        await RawAppend(node, Reason.InvalidRequest, "conditions[0].query.items[0]", [.. good, (4 << 3) | 2, 4, (1 << 3) | 2, 2, (1 << 3) | 2, 0]);
        await RawAppend(node, Reason.UnknownField, "conditions[0].query.2", [.. good, (4 << 3) | 2, 4, (1 << 3) | 2, 2, 2 << 3, 0]);
        await RawAppend(node, Reason.UnknownField, "conditions[0].query.items[0].3", [.. good, (4 << 3) | 2, 6, (1 << 3) | 2, 4, (1 << 3) | 2, 2, 3 << 3, 0]);
        await RawAppend(node, Reason.InvalidRequest, "conditions[0].query.items[0].tags[0]", [.. good, (4 << 3) | 2, 6, (1 << 3) | 2, 4, (1 << 3) | 2, 2, (2 << 3) | 2, 0]);
        await RawAppend(node, Reason.InvalidRequest, "conditions[0].query.items[0].types[0]", [.. good, (4 << 3) | 2, 8, (1 << 3) | 2, 6, (1 << 3) | 2, 4, (1 << 3) | 2, 2, 0xc3, 0x28]);
        await RawAppend(node, Reason.UnknownField, "conditions[0].3", [.. good, (4 << 3) | 2, 2, 3 << 3, 0]);
        await RawAppend(node, Reason.InvalidRequest, "conditions[0].after", [.. good, (4 << 3) | 2, 4, 2 << 3, 0, 2 << 3, 0]);
        await RawAppend(node, Reason.InvalidRequest, "conditions[0]", [.. good, (4 << 3) | 2, 1, 2 << 3]);
        await RawAppend(node, Reason.InvalidRequest, "operation_id", [.. good, (1 << 3) | 2, 0]);
        await RawAppend(node, Reason.InvalidRequest, "operation_id", [1 << 3, 1]);
        await RawAppend(node, Reason.InvalidRequest, "streams[1]", [.. good, 2 << 3, 1]);
        await RawAppend(node, Reason.InvalidRequest, "", good[..^1]);
        await RawAppend(node, Reason.InvalidRequest, "", [0xff, 0xff, 0xff]);
        await RawAppend(node, Reason.InvalidRequest, "", [0]);
        await RawAppend(node, Reason.UnknownField, "streams[0].9", Spoiled([9 << 3, 1]));
        await RawAppend(node, Reason.InvalidRequest, "streams[0].stream", Spoiled([(1 << 3) | 2, 1, (byte)'b']));
        await RawAppend(node, Reason.InvalidRequest, "streams[0].expected", Spoiled([(2 << 3) | 2, 2, (1 << 3) | 2, 0]));
        await RawAppend(node, Reason.InvalidRequest, "streams[0]", Spoiled([(1 << 3) | 2, 99]));
        await RawAppend(node, Reason.UnknownField, "streams[0].expected.7", WithExpected([7 << 3, 1]));
        await RawAppend(node, Reason.UnknownField, "streams[0].expected.any.1", WithExpected([(1 << 3) | 2, 2, 1 << 3, 1]));
        await RawAppend(node, Reason.InvalidRequest, "streams[0].expected", WithExpected([(1 << 3) | 2, 0, 4 << 3, 1]));
        await RawAppend(node, Reason.InvalidRequest, "streams[0].expected.version", WithExpected([(4 << 3) | 2, 0]));
        await RawAppend(node, Reason.UnknownField, "streams[0].events[0].9", WithEvent([.. Make.Event().ToByteArray(), 9 << 3, 1]));
        await RawAppend(node, Reason.InvalidEvent, "streams[0].events[0].type", WithEvent([.. Make.Event().ToByteArray(), (2 << 3) | 2, 1, (byte)'t']));
        await RawAppend(node, Reason.InvalidEvent, "streams[0].events[0].type", WithEvent([.. new EventData { Id = Make.Id() }.ToByteArray(), (2 << 3) | 2, 2, 0xc3, 0x28]));
        await RawAppend(node, Reason.InvalidName, "streams[0].stream", WithName([0xc3, 0x28]));
        await RawAppend(node, Reason.InvalidName, "streams[0].stream", WithName([0xed, 0xa0, 0x80]));
        await node.AppendAsync("a", Make.NoStream);
    }

    [Fact]
    public async Task Bad_reads_are_refused_with_the_path_of_what_is_wrong()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("a", Make.NoStream);
        var version = new ReadBound { Version = 1 };
        var nothing = new ReadBound();

        await Read(node, Methods.ReadAll, Reason.InvalidRequest, "from.version", new ReadAllRequest { From = version });
        await Read(node, Methods.ReadAll, Reason.InvalidRequest, "until.version", new ReadAllRequest { Until = version });
        await Read(node, Methods.ReadAll, Reason.InvalidRequest, "from", new ReadAllRequest { From = nothing });
        await Read(node, Methods.ReadAll, Reason.InvalidRequest, "direction", new ReadAllRequest { Direction = (Direction)2 });
        await Read(node, Methods.ReadStream, Reason.InvalidName, "stream", new ReadStreamRequest());
        await Read(node, Methods.ReadStream, Reason.InvalidName, "stream", new ReadStreamRequest { Stream = "a\0" });
        await Read(node, Methods.ReadStream, Reason.LimitExceeded, "stream", new ReadStreamRequest { Stream = new string('x', 10_000) });
        await Read(node, Methods.ReadStream, Reason.InvalidRequest, "until", new ReadStreamRequest { Stream = "a", Until = nothing });
        await Read(node, Methods.Subscribe, Reason.InvalidRequest, "source", new SubscribeRequest());
        await Read(node, Methods.Subscribe, Reason.InvalidName, "stream", new SubscribeRequest { Stream = "" });
        await Read(node, Methods.Subscribe, Reason.InvalidRequest, "from.version", new SubscribeRequest { All = new Empty(), From = version });
        await Read(node, Methods.Subscribe, Reason.InvalidRequest, "from", new SubscribeRequest { Stream = "a", From = nothing });
        await Read(node, Methods.GetStream, Reason.InvalidName, "stream", new GetStreamRequest());
        await Read(node, Methods.ListStreams, Reason.LimitExceeded, "page_size", new ListStreamsRequest { PageSize = 1001 });
        await Read(node, Methods.ListStreams, Reason.LimitExceeded, "prefix", new ListStreamsRequest { Prefix = new string('x', 1025) });
        await Read(node, Methods.ListStreams, Reason.InvalidRequest, "page_token", new ListStreamsRequest { PageToken = "no token!" });

        await Read(node, Methods.ReadAll, Reason.InvalidRequest, "filter", new ReadAllRequest { Filter = new EventFilter() });
        await Read(node, Methods.ReadAll, Reason.InvalidRequest, "filter.category", new ReadAllRequest { Filter = new EventFilter { Category = "a-b" } });
        var own = new EventFilter { Category = "$streams" };
        await Read(node, Methods.ReadAll, Reason.InvalidRequest, "filter.category", new ReadAllRequest { Filter = own });
        await Read(node, Methods.Subscribe, Reason.InvalidRequest, "filter.category", new SubscribeRequest { All = new Empty(), Filter = own });
        var count = await Fails.WithAsync(Invalid, Reason.InvalidRequest, () => node.Channel.UnaryAsync(Methods.CountEvents, new CountEventsRequest { Filter = own }).AsTask());
        Assert.Contains("can't be counted", count.Why, StringComparison.Ordinal);
        Assert.Empty(await node.ReadAllAsync(new ReadAllRequest { Filter = own, IncludeSystem = true }));
        await Read(node, Methods.ReadAll, Reason.LimitExceeded, "filter.stream_prefix", new ReadAllRequest { Filter = new EventFilter { StreamPrefix = new string('x', 1025) } });
        await Read(node, Methods.ReadAll, Reason.InvalidRequest, "filter.event_id", new ReadAllRequest { Filter = new EventFilter { EventId = ByteString.CopyFrom(1, 2) } });
        await Read(node, Methods.ReadAll, Reason.LimitExceeded, "filter.correlation_id", new ReadAllRequest { Filter = new EventFilter { CorrelationId = new string('x', 65_537) } });
        await Read(node, Methods.ReadAll, Reason.InvalidRequest, "filter.query.items", new ReadAllRequest { Filter = new EventFilter { Query = new Query() } });
        await Read(node, Methods.ReadAll, Reason.LimitExceeded, "filter.query.items[0].tags", new ReadAllRequest { Filter = new EventFilter { Query = Make.Query(Make.Item("", string.Join(',', Enumerable.Repeat("t", 17)))) } });
        var wide = Make.Item(string.Join(',', Enumerable.Repeat("t", 32)), string.Join(',', Enumerable.Repeat("t", 16)));
        await Read(node, Methods.ReadAll, Reason.LimitExceeded, "filter.query.items[2]", new ReadAllRequest { Filter = new EventFilter { Query = Make.Query(wide, wide, Make.Item("t")) } });
        await Read(node, Methods.ReadAll, Reason.InvalidRequest, "filter.query.items", new ReadAllRequest { Filter = new EventFilter { Query = Make.Query([.. Enumerable.Repeat(Make.Item("t"), 2001)]) } });
        await Read(node, Methods.ReadAll, Reason.InvalidRequest, "consistency", new ReadAllRequest { Consistency = new Consistency() });
        await Read(node, Methods.ReadStream, Reason.InvalidRequest, "consistency", new ReadStreamRequest { Stream = "a", Consistency = new Consistency() });
        await Read(node, Methods.GetStream, Reason.InvalidRequest, "consistency", new GetStreamRequest { Stream = "a", Consistency = new Consistency() });
        await Read(node, Methods.Subscribe, Reason.InvalidRequest, "filter", new SubscribeRequest { Stream = "a", Filter = new EventFilter { Category = "a" } });
        await Read(node, Methods.Subscribe, Reason.InvalidRequest, "filter", new SubscribeRequest { All = new Empty(), Filter = new EventFilter() });
        await Read(node, Methods.CountEvents, Reason.InvalidRequest, "filter", new CountEventsRequest());
        await Read(node, Methods.CountEvents, Reason.InvalidRequest, "until.version", new CountEventsRequest { Filter = new EventFilter { Category = "a" }, Until = version });
        await Read(node, Methods.GetAppend, Reason.InvalidRequest, "operation_id", new GetAppendRequest { OperationId = ByteString.CopyFrom(1) });
        await Read(node, Methods.ListStreams, Reason.InvalidRequest, "category", new ListStreamsRequest { Prefix = "a", Category = "a" });
        await Read(node, Methods.ListStreams, Reason.InvalidRequest, "category", new ListStreamsRequest { Category = "a-" });

        await Raw(node, Methods.ReadAll, Reason.InvalidRequest, "filter", [6 << 3, 1]);
        await Raw(node, Methods.ReadAll, Reason.UnknownField, "filter.query.items.3", [(6 << 3) | 2, 6, (3 << 3) | 2, 4, (1 << 3) | 2, 2, 3 << 3, 1]);
        await Raw(node, Methods.ReadAll, Reason.InvalidRequest, "consistency.level", [(7 << 3) | 2, 4, (1 << 3) | 2, 0, (3 << 3) | 2, 0]);
        await Raw(node, Methods.ReadAll, Reason.UnknownField, "8", [8 << 3, 1]);
        await Raw(node, Methods.ReadAll, Reason.UnknownField, "from.9", [(1 << 3) | 2, 2, 9 << 3, 1]);
        await Raw(node, Methods.ReadAll, Reason.InvalidRequest, "limit", [4 << 3, 1, 4 << 3, 1]);
        await Raw(node, Methods.ReadAll, Reason.InvalidRequest, "from.bound", [(1 << 3) | 2, 4, 2 << 3, 1, 2 << 3, 2]);
        await Raw(node, Methods.ReadAll, Reason.InvalidRequest, "from.time", [(1 << 3) | 2, 2, 3 << 3, 1]);
        await Raw(node, Methods.ReadStream, Reason.InvalidRequest, "stream", [(1 << 3) | 2, 2, 0xc3, 0x28]);
        await Raw(node, Methods.Subscribe, Reason.InvalidRequest, "source", [(1 << 3) | 2, 1, (byte)'a', (2 << 3) | 2, 0]);
        await Raw(node, Methods.Subscribe, Reason.UnknownField, "all.1", [(2 << 3) | 2, 2, 1 << 3, 1]);
        await Raw(node, Methods.GetStream, Reason.UnknownField, "3", [(1 << 3) | 2, 1, (byte)'a', 3 << 3, 1]);
        await Raw(node, Methods.ListStreams, Reason.InvalidRequest, "page_size", [2 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        await Raw(node, Methods.GetInfo, Reason.UnknownField, "1", [1 << 3, 1]);
        await Raw(node, Methods.GetStatus, Reason.UnknownField, "1", [1 << 3, 1]);
        await Raw(node, Methods.ReadAll, Reason.InvalidRequest, "", [0xff]);
    }

    [Fact]
    public async Task Random_bytes_as_requests_never_harm_the_node()
    {
        await using var node = await TestNode.StartAsync();
        var random = new Random(7);
        var good = Make.Append(Make.Stream("a", Make.Any, Make.Events(3)), Make.Stream("b", Make.Exists)).ToByteArray();
        for (var i = 0; i < 300; i++)
        {
            var bytes = good.ToArray();
            for (var flips = random.Next(1, 6); flips > 0; flips--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            try
            {
                await RawCall(node, Methods.Append, i % 3 == 0 ? bytes[..random.Next(bytes.Length)] : bytes);
            }
            catch (RpcException e)
            {
                Assert.True(e.Code is Invalid or RpcCode.Aborted or RpcCode.AlreadyExists, e.Status.ToString());
            }
        }

        await node.AppendAsync("c", Make.NoStream);
        Assert.NotEmpty(await node.ReadAllAsync());
    }

    [Fact]
    public async Task Random_bytes_as_requests_for_states_and_reducers_never_harm_the_node()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendNumbersAsync("s-1", 3);
        var random = new Random(11);
        var state = new GetStateRequest { Stream = "s-1", Reducer = StateCallsOfNode.Slots("n = SUM(data.n) BY data.k"), AsOf = new AsOf { Position = 1, Occurred = 5 } }.ToByteArray();
        var define = new DefineReducerRequest { OperationId = Make.Id(1), Name = "r", Definition = new ReducerDefinition { Slots = "n = COUNT(*)" }, Categories = { "s" }, ExpectedVersion = 0 };
        for (var i = 0; i < 200; i++)
        {
            var bytes = i % 2 == 0 ? state.ToArray() : define.ToByteArray();
            for (var flips = random.Next(1, 4); flips > 0; flips--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            try
            {
                await (i % 2 == 0 ? RawCall(node, Methods.GetState, bytes) : RawCall(node, Methods.DefineReducer, bytes));
            }
            catch (RpcException e)
            {
                Assert.True(e.Code is Invalid or RpcCode.NotFound or RpcCode.OutOfRange or RpcCode.Aborted or RpcCode.AlreadyExists or RpcCode.FailedPrecondition, e.Status.ToString());
                Assert.NotEmpty(Fails.Detail(e.Code, e).Failures);
            }
        }

        Assert.Equal("""{"n":6}""", (await node.StateAsync("s-1", reducer: StateCallsOfNode.Slots("n = SUM(data.n)"))).Json());
    }

    // A StreamAppend with bytes behind what is right.
    private static byte[] Spoiled(byte[] more) => Wrap([.. Make.Stream("a", Make.Any).ToByteArray(), .. more]);

    private static byte[] WithName(byte[] name) =>
        Wrap([(1 << 3) | 2, (byte)name.Length, .. name, .. new StreamAppend { Expected = Make.Any, Events = { Make.Event() } }.ToByteArray()]);

    private static byte[] WithExpected(byte[] expected) =>
        Wrap([.. new StreamAppend { Stream = "a", Events = { Make.Event() } }.ToByteArray(), (2 << 3) | 2, (byte)expected.Length, .. expected]);

    private static byte[] WithEvent(byte[] e) =>
        Wrap([.. new StreamAppend { Stream = "a", Expected = Make.Any }.ToByteArray(), (3 << 3) | 2, (byte)e.Length, .. e]);

    private static byte[] Wrap(byte[] stream) =>
        [.. new AppendRequest { OperationId = Make.Id() }.ToByteArray(), (2 << 3) | 2, (byte)stream.Length, .. stream];

    private static Task RawAppend(TestNode node, Reason reason, string field, byte[] request) => Raw(node, Methods.Append, reason, field, request);

    private static async Task Raw<TRequest, TResponse>(TestNode node, RpcMethod<TRequest, TResponse> method, Reason reason, string field, byte[] request)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        var failure = await Fails.WithAsync(Invalid, reason, () => RawCall(node, method, request));
        Assert.Equal(field, failure.Field);
    }

    private static async Task RawCall<TRequest, TResponse>(TestNode node, RpcMethod<TRequest, TResponse> method, byte[] request)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false });
        using var message = new HttpRequestMessage(HttpMethod.Post, $"http://{node.Node.RpcEndPoint}{method.Path}")
        {
            Version = System.Net.HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent([0, 0, 0, (byte)(request.Length >> 8), (byte)request.Length, .. request]),
        };
        message.Content.Headers.TryAddWithoutValidation("content-type", "application/grpc");
        message.Headers.TryAddWithoutValidation("te", "trailers");
        using var response = await http.SendAsync(message);
        await response.Content.ReadAsByteArrayAsync();
        var headers = response.TrailingHeaders.Contains("grpc-status") ? response.TrailingHeaders : response.Headers;
        var code = (RpcCode)int.Parse(headers.GetValues("grpc-status").Single(), System.Globalization.CultureInfo.InvariantCulture);
        if (code != RpcCode.Ok)
        {
            var metadata = new RpcMetadata();
            if (headers.TryGetValues(Services.Refusal.TrailerKey, out var details))
            {
                var text = details.Single();
                metadata.Add(Services.Refusal.TrailerKey, Convert.FromBase64String(text.PadRight((text.Length + 3) / 4 * 4, '=')));
            }

            throw new RpcException(code, Uri.UnescapeDataString(headers.TryGetValues("grpc-message", out var text2) ? text2.Single() : ""), metadata);
        }
    }

    private static async Task Read<TRequest, TResponse>(TestNode node, RpcMethod<TRequest, TResponse> method, Reason reason, string field, TRequest request)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new()
    {
        await using var call = node.Channel.Start(method, request);
        var failure = await Fails.WithAsync(Invalid, reason, () => call.MoveNextAsync().AsTask());
        Assert.Equal(field, failure.Field);
    }
}
