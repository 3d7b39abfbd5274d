using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Node.Tests;

/// <summary>Filters in reads, subscriptions and counts, against a list that is filtered event by event.</summary>
public sealed class FilterTests
{
    [Fact]
    public async Task Filtered_reads_and_counts_give_what_filtering_all_events_gives()
    {
        await using var node = await TestNode.StartAsync(o => o with { SegmentSizeBytes = Storage.StorageOptions.MinSegmentSizeBytes });
        var random = new Random(3);
        var known = ByteString.CopyFrom(new byte[16]);
        for (var i = 0; i < 150; i++)
        {
            var events = Enumerable.Range(0, random.Next(1, 8)).Select(_ =>
            {
                var e = Make.Tagged($"t{random.Next(4)}", [.. new[] { "x", "y", "z" }.Where(_ => random.Next(2) == 0)]);
                e.Data = ByteString.CopyFrom(new byte[random.Next(900)]);
                e.Id = random.Next(40) == 0 ? known : e.Id;
                if (random.Next(3) == 0)
                {
                    e.Metadata["correlationId"] = $"c{random.Next(3)}";
                }

                return e;
            });
            await node.AppendAsync($"{(random.Next(2) == 0 ? "order" : "orders")}{(random.Next(5) == 0 ? "" : $"-{random.Next(6)}")}", Make.Any, [.. events]);
        }

        var all = await node.ReadAllAsync();
        Assert.True(all.Count > 400);
        foreach (var filter in Filters(known))
        {
            foreach (var direction in new[] { Direction.Forwards, Direction.Backwards })
            {
                var (from, until, limit) = ((ulong)random.Next(all.Count), (ulong)random.Next(all.Count), (ulong)random.Next(3) * 5);
                var (low, high) = direction == Direction.Forwards ? (from, until) : (until, from);
                var expected = all.Where(e => e.Position >= low && e.Position <= high && Matches(filter, e));
                expected = direction == Direction.Forwards ? expected : expected.Reverse();
                var (head, events) = await node.ReadAsync(Methods.ReadAll, new ReadAllRequest
                {
                    Filter = filter,
                    Direction = direction,
                    From = new ReadBound { Position = from },
                    Until = new ReadBound { Position = until },
                    Limit = limit,
                });
                Assert.Equal((ulong)all.Count - 1, head.LastPosition);
                Assert.Equal(limit == 0 ? expected : expected.Take((int)limit), events);
            }

            var matching = all.Where(e => Matches(filter, e)).ToList();
            Assert.Equal(matching, await node.ReadAllAsync(new ReadAllRequest { Filter = filter }));
            Assert.Equal((ulong)matching.Count, (await CountAsync(node, new CountEventsRequest { Filter = filter })).Count);
            var time = all[all.Count / 3].RecordedAt;
            var counted = await CountAsync(node, new CountEventsRequest { Filter = filter, From = new ReadBound { Time = time }, Until = new ReadBound { Position = 300 } });
            Assert.Equal((ulong)matching.Count(e => e.RecordedAt >= time && e.Position <= 300), counted.Count);
            Assert.Equal(((ulong)all.Count - 1, all[^1].RecordedAt), (counted.Head.LastPosition, counted.Head.RecordedAt));
        }

        Assert.Equal(0ul, (await CountAsync(node, new CountEventsRequest { Filter = new EventFilter { Category = "order" }, From = new ReadBound { Position = ulong.MaxValue } })).Count);
    }

