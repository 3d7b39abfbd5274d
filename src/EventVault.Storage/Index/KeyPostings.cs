using System.Buffers.Binary;

namespace EventVault.Storage.Index;

/// <summary>
/// The events of one sealed segment that have a key: their ordinals, ascending. Any of them is found without reading the
/// others. Valid as long as the <see cref="SealedKeys"/> it came from; allocates nothing.
/// </summary>
/// <remarks>Every method may throw <see cref="IndexDamageException"/>: what it reads is checked when it is first read.</remarks>
internal readonly struct KeyPostings
{
    private readonly SealedKeys? _keys; // null: the only one is LastOrdinal
    private readonly long _packed; // offset of the packed ordinals, or of a long list's chunk table
    private readonly long _end; // of the lists

    /// <summary>A single posting.</summary>
    public KeyPostings(uint ordinal)
    {
        Count = 1;
        LastOrdinal = ordinal;
    }

    /// <summary>A list, whose bounds are checked here.</summary>
    /// <param name="keys">Whose it is.</param>
    /// <param name="packed">Offset behind its count.</param>
    /// <param name="end">Offset of the lists' end.</param>
    /// <param name="count">At least 2.</param>
    public KeyPostings(SealedKeys keys, long packed, long end, int count)
    {
        Invariant.Check(count >= 2);
        _keys = keys;
        _packed = packed;
        _end = end - SealedKeysFormat.ListsEndBytes;
        Count = count;
        long length = IsLong ? (long)Chunks * SealedKeysFormat.ChunkEntryLength : SealedKeysFormat.PackedLength(count, keys.OrdinalWidth);
        keys.Require(length <= _end - packed, packed, $"{count} postings in a list that ends at {_end}");
        LastOrdinal = this[count - 1];
    }

    /// <summary>How many events have the key; 0: this was never found.</summary>
    public int Count { get; }

    /// <summary>The newest one's ordinal.</summary>
    public uint LastOrdinal { get; }

    /// <summary>Offset behind the list. Not for single ones.</summary>
    internal long End
    {
        get
        {
            Invariant.Check(_keys is not null);
            return IsLong
                ? ChunkAt(Chunks - 1, out _, out int width, out int count) + SealedKeysFormat.PackedLength(count, width)
                : _packed + SealedKeysFormat.PackedLength(Count, _keys.OrdinalWidth);
        }
    }

    private bool IsLong => Count > SealedKeysFormat.ChunkPostings;

    private int Chunks => (Count + SealedKeysFormat.ChunkPostings - 1) / SealedKeysFormat.ChunkPostings;

    /// <summary>Ordinal of one of them, by number.</summary>
    public uint this[int i]
    {
        get
        {
            Invariant.Check((uint)i < (uint)Count);
            if (_keys is null)
            {
                return LastOrdinal;
            }

            ReadOnlySpan<byte> packed = Chunk(i / SealedKeysFormat.ChunkPostings, out uint first, out int width, out _);
            return Checked(first, SealedKeysFormat.Unpack(packed, width, i % SealedKeysFormat.ChunkPostings));
        }
    }

    /// <summary>How many of them are below an ordinal; so many come before the first one that is not.</summary>
    public int CountBelow(uint ordinal)
    {
        if (_keys is null || ordinal > LastOrdinal)
        {
            return Count > 0 && ordinal > LastOrdinal ? Count : 0;
        }

        int chunk = IsLong ? LastChunkFrom(ordinal) : 0;
        if (chunk < 0)
        {
            return 0;
        }

        ReadOnlySpan<byte> packed = Chunk(chunk, out uint first, out int width, out int high);
        int low = 0;
        while (low < high)
        {
            int middle = (low + high) >> 1;
            (low, high) = Checked(first, SealedKeysFormat.Unpack(packed, width, middle)) < ordinal ? (middle + 1, high) : (low, middle);
        }

        int below = (chunk * SealedKeysFormat.ChunkPostings) + low;
        _keys.Require(below < Count, _packed, $"{below} postings below {ordinal}, but the last one is {LastOrdinal}");
        return below;
    }

    /// <summary>Whether the event with this ordinal has the key.</summary>
    public bool Contains(uint ordinal)
    {
        if (Count == 0 || ordinal >= LastOrdinal)
        {
            return Count > 0 && ordinal == LastOrdinal;
        }

        return _keys is not null && this[CountBelow(ordinal)] == ordinal;
    }

    /// <summary>A page upwards: the ordinals from <paramref name="from"/> on, ascending; returns how many.</summary>
    public int Ascending(uint from, Span<uint> into)
    {
        int first = CountBelow(from);
        int count = Math.Min(into.Length, Count - first);
        Copy(first, into[..count]);
        return count;
    }

    /// <summary>A page downwards: the ordinals from <paramref name="from"/> on, descending; returns how many.</summary>
    public int Descending(uint from, Span<uint> into)
    {
        int behind = from == uint.MaxValue ? Count : CountBelow(from + 1);
        int count = Math.Min(into.Length, behind);
        Copy(behind - count, into[..count]);
        into[..count].Reverse();
        return count;
    }

    /// <summary>Fills the span with those from number <paramref name="first"/> on, ascending; there must be so many.</summary>
    public void Copy(int first, Span<uint> into)
    {
        Invariant.Check(first >= 0 && first + into.Length <= Count);
        if (_keys is null)
        {
            into.Fill(LastOrdinal);
            return;
        }

        while (!into.IsEmpty)
        {
            ReadOnlySpan<byte> packed = Chunk(first / SealedKeysFormat.ChunkPostings, out uint start, out int width, out int count);
            int from = first % SealedKeysFormat.ChunkPostings;
            count = Math.Min(count - from, into.Length);
            for (int i = 0; i < count; i++)
            {
                into[i] = Checked(start, SealedKeysFormat.Unpack(packed, width, from + i));
            }

            first += count;
            into = into[count..];
        }
    }

    // The last chunk that begins at or before an ordinal; −1 if none does.
    private int LastChunkFrom(uint ordinal)
    {
        int low = 0;
        int high = Chunks;
        while (low < high)
        {
            int middle = (low + high) >> 1;
            uint first = BinaryPrimitives.ReadUInt32LittleEndian(
                _keys!.Bytes(_packed + ((long)middle * SealedKeysFormat.ChunkEntryLength), sizeof(uint)));
            (low, high) = first <= ordinal ? (middle + 1, high) : (low, middle);
        }

        return low - 1;
    }

    // Packed ordinals, with 8 bytes behind them. A short list is one chunk.
    private ReadOnlySpan<byte> Chunk(int chunk, out uint first, out int width, out int count)
    {
        if (!IsLong)
        {
            (first, width, count) = (0, _keys!.OrdinalWidth, Count);
            return _keys.Bytes(_packed, SealedKeysFormat.PackedLength(count, width) + SealedKeysFormat.ListsEndBytes);
        }

        long offset = ChunkAt(chunk, out first, out width, out count);
        return _keys!.Bytes(offset, SealedKeysFormat.PackedLength(count, width) + SealedKeysFormat.ListsEndBytes);
    }

    private long ChunkAt(int chunk, out uint first, out int width, out int count)
    {
        long at = _packed + ((long)chunk * SealedKeysFormat.ChunkEntryLength);
        ReadOnlySpan<byte> entry = _keys!.Bytes(at, SealedKeysFormat.ChunkEntryLength);
        first = BinaryPrimitives.ReadUInt32LittleEndian(entry);
        uint from = BinaryPrimitives.ReadUInt32LittleEndian(entry[4..]);
        width = entry[8];
        count = Math.Min(SealedKeysFormat.ChunkPostings, Count - (chunk * SealedKeysFormat.ChunkPostings));
        long offset = _packed + ((long)Chunks * SealedKeysFormat.ChunkEntryLength) + from;
        _keys.Require(
            width <= _keys.OrdinalWidth && offset + SealedKeysFormat.PackedLength(count, width) <= _end,
            at,
            $"a chunk of {count} postings of {width} bits at {offset}, expected before {_end}");
        return offset;
    }

    // An ordinal that the segment does not have is never handed out.
    private uint Checked(uint first, uint number)
    {
        ulong ordinal = (ulong)first + number;
        _keys!.Require(ordinal < (uint)_keys.Segment.Events, _packed, $"ordinal {ordinal} of {_keys.Segment.Events}");
        return (uint)ordinal;
    }
}
