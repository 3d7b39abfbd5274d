using System.Buffers;
using EventVault.Storage.Io;

namespace EventVault.Storage.Index;

/// <summary>
/// Changes 64-byte slots of a file that others read through a mapping at the same time. Whole 4 KiB blocks are
/// written, neighbouring ones in one call; the writer sees its own changes before they are written.
/// </summary>
/// <remarks>
/// One thread writes. A reader may catch a block while the kernel is copying it and see half of a slot:
/// <see cref="WriteSequence"/> is odd during such a copy, and changes with each, so that a reader can tell a slot
/// that is being written from a damaged one.
/// </remarks>
internal sealed class BlockWriter(IFile file)
{
    public const int BlockBytes = 4096;
    public const int SlotBytes = 64;

    // One call's worth of neighbouring blocks: large enough to make the call cheap, small enough to stay in cache.
    private const int WindowBytes = 64 * BlockBytes;

    // Not a CRC: that of slots which end with their own CRC is the same whatever they hold.
    private static readonly SipKey AnyKey = new(1, 2);

    // Of written blocks that a spare's table has room for; a larger one is not kept.
    private const int MostKept = 16 * 1024;

    [ThreadStatic]
    private static Buffers? Spare;

    private Buffers? _buffers; // From the first change to a flush. There are files that nobody writes to any more.
    private long _start = -1;
    private int _length;
    private int _sequence;

    /// <summary>See the remarks; readers load it before and after.</summary>
    public int WriteSequence => Volatile.Read(ref _sequence);

    /// <summary>Copies a slot, with changes that are not written yet.</summary>
    public void Read(MappedFile map, long offset, Span<byte> slot)
    {
        Invariant.Check(slot.Length == SlotBytes && offset % SlotBytes == 0);
        if (_start >= 0 && offset >= _start && offset < _start + _length)
        {
            _buffers!.Window.AsSpan((int)(offset - _start), SlotBytes).CopyTo(slot);
        }
        else
        {
            map.Span(offset, SlotBytes).CopyTo(slot);
        }
    }

    /// <summary>Changes a slot. <see cref="Flush"/> must follow the last change.</summary>
    public void Write(long offset, ReadOnlySpan<byte> slot)
    {
        Invariant.Check(slot.Length == SlotBytes && offset % SlotBytes == 0);
        Span<byte> window = Window(offset - (offset % BlockBytes));
        slot.CopyTo(window[(int)(offset % BlockBytes)..]);
    }

    /// <summary>
    /// The block that holds the slots from <paramref name="block"/> on, to be changed in place before the next call.
    /// </summary>
    /// <param name="block">Its offset.</param>
    /// <param name="isEmpty">It is known to hold zeros, so it is not read.</param>
    /// <exception cref="IndexDamageException">It was written since the last flush, and does not hold that.</exception>
    public Span<byte> Window(long block, bool isEmpty = false)
    {
        Buffers buffers = _buffers ??= TakeSpare();
        if (_start < 0 || block < _start || block >= _start + _length)
        {
            if (_start < 0 || block != _start + _length || _length == WindowBytes)
            {
                WriteOut();
                _start = block;
            }

            Span<byte> bytes = buffers.Window.AsSpan(_length, BlockBytes);
            bool wasWritten = buffers.Written.TryGetValue(block, out UInt128 hash);
            Invariant.Check(!isEmpty || !wasWritten);
            if (isEmpty)
            {
                bytes.Clear();
            }
            else
            {
                // Not by the mapping: the block may be a hole of the file, for which a full disk in memory has no page, and a reader of the mapping dies of that.
                Invariant.Check(file.Read(block, bytes) == BlockBytes, "The file is as long as its blocks need.");
            }

            if (wasWritten && Hash(bytes) != hash)
            {
                throw NotThere(block);
            }

            _length += BlockBytes;
        }

        return buffers.Window.AsSpan((int)(block - _start), BlockBytes);
    }

    /// <summary>Hands all changes to the system. Durable only after <see cref="Flush"/>. What is refused is handed over again by the next call.</summary>
    public void WriteOut()
    {
        if (_start >= 0)
        {
            WriteThrough(_start, _buffers!.Window.AsSpan(0, _length));
            _start = -1;
            _length = 0;
        }
    }

    /// <summary>
    /// Makes durable what was written, and looks on the disk whether it stands there. A block that kept its earlier content
    /// would pass every later check: an old head, or a bucket without the newest operations.
    /// </summary>
    /// <exception cref="IndexDamageException">A write went elsewhere, or nowhere.</exception>
    public void Flush()
    {
        WriteOut();
        file.Flush();
        if (_buffers is not { Written: var written })
        {
            return;
        }

        long[] rented = ArrayPool<long>.Shared.Rent(written.Count);
        written.Keys.CopyTo(rented, 0);
        Span<long> blocks = rented.AsSpan(0, written.Count);
        blocks.Sort();
        byte[] read = ArrayPool<byte>.Shared.Rent(WindowBytes);
        for (int first = 0, next = 0; first < blocks.Length; first = next)
        {
            while (next < blocks.Length && next - first < WindowBytes / BlockBytes && blocks[next] == blocks[first] + ((next - first) * (long)BlockBytes))
            {
                next++;
            }

            int count = file.ReadFromDisk(blocks[first], read.AsSpan(0, (next - first) * BlockBytes));
            for (int i = first; i < next; i++)
            {
                int at = (i - first) * BlockBytes;
                if (at + BlockBytes > count || Hash(read.AsSpan(at, BlockBytes)) != written[blocks[i]])
                {
                    throw NotThere(blocks[i]);
                }
            }
        }

        ArrayPool<byte>.Shared.Return(read);
        ArrayPool<long>.Shared.Return(rented);
        written.Clear();
        Spare = written.Capacity <= MostKept ? _buffers : null;
        _buffers = null;
    }

    /// <summary>Writes bytes past the window, under the same protection of readers.</summary>
    public void WriteThrough(long offset, ReadOnlySpan<byte> bytes)
    {
        Invariant.Check(offset % BlockBytes == 0 && bytes.Length % BlockBytes == 0);
        Buffers buffers = _buffers ??= TakeSpare();
        for (int at = 0; at < bytes.Length; at += BlockBytes)
        {
            buffers.Written[offset + at] = Hash(bytes.Slice(at, BlockBytes));
        }

        Interlocked.Increment(ref _sequence);
        try
        {
            file.Write(offset, bytes);
        }
        finally
        {
            Interlocked.Increment(ref _sequence);
        }
    }

    private IndexDamageException NotThere(long block) => new(file.Path, block, "the block that was written there does not stand there");

    private static Buffers TakeSpare()
    {
        Buffers taken = Spare ?? new Buffers();
        Spare = null;
        return taken;
    }

    private static UInt128 Hash(ReadOnlySpan<byte> block)
    {
        var hash = new SipHash128(AnyKey);
        hash.Append(block);
        return hash.Finish();
    }

    private sealed class Buffers
    {
        public byte[] Window { get; } = new byte[WindowBytes];

        /// <summary>What was written since the last flush, by the block's offset; a block may be written more than once.</summary>
        public Dictionary<long, UInt128> Written { get; } = [];
    }
}
