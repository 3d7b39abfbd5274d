using System.Net;
using EventVault.Node.Subscriptions;
using EventVault.Node.Tests.Cluster;
using EventVault.Node.Tests.Support;
using EventVault.Rpc;
using EventVault.Storage;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Node.Tests;

public sealed class HealthTests
{
    [Fact]
    public async Task A_vault_thread_that_stands_still_shows_until_it_goes_on()
    {
        await using var node = await TestNode.StartAsync();
        using var gate = new DiskGate(node.Disk);
        await gate.CloseAsync(node);
        var append = node.AppendAsync("s", Make.NoStream);
        await gate.UntilSomeoneWaitsAsync();
        Assert.Equal(HttpStatusCode.OK, (await AskAsync(node.Node, "/health/live")).Status);

        await Wait.UntilAsync(() => node.Node.Pulse.Problem is not null, "the node to notice");

        foreach (var path in new[] { "/health/ready", "/health/reads" })
        {
            var (status, text) = await AskAsync(node.Node, path);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
            Assert.Contains("\"reason\":\"the vault thread has given no sign of life for", text, StringComparison.Ordinal);
        }

        gate.Open();
        await append;
        await Wait.UntilAsync(() => node.Node.Pulse.Problem is null, "the node to go on");
        Assert.Equal((HttpStatusCode.OK, """{"status":"serving"}"""), await AskAsync(node.Node, "/health/ready"));
    }

    [Fact]
    public void A_question_that_finds_no_room_is_asked_again_and_its_silence_counts_on()
    {
        using var vault = new SteppedLoop(new AppendLimits());
        var clock = new HandClock();
        using var pulse = new NodePulse(vault.Loop, vault.Storage, new LiveSubscriptions(), clock, static () => { });
        while (!vault.Loop.AskAsync(static _ => true).IsCanceled)
        {
            // Others ask, until no more may wait.
        }

        pulse.Beat();
        clock.Pass(NodePulse.Patience * 2);
        pulse.Beat();
        Assert.Contains("the vault thread", pulse.Problem, StringComparison.Ordinal);

        // It has only been slow.
        vault.RunUntilIdle();
        pulse.Beat();
        vault.RunUntilIdle();
        Assert.Null(pulse.Problem);
        Assert.Equal(TimeSpan.Zero, pulse.Silence);
        Assert.NotNull(pulse.Status);
    }

    [Fact]
    public async Task A_full_disk_is_no_reason_to_read_elsewhere_and_one_to_append_elsewhere()
    {
        await using var node = await TestNode.StartAsync(o => o with
        {
            Files = new SimulatedFileSystem(tracksLosses: false) { CapacityBytes = (2 * TestNode.SegmentSizeBytes) + 500_000 },
        });
        var payload = new string('x', 50_000);
        var end = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            for (var i = 0; i < 1000; i++)
            {
                await node.AppendAsync("s", Make.Any, Make.Event(data: payload));
            }
        });
        Assert.Equal(RpcCode.ResourceExhausted, end.Status.Code);

        var (status, text) = await AskAsync(node.Node, "/health/ready");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
        Assert.Contains("the disk is full", text, StringComparison.Ordinal);
        Assert.Equal((HttpStatusCode.OK, """{"status":"full"}"""), await AskAsync(node.Node, "/health/reads"));
        node.Disk.CapacityBytes = null;
        await Wait.UntilAsync(() => !node.Node.Storage.DiskIsFull, "the node to notice");
        Assert.Equal(HttpStatusCode.OK, (await AskAsync(node.Node, "/health/ready")).Status);
    }

    [Fact]
    public async Task A_node_without_a_leader_says_so()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        await cluster.AppendAsync("s", Make.Event());
        var left = await cluster.FollowerAsync();
        foreach (var other in cluster.Nodes.Where(n => n != left).ToList())
        {
            await other.StopAsync();
        }

        await Wait.UntilAsync(() => left.Node!.Standing.Leader is null, "the last one to miss its leader");

        var (status, text) = await AskAsync(left.Node!, "/health/ready");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
        Assert.Contains("nobody leads", text, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, (await AskAsync(left.Node!, "/health/live")).Status);
    }

    [Fact]
    public void A_subscription_that_sleeps_through_a_commit_is_told_from_one_whose_client_is_slow()
    {
        var all = new LiveSubscriptions();
        using var sleeps = all.Begin();
        using var isSlow = all.Begin();
        (sleeps.Next, isSlow.Next) = (8, 3); // The slow one waits for its client with event 3.
        sleeps.Rests(new Position(7));
        Assert.Equal(0, all.Asleep(new Position(7), nowMs: 1000).TotalMilliseconds);
        Assert.Equal(new Position(3), all.FurthestBehind(new Position(7)));

        // Event 8 is committed, and nobody wakes it.
        Assert.Equal(0, all.Asleep(new Position(8), nowMs: 2000).TotalMilliseconds);
        Assert.Equal(7000, all.Asleep(new Position(8), nowMs: 9000).TotalMilliseconds);

        // It looks, and rests again: whatever comes after that counts anew.
        sleeps.Wakes();
        Assert.Equal(0, all.Asleep(new Position(8), nowMs: 9500).TotalMilliseconds);
        sleeps.Rests(new Position(8));
        Assert.Equal(0, all.Asleep(new Position(9), nowMs: 10_000).TotalMilliseconds);
        isSlow.Dispose();
        sleeps.Dispose();
        Assert.Equal(0, all.Count);
        Assert.Null(all.FurthestBehind(new Position(9)));
    }

    private static async Task<(HttpStatusCode Status, string Text)> AskAsync(Node node, string path)
    {
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false });
        using var answer = await http.GetAsync($"http://{node.HttpEndPoint}{path}");
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }
}
