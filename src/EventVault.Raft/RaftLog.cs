// What consensus knows of the log: which term each entry has, how far it is durable and committed, which memberships
// stand in it, and how long the uncommitted entries are. The entries' bytes stay with the storage.
//
// Guarantees: terms never fall along the log; commit index <= last index; what is committed is never truncated; what is
// durable is only what was flushed as it stands here now.
namespace EventVault.Raft;

internal sealed class RaftLog
{
    /// <summary>Entries read at once when a log is opened: a few KiB.</summary>
    private const int MostRead = 1024;

    private readonly List<TermRun> _runs;
    private readonly List<(LogIndex Index, Membership Membership)> _memberships;
    private readonly EntrySizes _sizes = new();

    // Where the log was truncated last, until an entry written behind that place is durable.
    private LogIndex? _truncatedAfter;

    public RaftLog(RaftState state, IEntrySource entries)
    {
        _runs = new List<TermRun>(state.Terms);
        _memberships = new List<(LogIndex, Membership)>(state.Memberships);
        LastIndex = state.LastIndex;
        CommitIndex = state.CommitIndex;
        DurableIndex = state.LastIndex;
        CheckOpened();
        LastTerm = _runs.Count == 0 ? default : _runs[^1].Term;
        ReadSizes(entries);
    }

    /// <summary>The last entry, durable or not.</summary>
    public LogIndex LastIndex { get; private set; }

    public Term LastTerm { get; private set; }

    public LogIndex CommitIndex { get; private set; }

    /// <summary>Entries up to here are flushed, as they stand here now. May be behind the commit index: others' disks counted.</summary>
    public LogIndex DurableIndex { get; private set; }

    /// <summary>The newest membership, committed or not: the one that counts.</summary>
    public Membership Membership => _memberships.Count == 0 ? Membership.Empty : _memberships[^1].Membership;

    /// <summary>Where it stands.</summary>
    public LogIndex MembershipIndex => _memberships.Count == 0 ? default : _memberships[^1].Index;

    public long UncommittedBytes => _sizes.Total;

    /// <summary>
    /// Whether the replica votes in the newest membership or in one before it, as far back as they may still be undone. One
    /// that its newest membership leaves out may be the only one to hold it: then nobody else can be elected, and it must
    /// lead until that membership is committed (thesis §4.2.2).
    /// </summary>
    public bool MayBeVoter(ReplicaId id)
    {
        foreach (var (_, membership) in _memberships)
        {
            if (membership.IsVoter(id))
            {
                return true;
            }
        }

        return false;
    }

    public IReadOnlyList<TermRun> Terms() => _runs.ToArray();

    public IReadOnlyList<(LogIndex Index, Membership Membership)> Memberships() => _memberships.ToArray();

    /// <summary>Term of the entry; 0 at 0; null behind the end.</summary>
    public Term? TermAt(LogIndex index) => index > LastIndex ? null : TermOf(index);

    /// <summary>Term of an entry that is there; 0 at 0.</summary>
    public Term TermOf(LogIndex index)
    {
        Invariant.Check(index <= LastIndex);
        return index.Value == 0 ? default
            : index >= _runs[^1].First ? LastTerm
            : _runs[RunOf(index)].Term;
    }

    /// <summary>
    /// The highest index up to <paramref name="index"/> whose term is at most <paramref name="term"/>, and its term: where two
    /// logs can match at the earliest, if the other one has that term at that index.
    /// </summary>
    public (LogIndex Index, Term Term) LastUpTo(LogIndex index, Term term)
    {
        Invariant.Check(index <= LastIndex);
        if (index.Value == 0)
        {
            return default;
        }

        var run = RunOf(index);
        if (_runs[run].Term <= term)
        {
            return (index, _runs[run].Term);
        }

        while (run > 0)
        {
            run--;
            if (_runs[run].Term <= term)
            {
                return (_runs[run + 1].First - 1, _runs[run].Term);
            }
        }

        return default;
    }

    /// <summary>Whether a log that ends like this holds at least what this one does (paper §5.4.1).</summary>
    public bool IsUpToDate(Term lastTerm, LogIndex lastIndex) =>
        lastTerm > LastTerm || (lastTerm == LastTerm && lastIndex >= LastIndex);

    /// <summary>Appends an entry; its index is the new last one.</summary>
    public LogIndex Append(in Entry entry)
    {
        Invariant.Check(entry.Term.Value > 0 && entry.Term >= LastTerm);
        Invariant.Check((entry.Kind == EntryKind.Membership) == (entry.Membership is not null));
        var index = LastIndex + 1;
        if (entry.Term != LastTerm)
        {
            _runs.Add(new TermRun(index, entry.Term));
            LastTerm = entry.Term;
        }

        LastIndex = index;
        _sizes.Add(entry.Bytes);
        if (entry.Membership is { } membership)
        {
            Invariant.Check(index > MembershipIndex);
            _memberships.Add((index, membership));
        }

        Invariant.Check((ulong)_sizes.Count == LastIndex.Value - CommitIndex.Value);
        return index;
    }