    [Fact]
    public async Task A_filtered_subscription_gets_what_matches_from_the_past_to_live_and_hears_how_far_it_is()
    {
        await using var node = await TestNode.StartAsync();
        for (var i = 0; i < 50; i++)
        {
            await node.AppendAsync($"a-{i}", Make.NoStream, Make.Tagged(i % 10 == 0 ? "wanted" : "other", "x"));
        }

        await using var call = node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty(), Filter = new EventFilter { Query = Make.Query(Make.Item("wanted", "x")) } });
        var seen = new List<ulong>();
        Assert.Equal(49ul, (await NextAsync(call)).Head.LastPosition);
        var message = await NextAsync(call);
        for (; message.ContentCase != ReadResponse.ContentOneofCase.CaughtUp; message = await NextAsync(call))
        {
            seen.AddRange(message.Events?.Events.Select(e => e.Position) ?? []);
        }

        Assert.Equal([0, 10, 20, 30, 40], seen);
        Assert.Equal(49ul, message.CaughtUp.Position);

        // What does not match moves the progress and nothing else.
        for (var i = 0; i < 30; i++)
        {
            await node.AppendAsync("b", Make.Any, Make.Tagged("other"));
        }

        do
        {
            message = await NextAsync(call);
            Assert.NotNull(message.Progress);
        }
        while (message.Progress.Position < 79);

        await node.AppendAsync("c", Make.NoStream, Make.Tagged("other"), Make.Tagged("wanted", "x"), Make.Tagged("wanted"));
        do
        {
            message = await NextAsync(call);
        }
        while (message.Events is null);

        Assert.Equal([81], message.Events.Events.Select(e => (int)e.Position));
    }

    [Fact]
    public async Task While_nothing_matches_for_long_a_subscription_that_catches_up_is_told_how_far_it_is()
    {
        // Always due: every piece of the past that is looked at is told.
        await using var node = await TestNode.StartAsync(o => o with { ProgressInterval = TimeSpan.FromMilliseconds(1) });
        for (var i = 0; i < 20; i++)
        {
            await node.AppendAsync("a", Make.Any, Make.Events(1_000));
        }

        await using var call = node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty(), Filter = new EventFilter { StreamPrefix = "none" } });
        await NextAsync(call);
        var positions = new List<ulong>();
        ReadResponse message;
        for (message = await NextAsync(call); message.CaughtUp is null; message = await NextAsync(call))
        {
            positions.Add(message.Progress.Position);
        }

        Assert.Equal(19_999ul, message.CaughtUp.Position);
        Assert.Equal(positions.Order().Distinct(), positions);
        Assert.All(positions, p => Assert.True(p < 19_999));
    }

    [Theory]
    [InlineData(false, 0, 2)]
    [InlineData(true, 1, 4)]
    public async Task The_head_is_sent_before_the_search_and_what_is_found_before_the_rest_is_searched(bool subscribes, int untilHead, int untilFound)
    {
        using var clock = new GatedClock();
        await using var node = await TestNode.StartAsync(o => o with { Clock = clock, ProgressInterval = TimeSpan.FromMilliseconds(10) });
        await node.AppendAsync("wanted", Make.NoStream);
        for (var i = 0; i < 40; i++)
        {
            await node.AppendAsync("other", Make.Any, Make.Events(1_000)); // In all more than is looked at at once.
        }

        // Calls ask the clock as they begin to look, whether something is due, and when it is sent: there they are held.
        var filter = new EventFilter { StreamPrefix = "wanted" };
        clock.Close(untilHead);
        var call = subscribes
            ? Next(node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty(), Filter = filter }))
            : Next(node.Channel.Start(Methods.ReadAll, new ReadAllRequest { Filter = filter }));
        try
        {
            Assert.Equal(40_000ul, (await call())!.Head.LastPosition);
            var found = call();
            Assert.NotSame(found, await Task.WhenAny(found, Task.Delay(50)));
            clock.Allow(untilFound - untilHead);
            Assert.Equal(0ul, (await found)!.Events.Events.Single().Position);
        }
        finally
        {
            clock.Allow(int.MaxValue / 2);
        }

        ReadResponse? message;
        do
        {
            message = await call();
        }
        while (message?.Progress is not null);

        Assert.Equal(subscribes ? 40_000ul : null, message?.CaughtUp.Position);

        static Func<Task<ReadResponse?>> Next<T>(RpcCall<T, ReadResponse> call)
            where T : class, IMessage<T>, new() =>
            async () => await call.MoveNextAsync().AsTask().WaitAsync(Wait.Limit) ? call.Current : null;
    }

    [Fact]
    public async Task A_prefix_of_the_vaults_own_streams_is_refused_where_they_are_left_out()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("a", Make.NoStream);
        await node.Channel.UnaryAsync(Methods.DeleteStream, new DeleteStreamRequest { OperationId = Make.Id(), Stream = "a", Expected = Make.Any });
        var filter = new EventFilter { StreamPrefix = "$st" };
        foreach (var call in (Func<Task>[])[() => node.ReadAllAsync(new ReadAllRequest { Filter = filter }), () => CountAsync(node, new CountEventsRequest { Filter = filter }).AsTask()])
        {
            Assert.Equal("filter.stream_prefix", (await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, call)).Field);
        }

        Assert.Equal("$streams", Assert.Single(await node.ReadAllAsync(new ReadAllRequest { Filter = filter, IncludeSystem = true })).Stream);
    }

    [Fact]
    public async Task A_category_lists_its_streams_in_the_order_of_their_names_page_by_page()
    {
        await using var node = await TestNode.StartAsync();
        string[] names = ["order", "order-2", "order-1", "order-", "order!x", "orders-1", "orde", "a", "order-1-2", "z"];
        foreach (var name in names)
        {
            await node.AppendAsync(name, Make.NoStream, Make.Events(name.Length));
        }

        var listed = new List<StreamInfo>();
        var token = "";
        do
        {
            var page = await node.Channel.UnaryAsync(Methods.ListStreams, new ListStreamsRequest { Category = "order", PageSize = 2, PageToken = token });
            listed.AddRange(page.Streams);
            token = page.NextPageToken;
        }
        while (token.Length > 0);

        Assert.Equal(["order", "order-", "order-1", "order-1-2", "order-2"], listed.Select(s => s.Stream));
        Assert.All(listed, s => Assert.Equal(((ulong)s.Stream.Length, 0ul), (s.EventCount, s.FirstVersion)));
        Assert.Empty((await node.Channel.UnaryAsync(Methods.ListStreams, new ListStreamsRequest { Category = "ord" })).Streams);
        Assert.Equal(["orders-1"], (await node.Channel.UnaryAsync(Methods.ListStreams, new ListStreamsRequest { Category = "orders" })).Streams.Select(s => s.Stream));
    }

    private static ValueTask<CountEventsResponse> CountAsync(TestNode node, CountEventsRequest request) => node.Channel.UnaryAsync(Methods.CountEvents, request);

    private static async Task<ReadResponse> NextAsync(RpcCall<SubscribeRequest, ReadResponse> call)
    {
        Assert.True(await call.MoveNextAsync().AsTask().WaitAsync(Wait.Limit));
        return call.Current;
    }

    private static IEnumerable<EventFilter> Filters(ByteString id)
    {
        yield return new EventFilter { Category = "order" };
        yield return new EventFilter { Category = "orders" };
        yield return new EventFilter { Category = "none" };
        yield return new EventFilter { StreamPrefix = "order" };
        yield return new EventFilter { StreamPrefix = "order-1" };
        yield return new EventFilter { StreamPrefix = "orders", Category = "order" };
        yield return new EventFilter { Query = Make.Query(Make.Item("t1")) };
        yield return new EventFilter { Query = Make.Query(Make.Item("", "x")) };
        yield return new EventFilter { Query = Make.Query(Make.Item("t1,t2", "x,y")) };
        yield return new EventFilter { Query = Make.Query(Make.Item("t0", "x,y,z"), Make.Item("t3"), Make.Item("", "none")) };
        yield return new EventFilter { Query = Make.Query(Make.Item("t0", "z")), Category = "orders", StreamPrefix = "orders-" };
        yield return new EventFilter { Query = Make.Query(Make.Item("t1", "x,y"), Make.Item("t2,t1", "y,x"), Make.Item("t1", "x")) };
        yield return new EventFilter { CorrelationId = "c1" };
        yield return new EventFilter { CorrelationId = "c1", Query = Make.Query(Make.Item("t1", "x")) };
        yield return new EventFilter { EventId = id };
        yield return new EventFilter { EventId = id, Category = "order" };
    }

    private static bool Matches(EventFilter filter, RecordedEvent e) =>
        (filter.Category.Length == 0 || e.Stream.Split('-')[0] == filter.Category)
        && e.Stream.StartsWith(filter.StreamPrefix, StringComparison.Ordinal)
        && (filter.CorrelationId.Length == 0 || e.Event.Metadata.GetValueOrDefault("correlationId") == filter.CorrelationId)
        && (filter.EventId.IsEmpty || e.Event.Id == filter.EventId)
        && (filter.Query is null || filter.Query.Items.Any(item => (item.Types_.Count == 0 || item.Types_.Contains(e.Event.Type)) && item.Tags.All(e.Event.Tags.Contains)));

    /// <summary>Once closed it holds up the calls that ask how much time has passed: they do between looks, and it is always much.</summary>
    private sealed class GatedClock : TimeProvider, IDisposable
    {
        private readonly SemaphoreSlim _allowed = new(0);
        private long _asked;
        private volatile bool _isClosed;

        public void Close(int allowed)
        {
            _isClosed = true;
            Allow(allowed);
        }

        public void Allow(int times)
        {
            if (times > 0)
            {
                _allowed.Release(times);
            }
        }

        public void Dispose() => _allowed.Dispose();

        public override long GetTimestamp()
        {
            if (!_isClosed || !Thread.CurrentThread.IsThreadPoolThread)
            {
                return base.GetTimestamp();
            }

            _allowed.Wait(Wait.Limit);
            return base.GetTimestamp() + (Interlocked.Increment(ref _asked) * TimestampFrequency);
        }
    }
}
