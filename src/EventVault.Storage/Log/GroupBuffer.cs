using System.Runtime.InteropServices;
using EventVault.Storage.Index;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Log;

/// <summary>
/// A group on its way to the disk: its bytes, and what is needed to index it once it is committed. Filled by
/// <see cref="LogTail"/>, written by <see cref="SegmentedLog"/>, indexed by <see cref="VaultStorage.Commit"/>. May be used
/// again when the writer is done with it and it was committed or truncated; until then storage reads it, too.
/// </summary>
public sealed class GroupBuffer
{
    /// <summary>Room before the group for the bytes of the disk block in which it begins.</summary>
    internal const int Headroom = Blocks.Size;

    /// <summary>Bytes; holds the groups of a node with little to do. It doubles as needed.</summary>
    private const int FirstCapacity = 64 * 1024;

    /// <summary>A buffer that one huge append made larger than this is given back instead of kept.</summary>
    private const int KeptCapacity = 2 * VaultLimits.GroupBytes;

    private readonly List<LifeChange> _lives = [];
    private readonly List<RetentionChange> _retention = [];
    private (int Stream, int Offset)[] _events = new (int, int)[64];

    internal byte[] Bytes { get; private set; } = new byte[FirstCapacity];

    /// <summary>Bytes that it takes.</summary>
    public int Capacity => Bytes.Length;

    /// <summary>Whether it holds nothing.</summary>
    public bool IsEmpty => Length <= GroupHeader.Length;

    /// <summary>What it holds.</summary>
    public GroupKind Kind { get; internal set; }

    /// <summary>Raft term in which it was made.</summary>
    public Term Term { get; internal set; }

    /// <summary>Appends in it.</summary>
    public int Appends { get; internal set; }

    /// <summary>Events in it.</summary>
    public int Events { get; internal set; }

    /// <summary>Its index in the Raft log.</summary>
    public LogIndex Index { get; internal set; }

    /// <summary>Position of its first event.</summary>
    public Position FirstPosition { get; internal set; }

    /// <summary>Time of its first append, or of the system record.</summary>
    public long Time { get; internal set; }

    /// <summary>Bytes in the log, header and body.</summary>
    public int Length { get; internal set; }

    /// <summary>Whether the operation stands in this group.</summary>
    public bool Holds(OperationPlace place) => Place == place.Place;

    /// <summary>Whether it is pending: storage still looks at it.</summary>
    internal bool IsPending { get; set; }

    internal Place Place { get; set; }

    /// <summary>Whether it is the first one of its segment.</summary>
    internal bool OpensSegment => Place.Offset == Blocks.Size;

    internal uint Checksum { get; set; }

    internal ActiveIndex? Target { get; set; }

    /// <summary>Not null: the group opens a segment, in this prepared file.</summary>
    internal SpareSegment? Spare { get; set; }

    internal SegmentHeader NewSegment { get; set; }

    internal Span<byte> Group => Bytes.AsSpan(Headroom);

    /// <summary>Where the log ends if this is its last group.</summary>
    internal LogEnd End => new(
        Place with { Offset = Place.Offset + (uint)Length }, Checksum, Index, FirstPosition + (Events - 1), Time + Math.Max(1, Appends) - 1, Term);

    internal ReadOnlySpan<(int Stream, int Offset)> EventPlaces => _events.AsSpan(0, Events);

    /// <summary>What its events do to the lives of streams; nothing, for nearly every group.</summary>
    internal ReadOnlySpan<LifeChange> Lives => CollectionsMarshal.AsSpan(_lives);

    /// <summary>What its events say about scavenging; nothing, for nearly every group.</summary>
    internal ScavengeMark Scavenge { get; private set; } = ScavengeMark.None;

    /// <summary>What its events do to retention rules; as rare.</summary>
    internal ReadOnlySpan<RetentionChange> Retention => CollectionsMarshal.AsSpan(_retention);

    /// <summary>Makes it empty, for the next group.</summary>
    public void Clear()
    {
        Invariant.Check(Spare is null, "A prepared segment must not be dropped: it was taken from the reserve.");
        Invariant.Check(!IsPending, "It is used again only when it was committed or truncated.");
        Appends = 0;
        ClearEvents();
        Length = 0;
        Target = null;
        if (Bytes.Length > KeptCapacity)
        {
            Bytes = new byte[FirstCapacity];
        }
    }

    /// <summary>Makes room for so many bytes of group, and for padding to the end of the last block.</summary>
    internal void Reserve(int groupLength)
    {
        var needed = Headroom + groupLength + Blocks.Size;
        if (needed > Bytes.Length)
        {
            var bytes = new byte[Math.Max(needed, Math.Min(2 * Bytes.Length, KeptCapacity))];
            Bytes.AsSpan(0, Headroom + Length).CopyTo(bytes);
            Bytes = bytes;
        }
    }

    /// <summary>Tells its index that it is committed, with all its events. They show once the head is published.</summary>
    internal void AddToIndex()
    {
        var index = Target;
        Invariant.Check(index is not null && index.Segment == Place.Segment);
        index.AddGroup(Index, Term, Kind == GroupKind.Membership, Time, Place.Offset);
        foreach (var (stream, offset) in EventPlaces)
        {
            index.AddEvent(stream, Place.Offset + (uint)offset);
        }
    }

    /// <summary>Forgets where its events stand: they are looked up again for another index.</summary>
    internal void ClearEvents()
    {
        Events = 0;
        _lives.Clear();
        Scavenge = ScavengeMark.None;
        _retention.Clear();
    }

    internal void AddScavenge(ScavengeMark mark) => Scavenge = Scavenge.Join(mark);

    internal void AddLife(in LifeChange change) => _lives.Add(change);

    internal void AddRetention(RetentionChange change) => _retention.Add(change);

    internal void AddEvent(int stream, int offset)
    {
        if (Events == _events.Length)
        {
            Array.Resize(ref _events, Events * 2);
        }

        _events[Events++] = (stream, offset);
    }
}
