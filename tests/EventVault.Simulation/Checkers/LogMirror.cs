namespace EventVault.Simulation.Checkers;

/// <summary>A replica's log as it was when last looked at: finds what changed without looking at all of it.</summary>
internal sealed class LogMirror
{
    private readonly List<LogMark> _marks = [];
    private readonly List<(ulong Index, VoterSets Voters)> _memberships = [];

    public ulong LastIndex => (ulong)_marks.Count;

    /// <summary>The newest membership in the log, and where it stands; null: there is none.</summary>
    public (ulong Index, VoterSets Voters)? Membership => _memberships.Count > 0 ? _memberships[^1] : null;

    public LogMark Mark(ulong index) => index == 0 ? default : _marks[(int)index - 1];

    /// <summary>Whether the end of the log is as it was. A replaced entry has another term.</summary>
    public bool IsCurrent(IReplicaView view) => view.LastIndex == LastIndex && (LastIndex == 0 || view.LastTerm == _marks[^1].Term);

    /// <summary>The membership at index 0, which stands in no entry.</summary>
    public void Begin(VoterSets voters) => _memberships.Insert(0, (0, voters));

    /// <summary>Takes over what changed.</summary>
    /// <returns>The last entry that is as it was.</returns>
    public ulong Update(IReplicaView view, Action<ulong, LogMark> added)
    {
        var kept = Math.Min(LastIndex, view.LastIndex);
        while (kept > 0 && view.EntryAt(kept).Mark != Mark(kept))
        {
            kept--;
        }

        _marks.RemoveRange((int)kept, _marks.Count - (int)kept);
        _memberships.RemoveAll(m => m.Index > kept);
        for (var index = kept + 1; index <= view.LastIndex; index++)
        {
            var entry = view.EntryAt(index);
            added(index, entry.Mark);
            _marks.Add(entry.Mark);
            if (entry.Voters is { } voters)
            {
                _memberships.Add((index, voters));
            }
        }

        return kept;
    }

    /// <summary>The membership that counted at an index.</summary>
    public VoterSets VotersAt(ulong index)
    {
        var found = _memberships.FindLastIndex(m => m.Index <= index);
        return found < 0 ? VoterSets.None : _memberships[found].Voters;
    }

    /// <summary>Index of the newest joint membership at or before an index; 0 if there is none.</summary>
    public ulong JointAt(ulong index)
    {
        var found = _memberships.FindLastIndex(m => m.Index <= index && m.Voters.IsJoint);
        return found < 0 ? 0 : _memberships[found].Index;
    }
}
