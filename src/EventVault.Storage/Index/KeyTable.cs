// Gives 128-bit keys dense numbers 0, 1, 2 … in memory. One thread adds; any number look up meanwhile, without
// locks. Keys stand in blocks that never move; only the table of slots is replaced when it grows, and a reader that
// still holds the old one misses nothing but keys added after it began.
//
// Operation ids are keys, and clients choose them: counters, ids with a constant half, or ids made to collide. So a key's
// slot is its hash with secrets of the process that made the table; by the key's own bits a client could turn the sequencer's lookups into
// walks over the whole table.
//
// Methods that take a UInt128 can't be compiled ahead of time. Those with a loop or many callers are compiled at once for speed: a recovery is nearly
// over when the system would come to do so.
using System.Runtime.CompilerServices;

namespace EventVault.Storage.Index;

internal sealed class KeyTable
{
    private const int BlockShift = 12;
    private const int BlockSize = 1 << BlockShift;
    private const int FirstSlots = 1024;

    private static readonly ulong NewLowSecret = NewSecret();
    private static readonly ulong NewHighSecret = NewSecret();

    private ulong _lowSecret = NewLowSecret;
    private ulong _highSecret = NewHighSecret;
    private UInt128[][] _blocks = new UInt128[4][];
    private int[] _slots = new int[FirstSlots]; // 0: empty, otherwise number + 1.
    private int _indexed; // Keys that have a slot.

    /// <summary>Keys in the table.</summary>
    public int Count { get; private set; }

    /// <summary>The key with this number.</summary>
    public UInt128 this[int number] => Volatile.Read(ref _blocks)[number >> BlockShift][number & (BlockSize - 1)];

    /// <summary>The key's number, or −1. Safe from any thread.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public int Find(UInt128 key)
    {
        var slots = Volatile.Read(ref _slots);
        var mask = slots.Length - 1;
        for (var slot = Hash(key) & mask; ; slot = (slot + 1) & mask)
        {
            var number = Volatile.Read(ref slots[slot]) - 1;
            if (number < 0 || this[number] == key)
            {
                return number;
            }
        }
    }

    /// <summary>Reads the slot where a lookup of this key begins, so that it is in the caches when that comes.</summary>
    public int Touch(UInt128 key)
    {
        var slots = Volatile.Read(ref _slots);
        return slots[Hash(key) & (slots.Length - 1)];
    }

    /// <summary>Slots that a lookup of this key passes before it ends; for tests.</summary>
    internal int Detour(UInt128 key)
    {
        var mask = _slots.Length - 1;
        var passed = 0;
        for (var slot = Hash(key) & mask; _slots[slot] != 0 && this[_slots[slot] - 1] != key; slot = (slot + 1) & mask)
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
        if (Count * 2 > _slots.Length)
        {
            IndexGathered();
        }
        else
        {
            Insert(_slots, key, number);
            _indexed = Count;
        }

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

        _blocks[block] ??= new UInt128[BlockSize];
        _blocks[block][number & (BlockSize - 1)] = key;
        Count = number + 1;
        return number;
    }

    /// <summary>Lets gathered keys be found.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void IndexGathered()
    {
        var length = _slots.Length;
        while (Count * 2 > length)
        {
            length *= 2;
        }

        var slots = new int[length];
        for (var i = 0; i < Count; i++)
        {
            Insert(slots, this[i], i);
        }

        _indexed = Count;
        Volatile.Write(ref _slots, slots);
    }

    /// <summary>Writes the table as it stands, secrets included: whoever loads it need not compute where its keys go.</summary>
    public void Save(ActiveIndexWriter writer)
    {
        writer.Write(Count);
        writer.Write(_slots.Length);
        writer.Write([_lowSecret, _highSecret]);
        writer.Write(_slots);
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
        _slots = new int[reader.ReadCount(sizeof(int))];
        Span<ulong> secrets = stackalloc ulong[2];
        reader.Read(secrets);
        (_lowSecret, _highSecret) = (secrets[0], secrets[1]);
        reader.Read(_slots.AsSpan());
        _blocks = new UInt128[Math.Max(_blocks.Length, (count + BlockSize - 1) >> BlockShift)][];
        for (var first = 0; first < count; first += BlockSize)
        {
            reader.Read((_blocks[first >> BlockShift] = new UInt128[BlockSize]).AsSpan(0, Math.Min(BlockSize, count - first)));
        }

        Count = _indexed = count;
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
    private void Insert(int[] slots, UInt128 key, int number)
    {
        var mask = slots.Length - 1;
        var slot = Hash(key) & mask;
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

    public int Count { get; private set; }

    /// <summary>Bytes of the blocks, with elements of this length.</summary>
    public long Bytes(int elementLength) => (long)((Count + BlockSize - 1) >> BlockShift) * BlockSize * elementLength;

    public ref T this[int i] => ref Volatile.Read(ref _blocks)[i >> BlockShift][i & (BlockSize - 1)];

    /// <summary>A list of its own with the same elements. The adding thread only.</summary>
    public BlockList<T> Copy() => new() { _blocks = [.. _blocks.Select(block => (T[])block?.Clone()!)], Count = Count };

    public ref T Add()
    {
        var block = Count >> BlockShift;
        if (block == _blocks.Length)
        {
            var blocks = new T[block * 2][];
            _blocks.CopyTo(blocks, 0);
            Volatile.Write(ref _blocks, blocks);
        }

        _blocks[block] ??= new T[BlockSize];
        return ref _blocks[block][Count++ & (BlockSize - 1)];
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
