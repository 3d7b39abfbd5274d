// Turns a full segment into a sealed one: footer, index file, key file, catalog, heads, operations, state; then readers switch
// over and the memory of its index is given back. Each step can be done again: a crash anywhere leaves a segment that
// is sealed anew, or whose missing parts are redone, at the next start. A disk that is full is looked for beforehand; one that
// others fill meanwhile leaves a step that waits, and is done again once there is room.
using System.Buffers;
using System.Runtime.InteropServices;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage;

/// <summary>Seals segments. One background thread.</summary>
internal sealed class Sealer(VaultStorage storage, Catalog catalog, HeadsFile heads, OperationsFiles operations, StateTable state) : IDisposable
{
    private const long UsualKeyBytes = 64; // For each event; measured: 39 at 6 keys each.

    /// <summary>Behind a refusal that the look at the room did not foresee; some 6 s.</summary>
    private const int MostStepsToSkip = 128;

    /// <summary>Room without which a step is not even tried. Bytes.</summary>
    private const long LeastRoom = 1024 * 1024;

    private volatile bool _blocked;
    private long _room;
    private (uint Segment, long Bytes) _keysLength; // Of the key file made last: known only when its keys were counted.
    private Applying? _applying; // The segment that has its files, while the others still have to learn of it.
    private int _refusals; // In a row.
    private int _stepsToSkip;

    /// <summary>Behind which position operation ids are kept.</summary>
    public OperationFloor Floor { get; } = new(storage, catalog, operations);

    /// <summary>Whether the disk is too full to seal.</summary>
    public bool IsBlocked => _blocked;

    /// <summary>
    /// Room on the disk that sealing found it needs when it looked last; what scavenging leaves free covers it. Bytes. For every
    /// thread.
    /// </summary>
    public long Room => Volatile.Read(ref _room);

    /// <summary>Seals the oldest segment if all of it is committed; false if there is none.</summary>
    public bool Step()
    {
        // The next segment must have a committed group on the disk: then it can't be gone after a crash or a truncation, and
        // this one never be the last again. The commit index first: in a view as old as that, a segment that was truncated
        // since could pass for one that other groups made committed elsewhere.
        var committed = storage.CommitIndex;
        var view = storage.View;
        if (view.Unsealed.Length < 2 || view.Unsealed[1].FirstIndex > committed)
        {
            return false;
        }

        if (_stepsToSkip > 0)
        {
            _stepsToSkip--;
            return false;
        }

        lock (storage.RoomLock)
        {
            var sealedIt = TrySeal(view);
            _blocked = !sealedIt;
            return sealedIt;
        }
    }

    /// <summary>Seals a segment all of whose groups are committed and indexed, while no one reads yet.</summary>
    /// <param name="segment">The segment; every older one is sealed.</param>
    /// <param name="lastIndex">Index of its last group.</param>
    /// <param name="view">Has the older ones.</param>
    public SealedSegment Seal(UnsealedSegment segment, LogIndex lastIndex, LogView view)
    {
        var written = WriteFiles(segment, lastIndex, view, out var headsChanged, out var history);
        Apply(written, headsChanged, segment.OwnIndex, history);
        return written;
    }

    /// <summary>What index and keys of a segment like this one take, about. Bytes.</summary>
    public static long UsualRoom(in CatalogEntry record) => record.Index.LengthBytes + (UsualKeyBytes * record.EventCount);

    public void Dispose()
    {
        catalog.Dispose();
    }

    public static string LogPath(VaultStorage storage, uint segment) =>
        Path.Combine(storage.LogDirectory, SegmentHeader.FileName(segment));

    public static string IndexPath(VaultStorage storage, uint segment) =>
        Path.Combine(storage.IndexDirectory, $"{segment:D20}.ix");

    public static string KeysPath(VaultStorage storage, uint segment) =>
        Path.ChangeExtension(IndexPath(storage, segment), SealedKeysFormat.Extension);

