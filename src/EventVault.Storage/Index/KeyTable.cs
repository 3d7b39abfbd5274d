// Gives 128-bit keys dense numbers 0, 1, 2 … in memory. One thread adds; any number look up meanwhile, without
// locks. Keys stand in blocks that never move; only a table of slots is replaced when it grows, and a reader that
// still holds the old one misses nothing but keys added after it began.
//
// The slots are dealt out to many tables by the high bits of a key's hash: one grows at a time, so that no append waits long while it does.
//
// Operation ids are keys, and clients choose them: counters, ids with a constant half, or ids made to collide. So a key's
// slot is its hash with secrets of the process that made the table; by the key's own bits a client could turn the sequencer's lookups into
// walks over the whole table.
//
// Methods that take a UInt128 can't be compiled ahead of time. Those with a loop or many callers are compiled at once for speed: a recovery is nearly
// over when the system would come to do so.
using System.Numerics;
using System.Runtime.CompilerServices;

namespace EventVault.Storage.Index;

internal sealed class KeyTable
{
    private const int BlockShift = 12;
    private const int BlockSize = 1 << BlockShift;
    private const int Tables = 1 << TableBits;
    private const int TableBits = 6;
    private const int FirstSlots = 16;

    private static readonly int[] NoSlots = new int[1]; // As a table without keys has: one that is empty.

    private static readonly ulong NewLowSecret = NewSecret();
    private static readonly ulong NewHighSecret = NewSecret();

    private ulong _lowSecret = NewLowSecret;
    private ulong _highSecret = NewHighSecret;
    private UInt128[][] _blocks = new UInt128[4][];
    private readonly int[][] _slots = new int[Tables][]; // 0: empty, otherwise number + 1.
    private readonly int[] _used = new int[Tables];
    // Of another table: the first key of each table here takes its slots, each block that is needed is the one there. Another thread may let go of them: each
    // use reads the field once, and finds them there or not.
    private int[][]? _keptSlots;
    private UInt128[][]? _keptBlocks;
    private int _indexed; // Keys that have a slot.
    private int _count;

    public KeyTable() => _slots.AsSpan().Fill(NoSlots);

    /// <summary>Keys in the table.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>The key with this number.</summary>
    public UInt128 this[int number] => Volatile.Read(ref _blocks)[number >> BlockShift][number & (BlockSize - 1)];

    /// <summary>The key's number, or −1. Safe from any thread.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public int Find(UInt128 key)
    {
        var hash = Hash(key);
        var slots = Volatile.Read(ref _slots[TableOf(hash)]);
        var mask = slots.Length - 1;
        for (var slot = hash & mask; ; slot = (slot + 1) & mask)
        {
            var number = Volatile.Read(ref slots[slot]) - 1;
            if (number < 0 || this[number] == key)
            {
                return number;
            }
        }
    }

    /// <summary>Takes the memory of a table that nobody looks into any more, nor ever will. Before the first key.</summary>
    public void TakeOver(KeyTable done)
    {
        Invariant.Check(Count == 0 && !ReferenceEquals(this, done));
        (_keptBlocks, done._blocks) = (done._blocks, []);
        _keptSlots = new int[Tables][];
        for (var table = 0; table < Tables; table++)
        {
            // Not what was much too large already, or one burst's tables would go on from segment to segment.
            _keptSlots[table] = done._slots[table].Length <= 2 * SlotsFor(done._used[table]) ? done._slots[table] : NoSlots;
        }

        done._slots.AsSpan().Clear();
    }

    /// <summary>Lets go of what it took over and has not used. For every thread.</summary>
    public void LetGo() => (_keptSlots, _keptBlocks) = (null, null);

    /// <summary>Reads the slot where a lookup of this key begins, so that it is in the caches when that comes.</summary>
    public int Touch(UInt128 key)
    {
        var hash = Hash(key);
        var slots = Volatile.Read(ref _slots[TableOf(hash)]);
        return slots[hash & (slots.Length - 1)];
    }

    /// <summary>Slots that a lookup of this key passes before it ends; for tests.</summary>
    internal int Detour(UInt128 key)
    {
        var slots = _slots[TableOf(Hash(key))];
        var mask = slots.Length - 1;
        var passed = 0;
        for (var slot = Hash(key) & mask; slots[slot] != 0 && this[slots[slot] - 1] != key; slot = (slot + 1) & mask)
        {
            passed++;
        }

        return passed;
    }

