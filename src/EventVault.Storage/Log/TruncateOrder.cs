namespace EventVault.Storage.Log;

/// <summary>
/// Tells the writer to take an uncommitted suffix off the disk. Made by <see cref="LogTail.Truncate"/>, which has taken it out
/// of everything in memory already; carried out by <see cref="SegmentedLog.Truncate"/>, behind the groups handed over before.
/// </summary>
public sealed class TruncateOrder
{
    internal TruncateOrder(LogEnd kept, uint oldEnd, Term term)
    {
        Invariant.Check(oldEnd >= kept.Place.Offset && kept.Term < term);
        Kept = kept;
        OldEnd = oldEnd;
        Term = term;
    }

    /// <summary>Index of the last group that is kept.</summary>
    public LogIndex Last => Kept.Index;

    /// <summary>Term of the leader that wants it so: the groups that are taken out are all of earlier ones.</summary>
    public Term Term { get; }

    internal LogEnd Kept { get; }

    /// <summary>Where groups ended in the kept end's segment before.</summary>
    internal uint OldEnd { get; }
}
