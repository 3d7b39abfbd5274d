using EventVault.Node.Services;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Storage.Log;
using Google.Protobuf;

namespace EventVault.Node.Tests;

/// <summary>What the node holds for clients that take nothing or send too much. By bytes held, never by time.</summary>
public sealed class OverloadTests
{
    private const int EventBytes = 3 * 1024 * 1024;

    [Fact]
    public async Task Subscribers_that_take_nothing_hold_a_bounded_part_and_lose_their_calls_to_those_that_wait()
    {
        const int Slow = 80; // 240 MiB, were all of them given their event.
        var clock = new ShiftedClock();
        await using var node = await TestNode.StartAsync(o => o with { SegmentSizeBytes = 8 * 1024 * 1024, Clock = clock });
        await using var slowChannel = new RpcChannel(new Uri($"http://{node.Node.RpcEndPoint}"), new RpcChannelOptions { InitialStreamWindow = 65_535 });
        var slow = new List<RpcCall<SubscribeRequest, ReadResponse>>();
        for (var i = 0; i < Slow; i++)
        {
            var call = slowChannel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() });
            slow.Add(call);
            await call.ResponseHeadersAsync();
        }

        var pages = node.Node.Pages;
        await node.AppendAsync("large", Make.Any, Large());
        await Wait.UntilAsync(() => Within(pages) && pages.Large.HeldBytes > (LargePages.MostBytes / 2) - (2 * EventBytes), "the memory for large pages to be given out");

        // One who reads over a connection of its own gets its event at once: they hold half, however many they are.
        Assert.Equal(EventBytes, await FirstEventBytesAsync(node.Channel));

        // One who reads over theirs waits with them. When the others' time is up it goes on; on the test's clock its own may be up as well,
        // between two looks at it: then it asks again, as every client does.
        var got = Task.Run(async () =>
        {
            while (true)
            {
                try
                {
                    return await FirstEventBytesAsync(slowChannel);
                }
                catch (RpcException e) when (e.Code == RpcCode.ResourceExhausted)
                {
                }
            }
        });
        await Wait.UntilAsync(
            () =>
            {
                clock.Shift(LargePages.Patience);
                return Within(pages) && got.IsCompleted;
            },
            "the reading subscriber's event");
        Assert.Equal(EventBytes, await got);
        foreach (var call in slow)
        {
            await call.DisposeAsync();
        }

        await Wait.UntilAsync(() => pages.Large.HeldBytes == 0, "all to be given back");
    }

    [Fact]
    public async Task An_append_counts_in_the_queue_with_all_that_it_holds()
    {
        await using var node = await TestNode.StartAsync();
        var content = new AppendContent(node.Node.Storage);
        byte[] bytes = [.. "s-1"u8, .. Make.Tagged("T", [.. Enumerable.Range(0, 16).Select(i => $"tag-{i}")]).ToByteArray()];
        content.Reset(bytes);
        content.AddStream(0, 3, ExpectedKind.Any, default);
        for (var i = 0; i < 1000; i++)
        {
            content.AddEvent(3, bytes.Length - 3);
        }

        Assert.Equal(EventProblemKind.None, content.Check(out _, out _).Kind);
        Assert.True(content.HeldBytes >= 1000 * (2 + 32 + 1) * sizeof(ulong), $"{content.HeldBytes} bytes are less than the keys alone take");
    }

    private static async Task<int> FirstEventBytesAsync(RpcChannel channel)
    {
        await using var reading = channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() });
        while (await reading.MoveNextAsync())
        {
            if (reading.Current.ContentCase == ReadResponse.ContentOneofCase.Events)
            {
                return reading.Current.Events.Events.Single().Event.Data.Length;
            }
        }

        return 0;
    }

    private static bool Within(PageShare pages)
    {
        var held = pages.Large.HeldBytes;
        Assert.True(held <= LargePages.MostBytes, $"{held} bytes of large pages are held, {LargePages.MostBytes} are allowed");
        return true;
    }

    private static EventData Large()
    {
        var e = Make.Event("Large");
        e.Data = UnsafeByteOperations.UnsafeWrap(new byte[EventBytes]);
        return e;
    }

    private sealed class ShiftedClock : TimeProvider
    {
        private long _shift;

        public void Shift(TimeSpan time) => Interlocked.Add(ref _shift, (long)(time.TotalSeconds * TimestampFrequency));

        public override long GetTimestamp() => base.GetTimestamp() + Interlocked.Read(ref _shift);
    }
}
