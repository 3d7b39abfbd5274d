using EventVault.Node.Peers;
using EventVault.Node.Peers.Shipping;
using EventVault.Node.Tests.Support;
using EventVault.Storage.Shipping;

namespace EventVault.Node.Tests.Peers.Shipping;

/// <summary>What a node hands out of its segments.</summary>
public sealed class SegmentShelfTests
{
    private const int MiB = 1024 * 1024;

    [Fact]
    public async Task Bytes_come_no_faster_than_the_rate_that_all_share()
    {
        await using var node = await TestNode.StartAsync();
        var clock = new HandClock();
        clock.Pass(TimeSpan.FromSeconds(100));
        using var shelf = new SegmentShelf(node.Node.Storage, MiB, clock);
        var first = shelf.Charge(MiB);
        Assert.InRange(first, TimeSpan.FromSeconds(0.9), TimeSpan.FromSeconds(1)); // But for what may go at once.
        Assert.Equal(TimeSpan.FromSeconds(1), shelf.Charge(MiB) - first);
        clock.Pass(TimeSpan.FromSeconds(1));
        Assert.Equal(TimeSpan.FromSeconds(1), shelf.Charge(MiB) - first);
        clock.Pass(TimeSpan.FromSeconds(1000));
        Assert.Equal(first, shelf.Charge(MiB)); // A long rest saves nothing up.
        using var unbounded = new SegmentShelf(node.Node.Storage, 0, clock);
        Assert.Equal(TimeSpan.Zero, unbounded.Charge(int.MaxValue));
    }

    [Fact]
    public async Task A_form_that_the_segment_does_not_have_and_requests_that_are_none_are_refused()
    {
        await using var node = await TestNode.StartAsync();
        var data = new string('x', 50_000);
        while (node.Node.Storage.SegmentCounts.Sealed < 1)
        {
            await node.Channel.UnaryAsync(Methods.Append, Make.Append(Make.Stream("s", Make.Any, Make.Event(data: $"\"{data}\""))));
        }

        using var shelf = new SegmentShelf(node.Node.Storage, 0, TimeProvider.System);
        var listed = ShipMessages.ReadSegmentsAnswer(shelf.Segments(ShipMessages.Segments(0)), 0, TestNode.SegmentSizeBytes)!;
        Assert.Equal(ShippedForm.Beginning, listed[^1].Form); // Behind one sealed segment, or more: they are sealed in the background.
        Assert.All(listed.SkipLast(1), s => Assert.Equal(ShippedForm.Groups, s.Form));
        Assert.True(listed.Count > 1);
        Assert.True(ShipMessages.TryReadBytes(shelf.SegmentBytes(ShipMessages.SegmentBytes(listed[0], 4096, 100)), out var bytes));
        Assert.Equal(100, bytes.Length);
        var scavenged = listed[0] with { Form = ShippedForm.Scavenged, ScavengePoint = 7 };
        Assert.Contains("another form", Assert.Throws<PeerRequestException>(() => shelf.SegmentBytes(ShipMessages.SegmentBytes(scavenged, 0, 100))).Message, StringComparison.Ordinal);
        var later = listed[0] with { Segment = 9 };
        Assert.Throws<PeerRequestException>(() => shelf.SegmentBytes(ShipMessages.SegmentBytes(later, 0, 100)));
        Assert.Throws<PeerRequestException>(() => shelf.SegmentBytes(ShipMessages.SegmentBytes(listed[0], listed[0].LengthBytes, 100)));
        Assert.Throws<PeerRequestException>(() => shelf.SegmentBytes(ShipMessages.SegmentBytes(listed[0], 0, ShipSource.MostBytes + 1)));
        Assert.Throws<PeerRequestException>(() => shelf.Segments([1, 2]));
    }
}