    /// <summary>
    /// Index file of a segment. That of a scavenged one has the scavenge's point in its name: until the segment's file is
    /// replaced, there are two.
    /// </summary>
    public static string IndexPath(VaultStorage storage, uint segment, ScavengedHeader? scavenged) =>
        scavenged is null ? IndexPath(storage, segment) : Path.ChangeExtension(IndexPath(storage, segment), $"{scavenged.Point}.ix");

    /// <summary>A sealed segment by what its header says of a scavenge.</summary>
    public static SealedSegment Open(VaultStorage storage, in CatalogEntry record, ScavengedHeader? scavenged) => new(
        storage.Files, LogPath(storage, record.Segment), IndexPath(storage, record.Segment, scavenged), record, storage.Meta, opened: null, scavenged);

    /// <summary>Makes the key file of a sealed segment again: it was lost, or damaged, or the vault is of a version without.</summary>
    /// <exception cref="DamageException">The segment is damaged.</exception>
    public static void WriteKeys(VaultStorage storage, SealedSegment segment)
    {
        var content = CollectKeys(storage, segment, out var shape);
        SealedKeys.Write(storage.Files, segment.KeysPath, segment.Keyed, content, shape);
    }

    /// <summary>The content of the key file of a sealed segment.</summary>
    /// <param name="storage">Whose.</param>
    /// <param name="segment">The segment.</param>
    /// <param name="shape">Tells how long the file will be.</param>
    /// <exception cref="DamageException">The segment is damaged.</exception>
    public static SealedKeysContent CollectKeys(VaultStorage storage, SealedSegment segment, out SealedKeysShape shape)
    {
        using var lease = new SegmentSource(segment).Lease();
        var content = segment.Scavenged is { } scavenged
            ? ScavengedSegment.CollectKeys(lease.Reader, scavenged, segment.FirstPosition, storage.Meta)
            : SegmentKeys.Collect(lease.Reader, segment.FirstPosition, segment.Record.LastLogIndex, storage.Meta);
        shape = SealedKeys.Measure(content, (int)segment.Record.EventCount);
        return content;
    }

    /// <summary>A sealed segment's footer; null if it is damaged, or its file is gone.</summary>
    public static SegmentFooter? ReadFooter(VaultStorage storage, uint segment)
    {
        var block = new byte[Blocks.Size];
        try
        {
            using var file = storage.Files.OpenFile(LogPath(storage, segment), FileOpening.ReadExisting);
            if (file.Length < 2 * Blocks.Size)
            {
                return null;
            }

            file.ReadFromDisk(file.Length - Blocks.Size, block); // A scavenged segment's file is shorter.
        }
        catch (DiskException e) when (e.IsAbsence)
        {
            return null;
        }

        return SegmentFooter.Decode(block, storage.Meta.ChecksumSeed) is { } footer && footer.Segment == segment ? footer : null;
    }

    public static CatalogEntry Record(in SegmentFooter footer, SealedIndexMark index) => new()
    {
        Segment = footer.Segment,
        EventCount = (uint)footer.Events,
        FirstPosition = footer.FirstPosition,
        FirstLogIndex = footer.FirstIndex,
        LastLogIndex = footer.LastIndex,
        FirstTerm = footer.FirstTerm,
        LastTerm = footer.LastTerm,
        FirstTime = footer.FirstTime,
        LastTime = footer.LastTime,
        EndOffset = footer.End,
        LastGroupChecksum = footer.LastGroup,
        Digest = footer.Digest,
        Index = index,
    };

