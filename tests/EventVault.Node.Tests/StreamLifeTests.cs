using System.Text;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Node.Tests;

/// <summary>Streams that are deleted, written again, tombstoned and truncated, over the wire.</summary>
public sealed class StreamLifeTests
{
    private static readonly RpcMethod<DeleteStreamRequest, AppendResponse> DeleteMethod =
        RpcMethod<DeleteStreamRequest, AppendResponse>.Of(StreamsReflection.Descriptor.Services[0], "DeleteStream");

    private static readonly RpcMethod<TruncateStreamRequest, AppendResponse> TruncateMethod =
        RpcMethod<TruncateStreamRequest, AppendResponse>.Of(StreamsReflection.Descriptor.Services[0], "TruncateStream");

    private static readonly RpcMethod<CountEventsRequest, CountEventsResponse> CountMethod =
        RpcMethod<CountEventsRequest, CountEventsResponse>.Of(StreamsReflection.Descriptor.Services[0], "CountEvents");

    [Fact]
    public async Task A_deleted_stream_is_gone_from_every_read_and_comes_back_with_its_versions_going_on()
    {
        var node = await TestNode.StartAsync();
        try
        {
            await node.AppendAsync("order-1", Make.NoStream, Make.Events(3));
            await node.AppendAsync("order-2", Make.NoStream, Make.Events(2));
            var deleted = await DeleteAsync(node, "order-1", Make.Version(2));
            Assert.Equal((5ul, 5ul, false), (deleted.FirstPosition, deleted.LastPosition, deleted.Deduplicated));
            Assert.Equal(("$streams", 0ul), (deleted.Streams.Single().Stream, deleted.Streams[0].Version));

            for (var restarts = 0; restarts < 2; restarts++)
            {
                await CheckDeletedAsync(node);
                node = await node.RestartAsync();
            }

            // It counts as having no events, and its last version is still what exact expectations are compared with.
            var exists = await Fails.WithAsync(RpcCode.Aborted, Reason.WrongExpectedVersion, () => node.AppendAsync("order-1", Make.Exists).AsTask());
            Assert.Equal(2ul, exists.VersionConflict.Actual);
            await Fails.WithAsync(RpcCode.Aborted, Reason.WrongExpectedVersion, () => node.AppendAsync("order-1", Make.Version(1)).AsTask());
            var again = await node.AppendAsync("order-1", Make.NoStream, Make.Events(2));
            Assert.Equal((6ul, 4ul), (again.FirstPosition, again.Streams[0].Version));
            await Fails.WithAsync(RpcCode.Aborted, Reason.WrongExpectedVersion, () => node.AppendAsync("order-1", Make.NoStream).AsTask());
            await node.AppendAsync("order-1", Make.Version(4));

            Assert.Equal([3, 4, 5], (await node.ReadStreamAsync(new ReadStreamRequest { Stream = "order-1" })).Select(e => (int)e.Version));
            Assert.Equal([3, 4, 6, 7, 8], (await node.ReadAllAsync()).Select(e => (int)e.Position));
            var info = await GetAsync(node, "order-1");
            Assert.Equal((3ul, 5ul, 3ul), (info.FirstVersion, info.LastVersion, info.EventCount));
            Assert.Equal(["order-1", "order-2"], await ListAsync(node));
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    private static async Task CheckDeletedAsync(TestNode node)
    {
        await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => node.ReadStreamAsync(new ReadStreamRequest { Stream = "order-1" }));
        await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => GetAsync(node, "order-1").AsTask());
        Assert.Equal([3, 4], (await node.ReadAllAsync()).Select(e => (int)e.Position));
        Assert.Equal([4, 3], (await node.ReadAllAsync(new ReadAllRequest { Direction = Direction.Backwards })).Select(e => (int)e.Position));
        Assert.Equal(["order-2"], await ListAsync(node));
        var filter = new EventFilter { Category = "order" };
        Assert.Equal([3, 4], (await node.ReadAllAsync(new ReadAllRequest { Filter = filter })).Select(e => (int)e.Position));
        Assert.Equal(2ul, (await node.Channel.UnaryAsync(CountMethod, new CountEventsRequest { Filter = filter })).Count);

        // The deletion is an event, for whoever asks.
        var e = (await node.ReadAllAsync(new ReadAllRequest { IncludeSystem = true }))[2];
        Assert.Equal(("$streams", 5ul, "$stream-deleted"), (e.Stream, e.Position, e.Event.Type));
        Assert.Equal("""{"stream":"order-1","before":3}""", e.Event.Data.ToStringUtf8());
    }

