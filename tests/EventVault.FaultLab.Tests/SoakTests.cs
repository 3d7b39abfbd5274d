using EventVault.Client;

namespace EventVault.FaultLab.Tests;

public sealed class SoakTests
{
    [Fact]
    public async Task A_subscriber_from_the_start_sees_every_position_once_and_in_order_while_64_writers_append()
    {
        using var folder = new TemporaryFolder();
        var port = NodeProcess.FreePort();
        using var node = await NodeProcess.StartAsync(folder.Path, port, 64 * 1024 * 1024);
        await using var client = VaultClient.Connect($"eventvault://127.0.0.1:{port}");
        using var stop = new CancellationTokenSource();
        var work = new Workload(client, writers: 64);
        var running = work.RunAsync(stop.Token);
        await using var listener = VaultClient.Connect($"eventvault://127.0.0.1:{port}");
        var expected = 0UL;
        ulong? end = null;
        var caughtUp = 0;
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(Settings.SoakSeconds + 120));
        stop.CancelAfter(TimeSpan.FromSeconds(Settings.SoakSeconds));
        await foreach (var message in listener.SubscribeToAllAsync(cancellationToken: patience.Token))
        {
            if (message.Event is { } e)
            {
                Assert.Equal(expected, e.Position);
                expected++;
            }

            caughtUp += message.Kind == SubscriptionMessageKind.CaughtUp ? 1 : 0;
            if (end is null && running.IsCompleted)
            {
                end = (await client.GetStatusAsync()).Head;
            }

            if (end is { } last && expected > last)
            {
                break;
            }
        }

        await running;
        Assert.True(caughtUp > 0);
        Assert.Equal(0, work.Unknown);
        Assert.Equal((ulong)work.Acknowledged, expected);
        await work.CheckAsync(client);
        Assert.Equal(0, await node.StopAsync());
        Console.WriteLine($"{Settings.SoakSeconds} s: the subscriber saw all {expected} events once, in order; caught up {caughtUp} times.");
    }
}
