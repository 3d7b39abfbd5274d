using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using EventVault.Node.Peers;
using EventVault.Node.Tests.Support;
using EventVault.Raft;

namespace EventVault.Node.Tests.Peers;

/// <summary>What breaks, hangs, floods and ends.</summary>
public sealed class PeerFaultTests
{
    [Fact]
    public async Task A_connection_that_died_silently_is_noticed_and_made_anew()
    {
        await using var one = await TestPeer.StartAsync(1, o => o with { ElectionTimeout = TimeSpan.FromMilliseconds(400) });
        await using var two = await TestPeer.StartAsync(2);
        await using var proxy = new BlackProxy(two.Network.ListenAddress);
        one.Network.SetPeers([new Peer(two.Id, proxy.Address)]);
        await one.ConnectedAsync();
        proxy.IsBlack = true;
        await Wait.UntilAsync(() => one.Unreachable.Contains(two.Id), "the silence is noticed");
        await Wait.UntilAsync(() => !one.LinkTo(two.Id).IsConnected, "both connections are given up");
        proxy.IsBlack = false;
        await one.ConnectedAsync();
        one.Send(two, 1);
        one.Send(two, 2, MessageKind.Append, [1, 2, 3]);
        await two.GotAsync(2);
    }

    [Fact]
    public async Task A_peer_that_does_not_keep_up_loses_messages_and_that_is_told_once()
    {
        await using var one = await TestPeer.StartAsync(1);
        await using var two = await TestPeer.StartAsync(2);
        await TestPeer.ConnectAsync(one, two);
        using var gate = new ManualResetEventSlim();
        two.Taking = message =>
        {
            if (message.Raft.Kind == MessageKind.Append)
            {
                gate.Wait();
            }
        };
        var group = new byte[256 * 1024];
        ulong sent = 0;
        for (; one.Unreachable.Count == 0 && sent < 1_000; sent++)
        {
            // 128 of them are the queue's bytes, and some more lie in the sockets' buffers; by their number alone it would be 4,096.
            one.Send(two, sent, MessageKind.Append, group);
            await Task.Yield();
        }

        await Wait.UntilAsync(() => one.Unreachable.Count > 0, "the queue to have an end"); // It is told on another thread.
        for (var i = 0; i < 1000; i++)
        {
            one.Send(two, sent++, MessageKind.Append, group);
            one.Send(two, (ulong)i);
        }

        // The urgent lane goes on, and that it does is no news of the other one.
        await two.GotAsync(1000);
        Assert.Single(one.Unreachable);
        gate.Set();
        await Wait.UntilAsync(
            () =>
            {
                one.Send(two, 1_000_000, MessageKind.Append, group);
                return two.Messages.Any(m => m.Raft.Index.Value == 1_000_000);
            },
            "it goes on when there is room");
        var got = two.Messages.Where(m => m.Raft.Kind == MessageKind.Append).Select(m => m.Raft.Index.Value).ToArray();
        Assert.Equal(got.Order(), got);
        Assert.True(got.Length < (int)sent, "Something was lost.");
    }

    [Fact]
    public async Task Messages_to_whom_no_connection_stands_are_dropped_and_that_is_told_once()
    {
        await using var one = await TestPeer.StartAsync(1);
        var gone = new Peer(TestPeer.IdOf(9), await FreeAddressAsync());
        one.Network.SetPeers([gone]);
        for (ulong i = 0; i < 100; i++)
        {
            one.Network.Send(one.MessageTo(gone.Id, i));
            one.Network.Send(one.MessageTo(TestPeer.IdOf(10), i));
        }

        await Wait.UntilAsync(() => one.Unreachable.Count > 0, "the loss is told");
        await Wait.UntilAsync(() => one.LinkTo(gone.Id).Problem.Contains("can't be reached", StringComparison.Ordinal), "the link says why");
        Assert.Equal([gone.Id], one.Unreachable);
        Assert.Equal(TimeSpan.MaxValue, one.LinkTo(gone.Id).SinceHeard);
    }

    [Fact]
    public async Task The_largest_group_goes_through()
    {
        await using var one = await TestPeer.StartAsync(1);
        await using var two = await TestPeer.StartAsync(2);
        await TestPeer.ConnectAsync(one, two);
        var group = new byte[PeerFrames.MostGroupBytes];
        new Random(1).NextBytes(group);
        one.Send(two, 1, MessageKind.Append, group);
        await two.GotAsync(1);
        Assert.True(group.AsSpan().SequenceEqual(two.Messages.Single().Groups.Single()));
    }

    [Fact]
    public async Task A_node_that_does_not_know_the_caller_answers_on_the_callers_connection()
    {
        await using var leader = await TestPeer.StartAsync(1);
        await using var learner = await TestPeer.StartAsync(2);
        leader.Network.SetPeers([learner.AsPeer]);
        await leader.ConnectedAsync();
        leader.Send(learner, 1);
        await learner.GotAsync(1);
        learner.Send(leader, 2, MessageKind.HeartbeatAnswer);
        await leader.GotAsync(1);
    }

