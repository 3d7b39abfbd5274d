// The node's side of shipping: hands out its own segments, tells followers of which the leader's core says that they are too far behind, and
// gathers others' segments when a leader says so of this node.
using EventVault.Raft;
using EventVault.Storage;
using EventVault.Storage.Shipping;
using LogIndex = EventVault.Raft.LogIndex;

namespace EventVault.Node.Peers.Shipping;

/// <summary>Segments between this node and the others. Thread-safe.</summary>
internal sealed class NodeShipping : IAsyncDisposable
{
    private readonly VaultStorage _storage;
    private readonly VaultLoop _loop;
    private readonly NodePeers _peers;
    private readonly ILogger _log;
    private readonly SegmentShelf _shelf;
    private readonly ShipTask _task;
    private readonly CancellationTokenSource _stopping = new();

    /// <param name="storage">The log.</param>
    /// <param name="loop">Says who belongs to the vault.</param>
    /// <param name="replica">Says who is too far behind.</param>
    /// <param name="peers">Reaches the others.</param>
    /// <param name="options">Has the rate.</param>
    /// <param name="reopen">Asks for the node to be opened anew, for a reason.</param>
    /// <param name="onFailed">Told if the disk failed: the node must stop.</param>
    /// <param name="log">Told what is done.</param>
    public NodeShipping(
        VaultStorage storage, VaultLoop loop, Replication.Replica replica, NodePeers peers, NodeOptions options, Action<string> reopen, Action<Exception, string> onFailed, ILogger log)
    {
        (_storage, _loop, _peers, _log) = (storage, loop, peers, log);
        _shelf = new SegmentShelf(storage, options.ShipBytesPerSecond, options.Clock);
        _task = new ShipTask(new SegmentReceiver(storage), AskAsync, reopen, e => onFailed(e, "shipping"), options.Clock);
        replica.OrderShipping = (follower, first) => Order(follower, first, replica.Membership);
        peers.Serve(PeerRequestKind.Segments, (from, content, _) => Task.FromResult(_shelf.Segments(OfMember(from, content).Span)));
        peers.Serve(PeerRequestKind.SegmentBytes, (from, content, cancellation) => _shelf.SegmentBytesAsync(OfMember(from, content), cancellation));
        peers.Serve(PeerRequestKind.Ship, (from, content, _) => Task.FromResult(TakeOrder(from, content.Span)));
        if (storage.Shipped.Repaired is { } repaired)
        {
            options.Repairs.Begin(repaired, VaultLoop.NowMs(options.Clock)); // So that the next one is not sooner than a minute behind this opening.
            ShipLogMessages.Repaired(log, repaired);
        }
        else if (storage.Shipped.Installed > 0)
        {
            ShipLogMessages.Installed(log, storage.Shipped.Installed, storage.Shipped.Through.Value);
        }
        else if (storage.Shipped.Dropped is { } why)
        {
            ShipLogMessages.Dropped(log, why);
        }
    }

    /// <summary>Whether this node gets segments from others.</summary>
    public bool IsCatchingUp => _task.IsBusy;

    /// <summary>Why they can't bring what is lacking, for people; empty: they can.</summary>
    public string Problem => _task.Hopeless;

    /// <summary>Gets a sealed segment in the place of a damaged one from another node, and asks for the node to be opened anew.</summary>
    /// <param name="damaged">What it must be.</param>
    /// <returns>Null: it is here. Otherwise why not.</returns>
    public Task<string?> RepairAsync(in ShippedSegment damaged)
    {
        var standing = _loop.Standing;
        var sources = SourcesOf(standing.Membership, standing.Leader);
        return sources.Count == 0 || !_peers.HasPort ? Task.FromResult<string?>("there is no other node to get it from") : _task.RepairAsync(damaged, sources);
    }

    /// <summary>Compares this node's sealed segments with those of the other nodes that can be reached, by their digests.</summary>
    /// <returns>Segments that are of the same form and yet differ, in sentences: that must never be.</returns>
    public async Task<IReadOnlyList<string>> CompareAsync()
    {
        var differences = new List<string>();
        var standing = _loop.Standing;
        foreach (var peer in _peers.HasPort ? SourcesOf(standing.Membership, standing.Leader) : [])
        {
            try
            {
                await CompareAsync(peer, differences);
            }
            catch (Exception e) when (e is PeerRequestException or OperationCanceledException or ObjectDisposedException or DamageException)
            {
                // The next pass compares with it.
            }
        }

        return differences;
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await _task.DisposeAsync();
        _shelf.Dispose();
        _stopping.Dispose();
    }

