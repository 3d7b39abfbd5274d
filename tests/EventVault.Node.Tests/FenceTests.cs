using EventVault.Node.Tests.Support;
using EventVault.Storage;

namespace EventVault.Node.Tests;

/// <summary>Times that are closed: what was recorded up to them never changes again, whatever the clocks do.</summary>
public sealed class FenceTests
{
    private static readonly TimeSpan Millisecond = TimeSpan.FromMilliseconds(1);

    [Fact]
    public async Task A_time_of_an_idle_vault_stays_what_it_was_over_appends_restarts_seals_and_clocks_that_are_set_back()
    {
        var clock = new HandClock();
        var node = await TestNode.StartAsync(o => o with { Clock = clock });
        try
        {
            await node.AppendAsync("a", Make.NoStream);
            clock.Pass(TimeSpan.FromSeconds(5));
            var time = clock.Ticks - Millisecond.Ticks;
            Assert.True(node.Node.Storage.ClosedTime < time);
            Assert.Equal(CloseOutcome.Closed, await CloseAsync(node, time));
            Check(node.Node.Storage, time);

            // The clock stands before the time that was closed: what comes is recorded behind it all the same.
            clock.Jump(-TimeSpan.FromSeconds(3));
            var answer = await node.AppendAsync("a", Make.Any);
            Assert.True(answer.RecordedAt > time);
            Check(node.Node.Storage, time);

            var before = node.Node.Storage.ClosedTime;
            node = await node.RestartAsync();
            Check(node.Node.Storage, time);
            Assert.True(node.Node.Storage.ClosedTime >= before);
            for (var i = 0; i < 40; i++)
            {
                await node.AppendAsync($"filler-{i}", Make.NoStream, Make.Event(data: $"\"{new string('x', 60_000)}\""));
            }

            await Wait.UntilAsync(() => node.Node.Storage.SegmentCounts.Sealed >= 2, "a sealed segment");
            Check(node.Node.Storage, time);
            node = await node.RestartAsync();
            Check(node.Node.Storage, time);
        }
        finally
        {
            await node.DisposeAsync();
        }

        static void Check(VaultStorage storage, long time)
        {
            Assert.True(storage.ClosedTime >= time);
            Assert.Equal(0, storage.Reader.LastAtOrBefore(time).Value);
        }
    }

    [Fact]
    public async Task One_fence_serves_all_who_wait_and_none_is_written_where_none_is_needed()
    {
        var clock = new HandClock();
        await using var node = await TestNode.StartAsync(o => o with { Clock = clock });
        await node.AppendAsync("a", Make.NoStream);
        var storage = node.Node.Storage;
        using var gate = new DiskGate(node.Disk);
        await gate.CloseAsync(node);
        clock.Pass(TimeSpan.FromSeconds(1));
        var written = storage.CommitIndex.Value;
        var first = CloseAsync(node, clock.Ticks);
        await gate.UntilSomeoneWaitsAsync();
        clock.Pass(TimeSpan.FromSeconds(1));
        var others = Enumerable.Range(0, 100).Select(i => CloseAsync(node, clock.Ticks - i)).ToList();
        Assert.DoesNotContain(others, o => o.IsCompleted);
        gate.Open();
        Assert.Equal(CloseOutcome.Closed, await first);
        Assert.All(await Task.WhenAll(others), o => Assert.Equal(CloseOutcome.Closed, o));
        Assert.Equal(written + 2, storage.CommitIndex.Value);
        Assert.Equal(clock.Ticks, storage.ClosedTime);

        Assert.Equal(CloseOutcome.Closed, await CloseAsync(node, clock.Ticks));
        Assert.Equal(CloseOutcome.Closed, await CloseAsync(node, 0));
        Assert.Equal(written + 2, storage.CommitIndex.Value);
        Assert.Equal(0, storage.Head.Value);
    }

    // An append that is on its way is as good as a fence.
    [Fact]
    public async Task An_append_that_is_being_written_closes_the_time_before_it()
    {
        var clock = new HandClock();
        await using var node = await TestNode.StartAsync(o => o with { Clock = clock });
        await node.AppendAsync("a", Make.NoStream);
        var storage = node.Node.Storage;
        using var gate = new DiskGate(node.Disk);
        await gate.CloseAsync(node);
        clock.Pass(TimeSpan.FromSeconds(1));
        var written = storage.CommitIndex.Value;
        var append = node.AppendAsync("a", Make.Any).AsTask();
        await gate.UntilSomeoneWaitsAsync();
        var closed = CloseAsync(node, clock.Ticks);
        Assert.False(closed.IsCompleted);
        gate.Open();
        Assert.Equal(CloseOutcome.Closed, await closed);
        Assert.Equal(1ul, (await append).LastPosition);
        Assert.Equal((written + 1, 1), (storage.CommitIndex.Value, storage.Head.Value));
    }

    [Fact]
    public async Task A_time_ahead_of_the_clock_is_told_and_writes_nothing()
    {
        var clock = new HandClock();
        await using var node = await TestNode.StartAsync(o => o with { Clock = clock });
        await node.AppendAsync("a", Make.NoStream);
        var written = node.Node.Storage.CommitIndex;
        Assert.Equal(CloseOutcome.InFuture, await CloseAsync(node, clock.Ticks + Millisecond.Ticks));
        Assert.Equal(written, node.Node.Storage.CommitIndex);
        clock.Pass(Millisecond);
        Assert.Equal(CloseOutcome.Closed, await CloseAsync(node, clock.Ticks));
    }

    [Fact]
    public async Task A_node_that_stops_says_so()
    {
        var clock = new HandClock();
        var node = await TestNode.StartAsync(o => o with { Clock = clock });
        await node.AppendAsync("a", Make.NoStream);
        await node.StopAsync();
        clock.Pass(Millisecond);
        Assert.Equal(CloseOutcome.Draining, await CloseAsync(node, clock.Ticks));
        Assert.Equal(CloseOutcome.Closed, await CloseAsync(node, 0));
    }

    private static Task<CloseOutcome> CloseAsync(TestNode node, long time) => node.Node.Loop.CloseTimeAsync(time, long.MaxValue).WaitAsync(Wait.Limit);
}
