// The groups behind the commit index, oldest first. The sequencer's thread only.
using System.Numerics;

namespace EventVault.Storage.Log;

/// <summary>Groups that stand in the log's tail and are not committed.</summary>
internal sealed class PendingGroups
{
    // A ring, its length a power of 2. Its bound is the leader's bound for uncommitted bytes; storage keeps what it is given.
    private GroupBuffer?[] _groups = new GroupBuffer?[16];
    private int _first;

    public int Count { get; private set; }

    /// <summary>By age: 0 is the oldest one.</summary>
    public GroupBuffer this[int i] => _groups[(_first + i) & (_groups.Length - 1)]!;

    /// <summary>The group with this index, which is pending.</summary>
    public GroupBuffer Find(LogIndex index)
    {
        var i = index.Value - this[0].Index.Value;
        Invariant.Check(i < (ulong)Count);
        return this[(int)i];
    }

    /// <summary>The group that holds a pending event.</summary>
    public GroupBuffer Find(Position position)
    {
        int low = 0, high = Count - 1;
        while (low < high)
        {
            var middle = (low + high + 1) / 2;
            (low, high) = this[middle].FirstPosition <= position ? (middle, high) : (low, middle - 1);
        }

        Invariant.Check(Count > 0 && this[low].FirstPosition <= position);
        return this[low];
    }

    public void Add(GroupBuffer group)
    {
        Invariant.Check(!group.IsPending && (Count == 0 || group.Index.Value == this[Count - 1].Index.Value + 1));
        group.IsPending = true;
        if (Count == _groups.Length)
        {
            Grow();
        }

        _groups[(_first + Count) & (_groups.Length - 1)] = group;
        Count++;
    }

    public GroupBuffer TakeFirst()
    {
        Invariant.Check(Count > 0);
        var group = this[0];
        group.IsPending = false;
        _groups[_first] = null;
        _first = (_first + 1) & (_groups.Length - 1);
        Count--;
        return group;
    }

    public void DropLast()
    {
        Invariant.Check(Count > 0);
        this[Count - 1].IsPending = false;
        Count--;
        _groups[(_first + Count) & (_groups.Length - 1)] = null;
    }

    private void Grow()
    {
        Invariant.Check(BitOperations.IsPow2(_groups.Length));
        var groups = new GroupBuffer?[_groups.Length * 2];
        for (var i = 0; i < Count; i++)
        {
            groups[i] = this[i];
        }

        (_groups, _first) = (groups, 0);
    }
}
