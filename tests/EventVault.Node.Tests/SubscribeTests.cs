using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Storage;

namespace EventVault.Node.Tests;

public sealed class SubscribeTests
{
    [Fact]
    public async Task From_the_past_to_live_every_position_comes_once_and_in_order_while_many_write()
    {
        const int Writers = 16;
        const int Appends = 60;
        await using var node = await TestNode.StartAsync(o => o with { SegmentSizeBytes = StorageOptions.MinSegmentSizeBytes });
        var writers = Enumerable.Range(0, Writers).Select(w => Task.Run(async () =>
        {
            for (var i = 0; i < Appends; i++)
            {
                await node.AppendAsync($"s-{w}", Make.Any, Make.Events(1 + (i % 3)));
            }
        })).ToList();
        const ulong Total = Writers * Appends * 2;
        var subscribers = Enumerable.Range(0, 3).Select(async s =>
        {
            await Wait.UntilAsync(() => node.Node.Storage.Head.Value > s * 200, "something to catch up with");
            return await PositionsAsync(node, new SubscribeRequest { All = new Empty() }, Total);
        }).ToList();
        var ofStream = PositionsAsync(node, new SubscribeRequest { Stream = "s-3" }, Appends * 2);

        await Task.WhenAll(writers);
        foreach (var subscriber in subscribers)
        {
            Assert.Equal(Enumerable.Range(0, (int)Total).Select(i => (ulong)i), (await subscriber.WaitAsync(Wait.Limit)).Select(e => e.Position));
        }

        var events = await ofStream.WaitAsync(Wait.Limit);
        Assert.Equal(Enumerable.Range(0, Appends * 2).Select(i => (ulong)i), events.Select(e => e.Version));
        Assert.All(events, e => Assert.Equal("s-3", e.Stream));
        Assert.True(node.Node.Storage.SegmentCounts.Sealed > 0);
    }

