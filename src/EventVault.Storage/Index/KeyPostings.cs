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
    private readonly long _packed; // offset of the packed ordinals, or of a long list's stretch table
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
        long length = IsLong ? (long)Stretches * SealedKeysFormat.StretchEntryLength : SealedKeysFormat.PackedLength(count, keys.OrdinalWidth);
        if (length > _end - packed)
        {
            throw keys.Damage(packed, $"{count} postings in a list that ends before {_end}");
        }

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
                ? StretchAt(Stretches - 1, out _, out int width, out int count) + SealedKeysFormat.PackedLength(count, width)
                : _packed + SealedKeysFormat.PackedLength(Count, _keys.OrdinalWidth);
        }
    }

    private bool IsLong => Count > SealedKeysFormat.StretchPostings;

    private int Stretches => (Count + SealedKeysFormat.StretchPostings - 1) / SealedKeysFormat.StretchPostings;

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

            ReadOnlySpan<byte> packed = Stretch(i / SealedKeysFormat.StretchPostings, out uint first, out int width, out _);
            uint number = SealedKeysFormat.Unpack(packed, width, i % SealedKeysFormat.StretchPostings);
            GC.KeepAlive(_keys);
            return Checked(first, number);
        }
    }

    /// <summary>How many of them are below an ordinal; so many come before the first one that is not.</summary>
    public int CountBelow(uint ordinal)
    {
        if (_keys is null || ordinal > LastOrdinal)
        {
            return Count > 0 && ordinal > LastOrdinal ? Count : 0;
        }

        int stretch = IsLong ? LastStretchFrom(ordinal) : 0;
        if (stretch < 0)
        {
            return 0;
        }

        ReadOnlySpan<byte> packed = Stretch(stretch, out uint first, out int width, out int high);
        int low = 0;
        while (low < high)
        {
            int middle = (low + high) >> 1;
            (low, high) = Checked(first, SealedKeysFormat.Unpack(packed, width, middle)) < ordinal ? (middle + 1, high) : (low, middle);
        }

        GC.KeepAlive(_keys);
        int below = (stretch * SealedKeysFormat.StretchPostings) + low;
        return below < Count ? below : throw _keys.Damage(_packed, $"{below} postings below {ordinal}, but the last one is {LastOrdinal}");
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
            ReadOnlySpan<byte> packed = Stretch(first / SealedKeysFormat.StretchPostings, out uint start, out int width, out int count);
            int from = first % SealedKeysFormat.StretchPostings;
            count = Math.Min(count - from, into.Length);
            Unpack(packed, start, width, from, into[..count]);

            first += count;
            into = into[count..];
        }

        GC.KeepAlive(_keys);
    }

    // The last stretch that begins at or before an ordinal; −1 if none does.
    private int LastStretchFrom(uint ordinal)
    {
        int low = 0;
        int high = Stretches;
        while (low < high)
        {
            int middle = (low + high) >> 1;
            uint first = BinaryPrimitives.ReadUInt32LittleEndian(
                _keys!.Bytes(_packed + ((long)middle * SealedKeysFormat.StretchEntryLength), sizeof(uint)));
            (low, high) = first <= ordinal ? (middle + 1, high) : (low, middle);
        }

        GC.KeepAlive(_keys);
        return low - 1;
    }

    // Packed ordinals, with 8 bytes behind them. A short list is one stretch.
    private ReadOnlySpan<byte> Stretch(int stretch, out uint first, out int width, out int count)
    {
        if (!IsLong)
        {
            (first, width, count) = (0, _keys!.OrdinalWidth, Count);
            return _keys.Bytes(_packed, SealedKeysFormat.PackedLength(count, width) + SealedKeysFormat.ListsEndBytes);
        }

        long offset = StretchAt(stretch, out first, out width, out count);
        return _keys!.Bytes(offset, SealedKeysFormat.PackedLength(count, width) + SealedKeysFormat.ListsEndBytes);
    }

    private long StretchAt(int stretch, out uint first, out int width, out int count)
    {
        long at = _packed + ((long)stretch * SealedKeysFormat.StretchEntryLength);
        ReadOnlySpan<byte> entry = _keys!.Bytes(at, SealedKeysFormat.StretchEntryLength);
        first = BinaryPrimitives.ReadUInt32LittleEndian(entry);
        uint from = BinaryPrimitives.ReadUInt32LittleEndian(entry[4..]);
        width = entry[8];
        GC.KeepAlive(_keys);
        count = Math.Min(SealedKeysFormat.StretchPostings, Count - (stretch * SealedKeysFormat.StretchPostings));
        long offset = _packed + ((long)Stretches * SealedKeysFormat.StretchEntryLength) + from;
        return width <= _keys.OrdinalWidth && offset + SealedKeysFormat.PackedLength(count, width) <= _end
            ? offset
            : throw _keys.Damage(at, $"a stretch of {count} postings of {width} bits at {offset}, expected before {_end}");
    }

    // What the indexer does, for many: Checked is spread out, because pages of long lists are what scans are made of.
    private void Unpack(ReadOnlySpan<byte> packed, uint start, int width, int from, Span<uint> into)
    {
        ulong events = (uint)_keys!.EventCount;
        ulong mask = (1UL << width) - 1;
        int bit = from * width;
        for (int i = 0; i < into.Length; i++, bit += width)
        {
            ulong ordinal = start + ((BinaryPrimitives.ReadUInt64LittleEndian(packed[(bit >> 3)..]) >> (bit & 7)) & mask);
            into[i] = ordinal < events ? (uint)ordinal : throw _keys.Damage(_packed, $"ordinal {ordinal} of {events}");
        }
    }

    // An ordinal that the segment does not have is never handed out.
    private uint Checked(uint first, uint number)
    {
        ulong ordinal = (ulong)first + number;
        return ordinal < (uint)_keys!.EventCount ? (uint)ordinal : throw _keys.Damage(_packed, $"ordinal {ordinal} of {_keys.EventCount}");
    }
}