    /// <summary>
    /// Whether it may be truncated now. Not again before an entry written behind the last cut is durable: until then an entry
    /// could come back under the very same term and index, and the flush of its first life be taken for that of its second.
    /// </summary>
    public bool MayTruncate => _truncatedAfter is null;

    /// <summary>Drops all entries behind <paramref name="last"/>.</summary>
    public void Truncate(LogIndex last)
    {
        Invariant.Check(last >= CommitIndex);
        Invariant.Check(last < LastIndex);
        Invariant.Check(MayTruncate);
        _sizes.DropLast(LastIndex.Value - last.Value);
        while (_runs.Count > 0 && _runs[^1].First > last)
        {
            _runs.RemoveAt(_runs.Count - 1);
        }

        while (_memberships.Count > 0 && _memberships[^1].Index > last)
        {
            _memberships.RemoveAt(_memberships.Count - 1);
        }

        LastIndex = last;
        LastTerm = _runs.Count == 0 ? default : _runs[^1].Term;
        DurableIndex = DurableIndex > last ? last : DurableIndex;
        _truncatedAfter = last;
        Invariant.Check((ulong)_sizes.Count == LastIndex.Value - CommitIndex.Value);
    }

    /// <summary>
    /// Entries up to this one were flushed. False if that changes nothing: another entry stands there now, or it was known.
    /// </summary>
    public bool Flushed(Term term, LogIndex index)
    {
        Invariant.Check(index.Value > 0);
        if (Canary.Is(Canary.NoAbaFence))
        {
            index = index < LastIndex ? index : LastIndex;
        }
        else if (TermAt(index) != term)
        {
            return false;
        }

        // An entry from behind the cut is durable: the writer works in order, so nothing from before the cut is on its way.
        if (_truncatedAfter is { } cut && index > cut)
        {
            _truncatedAfter = null;
        }

        if (index <= DurableIndex)
        {
            return false;
        }

        DurableIndex = index;
        return true;
    }

    public void Commit(LogIndex index)
    {
        Invariant.Check(index > CommitIndex);
        Invariant.Check(index <= LastIndex);
        _sizes.DropFirst(index.Value - CommitIndex.Value);
        CommitIndex = index;

        // A committed membership never comes back, so the ones before it can't either.
        while (_memberships.Count > 1 && _memberships[1].Index <= index)
        {
            _memberships.RemoveAt(0);
        }

        Invariant.Check((ulong)_sizes.Count == LastIndex.Value - CommitIndex.Value);
    }

    private int RunOf(LogIndex index)
    {
        int low = 0, high = _runs.Count - 1;
        while (low < high)
        {
            var middle = (low + high + 1) / 2;
            if (_runs[middle].First <= index)
            {
                low = middle;
            }
            else
            {
                high = middle - 1;
            }
        }

        Invariant.Check(_runs[low].First <= index);
        return low;
    }

    private void CheckOpened()
    {
        Invariant.Check(CommitIndex <= LastIndex);
        Invariant.Check((_runs.Count == 0) == (LastIndex.Value == 0));
        for (var i = 0; i < _runs.Count; i++)
        {
            Invariant.Check(i == 0 ? _runs[i].First.Value == 1 : _runs[i].First > _runs[i - 1].First);
            Invariant.Check(_runs[i].Term.Value > 0 && (i == 0 || _runs[i].Term > _runs[i - 1].Term));
            Invariant.Check(_runs[i].First <= LastIndex);
        }

        for (var i = 0; i < _memberships.Count; i++)
        {
            Invariant.Check(_memberships[i].Index <= LastIndex);
            Invariant.Check(i == 0 || (_memberships[i].Index > _memberships[i - 1].Index && _memberships[i].Index > CommitIndex));
        }
    }

    // What an earlier life left uncommitted counts against the limit too.
    private void ReadSizes(IEntrySource entries)
    {
        var read = new List<Entry>();
        for (var next = CommitIndex + 1; next <= LastIndex;)
        {
            read.Clear();
            entries.Read(next, LastIndex, MostRead, long.MaxValue, read);
            Invariant.Check(read.Count > 0);
            foreach (var entry in read)
            {
                Invariant.Check(entry.Term == TermOf(next));
                _sizes.Add(entry.Bytes);
                next += 1;
            }
        }

        Invariant.Check((ulong)_sizes.Count == LastIndex.Value - CommitIndex.Value);
    }
}
