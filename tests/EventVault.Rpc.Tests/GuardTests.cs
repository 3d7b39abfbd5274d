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
            await using var call = channel.Start(EchoService.ServerStreamRaw, new EchoRequest());
            while (await call.MoveNextRawAsync())
            {
            }

            return Messages;
        });
    }

    // The server's own share of a unary call is the bound of the report (1 KB); the client's is HttpClient's, about 5 KB.
    [Fact]
    public async Task A_unary_call_allocates_within_its_budget()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        var request = new EchoRequest { Text = "x" };
        await BestOfAsync(9_000, async () =>
        {
            for (var i = 0; i < 2000; i++)
            {
                await channel.UnaryAsync(EchoService.Unary, request);
            }

            return 2000;
        });
    }

    private static async Task BestOfAsync(double allowedBytes, Func<Task<int>> round)
    {
        var best = double.MaxValue;
        var watch = Stopwatch.StartNew();
        for (var i = 0; i < 40 && best > allowedBytes && watch.Elapsed < Wait.Limit; i++)
        {
            var before = GC.GetTotalAllocatedBytes();
            var count = await round();
            best = Math.Min(best, (double)(GC.GetTotalAllocatedBytes() - before) / count);
        }

        Assert.InRange(best, 0, allowedBytes);
    }
}

/// <summary>Allocation is counted for the whole process: nothing else may run meanwhile.</summary>
[CollectionDefinition(nameof(GuardTests), DisableParallelization = true)]
public static class GuardTestsRunAlone;