    // False: the disk is too full.
    private bool TrySeal(LogView view)
    {
        // Room first: what is begun without it has to be done again, and a start that finds it half done can't wait for room.
        var segment = view.Unsealed[0];
        var roomForOthers = RoomForOthers(segment.OwnIndex);
        Volatile.Write(ref _room, (_applying is null ? RoomForIndexes(segment.OwnIndex) : 0) + roomForOthers);

        // What was refused before has part of its room already, nobody knows how much: trying shows it.
        if (storage.FreeBytes < (_applying is null ? Room : LeastRoom))
        {
            return false;
        }

        try
        {
            if (_applying is null)
            {
                var written = WriteFiles(segment, view.Unsealed[1].IndexBefore, view, out var headsChanged, out var history);
                if (storage.FreeBytes < roomForOthers)
                {
                    return false; // The key file took more than was thought; the next time it is known.
                }

                storage.BeginMove(written);
                _applying = new Applying(written, headsChanged, history);
            }

            Apply(_applying.Written, _applying.Heads, segment.OwnIndex, _applying.History);
            storage.MoveToSealed(_applying.Written);
            _applying = null;
            _refusals = 0;
            return true;
        }
        catch (DiskException e) when (e.IsRefusal || (e.IsFull && IsIndexOrKeys(Path.GetFileName(e.Path))))
        {
            // Somebody took the room behind the look at it, or it is one that the look can't see: a quota, or the number of files.
            _stepsToSkip = Math.Min(1 << _refusals, MostStepsToSkip);
            _refusals = Math.Min(_refusals + 1, 30);
            return false;
        }
    }

    private SealedSegment WriteFiles(
        UnsealedSegment segment, LogIndex lastIndex, LogView view, out KeyValuePair<UInt128, StreamHead>[] headsChanged, out LogHistory? history)
    {
        var number = segment.Number;
        history = number == state.AppliedThrough + 1 ? LogHistory.From(state) : null;
        Invariant.Check(history is not null || number <= state.AppliedThrough);
        var footer = MakeFooter(segment, lastIndex, history);
        WriteFooter(footer);
        history?.Lives.Add(segment, storage.Meta.SipKey);
        var indexPath = IndexPath(storage, number);
        (var mark, headsChanged) = WriteIndex(segment, view, indexPath);
        var record = Record(footer, mark);
        using var keys = new SealedKeysContent(segment.OwnIndex.Keys);
        var shape = SealedKeys.Measure(keys, (int)record.EventCount);
        _keysLength = (number, shape.FileLength);
        SealedKeys.Write(storage.Files, KeysPath(storage, number), KeyedSegment.Of(record, scavenged: null), keys, shape);
        return new SealedSegment(storage.Files, LogPath(storage, number), indexPath, record, storage.Meta, segment.Reader);
    }

    // Each of them knows what it has already: a segment whose index file alone was lost changes nothing here, and what a full disk
    // refused can be done again.
    private void Apply(SealedSegment written, KeyValuePair<UInt128, StreamHead>[] headsChanged, ActiveIndex index, LogHistory? history)
    {
        var segment = written.Record.Segment;
        Invariant.Check(segment == index.Segment);
        if (catalog.Count == (int)segment)
        {
            catalog.Append(written.Record);
        }

        heads.Apply(segment, headsChanged);
        if (operations.AppliedThrough < segment)
        {
            ApplyOperations(segment, index.OperationCount, i =>
            {
                var (id, offset) = index.Operation(i);
                return new OperationEntry(id, new Place(segment, offset));
            });
        }

        if (history is not null)
        {
            state.Rewrite(segment, history.Values());
        }
    }

    /// <summary>
    /// Goes on with the filter over the operations files, if there is something to do and room that nobody needs; false if not. Nobody waits for it:
    /// without it look-ups of operation ids take longer, no more.
    /// </summary>
    public bool StepFilter()
    {
        var bytes = operations.FilterBytes;
        if (bytes == 0 || _applying is not null)
        {
            return false;
        }

        lock (storage.RoomLock)
        {
            return storage.CanSpare(bytes) && operations.StepFilter();
        }
    }

    // What the index file takes, and the key file as far as can be told before the keys are counted: events of many tags
    // take more, so what is left is looked at again when it is written.
    private long RoomForIndexes(ActiveIndex index)
    {
        var keyBytes = _keysLength.Segment == index.Segment ? _keysLength.Bytes : 0;
        return (16L * index.EventCount) + (80L * index.StreamCount) + Math.Max(keyBytes, UsualKeyBytes * index.EventCount);
    }

