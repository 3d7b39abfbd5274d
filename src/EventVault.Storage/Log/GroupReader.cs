// Reads whole groups by their log index, for sending them. The sequencer's thread only: it looks at what is pending.
//
// A committed group is found by the nearest mark at or before it, from which headers are walked. Followers that catch up
// ask for group after group, so the place behind the last one is remembered.
using EventVault.Storage.Index;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Log;

/// <summary>Reads groups by log index. One thread.</summary>
internal sealed class GroupReader(VaultStorage storage)
{
    // Group and place that the last walk came to, in a segment that may be sealed meanwhile: its bytes stay. A truncation
    // changes only what is pending, which is not read here.
    private LogIndex _nearIndex;
    private Place _near;

    public void Read(LogIndex from, LogIndex until, int most, long mostBytes, List<StoredGroup> into)
    {
        Invariant.Check(from.Value > 0 && from <= storage.Tail.LastIndex && most > 0);
        until = until < storage.Tail.LastIndex ? until : storage.Tail.LastIndex;
        var bytes = 0L;
        var isFirst = true;
        for (var index = from; index <= until && most > 0; index = new LogIndex(index.Value + 1), most--)
        {
            var group = index > storage.CommitIndex ? Pending(index) : Committed(index);
            bytes += group.Length;
            if (!isFirst && bytes > mostBytes)
            {
                return;
            }

            isFirst = false;
            into.Add(group);
        }
    }

    public byte[] Read(LogIndex index)
    {
        Invariant.Check(index.Value > 0 && index <= storage.Tail.LastIndex);
        byte[] bytes;
        if (index > storage.CommitIndex)
        {
            var group = storage.Pending.Find(index);
            bytes = group.Group[..group.Length].ToArray();
        }
        else
        {
            using var lease = Find(index, out var offset, out var header);
            bytes = lease.Reader.ReadBytes(offset, header.TotalLength).ToArray();
        }

        // The writer may be putting this node's part in right now; nobody else has a use for it.
        bytes.AsSpan(GroupHeader.SharedLength, GroupHeader.Length - GroupHeader.SharedLength).Clear();
        return bytes;
    }

    private StoredGroup Pending(LogIndex index)
    {
        var group = storage.Pending.Find(index);
        ReadOnlySpan<byte> content = default;
        if (group.Kind != GroupKind.Appends)
        {
            Invariant.Check(SystemRecord.TryDecode(group.Group[GroupHeader.Length..group.Length], storage.Meta.ChecksumSeed, out _, out content));
        }

        return new StoredGroup(group.Index, group.Term, group.Kind, group.Length, group.OpensSegment, content.IsEmpty ? [] : content.ToArray());
    }

    private StoredGroup Committed(LogIndex index)
    {
        using var lease = Find(index, out var offset, out var header);
        if (!header.IsSystem)
        {
            return StoredGroup.Of(header, GroupKind.Appends, []);
        }

        var body = lease.Reader.ReadGroup(offset, out _);
        Invariant.Check(SystemRecord.TryDecode(body, storage.Meta.ChecksumSeed, out var kind, out var content));
        return StoredGroup.Of(header, kind, content);
    }

    // Walks to a committed group; the caller ends the lease.
    private SegmentLease Find(LogIndex index, out uint offset, out GroupHeader header)
    {
        var view = storage.View;
        var lease = Source(view, index, out var mark).Lease();
        var isNear = _near.Segment == lease.Reader.Segment && _nearIndex.Value > mark.LogIndex && _nearIndex <= index;
        offset = isNear ? _near.Offset : mark.Offset;
        var at = isNear ? _nearIndex : new LogIndex(mark.LogIndex);
        while (true)
        {
            header = lease.Reader.ReadHeader(offset);
            Invariant.Check(header.Index == at);
            (_nearIndex, _near) = (at, new Place(lease.Reader.Segment, offset));
            if (at == index)
            {
                return lease;
            }

            offset += (uint)header.TotalLength;
            at = new LogIndex(at.Value + 1);
        }
    }

    private SegmentSource Source(LogView view, LogIndex index, out SparseMark mark)
    {
        for (var i = view.Unsealed.Length - 1; i >= 0; i--)
        {
            var unsealed = view.Unsealed[i];
            if (unsealed.FirstIndex <= index)
            {
                Invariant.Check(unsealed.OwnIndex.TryMarkAtLogIndex(index, out mark));
                return new SegmentSource(unsealed);
            }
        }

        int low = 0, high = view.Sealed.Length - 1;
        while (low < high)
        {
            var middle = (low + high + 1) / 2;
            (low, high) = view.Sealed[middle].Record.FirstLogIndex <= index ? (middle, high) : (low, middle - 1);
        }

        var segment = view.Sealed[low];
        if (segment.Scavenged is not null)
        {
            throw new ScavengedGroupException(index, storage.FirstGroup);
        }

        Invariant.Check(segment.Index.TryMarkAtLogIndex(index.Value, out mark));
        return new SegmentSource(segment);
    }
}
