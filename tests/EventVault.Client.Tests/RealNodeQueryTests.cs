using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

/// <summary>Conditions, filters, retries, consistency and the life of streams against the real node.</summary>
public sealed class RealNodeQueryTests
{
    [Fact]
    public async Task Conditions_and_requirements_mean_the_same_on_both_sides()
    {
        await using NodeProcess node = await NodeProcess.StartAsync();
        await using VaultClient client = VaultClient.Connect(node.Address);
        EventQuery taken = EventQuery.OfTypes("seat-taken").WithTags("seat:1");
        ReadHead empty = await client.ReadAllAsync(new ReadOptions { Filter = EventFilter.Of(taken) }).GetHeadAsync();
        Assert.Null(empty.LastPosition);

        // All decide on the same read: exactly one is written.
        Task<AppendResult>[] racers = [.. Enumerable.Range(0, 16).Select(i => client.AppendAsync(
            $"show-{i}", ExpectedVersion.NoStream, Tagged("seat-taken", "seat:1"), new AppendOptions { Conditions = [AppendCondition.FailIfMatch(taken, empty.LastPosition)] }))];
        await Task.WhenAll(racers.Select(async racer => Assert.True(await Outcome(racer) is null or ConditionFailedException)));
        AppendResult won = await Assert.Single(racers, r => r.IsCompletedSuccessfully);
        Assert.Equal(0ul, won.FirstPosition);

        AppendConflictException all = await Assert.ThrowsAnyAsync<AppendConflictException>(() => client.AppendAsync(
            won.Streams[0].Stream,
            ExpectedVersion.NoStream,
            Some.Event(),
            new AppendOptions
            {
                Requires = [new StreamRequirement("nothing", ExpectedVersion.Exists)],
                Conditions = [AppendCondition.FailIfMatch(EventQuery.Tagged("nobody")), AppendCondition.FailIfMatch(taken)],
            }));
        Assert.Equal(
            [
                new VersionConflict(won.Streams[0].Stream, ExpectedVersion.NoStream, 0),
                new VersionConflict("nothing", ExpectedVersion.Exists, null, IsRequirement: true),
            ],
            all.Conflicts);
        Assert.Equal([new FailedCondition(1, 0)], all.FailedConditions);

        var reasonable = new AppendOptions
        {
            Requires = [new StreamRequirement(won.Streams[0].Stream, ExpectedVersion.Exact(0)), new StreamRequirement("nothing", ExpectedVersion.NoStream)],
            Conditions = [AppendCondition.FailIfMatch(taken, won.LastPosition)],
        };
        Assert.Equal(1ul, (await client.AppendAsync("after", ExpectedVersion.Any, Some.Event(), reasonable)).LastPosition);
    }

    [Fact]
    public async Task Filters_counts_and_levels_mean_the_same_on_both_sides()
    {
        await using NodeProcess node = await NodeProcess.StartAsync();
        await using VaultClient client = VaultClient.Connect(node.Address);
        EventData correlated = new("placed", default) { Tags = ["eu", "vip"], Metadata = new Dictionary<string, string> { ["correlationId"] = "c-7" } };
        await client.AppendAsync("order-1", ExpectedVersion.Any, [correlated, new EventData("shipped", default) { Tags = ["eu"] }]);
        await client.AppendAsync("orders", ExpectedVersion.Any, new EventData("placed", default));
        foreach ((EventFilter filter, ulong[] positions) in new (EventFilter, ulong[])[]
        {
            (EventFilter.OfCategory("order"), [0, 1]),
            (new EventFilter { StreamPrefix = "order" }, [0, 1, 2]),
            (EventFilter.Of(EventQuery.OfTypes("placed", "nothing")), [0, 2]),
            (EventFilter.Of(EventQuery.Tagged("eu", "vip").Or(EventQuery.OfTypes("shipped"))), [0, 1]),
            (new EventFilter { Category = "order", Query = EventQuery.OfTypes("shipped").WithTags("eu") }, [1]),
            (EventFilter.OfCorrelation("c-7"), [0]),
            (EventFilter.OfEvent(correlated.Id), [0]),
            (EventFilter.OfEvent(Guid.NewGuid()), []),
        })
        {
            foreach (Consistency consistency in new[] { Consistency.ReadYourWrites, Consistency.Linearizable, Consistency.Local, Consistency.AtLeast(2) })
            {
                var options = new ReadOptions { Filter = filter, Consistency = consistency };
                Assert.Equal(positions, (await client.ReadAllAsync(options).ToListAsync()).Select(e => e.Position));
                Assert.Equal(
                    positions.Reverse(), (await client.ReadAllAsync(options with { Direction = Direction.Backwards }).ToListAsync()).Select(e => e.Position));
                EventCount count = await client.CountEventsAsync(filter, consistency: consistency);
                Assert.Equal(((ulong)positions.Length, 2ul), (count.Count, count.Head.LastPosition));
            }
        }

        Assert.Equal(["order-1"], (await client.ListStreamsAsync(new ListStreamsOptions { Category = "order" }).ToListAsync()).Select(s => s.Stream));
        await using Subscription subscription = client.SubscribeToAllAsync(new SubscribeOptions { Filter = EventFilter.OfCategory("order") });
        await subscription.GetHeadAsync();
        await client.AppendAsync("other", ExpectedVersion.Any, Some.Event());
        await client.AppendAsync("order-2", ExpectedVersion.Any, Some.Event());
        var followed = new List<ulong>();
        await foreach (RecordedEvent e in subscription.EventsAsync(Wait.Token))
        {
            followed.Add(e.Position);
            if (followed.Count == 3)
            {
                break;
            }
        }

        Assert.Equal([0ul, 1, 4], followed);
        await using VaultClient impatient = VaultClient.Connect(
            node.Address, new VaultClientOptions { CallTimeout = TimeSpan.FromMilliseconds(300), Retry = RetryPolicy.None });
        VaultException behind = await Assert.ThrowsAnyAsync<VaultException>(() => impatient.GetStreamAsync("orders", Consistency.AtLeast(1000)));

        // Whose clock was first is a matter of luck.
        Assert.True(behind.Code is VaultErrorCode.TimedOutBehind or VaultErrorCode.TimedOut, behind.ToString());
    }

