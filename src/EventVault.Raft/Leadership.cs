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

    private readonly Followers _followers;
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
        _followers = new Followers(box);

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
            IsOver |= !_followers.TakeActivity() && !Canary.Is(Canary.NoCheckQuorum);
        }

        if (TransferTo is not null && ++_transferTicks >= _options.ElectionTicks)
        {
            TransferTo = null;
        }

        if (!IsOver && ++_ticks >= _options.HeartbeatTicks)
        {
            _ticks = 0;
            foreach (var follower in _followers.All)
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
        if ((Membership.RoleOf(to) & MemberRole.Voter) == 0 || _followers.Find(to) is not { } follower)
        {
            return false;
        }

        if (TransferTo != to)
        {
            TransferTo = to;
            _transferTicks = 0;
            HandOverIfReady(follower);
        }

        return true;
    }

    /// <summary>Our own disk has come further.</summary>
    public void OwnFlushed()
    {
        if (_followers.OwnFlushed())
        {
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
        if (_followers.Find(message.From) is not { } follower)
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

        // Nobody can hold more of our log than we do: made up.
        if (message.Index > _log.LastIndex)
        {
            return;
        }

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

        // What it acknowledged may have been the entry that lets it go.
        if (_followers.Find(message.From) == follower)
        {
            SendMore(follower);
            HandOverIfReady(follower);
        }
    }

    public void HeartbeatAnswer(in Message message)
    {
        if (_followers.Find(message.From) is not { } follower)
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
        if (message.Read > follower.ReadRound && message.Read <= _reads.Begun)
        {
            follower.ReadRound = message.Read;
            AnswerReads();
        }
    }

    public void ReportUnreachable(ReplicaId replica)
    {
        if (_followers.Find(replica) is { State: ProgressState.Replicate } follower)
        {
            follower.Probe();
        }
    }

    public void ShipDone(ReplicaId replica, LogIndex last, bool ok)
    {
        if (_followers.Find(replica) is { State: ProgressState.Ship } follower)
        {
            follower.ProbeAfterShip(ok && last <= _log.LastIndex ? last : default);
        }
    }

    public FollowerProgress[] Status() => _followers.Status();

    private void Change(Membership next)
    {
        Invariant.Check(_log.MembershipIndex <= _log.CommitIndex);
        Invariant.Check(IsCaughtUp);
        _box.Append(new Entry(Term, EntryKind.Membership, next.Encode().Length, next));
        _followers.FollowMembership(areActive: true);
        if (TransferTo is { } to && (next.RoleOf(to) & MemberRole.Voter) == 0)
        {
            TransferTo = null;
        }

        SendAppends(evenEmpty: false);
    }

    // Commits what a quorum holds. Whether there was something.
    private bool Commit()
    {
        var agreed = _followers.Agreed();
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

    private void AnswerReads()
    {
        if (_reads.Confirm(_followers.AgreedRound(_reads.Begun)))
        {
            SendHeartbeats(_reads.BeginRound(), toAll: false);
        }
    }

    // We are no voter any more, and that is committed. The one who is furthest need not wait for its timeout.
    private void LeaveOffice()
    {
        Invariant.Check(!Membership.IsJoint);
        IsOver = true;
        _box.Send(_box.To(_followers.FurthestVoter().Id, MessageKind.TimeoutNow));
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
        for (var i = 0; i < _followers.All.Length; i++)
        {
            var follower = _followers.All[i];
            if (_followers.IsSelf(follower) || !(toAll || (Membership.Span[i].Role & (MemberRole.Voter | MemberRole.OutgoingVoter)) != 0))
            {
                continue;
            }

            // No more than it holds: what it holds beyond may be of another leader.
            var commit = follower.Match < _log.CommitIndex && !Canary.Is(Canary.CommitBeyondMatch) ? follower.Match : _log.CommitIndex;
            _box.Send(_box.To(follower.Id, MessageKind.Heartbeat) with { Commit = commit, Read = round });
        }
    }

    private void SendAppends(bool evenEmpty)
    {
        foreach (var follower in _followers.All)
        {
            if (!_followers.IsSelf(follower))
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
        Invariant.Check(!_followers.IsSelf(follower));
        if (follower.IsPaused || (follower.Next > _log.LastIndex && !evenEmpty))
        {
            return false;
        }

        Invariant.Check(follower.Next <= _log.LastIndex + 1);
        Entry[] entries = [];
        var bytes = 0L;

        // With all that may be on its way out already, an empty one finds out what became of it.
        if (follower.Next <= _log.LastIndex && !(follower.State == ProgressState.Replicate && follower.IsFull))
        {
            Invariant.Check(_box.First <= _log.CommitIndex + 1);
            var first = follower.TakesEntries(_log.LastIndex) ? _box.FirstThere : _box.First;
            if (follower.Next < first && !follower.TryProbeFrom(first) && !(follower.Next >= _box.FirstThere && follower.TryTakeEntries(_log.LastIndex)))
            {
                Ship(follower);
                return false;
            }

            if (follower.Next <= _log.LastIndex)
            {
                entries = _box.Read(follower.Next, follower.Room, out bytes);
            }

            if (follower.InFlight.Count > 0 && bytes > follower.Room)
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
        if (follower.Next > _log.LastIndex)
        {
            follower.SentAll();
        }

        return true;
    }

    // To one that is not there nothing can be shipped: wait until it answers a heartbeat.
    private void Ship(Progress follower)
    {
        if (follower.IsActive)
        {
            follower.Ship(_log.LastIndex);
            _box.Output.Ships.Add(new ShipRequest(follower.Id, follower.Next));
        }
    }
}
