// What a leader does in its term: sends entries, counts who holds them, commits, hands over, and confirms that it leads.
// A new one begins with each election that was won, so nothing of an earlier leadership can linger.
//
// Guarantees: the leader's log is only appended to; its own disk counts when it was flushed, like everybody's; nothing of an
// earlier term is committed by counting (paper §5.4.2); at most one membership is uncommitted.
namespace EventVault.Raft;

internal sealed class Leadership
{
    private readonly Outbox _box;
    private readonly RaftLog _log;
    private readonly RaftOptions _options;
    private readonly LeaderReads _reads;

    // Parallel to the membership's members; also ourselves, if we are one.
    private Progress[] _followers = [];
    private Progress? _self;
    private int _ticks;
    private int _quorumTicks;
    private int _transferTicks;

    public Leadership(Outbox box)
    {
        _box = box;
        _log = box.Log;
        _options = box.Options;
        _reads = new LeaderReads(box);
        Invariant.Check(box.Promises.AreDurable);
        Invariant.Check(box.Promises.VotedFor == box.Self);
        Invariant.Check(_log.LastTerm < box.Promises.Term);
        FollowMembership();

        // It lets the entries of earlier terms commit (paper §8), and tells everybody who leads.
        _box.Append(new Entry(Term, EntryKind.NoOp, Bytes: 0));
        SendAppends(evenEmpty: false);
    }

    /// <summary>The membership without us is committed, or the quorum is gone: back to being a follower.</summary>
    public bool IsOver { get; private set; }

    public ReplicaId? TransferTo { get; private set; }

    /// <summary>Whether an entry of this term is committed.</summary>
    public bool IsCaughtUp => _log.TermOf(_log.CommitIndex) == Term;

    private Term Term => _box.Promises.Term;

    private Membership Membership => _log.Membership;

    public void Tick()
    {
        if (++_quorumTicks >= _options.ElectionTicks)
        {
            _quorumTicks = 0;
            CheckQuorum();
        }

        if (TransferTo is not null && ++_transferTicks >= _options.ElectionTicks)
        {
            TransferTo = null;
        }

        if (!IsOver && ++_ticks >= _options.HeartbeatTicks)
        {
            _ticks = 0;
            foreach (var follower in _followers)
            {
                follower.MayNudge = true;
            }

            SendHeartbeats(_reads.BeginRound(), toAll: true);
            AnswerReads();
        }
    }

    public ProposeResult Propose(int bytes)
    {
        if (TransferTo is not null)
        {
            return ProposeResult.Transferring;
        }

        if (_log.UncommittedBytes > 0 && _log.UncommittedBytes + bytes > _options.MaxUncommittedBytes)
        {
            return ProposeResult.TooMuchUncommitted;
        }

        _box.Append(new Entry(Term, EntryKind.Appends, bytes));
        SendAppends(evenEmpty: false);
        return ProposeResult.Taken;
    }

    public ProposeResult ProposeMembership(Membership target)
    {
        if (TransferTo is not null)
        {
            return ProposeResult.Transferring;
        }

        // Nothing of this term committed: an earlier leader's change may be under way that we don't know of.
        if (_log.MembershipIndex > _log.CommitIndex || Membership.IsJoint || !IsCaughtUp)
        {
            return ProposeResult.ChangePending;
        }

        Change(Membership.Towards(target));
        return ProposeResult.Taken;
    }

    public bool Transfer(ReplicaId to)
    {
        if (to == _box.Self || (Membership.RoleOf(to) & MemberRole.Voter) == 0)
        {
            return false;
        }

        if (TransferTo != to)
        {
            TransferTo = to;
            _transferTicks = 0;
            HandOverIfReady(_followers[Membership.IndexOf(to)]);
        }

        return true;
    }

    /// <summary>Our own disk has come further.</summary>
    public void OwnFlushed()
    {
        if (_self is not null)
        {
            Invariant.Check(_log.DurableIndex <= _log.LastIndex);
            _self.Acknowledged(_log.DurableIndex);
            Commit();
        }
    }

    public void ReadIndex(ReplicaId from, ulong read)
    {
        if (_reads.Ask(from, read, IsCaughtUp))
        {
            SendHeartbeats(_reads.BeginRound(), toAll: false);
        }
    }

    public void EndReads() => _reads.GiveUp();

