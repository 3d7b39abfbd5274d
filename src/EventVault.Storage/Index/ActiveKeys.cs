// The keys (EventKeys) of one unsealed segment, in memory: key → ordinals of its events, ascending. Rebuildable: filled
// from the segment's groups. The sequencer's thread adds, pending events included, because conditions are checked against
// them; anybody looks up meanwhile, without locks, and sees what was added before. Readers name how many events are
// committed and see no ordinal beyond.
//
// Most keys are those of single events: ids. Such a key costs its row (16 bytes) and its slot, nothing more. The ordinals
// of a key with several events stand in pieces of a common arena, linked from the newest back; each begins with
//
//   word 0   the piece before it
//   word 1   how many ordinals stand in the pieces before it
//
// and holds as many ordinals as all before it together, from 4 up to 1,022: a list of n has few links, or n / 1,022.
namespace EventVault.Storage.Index;

internal sealed class ActiveKeys
{
    /// <summary>Hash tables, by a key's high bits: one grows at a time, so that no append waits long while it does.</summary>
    private const int Tables = 256;

    private const int FirstSlots = 8;
    private const int BlockShift = 14; // 64 KiB: not a large object.
    private const int BlockWords = 1 << BlockShift;
    private const int HeaderWords = 2;

    /// <summary>Ordinals in a list's first piece: most lists are short.</summary>
    private const int FirstCapacity = 4;

    /// <summary>Ordinals in the pieces of long lists: with its header a piece is 4 KiB, and 16 of them fill a block.</summary>
    private const int MostCapacity = 1024 - HeaderWords;

    private readonly int[]?[] _slots = new int[]?[Tables]; // 0: empty, otherwise number of the row + 1.
    private readonly int[] _used = new int[Tables];
    private readonly BlockList<Row> _rows = new();
    private uint[][] _blocks = [new uint[BlockWords]];
    private uint _end;
    private int _slotCount;

    /// <summary>How many different keys there are, those of pending events included.</summary>
    public int Count => _rows.Count;

    /// <summary>Bytes it holds.</summary>
    public long Bytes => _rows.Bytes(Row.Length) + ((long)_blocks.Length * BlockWords * sizeof(uint)) + (sizeof(int) * (long)_slotCount);

    // ---- the sequencer's side ----

    /// <summary>Adds the keys of an event, the newest one so far.</summary>
    public void Add(ReadOnlySpan<ulong> keys, uint ordinal)
    {
        foreach (var key in keys)
        {
            Add(key, ordinal);
        }
    }

    /// <summary>The same keys, of the first <paramref name="events"/> events only. This one stays as it is: readers may hold it.</summary>
    public ActiveKeys Copy(int events)
    {
        var copy = new ActiveKeys();
        Span<uint> page = stackalloc uint[256];
        for (var i = 0; i < _rows.Count; i++)
        {
            var list = Postings(_rows[i]).Before((uint)events);
            for (var at = 0; at < list.Count; at += page.Length)
            {
                var some = page[..Math.Min(page.Length, list.Count - at)];
                list.Copy(at, some);
                foreach (var ordinal in some)
                {
                    copy.Add(_rows[i].Key, ordinal);
                }
            }
        }

        return copy;
    }

    // ---- the readers' side ----

    /// <summary>The events that have a key.</summary>
    /// <param name="key">The key.</param>
    /// <param name="events">How many events of the segment count: those that are committed, or all.</param>
    /// <param name="postings">Which they are.</param>
    /// <returns>False: there are none.</returns>
    public bool TryFind(ulong key, int events, out ActivePostings postings)
    {
        var slots = Volatile.Read(ref _slots[key >> 56]);
        if (slots is not null)
        {
            var mask = slots.Length - 1;
            for (var slot = (int)key & mask; Volatile.Read(ref slots[slot]) is > 0 and var number; slot = (slot + 1) & mask)
            {
                ref var row = ref _rows[number - 1];
                if (row.Key == key)
                {
                    postings = Postings(row).Before((uint)events);
                    return postings.Count > 0;
                }
            }
        }

        postings = default;
        return false;
    }

