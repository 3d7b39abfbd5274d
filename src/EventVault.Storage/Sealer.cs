// Turns a full segment into a sealed one: footer, index file, catalog, heads, operations, state; then readers switch
// over and the memory of its index is given back. Each step can be done again: a crash anywhere leaves a segment that
// is sealed anew, or whose missing parts are redone, at the next start.
using System.Runtime.InteropServices;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage;

/// <summary>Seals segments. One background thread.</summary>
internal sealed class Sealer(VaultStorage storage, Catalog catalog, HeadsFile heads, OperationsFiles operations, StateTable state) : IDisposable
{
    private volatile bool _blocked;

    /// <summary>Whether the disk is too full to seal.</summary>
    public bool IsBlocked => _blocked;

    /// <summary>Seals the oldest segment if all of it is committed; false if there is none.</summary>
    public bool Step()
    {
        var view = storage.View;
        if (view.Unsealed.Length < 2 || view.Unsealed[1].Index.FirstIndex.Value > storage.CommitIndex.Value + 1)
        {
            return false;
        }

        try
        {
            storage.MoveToSealed(Seal(view.Unsealed[0], view.Unsealed[0].LastIndexBefore(view.Unsealed[1]), view));
            _blocked = false;
            return true;
        }
        catch (DiskException e) when (e.IsFull)
        {
            _blocked = true;
            return false;
        }
    }

    /// <summary>Seals a segment all of whose groups are committed and indexed.</summary>
    /// <param name="segment">The segment; every older one is sealed.</param>
    /// <param name="lastIndex">Index of its last group.</param>
    /// <param name="view">Has the older ones.</param>
    public SealedSegment Seal(UnsealedSegment segment, LogIndex lastIndex, LogView view)
    {
        var index = segment.Index;
        var footer = MakeFooter(segment, lastIndex);
        WriteFooter(footer);
        var indexPath = IndexPath(storage, index.Segment);
        var (mark, headsChanged) = WriteIndex(segment, view, indexPath);
        var record = Record(footer, mark);
        if (catalog.Count == (int)index.Segment)
        {
            catalog.Append(record);
        }

        if (heads.AppliedThrough < index.Segment)
        {
            heads.Apply(index.Segment, headsChanged);
        }

        if (operations.AppliedThrough < index.Segment)
        {
            ApplyOperations(index);
        }

        state.Write(index.Segment, []);
        return new SealedSegment(storage.Files, LogPath(storage, index.Segment), indexPath, record, storage.Meta, segment.Reader);
    }

    public void Dispose()
    {
        catalog.Dispose();
        state.Dispose();
    }

    public static string LogPath(VaultStorage storage, uint segment) =>
        Path.Combine(storage.LogDirectory, SegmentHeader.FileName(segment));

    public static string IndexPath(VaultStorage storage, uint segment) =>
        Path.Combine(storage.IndexDirectory, $"{segment:D20}.ix");

    public static CatalogRecord Record(in SegmentFooter footer, SealedIndexMark index) => new()
    {
        Segment = footer.Segment,
        FirstPosition = footer.FirstPosition,
        EventCount = (int)footer.Events,
        FirstIndex = footer.FirstIndex,
        LastIndex = footer.LastIndex,
        FirstTerm = footer.FirstTerm,
        LastTerm = footer.LastTerm,
        FirstTime = footer.FirstTime,
        LastTime = footer.LastTime,
        EndOffset = footer.End,
        LastGroupChecksum = footer.LastGroup,
        Digest = footer.Digest,
        AppendCount = footer.Appends,
        IndexLengthBytes = index.LengthBytes,
        IndexChecksum = index.Checksum,
    };

    // The groups are read back and checked once more: what is sealed was seen whole after it was written.
    private SegmentFooter MakeFooter(UnsealedSegment segment, LogIndex lastIndex)
    {
        var digest = new SipHash128(storage.Meta.SipKey);
        Span<byte> shared = stackalloc byte[GroupHeader.Length];
        GroupHeader first = default, last = default;
        long appends = 0;
        uint checksum = 0;
        var offset = (uint)Blocks.Size;
        do
        {
            segment.Reader.ReadGroup(offset, out last);
            first = first.Appends == 0 ? last : first;
            checksum = last.EncodeShared(shared, storage.Meta.ChecksumSeed);
            digest.Append(shared[..GroupHeader.SharedLength]);
            appends += last.Appends;
            offset += (uint)last.TotalLength;
        }
        while (last.Index != lastIndex);

        Invariant.Check( appends == segment.Index.OperationCount);
        var events = last.FirstPosition.Value + last.Events - first.FirstPosition.Value;
        Invariant.Check(events == segment.Index.EventCount);
        return new SegmentFooter(
            segment.Index.Segment, offset, checksum, first.Index, last.Index, first.Term, last.Term, first.FirstPosition, events,
            appends, first.Time, last.Time + last.Appends - 1, digest.Finish());
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
        var index = segment.Index;
        var order = new int[index.StreamCount];
        var keys = new UInt128[order.Length];
        var streams = 0;
        for (var i = 0; i < order.Length; i++)
        {
            // A stream without committed events here can't be: the segment is committed whole.
            order[streams] = i;
            keys[streams++] = index.StreamKeyOf(i);
        }

        Array.Sort(keys, order);
        var runs = new StreamRun[streams];
        var ordinals = new uint[index.EventCount];
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

        Invariant.Check(filled == ordinals.Length);
        fresh.Sort(static (a, b) => a.Name.AsSpan().SequenceCompareTo(b.Name));
        var offsets = new uint[index.EventCount];
        for (var i = 0; i < offsets.Length; i++)
        {
            offsets[i] = index.OffsetOf(i) >> 3;
        }

        var mark = SealedIndex.Write(storage.Files, path, new SealedIndexContent
        {
            Segment = index.Segment,
            FirstPosition = index.FirstPosition,
            Offsets = offsets,
            Streams = runs,
            Ordinals = ordinals,
            Marks = CollectionsMarshal.AsSpan(index.Marks),
            NewStreamsByName = fresh.ConvertAll(f => f.Entry).ToArray(),
        });
        return (mark, headsChanged);
    }

    // When a crash came between the heads file and the end of sealing, the heads already have this segment: then its
    // own old entry, not the one before, is what TryGet gives. Opening redoes the heads in that case.
    private StreamHead HeadBefore(UInt128 key, uint segment, LogView view)
    {
        if (view.Sealed.Length == 0 || !heads.TryGet(key, out var head))
        {
            return StreamHead.None;
        }

        Invariant.Check(head.Latest.Segment < segment);
        return head;
    }

    public static OperationEntry Operation(UInt128 id, Place group)
    {
        Span<byte> bytes = stackalloc byte[OperationEntry.IdLengthBytes];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt128BigEndian(bytes, id);
        return OperationEntry.Create(bytes, group);
    }

    private void ApplyOperations(ActiveIndex index)
    {
        var entries = new OperationEntry[index.OperationCount];
        for (var i = 0; i < entries.Length; i++)
        {
            var (id, offset) = index.Operation(i);
            entries[i] = Operation(id, new Place(index.Segment, offset));
        }

        operations.Apply(index.Segment, entries);
    }
}