    [Fact]
    public async Task Streams_end_and_begin_again_the_same_on_both_sides_and_after_a_kill()
    {
        await using NodeProcess node = await NodeProcess.StartAsync();
        await using VaultClient client = VaultClient.Connect(node.Address);
        foreach (string stream in new[] { "deleted", "gone", "short" })
        {
            await client.AppendAsync(stream, ExpectedVersion.NoStream, [Some.Event(0), Some.Event(1), Some.Event(2)]);
        }

        var options = new ChangeOptions { OperationId = Guid.NewGuid() };
        AppendResult deleted = await client.DeleteStreamAsync("deleted", ExpectedVersion.Exact(2), options: options);
        Assert.Equal("$streams", Assert.Single(deleted.Streams).Stream);
        Assert.True((await client.DeleteStreamAsync("deleted", ExpectedVersion.Exact(2), options: options)).Deduplicated);
        Assert.Equal(deleted.FirstPosition, (await client.GetAppendAsync(options.OperationId.Value)).FirstPosition);
        await client.DeleteStreamAsync("gone", ExpectedVersion.Exists, tombstone: true);
        await client.TruncateStreamAsync("short", before: 2, ExpectedVersion.Any);
        for (int start = 0; start < 2; start++)
        {
            await Assert.ThrowsAsync<StreamNotFoundException>(() => client.ReadStreamAsync("deleted").ToListAsync());
            await Assert.ThrowsAsync<StreamNotFoundException>(() => client.GetStreamAsync("gone"));
            Assert.Equal("gone", (await Assert.ThrowsAsync<StreamTombstonedException>(() => client.AppendAsync("gone", ExpectedVersion.Any, Some.Event()))).Stream);
            StreamInfo info = await client.GetStreamAsync("short");
            Assert.Equal((2ul, 2ul, 1ul), (info.FirstVersion, info.LastVersion, info.EventCount));
            Assert.Equal([8ul], (await client.ReadAllAsync().ToListAsync()).Select(e => e.Position));
            Assert.Equal(1ul, (await client.CountEventsAsync(EventFilter.Of(EventQuery.OfTypes("happened")))).Count);
            Assert.Equal(["short"], (await client.ListStreamsAsync().ToListAsync()).Select(s => s.Stream));
            node.Kill();
            await node.StartAgainAsync();
        }

        Assert.Equal(3ul, (await client.AppendAsync("deleted", ExpectedVersion.NoStream, Some.Event())).LastVersion);
        Assert.Equal(3ul, Assert.Single(await client.ReadStreamAsync("deleted").ToListAsync()).Version);
    }

    [Fact]
    public async Task A_repeat_says_how_long_the_vault_was_and_an_unknown_id_is_not_found()
    {
        await using NodeProcess node = await NodeProcess.StartAsync();
        await using VaultClient client = VaultClient.Connect(node.Address);
        EventData e = Some.Event();
        var options = new AppendOptions { OperationId = Guid.NewGuid(), AttemptedAfter = new SeenHead(null) };
        AppendResult first = await client.AppendAsync("s", ExpectedVersion.NoStream, e, options);
        AppendResult again = await client.AppendAsync("s", ExpectedVersion.NoStream, e, options with { AttemptedAfter = new SeenHead(0) });
        Assert.Equal((false, true, first.FirstPosition), (first.Deduplicated, again.Deduplicated, again.FirstPosition));
        Assert.Equal(first.RecordedAt, (await client.GetAppendAsync(options.OperationId.Value)).RecordedAt);
        Assert.Equal(
            VaultErrorCode.OperationNotFound, (await Assert.ThrowsAsync<VaultException>(() => client.GetAppendAsync(Guid.NewGuid()))).Code);
        Assert.Null((await client.GetInfoAsync()).OperationFloor);
    }

    private static EventData Tagged(string type, params string[] tags) => new(type, "{}"u8.ToArray()) { Tags = tags };

    private static async Task<Exception?> Outcome(Task task)
    {
        try
        {
            await task;
            return null;
        }
        catch (VaultException e)
        {
            return e;
        }
    }
}
