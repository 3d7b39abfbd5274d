// How the nodes of the vault stand, as this one sees them: its own membership, and what each member answers when it is asked.
// All who want to know share one look at a time, which serves for a moment longer: however many clients ask after a failure, a member
// is asked a few times a second.
using System.Collections.Concurrent;
using EventVault.Node.Replication;
using EventVault.Node.Services;
using EventVault.Protocol;
using EventVault.Raft;
using EventVault.Storage;
using Google.Protobuf;
using Position = EventVault.Storage.Position;

namespace EventVault.Node.Peers;

/// <summary>Looks at the vault's nodes. Thread-safe.</summary>
internal sealed class ClusterView(VaultStorage storage, VaultLoop loop, Replica replica, NodePeers peers, NodeHealth health)
{
    /// <summary>How long a node may take to say how it stands.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(500);

    /// <summary>How long a look serves those who come after it, in milliseconds: nodes take longer to notice anything. It ends at once where leader, term or members change.</summary>
    private const long KeptForMs = 200;

    private readonly ConcurrentDictionary<ReplicaId, PeerStatus> _last = new();
    private readonly HashSet<ReplicaId> _silent = []; // Who did not answer the last look. Of the look that is under way alone.
    private readonly Lock _looking = new();
    private Look? _look;

    /// <summary>What is wrong with this node beyond its state, for people; empty: nothing is known.</summary>
    public string Problem { get; set; } = string.Empty;

    /// <summary>Why this node should not be given leadership, for people; empty: it may be.</summary>
    public string LeadsBadly { get; set; } = string.Empty;

    /// <summary>What is damaged on this node's disk; empty: nothing, as far as is known.</summary>
    public Func<string> Damage { get; set; } = static () => string.Empty;

    /// <summary>Whether the node gets segments: what it shows is far behind.</summary>
    public Func<bool> IsCatchingUp { get; set; } = static () => false;

    /// <summary>Why segments can't bring what this node lacks; empty: they can.</summary>
    public Func<string> ShippingProblem { get; set; } = static () => string.Empty;

    /// <summary>What each member answered when <see cref="AskAllAsync"/> asked last; who did not answer is missing.</summary>
    public IReadOnlyDictionary<ReplicaId, PeerStatus> Last => _last;

    /// <summary>How this node stands.</summary>
    public PeerStatus Own()
    {
        var standing = loop.Standing;
        var node = new ClusterNode
        {
            NodeId = peers.Self.Node,
            Incarnation = Bytes(peers.Self.Incarnation),
            Role = RoleOf(standing.Membership.RoleOf(peers.Self)),
            PeerAddress = peers.Address,
            Address = peers.ClientAddress,
            IsLeader = standing.Role == Role.Leader && !loop.IsHeldUp,
            IsReachable = true,
            State = health.State == NodeHealth.Serving && IsCatchingUp() ? "catching_up" : health.State,
            Term = standing.Term.Value,
            CommitIndex = storage.CommitIndex.Value,
            LastIndex = replica.PublishedLastIndex,
            Version = AdminService.Version,
            Problem = peers.Barred.Length > 0 ? peers.Barred
                : loop.IsHeldUp ? "its disk has not answered for longer than an election takes"
                : Problem.Length > 0 ? Problem
                : ShippingProblem() is { Length: > 0 } shipping ? shipping : Damage(),
        };
        if (storage.Head is var head && head != Position.None)
        {
            node.Head = (ulong)head.Value;
        }

        var status = new PeerStatus { VaultId = Bytes(storage.VaultId), Node = node, MembershipIndex = standing.MembershipIndex.Value, LeadsBadly = LeadsBadly };
        if (standing.Membership.Members.Count > 0)
        {
            status.Membership = ByteString.CopyFrom(standing.Membership.Encode());
        }

        if (standing.Leader is { } leader)
        {
            status.LeaderNodeId = leader.Node;
            status.LeaderIncarnation = Bytes(leader.Incarnation);
        }

        return status;
    }

    /// <summary>Asks all other members at once how they stand, and remembers what they say. Who comes while that is under way, or soon after, shares it.</summary>
    public async Task AskAllAsync(CancellationToken cancellation)
    {
        while (true)
        {
            var standing = loop.Standing;
            var (look, isOf) = Share(standing);
            await look.Asking.WaitAsync(cancellation);
            if (isOf)
            {
                return;
            }

            // It was begun before something changed, and says nothing of that.
        }
    }

    /// <summary>Asks a node how it stands; null: it does not answer.</summary>
    public async Task<PeerStatus?> AskAsync(PeerTarget target, CancellationToken cancellation)
    {
        try
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            patience.CancelAfter(Patience);
            return PeerStatus.Parser.ParseFrom(await peers.AskAsync(target, PeerRequestKind.Status, default, patience.Token));
        }
        catch (Exception e) when (e is PeerRequestException or InvalidProtocolBufferException || (e is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            return null;
        }
    }

