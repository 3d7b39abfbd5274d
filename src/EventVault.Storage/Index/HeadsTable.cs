using System.Diagnostics.CodeAnalysis;
using EventVault.Storage.Io;

namespace EventVault.Storage.Index;

/// <summary>One shard of the heads file as its writer sees it: linear probing over 64-byte slots.</summary>
internal readonly struct HeadsTable(string path, BlockWriter writer, MappedFile map, long offset, int log2Slots)
{
    // How many streams ahead their blocks are asked for: a cold block takes 35 µs to come, many at a time hardly more.
    private const int PrefetchAhead = 128;

    private readonly uint _mask = (1u << log2Slots) - 1;

    /// <summary>The slot where the search for a key begins. The bits below the shard's, so that key order is slot order.</summary>
    public static uint HomeOf(UInt128 key, int log2Slots) => (uint)(key >> (120 - log2Slots)) & ((1u << log2Slots) - 1);

    /// <summary>How many of these streams the shard's count does not contain yet, those of an interrupted Apply included.</summary>
    public int CountNew(ReadOnlySpan<KeyValuePair<UInt128, StreamHead>> sorted, uint segment)
    {
        Span<byte> slot = stackalloc byte[HeadSlot.Length];
        int added = 0;
        foreach ((UInt128 key, _) in sorted)
        {
            Search(key, slot);
            added += IsNew(slot, segment) ? 1 : 0;
        }

        return added;
    }

    /// <summary>Updates or inserts all of them, in key order; returns how many are new.</summary>
    public int Put(ReadOnlySpan<KeyValuePair<UInt128, StreamHead>> sorted, uint segment)
    {
        Span<byte> slot = stackalloc byte[HeadSlot.Length];
        int added = 0;
        int prefetched = 0;
        for (int i = 0; i < sorted.Length; i++)
        {
            if (i >= prefetched - (PrefetchAhead / 2))
            {
                prefetched = Prefetch(sorted, prefetched, i + PrefetchAhead);
            }

            (UInt128 key, StreamHead head) = (sorted[i].Key, sorted[i].Value);
            long at = Search(key, slot);
            added += IsNew(slot, segment) ? 1 : 0;
            CheckContinues(slot, at, head);
            HeadSlot.Write(slot, key, head);
            HeadSlot.Seal(slot, at);
            writer.Write(at, slot);
        }

        return added;
    }

    /// <summary>
    /// Fills <paramref name="image"/>, zeros so far, with this shard's streams and the given ones, as a larger shard
    /// at <paramref name="newOffset"/>; returns how many of the given are new.
    /// </summary>
    public int CopyTo(
        Span<byte> image, long newOffset, int newLog2, ReadOnlySpan<KeyValuePair<UInt128, StreamHead>> sorted, uint segment)
    {
        Invariant.Check(image.Length == HeadSlot.Length << newLog2);
        Span<byte> slot = stackalloc byte[HeadSlot.Length];
        int added = 0;
        foreach ((UInt128 key, StreamHead head) in sorted)
        {
            long at = Search(key, slot);
            added += IsNew(slot, segment) ? 1 : 0;
            CheckContinues(slot, at, head);
        }

        for (uint number = 0; number <= _mask; number++)
        {
            Read(offset + ((long)number * HeadSlot.Length), slot);
            if (!HeadSlot.IsEmpty(slot))
            {
                slot.CopyTo(Place(image, newLog2, HeadSlot.Key(slot)));
            }
        }

        foreach ((UInt128 key, StreamHead head) in sorted)
        {
            HeadSlot.Write(Place(image, newLog2, key), key, head);
        }

        for (int at = 0; at < image.Length; at += HeadSlot.Length)
        {
            HeadSlot.Seal(image.Slice(at, HeadSlot.Length), newOffset + at);
        }

        return added;
    }

    [DoesNotReturn]
    public static void ThrowDamaged(string path, ReadOnlySpan<byte> slot, long offset) => throw new IndexDamageException(
        path, offset, $"slot checksum {HeadSlot.StoredChecksum(slot):X8}, expected {HeadSlot.ComputeChecksum(slot, offset):X8}");

    /// <summary>The key's slot in an image, or the empty one it will take. An image is never full.</summary>
    private static Span<byte> Place(Span<byte> image, int log2, UInt128 key)
    {
        int mask = (1 << log2) - 1;
        int number = (int)HomeOf(key, log2);
        while (true)
        {
            Span<byte> slot = image.Slice(number * HeadSlot.Length, HeadSlot.Length);
            if (HeadSlot.IsEmpty(slot) || HeadSlot.Key(slot) == key)
            {
                return slot;
            }

            number = (number + 1) & mask;
        }
    }

    /// <summary>Offset of the key's slot, or of the empty one where it belongs; its bytes in <paramref name="slot"/>.</summary>
    private long Search(UInt128 key, Span<byte> slot)
    {
        uint number = HomeOf(key, log2Slots);
        for (uint probes = 0; probes <= _mask; probes++, number = (number + 1) & _mask)
        {
            long at = offset + ((long)number * HeadSlot.Length);
            Read(at, slot);
            if (HeadSlot.IsEmpty(slot) || HeadSlot.Key(slot) == key)
            {
                return at;
            }
        }

        throw new IndexDamageException(path, offset, "a shard without an empty slot");
    }

    private void Read(long at, Span<byte> slot)
    {
        writer.Read(map, at, slot);
        if (!HeadSlot.IsWhole(slot, at))
        {
            ThrowDamaged(path, slot, at);
        }
    }

    /// <summary>Empty, or put here by an earlier try at the same segment: its chain then begins there.</summary>
    private static bool IsNew(ReadOnlySpan<byte> slot, uint segment)
    {
        if (HeadSlot.IsEmpty(slot))
        {
            return true;
        }

        ChainNode latest = HeadSlot.Read(slot).Latest;
        return latest.Depth == 1 && latest.Segment == segment;
    }

    /// <summary>A head must follow the one it replaces, or repeat it (redo): anything else means this file is not of this log.</summary>
    private void CheckContinues(ReadOnlySpan<byte> slot, long at, in StreamHead head)
    {
        StreamHead before = HeadSlot.IsEmpty(slot) ? StreamHead.None : HeadSlot.Read(slot);
        bool continues = head.Latest.Depth == before.Latest.Depth + 1 && head.LastVersion > before.LastVersion;
        if (!continues && head != before)
        {
            throw new IndexDamageException(
                path,
                at,
                $"stream with {before.Latest.Depth} runs up to version {before.LastVersion}, which segment {head.Latest.Segment} does not continue (run {head.Latest.Depth}, up to version {head.LastVersion})");
        }
    }

    private int Prefetch(ReadOnlySpan<KeyValuePair<UInt128, StreamHead>> sorted, int from, int until)
    {
        until = Math.Min(until, sorted.Length);
        long last = -1;
        for (int i = from; i < until; i++)
        {
            long at = offset + ((long)HomeOf(sorted[i].Key, log2Slots) * HeadSlot.Length);
            long block = at - (at % BlockWriter.BlockBytes);
            if (block != last)
            {
                map.Prefetch(block, BlockWriter.BlockBytes);
                last = block;
            }
        }

        return Math.Max(from, until);
    }
}