    // Who is no member, as far as this node knows, has no business with what is in the log.
    private ReadOnlyMemory<byte> OfMember(PeerHello from, ReadOnlyMemory<byte> content) =>
        from.VaultId == _storage.VaultId && _loop.Standing.Membership.RoleOf(from.Id) != 0
            ? content
            : throw new PeerRequestException($"node {from.Id} is no member of the vault, as far as node {_peers.Self} knows");

    // On the sequencer's thread. The request goes its own way; if it is lost, the leader tells the follower again.
    private void Order(ReplicaId follower, LogIndex first, Membership members)
    {
        var address = members.Members.Where(m => m.Id == follower).Select(m => m.Address).FirstOrDefault();
        if (!string.IsNullOrEmpty(address))
        {
            ShipLogMessages.Orders(_log, follower, first);
            _ = Task.Run(() => SendOrderAsync(new PeerTarget(address, follower), ShipMessages.Ship(first, members)));
        }
    }

    private async Task SendOrderAsync(PeerTarget follower, byte[] order)
    {
        try
        {
            await _peers.AskAsync(follower, PeerRequestKind.Ship, order, _stopping.Token);
        }
        catch (Exception e) when (e is PeerRequestException or OperationCanceledException or ObjectDisposedException)
        {
            // Told again by the leader, if it still leads and the follower still lacks it.
        }
    }

    private byte[] TakeOrder(PeerHello from, ReadOnlySpan<byte> content)
    {
        var (_, members) = ShipMessages.ReadShip(content);
        if (from.VaultId != _storage.VaultId || members.RoleOf(from.Id) == 0)
        {
            throw new PeerRequestException("orders to get segments come from the leader of the vault");
        }

        if (!_task.IsBusy)
        {
            ShipLogMessages.Gathers(_log);
        }

        _task.Order(SourcesOf(members, from.Id));
        return [];
    }

    // The leader has enough to do: it is asked last. Who only learns may be behind, too.
    private List<Peer> SourcesOf(Membership members, ReplicaId? leader) =>
    [
        .. members.Members.Where(m => m.Id != _peers.Self && m.Address.Length > 0)
            .OrderBy(m => m.Id == leader ? 1 : (m.Role & MemberRole.Voter) != 0 ? 0 : 2)
            .Select(m => new Peer(m.Id, m.Address)),
    ];

    private async Task CompareAsync(Peer peer, List<string> differences)
    {
        for (uint from = 0; ;)
        {
            var own = _storage.Source.List(from, ShipMessages.MostSegments);
            var answer = await _peers.AskAsync(new PeerTarget(peer.Address, peer.Id), PeerRequestKind.Segments, ShipMessages.Segments(from), _stopping.Token);
            var theirs = ShipMessages.ReadSegmentsAnswer(answer, from, _storage.SegmentSizeBytes) ?? [];
            var both = Math.Min(own.Count, theirs.Count);
            for (var i = 0; i < both; i++)
            {
                // Segments that no scavenge has touched are equal on all nodes. Scavenged ones need not be, at the same point either: a node that missed
                // an earlier one may have kept more (docs/FORMAT.md). Beginnings are no sealed segments.
                if (own[i] != theirs[i] && (own[i].Form, theirs[i].Form) == (ShippedForm.Groups, ShippedForm.Groups))
                {
                    differences.Add($"segment {own[i].Segment} differs from that of node {peer.Id}");
                }
            }

            if (both == 0 || own[both - 1].Form == ShippedForm.Beginning)
            {
                return;
            }

            from += (uint)both;
        }
    }

    private async Task<byte[]> AskAsync(PeerTarget target, PeerRequestKind kind, ReadOnlyMemory<byte> content, CancellationToken cancellation)
    {
        try
        {
            return await _peers.AskAsync(target, kind, content, cancellation);
        }
        catch (PeerRequestException e)
        {
            ShipLogMessages.PullFailed(_log, target.Id ?? default, e.Message);
            throw;
        }
    }
}