    [Fact]
    public async Task A_tombstoned_stream_is_never_written_again_and_all_that_stands_in_an_appends_way_is_told()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("a", Make.NoStream, Make.Events(2));
        await node.AppendAsync("b", Make.NoStream);
        await DeleteAsync(node, "a", Make.Any);
        await DeleteAsync(node, "a", Make.NoStream, tombstone: true); // Of a stream that was deleted before: the name is taken for ever.

        foreach (var expected in (ExpectedVersion[])[Make.Any, Make.NoStream, Make.Version(1)])
        {
            var refused = await Fails.WithAsync(RpcCode.FailedPrecondition, Reason.StreamTombstoned, () => node.AppendAsync("a", expected).AsTask());
            Assert.Equal(("a", "streams[0].stream"), (refused.Stream, refused.Field));
        }

        var both = await Fails.WithAsync(
            RpcCode.FailedPrecondition, () => node.AppendAsync(Make.Append(Make.Stream("b", Make.NoStream), Make.Stream("a", Make.Exists))).AsTask());
        Assert.Equal(
            [(Reason.StreamTombstoned, "a"), (Reason.WrongExpectedVersion, "b"), (Reason.WrongExpectedVersion, "a")],
            both.Failures.Select(f => (f.Reason, f.Stream)).OrderBy(f => f.Reason == Reason.StreamTombstoned ? 0 : 1));