    public void AppendAnswer(in Message message)
    {
        if (Find(message.From) is not { } follower)
        {
            return;
        }

        follower.IsActive = true;
        if (message.Rejected)
        {
            // No entry of the follower up to the hint has a higher term than the hint's: neither can one that matches.
            var hint = message.Hint < _log.LastIndex ? message.Hint : _log.LastIndex;
            hint = message.HintTerm.Value > 0 ? _log.LastUpTo(hint, message.HintTerm).Index : hint;
            if (follower.Rejected(message.Index, hint))
            {
                SendAppend(follower, evenEmpty: true);
            }

            return;
        }

        Invariant.Check(message.Index <= _log.LastIndex);
        if (!follower.Acknowledged(message.Index) && !(follower.State == ProgressState.Probe && message.Index == follower.Match))
        {
            return;
        }

        // Shipping is over as soon as the follower is where entries can be sent, whatever became of the order.
        if (follower.State == ProgressState.Probe || (follower.State == ProgressState.Ship && follower.Match + 1 >= _box.First))
        {
            follower.Replicate();
        }

        if (!Commit() && follower.ToldCommit < _log.CommitIndex)
        {
            SendAppend(follower, evenEmpty: true);
        }

        SendMore(follower);
        HandOverIfReady(follower);
    }

    public void HeartbeatAnswer(in Message message)
    {
        if (Find(message.From) is not { } follower)
        {
            return;
        }

        follower.IsActive = true;

        // Once for each heartbeat that time sent: those of reads come as often as reads do.
        if (follower.MayNudge)
        {
            follower.MayNudge = false;
            follower.Resume();
            if (follower.Match < _log.LastIndex || follower.State == ProgressState.Probe)
            {
                SendAppend(follower, evenEmpty: true);
            }
        }

        HandOverIfReady(follower);
        if (message.Read > follower.ReadRound)
        {
            Invariant.Check(message.Read <= _reads.Begun);
            follower.ReadRound = message.Read;
            AnswerReads();
        }
    }

    public void ReportUnreachable(ReplicaId replica)
    {
        if (Find(replica) is { State: ProgressState.Replicate } follower)
        {
            follower.Probe();
        }
    }

    public void ShipDone(ReplicaId replica, LogIndex last, bool ok)
    {
        if (Find(replica) is { State: ProgressState.Ship } follower)
        {
            follower.ProbeAfterShip(ok && last <= _log.LastIndex ? last : default);
        }
    }

    public FollowerProgress[] Status()
    {
        var status = new List<FollowerProgress>(_followers.Length);
        foreach (var follower in _followers)
        {
            if (follower != _self)
            {
                status.Add(follower.Status());
            }
        }

        return [.. status];
    }

    // Null if it is no member: then it counts for nothing.
    private Progress? Find(ReplicaId replica)
    {
        var at = Membership.IndexOf(replica);
        return at < 0 || _followers[at] == _self ? null : _followers[at];
    }

    private void Change(Membership next)
    {
        Invariant.Check(_log.MembershipIndex <= _log.CommitIndex);
        Invariant.Check(IsCaughtUp);
        _box.Append(new Entry(Term, EntryKind.Membership, next.Encode().Length, next));
        FollowMembership();
        if (TransferTo is { } to && (next.RoleOf(to) & MemberRole.Voter) == 0)
        {
            TransferTo = null;
        }

        SendAppends(evenEmpty: false);
    }

    // Progress for each member: what is known of those that stay, probing for those that come.
    private void FollowMembership()
    {
        var members = Membership.Span;
        var followers = new Progress[members.Length];
        _self = null;
        for (var i = 0; i < members.Length; i++)
        {
            // New ones are given until quorum is checked next; a new leader waits for everybody's first answer.
            var known = Array.Find(_followers, IsOf(members[i].Id));
            followers[i] = known ?? new Progress(members[i].Id, _log.LastIndex + 1, _options) { IsActive = _followers.Length > 0 };
            if (members[i].Id == _box.Self)
            {
                _self = followers[i];
                _self.Acknowledged(_log.DurableIndex);
            }
        }

        _followers = followers;
        Invariant.Check(_followers.Length == Membership.Span.Length);

        static Predicate<Progress> IsOf(ReplicaId id) => p => p.Id == id;
    }

    // Commits what a quorum holds. Whether there was something.
    private bool Commit()
    {
        var agreed = Agreed();
        if (agreed <= _log.CommitIndex || (_log.TermOf(agreed) != Term && !Canary.Is(Canary.OldTermByCounting)))
        {
            return false;
        }

        var first = !IsCaughtUp;
        _log.Commit(agreed);
        if (_log.MembershipIndex <= agreed && Membership.IsJoint && IsCaughtUp)
        {
            Change(Membership.Leave());
        }

        SendAppends(evenEmpty: true);
        if (_log.MembershipIndex <= agreed && !Membership.IsVoter(_box.Self))
        {
            LeaveOffice();
        }
        else if (first && _reads.AskAll())
        {
            SendHeartbeats(_reads.BeginRound(), toAll: false);
        }

        return true;
    }

