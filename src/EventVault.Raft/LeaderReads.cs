namespace EventVault.Raft;

/// <summary>The leader's side of linearizable reads: holds them until it is certain that it leads, then answers.</summary>
internal sealed class LeaderReads(Outbox box)
{
    /// <summary>Reads that wait at once. A caller has one for all of its own readers; this many only pile up when the quorum is gone.</summary>
    private const int MostWaiting = 65_536;

    private readonly ReadRounds _rounds = new();

    // Came before an entry of this term was committed: until then we can't know what is committed (thesis §6.4).
    private readonly List<(ReplicaId From, ulong Read)> _early = [];

    public ulong Begun => _rounds.Begun;

    /// <summary>A read came. True: a round is to begin.</summary>
    public bool Ask(ReplicaId from, ulong read, bool isCaughtUp)
    {
        if (_early.Count + _rounds.Waiting >= MostWaiting)
        {
            Answer(from, read, index: null);
            return false;
        }

        if (!isCaughtUp && !Canary.Is(Canary.ReadBeforeFirstCommit))
        {
            _early.Add((from, read));
            return false;
        }

        return Confirmed(from, read);
    }

    /// <summary>The first entry of this term is committed. True: a round is to begin.</summary>
    public bool AskAll()
    {
        var begin = false;
        foreach (var (from, read) in _early)
        {
            begin |= Confirmed(from, read);
        }

        _early.Clear();
        return begin;
    }

    /// <summary>Heartbeats leave: the number they carry. A new one if a read waits for it.</summary>
    public ulong BeginRound() => _rounds.NeedsRound ? _rounds.Begin() : _rounds.Begun;

    /// <summary>A quorum confirmed this round. True: another one is to begin.</summary>
    public bool Confirm(ulong round)
    {
        _rounds.Confirm(round);
        while (_rounds.TryTake(out var read))
        {
            Invariant.Check(read.Index <= box.Log.CommitIndex);
            Answer(read.From, read.Read, read.Index);
        }

        return _rounds.NeedsRound && _rounds.IsIdle;
    }

    /// <summary>Leadership is over: whoever waits must ask the next leader.</summary>
    public void GiveUp()
    {
        while (_rounds.TryGiveUp(out var read))
        {
            Answer(read.From, read.Read, index: null);
        }

        foreach (var (from, read) in _early)
        {
            Answer(from, read, index: null);
        }

        _early.Clear();
    }

    // Answers at once if nobody else is asked. True: a round is to begin.
    private bool Confirmed(ReplicaId from, ulong read)
    {
        if (box.Log.Membership.SoleVoter == box.Self || Canary.Is(Canary.ReadWithoutQuorum))
        {
            Answer(from, read, box.Log.CommitIndex);
            return false;
        }

        _rounds.Add(from, read, box.Log.CommitIndex);
        return _rounds.IsIdle;
    }

    private void Answer(ReplicaId to, ulong read, LogIndex? index)
    {
        if (to == box.Self)
        {
            box.Output.Reads.Add(new ReadResult(read, index ?? default, Ok: index is not null));
        }
        else
        {
            box.Send(box.To(to, MessageKind.ReadIndexAnswer) with { Index = index ?? default, Rejected = index is null, Read = read });
        }
    }
}