    /// <summary>Asks all nodes, and says how they stand.</summary>
    public async Task<GetClusterResponse> LookAsync(CancellationToken cancellation)
    {
        await AskAllAsync(cancellation);
        var standing = loop.Standing;
        var own = Own();
        var response = new GetClusterResponse
        {
            VaultId = own.VaultId,
            NodeId = peers.Self.Node,
            Term = standing.Term.Value,
            LeaderNodeId = loop.IsHeldUp ? 0 : standing.Leader?.Node ?? 0,
            IsChanging = standing.Membership.IsJoint || standing.MembershipIndex.Value > storage.CommitIndex.Value,
        };
        var links = peers.Links.ToDictionary(link => link.Peer.Id);
        foreach (var member in standing.Membership.Members)
        {
            response.Nodes.Add(NodeOf(member, own, links.GetValueOrDefault(member.Id)));
        }

        if (standing.Membership.RoleOf(peers.Self) == 0)
        {
            response.Nodes.Add(own.Node); // Not added yet, or removed.
        }

        if (response.Nodes.FirstOrDefault(n => n.IsLeader && n.IsReachable) is { } leader)
        {
            foreach (var node in response.Nodes.Where(n => n.IsReachable))
            {
                node.LagGroups = leader.LastIndex > node.LastIndex ? leader.LastIndex - node.LastIndex : 0;
            }
        }

        return response;
    }

    /// <summary>The role as clients are told.</summary>
    public static NodeRole RoleOf(MemberRole role) => role switch
    {
        0 => NodeRole.Unspecified,
        MemberRole.OutgoingVoter or (MemberRole.OutgoingVoter | MemberRole.Learner) or (MemberRole.OutgoingVoter | MemberRole.Learner | MemberRole.ReadReplica) => NodeRole.Leaving,
        _ when (role & MemberRole.Voter) != 0 => NodeRole.Voter,
        _ when (role & MemberRole.ReadReplica) != 0 => NodeRole.ReadReplica,
        _ => NodeRole.Learner,
    };

    /// <summary>A UUID as messages carry it.</summary>
    public static ByteString Bytes(Guid id) => ByteString.CopyFrom(id.ToByteArray(bigEndian: true));

    /// <summary>A UUID from a message; empty if there is none.</summary>
    public static Guid IdOf(ByteString bytes) => bytes.Length == 16 ? new Guid(bytes.Span, bigEndian: true) : Guid.Empty;

    // The look that serves, or is to be waited for before another may begin.
    private (Look Look, bool IsOf) Share(ReplicaStanding standing)
    {
        lock (_looking)
        {
            var isOf = _look is { } look && look.Term == standing.Term && look.Leader == standing.Leader && ReferenceEquals(look.Membership, standing.Membership);
            if (_look is null || (_look.Asking.IsCompleted && !(isOf && Environment.TickCount64 - _look.EndedAt < KeptForMs)))
            {
                var next = new Look(standing.Term, standing.Leader, standing.Membership);
                next.Asking = Task.Run(() => AskMembersAsync(next));
                (_look, isOf) = (next, true);
            }

            return (_look, isOf);
        }
    }

    private async Task AskMembersAsync(Look look)
    {
        try
        {
            var others = look.Membership.Members.Where(peers.IsElsewhere).ToList();
            var answers = await Task.WhenAll(others.Select(member => AskAsync(new PeerTarget(member.Address, member.Id), CancellationToken.None)));
            foreach (var gone in _last.Keys.Except(others.Select(m => m.Id)))
            {
                _last.TryRemove(gone, out _);
            }

            _silent.IntersectWith(others.Select(m => m.Id));
            foreach (var (member, status) in others.Zip(answers))
            {
                if (status is not null)
                {
                    _last[member.Id] = status;
                    _silent.Remove(member.Id);
                }
                else if (!_silent.Add(member.Id) || !peers.Hears(member.Id))
                {
                    // One answer may be late on a busy machine. Clients leave a node that is said to be out of reach.
                    _last.TryRemove(member.Id, out _);
                }
            }
        }
        finally
        {
            look.EndedAt = Environment.TickCount64;
        }
    }

    private ClusterNode NodeOf(Member member, PeerStatus own, PeerLink? link)
    {
        // A copy: what a node said last is for all who ask at the same time.
        var node = member.Id == peers.Self ? own.Node
            : _last.TryGetValue(member.Id, out var status) ? status.Node.Clone()
            : new ClusterNode { Address = link?.Hello?.ClientAddress ?? string.Empty };
        node.NodeId = member.Id.Node;
        node.Incarnation = Bytes(member.Id.Incarnation);
        node.Role = RoleOf(member.Role);
        if (member.Address.Length > 0)
        {
            node.PeerAddress = member.Address;
        }

        if (link is not null)
        {
            node.ClockAheadMs = (long)link.ClockAhead.TotalMilliseconds;
            node.Problem = node.Problem.Length > 0 ? node.Problem : link.Problem;
        }

        return node;
    }

    /// <summary>All members are asked, for everybody who wants to know.</summary>
    private sealed class Look(Raft.Term term, ReplicaId? leader, Membership membership)
    {
        public Raft.Term Term => term;

        public ReplicaId? Leader => leader;

        public Membership Membership => membership;

        public Task Asking { get; set; } = Task.CompletedTask;

        /// <summary>Milliseconds since the machine's start; read when <see cref="Asking"/> has ended.</summary>
        public long EndedAt { get; set; }
    }
}
