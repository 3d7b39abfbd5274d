using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.Node.Tests;

/// <summary>What the leader takes away by retention rules. What it finds due, at length: RetentionWorkTests of the storage.</summary>
public sealed class RetentionWorkTests
{
    [Fact]
    public async Task Each_kind_of_limit_is_kept_for_a_stream_and_for_a_category()
    {
        var clock = new HandClock();
        var node = await TestNode.StartAsync(o => o with { Clock = clock });
        try
        {
            foreach (var (category, rule) in (ValueTuple<string, RetentionRule>[])
                [("number", new() { MaxEvents = 3 }), ("size", new() { MaxBytes = 3 * (ulong)Make.Event().CalculateSize() }), ("age", new() { MaxAgeSeconds = 25 })])
            {
                await node.RetainAsync(new RetentionScope { Category = category }, rule);
                await node.RetainAsync(new RetentionScope { Stream = $"own-{category}" }, rule);
            }

            await node.RetainAsync(new RetentionScope { Stream = "number-2" }, new RetentionRule { MaxEvents = 2 });
            await node.RetainAsync(new RetentionScope { Stream = "number-3" }, new RetentionRule { Forever = true });
            await node.RetainAsync(new RetentionScope { Stream = "number-4" }, new RetentionRule { LegalHold = true, MaxEvents = 1 });
            string[] streams = ["number-1", "size-1", "age-1", "own-number", "own-size", "own-age", "number-2", "number-3", "number-4", "other-1"];
            for (var i = 0; i < 5; i++)
            {
                clock.Pass(TimeSpan.FromSeconds(10));
                await node.AppendAsync(Make.Append([.. streams.Select(s => Make.Stream(s, Make.Any))]));
            }

            await node.Node.Retention.PassAsync();
            for (var restarts = 0; restarts < 2; restarts++)
            {
                Assert.Equal("2 2 2 2 2 2 3 0 0 0", await FirstAsync(node, streams));
                node = await node.RestartAsync();
                await node.Node.Retention.PassAsync();
            }

            // Behind the first pass, by what is new and by what has become old.
            await node.AppendAsync(Make.Append([.. streams.Where(s => !s.Contains("age", StringComparison.Ordinal)).Select(s => Make.Stream(s, Make.Any))]));
            clock.Pass(TimeSpan.FromSeconds(10));
            await node.Node.Retention.PassAsync();
            Assert.Equal("3 3 3 3 3 3 4 0 0 0", await FirstAsync(node, streams));
            await node.RetainAsync(new RetentionScope { Stream = "number-3" }, rule: null);
            await node.RetainAsync(new RetentionScope { Stream = "number-4" }, rule: null);
            await node.Node.Retention.PassAsync();
            Assert.Equal("3 3 3 3 3 3 4 3 3 0", await FirstAsync(node, streams));

            // All of a stream may be too old: then it is as if deleted, and its versions go on.
            clock.Pass(TimeSpan.FromSeconds(25));
            await node.Node.Retention.PassAsync();
            await Fails.WithAsync(RpcCode.NotFound, Reason.StreamNotFound, () => FirstAsync(node, "age-1"));
            Assert.Equal(5ul, (await node.AppendAsync("age-1", Make.NoStream)).Streams[0].Version);
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task Truncations_are_events_like_those_of_clients_and_none_is_written_for_nothing()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendAsync("order-1", Make.NoStream, Make.Events(3));
        await node.RetainAsync(new RetentionScope { Category = "order" }, new RetentionRule { MaxEvents = 2 });
        for (var i = 0; i < 3; i++)
        {
            await node.Node.Retention.PassAsync();
        }

        var events = await node.ReadStreamAsync(new ReadStreamRequest { Stream = "$streams" });
        Assert.Equal(["$retention-set", "$stream-truncated"], events.Select(e => e.Event.Type));
        Assert.Equal("""{"stream":"order-1","before":1}""", events[1].Event.Data.ToStringUtf8());
        Assert.Equal([1, 2], (await node.ReadAllAsync()).Select(e => (int)e.Version));
    }

    [Fact]
    public async Task It_works_by_itself()
    {
        await using var node = await TestNode.StartAsync(o => o with { RetentionInterval = TimeSpan.FromMilliseconds(10) });
        await node.RetainAsync(new RetentionScope { Category = "order" }, new RetentionRule { MaxEvents = 1 });
        await node.AppendAsync("order-1", Make.NoStream, Make.Events(3));
        var stream = node.Node.Storage.Reader.Reference("order-1"u8);
        await Wait.UntilAsync(() => node.Node.Storage.Reader.FirstVisible(stream).Value == 2, "the first pass behind the events");
        await node.AppendAsync("order-1", Make.Any);
        await Wait.UntilAsync(() => node.Node.Storage.Reader.FirstVisible(stream).Value == 3, "the next pass");
    }

    // Somebody sets the clock a year ahead by mistake: events must not be gone for ever because of it.
    [Fact]
    public async Task A_clock_that_jumps_ahead_takes_nothing_away_unless_it_stays_there()
    {
        var clock = new HandClock();
        await using var node = await TestNode.StartAsync(o => o with { Clock = clock });
        await node.AppendAsync("order-1", Make.NoStream, Make.Events(3));
        await node.Node.Retention.PassAsync();
        await node.RetainAsync(new RetentionScope { Category = "order" }, new RetentionRule { MaxAgeSeconds = 86_400 * 30 });
        clock.Jump(TimeSpan.FromDays(365));
        await node.Node.Retention.PassAsync();
        await node.AppendAsync("order-1", Make.Exists); // The log's time went ahead with it.
        clock.Pass(RetentionClock.Confirmation / 2);
        await node.Node.Retention.PassAsync();
        Assert.Equal("0", await FirstAsync(node, "order-1"));
        clock.Pass(RetentionClock.Confirmation / 2);
        await node.Node.Retention.PassAsync();
        Assert.Equal("3", await FirstAsync(node, "order-1"));
    }

    // What the wrong clock recorded must not speak for it when the node starts again.
    [Theory]
    [InlineData(1)]
    [InlineData(30)]
    public async Task A_clock_that_jumped_ahead_is_not_believed_after_a_restart_because_of_what_it_recorded(int minutes)
    {
        var clock = new HandClock();
        var node = await AgedAsync(clock);
        try
        {
            clock.Jump(TimeSpan.FromDays(365));
            for (var i = 0; i < minutes; i++)
            {
                await node.AppendAsync("order-2", Make.Any);
                clock.Pass(TimeSpan.FromMinutes(1));
                await node.Node.Retention.PassAsync();
            }

            for (var restarts = 0; restarts < 2; restarts++)
            {
                node = await node.RestartAsync();
                clock.Pass(TimeSpan.FromMinutes(10));
                await node.Node.Retention.PassAsync();
                await node.AppendAsync("order-2", Make.Any);
            }

            Assert.Equal("0", await FirstAsync(node, "order-1"));
            clock.Jump(-TimeSpan.FromDays(365)); // It is set right, and the right one needs its hour, too.
            await node.Node.Retention.PassAsync();
            clock.Pass(RetentionClock.Confirmation);
            await node.Node.Retention.PassAsync();
            Assert.Equal("0", await FirstAsync(node, "order-1"));
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_machine_that_starts_with_a_wrong_clock_is_not_believed_because_of_an_append_before_the_first_pass()
    {
        var clock = new HandClock();
        var node = await AgedAsync(clock);
        try
        {
            await node.StopAsync();
            clock.Jump(TimeSpan.FromDays(365));
            node = await node.RestartAsync();
            for (var i = 0; i < 5; i++)
            {
                await node.AppendAsync("order-2", Make.Any);
                await node.Node.Retention.PassAsync();
                clock.Pass(TimeSpan.FromMinutes(10));
            }

            Assert.Equal("0", await FirstAsync(node, "order-1"));
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    // It takes events away while clients append, delete and change the rules: whatever the order was, the sequencer saw to it.
    [Fact]
    public async Task Passes_race_with_clients_and_a_hold_that_was_acknowledged_holds()
    {
        await using var node = await TestNode.StartAsync();
        using var done = new CancellationTokenSource();
        var passes = Task.Run(async () =>
        {
            while (!done.IsCancellationRequested)
            {
                await node.Node.Retention.PassAsync();
                await Task.Delay(1);
            }
        });
        for (var round = 0; round < 20; round++)
        {
            var stream = $"c{round}-1";
            await node.RetainAsync(new RetentionScope { Category = $"c{round}" }, new RetentionRule { MaxEvents = 1 });
            await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => node.AppendAsync(stream, Make.Any).AsTask()));
            var hold = (long)(await node.RetainAsync(new RetentionScope { Stream = stream }, new RetentionRule { LegalHold = true })).FirstPosition;
            await node.AppendAsync(stream, Make.Any, Make.Events(2));
            var truncations = (await node.ReadStreamAsync(new ReadStreamRequest { Stream = "$streams" }))
                .Where(e => e.Event.Type == "$stream-truncated" && e.Event.Data.ToStringUtf8().Contains($"\"{stream}\"", StringComparison.Ordinal)).ToList();
            Assert.All(truncations, e => Assert.True((long)e.Position < hold));
            Assert.Equal(9ul, (await node.ReadStreamAsync(new ReadStreamRequest { Stream = stream }))[^1].Version);
        }

        await done.CancelAsync();
        await passes;
    }

    // A vault that is used every half an hour, and forgets after 30 days. No pass of its own comes between the test's.
    private static async Task<TestNode> AgedAsync(HandClock clock)
    {
        var node = await TestNode.StartAsync(o => o with { Clock = clock, RetentionInterval = TimeSpan.FromMinutes(1) });
        await node.RetainAsync(new RetentionScope { Category = "order" }, new RetentionRule { MaxAgeSeconds = 86_400 * 30 });
        for (var i = 0; i < 3; i++)
        {
            await node.AppendAsync("order-1", Make.Any);
            clock.Pass(TimeSpan.FromMinutes(30));
        }

        await node.Node.Retention.PassAsync();
        return node;
    }

    private static async Task<string> FirstAsync(TestNode node, params string[] streams)
    {
        var first = new List<ulong>();
        foreach (var stream in streams)
        {
            first.Add((await node.Channel.UnaryAsync(Methods.GetStream, new GetStreamRequest { Stream = stream })).FirstVersion);
        }

        return string.Join(' ', first);
    }
}