        // A requirement may name it: it has no events.
        var append = Make.Append(Make.Stream("c", Make.NoStream));
        append.Requires.Add(new StreamRequirement { Stream = "a", Expected = Make.NoStream });
        await node.AppendAsync(append);
        await Fails.WithAsync(RpcCode.FailedPrecondition, Reason.StreamTombstoned, () => DeleteAsync(node, "a", Make.Any, tombstone: true).AsTask());
        await Fails.WithAsync(RpcCode.FailedPrecondition, Reason.StreamTombstoned, () => TruncateAsync(node, "a", 1).AsTask());
        Assert.Equal(["b", "c"], await ListAsync(node));
    }

    [Fact]
    public async Task A_session_goes_on_behind_an_append_to_a_tombstoned_stream()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("a", Make.NoStream);
        await DeleteAsync(node, "a", Make.Exists, tombstone: true);
        await using var call = node.Channel.Start(Methods.AppendSession);
        call.Write(new AppendSessionRequest { RequestId = 1, Append = Make.Append(Make.Stream("a", Make.Any)) });
        call.Write(new AppendSessionRequest { RequestId = 2, Append = Make.Append(Make.Stream("b", Make.NoStream)) });
        await call.CompleteAsync();
        var results = new List<AppendSessionResult>();
        while (await call.MoveNextAsync())
        {
            results.AddRange(call.Current.Results);
        }

        Assert.Equal((int)RpcCode.FailedPrecondition, results[0].Error.Code);
        Assert.Equal(Reason.StreamTombstoned, results[0].Error.Detail.Failures.Single().Reason);
        Assert.Equal(2ul, results[1].Result.FirstPosition);
    }

    [Fact]
    public async Task A_truncated_stream_begins_at_the_version_it_was_cut_to_by_every_kind_of_bound()
    {
        await using var node = await TestNode.StartAsync();
        for (var i = 0; i < 4; i++)
        {
            await node.AppendAsync(Make.Append(Make.Stream("a", Make.Any, Make.Events(2)), Make.Stream("b", Make.Any)));
        }

        var all = await node.ReadAllAsync(); // a0 a1 b0 a2 a3 b1 a4 a5 b2 a6 a7 b3
        await TruncateAsync(node, "a", 5, Make.Version(7));
        var kept = all.Where(e => e.Stream == "b" || e.Version >= 5).ToList();
        var ofA = kept.Where(e => e.Stream == "a").ToList();
        Assert.Equal(kept, await node.ReadAllAsync());
        Assert.Equal(Enumerable.Reverse(kept), await node.ReadAllAsync(new ReadAllRequest { Direction = Direction.Backwards }));
        Assert.Equal(kept.Take(3), await node.ReadAllAsync(new ReadAllRequest { Limit = 3 }));
        foreach (var from in (ReadBound?[])[null, new() { Version = 0 }, new() { Version = 5 }, new() { Position = 0 }, new() { Position = all[4].Position }, new() { Time = all[0].RecordedAt }])
        {
            Assert.Equal(ofA, await node.ReadStreamAsync(new ReadStreamRequest { Stream = "a", From = from }));
            Assert.Equal(Enumerable.Reverse(ofA), await node.ReadStreamAsync(new ReadStreamRequest { Stream = "a", Until = from, Direction = Direction.Backwards }));
        }

        Assert.Equal(ofA.Skip(1), await node.ReadStreamAsync(new ReadStreamRequest { Stream = "a", From = new() { Position = ofA[1].Position } }));

        // A range of nothing but what was cut is empty, as one beyond the other end is.
        Assert.Empty(await node.ReadStreamAsync(new ReadStreamRequest { Stream = "a", Until = new() { Version = 4 } }));
        Assert.Empty(await node.ReadStreamAsync(new ReadStreamRequest { Stream = "a", From = new() { Version = 4 }, Direction = Direction.Backwards }));
        var info = await GetAsync(node, "a");
        Assert.Equal((5ul, 7ul, 3ul), (info.FirstVersion, info.LastVersion, info.EventCount));
        Assert.Equal(info, (await node.Channel.UnaryAsync(Methods.ListStreams, new ListStreamsRequest())).Streams[0]);

        // Back changes nothing; over the end is refused; to the end leaves nothing, as deleting does.
        await TruncateAsync(node, "a", 2);
        Assert.Equal(ofA, await node.ReadStreamAsync(new ReadStreamRequest { Stream = "a" }));
        var beyond = await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, () => TruncateAsync(node, "a", 9).AsTask());
        Assert.Equal("before", beyond.Field);
        await TruncateAsync(node, "a", 8);
        await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => node.ReadStreamAsync(new ReadStreamRequest { Stream = "a" }));
        await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => TruncateAsync(node, "a", 8).AsTask());
        Assert.Equal(8ul, (await node.AppendAsync("a", Make.NoStream)).Streams[0].Version);
        Assert.Equal(
            ["$stream-truncated", "$stream-truncated", "$stream-truncated"],
            (await node.ReadStreamAsync(new ReadStreamRequest { Stream = "$streams" })).Select(e => e.Event.Type));
    }

    [Fact]
    public async Task What_can_not_be_changed_is_refused_and_nothing_is_written()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("a", Make.NoStream, Make.Events(2));
        Task Delete(Action<DeleteStreamRequest> change)
        {
            var request = new DeleteStreamRequest { OperationId = Make.Id(), Stream = "a", Expected = Make.Any };
            change(request);
            return node.Channel.UnaryAsync(DeleteMethod, request).AsTask();
        }

        Task Truncate(Action<TruncateStreamRequest> change)
        {
            var request = new TruncateStreamRequest { OperationId = Make.Id(), Stream = "a", Expected = Make.Any, Before = 1 };
            change(request);
            return node.Channel.UnaryAsync(TruncateMethod, request).AsTask();
        }

        Assert.Equal("operation_id", (await Invalid(() => Delete(r => r.OperationId = ByteString.Empty))).Field);
        Assert.Equal("operation_id", (await Invalid(() => Truncate(r => r.OperationId = ByteString.CopyFromUtf8("short")))).Field);
        Assert.Equal("expected", (await Invalid(() => Delete(r => r.Expected = null))).Field);
        Assert.Equal("expected", (await Invalid(() => Truncate(r => r.Expected = new ExpectedVersion()))).Field);
        Assert.Equal("expected.version", (await Invalid(() => Delete(r => r.Expected = Make.Version(ulong.MaxValue)))).Field);
        Assert.Equal("before", (await Invalid(() => Truncate(r => r.Before = ulong.MaxValue))).Field);
        Assert.Equal("before", (await Invalid(() => Truncate(r => r.Before = 3))).Field);
        Assert.Equal("stream", (await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidName, () => Delete(r => r.Stream = ""))).Field);
        Assert.Equal("stream", (await Fails.WithAsync(RpcCode.InvalidArgument, Reason.ReservedName, () => Delete(r => r.Stream = "$streams"))).Field);
        await Fails.WithAsync(RpcCode.InvalidArgument, Reason.LimitExceeded, () => Truncate(r => r.Stream = new string('x', 1025)));
        Assert.Equal("b", (await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => Delete(r => r.Stream = "b"))).Stream);
        await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => Delete(r => (r.Stream, r.Tombstone) = ("b", true)));
        await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => Truncate(r => r.Stream = "b"));
        foreach (var expected in (ExpectedVersion[])[Make.NoStream, Make.Version(0), Make.Version(2)])
        {
            var conflict = await Fails.WithAsync(RpcCode.Aborted, Reason.WrongExpectedVersion, () => Delete(r => r.Expected = expected));
            Assert.Equal(("a", "expected", 1ul), (conflict.Stream, conflict.Field, conflict.VersionConflict.Actual));
            conflict = await Fails.WithAsync(RpcCode.Aborted, Reason.WrongExpectedVersion, () => Truncate(r => (r.Expected, r.Before) = (expected, 3)));
            Assert.Equal("expected", conflict.Field);
        }

        Assert.Equal(2, (await node.ReadAllAsync(new ReadAllRequest { IncludeSystem = true })).Count);
        static Task<Failure> Invalid(Func<Task> call) => Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, call);
    }

    [Fact]
    public async Task A_retry_is_answered_as_the_first_time_and_writes_nothing_whatever_became_of_the_stream()
    {
        var node = await TestNode.StartAsync();
        try
        {
            await node.AppendAsync("a", Make.NoStream, Make.Events(2));
            var delete = new DeleteStreamRequest { OperationId = Make.Id(), Stream = "a", Expected = Make.Exists };
            var truncate = new TruncateStreamRequest { OperationId = Make.Id(), Stream = "a", Expected = Make.Version(4), Before = 3 };
            var deleted = await node.Channel.UnaryAsync(DeleteMethod, delete);
            await node.AppendAsync("a", Make.NoStream, Make.Events(3));
            var truncated = await node.Channel.UnaryAsync(TruncateMethod, truncate);
            for (var restarts = 0; restarts < 2; restarts++)
            {
                Assert.Equal(Repeated(deleted), await node.Channel.UnaryAsync(DeleteMethod, delete));
                Assert.Equal(Repeated(truncated), await node.Channel.UnaryAsync(TruncateMethod, truncate));
                node = await node.RestartAsync();
            }

            // The same id and something else: another expectation, another kind, another version, another call.
            await Reused(() => node.Channel.UnaryAsync(DeleteMethod, new DeleteStreamRequest(delete) { Expected = Make.Any }).AsTask());
            await Reused(() => node.Channel.UnaryAsync(DeleteMethod, new DeleteStreamRequest(delete) { Tombstone = true }).AsTask());
            await Reused(() => node.Channel.UnaryAsync(TruncateMethod, new TruncateStreamRequest(truncate) { Before = 4 }).AsTask());
            await Reused(() => node.AppendAsync(new AppendRequest { OperationId = delete.OperationId, Streams = { Make.Stream("a", Make.Any) } }).AsTask());
            Assert.Equal([3, 4], (await node.ReadAllAsync()).Select(e => (int)e.Version));
        }
        finally
        {
            await node.DisposeAsync();
        }

        static AppendResponse Repeated(AppendResponse first) => new(first) { Deduplicated = true };
        static Task<Failure> Reused(Func<Task> call) => Fails.WithAsync(RpcCode.AlreadyExists, Reason.OperationIdReused, call);
    }

    [Fact]
    public async Task Subscriptions_leave_out_what_was_deleted_and_go_on_with_what_is_written_behind_it()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("a", Make.NoStream, Make.Events(3));
        await node.AppendAsync("b", Make.NoStream);
        await DeleteAsync(node, "a", Make.Any);
        var (head, ofA) = await SubscribeAsync(node, new SubscribeRequest { Stream = "a" });
        await using var first = ofA;
        Assert.False(head.HasLastVersion);
        await using var all = (await SubscribeAsync(node, new SubscribeRequest { All = new Empty() })).Call;
        await using var end = (await SubscribeAsync(node, new SubscribeRequest { Stream = "a", End = new Empty() })).Call;
        await node.AppendAsync("a", Make.NoStream, Make.Events(2));
        Assert.Equal([3, 5, 6], await PositionsAsync(all, 3));
        Assert.Equal([5, 6], await PositionsAsync(ofA, 2));
        Assert.Equal([5, 6], await PositionsAsync(end, 2));
        await TruncateAsync(node, "a", 4);
        await node.AppendAsync("b", Make.Exists);
        await node.AppendAsync("a", Make.Version(4));
        Assert.Equal([8, 9], await PositionsAsync(all, 2));
        Assert.Equal([9], await PositionsAsync(ofA, 1));
        Assert.Equal([9], await PositionsAsync(end, 1));
        await using var late = (await SubscribeAsync(node, new SubscribeRequest { Stream = "a", From = new() { Version = 1 } })).Call;
        Assert.Equal([6, 9], await PositionsAsync(late, 2));
    }

    [Fact]
    public async Task A_condition_is_not_failed_by_an_event_that_was_deleted()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("seat-1", Make.NoStream, Make.Event("reserved"));
        var reserve = Make.Append(Make.Stream("seat-2", Make.NoStream));
        reserve.Conditions.Add(new AppendCondition { Query = new Query { Items = { new QueryItem { Types_ = { "reserved" } } } } });
        await Fails.WithAsync(RpcCode.Aborted, Reason.ConditionFailed, () => node.AppendAsync(reserve).AsTask());
        await DeleteAsync(node, "seat-1", Make.Exists);
        Assert.Equal(2ul, (await node.AppendAsync(reserve)).FirstPosition);
    }

    // Writers and deleters of a few streams race. By the answers, in the order of their positions, a plain list must agree with
    // what each of them was told, and with what is read in the end.
    [Fact]
    public async Task Racing_appends_and_deletions_are_told_what_one_order_of_them_explains()
    {
        const int Rounds = 40;
        await using var node = await TestNode.StartAsync();
        var told = new System.Collections.Concurrent.ConcurrentBag<(ulong Position, string Stream, ulong? LastVersion, int Events)>();
        await Task.WhenAll(Enumerable.Range(0, 8).Select(w => Task.Run(async () =>
        {
            var random = new Random(w);
            for (var i = 0; i < Rounds; i++)
            {
                var stream = $"s-{random.Next(3)}";
                try
                {
                    if (random.Next(3) == 0)
                    {
                        told.Add(((await DeleteAsync(node, stream, Make.Any)).FirstPosition, stream, null, 0));
                    }
                    else
                    {
                        var events = Make.Events(1 + random.Next(3));
                        var answer = await node.AppendAsync(stream, random.Next(2) == 0 ? Make.NoStream : Make.Any, events);
                        told.Add((answer.FirstPosition, stream, answer.Streams[0].Version, events.Length));
                    }
                }
                catch (RpcException e) when (e.Code is RpcCode.Aborted or RpcCode.NotFound)
                {
                }
            }
        })));

        var deletions = (await node.ReadStreamAsync(new ReadStreamRequest { Stream = "$streams" })).ToDictionary(e => e.Position, e => e.Event.Data.ToStringUtf8());
        var (last, first) = (new Dictionary<string, long>(), new Dictionary<string, long>());
        foreach (var (position, stream, version, events) in told.OrderBy(t => t.Position))
        {
            if (version is { } to)
            {
                last[stream] = last.GetValueOrDefault(stream, -1) + events;
                Assert.Equal((ulong)last[stream], to);
            }
            else
            {
                Assert.True(last[stream] >= first.GetValueOrDefault(stream), "There was something to delete.");
                first[stream] = last[stream] + 1;
                Assert.True(deletions.Remove(position, out var data));
                Assert.Equal($"{{\"stream\":\"{stream}\",\"before\":{first[stream]}}}", data);
            }
        }

        Assert.Empty(deletions);
        var left = last.Where(l => l.Value >= first.GetValueOrDefault(l.Key)).ToDictionary(l => l.Key, l => l.Value - first.GetValueOrDefault(l.Key) + 1);
        Assert.Equal(left.OrderBy(l => l.Key), (await node.ReadAllAsync()).GroupBy(e => e.Stream).Select(g => KeyValuePair.Create(g.Key, (long)g.Count())).OrderBy(l => l.Key));
    }

    [Fact]
    public async Task Whoever_asks_behind_the_answer_of_a_deletion_never_reads_what_it_took()
    {
        await using var node = await TestNode.StartAsync();
        await Task.WhenAll(Enumerable.Range(0, 8).Select(w => Task.Run(async () =>
        {
            for (var i = 0; i < 25; i++)
            {
                var stream = $"w{w}-{i % 3}";
                var written = await node.AppendAsync(stream, Make.NoStream, Make.Events(2));
                var all = new ReadAllRequest { From = new() { Position = written.FirstPosition } };
                Assert.Equal(2, (await node.ReadAllAsync(all)).Count(e => e.Stream == stream));
                await DeleteAsync(node, stream, Make.Version(written.Streams[0].Version));
                Assert.DoesNotContain(await node.ReadAllAsync(all), e => e.Stream == stream);
                var filter = new EventFilter { StreamPrefix = stream };
                Assert.Empty(await node.ReadAllAsync(new ReadAllRequest { Filter = filter }));
                Assert.Equal(0ul, (await node.Channel.UnaryAsync(CountMethod, new CountEventsRequest { Filter = filter })).Count);
                Assert.DoesNotContain(stream, await ListAsync(node));
                await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => node.ReadStreamAsync(new ReadStreamRequest { Stream = stream }));
            }
        })));
        Assert.Empty(await node.ReadAllAsync());
    }

    [Fact]
    public async Task Any_name_can_be_deleted()
    {
        await using var node = await TestNode.StartAsync();
        foreach (var name in (string[])["a\"b", "back\\slash", "é-\u4e16\u754c", "\ud83d\ude00", new string('\u00fc', 512)])
        {
            await node.AppendAsync(name, Make.NoStream, Make.Events(2));
            await DeleteAsync(node, name, Make.Version(1));
            await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => GetAsync(node, name).AsTask());
            var e = (await node.ReadStreamAsync(new ReadStreamRequest { Stream = "$streams", Direction = Direction.Backwards, Limit = 1 }))[0];
            using var json = System.Text.Json.JsonDocument.Parse(Encoding.UTF8.GetBytes(e.Event.Data.ToStringUtf8()));
            Assert.Equal((name, 2), (json.RootElement.GetProperty("stream").GetString(), json.RootElement.GetProperty("before").GetInt32()));
        }

        Assert.Empty(await node.ReadAllAsync());
    }

    private static ValueTask<AppendResponse> DeleteAsync(TestNode node, string stream, ExpectedVersion expected, bool tombstone = false) =>
        node.Channel.UnaryAsync(DeleteMethod, new DeleteStreamRequest { OperationId = Make.Id(), Stream = stream, Expected = expected, Tombstone = tombstone });

    private static ValueTask<AppendResponse> TruncateAsync(TestNode node, string stream, ulong before, ExpectedVersion? expected = null) =>
        node.Channel.UnaryAsync(TruncateMethod, new TruncateStreamRequest { OperationId = Make.Id(), Stream = stream, Expected = expected ?? Make.Any, Before = before });

    private static ValueTask<StreamInfo> GetAsync(TestNode node, string stream) =>
        node.Channel.UnaryAsync(Methods.GetStream, new GetStreamRequest { Stream = stream });

    private static async Task<IEnumerable<string>> ListAsync(TestNode node) =>
        (await node.Channel.UnaryAsync(Methods.ListStreams, new ListStreamsRequest())).Streams.Select(s => s.Stream);

    private static async Task<(ReadHead Head, RpcCall<SubscribeRequest, ReadResponse> Call)> SubscribeAsync(TestNode node, SubscribeRequest request)
    {
        var call = node.Channel.Start(Methods.Subscribe, request);
        Assert.True(await call.MoveNextAsync());
        return (call.Current.Head, call);
    }

    private static async Task<IEnumerable<int>> PositionsAsync(RpcCall<SubscribeRequest, ReadResponse> call, int count)
    {
        var positions = new List<int>();
        while (positions.Count < count && await call.MoveNextAsync())
        {
            positions.AddRange(call.Current.Events?.Events.Select(e => (int)e.Position) ?? []);
        }

        return positions;
    }
}