    /// <summary>Adds a sealed segment's appends to the operations files, if they don't have them.</summary>
    public void ApplyOperations(uint segment, int count, Func<int, OperationEntry> entry)
    {
        if (operations.AppliedThrough < segment)
        {
            Floor.Advance(segment, count);
            operations.Apply(segment, count, entry);
            Invariant.Check(Floor.Covers, "The floor rises before operation ids are forgotten.");
        }
    }

    // At most what heads and operations grow by if they have yet to, and what the state table takes beside the one that it replaces.
    private long RoomForOthers(ActiveIndex index)
    {
        const long MostOperationBytes = 64L * 1024 * 1024; // Two files, all of their blocks.
        var operationBytes = operations.AppliedThrough < index.Segment ? Math.Min(4096L * index.OperationCount, MostOperationBytes) : 0;
        var headBytes = heads.AppliedThrough < index.Segment ? heads.GrowthBytes(Enumerable.Range(0, index.StreamCount).Select(index.StreamKeyOf)) : 0;
        var stateBytes = ((long)LifeHistory.EntryLength * storage.Lives.Count) + RetentionValue.Length(storage.Retention);
        return operationBytes + headBytes + stateBytes + LeastRoom;
    }

    // Files that can be written anew as often as need be.
    private static bool IsIndexOrKeys(string name) =>
        name.Contains(".ix", StringComparison.Ordinal) || name.Contains(SealedKeysFormat.Extension, StringComparison.Ordinal);

    // The groups are read back and checked once more: what is sealed was seen whole after it was written. The same pass tells
    // the state table what the groups say about consensus, unless it has the segment already.
    private SegmentFooter MakeFooter(UnsealedSegment segment, LogIndex lastIndex, LogHistory? history)
    {
        var digest = new SipHash128(storage.Meta.SipKey);
        Span<byte> shared = stackalloc byte[GroupHeader.Length];
        GroupHeader first = default, last = default;
        long appends = 0;
        uint checksum = 0;
        uint membership = 0;
        var offset = (uint)Blocks.Size;
        do
        {
            var body = segment.Reader.ReadGroup(offset, out last);
            first = offset == Blocks.Size ? last : first;
            history?.Add(last, body, storage.Meta.ChecksumSeed);
            if (last.IsSystem && SystemRecord.TryDecode(body, storage.Meta.ChecksumSeed, out var kind, out _) && kind == GroupKind.Membership)
            {
                membership = offset;
            }

            checksum = last.EncodeShared(shared, storage.Meta.ChecksumSeed);
            digest.Append(shared[..GroupHeader.SharedLength]);
            appends += last.Appends;
            offset += (uint)last.TotalLength;
        }
        while (last.Index != lastIndex);

        Invariant.Check(appends == segment.OwnIndex.OperationCount);
        var events = last.FirstPosition.Value + last.Events - first.FirstPosition.Value;
        Invariant.Check(events == segment.OwnIndex.EventCount);
        return new SegmentFooter(
            segment.Number, offset, checksum, first.Index, last.Index, first.Term, last.Term, first.FirstPosition, events,
            appends, first.Time, last.LastTime, digest.Finish(), membership);
    }

    private void WriteFooter(in SegmentFooter footer)
    {
        var block = new byte[Blocks.Size];
        footer.Encode(block, storage.Meta.ChecksumSeed);
        using var file = storage.Files.OpenFile(LogPath(storage, footer.Segment), FileOpening.Existing);
        file.Write(storage.Meta.SegmentSizeBytes - Blocks.Size, block);
        file.Flush();
    }

