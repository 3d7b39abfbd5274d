using EventVault.Raft;
using StoredIndex = EventVault.Storage.LogIndex;

namespace EventVault.Node.Replication;

/// <summary>Waits until this node has applied all that was committed when it asked, with leadership confirmed since.</summary>
internal interface IReadWaiter
{
    /// <summary>Nothing before this index must be missing either; 0 if nothing else is needed.</summary>
    StoredIndex AtLeast { get; }

    /// <summary>False: leadership was lost, or there is no leader. Ask again, but not from inside this call.</summary>
    void OnRead(bool ok);

    /// <summary>Answers those of its callers who waited long enough.</summary>
    void GiveUp(long nowMs);
}

/// <summary>Reads that wait for their index to be confirmed, and then to be applied here. One thread.</summary>
/// <param name="patienceTicks">
/// After so many ticks an unconfirmed read has failed: a message of it was lost. Twice the shortest election timeout, in which
/// the leader would have answered or been replaced.
/// </param>
internal sealed class PendingReads(int patienceTicks)
{
    /// <summary>Reads that wait at once; more fail at once. As many as appends may be queued.</summary>
    private const int Most = 65_536;

    private readonly Dictionary<ulong, (IReadWaiter Waiter, long Tick)> _unconfirmed = [];
    private readonly List<(ulong Index, IReadWaiter Waiter)> _unapplied = [];
    private ulong _last;
    private long _ticks;

    /// <summary>The number to ask the core with; 0: too many wait, the waiter was told no.</summary>
    public ulong Add(IReadWaiter waiter)
    {
        if (_unconfirmed.Count + _unapplied.Count >= Most)
        {
            waiter.OnRead(ok: false);
            return 0;
        }

        _unconfirmed.Add(++_last, (waiter, _ticks));
        return _last;
    }

    /// <summary>The core has decided a read; one that failed before is forgotten.</summary>
    public void Decide(in ReadResult read)
    {
        if (!_unconfirmed.Remove(read.Id, out var pending))
        {
            return;
        }

        if (read.Ok)
        {
            _unapplied.Add((Math.Max(read.Index.Value, pending.Waiter.AtLeast.Value), pending.Waiter));
        }
        else
        {
            pending.Waiter.OnRead(ok: false);
        }
    }

    /// <summary>Answers what is applied.</summary>
    public void Applied(ulong commitIndex)
    {
        for (var i = _unapplied.Count - 1; i >= 0; i--)
        {
            var (index, waiter) = _unapplied[i];
            if (commitIndex >= index)
            {
                _unapplied.RemoveAt(i);
                waiter.OnRead(ok: true);
            }
        }
    }

    /// <summary>A tick passed: what was lost on its way fails.</summary>
    public void Tick()
    {
        _ticks++;
        if (_unconfirmed.Count > 0)
        {
            Fail(pending => _ticks - pending.Tick > patienceTicks);
        }
    }

    /// <summary>What they rest on, behind this index, was cut off the log; the index may come back with something else.</summary>
    public void FailBehind(ulong last)
    {
        Fail(pending => pending.Waiter.AtLeast.Value > last);
        foreach (var (_, waiter) in _unapplied.FindAll(read => read.Waiter.AtLeast.Value > last))
        {
            waiter.OnRead(ok: false);
        }

        _unapplied.RemoveAll(read => read.Waiter.AtLeast.Value > last);
    }

    /// <summary>The node stops.</summary>
    public void FailAll()
    {
        Fail(static _ => true);
        _unapplied.ForEach(static read => read.Waiter.OnRead(ok: false));
        _unapplied.Clear();
    }

    /// <summary>Answers callers who waited long enough.</summary>
    public void GiveUp(long nowMs)
    {
        foreach (var (waiter, _) in _unconfirmed.Values)
        {
            waiter.GiveUp(nowMs);
        }

        foreach (var (_, waiter) in _unapplied)
        {
            waiter.GiveUp(nowMs);
        }
    }

    private void Fail(Predicate<(IReadWaiter Waiter, long Tick)> which)
    {
        foreach (var (id, pending) in _unconfirmed.Where(read => which(read.Value)).ToList())
        {
            _unconfirmed.Remove(id);
            pending.Waiter.OnRead(ok: false);
        }
    }
}
