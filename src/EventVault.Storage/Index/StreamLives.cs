// Which streams were deleted or truncated: the effect of the events of the stream `$streams`, in memory. Rebuildable:
// start takes it from the state table as of the last sealed segment, and from the groups behind that.
//
// Committed changes are published before the head that covers them, so whoever sees the head sees the change; readers
// look up without locks. Pending changes are the sequencer's alone: appends are checked against them, nobody reads by them.
//
// An event behind the newest change is always visible: a change never reaches further than the versions before it. So
// the tail of the log costs a comparison, and a vault in which nothing was ever deleted a load.
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Index;

/// <summary>The lives of all streams that are not whole.</summary>
/// <param name="key">The vault's, for names.</param>
internal sealed class StreamLives(SipKey key)
{
    private readonly KeyTable _streams = new();
    private readonly BlockList<long> _lives = new();
    private readonly Dictionary<UInt128, (StreamLife Life, LogIndex Group)> _pending = [];
    private long _lastChange = Position.None.Value;
    private ScavengeMark _scavenge = ScavengeMark.None;

    /// <summary>The vault's key, for names.</summary>
    public SipKey Key => key;

    /// <summary>How long streams are kept: the effect of the same stream's other events, committed and taken back with these.</summary>
    public StreamRetention Retention { get; } = new();

    /// <summary>Whether no event was ever made invisible by what is committed. For every thread, as are those below.</summary>
    public bool IsEmpty => LastChange == Position.None;

    /// <summary>Position of the newest committed change: all events behind it are visible.</summary>
    public Position LastChange => new(Volatile.Read(ref _lastChange));

    /// <summary>The newest committed scavenge.</summary>
    public ScavengeMark Scavenge => Volatile.Read(ref _scavenge);

    /// <summary>Streams that have a committed change.</summary>
    public int Count => _streams.Count;

    /// <summary>The key of one of them; they keep their numbers, 0 up to the count.</summary>
    public UInt128 StreamAt(int number) => _streams[number];

    /// <summary>A stream's life as far as it is committed.</summary>
    public StreamLife Of(UInt128 stream)
    {
        if (IsEmpty)
        {
            return default;
        }

        var number = _streams.Find(stream);
        return number < 0 ? default : StreamLife.Unpack(Volatile.Read(ref _lives[number]));
    }

    /// <summary>Whether an event can be read, by what is committed. The vault's own always can.</summary>
    public bool IsVisible(in EventView e) =>
        e.Position.Value > Volatile.Read(ref _lastChange) || e.IsSystem || e.Version >= Of(StreamKey.Compute(e.Stream, key)).FirstVisible;

    // ---- the sequencer's side; while the vault is opened, recovery's ----

    /// <summary>A stream's life with pending changes.</summary>
    public StreamLife OfTail(UInt128 stream) =>
        _pending.Count > 0 && _pending.TryGetValue(stream, out var pending) ? pending.Life : Of(stream);

    /// <summary>Whether an event, pending or not, will be readable once all that is pending is committed.</summary>
    public bool IsVisibleAtTail(in EventView e)
    {
        if (_pending.Count == 0)
        {
            return IsVisible(e);
        }

        return e.IsSystem || e.Version >= OfTail(StreamKey.Compute(e.Stream, key)).FirstVisible;
    }

    /// <summary>
    /// Takes the change that an event makes, if it makes one, together with its group; false if it makes none to a stream.
    /// </summary>
    public bool Add(GroupBuffer group, in EventView e, out LifeChange change)
    {
        if (ScavengeEvent.TryRead(e, out var scavenge))
        {
            group.AddScavenge(scavenge);
        }

        if (!StreamLifeEvent.TryRead(e, key, out change))
        {
            return false;
        }

        group.AddLife(change);
        _pending[change.Stream] = (OfTail(change.Stream).Join(change.Life), group.Index);
        return true;
    }

    /// <summary>The group is committed: readers see its changes from now on. The head is published behind this.</summary>
    public void Commit(GroupBuffer group)
    {
        if (group.Scavenge != ScavengeMark.None)
        {
            SetScavenge(Scavenge.Join(group.Scavenge));
        }

        foreach (var change in group.Lives)
        {
            Set(change);
        }

        foreach (var change in group.Lives)
        {
            if (_pending.TryGetValue(change.Stream, out var pending) && pending.Group <= group.Index)
            {
                Invariant.Check(pending.Life == Of(change.Stream), "What is committed is what was pending.");
                _pending.Remove(change.Stream);
            }
        }

        Retention.Commit(group);
    }

    /// <summary>The newest committed scavenge from now on.</summary>
    public void SetScavenge(ScavengeMark mark)
    {
        Invariant.Check(mark.Point >= Scavenge.Point && mark.Floor >= Scavenge.Floor);
        Volatile.Write(ref _scavenge, mark);
    }

    /// <summary>Pending groups are taken back; those that stay are added again.</summary>
    public void ForgetPending()
    {
        _pending.Clear();
        Retention.ForgetPending();
    }

    /// <summary>A committed change, or all of a stream's at once.</summary>
    public void Set(in LifeChange change)
    {
        Invariant.Check(change.Life.FirstVisible.Value >= 0 && change.At > Position.None);
        var number = _streams.Find(change.Stream);
        var before = number < 0 ? default : StreamLife.Unpack(_lives[number]);
        var life = before.Join(change.Life);
        if (life == before)
        {
            return; // It hides nothing more, so what is known of the events before it stays as good as it was.
        }

        if (number < 0)
        {
            _lives.Add() = life.Pack();
            number = _streams.Add(change.Stream);
        }
        else
        {
            Volatile.Write(ref _lives[number], life.Pack());
        }

        Invariant.Check(number < _lives.Count && _streams.Count == _lives.Count);
        if (change.At > LastChange)
        {
            Volatile.Write(ref _lastChange, change.At.Value);
        }
    }
}
