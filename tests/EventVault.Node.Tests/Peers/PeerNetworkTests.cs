using System.Security.Cryptography;
using EventVault.Node.Peers;
using EventVault.Node.Tests.Support;
using EventVault.Raft;

namespace EventVault.Node.Tests.Peers;

public sealed class PeerNetworkTests
{
    [Fact]
    public async Task Messages_come_whole_and_in_order_in_each_lane()
    {
        await using var one = await TestPeer.StartAsync(1);
        await using var two = await TestPeer.StartAsync(2);
        await using var three = await TestPeer.StartAsync(3);
        await TestPeer.ConnectAsync(one, two, three);
        const int Count = 1000;
        for (ulong i = 1; i <= Count; i++)
        {
            one.Send(two, i);
            one.Send(two, i, MessageKind.Append, RandomNumberGenerator.GetBytes((int)i), RandomNumberGenerator.GetBytes(17));
            one.Send(three, i, MessageKind.AppendAnswer);
            three.Send(one, i, MessageKind.Vote);
        }

        await two.GotAsync(2 * Count);
        await three.GotAsync(Count);
        await one.GotAsync(Count);
        var all = Enumerable.Range(1, Count).Select(i => (ulong)i).ToArray();
        Assert.Equal(all, two.Messages.Where(m => m.Raft.Kind == MessageKind.Heartbeat).Select(m => m.Raft.Index.Value));
        Assert.Equal(all, two.Messages.Where(m => m.Raft.Kind == MessageKind.Append).Select(m => m.Raft.Index.Value));
        Assert.Equal(all, three.Messages.Select(m => m.Raft.Index.Value));
        Assert.Equal(all, one.Messages.Select(m => m.Raft.Index.Value));
        Assert.All(two.Messages, m => Assert.Equal((one.Id, two.Id, TestPeer.Vault), (m.Raft.From, m.Raft.To, m.VaultId)));
        Assert.All(two.Messages.Where(m => m.Raft.Kind == MessageKind.Append), m => Assert.Equal([(int)m.Raft.Index.Value, 17], m.Groups.Select(g => g.Length)));
        Assert.Empty(one.Unreachable);
    }

    [Fact]
    public async Task Requests_are_answered_and_refusals_carry_the_other_sides_words()
    {
        await using var one = await TestPeer.StartAsync(1);
        await using var two = await TestPeer.StartAsync(2);
        two.Answering = (from, kind, content, _) => kind == PeerRequestKind.Invite
            ? throw new PeerRequestException($"no, {from.Id}")
            : Task.FromResult(content.ToArray());
        var content = RandomNumberGenerator.GetBytes(PeerLimits.RequestBytes);
        var target = new PeerTarget(two.Network.ListenAddress);
        Assert.Equal(content, await one.Network.AskAsync(target, PeerRequestKind.Status, content, CancellationToken.None));
        Assert.Empty(await one.Network.AskAsync(target, PeerRequestKind.Status, default, CancellationToken.None));
        var refused = await Assert.ThrowsAsync<PeerRequestException>(() => one.Network.AskAsync(target, PeerRequestKind.Invite, default, CancellationToken.None));
        Assert.Equal($"no, {one.Id}", refused.Message);
    }

    [Fact]
    public async Task A_peer_that_comes_back_is_found_and_its_loss_was_told()
    {
        await using var one = await TestPeer.StartAsync(1);
        var two = await TestPeer.StartAsync(2);
        await TestPeer.ConnectAsync(one, two);
        var port = int.Parse(two.Network.ListenAddress.Split(':')[1]);
        await two.DisposeAsync();
        await Wait.UntilAsync(() => one.Unreachable.Contains(two.Id), "the loss is told");
        await Wait.UntilAsync(() => !one.Network.Links[0].IsConnected && one.Network.Links[0].Problem.Length > 0, "the link says why");
        await using var again = await TestPeer.StartAsync(TestPeer.HelloOf(2, start: 2), o => o with { Port = port });
        await TestPeer.ConnectAsync(one, again);
        one.Send(again, 1);
        await again.GotAsync(1);
        Assert.Equal("", one.Network.Links[0].Problem);
    }
}
