using EventVault.Storage.Index;

namespace EventVault.Storage.Log;

/// <summary>A segment whose index is in memory.</summary>
internal sealed record UnsealedSegment(ActiveIndex Index, SegmentReader Reader)
{
    /// <summary>Index of the last group before this segment.</summary>
    public LogIndex IndexBefore => new(Index.FirstIndex.Value - 1);
}

/// <summary>
/// Which segments there are, at one moment. Immutable: a reader takes it once per page and keeps what it holds alive
/// by leases. Read after the commit position, it covers all that is committed.
/// </summary>
/// <param name="Sealed">By segment number, from 0.</param>
/// <param name="Unsealed">Those behind them, oldest first; the last one is being written.</param>
/// <param name="Heads">Covers exactly the sealed segments, or more of those that are unsealed here.</param>
internal sealed record LogView(SealedSegment[] Sealed, UnsealedSegment[] Unsealed, HeadsFile Heads)
{
    /// <summary>The stream's last version in the sealed segments.</summary>
    public StreamVersion SealedVersion(UInt128 key) =>
        Sealed.Length > 0 && Heads.TryGet(key, out var head) ? new StreamVersion(head.LastVersion) : StreamVersion.None;

    /// <summary>The sealed run that holds a version; the segment is null if there is none.</summary>
    public (SealedSegment? Segment, int Entry) FindSealedRun(UInt128 key, StreamVersion version)
    {
        if (Sealed.Length == 0 || !Heads.TryGet(key, out var head) || head.LastVersion < version.Value)
        {
            return default;
        }

        var node = StreamChain.Find(head.Latest, version.Value, ReadNode, out _);
        return node.Exists ? (Sealed[node.Segment], (int)node.Entry) : default;
    }

    /// <summary>Number of the sealed segment that holds a position.</summary>
    public int SealedSegmentOf(Position position)
    {
        int low = 0, high = Sealed.Length - 1;
        while (low < high)
        {
            var middle = (low + high + 1) / 2;
            (low, high) = Sealed[middle].FirstPosition <= position ? (middle, high) : (low, middle - 1);
        }

        return low;
    }

    private ChainView ReadNode(ChainNode node)
    {
        var run = Sealed[node.Segment].Index.Run((int)node.Entry);
        return new ChainView(run.FirstVersion, run.FirstVersion + run.Count - 1, run.Previous, run.Jump);
    }
}