    [Fact]
    public async Task Reaching_the_head_is_told_once_and_idleness_is_told_again_and_again()
    {
        await using var node = await TestNode.StartAsync();
        await using var call = node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() });
        Assert.False((await NextAsync(call)).Head.HasLastPosition);
        Assert.False((await NextAsync(call)).CaughtUp.HasPosition);
        Assert.False((await NextAsync(call)).Progress.HasPosition);
        var answer = await node.AppendAsync("a", Make.NoStream);
        Assert.Equal(0ul, (await NextButProgressAsync(call)).Events.Events.Single().Position);

        // Live events are delivered without falling behind: what follows is progress, no second caught_up.
        var progress = (await NextAsync(call)).Progress;
        Assert.Equal((0ul, answer.RecordedAt), (progress.Position, progress.Time));
        await node.AppendAsync("a", Make.Exists);
        Assert.Equal(1ul, (await NextButProgressAsync(call)).Events.Events.Single().Position);

        await using var second = node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() });
        Assert.Equal(1ul, (await NextAsync(second)).Head.LastPosition);
        Assert.Equal(2, (await NextAsync(second)).Events.Events.Count);
        Assert.Equal(1ul, (await NextAsync(second)).CaughtUp.Position);
        Assert.Equal(1ul, (await NextAsync(second)).Progress.Position);
    }

    [Fact]
    public async Task A_stream_that_does_not_exist_yet_is_waited_for_and_progress_moves_with_the_vault()
    {
        await using var node = await TestNode.StartAsync();
        await using var call = node.Channel.Start(Methods.Subscribe, new SubscribeRequest { Stream = "later" });
        Assert.False((await NextAsync(call)).Head.HasLastVersion);
        Assert.NotNull((await NextAsync(call)).CaughtUp);
        await node.AppendAsync("other", Make.NoStream, Make.Events(3));
        ReadResponse message;
        do
        {
            message = await NextAsync(call);
            Assert.NotNull(message.Progress);
        }
        while (!message.Progress.HasPosition);

        Assert.Equal(2ul, message.Progress.Position);
        await node.AppendAsync("later", Make.NoStream, Make.Events(2));
        Assert.Equal([3, 4], (await NextButProgressAsync(call)).Events.Events.Select(e => (int)e.Position));
    }

    [Fact]
    public async Task A_start_may_be_a_version_a_position_a_time_or_the_end()
    {
        await using var node = await TestNode.StartAsync();
        var answers = new List<AppendResponse>();
        for (var i = 0; i < 6; i++)
        {
            answers.Add(await node.AppendAsync(i % 2 == 0 ? "a" : "b", Make.Any));
        }

        await Expect(new SubscribeRequest { All = new Empty(), From = new ReadBound { Position = 4 } }, 4, 5);
        await Expect(new SubscribeRequest { All = new Empty(), From = new ReadBound { Time = answers[3].RecordedAt } }, 3, 4, 5);
        await Expect(new SubscribeRequest { All = new Empty(), From = new ReadBound { Time = answers[3].RecordedAt + 1 } }, 4, 5);
        await Expect(new SubscribeRequest { Stream = "a", From = new ReadBound { Version = 1 } }, 2, 4);
        await Expect(new SubscribeRequest { Stream = "a", From = new ReadBound { Position = 3 } }, 4);
        await Expect(new SubscribeRequest { Stream = "b", From = new ReadBound { Time = answers[2].RecordedAt } }, 3, 5);
        await Expect(new SubscribeRequest { All = new Empty(), End = new Empty() });
        await Expect(new SubscribeRequest { Stream = "a", End = new Empty() });
        await Expect(new SubscribeRequest { All = new Empty(), From = new ReadBound { Position = ulong.MaxValue } });
        await Expect(new SubscribeRequest { Stream = "a", From = new ReadBound { Version = ulong.MaxValue } });
        await Expect(new SubscribeRequest { All = new Empty(), From = new ReadBound { Time = long.MaxValue } });
        await Expect(new SubscribeRequest { All = new Empty(), From = new ReadBound { Time = long.MinValue } }, 0, 1, 2, 3, 4, 5);

        // Starts that lie ahead leave out what comes before them.
        await using var ahead = node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty(), From = new ReadBound { Position = 8 } });
        await using var aheadInStream = node.Channel.Start(Methods.Subscribe, new SubscribeRequest { Stream = "a", From = new ReadBound { Position = 8 } });
        await using var end = node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty(), End = new Empty() });
        foreach (var call in new[] { ahead, aheadInStream, end })
        {
            Assert.NotNull((await NextAsync(call)).Head);
            Assert.NotNull((await NextAsync(call)).CaughtUp);
        }

        for (var i = 0; i < 4; i++)
        {
            await node.AppendAsync("a", Make.Any);
        }

        Assert.Equal(8ul, (await NextButProgressAsync(ahead)).Events.Events[0].Position);
        Assert.Equal(8ul, (await NextButProgressAsync(aheadInStream)).Events.Events[0].Position);
        Assert.Equal(6ul, (await NextButProgressAsync(end)).Events.Events[0].Position);

        async Task Expect(SubscribeRequest request, params int[] positions)
        {
            await using var call = node.Channel.Start(Methods.Subscribe, request);
            Assert.NotNull((await NextAsync(call)).Head);
            var events = new List<RecordedEvent>();
            ReadResponse message;
            while ((message = await NextAsync(call)).ContentCase == ReadResponse.ContentOneofCase.Events)
            {
                events.AddRange(message.Events.Events);
            }

            Assert.Equal(5ul, message.CaughtUp.Position);
            Assert.Equal(positions, events.Select(e => (int)e.Position));
        }
    }

    [Fact]
    public async Task The_vaults_own_streams_are_left_out_unless_asked_for()
    {
        await using var node = await TestNode.StartAsync();
        await ReadTests.AppendToSystemStreamAsync(node, "$settings");
        await node.AppendAsync("a", Make.NoStream);
        Assert.Equal([1ul], (await PositionsAsync(node, new SubscribeRequest { All = new Empty() }, 1)).Select(e => e.Position));
        Assert.Equal([0ul, 1ul], (await PositionsAsync(node, new SubscribeRequest { All = new Empty(), IncludeSystem = true }, 2)).Select(e => e.Position));
        Assert.Equal([0ul], (await PositionsAsync(node, new SubscribeRequest { Stream = "$settings" }, 1)).Select(e => e.Position));
    }

    [Fact]
    public async Task A_slow_subscriber_is_not_dropped_and_is_told_when_it_is_live_again()
    {
        await using var node = await TestNode.StartAsync();
        await using var call = node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() });
        Assert.NotNull((await NextAsync(call)).Head);
        Assert.NotNull((await NextAsync(call)).CaughtUp);
        for (var i = 0; i < 60; i++)
        {
            await node.AppendAsync("s", Make.Any, Make.Event(data: new string('x', 200_000)));
        }

        var positions = new List<ulong>();
        ReadResponse message;
        while ((message = await NextAsync(call)).CaughtUp is null)
        {
            positions.AddRange(message.Events?.Events.Select(e => e.Position) ?? []);
        }

        Assert.Equal(59ul, message.CaughtUp.Position);
        Assert.Equal(Enumerable.Range(0, 60).Select(i => (ulong)i), positions);
    }

    [Fact]
    public async Task Draining_ends_subscriptions_and_a_cancelled_one_is_gone_soon()
    {
        await using var node = await TestNode.StartAsync();
        await using var call = node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() });
        var cancelled = node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() });
        await NextAsync(call);
        await NextAsync(cancelled);
        Assert.Equal(2ul, (await node.Channel.UnaryAsync(Methods.GetStatus, new GetStatusRequest())).Subscriptions);
        await cancelled.DisposeAsync();
        var seen = 2ul;
        for (var i = 0; i < 1000 && seen > 1; i++)
        {
            await Task.Delay(10);
            seen = (await node.Channel.UnaryAsync(Methods.GetStatus, new GetStatusRequest())).Subscriptions;
        }

        Assert.Equal(1ul, seen);
        var stopping = node.Node.StopAsync();
        var end = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            while (await call.MoveNextAsync())
            {
            }
        });
        Assert.Equal(Reason.Draining, Fails.Detail(RpcCode.Unavailable, end).Failures[0].Reason);
        await stopping.WaitAsync(Wait.Limit);
    }

    private static async Task<ReadResponse> NextAsync(RpcCall<SubscribeRequest, ReadResponse> call)
    {
        Assert.True(await call.MoveNextAsync().AsTask().WaitAsync(Wait.Limit));
        return call.Current;
    }

    private static async Task<ReadResponse> NextButProgressAsync(RpcCall<SubscribeRequest, ReadResponse> call)
    {
        while (true)
        {
            var message = await NextAsync(call);
            if (message.ContentCase != ReadResponse.ContentOneofCase.Progress)
            {
                return message;
            }
        }
    }

    private static async Task<List<RecordedEvent>> PositionsAsync(TestNode node, SubscribeRequest request, ulong count)
    {
        await using var call = node.Channel.Start(Methods.Subscribe, request);
        var events = new List<RecordedEvent>();
        while ((ulong)events.Count < count && await call.MoveNextAsync())
        {
            events.AddRange(call.Current.Events?.Events.ToList() ?? []);
        }

        return events;
    }
}
