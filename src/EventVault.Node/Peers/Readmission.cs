// A disk that was damaged in its unsealed end begins anew as another incarnation (Reincarnation), which nobody counts. This brings it back: while its
// number stands in the newest membership of its log with another incarnation, the node asks the leader to be put in that one's place, again and again,
// also after restarts. The leader does what ReplaceNode does: the new disk learns, and becomes a voter in the step in which the old one goes.
//
// Before it begins anew it asks for leave (BeginningAnew), which is answered here, too. The answer rests on nothing but what holds at that moment: a majority of others,
// with all that is committed, has confirmed this leader since the question came. Whoever asks next needs such a majority again, without itself and without the disk that got leave before.
using EventVault.Node.Replication;
using EventVault.Node.Services;
using EventVault.Protocol;
using EventVault.Raft;
using EventVault.Rpc;
using EventVault.Storage;
using Google.Protobuf;
using Membership = EventVault.Raft.Membership;

namespace EventVault.Node.Peers;

/// <summary>Both sides of <see cref="PeerRequestKind.Readmit"/>, and the leader's of <see cref="PeerRequestKind.BeginAnew"/>. Asking is for one task, answering for all threads.</summary>
internal sealed class Readmission(VaultStorage storage, VaultLoop loop, NodePeers peers, ClusterView view, MemberChanges changes, ILogger log)
{
    /// <summary>How long to wait behind the first try; twice as long behind each further one.</summary>
    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);

    /// <summary>Longest wait between two tries: for a leader that refuses the cost is a line in its log.</summary>
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(30);

    /// <summary>How long the leader may take to commit the change; what it has begun goes on behind it.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>Incarnations that a request may name: a disk that was damaged again and again before it was taken in.</summary>
    public const int MostBefore = 16;

    private TimeSpan _pause = FirstPause;
    private long _askAt; // As VaultLoop.NowMs.
    private string _answer = string.Empty;

    /// <summary>What people are told while the node waits to be taken in; empty: it does not.</summary>
    public string Problem { get; private set; } = string.Empty;

    /// <summary>Whether a replica's number stands in a membership, but with other disks: it has begun anew, or its place was given to another one.</summary>
    public static bool IsAnother(Membership membership, ReplicaId id) => membership.RoleOf(id) == 0 && membership.Members.Any(m => m.Id.Node == id.Node);

    /// <summary>Asks the leader, if this disk has begun anew and it is time to ask (again). <see cref="ClusterView.Last"/> says who leads.</summary>
    public async Task AskAsync(CancellationToken cancellation)
    {
        var members = loop.Standing.Membership;
        if (!IsAnother(members, peers.Self) || view.Last.Values.Any(IsKnownTo))
        {
            (Problem, _answer, _pause, _askAt) = (string.Empty, string.Empty, FirstPause, 0);
            return;
        }

        if (VaultLoop.NowMs(TimeProvider.System) is var now && now >= _askAt)
        {
            _answer = LeaderOf(view.Last.Values) is { } leader ? await AskAsync(leader, members, cancellation) : "no leader is known";
            _askAt = now + (long)_pause.TotalMilliseconds;
            _pause = 2 * _pause < LongestPause ? 2 * _pause : LongestPause;
        }

        Problem = $"its disk is not the one that is a member as node {peers.Self.Node}: it was damaged and has begun anew, and asks the leader for its old place ({_answer})";
    }

    /// <summary>Takes in a disk that has begun anew, in the place of what it was before. Asked again it changes nothing.</summary>
    /// <exception cref="PeerRequestException">It was refused.</exception>
    public async Task<byte[]> AnswerAsync(PeerHello from, ReadOnlyMemory<byte> content, CancellationToken cancellation)
    {
        var asked = Parse(content);
        if (from.VaultId != storage.VaultId || from.Id.Node == 0)
        {
            throw new PeerRequestException("only a disk of this vault can be taken in again");
        }

        if (Addresses.WhyNot(asked.PeerAddress) is { } wrong)
        {
            throw new PeerRequestException($"its address can't be used: {wrong.TrimEnd('.')}");
        }

        try
        {
            return loop.Standing.Membership.RoleOf(from.Id) != 0 ? [] : await changes.AloneAsync(() => TakeInAsync(from.Id, asked, cancellation));
        }
        catch (RpcException e)
        {
            throw new PeerRequestException(e.Status.Message.TrimEnd('.'), e);
        }
    }

    /// <summary>Says whether a disk whose end is damaged may begin anew: the vault goes on without it.</summary>
    /// <exception cref="PeerRequestException">It may not, or not yet.</exception>
    public async Task<byte[]> LetBeginAnewAsync(PeerHello from, ReadOnlyMemory<byte> content, CancellationToken cancellation)
    {
        var asked = ParseBeginAnew(content);
        if (ClusterView.IdOf(asked.VaultId) != storage.VaultId)
        {
            throw new PeerRequestException("it belongs to another vault");
        }

        var was = asked.Incarnations.Select(b => new ReplicaId(asked.NodeId, ClusterView.IdOf(b))).ToHashSet();
        try
        {
            var (term, committed) = await RequireSpareAsync(asked.NodeId, was, upTo: default);
            var confirmed = new Confirmed();
            loop.ReadIndex(confirmed);
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            patience.CancelAfter(changes.HeardWithin);
            if (!await confirmed.Task.WaitAsync(patience.Token) || (await RequireSpareAsync(asked.NodeId, was, committed)).Term != term)
            {
                throw new PeerRequestException("who leads is being decided");
            }

            LogMessages.MayBeginAnew(log, asked.NodeId);
            return [];
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested)
        {
            throw new PeerRequestException("no majority of the others has confirmed that it leads", e);
        }
        catch (RpcException e)
        {
            throw new PeerRequestException(e.Status.Message.TrimEnd('.'), e);
        }
    }

    // The term in which this node leads without a disk, and what is committed.
    private async Task<(Raft.Term Term, Raft.LogIndex Committed)> RequireSpareAsync(uint node, HashSet<ReplicaId> was, Raft.LogIndex upTo)
    {
        var status = await changes.StatusAsync();
        var disks = status.Membership.Members.Where(m => m.Id.Node == node).Select(m => m.Id).ToList();
        var why = status.Role != Role.Leader || loop.IsHeldUp ? "it leads no more"
            : status.Membership.IsJoint || status.MembershipIndex > status.CommitIndex ? "a change of the members is under way"
            : disks.Count == 0 ? $"node {node} is no member any more: its disk has nothing that the vault needs"
            : !disks.TrueForAll(was.Contains) ? $"another disk has the place of node {node}, or is about to"
            : was.Contains(peers.Self) || peers.Links.Any(link => was.Contains(link.Peer.Id) && link.SinceHeard <= changes.HeardWithin) ? $"the disk that is node {node} is there, or was a moment ago"
            : changes.WhyNeeded(status, node, upTo);
        return why is null ? (status.Term, status.CommitIndex) : throw new PeerRequestException(why);
    }

    private async Task<byte[]> TakeInAsync(ReplicaId id, ReadmitRequest asked, CancellationToken cancellation)
    {
        var before = asked.Before.Select(b => new ReplicaId(id.Node, ClusterView.IdOf(b))).ToHashSet();
        var there = peers.Links.Where(link => link.SinceHeard <= changes.HeardWithin).Select(link => link.Peer.Id).ToHashSet();
        await changes.ChangeAsync(
            status =>
            {
                var members = status.Membership;
                if (members.RoleOf(id) != 0)
                {
                    return (members, null);
                }

                if (members.IsJoint)
                {
                    return (null, Errors.ChangePending());
                }

                var old = members.Members.Where(m => m.Id.Node == id.Node).Select(m => m.Id).ToList();
                if (!old.Exists(before.Contains))
                {
                    return (null, Errors.NodeUnusable(string.Empty, $"what it was before is no member any more; node {id.Node} was removed, or another disk has its place"));
                }

                if (old.Exists(there.Contains))
                {
                    return (null, Errors.NodeUnusable(string.Empty, $"the disk that is node {id.Node} is there, or was a moment ago"));
                }

                return MemberChanges.Of(MemberChanges.Replaced(changes.Members(members), id, asked.PeerAddress)) is { } target
                    ? (target, null)
                    : (null, Errors.UnsafeChange(string.Empty, $"there would be more than {Membership.MostMembers} members"));
            },
            cancellation);
        LogMessages.TakenIn(log, id);
        return [];
    }

    private async Task<string> AskAsync(PeerTarget leader, Membership members, CancellationToken cancellation)
    {
        var request = new ReadmitRequest { PeerAddress = peers.Address };
        request.Before.AddRange(members.Members.Where(m => m.Id.Node == peers.Self.Node).Select(m => ClusterView.Bytes(m.Id.Incarnation)));
        if (storage.Reincarnated is { } begun)
        {
            request.Before.Add(ClusterView.Bytes(begun.Before));
        }

        try
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            patience.CancelAfter(Patience);
            await peers.AskAsync(leader, PeerRequestKind.Readmit, request.ToByteArray(), patience.Token);
            return "it agreed";
        }
        catch (PeerRequestException e)
        {
            return e.Message.TrimEnd('.');
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return $"node {leader.Id} has not answered yet";
        }
    }

    // It was taken in, and its log has yet to say so.
    private bool IsKnownTo(PeerStatus status) => Membership.Decode(status.Membership.Span) is { } members && members.RoleOf(peers.Self) != 0;

    // By what the members say; the newest term knows best.
    internal static PeerTarget? LeaderOf(IEnumerable<PeerStatus> said)
    {
        foreach (var status in said.Where(s => s.LeaderNodeId != 0).OrderByDescending(s => s.Node.Term))
        {
            var leader = new ReplicaId(status.LeaderNodeId, ClusterView.IdOf(status.LeaderIncarnation));
            var address = Membership.Decode(status.Membership.Span)?.Members.FirstOrDefault(m => m.Id == leader).Address;
            if (!string.IsNullOrEmpty(address))
            {
                return new PeerTarget(address, leader);
            }
        }

        return null;
    }

    private static ReadmitRequest Parse(ReadOnlyMemory<byte> content) => Parse(ReadmitRequest.Parser, content, static r => r.Before.Count);

    private static BeginAnewRequest ParseBeginAnew(ReadOnlyMemory<byte> content) => Parse(BeginAnewRequest.Parser, content, static r => r.Incarnations.Count);

    private static T Parse<T>(MessageParser<T> parser, ReadOnlyMemory<byte> content, Func<T, int> incarnations)
        where T : IMessage<T>
    {
        try
        {
            var asked = parser.ParseFrom(content.Span);
            return incarnations(asked) <= MostBefore ? asked : throw new PeerRequestException($"it names more than {MostBefore} incarnations");
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new PeerRequestException("the request can't be read: the nodes must be of versions that fit", e);
        }
    }

    private sealed class Confirmed : IReadWaiter
    {
        private readonly TaskCompletionSource<bool> _task = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<bool> Task => _task.Task;

        public Storage.LogIndex AtLeast => default;

        public void OnRead(bool ok) => _task.TrySetResult(ok);

        public void GiveUp(long nowMs)
        {
            // Who asked stops waiting by itself.
        }
    }
}
