// The retention rules in memory, beside StreamLives and by the same rules: committed ones are published before the head
// that covers them, for every thread; pending ones are the sequencer's alone, so that a legal hold which is on its way
// already refuses a deletion behind it. Rebuildable, from the state table and the groups behind it.
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Index;

/// <summary>The retention rules of the vault.</summary>
internal sealed class StreamRetention
{
    private RetentionRules _committed = new();
    private RetentionRules? _tail; // Null: nothing is pending.
    private LogIndex _newestPending;

    /// <summary>The rules as far as they are committed; nobody changes them any more. For every thread.</summary>
    public RetentionRules Committed => Volatile.Read(ref _committed);

    // ---- the sequencer's side; while the vault is opened, recovery's ----

    /// <summary>The rules with pending changes.</summary>
    public RetentionRules Tail => _tail ?? _committed;

    /// <summary>Begins with what the state table says.</summary>
    public void Open(RetentionRules rules)
    {
        Invariant.Check(_committed.LastChange == Position.None && _tail is null);
        Volatile.Write(ref _committed, rules.Copy());
    }

    /// <summary>Takes the change that an event makes, if it makes one, together with its group; false if it makes none.</summary>
    public bool Add(GroupBuffer group, in EventView e)
    {
        if (!RetentionEvent.TryRead(e, out var change))
        {
            return false;
        }

        if (change!.At <= _committed.LastChange)
        {
            return true; // A sealed segment that is walked again because its index was lost: the state table had it.
        }

        Invariant.Check(_tail is null || group.Index >= _newestPending);
        group.AddRetention(change);
        if (change.Rule is { LegalHold: true })
        {
            group.AddScavenge(ScavengeMark.Hold(change.At));
        }

        _tail ??= _committed.Copy();
        _tail.Apply(change);
        _newestPending = group.Index;
        return true;
    }

    /// <summary>The group is committed: everybody sees its changes from now on. The head is published behind this.</summary>
    public void Commit(GroupBuffer group)
    {
        if (group.Retention.IsEmpty)
        {
            return;
        }

        // A copy for each such group: they are rare, and readers need no locks.
        var rules = _committed.Copy();
        foreach (var change in group.Retention)
        {
            rules.Apply(change);
        }

        Volatile.Write(ref _committed, rules);
        if (_newestPending <= group.Index)
        {
            Invariant.Check(_tail is { } tail && tail.LastChange == rules.LastChange && tail.Count == rules.Count, "What is committed is what was pending.");
            _tail = null;
        }
    }

    /// <summary>Pending groups are taken back; those that stay are added again.</summary>
    public void ForgetPending() => _tail = null;
}
