using EventVault.Node.Peers;
using EventVault.Node.Peers.Shipping;
using EventVault.Node.Tests.Support;
using EventVault.Storage;
using EventVault.Storage.Io;
using EventVault.Storage.Shipping;
using EventVault.Storage.Tests.Simulated;
using ReplicaId = EventVault.Raft.ReplicaId;

namespace EventVault.Node.Tests.Peers.Shipping;

/// <summary>What the receiver of segments does with answers that are lost, late or wrong; on simulated disks, with a clock that the test turns.</summary>
public sealed class SegmentReceiverTests : IAsyncLifetime, IDisposable
{
    private const int LeastSegments = 3;
    private readonly SimulatedFileSystem _disk = new(tracksLosses: false);
    private readonly FakeNetwork _network = new();
    private TestNode _node = null!;
    private SegmentShelf _shelf = null!;
    private ReplicaId _first;
    private ReplicaId _second;
    private long _now;
    private int _segments;

    public async Task InitializeAsync()
    {
        _node = await TestNode.StartAsync();
        var data = new string('x', 50_000);
        for (var i = 0; _node.Node.Storage.SegmentCounts.Sealed < LeastSegments; i++)
        {
            await _node.Channel.UnaryAsync(Methods.Append, Make.Append(Make.Stream($"s-{i % 3}", Make.Any, Make.Event(data: $"\"{data}{i}\""))));
        }

        // Sealed in the background, behind the appends.
        await Wait.UntilAsync(() => _node.Node.Storage.SegmentCounts.Unsealed == 1, "all full segments to be sealed");
        _segments = _node.Node.Storage.SegmentCounts.Sealed;
        _shelf = new SegmentShelf(_node.Node.Storage, 0, TimeProvider.System);
        _first = _network.Add(1, _shelf);
        _second = _network.Add(3, _shelf);
    }

    public async Task DisposeAsync()
    {
        await _network.DisposeAsync();
        await _node.DisposeAsync();
    }

    public void Dispose() => _shelf.Dispose();

    [Fact]
    public async Task What_is_lost_on_the_way_is_asked_for_again()
    {
        using var storage = Open();
        _network.OnWay = (_, _, answer) => _network.Asked.Count % 3 == 2 ? throw new PeerRequestException("lost") : answer;
        await CatchUpAsync(storage);
        Assert.Contains(_network.Asked, a => a.From == _second);
    }

    [Fact]
    public async Task A_source_that_is_gone_is_not_waited_for()
    {
        using var storage = Open();
        _network.OnWay = (from, _, answer) => from == _first ? throw new PeerRequestException("gone") : answer;
        await CatchUpAsync(storage);
    }

    [Fact]
    public async Task A_piece_that_does_not_match_its_checksum_is_not_taken()
    {
        using var storage = Open();
        var garbled = 0;
        _network.OnWay = (_, kind, answer) =>
        {
            if (kind == PeerRequestKind.SegmentBytes && garbled == 0)
            {
                garbled++;
                answer[answer.Length / 2] ^= 1;
            }

            return answer;
        };
        await CatchUpAsync(storage);
        Assert.Equal(1, garbled);
        Assert.Equal([_first, _first, _second, _second], _network.Asked.Take(4).Select(a => a.From)); // A list, a piece; the other's list, the piece again.
    }

    [Fact]
    public async Task A_segment_that_is_not_what_was_named_is_thrown_away_and_got_elsewhere()
    {
        using var storage = Open();
        _network.OnWay = (from, kind, answer) => from == _first && kind == PeerRequestKind.SegmentBytes ? Spoilt(answer) : answer;
        await CatchUpAsync(storage);
        Assert.Contains(_network.Asked, a => a.From == _first && a.Kind == PeerRequestKind.SegmentBytes);
    }

    [Fact]
    public async Task A_segment_that_has_another_form_now_is_listed_again()
    {
        using var storage = Open();
        var refused = 0;
        _network.OnWay = (_, kind, answer) => kind == PeerRequestKind.SegmentBytes && refused++ == 0 ? throw new PeerRequestException("another form") : answer;
        await CatchUpAsync(storage);
        Assert.Equal(
            [PeerRequestKind.Segments, PeerRequestKind.SegmentBytes, PeerRequestKind.Segments, PeerRequestKind.SegmentBytes], _network.Asked.Take(4).Select(a => a.Kind));
    }

    [Fact]
    public async Task What_came_before_a_restart_is_not_asked_for_again()
    {
        var pieces = 0;
        using (var storage = Open())
        {
            var receiver = new SegmentReceiver(storage);
            receiver.Order();
            while (receiver.Gathered == 0)
            {
                await StepAsync(receiver);
            }

            receiver.Close();
            pieces = _network.Asked.Count(a => a.Kind == PeerRequestKind.SegmentBytes);
        }

        _network.Asked.Clear();
        using var again = Open();
        await CatchUpAsync(again);
        var later = _network.Asked.Count(a => a.Kind == PeerRequestKind.SegmentBytes);
        Assert.Equal(_segments + 1, later + pieces); // Each segment fits in a piece.
        Assert.True(pieces > 0);
    }

