using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

public sealed class FilterTests
{
    [Fact]
    public async Task Each_part_of_a_filter_narrows_the_read_and_the_count()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        EventData[] events = await FillAsync(client);

        await Finds([0, 2], EventFilter.OfCategory("order"));
        await Finds([1, 3], new EventFilter { StreamPrefix = "orders" });
        await Finds([0, 3], EventFilter.Of(EventQuery.OfTypes("placed")));
        await Finds([0, 1, 3], EventFilter.Of(EventQuery.OfTypes("placed").Or(EventQuery.Tagged("vip", "eu"))));
        await Finds([0], new EventFilter { Category = "order", StreamPrefix = "order-1", Query = EventQuery.OfTypes("placed") });
        await Finds([1, 2], EventFilter.OfCorrelation("c-7"));
        await Finds([3], EventFilter.OfEvent(events[3].Id));
        await Finds([], EventFilter.OfEvent(Guid.NewGuid()));
        await Finds([], new EventFilter { Category = "order", CorrelationId = "nobody" });

        EventCount count = await client.CountEventsAsync(EventFilter.OfCategory("order"), ReadBound.Position(1), ReadBound.Position(2));
        Assert.Equal((1ul, 3ul), (count.Count, count.Head.LastPosition));

        async Task Finds(ulong[] positions, EventFilter filter)
        {
            List<RecordedEvent> found = await client.ReadAllAsync(new ReadOptions { Filter = filter }).ToListAsync();
            Assert.Equal(positions, found.Select(e => e.Position));
            List<RecordedEvent> backwards = await client.ReadAllAsync(
                new ReadOptions { Filter = filter, Direction = Direction.Backwards, Limit = 1 }).ToListAsync();
            Assert.Equal(positions.TakeLast(1), backwards.Select(e => e.Position));
            Assert.Equal((ulong)positions.Length, (await client.CountEventsAsync(filter)).Count);
        }
    }

    [Theory]
    [InlineData(Direction.Forwards)]
    [InlineData(Direction.Backwards)]
    public async Task A_filtered_read_rides_out_broken_connections_and_stops_at_its_head(Direction direction)
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        for (int i = 0; i < 60; i++)
        {
            await client.AppendAsync($"{(i % 3 == 0 ? "a" : "b")}-1", ExpectedVersion.Any, Some.Event(i));
        }

        var random = new Random(5);
        node.CutReadAfter = _ => random.Next(0, 6);
        ReadResult read = client.ReadAllAsync(new ReadOptions { Filter = EventFilter.OfCategory("a"), Direction = direction });
        await read.GetHeadAsync();
        await client.AppendAsync("a-1", ExpectedVersion.Any, Some.Event());
        IEnumerable<ulong> expected = Enumerable.Range(0, 20).Select(i => (ulong)i * 3);
        Assert.Equal(direction == Direction.Forwards ? expected : expected.Reverse(), (await read.ToListAsync()).Select(e => e.Position));
    }

    [Fact]
    public async Task A_filtered_subscription_gets_what_matches_past_and_live_and_is_told_of_progress_beyond()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await FillAsync(client);
        await using Subscription subscription = client.SubscribeToAllAsync(new SubscribeOptions { Filter = EventFilter.OfCategory("order") });
        var positions = new List<ulong>();
        bool live = false;
        await foreach (SubscriptionMessage message in subscription.WithCancellation(Wait.Token))
        {
            if (message.Event is { } e)
            {
                positions.Add(e.Position);
                if (positions.Count == 3)
                {
                    break;
                }
            }
            else if (!live)
            {
                // The event at position 3 does not match, and yet the checkpoint moves over it.
                live = true;
                Assert.Equal(3ul, message.Position);
                await client.AppendAsync("other-1", ExpectedVersion.Any, Some.Event());
                await client.AppendAsync("order-1", ExpectedVersion.Any, Some.Event());
            }
        }

        Assert.Equal([0ul, 2, 5], positions);
    }

    [Fact]
    public async Task A_filter_that_says_nothing_is_refused_instead_of_matching_everything()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        Refused("nothing set", new EventFilter());
        Refused("filter.category is empty", EventFilter.OfCategory(""));
        Refused("filter.stream_prefix is empty", new EventFilter { StreamPrefix = "" });
        Refused("filter.correlation_id is empty", EventFilter.OfCorrelation(""));
        Refused("filter.query.items is empty", EventFilter.Of(new EventQuery()));
        Refused("before the first one", EventFilter.OfCategory("a-b"));
        Refused("stream_name_bytes", EventFilter.OfCategory(new string('x', 1025)));
        await Assert.ThrowsAsync<VaultException>(() => client.CountEventsAsync(new EventFilter()));
        var filtered = EventFilter.OfCategory("a");
        Assert.Throws<ArgumentException>(() => { client.ReadStreamAsync("s", new ReadOptions { Filter = filtered }); });
        Assert.Throws<ArgumentException>(() => { client.SubscribeToStreamAsync("s", new SubscribeOptions { Filter = filtered }); });
        Assert.Equal(0, node.ReadCalls);

        void Refused(string names, EventFilter filter)
        {
            VaultException read = Assert.ThrowsAny<VaultException>(() => { client.ReadAllAsync(new ReadOptions { Filter = filter }); });
            Assert.Contains(names, read.Message, StringComparison.Ordinal);
            Assert.ThrowsAny<VaultException>(() => { client.SubscribeToAllAsync(new SubscribeOptions { Filter = filter }); });
        }
    }

    [Fact]
    public async Task Streams_are_listed_by_category_and_show_what_can_be_read_of_them()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await FillAsync(client);
        List<StreamInfo> orders = await client.ListStreamsAsync(new ListStreamsOptions { Category = "order", PageSize = 1 }).ToListAsync();
        Assert.Equal([("order-1", 0ul, 1ul), ("order-2", 0ul, 1ul)], orders.Select(s => (s.Stream, s.FirstVersion, s.EventCount)));
        Assert.Throws<ArgumentException>(() => { client.ListStreamsAsync(new ListStreamsOptions { Category = "order", Prefix = "o" }); });
        Assert.ThrowsAny<VaultException>(() => { client.ListStreamsAsync(new ListStreamsOptions { Category = "" }); });
        Assert.Throws<ArgumentOutOfRangeException>(() => { client.ListStreamsAsync(new ListStreamsOptions { PageSize = 1001 }); });
    }

    private static async Task<EventData[]> FillAsync(VaultClient client)
    {
        var correlated = new Dictionary<string, string> { ["correlationId"] = "c-7" };
        EventData[] events =
        [
            new("placed", default),
            new("shipped", default) { Tags = ["vip", "eu", "x"], Metadata = correlated },
            new("shipped", default) { Tags = ["vip"], Metadata = correlated },
            new("placed", default) { Tags = ["eu"], Metadata = new Dictionary<string, string> { ["causationId"] = "c-7" } },
        ];
        string[] streams = ["order-1", "orders-1", "order-2", "orders"];
        for (int i = 0; i < events.Length; i++)
        {
            await client.AppendAsync(streams[i], ExpectedVersion.NoStream, events[i]);
        }

        return events;
    }
}
