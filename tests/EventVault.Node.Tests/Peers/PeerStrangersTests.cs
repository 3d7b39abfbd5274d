using System.Net;
using System.Net.Sockets;
using EventVault.Node.Peers;
using EventVault.Node.Tests.Support;
using EventVault.Raft;

namespace EventVault.Node.Tests.Peers;

/// <summary>Who reaches the port and is no member: what it can hold, and what it can't keep members from.</summary>
public sealed class PeerStrangersTests
{
    [Fact]
    public async Task Whoever_only_sits_there_goes_when_others_of_its_address_come()
    {
        await using var one = await TestPeer.StartAsync(1, Patient);
        using var silent = new Strangers(one);
        for (var i = 0; i <= AcceptedConnections.MostOfAddress; i++)
        {
            await silent.ConnectAsync("127.0.0.1");
        }

        await silent.EndedAsync(0);
        Assert.All(Enumerable.Range(1, AcceptedConnections.MostOfAddress), i => Assert.True(silent.Stands(i)));
        await one.Log.SaidAsync("too many wait like that");
    }

    [Fact]
    public async Task Members_get_in_and_stay_while_strangers_take_all_they_can_get()
    {
        await using var one = await TestPeer.StartAsync(1, Patient);
        using var silent = new Strangers(one);
        async Task ComeAsync(int from)
        {
            for (var i = 0; i < 2 * AcceptedConnections.MostStrangers; i++)
            {
                await silent.ConnectAsync($"127.0.{from}.{(i / 8) + 1}");
            }
        }

        await ComeAsync(1);
        await silent.EndedAsync(AcceptedConnections.MostStrangers - 1);
        await using var two = await TestPeer.StartAsync(2, Patient);
        await TestPeer.ConnectAsync(one, two);

        // All strangers are newer than the members now.
        await ComeAsync(2);
        await silent.EndedAsync((3 * AcceptedConnections.MostStrangers) - 1);
        Assert.Equal(AcceptedConnections.MostStrangers, silent.Standing);
        two.Send(one, 1);
        two.Send(one, 2, MessageKind.Append, [1, 2, 3]);
        await one.GotAsync(2);
        Assert.Empty(two.Unreachable);
    }

    [Fact]
    public async Task Who_belongs_to_no_vault_stays_a_stranger_however_long_it_is_there()
    {
        await using var one = await TestPeer.StartAsync(1, Patient);
        await using var empty = await TestPeer.StartAsync(Empty());
        var came = 0;
        var answer = new TaskCompletionSource();
        one.Answering = async (_, _, _, _) =>
        {
            Interlocked.Increment(ref came);
            await answer.Task;
            return [42];
        };
        var asked = new List<Task<byte[]>>();
        for (var i = 1; i <= AcceptedConnections.MostOfAddress + 1; i++)
        {
            asked.Add(empty.Network.AskAsync(new PeerTarget(one.Network.ListenAddress), PeerRequestKind.Status, default, CancellationToken.None));
            await Wait.UntilAsync(() => Volatile.Read(ref came) == i, "the request is there");
        }

        var cut = await Assert.ThrowsAsync<PeerRequestException>(() => asked[0]);
        Assert.Contains("broke", cut.Message, StringComparison.Ordinal);
        answer.SetResult();
        Assert.Equal([42], await asked[^1]);
    }

    [Fact]
    public async Task Who_belongs_to_no_vault_can_ask_for_little_memory_only()
    {
        await using var one = await TestPeer.StartAsync(1);
        await using var two = await TestPeer.StartAsync(2);
        await using var empty = await TestPeer.StartAsync(Empty());
        Task<byte[]> AskAsync(TestPeer from, TestPeer to, int bytes) =>
            from.Network.AskAsync(new PeerTarget(to.Network.ListenAddress), PeerRequestKind.Status, new byte[bytes], CancellationToken.None);
        Assert.Equal(1 + PeerLimits.StrangersRequestBytes, (await AskAsync(empty, one, PeerLimits.StrangersRequestBytes)).Length);
        await Assert.ThrowsAsync<PeerRequestException>(() => AskAsync(empty, one, PeerLimits.StrangersRequestBytes + 1));
        await one.Log.SaidAsync("are the most of who belongs to no vault");

        // To a node without a vault everybody is a stranger; among members there is room for more.
        await Assert.ThrowsAsync<PeerRequestException>(() => AskAsync(one, empty, PeerLimits.StrangersRequestBytes + 1));
        Assert.Equal(2 + PeerLimits.StrangersRequestBytes, (await AskAsync(two, one, PeerLimits.StrangersRequestBytes + 1)).Length);
    }

    [Fact]
    public async Task How_a_node_stands_can_be_asked_while_other_requests_take_all_places()
    {
        await using var one = await TestPeer.StartAsync(1, o => o with { MostRequests = 2 });
        await using var two = await TestPeer.StartAsync(2);
        var answer = new TaskCompletionSource();
        two.Answering = async (_, kind, _, _) =>
        {
            if (kind != PeerRequestKind.Status)
            {
                await answer.Task;
            }

            return [(byte)kind];
        };
        Task<byte[]> AskAsync(PeerRequestKind kind) => one.Network.AskAsync(new PeerTarget(two.Network.ListenAddress, two.Id), kind, default, CancellationToken.None);
        var asked = new[] { AskAsync(PeerRequestKind.Segments), AskAsync(PeerRequestKind.SegmentBytes) };
        var refused = await Assert.ThrowsAsync<PeerRequestException>(() => AskAsync(PeerRequestKind.Segments));
        Assert.Contains("under way already", refused.Message, StringComparison.Ordinal);
        var status = await AskAsync(PeerRequestKind.Status);
        Assert.Equal([(byte)PeerRequestKind.Status], status);
        answer.SetResult();
        await Task.WhenAll(asked);
    }

    // A hello may take minutes: nothing here ends because time is over.
    private static PeerNetworkOptions Patient(PeerNetworkOptions options) => options with { ElectionTimeout = TimeSpan.FromMinutes(5) };

    private static PeerHello Empty() => new(Guid.Empty, default, Guid.NewGuid(), 0, "", "0.2.0");

    /// <summary>Connections that say nothing.</summary>
    private sealed class Strangers(TestPeer at) : IDisposable
    {
        private readonly List<Socket> _sockets = [];

        public int Standing => Enumerable.Range(0, _sockets.Count).Count(Stands);

        public async Task ConnectAsync(string from)
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            _sockets.Add(socket);
            var address = IPAddress.Parse(from);
            var to = IPEndPoint.Parse(at.Network.ListenAddress);
            socket.Bind(new IPEndPoint(address, 0));
            await socket.ConnectAsync(to);
        }

        // Nothing is ever sent to them: what can be read is the end.
        public bool Stands(int stranger) => !_sockets[stranger].Poll(0, SelectMode.SelectRead);

        public Task EndedAsync(int stranger) => Wait.UntilAsync(() => !Stands(stranger), $"stranger {stranger} is closed");

        public void Dispose() => _sockets.ForEach(s => s.Dispose());
    }
}