    private LogIndex Agreed()
    {
        if (_self is not null && Membership.SoleVoter == _box.Self)
        {
            return _self.Match;
        }

        Span<ulong> matched = stackalloc ulong[_followers.Length];
        for (var i = 0; i < matched.Length; i++)
        {
            matched[i] = _followers[i].Match.Value;
        }

        var agreed = new LogIndex(Quorum.Agreed(Membership, matched));
        Invariant.Check(agreed <= _log.LastIndex);
        return agreed;
    }

    private void AnswerReads()
    {
        Span<ulong> rounds = stackalloc ulong[_followers.Length];
        for (var i = 0; i < rounds.Length; i++)
        {
            rounds[i] = _followers[i] == _self ? _reads.Begun : _followers[i].ReadRound;
        }

        if (_reads.Confirm(Quorum.Agreed(Membership, rounds)))
        {
            SendHeartbeats(_reads.BeginRound(), toAll: false);
        }
    }

    private void CheckQuorum()
    {
        Span<Ballot> active = stackalloc Ballot[_followers.Length];
        for (var i = 0; i < active.Length; i++)
        {
            active[i] = _followers[i] == _self || _followers[i].IsActive ? Ballot.Yes : Ballot.No;
            _followers[i].IsActive = false;
        }

        IsOver |= Quorum.Votes(Membership, active) != VoteResult.Won && !Canary.Is(Canary.NoCheckQuorum);
    }

    // We are no voter any more, and that is committed. The one who is furthest need not wait for its timeout.
    private void LeaveOffice()
    {
        Invariant.Check(!Membership.IsJoint);
        IsOver = true;
        Progress? best = null;
        for (var i = 0; i < _followers.Length; i++)
        {
            if ((Membership.Span[i].Role & MemberRole.Voter) != 0 && (best is null || _followers[i].Match > best.Match))
            {
                best = _followers[i];
            }
        }

        Invariant.Check(best is not null && best != _self);
        _box.Send(_box.To(best.Id, MessageKind.TimeoutNow));
    }

    private void HandOverIfReady(Progress follower)
    {
        if (TransferTo == follower.Id && follower.Match == _log.LastIndex)
        {
            _box.Send(_box.To(follower.Id, MessageKind.TimeoutNow));
        }
    }

    private void SendHeartbeats(ulong round, bool toAll)
    {
        for (var i = 0; i < _followers.Length; i++)
        {
            var follower = _followers[i];
            if (follower == _self || !(toAll || (Membership.Span[i].Role & ~MemberRole.Learner) != 0))
            {
                continue;
            }

            // No more than it holds: what it holds beyond may be of another leader.
            var commit = follower.Match < _log.CommitIndex ? follower.Match : _log.CommitIndex;
            _box.Send(_box.To(follower.Id, MessageKind.Heartbeat) with { Commit = commit, Read = round });
        }
    }

    private void SendAppends(bool evenEmpty)
    {
        foreach (var follower in _followers)
        {
            if (follower != _self)
            {
                SendAppend(follower, evenEmpty && follower.ToldCommit < _log.CommitIndex);
                SendMore(follower);
            }
        }
    }

    // As many full messages as may be on their way.
    private void SendMore(Progress follower)
    {
        while (follower.State == ProgressState.Replicate && SendAppend(follower, evenEmpty: false))
        {
        }
    }

    // One message, if one may go and there is something to say.
    private bool SendAppend(Progress follower, bool evenEmpty)
    {
        Invariant.Check(follower != _self);
        if (follower.IsPaused || (follower.Next > _log.LastIndex && !evenEmpty))
        {
            return false;
        }

        Invariant.Check(follower.Next <= _log.LastIndex + 1);
        Entry[] entries = [];
        var bytes = 0L;

        // With all that may be on its way out already, an empty one finds out what became of it.
        if (follower.Next <= _log.LastIndex && !(follower.State == ProgressState.Replicate && follower.InFlight.IsFull))
        {
            if (follower.Next < _box.First)
            {
                Ship(follower);
                return false;
            }

            entries = _box.Read(follower.Next, follower.InFlight.Room, out bytes);
            if (follower.InFlight.Count > 0 && bytes > follower.InFlight.Room)
            {
                (entries, bytes) = ([], 0);
                follower.Hold();
            }
        }

        if (entries.Length == 0 && !evenEmpty)
        {
            return false;
        }

        var before = follower.Next - 1;
        _box.Send(_box.To(follower.Id, MessageKind.Append) with
        {
            Index = before,
            LogTerm = _log.TermOf(before),
            Commit = _log.CommitIndex,
            Entries = entries,
        });
        follower.ToldCommit = _log.CommitIndex;
        follower.Sent(before + (ulong)entries.Length, bytes);
        return true;
    }

    // To one that is not there nothing can be shipped: wait until it answers a heartbeat.
    private void Ship(Progress follower)
    {
        if (follower.IsActive)
        {
            follower.Ship();
            _box.Output.Ships.Add(new ShipRequest(follower.Id, follower.Next));
        }
    }
}