    [Fact]
    public async Task Clocks_are_compared()
    {
        var clock = new HandClock();
        await using var one = await TestPeer.StartAsync(1, o => o with { Clock = clock });
        var ahead = TimeSpan.FromHours(3);
        var later = new HandClock();
        later.Jump(ahead);
        await using var two = await TestPeer.StartAsync(2, o => o with { Clock = later });
        await TestPeer.ConnectAsync(one, two);

        // These clocks stand still, so what is added is half of a round on loopback.
        await Wait.UntilAsync(() => one.LinkTo(two.Id).ClockAhead >= ahead, "the offset is known");
        await Wait.UntilAsync(() => two.LinkTo(one.Id).ClockAhead != TimeSpan.Zero, "the offset is known to the other");
        Assert.True(one.LinkTo(two.Id).ClockAhead < ahead + Wait.Limit);
        Assert.True(two.LinkTo(one.Id).ClockAhead < -ahead + Wait.Limit);
        Assert.Equal("client-2:1234", one.LinkTo(two.Id).Hello?.ClientAddress);
        Assert.True(one.LinkTo(two.Id).SinceHeard < Wait.Limit);
    }

    [Fact]
    public async Task Requests_go_side_by_side_and_end_with_their_token_or_the_other_node()
    {
        await using var one = await TestPeer.StartAsync(1);
        var two = await TestPeer.StartAsync(2);
        var both = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var arrived = 0;
        two.Answering = async (_, kind, _, cancellation) =>
        {
            if (kind == PeerRequestKind.Segments)
            {
                await Task.Delay(Timeout.Infinite, cancellation);
            }

            if (Interlocked.Increment(ref arrived) == 8)
            {
                both.SetResult();
            }

            await both.Task.WaitAsync(cancellation);
            return [1];
        };
        var target = new PeerTarget(two.Network.ListenAddress, two.Id);
        var all = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => one.Network.AskAsync(target, PeerRequestKind.Status, default, CancellationToken.None)));
        Assert.All(all, a => Assert.Equal([1], a));

        using var cancelling = new CancellationTokenSource();
        var cancelled = one.Network.AskAsync(target, PeerRequestKind.Segments, default, cancelling.Token);
        await cancelling.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        var broken = one.Network.AskAsync(target, PeerRequestKind.Segments, default, CancellationToken.None);
        await two.DisposeAsync();
        await Assert.ThrowsAsync<PeerRequestException>(() => broken);

        // The connections that were kept are known to be of no use: this one is refused by nobody being there.
        var gone = await Assert.ThrowsAsync<PeerRequestException>(() => one.Network.AskAsync(target, PeerRequestKind.Status, default, CancellationToken.None));
        Assert.Contains("can't be reached", gone.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_no_address_is_refused()
    {
        await using var one = await TestPeer.StartAsync(1);
        foreach (var address in (string[])["", "host", "host:", ":7", "host:0", "host:65536", "host:x"])
        {
            var refused = await Assert.ThrowsAsync<PeerRequestException>(() => one.Network.AskAsync(new PeerTarget(address), PeerRequestKind.Status, default, CancellationToken.None));
            Assert.Contains("is no address", refused.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_port_that_is_taken_is_an_error_at_the_start()
    {
        await using var one = await TestPeer.StartAsync(1);
        var port = int.Parse(one.Network.ListenAddress.Split(':')[1]);
        await Assert.ThrowsAsync<IOException>(() => TestPeer.StartAsync(2, o => o with { Port = port }));
    }

    [Fact]
    public async Task Nothing_is_left_of_a_network_that_was_disposed()
    {
        await using var two = await TestPeer.StartAsync(2);
        var (weak, address) = await UseAndDisposeAsync(two);
        await Wait.UntilAsync(() => !two.LinkTo(TestPeer.IdOf(1)).IsConnected, "its sockets are closed");
        await Wait.UntilAsync(
            () =>
            {
                GC.Collect();
                return !weak.IsAlive;
            },
            "no task, timer or socket holds it");
        var listener = new TcpListener(IPEndPoint.Parse(address));
        listener.Start();
        listener.Stop();
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task<(WeakReference Network, string Address)> UseAndDisposeAsync(TestPeer two)
    {
        var one = await TestPeer.StartAsync(1);
        await TestPeer.ConnectAsync(one, two);
        one.Send(two, 1);
        two.Send(one, 1);
        await one.GotAsync(1);
        await one.Network.AskAsync(new PeerTarget(two.Network.ListenAddress), PeerRequestKind.Status, default, CancellationToken.None);
        await two.Network.AskAsync(new PeerTarget(one.Network.ListenAddress), PeerRequestKind.Status, default, CancellationToken.None);
        await one.DisposeAsync();
        await one.DisposeAsync();
        one.Network.SetPeers([two.AsPeer]);
        one.Send(two, 2);
        Assert.Empty(one.Unreachable);
        return (new WeakReference(one.Network), one.Network.ListenAddress);
    }

    // A port that was free a moment ago.
    private static async Task<string> FreeAddressAsync()
    {
        await using var peer = await TestPeer.StartAsync(8);
        return peer.Network.ListenAddress;
    }
}
