// The keys (EventKeys) of one unsealed segment, in memory: key → ordinals of its events, ascending. Rebuildable: filled
// from the segment's groups. The sequencer's thread adds, pending events included, because conditions are checked against
// them; anybody looks up meanwhile, without locks, and sees what was added before. Readers name how many events are
// committed and see no ordinal beyond.
//
// A slot holds the number of a row and six bits of its key: a slot that belongs to another key is told without a look at its row,
// which would be a cache miss each, and they are most of what adding a key costs.
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
    public const int Tables = 256;

    private const int FirstSlots = 8;

    /// <summary>
    /// Bits of a slot that hold a row's number + 1: four times the keys that the largest append can bring to a segment that has
    /// just not yet taken the memory which is allowed for keys.
    /// </summary>
    private const int RowBits = 26;
    private const uint RowMask = (1u << RowBits) - 1;
    private const int BlockShift = 14; // 64 KiB: not a large object.
    private const int BlockWords = 1 << BlockShift;
    private const int HeaderWords = 2;

    /// <summary>Ordinals in a list's first piece: most lists are short.</summary>
    private const int FirstCapacity = 4;

    /// <summary>Ordinals in the pieces of long lists: with its header a piece is 4 KiB, and 16 of them fill a block.</summary>
    private const int MostCapacity = 1024 - HeaderWords;

    private readonly uint[]?[] _slots = new uint[]?[Tables]; // 0: empty.
    private readonly int[] _used = new int[Tables];
    private readonly int[] _needed = new int[Tables]; // Slots that its keys need; there may be more.
    private readonly BlockList<Row> _rows;
    private uint[][] _blocks = [];
    private uint _end;
    private uint[]?[]? _keptSlots; // Of other keys, as in KeyTable.
    private uint[][]? _keptBlocks;
    private int _emptied; // Rows all of whose ordinals a truncation took back.
    private int _slotCount; // Those needed.

    public ActiveKeys()
        : this(new BlockList<Row>())
    {
    }

    private ActiveKeys(BlockList<Row> rows) => _rows = rows;

    /// <summary>How many different keys there are, those of pending events included.</summary>
    public int Count => _rows.Count - _emptied;

    /// <summary>Bytes it needs. Its tables may have more slots: up to twice what the segment needed whose memory it took over.</summary>
    public long Bytes => _rows.Bytes(Row.Length) + ((long)BlocksUsed * BlockWords * sizeof(uint)) + (sizeof(int) * (long)_slotCount);

    private int BlocksUsed => (int)((_end + BlockWords - 1) >> BlockShift);

    // ---- the sequencer's side ----

    /// <summary>Takes the memory of keys that nobody looks for any more, nor ever will. Before the first key.</summary>
    public void TakeOver(ActiveKeys done)
    {
        Invariant.Check(_rows.Count == 0 && !ReferenceEquals(this, done));
        _rows.TakeOver(done._rows);
        (_keptBlocks, done._blocks) = (done._blocks, []);
        _keptSlots = new uint[]?[Tables];
        for (var table = 0; table < Tables; table++)
        {
            _keptSlots[table] = done._slots[table] is { } slots && slots.Length <= 2 * done._needed[table] ? slots : null;
        }

        done._slots.AsSpan().Fill([]);
    }

    /// <summary>Lets go of what it took over and has not used. For every thread.</summary>
    public void LetGo()
    {
        _rows.LetGo();
        (_keptSlots, _keptBlocks) = (null, null);
    }

    /// <summary>Adds the keys of an event, the newest one so far.</summary>
    public void Add(ReadOnlySpan<ulong> keys, uint ordinal)
    {
        foreach (var key in keys)
        {
            Add(key, ordinal);
        }
    }

    /// <summary>Reads the slots where keys would be added.</summary>
    public uint Touch(ReadOnlySpan<ulong> keys)
    {
        var touched = 0u;
        foreach (var key in keys)
        {
            touched ^= _slots[key >> 56] is { } slots ? slots[(int)key & (slots.Length - 1)] : 0;
        }

        return touched;
    }

    /// <summary>The same keys, of the first <paramref name="events"/> events only. This one stays as it is: readers may hold it.</summary>
    public ActiveKeys Copy(int events)
    {
        // All of it in one go, then what is too much is taken back: a truncation must not take as long as filling the segment.
        var copy = new ActiveKeys(_rows.Copy())
        {
            _blocks = [.. _blocks.Take(BlocksUsed).Select(block => (uint[])block.Clone())],
            _end = _end,
            _emptied = _emptied,
            _slotCount = _slotCount,
        };
        for (var table = 0; table < Tables; table++)
        {
            copy._slots[table] = _slots[table] is not { } slots ? null : slots.Length <= _needed[table] ? (uint[])slots.Clone() : Copied(slots, new uint[_needed[table]]);
            copy._used[table] = _used[table];
            copy._needed[table] = _needed[table];
        }

        for (var i = 0; i < copy._rows.Count; i++)
        {
            ref var row = ref copy._rows[i];
            if (copy.Postings(row) is { Count: > 0 } list && list.Last >= (uint)events)
            {
                row.List = list.Before((uint)events).ToRow();
                copy._emptied += row.List == 0 ? 1 : 0;
            }
        }

        return copy;
    }

    /// <summary>Writes them as they stand.</summary>
    public void Save(ActiveIndexWriter writer)
    {
        _rows.Save(writer);
        writer.Write(BlocksUsed);
        writer.Write([_end, (uint)_emptied]);
        foreach (var block in _blocks.AsSpan(0, BlocksUsed))
        {
            writer.Write(block);
        }

        writer.Write(_used);
        for (var table = 0; table < Tables; table++)
        {
            var slots = _slots[table] ?? [];
            slots = slots.Length <= _needed[table] ? slots : Copied(slots, new uint[_needed[table]]);
            writer.Write(slots.Length);
            writer.Write(slots);
        }
    }

    /// <summary>Takes what was saved; nothing was added before.</summary>
    /// <exception cref="IndexDamageException">The file ends before it.</exception>
    public void Load(ActiveIndexReader reader)
    {
        Invariant.Check(_rows.Count == 0 && _slotCount == 0, "Saved keys take the place of none.");
        _rows.Load(reader);
        _blocks = new uint[reader.ReadCount(BlockWords * sizeof(uint))][];
        Span<uint> ends = stackalloc uint[2];
        reader.Read(ends);
        (_end, _emptied) = (ends[0], (int)ends[1]);
        for (var i = 0; i < _blocks.Length; i++)
        {
            reader.Read((_blocks[i] = new uint[BlockWords]).AsSpan());
        }

        reader.Read(_used.AsSpan());
        for (var table = 0; table < Tables; table++)
        {
            if (reader.ReadCount(sizeof(uint)) is > 0 and var length)
            {
                reader.Read((_slots[table] = new uint[length]).AsSpan());
                _slotCount += _needed[table] = length;
            }
        }
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
            for (var slot = (int)key & mask; Volatile.Read(ref slots[slot]) is > 0 and var entry; slot = (slot + 1) & mask)
            {
                if (!MayBe(entry, key))
                {
                    continue;
                }

                ref var row = ref _rows[RowOf(entry)];
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

    /// <summary>
    /// One table's keys, ascending, with the lists that <see cref="PostingsOf"/> takes: for when all of the segment is committed,
    /// so that nothing is added any more. The tables' keys are above those of the table before.
    /// </summary>
    /// <param name="table">Which table.</param>
    /// <param name="keys">Takes its keys.</param>
    /// <param name="lists">Takes their lists.</param>
    /// <returns>How many there are: at most <see cref="MostSorted"/>, which there must be room for.</returns>
    public int Sort(int table, Span<ulong> keys, Span<ulong> lists)
    {
        var filled = 0;
        foreach (var entry in _slots[table] ?? [])
        {
            if (entry > 0 && _rows[RowOf(entry)] is { List: > 0 } row)
            {
                (keys[filled], lists[filled++]) = (row.Key, row.List);
            }
        }

        keys[..filled].Sort(lists[..filled]);
        return filled;
    }

    /// <summary>How many keys a table has, those included that a truncation emptied.</summary>
    public int MostSorted(int table) => _used[table];

    /// <summary>The events of a list.</summary>
    public ActivePostings PostingsOf(ulong list) => new(this, (uint)list, (int)(list >> 32));

    /// <summary>A word of the arena. Pieces never move.</summary>
    internal ReadOnlySpan<uint> Piece(uint at, int length) => Volatile.Read(ref _blocks)[at >> BlockShift].AsSpan((int)at & (BlockWords - 1), HeaderWords + length);

    private ActivePostings Postings(in Row row) => PostingsOf(Volatile.Read(in row.List));

    private void Add(ulong key, uint ordinal)
    {
        var table = (int)(key >> 56);
        var slots = _slots[table] ?? FirstSlotsOf(table);
        var mask = slots.Length - 1;
        var slot = (int)key & mask;
        for (; slots[slot] is > 0 and var entry; slot = (slot + 1) & mask)
        {
            if (!MayBe(entry, key))
            {
                continue;
            }

            ref var found = ref _rows[RowOf(entry)];
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
        Invariant.Check((uint)_rows.Count <= RowMask, "More keys than a segment can have.");
        Volatile.Write(ref slots[slot], (uint)_rows.Count | Mark(key));
        if (++_used[table] * 4 > _needed[table] * 3)
        {
            _slotCount += _needed[table];
            _needed[table] *= 2;
            if (slots.Length < _needed[table])
            {
                Volatile.Write(ref _slots[table], Copied(slots, new uint[_needed[table]]));
            }
        }
    }

    // Six bits of the key above the row's number; neither those that choose the table nor those that choose the slot.
    private static uint Mark(ulong key) => (uint)(key >> 50) << RowBits;

    private static bool MayBe(uint entry, ulong key) => (entry ^ Mark(key)) >> RowBits == 0;

    private static int RowOf(uint entry) => (int)(entry & RowMask) - 1;

    // Of a table without keys. What was taken over is cleared one table at a time, so that no append waits long for it.
    private uint[] FirstSlotsOf(int table)
    {
        var slots = _keptSlots?[table];
        slots?.AsSpan().Clear();
        slots ??= new uint[FirstSlots];

        _slotCount += _needed[table] = FirstSlots;
        Volatile.Write(ref _slots[table], slots);
        return slots;
    }

    private uint[] Copied(uint[] slots, uint[] into)
    {
        var mask = into.Length - 1;
        foreach (var entry in slots)
        {
            if (entry > 0)
            {
                var slot = (int)_rows[RowOf(entry)].Key & mask;
                while (into[slot] != 0)
                {
                    slot = (slot + 1) & mask;
                }

                into[slot] = entry;
            }
        }

        return into;
    }

    private void Append(ref Row row, uint ordinal)
    {
        var (tail, count) = ((uint)row.List, (int)(row.List >> 32));
        if (count == 0)
        {
            // All that it had was taken back.
            _emptied--;
            Volatile.Write(ref row.List, ordinal | (1UL << 32));
            return;
        }

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
            _end = (_end + BlockWords - 1) & ~(uint)(BlockWords - 1);
            if (_end >> BlockShift == _blocks.Length)
            {
                var block = _keptBlocks?.ElementAtOrDefault(_blocks.Length) ?? new uint[BlockWords];
                Volatile.Write(ref _blocks, [.. _blocks, block]);
            }
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

        // Low half: the only ordinal, or the newest piece. High half: how many ordinals; none, and 0 in all, if a truncation took
        // back all that it had.
        public ulong List;
    }
}
