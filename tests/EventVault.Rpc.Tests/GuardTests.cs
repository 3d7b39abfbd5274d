using System.Buffers;
using System.Diagnostics;
using EventVault.Rpc.Tests.Support;
using EventVault.Rpc.Tests.Wire;
using Google.Protobuf;

namespace EventVault.Rpc.Tests;

/// <summary>The properties that the speed rests on, as bounds that a change must not break. No clocks.</summary>
[Collection(nameof(GuardTests))]
public class GuardTests
{
    private static readonly TimeSpan Tiers = TimeSpan.FromSeconds(10);

    [Fact]
    public async Task Messages_of_a_window_share_flushes()
    {
        const int Window = 64;
        const int Messages = 20_000;
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        await using var call = channel.Start(EchoService.Duplex);
        var encoded = new EchoRequest { Payload = ByteString.CopyFrom(new byte[256]) }.ToByteArray();
        var (sent, received) = (0, 0);
        while (received < Messages)
        {
            while (sent < Messages && sent - received < Window)
            {
                call.WriteRaw(encoded);
                sent++;
            }

            await call.FlushAsync();
            Assert.True(await call.MoveNextRawAsync());
            do
            {
                received++;
            }
            while (call.TryMoveNextRaw());
        }

        Assert.True(host.Echo.Flushes * 10 < Messages, $"{Messages} messages took {host.Echo.Flushes} flushes");
    }

    // Both sides run in this process, so the bound is for both together; other tests run beside it, hence the best of
    // several rounds.
    [Fact]
    public async Task Raw_streams_allocate_next_to_nothing_per_message()
    {
        const int Messages = 100_000;
        await using var host = await TestHost.StartAsync(configure: server => server.ServerStreamingRaw(EchoService.ServerStreamRaw, async (request, writer, context) =>
        {
            var encoded = new EchoResponse { Payload = ByteString.CopyFrom(new byte[256]) }.ToByteArray();
            for (var i = 0; i < Messages; i++)
            {
                writer.BeginFrame(encoded.Length).Write(encoded);
                await writer.FlushIfFullAsync();
            }
        }));
        await using var channel = host.Connect();
        await BestOfAsync(16, async () =>
        {
            var before = GC.GetTotalAllocatedBytes();
            await using var call = channel.Start(EchoService.ServerStreamRaw, new EchoRequest());
            while (await call.MoveNextRawAsync())
            {
            }

            return (GC.GetTotalAllocatedBytes() - before) / (double)Messages;
        });
    }

    // A client that allocates nothing to speak of: requests made beforehand, answers only counted.
    [Fact]
    public async Task A_unary_call_costs_the_server_at_most_1_KiB()
    {
        const int Calls = 100;
        await using var host = await TestHost.StartAsync(configure: server =>
        {
            var answer = new EchoResponse { Text = "x" };
            server.Unary(EchoService.Missing, (_, _) => ValueTask.FromResult(answer));
        });
        using var peer = await Http2Peer.ConnectAsync(host.Address);
        await peer.SendAsync(FrameType.WindowUpdate, 0, 0, [0x3F, 0, 0, 0]);
        var message = FrameReaderTests.Frames([new EchoRequest { Text = "x" }.ToByteArray()]);
        var next = 1;
        await BestOfAsync(1024, async () =>
        {
            var requests = Http2Peer.Requests(next, Calls, EchoService.Missing.Path, message);
            next += 2 * Calls;
            var buffer = new byte[64 << 10];
            var before = GC.GetTotalAllocatedBytes();
            await peer.SendBytesAsync(requests);
            await peer.SkipStreamsAsync(Calls, buffer);
            return (int)Math.Ceiling((GC.GetTotalAllocatedBytes() - before) / (double)Calls);
        });
    }

    [Fact]
    public async Task A_unary_call_keeps_within_the_budget_of_both_sides()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        var request = new EchoRequest { Text = "x" };
        await BestOfAsync(9_000, async () =>
        {
            var before = GC.GetTotalAllocatedBytes();
            for (var i = 0; i < 2000; i++)
            {
                await channel.UnaryAsync(EchoService.Unary, request);
            }

            return (GC.GetTotalAllocatedBytes() - before) / 2000.0;
        });
        Assert.Equal(0, channel.Buffers.Rented);
    }

    private static async Task BestOfAsync(double allowedBytes, Func<Task<double>> round)
    {
        var best = double.MaxValue;
        var watch = Stopwatch.StartNew();

        // Until the compiler's last tier has had its time, too: code of the first one allocates more.
        for (var i = 0; (i < 200 || watch.Elapsed < Tiers) && best > allowedBytes && watch.Elapsed < Wait.Limit; i++)
        {
            best = Math.Min(best, await round());
        }

        Assert.InRange(best, 0, allowedBytes);
    }
}

/// <summary>Allocation is counted for the whole process: nothing else may run meanwhile.</summary>
[CollectionDefinition(nameof(GuardTests), DisableParallelization = true)]
public static class GuardTestsRunAlone;
