// Changes of the members, by the leader: one at a time, each by joint consensus where voters change, and refused if too few voters would remain
// that are there. Who asks is told when the change is committed. A change that was begun and not ended goes on under the next leader: what is to
// happen stands in the membership itself. A learner becomes a voter when it has caught up, unless it is a read replica, and in the place of
// the voter with its number, if there is one.
using EventVault.Node.Replication;
using EventVault.Node.Services;
using EventVault.Raft;
using EventVault.Rpc;
using EventVault.Storage;
using Membership = EventVault.Raft.Membership;

namespace EventVault.Node.Peers;

/// <summary>Changes who belongs to the vault. Thread-safe.</summary>
internal sealed class MemberChanges(VaultStorage storage, VaultLoop loop, CommitSignal committed, NodePeers peers, NodeOptions options) : IDisposable
{
    /// <summary>Groups that a member may lack and still count as caught up: as many as a leader has on its way to a majority.</summary>
    public const ulong CaughtUpGroups = 256;

    /// <summary>How long a change may take where the call has no time-out of its own.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>How often to look whether a change has ended, or another node leads: no commit need tell of that.</summary>
    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(20);

    private readonly SemaphoreSlim _changing = new(1, 1);

    /// <summary>Who was heard of in so long is there.</summary>
    public TimeSpan HeardWithin => 2 * options.ElectionTimeout;

