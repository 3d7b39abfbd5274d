using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Storage;
using EventVault.Storage.Shipping;
using Google.Protobuf;

namespace EventVault.Node.Tests;

/// <summary>What a node gives whoever backs it up. What becomes of it is the storage's and vault-admin's to test.</summary>
public sealed class BackupCallsTests
{
    private static readonly RpcMethod<ListBackupRequest, ListBackupResponse> List =
        RpcMethod<ListBackupRequest, ListBackupResponse>.Of(AdminReflection.Descriptor.Services[0], "ListBackup");

    private static readonly RpcMethod<ReadBackupRequest, ReadBackupResponse> Read =
        RpcMethod<ReadBackupRequest, ReadBackupResponse>.Of(AdminReflection.Descriptor.Services[0], "ReadBackup");

    [Fact]
    public async Task All_that_is_committed_is_listed_in_pages_and_read_from_any_offset()
    {
        await using var node = await NewAsync();
        var segments = await ListAsync(node);
        Assert.True(segments.Count > 2);
        Assert.Equal(ShippedForm.Unsealed, segments[^1].Form);
        Assert.Equal(node.Node.Storage.CommitIndex, segments[^1].LastIndex);
        foreach (var segment in segments)
        {
            var whole = await ReadAsync(node.Channel, segment, 0);
            Assert.Equal(segment.LengthBytes, whole.Length);
            Assert.Equal(whole[5_000..], await ReadAsync(node.Channel, segment, 5_000));
        }

        var first = segments[0];
        await using var changed = node.Channel.Start(Read, new ReadBackupRequest { Segment = Description(first with { Digest = default }) });
        Assert.True(await changed.MoveNextAsync() && changed.Current.Changed && !await changed.MoveNextAsync());
        await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, () => ReadAsync(node.Channel, first, first.LengthBytes));
        await Fails.WithAsync(RpcCode.InvalidArgument, Reason.InvalidRequest, () => ReadAsync(node.Channel, first with { Form = ShippedForm.Beginning, LastIndex = first.FirstIndex }, 0));
        await Fails.WithAsync(RpcCode.InvalidArgument, Reason.LimitExceeded, () => node.Channel.UnaryAsync(List, new ListBackupRequest { PageSize = 10_001 }).AsTask());
    }

    [Fact]
    public async Task More_backups_at_once_than_allowed_are_refused_and_room_returns_when_one_ends()
    {
        await using var node = await NewAsync();
        var segment = (await ListAsync(node))[0];

        // Clients that take nothing: the node waits for them with a piece in its hands.
        await using var slow = new RpcChannel(new Uri($"http://{node.Node.RpcEndPoint}"), new RpcChannelOptions { InitialStreamWindow = 65_535 });
        await using var one = slow.Start(Read, new ReadBackupRequest { Segment = Description(segment) });
        await using (var two = slow.Start(Read, new ReadBackupRequest { Segment = Description(segment) }))
        {
            Assert.True(await one.MoveNextAsync() && await two.MoveNextAsync());
            var failure = await Fails.WithAsync(RpcCode.ResourceExhausted, Reason.Overloaded, () => ReadAsync(node.Channel, segment, 0));
            Assert.True(failure.RetryAfterMs > 0);
        }

        // The node hears of it that a call has ended.
        for (var ends = DateTime.UtcNow + Wait.Limit; ;)
        {
            try
            {
                Assert.Equal(segment.LengthBytes, (await ReadAsync(node.Channel, segment, 0)).Length);
                return;
            }
            catch (RpcException e) when (e.Code == RpcCode.ResourceExhausted && DateTime.UtcNow < ends)
            {
                await Task.Delay(5);
            }
        }
    }

    private static async Task<TestNode> NewAsync()
    {
        var node = await TestNode.StartAsync();
        for (var i = 0; i < 6; i++)
        {
            await node.AppendAsync($"s-{i}", Make.NoStream, Make.Event(data: new string('x', 500_000)));
        }

        await Wait.UntilAsync(() => node.Node.Storage.SegmentCounts.Sealed > 1, "sealed segments");
        return node;
    }

    private static async Task<List<ShippedSegment>> ListAsync(TestNode node)
    {
        var segments = new List<ShippedSegment>();
        while (true)
        {
            var page = await node.Channel.UnaryAsync(List, new ListBackupRequest { FromSegment = (uint)segments.Count, PageSize = 1 });
            Assert.Equal(node.Node.Storage.Identity, VaultIdentity.Decode(page.Vault.Span));
            segments.AddRange(page.Segments.Select(bytes => ShippedSegment.TryDecode(bytes.Span, TestNode.SegmentSizeBytes, isBackup: true)!.Value));
            if (page.IsEnd)
            {
                return segments;
            }

            Assert.Single(page.Segments);
        }
    }

    private static async Task<byte[]> ReadAsync(RpcChannel channel, ShippedSegment segment, long offset)
    {
        await using var call = channel.Start(Read, new ReadBackupRequest { Segment = Description(segment), Offset = (ulong)offset });
        var bytes = new List<byte>();
        while (await call.MoveNextAsync())
        {
            Assert.False(call.Current.Changed);
            bytes.AddRange(call.Current.Data);
        }

        return [.. bytes];
    }

    private static ByteString Description(ShippedSegment segment)
    {
        var bytes = new byte[ShippedSegment.EncodedLength];
        segment.Encode(bytes);
        return ByteString.CopyFrom(bytes);
    }
}