    [Fact]
    public async Task What_is_ordered_while_nobody_answers_ends_after_a_while_and_can_be_ordered_again()
    {
        using var storage = Open();
        _network.OnWay = static (_, _, _) => throw new PeerRequestException("gone");
        var receiver = new SegmentReceiver(storage);
        receiver.Order();
        while (receiver.IsOrdered)
        {
            await StepAsync(receiver);
            Assert.True(_network.Asked.Count < 100);
        }

        Assert.Equal("gone", receiver.Problem);
        _network.OnWay = static (_, _, answer) => answer;
        receiver.Order();
        await UntilPlannedAsync(receiver);
    }

    [Fact]
    public async Task A_full_disk_on_which_getting_segments_can_not_even_begin_is_waited_for()
    {
        using var storage = Open();
        var refused = 0;
        _disk.OnOperation = operation =>
        {
            if (operation.Kind == DiskOperationKind.CreateDirectory && refused++ < 3)
            {
                throw new DiskException("mkdir", operation.Path, errorNumber: 28, "No space left on device");
            }
        };
        var receiver = new SegmentReceiver(storage);
        receiver.Order();
        while (refused < 3)
        {
            await StepAsync(receiver);
            Assert.Equal("the disk is full", receiver.Problem);
        }

        await UntilPlannedAsync(receiver);
        Assert.Equal(_segments + 1, receiver.Gathered);
    }

    [Fact]
    public async Task A_damaged_segment_comes_from_whoever_has_a_sound_one()
    {
        var damaged = await CaughtUpAsync();
        using var storage = Open();
        _network.OnWay = (from, kind, answer) => from == _first && kind == PeerRequestKind.SegmentBytes ? Spoilt(answer) : answer;
        var receiver = new SegmentReceiver(storage);
        receiver.OrderRepair(damaged);
        await UntilPlannedAsync(receiver);
        Assert.Equal(1, _network.Asked.Count(a => a.From == _first && a.Kind == PeerRequestKind.SegmentBytes)); // Not twice.
        storage.Dispose();
        using var again = Open();
        Assert.Equal((damaged.Segment, (string?)null), (again.Shipped.Repaired, again.Shipped.Dropped));
    }

    [Fact]
    public async Task A_segment_that_nobody_has_sound_and_of_the_same_form_is_given_up_at_once()
    {
        var damaged = await CaughtUpAsync();
        using var storage = Open();
        _network.OnWay = (from, kind, answer) => kind == PeerRequestKind.SegmentBytes ? Spoilt(answer) : from == _second ? [] : answer;
        var receiver = new SegmentReceiver(storage);
        receiver.OrderRepair(damaged);
        while (receiver.IsOrdered)
        {
            await StepAsync(receiver);
        }

        Assert.False(receiver.WantsReopening);
        Assert.Equal(3, _network.Asked.Count); // Two lists, and the bytes of the first.
        Assert.Contains("no other node has a sound one", receiver.Problem, StringComparison.Ordinal);
        receiver.Close();
        storage.Dispose();
        using var again = Open();
        Assert.Equal(ShipReport.None, again.Shipped);
    }

    // A disk whose segments are the source's.
    private async Task<ShippedSegment> CaughtUpAsync()
    {
        using (var storage = Open())
        {
            await CatchUpAsync(storage);
        }

        _network.Asked.Clear();
        using var installed = Open();
        Assert.True(installed.Shipped.Installed > 1);
        while (installed.StepBackground())
        {
        }

        return installed.Source.List(1, 1)[0];
    }

    private VaultStorage Open() => VaultStorage.Open(
        _disk, "/behind", new StorageOptions { NodeId = 2, SegmentSizeBytes = TestNode.SegmentSizeBytes, Join = _node.Node.Storage.Identity }, 1);

    // One bit of an event's data, under a checksum of its own that matches: a source whose disk is damaged.
    private static byte[] Spoilt(byte[] answer)
    {
        answer[answer.Length / 2] ^= 1;
        return ShipMessages.Seal(answer);
    }

    private async Task CatchUpAsync(VaultStorage storage)
    {
        var receiver = new SegmentReceiver(storage);
        receiver.Order();
        await UntilPlannedAsync(receiver);
        Assert.Equal(_segments + 1, receiver.Gathered);
        receiver.Close();
    }

    private async Task UntilPlannedAsync(SegmentReceiver receiver)
    {
        while (!receiver.WantsReopening)
        {
            await StepAsync(receiver);
            Assert.True(receiver.IsOrdered, receiver.Problem);
            Assert.True(_network.Asked.Count < 1000, receiver.Problem);
        }
    }

    private async Task StepAsync(SegmentReceiver receiver)
    {
        if (receiver.Next(_now, _network.Sources) is not { } ask)
        {
            _now += Math.Max(1, receiver.PauseMs(_now));
            return;
        }

        try
        {
            receiver.Answered(await _network.AskAsync(new PeerTarget("somewhere:1", ask.From), ask.Kind, ask.Content, default), _now);
        }
        catch (PeerRequestException e)
        {
            receiver.Failed(e.Message, _now);
        }
    }
}
