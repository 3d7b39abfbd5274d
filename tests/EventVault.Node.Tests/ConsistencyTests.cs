using EventVault.Node.Services;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.Node.Tests;

/// <summary>What reads must have seen.</summary>
public sealed class ConsistencyTests
{
    [Fact]
    public async Task What_was_acknowledged_is_seen_by_every_kind_of_read_that_comes_after()
    {
        await using var node = await TestNode.StartAsync();
        for (var i = 0ul; i < 50; i++)
        {
            var answer = await node.AppendAsync("a-1", Make.Any);
            foreach (var consistency in new[] { null, new Consistency { Linearizable = new Empty() }, new Consistency { AtLeast = answer.LastPosition } })
            {
                Assert.Equal(i, (await node.Channel.UnaryAsync(Methods.GetStream, new GetStreamRequest { Stream = "a-1", Consistency = consistency })).LastVersion);
                Assert.Equal(i, (await node.ReadAsync(Methods.ReadAll, new ReadAllRequest { Limit = 1, Consistency = consistency })).Head.LastPosition);
                Assert.Equal(i, (await node.ReadAsync(Methods.ReadStream, new ReadStreamRequest { Stream = "a-1", Limit = 1, Consistency = consistency })).Head.LastVersion);
                Assert.Equal(i + 1, (await node.Channel.UnaryAsync(Methods.CountEvents, new CountEventsRequest { Filter = new EventFilter { Category = "a" }, Consistency = consistency })).Count);
                Assert.Equal(i, (await node.Channel.UnaryAsync(Methods.ListStreams, new ListStreamsRequest { Consistency = consistency })).Streams[0].LastVersion);
            }
        }
    }

    [Fact]
    public async Task A_read_that_asks_for_more_than_there_is_waits_for_it()
    {
        await using var node = await TestNode.StartAsync();
        var read = node.ReadAsync(Methods.ReadAll, new ReadAllRequest { Consistency = new Consistency { AtLeast = 2 } });
        await node.AppendAsync("a", Make.NoStream);
        Assert.Empty((await node.ReadAsync(Methods.ReadAll, new ReadAllRequest { Consistency = new Consistency { Local = new Empty() }, From = new ReadBound { Position = 1 } })).Events);
        Assert.False(read.IsCompleted);
        await node.AppendAsync("a", Make.Exists, Make.Events(3));
        Assert.Equal(4, (await read.WaitAsync(Wait.Limit)).Events.Count);
    }

    [Fact]
    public async Task A_read_that_waits_in_vain_is_told_how_far_the_node_is_before_its_time_is_up()
    {
        await using var node = await TestNode.StartAsync();
        Assert.False((await BehindAsync(node)).HasPosition);
        await node.AppendAsync("a", Make.NoStream, Make.Events(7));
        Assert.Equal(6ul, (await BehindAsync(node)).Position);
    }

    [Fact]
    public async Task A_read_that_waits_ends_when_the_node_drains()
    {
        var node = await TestNode.StartAsync();
        var read = node.Channel.UnaryAsync(Methods.GetStream, new GetStreamRequest { Stream = "a", Consistency = new Consistency { AtLeast = 7 } }).AsTask();
        await Wait.UntilAsync(() => node.Node.Calls.ActiveCalls == 1, "the read to come");
        var stop = node.StopAsync();
        await Fails.WithAsync(RpcCode.Unavailable, Reason.Draining, () => read);
        await stop;
    }

    [Fact]
    public async Task The_sequencers_thread_confirms_reads_for_everybody_until_it_has_ended()
    {
        var node = await TestNode.StartAsync();
        Assert.True(node.Node.Loop.HeadIsNewest);
        var answer = await node.AppendAsync("a", Make.NoStream);
        var waiters = Enumerable.Range(0, 100).Select(_ => new Waiter(node)).ToList();
        await Task.WhenAll(waiters.Select(w => Task.Run(() => node.Node.Loop.ReadIndex(w))));
        Assert.All(await Task.WhenAll(waiters.Select(w => w.Answer.Task)).WaitAsync(Wait.Limit), head => Assert.Equal((long)answer.LastPosition, head));
        await node.StopAsync();
        var late = new Waiter(node);
        node.Node.Loop.ReadIndex(late);
        Assert.Null(await late.Answer.Task.WaitAsync(Wait.Limit));
    }

    // The node answers some time before the call's deadline. On a busy machine the client's own time-out may come first all
    // the same, and tells nothing: then the call gets more time, and so does the node.
    private static async Task<Failure> BehindAsync(TestNode node)
    {
        var request = new GetStreamRequest { Stream = "a", Consistency = new Consistency { AtLeast = 7 } };
        for (var seconds = 1; ; seconds *= 3)
        {
            var options = new RpcCallOptions { Timeout = TimeSpan.FromSeconds(seconds) };
            var e = await Assert.ThrowsAsync<RpcException>(() => node.Channel.UnaryAsync(Methods.GetStream, request, options).AsTask());
            Assert.Equal(RpcCode.DeadlineExceeded, e.Code);
            if (e.Trailers.TryGetBinary(Refusal.TrailerKey, out _) || seconds > 20)
            {
                var failure = Assert.Single(Fails.Detail(RpcCode.DeadlineExceeded, e).Failures);
                Assert.Equal(Reason.TimedOutBehind, failure.Reason);
                return failure;
            }
        }
    }

    private sealed class Waiter(TestNode node) : EventVault.Node.Replication.IReadWaiter
    {
        public TaskCompletionSource<long?> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Storage.LogIndex AtLeast => default;

        public void OnRead(bool ok) => Answer.SetResult(ok ? node.Node.Storage.Head.Value : null);

        public void GiveUp(long nowMs)
        {
        }
    }
}
