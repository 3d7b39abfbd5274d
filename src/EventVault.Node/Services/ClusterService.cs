// The service eventvault.v1.Cluster on a node that has a vault. Changes are the leader's (MemberChanges); here requests become changes, and the
// nodes that are to be added are asked.
using System.Buffers;
using System.Net;
using EventVault.Node.Peers;
using EventVault.Node.Security;
using EventVault.Protocol;
using EventVault.Raft;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using EventVault.Storage;
using Google.Protobuf;
using Membership = EventVault.Raft.Membership;

namespace EventVault.Node.Services;

/// <summary>The service <c>eventvault.v1.Cluster</c>.</summary>
internal sealed class ClusterService(VaultStorage storage, VaultLoop loop, NodePeers peers, ClusterView view, MemberChanges changes, ILogger log)
{
    /// <summary>How long a node that was invited may take until it has made its data directory; and, if its answer to that was lost, until it has opened it.</summary>
    private static readonly TimeSpan JoinsWithin = TimeSpan.FromSeconds(15);

    /// <summary>
    /// How long a node may take to say what it is, before it is a member: it may be busy, or be opening its directory anew. At most what the
    /// call leaves.
    /// </summary>
    private static readonly TimeSpan AnswersWithin = TimeSpan.FromSeconds(10);

    /// <summary>How often a node that does not answer is asked again.</summary>
    private static readonly TimeSpan AskAgain = TimeSpan.FromMilliseconds(50);

    public void AddTo(RpcServer server) => server
        .UnaryRaw(RpcMethod<GetClusterRequest, GetClusterResponse>.Of(VaultServices.Cluster, "GetCluster"), GetAsync)
        .UnaryRaw(RpcMethod<InitClusterRequest, GetClusterResponse>.Of(VaultServices.Cluster, "InitCluster"), InitAsync)
        .UnaryRaw(RpcMethod<AddNodeRequest, GetClusterResponse>.Of(VaultServices.Cluster, "AddNode"), AddAsync)
        .UnaryRaw(RpcMethod<RemoveNodeRequest, GetClusterResponse>.Of(VaultServices.Cluster, "RemoveNode"), RemoveAsync)
        .UnaryRaw(RpcMethod<ReplaceNodeRequest, GetClusterResponse>.Of(VaultServices.Cluster, "ReplaceNode"), ReplaceAsync)
        .UnaryRaw(RpcMethod<TransferLeadershipRequest, GetClusterResponse>.Of(VaultServices.Cluster, "TransferLeadership"), TransferAsync);

