namespace EventVault.Raft;

/// <summary>A leader's view of all members, itself among them if it is one, and what a quorum of them agrees on.</summary>
internal sealed class Followers
{
    private readonly Outbox _box;

    // Parallel to the membership's members.
    private Progress[] _all = [];
    private Progress? _self;

    public Followers(Outbox box)
    {
        _box = box;

        // A new leader waits for everybody's first answer.
        FollowMembership(areActive: false);
    }

    /// <summary>Everybody, also the leader itself: <see cref="IsSelf"/>.</summary>
    public ReadOnlySpan<Progress> All => _all;

    private Membership Membership => _box.Log.Membership;

    public bool IsSelf(Progress member) => member == _self;

    /// <summary>Null if it is no member, and so counts for nothing, or the leader itself.</summary>
    public Progress? Find(ReplicaId replica)
    {
        var at = Membership.IndexOf(replica);
        return at < 0 || _all[at] == _self ? null : _all[at];
    }

    /// <summary>The membership changed: keeps what is known of those that stay, probes those that come.</summary>
    /// <param name="areActive">Whether those that come count as heard from until quorum is checked next.</param>
    public void FollowMembership(bool areActive)
    {
        var members = Membership.Span;
        var all = new Progress[members.Length];
        _self = null;
        for (var i = 0; i < members.Length; i++)
        {
            all[i] = Known(members[i].Id) ?? new Progress(members[i].Id, _box.Log.LastIndex + 1, _box.Options) { IsActive = areActive };
            if (members[i].Id == _box.Self)
            {
                _self = all[i];
            }
        }

        _all = all;
        OwnFlushed();
        Invariant.Check(_all.Length == Membership.Span.Length);
    }

    /// <summary>Our own disk counts like any other: by what it has flushed. False: we are no member.</summary>
    public bool OwnFlushed()
    {
        Invariant.Check(_box.Log.DurableIndex <= _box.Log.LastIndex);
        _self?.Acknowledged(_box.Log.DurableIndex);
        return _self is not null;
    }

    /// <summary>Highest index that a quorum holds.</summary>
    public LogIndex Agreed()
    {
        if (_self is not null && Membership.SoleVoter == _box.Self)
        {
            return _self.Match;
        }

        Span<ulong> matched = stackalloc ulong[_all.Length];
        for (var i = 0; i < matched.Length; i++)
        {
            matched[i] = _all[i].Match.Value;
        }

        var agreed = new LogIndex(Quorum.Agreed(Membership, matched));
        Invariant.Check(agreed <= _box.Log.LastIndex);
        return agreed;
    }

    /// <summary>Last round of reads that a quorum confirmed; ourselves we confirm the one that was begun last.</summary>
    public ulong AgreedRound(ulong begun)
    {
        Span<ulong> rounds = stackalloc ulong[_all.Length];
        for (var i = 0; i < rounds.Length; i++)
        {
            Invariant.Check(_all[i].ReadRound <= begun);
            rounds[i] = _all[i] == _self ? begun : _all[i].ReadRound;
        }

        var agreed = Quorum.Agreed(Membership, rounds);
        Invariant.Check(agreed <= begun);
        return agreed;
    }

    /// <summary>Whether a quorum was heard from since this was asked last.</summary>
    public bool TakeActivity()
    {
        Span<Ballot> active = stackalloc Ballot[_all.Length];
        for (var i = 0; i < active.Length; i++)
        {
            active[i] = _all[i] == _self || _all[i].IsActive ? Ballot.Yes : Ballot.No;
            _all[i].IsActive = false;
        }

        return Quorum.Votes(Membership, active) == VoteResult.Won;
    }

    /// <summary>The voter that holds most, ourselves aside.</summary>
    public Progress FurthestVoter()
    {
        Progress? best = null;
        for (var i = 0; i < _all.Length; i++)
        {
            if ((Membership.Span[i].Role & MemberRole.Voter) != 0 && _all[i] != _self && (best is null || _all[i].Match > best.Match))
            {
                best = _all[i];
            }
        }

        Invariant.Check(best is not null);
        return best;
    }

    public FollowerProgress[] Status()
    {
        var status = new List<FollowerProgress>(_all.Length);
        foreach (var member in _all)
        {
            if (member != _self)
            {
                status.Add(member.Status());
            }
        }

        return [.. status];
    }

    private Progress? Known(ReplicaId replica)
    {
        foreach (var member in _all)
        {
            if (member.Id == replica)
            {
                return member;
            }
        }

        return null;
    }
}