    /// <summary>Adds a key that is not in the table. One thread only.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public int Add(UInt128 key)
    {
        Invariant.Check(_indexed == Count, "Gathered keys are indexed before others are added.");
        var number = Gather(key);
        var hash = Hash(key);
        var table = TableOf(hash);
        var slots = _slots[table];
        if (++_used[table] * 2 > slots.Length)
        {
            slots = Taken(table) ?? Grown(slots);
            Insert(slots, hash, number);
            Volatile.Write(ref _slots[table], slots);
        }
        else
        {
            Insert(slots, hash, number);
        }

        _indexed = Count;
        return number;
    }

    /// <summary>As <see cref="Add"/>, for many keys of which none is looked up before <see cref="IndexGathered"/>: the table then grows once.</summary>
    public int Gather(UInt128 key)
    {
        var number = Count;
        var block = number >> BlockShift;
        if (block == _blocks.Length)
        {
            var blocks = new UInt128[block * 2][];
            _blocks.CopyTo(blocks, 0);
            Volatile.Write(ref _blocks, blocks);
        }

        _blocks[block] ??= _keptBlocks?.ElementAtOrDefault(block) ?? new UInt128[BlockSize];
        _blocks[block][number & (BlockSize - 1)] = key;

        // Behind the key, and what belongs to it: some go by the count.
        Volatile.Write(ref _count, number + 1);
        return number;
    }

    /// <summary>Lets gathered keys be found.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void IndexGathered()
    {
        Array.Clear(_used);
        for (var i = 0; i < Count; i++)
        {
            _used[TableOf(Hash(this[i]))]++;
        }

        var tables = new int[Tables][];
        for (var table = 0; table < Tables; table++)
        {
            tables[table] = _used[table] == 0 ? NoSlots : new int[SlotsFor(_used[table])];
        }

        for (var i = 0; i < Count; i++)
        {
            var hash = Hash(this[i]);
            Insert(tables[TableOf(hash)], hash, i);
        }

        _indexed = Count;
        for (var table = 0; table < Tables; table++)
        {
            Volatile.Write(ref _slots[table], tables[table]);
        }
    }

    /// <summary>Writes the table as it stands, secrets included: whoever loads it need not compute where its keys go.</summary>
    public void Save(ActiveIndexWriter writer)
    {
        writer.Write(Count);
        writer.Write([_lowSecret, _highSecret]);
        for (var table = 0; table < Tables; table++)
        {
            // Of a table that was taken over no more than its keys need.
            var needed = SlotsFor(_used[table]);
            var slots = _slots[table].Length <= needed ? _slots[table] : Copied(_slots[table], new int[needed]);
            writer.Write(_used[table]);
            writer.Write(slots.Length);
            writer.Write(slots);
        }

        for (var first = 0; first < Count; first += BlockSize)
        {
            writer.Write(_blocks[first >> BlockShift].AsSpan(0, Math.Min(BlockSize, Count - first)));
        }
    }

    /// <summary>Takes what was saved, into a table that is empty.</summary>
    /// <exception cref="IndexDamageException">The file ends before it.</exception>
    public void Load(ActiveIndexReader reader)
    {
        Invariant.Check(Count == 0, "A saved table takes the place of an empty one.");
        var count = reader.ReadCount(Unsafe.SizeOf<UInt128>());
        Span<ulong> secrets = stackalloc ulong[2];
        reader.Read(secrets);
        (_lowSecret, _highSecret) = (secrets[0], secrets[1]);
        for (var table = 0; table < Tables; table++)
        {
            _used[table] = reader.ReadCount(0);
            _slots[table] = new int[reader.ReadCount(sizeof(int))];
            reader.Read(_slots[table].AsSpan());
        }

        _blocks = new UInt128[Math.Max(_blocks.Length, (count + BlockSize - 1) >> BlockShift)][];
        for (var first = 0; first < count; first += BlockSize)
        {
            reader.Read((_blocks[first >> BlockShift] = new UInt128[BlockSize]).AsSpan(0, Math.Min(BlockSize, count - first)));
        }

        _count = _indexed = count;
    }

    private static int TableOf(int hash) => (int)((uint)hash >> (32 - TableBits));

    private static int SlotsFor(int keys) => Math.Max(FirstSlots, (int)BitOperations.RoundUpToPowerOf2(2 * (uint)keys));

    // What was taken over for a table whose first key this is; null: nothing. Cleared one table at a time, as they grow.
    private int[]? Taken(int table)
    {
        if (_used[table] != 1 || _keptSlots?[table] is not { } kept || kept.Length == NoSlots.Length)
        {
            return null;
        }

        Array.Clear(kept);
        return kept;
    }