    private async ValueTask<GetClusterResponse> GetAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        RequestFields.Parse(GetClusterRequest.Parser, request);
        return await view.LookAsync(context.Cancellation);
    }

    // The vault is there. Whoever made it may ask again; whoever takes this node for an empty one must hear of it.
    private async ValueTask<GetClusterResponse> InitAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var asked = RequestFields.Parse(InitClusterRequest.Parser, request);
        return storage.IsJoined || (asked.NodeId != 0 && asked.NodeId != peers.Self.Node)
            ? throw Errors.NodeUnusable("node_id", $"it is node {peers.Self.Node} of vault {storage.VaultId} already").ToException()
            : await view.LookAsync(context.Cancellation);
    }

    private async ValueTask<GetClusterResponse> AddAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var asked = RequestFields.Parse(AddNodeRequest.Parser, request);
        CheckAddress(asked.PeerAddress);
        CheckNodeId(asked.NodeId);
        RequireLeader();
        RequireReachable(asked.PeerAddress);
        Audit(context, $"add the node at {asked.PeerAddress}{(asked.ReadReplica ? " as a read replica" : "")}");
        await changes.AloneAsync(async () =>
        {
            var status = await RequireQuietAsync();
            var members = status.Membership.Members;
            var node = await AskAsync(asked.PeerAddress, context);
            var id = IdOf(node);
            if (status.Membership.RoleOf(id) != 0)
            {
                // It is there already; it may have moved.
                await ChangeAsync(
                    membership => changes.Members(membership).Select(m => m.Id == id ? m with { Address = asked.PeerAddress } : m), isForced: true, context);
                return id;
            }

            // One that was invited, and then not added, has its number.
            var number = id.Node != 0 ? id.Node : asked.NodeId != 0 ? asked.NodeId : node.Node.NodeId != 0 ? node.Node.NodeId : LowestFree(members);
            if (asked.NodeId != 0 && asked.NodeId != number)
            {
                throw Errors.NodeUnusable("node_id", $"the node at {asked.PeerAddress} was given the number {number} before: add it with that, or start it anew with --join on an empty directory").ToException();
            }

            if (members.Any(m => m.Id.Node == number))
            {
                throw Errors.NodeUnusable("node_id", $"node {number} is a member, with another disk: use ReplaceNode to put a new disk in its place, or another number").ToException();
            }

            id = await JoinAsync(asked.PeerAddress, node, number, context);
            var role = asked.ReadReplica ? MemberRole.Learner | MemberRole.ReadReplica : MemberRole.Learner;
            await ChangeAsync(
                membership => changes.Members(membership).Where(m => m.Id != id).Append(new Member(id, role, asked.PeerAddress)), isForced: true, context);
            return id;
        });
        return await view.LookAsync(context.Cancellation);
    }

    private async ValueTask<GetClusterResponse> RemoveAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var asked = RequestFields.Parse(RemoveNodeRequest.Parser, request);
        RequireLeader();
        Audit(context, $"remove node {asked.NodeId}{(asked.Force ? ", forced" : "")}");
        await changes.AloneAsync(async () =>
        {
            var status = await RequireQuietAsync();
            if (!status.Membership.Members.Any(m => m.Id.Node != asked.NodeId && m.Role == MemberRole.Voter))
            {
                throw Errors.UnsafeChange("node_id", $"node {asked.NodeId} is the only voter: without it nobody could decide; add another one first").ToException();
            }

            if (asked.NodeId == peers.Self.Node)
            {
                await HandOverToLeaveAsync(status, asked.Force, context);
            }

            await ChangeAsync(membership => changes.Members(membership).Where(m => m.Id.Node != asked.NodeId), asked.Force, context);
            return true;
        });
        return await view.LookAsync(context.Cancellation);
    }

    // A leader that is to go lets another one remove it: so all that waits for it here is decided before, and it hears of that. If nobody
    // takes over it goes all the same, and its last appends have an unknown outcome.
    private async Task HandOverToLeaveAsync(RaftStatus status, bool isForced, RpcContext context)
    {
        var target = MemberChanges.Of(status.Membership.Members.Where(m => m.Id.Node != peers.Self.Node));
        if (!isForced && target is not null && changes.WhyUnsafe(status, target) is { } why)
        {
            throw Errors.UnsafeChange("node_id", why).ToException();
        }

        if (await changes.HandOverAsync(static _ => true, to => LogMessages.HandsOver(log, to, "this node is to be removed"), context.Cancellation))
        {
            throw Errors.NotLeader("This node led, and has handed over; it is not removed yet.", loop.LeaderAddress).ToException();
        }
    }

    private async ValueTask<GetClusterResponse> ReplaceAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var asked = RequestFields.Parse(ReplaceNodeRequest.Parser, request);
        CheckAddress(asked.PeerAddress);
        RequireLeader();
        Audit(context, $"replace the disk of node {asked.NodeId} by that of the node at {asked.PeerAddress}");
        await changes.AloneAsync(async () =>
        {
            var status = await RequireQuietAsync();
            if (status.Membership.Members.All(m => m.Id.Node != asked.NodeId))
            {
                throw Errors.NodeNotFound("node_id", asked.NodeId).ToException();
            }

            var node = await AskAsync(asked.PeerAddress, context);
            var id = IdOf(node);
            if (status.Membership.RoleOf(id) != 0)
            {
                return id.Node == asked.NodeId
                    ? id // It is there already, or was never replaced.
                    : throw Errors.NodeUnusable("peer_address", $"the node there is node {id.Node} of this vault").ToException();
            }

            if (id.Node != 0 && id.Node != asked.NodeId)
            {
                throw Errors.NodeUnusable("peer_address", $"the node there was given the number {id.Node} before: start it anew with --join on an empty directory").ToException();
            }

            id = await JoinAsync(asked.PeerAddress, node, asked.NodeId, context);
            await ChangeAsync(membership => MemberChanges.Replaced(changes.Members(membership), id, asked.PeerAddress), isForced: true, context);
            return id;
        });
        return await view.LookAsync(context.Cancellation);
    }

    private async ValueTask<GetClusterResponse> TransferAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        var asked = RequestFields.Parse(TransferLeadershipRequest.Parser, request);
        RequireLeader();
        var to = asked.ToNodeId;
        var voters = loop.Standing.Membership.Members.Where(m => (m.Role & MemberRole.Voter) != 0).ToList();
        if (to == peers.Self.Node)
        {
            return await view.LookAsync(context.Cancellation);
        }

        if (to != 0 && voters.All(m => m.Id.Node != to))
        {
            throw (loop.Standing.Membership.Members.Any(m => m.Id.Node == to)
                ? Errors.NodeUnusable("to_node_id", $"node {to} is no voter")
                : Errors.NodeNotFound("to_node_id", to)).ToException();
        }

        Audit(context, to == 0 ? "hand leadership over" : $"hand leadership over to node {to}");
        if (!await changes.HandOverAsync(id => to == 0 || id.Node == to, id => LogMessages.HandsOver(log, id, "an operator asked for it"), context.Cancellation))
        {
            RequireLeader();
            throw Errors.NodeUnusable("to_node_id", to == 0 ? "no other voter is there to take over" : $"node {to} did not take over in time: look with GetCluster whether it is there and how far it is behind").ToException();
        }

        return await view.LookAsync(context.Cancellation);
    }

    private async Task ChangeAsync(Func<Membership, IEnumerable<Member>> change, bool isForced, RpcContext context) => await changes.ChangeAsync(
        status =>
        {
            if (status.Membership.IsJoint)
            {
                return (null, Errors.ChangePending());
            }

            if (MemberChanges.Of(change(status.Membership)) is not { } target)
            {
                return (null, Errors.UnsafeChange(string.Empty, $"no voter would remain, or there would be more than {Membership.MostMembers} members"));
            }

            return !isForced && changes.WhyUnsafe(status, target) is { } why ? (null, Errors.UnsafeChange("node_id", why)) : (target, null);
        },
        context.Cancellation);

    private async Task<RaftStatus> RequireQuietAsync()
    {
        var status = await changes.StatusAsync();
        RequireLeader();
        return status.Membership.IsJoint || status.MembershipIndex > status.CommitIndex ? throw Errors.ChangePending().ToException() : status;
    }

    private async Task<PeerStatus> AskAsync(string address, RpcContext context)
    {
        if (!peers.HasPort)
        {
            throw Errors.NodeUnusable(string.Empty, "this node has no peer port, and so can't reach another one: start it with --peer-port").ToException();
        }

        PeerStatus node;
        try
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(context.Cancellation);
            patience.CancelAfter(context.TimeLeft - ConsistentReads.Reserve(context) is { } left && left < AnswersWithin ? left : AnswersWithin);
            node = await AskUntilAnsweredAsync(address, patience.Token);
        }
        catch (PeerRequestException e)
        {
            throw Errors.NodeUnusable("peer_address", $"at {address} no node answers that could be added ({e.Message.TrimEnd('.')}): it must be the peer port of a running node, reachable from this one").ToException(e);
        }

        var vault = ClusterView.IdOf(node.VaultId);
        if (vault != Guid.Empty && vault != storage.VaultId)
        {
            throw Errors.NodeUnusable("peer_address", $"the node at {address} belongs to another vault, {vault}: start it with --join on an empty directory").ToException();
        }

        return node;
    }

    // Makes the node one of this vault, if it is not yet. It says so itself, by its answer to the invitation, when its disk is the vault's for good. It need not
    // be back: on a busy disk its first opening takes longer than anybody waits, as a segment is prepared. If the answer was lost it is asked again until then.
    private async Task<ReplicaId> JoinAsync(string address, PeerStatus node, uint number, RpcContext context)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(context.Cancellation);
        patience.CancelAfter(JoinsWithin);
        var refusal = string.Empty;
        try
        {
            if (node.VaultId.IsEmpty)
            {
                (var incarnation, refusal) = await InviteAsync(address, number, patience.Token);
                if (incarnation != Guid.Empty)
                {
                    return new ReplicaId(number, incarnation);
                }

                node = await AskUntilAnsweredAsync(address, patience.Token);
            }
        }
        catch (Exception e) when (e is PeerRequestException || (e is OperationCanceledException && !context.Cancellation.IsCancellationRequested))
        {
            throw Errors.NodeUnusable("peer_address", $"the node at {address} was asked to join ({refusal}), and does not say whether it has: look at its log, and repeat the call").ToException(e);
        }

        if (node.VaultId.IsEmpty)
        {
            throw Errors.NodeUnusable("peer_address", $"the node at {address} can't join: {refusal}").ToException();
        }

        if (ClusterView.IdOf(node.VaultId) != storage.VaultId || node.Node.NodeId != number)
        {
            throw Errors.NodeUnusable("peer_address", $"the node at {address} has joined as another one: start it with --join on an empty directory").ToException();
        }

        // It may have a log: of a try before that was not committed, or from before it was removed. It has kept what it promised, so it may go on.
        return IdOf(node);
    }

    // The incarnation of the disk that has joined; empty, with what came instead: that says nothing for certain, it may have joined, and be opening its directory.
    private async Task<(Guid Incarnation, string Refusal)> InviteAsync(string address, uint number, CancellationToken cancellation)
    {
        try
        {
            var invitation = new InviteRequest { Identity = ByteString.CopyFrom(storage.Identity.Encode()), NodeId = number };
            var answer = InviteAnswer.Parser.ParseFrom(await peers.AskAsync(new PeerTarget(address), PeerRequestKind.Invite, invitation.ToByteArray(), cancellation));
            return (ClusterView.IdOf(answer.Incarnation), "it did not say as which disk");
        }
        catch (Exception e) when (e is PeerRequestException or InvalidProtocolBufferException)
        {
            return (Guid.Empty, e.Message.TrimEnd('.'));
        }
    }

    // Who does not answer is asked again until the time is over; a refusal is final.
    private async Task<PeerStatus> AskUntilAnsweredAsync(string address, CancellationToken cancellation)
    {
        PeerRequestException? unanswered = null;
        while (true)
        {
            try
            {
                return PeerStatus.Parser.ParseFrom(await peers.AskAsync(new PeerTarget(address), PeerRequestKind.Status, default, cancellation));
            }
            catch (InvalidProtocolBufferException e)
            {
                throw new PeerRequestException($"{address} answers what no node would", e);
            }
            catch (PeerRequestException e) when (e.IsUnanswered)
            {
                unanswered = e;
            }
            catch (OperationCanceledException e)
            {
                throw unanswered ?? new PeerRequestException($"{address} did not answer in time", e);
            }

            await Task.Delay(AskAgain, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private static ReplicaId IdOf(PeerStatus node) => node.VaultId.IsEmpty ? default : new ReplicaId(node.Node.NodeId, ClusterView.IdOf(node.Node.Incarnation));

    private static uint LowestFree(IReadOnlyList<Member> members)
    {
        uint number = 1;
        while (members.Any(m => m.Id.Node == number))
        {
            number++;
        }

        return number;
    }

    private void RequireLeader()
    {
        if (loop.Standing.Role != Role.Leader || loop.IsHeldUp)
        {
            throw Errors.NotLeader("Only the leader changes the vault's members.", loop.LeaderAddress).ToException();
        }
    }

    // Who is added is told where this node is: an address that leads every node to itself is of no use elsewhere.
    private void RequireReachable(string other)
    {
        if (IPEndPoint.TryParse(peers.Address, out var own) && IPAddress.IsLoopback(own.Address) && IPEndPoint.TryParse(other, out var there) && !IPAddress.IsLoopback(there.Address))
        {
            throw Errors.NodeUnusable(
                string.Empty, $"the other one would look for this node at {peers.Address}, which leads it to itself: start this node with --peer-listen, or --peer-advertise HOST:PORT").ToException();
        }
    }

    private static void CheckAddress(string address)
    {
        if (Addresses.WhyNot(address) is { } why)
        {
            throw Errors.InvalidRequest("peer_address", $"can't be used: {why.TrimEnd('.')}").ToException();
        }
    }

    private static void CheckNodeId(uint number)
    {
        if (number > NodeOptions.HighestNodeId)
        {
            throw Errors.InvalidRequest("node_id", $"is {number}, over the highest number of a node, {NodeOptions.HighestNodeId}").ToException();
        }
    }

    private void Audit(RpcContext context, string change)
    {
        var caller = AccessGuard.CallerOf(context);
        LogMessages.MembersAsked(log, caller.Name, context.Peer, change);
    }
}