    /// <summary>Does something that changes members, alone.</summary>
    /// <exception cref="RpcException">FAILED_PRECONDITION: another change is under way.</exception>
    public async Task<T> AloneAsync<T>(Func<Task<T>> change)
    {
        if (!await _changing.WaitAsync(TimeSpan.Zero))
        {
            throw Errors.ChangePending().ToException();
        }

        try
        {
            return await change();
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>How the replica stands, asked on its thread.</summary>
    /// <exception cref="RpcException">UNAVAILABLE: the node stops.</exception>
    public async Task<RaftStatus> StatusAsync() => await AskAsync(static replica => replica.Status());

    /// <summary>Changes the members, and ends when that is committed.</summary>
    /// <param name="change">From the members that are to the members that shall be, or why not; called on the sequencer's thread.</param>
    /// <param name="cancellation">Ends the waiting; the change goes on.</param>
    /// <exception cref="RpcException">It was refused, or has not ended in time.</exception>
    public async Task ChangeAsync(Func<RaftStatus, (Membership? Target, Refusal? Refusal)> change, CancellationToken cancellation)
    {
        var (result, refusal, index, isJoint, term) = await AskAsync(replica =>
        {
            if (!replica.IsLeading)
            {
                return (ProposeResult.NotLeader, null, 0ul, false, 0ul);
            }

            var status = replica.Status();
            var (target, why) = change(status);
            var proposed = target is null || target.Equals(status.Membership) ? ProposeResult.Taken : replica.ProposeMembership(target);
            var after = replica.Standing;
            return (proposed, why, after.MembershipIndex.Value, after.Membership.IsJoint, after.Term.Value);
        });
        if ((refusal ?? WhyNot(result)) is { } no)
        {
            throw no.ToException();
        }

        await UntilAsync(
            () => isJoint ? loop.Standing is { MembershipIndex: var last } && last.Value > index && storage.CommitIndex.Value >= last.Value : storage.CommitIndex.Value >= index,
            () => loop.Standing is { Role: Role.Leader } standing && standing.Term.Value == term,
            cancellation);
    }

    /// <summary>Why a change would leave too few voters that are there and caught up; null: it would not.</summary>
    public string? WhyUnsafe(RaftStatus status, Membership target)
    {
        var voters = target.Members.Where(m => m.Role == MemberRole.Voter).ToList();
        var links = peers.Links.ToDictionary(link => link.Peer.Id, link => link.SinceHeard);
        var there = voters.Where(v => v.Id == peers.Self || IsThere(status, links, v.Id)).ToList();
        var needed = (voters.Count / 2) + 1;
        return there.Count >= needed
            ? null
            : $"of the {voters.Count} voters that remained, {there.Count} are there and caught up, and a majority is {needed}; bring the others back first, or force it";
    }

    /// <summary>Why the vault would not go on without a node that is away, with all that is committed up to an index on a majority of all voters; null: it would.</summary>
    public string? WhyNeeded(RaftStatus status, uint node, Raft.LogIndex upTo)
    {
        var voters = status.Membership.Members.Where(m => m.Role == MemberRole.Voter).ToList();
        var links = peers.Links.ToDictionary(link => link.Peer.Id, link => link.SinceHeard);
        var have = status.Followers.Where(f => f.State == ProgressState.Replicate && f.Match >= upTo).Select(f => f.Id).ToHashSet();
        var there = voters.Count(v => v.Id.Node != node
            && (v.Id == peers.Self ? status.DurableIndex >= upTo : have.Contains(v.Id) && links.TryGetValue(v.Id, out var heard) && heard <= HeardWithin));
        return there > voters.Count / 2 ? null : $"of the {voters.Count} voters, {there} others are there and have all that is committed, which is no majority";
    }

    /// <summary>Hands leadership over, to one or to whoever is furthest of those that may get it, and ends when another node leads.</summary>
    /// <returns>False: this node did not lead, nobody can take over, or nobody did.</returns>
    /// <exception cref="RpcException">UNAVAILABLE: the node stops already.</exception>
    public async Task<bool> HandOverAsync(Func<ReplicaId, bool> mayLead, Action<ReplicaId> onBegun, CancellationToken cancellation)
    {
        var status = await StatusAsync();
        var links = peers.Links.ToDictionary(link => link.Peer.Id, link => link.SinceHeard);
        var best = status.Followers
            .Where(f => (status.Membership.RoleOf(f.Id) & MemberRole.Voter) != 0 && mayLead(f.Id) && links.TryGetValue(f.Id, out var heard) && heard <= HeardWithin)
            .OrderByDescending(f => f.Match.Value).Select(f => (ReplicaId?)f.Id).FirstOrDefault();
        if (status.Role != Role.Leader || best is not { } to || !await AskAsync(replica => replica.Transfer(to)))
        {
            return false;
        }

        onBegun(to);
        try
        {
            // The core gives up after an election timeout, and leads on.
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            patience.CancelAfter((2 * options.ElectionTimeout) + TimeSpan.FromSeconds(1));
            await UntilAsync(() => loop.Standing is { Role: not Role.Leader, Leader: not null }, static () => true, patience.Token);
            return true;
        }
        catch (RpcException) when (!cancellation.IsCancellationRequested)
        {
            return loop.Standing.Role != Role.Leader;
        }
    }

    /// <summary>Makes voters of the learners that have caught up. Whether there were any.</summary>
    public async Task<bool> PromoteAsync(Action<ReplicaId> onPromoted, CancellationToken cancellation)
    {
        var standing = loop.Standing;
        if (!standing.TakesProposals || standing.Membership.IsJoint || standing.MembershipIndex.Value > storage.CommitIndex.Value
            || !standing.Membership.Members.Any(m => m.Role == MemberRole.Learner))
        {
            return false;
        }

        return await AloneAsync(async () =>
        {
            var promoted = new List<ReplicaId>();
            await ChangeAsync(
                status =>
                {
                    promoted.AddRange(status.Membership.Members.Where(m => m.Role == MemberRole.Learner && HasCaughtUp(status, m.Id)).Select(m => m.Id));
                    return promoted.Count == 0 || status.Membership.IsJoint ? (null, null) : (Promoted(status.Membership, promoted), null);
                },
                cancellation);
            promoted.ForEach(onPromoted);
            return promoted.Count > 0;
        });
    }

    /// <summary>Puts the addresses into the membership that members say they have now. Whether there was anything to change.</summary>
    public async Task<bool> FollowAddressesAsync(Action<Member> onChanged, CancellationToken cancellation)
    {
        var standing = loop.Standing;
        if (!standing.TakesProposals || standing.Membership.IsJoint || standing.MembershipIndex.Value > storage.CommitIndex.Value || !standing.Membership.Members.Any(HasMoved))
        {
            return false;
        }

        return await AloneAsync(async () =>
        {
            var moved = new List<Member>();
            await ChangeAsync(
                status =>
                {
                    moved.AddRange(status.Membership.Members.Where(HasMoved).Select(Moved));
                    return moved.Count == 0 || status.Membership.IsJoint ? (null, null) : (Of(status.Membership.Members.Select(Moved)), null);
                },
                cancellation);
            moved.ForEach(onChanged);
            return moved.Count > 0;
        });
    }

    /// <summary>The members with some changed, added or left out; null: nobody could decide, or they are too many.</summary>
    public static Membership? Of(IEnumerable<Member> members)
    {
        var all = members.ToList();
        return all.Exists(m => m.Role == MemberRole.Voter) && all.Count <= Membership.MostMembers ? Membership.Of(all) : null;
    }

    /// <summary>The members as a leader proposes them, its own address filled in if nobody has said it yet.</summary>
    public IEnumerable<Member> Members(Membership membership) => membership.Members.Select(m => m.Id == peers.Self && m.Address.Length == 0 ? m with { Address = peers.Address } : m);

    /// <summary>The members with a new disk in the place of a node's old one. A voter stays until the new disk has caught up.</summary>
    public static IEnumerable<Member> Replaced(IEnumerable<Member> members, ReplicaId id, string address)
    {
        var all = members.ToList();
        var old = all.Where(m => m.Id.Node == id.Node && m.Id != id).ToList();
        var role = old.Exists(m => m.Role == MemberRole.Voter) || old.Count == 0 ? MemberRole.Learner : old[0].Role;
        return all.Where(m => m.Id.Node != id.Node || m.Role == MemberRole.Voter).Append(new Member(id, role, address));
    }

    public void Dispose() => _changing.Dispose();

    private static Membership? Promoted(Membership membership, List<ReplicaId> promoted) => Of(membership.Members
        .Where(m => m.Role != MemberRole.Voter || !promoted.Exists(p => p.Node == m.Id.Node))
        .Select(m => promoted.Contains(m.Id) ? m with { Role = MemberRole.Voter } : m));

    private bool HasMoved(Member member) => Moved(member).Address != member.Address;

    private Member Moved(Member member) => peers.AdvertisedBy(member.Id) is { } address ? member with { Address = address } : member;

    private static bool HasCaughtUp(RaftStatus status, ReplicaId id) =>
        status.Followers.Any(f => f.Id == id && f.State == ProgressState.Replicate && f.Match.Value + CaughtUpGroups >= status.LastIndex.Value);

    private bool IsThere(RaftStatus status, Dictionary<ReplicaId, TimeSpan> links, ReplicaId id) =>
        HasCaughtUp(status, id) && links.TryGetValue(id, out var heard) && heard <= HeardWithin;

    private Refusal? WhyNot(ProposeResult result) => result switch
    {
        ProposeResult.Taken => null,
        ProposeResult.NotLeader or ProposeResult.Transferring => Errors.NotLeader("Only the leader changes the vault's members.", loop.LeaderAddress),
        _ => Errors.ChangePending(),
    };

    private async Task<T> AskAsync<T>(Func<Replica, T> question)
    {
        try
        {
            return await loop.AskAsync(question);
        }
        catch (OperationCanceledException e)
        {
            throw Errors.Draining("nothing was changed").ToException(e);
        }
    }

    private async Task UntilAsync(Func<bool> isDone, Func<bool> goesOn, CancellationToken cancellation)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(Patience);
        while (true)
        {
            var next = committed.Next;
            if (isDone())
            {
                return;
            }

            if (!goesOn())
            {
                throw Errors.NotLeader("This node ceased to lead before the change had ended; it may still happen.", loop.LeaderAddress).ToException();
            }

            try
            {
                await next.WaitAsync(LookAgain, patience.Token);
            }
            catch (TimeoutException)
            {
            }
            catch (OperationCanceledException e)
            {
                throw Errors.ChangeNotEnded().ToException(e);
            }
        }
    }
}