    /// <summary>A word of the arena. Pieces never move.</summary>
    internal ReadOnlySpan<uint> Piece(uint at, int length) => Volatile.Read(ref _blocks)[at >> BlockShift].AsSpan((int)at & (BlockWords - 1), HeaderWords + length);

    private ActivePostings Postings(in Row row)
    {
        var list = Volatile.Read(in row.List);
        return new ActivePostings(this, (uint)list, (int)(list >> 32));
    }

    private void Add(ulong key, uint ordinal)
    {
        var table = (int)(key >> 56);
        var slots = _slots[table] ??= NewSlots(FirstSlots);
        var mask = slots.Length - 1;
        var slot = (int)key & mask;
        for (; slots[slot] is > 0 and var number; slot = (slot + 1) & mask)
        {
            ref var found = ref _rows[number - 1];
            if (found.Key == key)
            {
                Append(ref found, ordinal);
                return;
            }
        }

        ref var row = ref _rows.Add();
        row.Key = key;
        row.List = ordinal | (1UL << 32);

        // Publishes the row: whoever sees its number sees the key.
        Volatile.Write(ref slots[slot], _rows.Count);
        if (++_used[table] * 4 > slots.Length * 3)
        {
            Grow(table, slots);
        }
    }

    private void Grow(int table, int[] slots)
    {
        var grown = NewSlots(slots.Length * 2);
        _slotCount -= slots.Length;
        var mask = grown.Length - 1;
        foreach (var number in slots)
        {
            if (number > 0)
            {
                var slot = (int)_rows[number - 1].Key & mask;
                while (grown[slot] != 0)
                {
                    slot = (slot + 1) & mask;
                }

                grown[slot] = number;
            }
        }

        Volatile.Write(ref _slots[table], grown);
    }

    private int[] NewSlots(int length)
    {
        _slotCount += length;
        return new int[length];
    }

    private void Append(ref Row row, uint ordinal)
    {
        var (tail, count) = ((uint)row.List, (int)(row.List >> 32));
        var before = new ActivePostings(this, tail, count).Last;
        Invariant.Check(ordinal >= before, "Events come in their order.");
        if (ordinal == before)
        {
            return; // Two keys of one event are equal by chance.
        }

        if (count == 1)
        {
            var first = tail;
            tail = NewPiece(previous: 0, before: 0);
            Word(tail + HeaderWords) = first;
            Word(tail + HeaderWords + 1) = ordinal;
        }
        else
        {
            var earlier = (int)Word(tail + 1);
            if (count - earlier == Capacity(earlier))
            {
                tail = NewPiece(tail, count);
                earlier = count;
            }

            Word(tail + HeaderWords + (uint)(count - earlier)) = ordinal;
        }

        // Publishes the ordinal: place and count change as one.
        Volatile.Write(ref row.List, tail | ((ulong)(count + 1) << 32));
    }

    private uint NewPiece(uint previous, int before)
    {
        var words = (uint)(HeaderWords + Capacity(before));
        if ((_end & (BlockWords - 1)) + words > BlockWords || _end >> BlockShift == _blocks.Length)
        {
            // No piece stands in two blocks.
            _end = (uint)_blocks.Length << BlockShift;
            Volatile.Write(ref _blocks, [.. _blocks, new uint[BlockWords]]);
        }

        var piece = _end;
        _end += words;
        Word(piece) = previous;
        Word(piece + 1) = (uint)before;
        return piece;
    }

    private static int Capacity(int before) => Math.Clamp(before, FirstCapacity, MostCapacity);

    private ref uint Word(uint at) => ref _blocks[at >> BlockShift][at & (BlockWords - 1)];

    private struct Row
    {
        public const int Length = 16;

        public ulong Key;

        // Low half: the only ordinal, or the newest piece. High half: how many ordinals.
        public ulong List;
    }
}
