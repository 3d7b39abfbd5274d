// What walking the unsealed segments gives, in the order of the log: where it ends, what of it is proven to be committed,
// what is pending behind that, terms and memberships.
//
// Proven is what a leader noted as its commit index in a group that stands in this log (a group's chain says that its
// leader had the same groups before it), and what is sealed. All else stays pending: another leader may take it back.
using EventVault.Storage.Index;

namespace EventVault.Storage.Log;

/// <summary>Collects what recovery finds. One thread.</summary>
/// <param name="meta">The vault.</param>
/// <param name="lives">Has what the sealed segments say about streams; gets what the walked ones say.</param>
/// <param name="lastVersion">Last version of a stream before the segment that is walked, as <see cref="GroupAdopter"/> asks for it.</param>
internal sealed class RecoveredLog(VaultMeta meta, StreamLives lives, Func<UInt128, StreamVersion, StreamVersion> lastVersion)
{
    private readonly GroupAdopter _adopter = new(meta, lives, lastVersion);
    private readonly Stack<GroupBuffer> _free = new();
    private LogHistory? _history;

    /// <summary>Groups behind <see cref="Committed"/>. They have their bytes once <see cref="LoadPending"/> was called.</summary>
    public PendingGroups Pending { get; } = new();

    /// <summary>Where the committed groups end.</summary>
    public LogEnd Committed { get; private set; } = LogEnd.Empty;

    /// <summary>Groups up to this one are committed.</summary>
    public LogIndex Proven { get; private set; }

    /// <summary>Where the log ends.</summary>
    public LogEnd End { get; private set; } = LogEnd.Empty;

    /// <summary>A sealed segment that need not be walked.</summary>
    public void Skip(CatalogEntry record)
    {
        Invariant.Check(Pending.Count == 0);
        Committed = End = new LogEnd(
            new Place(record.Segment, record.EndOffset), record.LastGroupChecksum, record.LastLogIndex, record.LastPosition, record.LastTime, record.LastTerm);
        Prove(record.LastLogIndex);
    }

    /// <summary>The unsealed segment, whose groups are all committed and need not be walked.</summary>
    public void Resume(in LogEnd end)
    {
        Invariant.Check(Pending.Count == 0 && (End == LogEnd.Empty ? end.Place.Segment == 0 : end.Place.Segment == End.Place.Segment + 1 && end.Index > End.Index));
        Committed = End = end;
        Prove(end.Index);
    }

    /// <summary>What is sealed is done: from here on the groups go on with what it says about consensus.</summary>
    public void Follow(LogHistory history) => _history = history;

    /// <summary>The groups of this segment come next.</summary>
    public void Begin(uint segment)
    {
        Invariant.Check(segment == End.Place.Segment + 1 || End == LogEnd.Empty);
        End = End with { Place = new Place(segment, Blocks.Size) };
    }

    /// <summary>The next intact group.</summary>
    /// <param name="index">Index of its segment.</param>
    /// <param name="header">Its header.</param>
    /// <param name="checksum">The group's checksum.</param>
    /// <param name="body">Its body, valid during the call.</param>
    public void Add(ActiveIndex index, in GroupHeader header, uint checksum, ReadOnlySpan<byte> body)
    {
        Invariant.Check(header.Index.Value == End.Index.Value + 1 && header.Place == End.Place && header.LeaderCommit < header.Index);
        var group = _free.TryPop(out var free) ? free : new GroupBuffer();
        group.Clear();
        group.Target = index;
        _adopter.Adopt(group, header, checksum, body);
        End = group.End;
        Pending.Add(group);
        _history?.Add(header, body, meta.ChecksumSeed);
        Prove(header.LeaderCommit);
    }

    /// <summary>Groups up to this one are committed, those that are still to be walked included.</summary>
    public void Prove(LogIndex index)
    {
        Proven = index > Proven ? index : Proven;
        while (Pending.Count > 0 && Pending[0].Index <= Proven)
        {
            var group = Pending.TakeFirst();
            group.AddToIndex();
            lives.Commit(group);
            Committed = group.End;
            _free.Push(group);
        }
    }

    /// <summary>Reads the bytes of what is pending: they may have to be sent, and taken again after a truncation.</summary>
    public void LoadPending(IReadOnlyList<UnsealedSegment> segments)
    {
        Invariant.Check(Proven <= End.Index, "What is committed does not vanish.");
        for (var i = 0; i < Pending.Count; i++)
        {
            var group = Pending[i];
            var reader = segments[(int)(group.Place.Segment - segments[0].Number)].Reader;
            var (length, place) = (group.Length, group.Place.Offset);
            group.Length = 0;
            group.Reserve(length);
            group.Length = length;
            reader.ReadBytes(place, length).CopyTo(group.Group);
        }
    }

    /// <summary>Terms and memberships, as consensus wants them.</summary>
    public StoredRaft Raft() => _history!.AsOf(Committed.Index);
}
