// A follower's side of one term: takes what the leader sends, and acknowledges what is both durable and known to match.
//
// Guarantees: what is committed is never truncated; an acknowledgement never exceeds what this disk has flushed.
namespace EventVault.Raft;

internal sealed class Following(Outbox box)
{
    private readonly RaftLog _log = box.Log;

    // Up to here the log is known to be the one of this term's leader.
    private LogIndex _matched = box.Log.CommitIndex;
    private LogIndex _acknowledged = box.Log.CommitIndex;

    /// <summary>Durable here and known to be the leader's of this term, who cuts off nothing of it: never falls in a term.</summary>
    public LogIndex Held => Acknowledgeable();

    /// <summary>A new term: nothing but what is committed is known to be the leader's, too.</summary>
    public void Enter()
    {
        _matched = _log.CommitIndex;
        _acknowledged = _log.CommitIndex;
    }

    public void Append(in Message message)
    {
        Invariant.Check(message.Term == box.Promises.Term);
        var before = message.Index;
        var entries = message.Entries ?? [];
        if (before > _log.LastIndex || (_log.TermOf(before) != message.LogTerm && !Canary.Is(Canary.MatchNotChecked)))
        {
            Reject(message);
            return;
        }

        var known = CountKnown(before, entries);
        var last = before + (ulong)entries.Length;
        if (known < entries.Length)
        {
            var keep = before + (ulong)known;
            if (keep < _log.LastIndex)
            {
                if (!_log.MayTruncate)
                {
                    return;
                }

                // Only what this leader's log contradicts: never what matches it, let alone what is committed.
                Invariant.Check(keep >= _matched || Canary.Is(Canary.MatchNotChecked));
                box.Truncate(keep);
            }

            for (var i = known; i < entries.Length; i++)
            {
                Invariant.Check(entries[i].Term <= message.Term);
                box.Append(entries[i]);
            }

            Invariant.Check(_log.LastIndex == last);
        }

        Invariant.Check(last <= _log.LastIndex);
        _matched = _matched > last ? _matched : last;
        Commit(message.Commit < last || Canary.Is(Canary.CommitBeyondMatch) ? message.Commit : last);
        if (_log.DurableIndex >= last)
        {
            Acknowledge(message.From);
        }
    }

    public void Heartbeat(in Message message)
    {
        // We acknowledged all this, so we have it, unless our disk lost it: then going on would be worse than stopping.
        Invariant.Check(message.Commit <= _log.LastIndex || Canary.Is(Canary.CommitBeyondMatch));
        Commit(message.Commit);
        box.Send(box.To(message.From, MessageKind.HeartbeatAnswer) with { Read = message.Read });
    }

    /// <summary>Our disk has come further.</summary>
    public void Flushed(ReplicaId? leader)
    {
        if (leader is { } to && Acknowledgeable() > _acknowledged)
        {
            Acknowledge(to);
        }
    }

    // How many of the entries stand in our log already.
    private int CountKnown(LogIndex before, Entry[] entries)
    {
        var known = 0;
        while (known < entries.Length && _log.TermAt(before + (ulong)known + 1) == entries[known].Term)
        {
            known++;
        }

        return known;
    }

    private void Commit(LogIndex index)
    {
        index = index < _log.LastIndex ? index : _log.LastIndex;
        if (index > _log.CommitIndex)
        {
            _log.Commit(index);
            _matched = _matched > index ? _matched : index;
        }
    }

    private LogIndex Acknowledgeable() => _log.DurableIndex < _matched ? _log.DurableIndex : _matched;

    private void Acknowledge(ReplicaId leader)
    {
        var index = Acknowledgeable();
        Invariant.Check(index <= _log.DurableIndex);
        _acknowledged = _acknowledged > index ? _acknowledged : index;
        box.Send(box.To(leader, MessageKind.AppendAnswer) with { Index = index });
    }

    // Where the logs may match at the latest: an entry of ours with a higher term than the one asked for can't be the leader's.
    private void Reject(in Message message)
    {
        var end = message.Index < _log.LastIndex ? message.Index : _log.LastIndex;
        var (hint, term) = _log.LastUpTo(end, message.LogTerm);
        Invariant.Check(message.Index > _log.CommitIndex);
        box.Send(box.To(message.From, MessageKind.AppendAnswer) with { Index = message.Index, Rejected = true, Hint = hint, HintTerm = term });
    }
}