    private (SealedIndexMark Mark, KeyValuePair<UInt128, StreamHead>[] Heads) WriteIndex(UnsealedSegment segment, LogView view, string path)
    {
        var index = segment.OwnIndex;
        var (keys, order) = StreamsByKey(index);
        var streams = order.Length;
        var runs = new StreamRun[streams];
        var ordinals = ArrayPool<uint>.Shared.Rent(index.EventCount);
        var headsChanged = new KeyValuePair<UInt128, StreamHead>[streams];
        var fresh = new List<(byte[] Name, uint Entry)>();
        var filled = 0;
        for (var entry = 0; entry < streams; entry++)
        {
            var stream = order[entry];
            var (first, count) = index.Run(stream, index.EventCount, out var newest);
            Invariant.Check(count > 0 && first.Value + count - 1 == index.Tail(stream));
            index.CopyOrdinals(newest, 0, ordinals.AsSpan(filled, count));
            var before = HeadBefore(keys[entry], index.Segment, view);
            Invariant.Check(before.LastVersion == first.Value - 1);
            var after = StreamChain.Next(
                before, index.Segment, (uint)entry, first.Value + count - 1, index.FirstPosition.Value + newest, node => view.Sealed[node.Segment].Index.Run((int)node.Entry).Jump);
            runs[entry] = new StreamRun
            {
                Key = keys[entry],
                FirstVersion = first.Value,
                Count = count,
                FirstOrdinalIndex = filled,
                Previous = before.Latest,
                Jump = after.Jump,
                Flags = first.Value == 0 ? StreamRun.NewStream : 0,
            };
            headsChanged[entry] = new(keys[entry], after);
            if (first.Value == 0)
            {
                var ordinal = ordinals[filled];
                fresh.Add((segment.Reader.Read(index.OffsetOf((int)ordinal), index.FirstPosition + ordinal).Stream.ToArray(), (uint)entry));
            }

            filled += count;
        }

        Invariant.Check(filled == index.EventCount);
        fresh.Sort(static (a, b) => a.Name.AsSpan().SequenceCompareTo(b.Name));
        var offsets = ArrayPool<uint>.Shared.Rent(filled);
        for (var i = 0; i < filled; i++)
        {
            offsets[i] = index.OffsetOf(i) >> 3;
        }

        var mark = SealedIndex.Write(storage.Files, path, new SealedIndexContent
        {
            Segment = index.Segment,
            FirstPosition = index.FirstPosition,
            Events = filled,
            Offsets = offsets.AsSpan(0, filled),
            Streams = runs,
            Ordinals = ordinals.AsSpan(0, filled),
            Marks = CollectionsMarshal.AsSpan(index.Marks),
            NewStreamsByName = fresh.ConvertAll(f => f.Entry).ToArray(),
        });

        // Not behind a failure: then the collector has them.
        ArrayPool<uint>.Shared.Return(ordinals);
        ArrayPool<uint>.Shared.Return(offsets);
        return (mark, headsChanged);
    }

    // A stream without committed events here can't be: the segment is committed whole.
    private static (UInt128[] Keys, int[] Numbers) StreamsByKey(ActiveIndex index)
    {
        var numbers = new int[index.StreamCount];
        var keys = new UInt128[numbers.Length];
        for (var i = 0; i < numbers.Length; i++)
        {
            numbers[i] = i;
            keys[i] = index.StreamKeyOf(i);
        }

        Array.Sort(keys, numbers);
        return (keys, numbers);
    }

    private StreamHead HeadBefore(UInt128 key, uint segment, LogView view)
    {
        if (view.Sealed.Length == 0 || !heads.TryGet(key, out var head))
        {
            return StreamHead.None;
        }

        // Recovery asked the heads for nothing that their catalog vouches for: that they know no more than it shows here.
        return head.Latest.Segment < segment
            ? head
            : throw new IndexDamageException(StorageOpening.HeadsPathOf(storage), 0, $"a stream's head in segment {head.Latest.Segment}, while segment {segment} is sealed");
    }

    private sealed record Applying(SealedSegment Written, KeyValuePair<UInt128, StreamHead>[] Heads, LogHistory? History);
}
