using EventVault.Node.Peers;
using EventVault.Node.Replication;
using EventVault.Node.Tests.Support;
using EventVault.Raft;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Node.Tests.Peers;

/// <summary>Who is let in, and as whom.</summary>
public sealed class PeerIdentityTests
{
    [Fact]
    public async Task A_node_of_another_vault_is_refused_and_both_say_so()
    {
        await using var one = await TestPeer.StartAsync(1);
        await using var foreign = await TestPeer.StartAsync(TestPeer.HelloOf(2) with { VaultId = Guid.NewGuid() });
        foreign.Network.SetPeers([one.AsPeer]);
        await Wait.UntilAsync(() => foreign.LinkTo(one.Id).Problem.Contains("belongs to vault", StringComparison.Ordinal), "the link says why");
        await one.Log.SaidAsync($"it belongs to vault {foreign.Options.Hello.VaultId}");
        foreign.Send(one, 1);
        var refused = await Assert.ThrowsAsync<PeerRequestException>(() => foreign.Network.AskAsync(new PeerTarget(one.Network.ListenAddress), PeerRequestKind.Status, default, CancellationToken.None));
        Assert.Contains("belongs to vault", refused.Message, StringComparison.Ordinal);
        Assert.False(foreign.LinkTo(one.Id).IsConnected);
        Assert.Empty(one.Messages);
    }

    [Fact]
    public async Task A_node_without_a_vault_can_be_asked_and_can_ask_but_takes_no_messages()
    {
        await using var one = await TestPeer.StartAsync(1);
        await using var empty = await TestPeer.StartAsync(new PeerHello(Guid.Empty, default, Guid.NewGuid(), 0, "", "0.2.0"));
        PeerHello? asker = null;
        empty.Answering = (from, _, _, _) =>
        {
            asker = from;
            return Task.FromResult<byte[]>([42]);
        };
        Assert.Equal([42], await one.Network.AskAsync(new PeerTarget(empty.Network.ListenAddress), PeerRequestKind.Invite, default, CancellationToken.None));
        Assert.Equal(one.Options.Hello, asker);
        Assert.Equal([1], await empty.Network.AskAsync(new PeerTarget(one.Network.ListenAddress), PeerRequestKind.Status, default, CancellationToken.None));
        one.Network.SetPeers([new Peer(TestPeer.IdOf(2), empty.Network.ListenAddress)]);
        await Wait.UntilAsync(() => one.Network.Links[0].Problem.Contains("no vault yet", StringComparison.Ordinal), "the link says why");
    }

    [Fact]
    public async Task Whoever_answers_at_a_members_address_must_be_that_member()
    {
        await using var one = await TestPeer.StartAsync(1);
        await using var two = await TestPeer.StartAsync(2);
        one.Network.SetPeers([new Peer(TestPeer.IdOf(3), two.Network.ListenAddress)]);
        await Wait.UntilAsync(() => one.Network.Links[0].Problem.Contains($"{TestPeer.IdOf(3)} was asked for", StringComparison.Ordinal), "the link says why");
        var target = new PeerTarget(two.Network.ListenAddress, TestPeer.IdOf(3));
        await Assert.ThrowsAsync<PeerRequestException>(() => one.Network.AskAsync(target, PeerRequestKind.Status, default, CancellationToken.None));
        Assert.DoesNotContain(one.Network.Links, l => l.IsConnected);
    }

    [Fact]
    public async Task A_peer_with_another_incarnation_is_another_replica()
    {
        await using var one = await TestPeer.StartAsync(1);
        var two = await TestPeer.StartAsync(2);
        await TestPeer.ConnectAsync(one, two);
        var port = int.Parse(two.Network.ListenAddress.Split(':')[1]);
        await two.DisposeAsync();
        var wiped = TestPeer.HelloOf(2) with { Id = new ReplicaId(2, Guid.NewGuid()) };
        await using var again = await TestPeer.StartAsync(wiped, o => o with { Port = port });
        await Wait.UntilAsync(() => one.LinkTo(two.Id).Problem.Contains($"this is {wiped.Id}", StringComparison.Ordinal), "the link says who is there");
        one.Send(two, 1);
        await TestPeer.ConnectAsync(one, again);
        one.Send(again, 2);
        await again.GotAsync(1);
        Assert.Equal([2UL], again.Messages.Select(m => m.Raft.Index.Value));
    }