    private int[] Grown(int[] slots) => Copied(slots, new int[Math.Max(FirstSlots, 2 * slots.Length)]);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private int[] Copied(int[] slots, int[] into)
    {
        foreach (var number in slots)
        {
            if (number != 0)
            {
                Insert(into, Hash(this[number - 1]), number - 1);
            }
        }

        return into;
    }

    // Two rounds of multiplying and folding: one alone leaves the differences of counters visible.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Hash(UInt128 key)
    {
        var high = Math.BigMul((ulong)key ^ _lowSecret, (ulong)(key >> 64) ^ _highSecret, out var low);
        high = Math.BigMul(high ^ low ^ _highSecret, _lowSecret | 1, out low);
        return (int)(high ^ low);
    }

    // The system's generator, but not through the cryptographic library, which a start would otherwise load for this alone: some MiB.
    // A UUID has 122 random bits; folded, all 64 are.
    private static ulong NewSecret()
    {
        Span<byte> random = stackalloc byte[2 * sizeof(ulong)];
        Invariant.Check(Guid.NewGuid().TryWriteBytes(random));
        return BitConverter.ToUInt64(random) ^ BitConverter.ToUInt64(random[sizeof(ulong)..]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Insert(int[] slots, int hash, int number)
    {
        var mask = slots.Length - 1;
        var slot = hash & mask;
        while (slots[slot] != 0)
        {
            slot = (slot + 1) & mask;
        }

        // Publishes the key written before: whoever sees the number sees the key.
        Volatile.Write(ref slots[slot], number + 1);
    }
}

/// <summary>A list in blocks that never move: one thread adds, any number read what was added before.</summary>
internal sealed class BlockList<T>
    where T : struct
{
    private const int BlockShift = 13;
    private const int BlockSize = 1 << BlockShift;
    private T[][] _blocks = new T[4][];
    private T[][]? _kept; // Of another list: each block that is needed is the one there. Another thread may let go of them.

    public int Count { get; private set; }

    /// <summary>Bytes of the blocks, with elements of this length.</summary>
    public long Bytes(int elementLength) => (long)((Count + BlockSize - 1) >> BlockShift) * BlockSize * elementLength;

    public ref T this[int i] => ref Volatile.Read(ref _blocks)[i >> BlockShift][i & (BlockSize - 1)];

    /// <summary>A list of its own with the same elements. The adding thread only.</summary>
    public BlockList<T> Copy() => new() { _blocks = [.. _blocks.Select((block, i) => i << BlockShift < Count ? (T[])block.Clone() : null!)], Count = Count };

    /// <summary>Takes the memory of a list that nobody looks into any more, nor ever will. Before the first element.</summary>
    public void TakeOver(BlockList<T> done)
    {
        Invariant.Check(Count == 0 && !ReferenceEquals(this, done));
        (_kept, done._blocks) = (done._blocks, []);
    }

    /// <summary>Lets go of what it took over and has not used. For every thread.</summary>
    public void LetGo() => _kept = null;

    /// <summary>A new element, all zeros.</summary>
    public ref T Add()
    {
        var block = Count >> BlockShift;
        if (block == _blocks.Length)
        {
            var blocks = new T[block * 2][];
            _blocks.CopyTo(blocks, 0);
            Volatile.Write(ref _blocks, blocks);
        }

        _blocks[block] ??= _kept?.ElementAtOrDefault(block) ?? new T[BlockSize];
        ref var added = ref _blocks[block][Count++ & (BlockSize - 1)];
        added = default;
        return ref added;
    }

    /// <summary>Writes its elements.</summary>
    public void Save(ActiveIndexWriter writer)
    {
        writer.Write(Count);
        for (var first = 0; first < Count; first += BlockSize)
        {
            writer.Write(_blocks[first >> BlockShift].AsSpan(0, Math.Min(BlockSize, Count - first)));
        }
    }

    /// <summary>Takes what was saved, into a list that is empty.</summary>
    /// <exception cref="IndexDamageException">The file ends before it.</exception>
    public void Load(ActiveIndexReader reader)
    {
        Invariant.Check(Count == 0, "A saved list takes the place of an empty one.");
        var count = reader.ReadCount(Unsafe.SizeOf<T>());
        _blocks = new T[Math.Max(_blocks.Length, (count + BlockSize - 1) >> BlockShift)][];
        for (var first = 0; first < count; first += BlockSize)
        {
            reader.Read((_blocks[first >> BlockShift] = new T[BlockSize]).AsSpan(0, Math.Min(BlockSize, count - first)));
        }

        Count = count;
    }
}
