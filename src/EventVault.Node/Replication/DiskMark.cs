// What a disk has shown of itself, by which an older copy of it is known: all three only rise as long as nobody puts an old copy in its
// place. The argument stands in decision 0015.
namespace EventVault.Node.Replication;

/// <summary>How far a disk is.</summary>
/// <param name="Term">Its term, durable.</param>
/// <param name="Held">Entries up to here are durable, and those of the leader of <paramref name="Term"/>: it can't be shorter in this term.</param>
/// <param name="Committed">Entries up to here are durable and committed: it can't be shorter in any term.</param>
internal readonly record struct DiskMark(ulong Term, ulong Held, ulong Committed)
{
    /// <summary>What is known when both are.</summary>
    public DiskMark With(in DiskMark other) => new(
        Math.Max(Term, other.Term),
        Term == other.Term ? Math.Max(Held, other.Held) : Term > other.Term ? Held : other.Held,
        Math.Max(Committed, other.Committed));

    /// <summary>Why a disk that was opened with this term and this last entry has not shown this mark before; null: it may have.</summary>
    public string? WhyOlder(ulong term, ulong last) =>
        term < Term ? $"it is in term {term}, and was seen in term {Term}"
        : last < Committed ? $"its log ends with group {last}, and it was seen with {Committed} committed groups"
        : term == Term && last < Held ? $"its log ends with group {last}, and in the same term it acknowledged group {Held}"
        : null;
}