    [Fact]
    public async Task Of_two_nodes_that_show_one_disk_the_later_one_is_refused_while_the_first_lives()
    {
        await using var one = await TestPeer.StartAsync(1);
        var two = await TestPeer.StartAsync(TestPeer.HelloOf(2, start: 1));
        await TestPeer.ConnectAsync(one, two);
        await using var copy = await TestPeer.StartAsync(TestPeer.HelloOf(2, start: 2));
        copy.Network.SetPeers([one.AsPeer]);
        await Wait.UntilAsync(() => copy.LinkTo(one.Id).Problem.Contains("at the same time", StringComparison.Ordinal), "the copy is told");
        await one.Log.SaidAsync("at the same time");
        await copy.Log.SaidAsync("at the same time");
        Assert.True(one.LinkTo(two.Id).IsConnected);
        one.Send(two, 1);
        await two.GotAsync(1);

        await two.DisposeAsync();
        await copy.ConnectedAsync();
    }

    [Fact]
    public async Task A_node_that_restarts_behind_a_cut_gets_in_although_its_old_connections_seem_to_stand()
    {
        await using var one = await TestPeer.StartAsync(1);
        await using var proxy = new BlackProxy(one.Network.ListenAddress);

        // Its own clock of pings is slow, so that only being asked can show that it is gone.
        await using var two = await TestPeer.StartAsync(TestPeer.HelloOf(2, start: 1));
        two.Network.SetPeers([new Peer(one.Id, proxy.Address)]);
        await two.ConnectedAsync();
        proxy.IsBlack = true;
        await using var again = await TestPeer.StartAsync(TestPeer.HelloOf(2, start: 2));
        again.Network.SetPeers([one.AsPeer]);
        await again.ConnectedAsync();
        again.Send(one, 7);
        await one.GotAsync(1);
    }

    [Fact]
    public async Task A_disk_whose_start_number_went_back_is_refused_even_after_a_restart_and_a_loss_of_power()
    {
        var files = new SimulatedFileSystem();
        files.CreateDirectory("/data");
        files.FlushDirectory("/");
        PeerNetworkOptions Kept(PeerNetworkOptions options) => options with { Files = files, Directory = "/data" };
        await using (var one = await TestPeer.StartAsync(1, Kept))
        {
            await using var two = await TestPeer.StartAsync(TestPeer.HelloOf(2, start: 5));
            await TestPeer.ConnectAsync(one, two);
        }

        files = files.Crash(new Random(1));
        await using (var one = await TestPeer.StartAsync(1, Kept))
        {
            await using var old = await TestPeer.StartAsync(TestPeer.HelloOf(2, start: 4));
            old.Network.SetPeers([one.AsPeer]);
            one.Network.SetPeers([old.AsPeer]);
            await Wait.UntilAsync(() => old.LinkTo(one.Id).Problem.Contains("old copy", StringComparison.Ordinal), "the old disk is told");
            await Wait.UntilAsync(() => one.LinkTo(old.Id).Problem.Contains("old copy", StringComparison.Ordinal), "the link says why");
            await one.Log.SaidAsync("old copy");
            old.Send(one, 1);
            Assert.Empty(one.Messages);
        }

        await using (var one = await TestPeer.StartAsync(1, Kept))
        {
            await using var copied = await TestPeer.StartAsync(TestPeer.HelloOf(2, start: 5));
            copied.Network.SetPeers([one.AsPeer]);
            await Wait.UntilAsync(() => copied.LinkTo(one.Id).Problem.Contains("was copied", StringComparison.Ordinal), "the same start of another process is told");
            await using var next = await TestPeer.StartAsync(TestPeer.HelloOf(2, start: 6));
            next.Network.SetPeers([one.AsPeer]);
            await next.ConnectedAsync();
        }
    }

