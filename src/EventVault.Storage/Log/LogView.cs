using EventVault.Storage.Index;

namespace EventVault.Storage.Log;

/// <summary>A segment whose index is in memory. Once it is sealed, and everybody has gone who had a lease on a view that has it, the index's memory serves another one.</summary>
internal sealed class UnsealedSegment(ActiveIndex index, SegmentReader reader)
{
    public uint Number => index.Segment;

    public Position FirstPosition => index.FirstPosition;

    public LogIndex FirstIndex => index.FirstIndex;

    /// <summary>Index of the last group before this segment.</summary>
    public LogIndex IndexBefore => new(index.FirstIndex.Value - 1);

    public SegmentReader Reader => reader;

    /// <summary>Its index for whoever needs no lease: the sequencer's thread, who seals it, and an open or a stop, beside which nobody else is.</summary>
    public ActiveIndex OwnIndex => index;

    /// <summary>Its index, as long as the lease lasts. For every thread.</summary>
    public ActiveIndex Index(in ViewLease lease)
    {
        Invariant.Check(lease.View is not null);
        return index;
    }
}

/// <summary>
/// Which segments there are, at one moment. Immutable: a reader takes it once per page and keeps what it holds alive
/// by leases, of which one on the view itself is for the indexes of unsealed segments. Read after the commit position, it
/// covers all that is committed.
/// </summary>
/// <param name="Sealed">By segment number, from 0.</param>
/// <param name="Unsealed">Those behind them, oldest first; the last one is being written.</param>
/// <param name="Heads">Covers the sealed segments; newer ones, too, in a view that is not the newest any more.</param>
/// <param name="Sealing">
/// The oldest unsealed segment once its index file is written: the heads lead to it before it counts as sealed.
/// </param>
internal sealed record LogView(SealedSegment[] Sealed, UnsealedSegment[] Unsealed, HeadsFile Heads, SealedSegment? Sealing)
{
    /// <summary>The stream's last version in the sealed segments.</summary>
    public StreamVersion SealedVersion(UInt128 key) =>
        Sealed.Length > 0 && Heads.TryGet(key, out var head) ? new StreamVersion(head.LastVersion) : StreamVersion.None;

    /// <summary>
    /// The sealed run that holds a version. False if the stream's newest run is in a segment that was sealed after
    /// this view was taken: a newer view has it.
    /// </summary>
    public bool TryFindSealedRun(UInt128 key, StreamVersion version, out SealedSegment segment, out int entry)
    {
        var found = Heads.TryGet(key, out var head);
        Invariant.Check(found && head.LastVersion >= version.Value, "Only committed versions are asked for, and every one of them is indexed.");
        if (SegmentOf(head.Latest) is null)
        {
            (segment, entry) = (null!, -1);
            return false;
        }

        var node = StreamChain.Find(head.Latest, version.Value, this, static (view, at) => view.ReadNode(at), out _);
        Invariant.Check(node.Exists);
        (segment, entry) = (SegmentOf(node)!, (int)node.Entry);
        return true;
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
        var run = SegmentOf(node)!.Index.Run((int)node.Entry);
        return new ChainView(run.FirstVersion, run.FirstVersion + run.Count - 1, run.Previous, run.Jump);
    }

    private SealedSegment? SegmentOf(ChainNode node) =>
        node.Segment < Sealed.Length ? Sealed[node.Segment]
        : Sealing is not null && Sealing.Record.Segment == node.Segment ? Sealing
        : null;
}