    [Fact]
    public async Task A_file_of_seen_starts_that_is_damaged_is_reported_and_made_anew()
    {
        var files = new SimulatedFileSystem();
        files.CreateDirectory("/data");
        PeerNetworkOptions Kept(PeerNetworkOptions options) => options with { Files = files, Directory = "/data" };
        await using (var one = await TestPeer.StartAsync(1, Kept))
        {
            await using var two = await TestPeer.StartAsync(TestPeer.HelloOf(2, start: 5));
            await TestPeer.ConnectAsync(one, two);
        }

        // The slot of the first write, and whatever stands in the other one.
        files.FlipBit("/data/peers", 100, 3);
        files.FlipBit("/data/peers", SeenDisks.SlotBytes + 100, 3);
        await using (var one = await TestPeer.StartAsync(1, Kept))
        {
            await one.Log.SaidAsync("no part of it matches its checksum");
            await using var two = await TestPeer.StartAsync(TestPeer.HelloOf(2, start: 4));
            await TestPeer.ConnectAsync(one, two);
        }

        await using var later = await TestPeer.StartAsync(1, Kept);
        Assert.DoesNotContain(later.Log.Lines, l => l.Contains("checksum", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_disk_that_fails_does_not_keep_nodes_apart()
    {
        var files = new SimulatedFileSystem();
        files.CreateDirectory("/data");
        files.FailingFlush.StrikeAlways();
        await using var one = await TestPeer.StartAsync(1, o => o with { Files = files, Directory = "/data" });
        await using var two = await TestPeer.StartAsync(2);
        await TestPeer.ConnectAsync(one, two);
        await one.Log.SaidAsync("can't be kept");
    }

    [Fact]
    public async Task A_node_that_is_given_its_own_address_has_no_link_to_itself_and_answers_itself()
    {
        await using var one = await TestPeer.StartAsync(1);
        one.Network.SetPeers([one.AsPeer]);
        Assert.Empty(one.Network.Links);
        await one.Network.AskAsync(new PeerTarget(one.Network.ListenAddress), PeerRequestKind.Status, default, CancellationToken.None);
        one.Network.SetPeers([new Peer(new ReplicaId(9, Guid.NewGuid()), one.Network.ListenAddress)]);
        await Wait.UntilAsync(() => one.Network.Links.Single().Problem.Length > 0, "it to find itself where another one should be");
    }

    [Theory]
    [InlineData(6, 100, "was seen in term 7")] // A vote may be forgotten.
    [InlineData(7, 89, "acknowledged group 90")]
    [InlineData(9, 79, "80 committed groups")] // It has been in a later term since, and lacks what nobody may lack.
    [InlineData(7, 90, null)]
    [InlineData(8, 80, null)] // What it acknowledged and was not committed a later leader may have cut off.
    public void A_disk_is_old_if_it_lacks_what_no_leader_can_have_taken(ulong term, ulong last, string? why)
    {
        var mark = new DiskMark(7, 90, 0).With(new DiskMark(6, 95, 80)).With(new DiskMark(7, 85, 70));
        Assert.Equal(new DiskMark(7, 90, 80), mark);
        Assert.Contains(why ?? "fine", mark.WhyOlder(term, last) ?? "fine", StringComparison.Ordinal);
        Assert.Equal(new DiskMark(8, 3, 80), mark.With(new DiskMark(8, 3, 2)));
    }

    [Fact]
    public async Task A_disk_that_comes_with_less_than_it_showed_is_refused_for_good_told_and_remembered()
    {
        var files = new SimulatedFileSystem();
        files.CreateDirectory("/one");
        files.CreateDirectory("/two");
        PeerNetworkOptions Kept(PeerNetworkOptions options) => options with { Files = files, Directory = "/one" };
        await using (var one = await TestPeer.StartAsync(TestPeer.HelloOf(1, start: 1), Kept))
        {
            // As its pings say, and its answers to a leader.
            await using var two = await TestPeer.StartAsync(TestPeer.HelloOf(2, start: 5), o => o with { Mark = () => new DiskMark(7, 90, 80) });
            await TestPeer.ConnectAsync(one, two);
            two.Send(one, 95, MessageKind.AppendAnswer);
            await one.GotAsync(1);
        }

        // The start number says nothing: the copy was taken while the disk was in service.
        await using (var one = await TestPeer.StartAsync(TestPeer.HelloOf(1, start: 2), Kept))
        {
            await RefusedAsync(one, HelloOf(start: 6, last: 94), files);
        }

        // What it has come to meanwhile does not make it sound, neither here nor where it hears of nobody.
        await using (var one = await TestPeer.StartAsync(TestPeer.HelloOf(1, start: 3), Kept))
        {
            await RefusedAsync(one, HelloOf(start: 9, last: 200), files);
        }

        string? known = null;
        await using var alone = await TestPeer.StartAsync(HelloOf(start: 10, last: 200), o => o with
        {
            Files = files,
            Directory = "/two",
            OnOldDisk = why =>
            {
                known = why;
                return true;
            },
        });
        Assert.NotNull(known);
    }

    [Fact]
    public async Task A_disk_that_lost_nothing_it_promised_comes_back()
    {
        await using var one = await TestPeer.StartAsync(1);
        await using (var two = await TestPeer.StartAsync(TestPeer.HelloOf(2, start: 1), o => o with { Mark = () => new DiskMark(7, 90, 80) }))
        {
            await TestPeer.ConnectAsync(one, two);
        }

        // A torn tail that was not acknowledged; then a leader of a later term that cut off what was.
        await using (var again = await TestPeer.StartAsync(HelloOf(start: 2, last: 90)))
        {
            await TestPeer.ConnectAsync(one, again);
        }

        await using var truncated = await TestPeer.StartAsync(HelloOf(start: 3, last: 80) with { OpenedTerm = 8 });
        await TestPeer.ConnectAsync(one, truncated);
    }

    [Fact]
    public async Task An_old_copy_beside_a_disk_in_service_does_not_harm_that()
    {
        await using var one = await TestPeer.StartAsync(1);
        await using var two = await TestPeer.StartAsync(TestPeer.HelloOf(2, start: 5), o => o with { Mark = () => new DiskMark(7, 90, 80) });
        await TestPeer.ConnectAsync(one, two);
        two.Send(one, 90, MessageKind.AppendAnswer);
        await one.GotAsync(1);
        var told = 0;
        await using (var copy = await TestPeer.StartAsync(HelloOf(start: 6, last: 50), o => o with { OnOldDisk = _ => Interlocked.Increment(ref told) > 0 }))
        {
            copy.Network.SetPeers([one.AsPeer]);
            await Wait.UntilAsync(() => copy.LinkTo(one.Id).Problem.Contains("old copy", StringComparison.Ordinal), "the copy is refused");
        }

        Assert.Equal(0, told);
        await two.DisposeAsync();
        await using var again = await TestPeer.StartAsync(HelloOf(start: 6, last: 95));
        await TestPeer.ConnectAsync(one, again);
    }

    private static PeerHello HelloOf(uint start, ulong last) => TestPeer.HelloOf(2, start) with { OpenedTerm = 7, OpenedLast = last };

    private static async Task RefusedAsync(TestPeer one, PeerHello hello, SimulatedFileSystem files)
    {
        var told = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var old = await TestPeer.StartAsync(hello, o => o with
        {
            Files = files,
            Directory = "/two",
            OnOldDisk = why =>
            {
                told.TrySetResult(why);
                return true;
            },
        });
        old.Network.SetPeers([one.AsPeer]);
        one.Network.SetPeers([old.AsPeer]);
        await Wait.UntilAsync(() => old.LinkTo(one.Id).Problem.Contains("old copy", StringComparison.Ordinal), "the old disk is told");
        await Wait.UntilAsync(() => one.LinkTo(old.Id).Problem.Contains("old copy", StringComparison.Ordinal), "the link says why");
        await told.Task;
        Assert.False(one.LinkTo(old.Id).IsConnected);
    }
}
