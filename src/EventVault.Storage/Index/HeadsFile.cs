using EventVault.Storage.Io;

namespace EventVault.Storage.Index;

/// <summary>
/// Every stream's head as of the last sealed segment: a hash table in a file, in 256 shards by the key's top bits,
/// each with linear probing. Rebuildable from the segments.
/// </summary>
/// <remarks>
/// <para>
/// Changes only by <see cref="Apply"/>, one segment at a time. Slots are changed in place, then flushed, then the
/// header says which segment is applied. A crash in between keeps any subset of the slot writes, and redo of the
/// same segment in the same order puts everything where it was: slots never move or empty, and a key on its way
/// finds the slots before its own taken by the same keys as the first time, its own empty or already its own.
/// </para>
/// <para>
/// A shard that fills up doubles alone, into a new place that is written whole and flushed before the header names
/// it. The old place is left alone until the file is opened again, and as long as either header slot names it:
/// a reader may still be in it, or a torn header may fall back to it.
/// </para>
/// <para>
/// <see cref="TryGet"/> takes no lock and may run on any thread, also during Apply. One thread calls Apply.
/// Opening reads the header only, whatever the number of streams.
/// </para>
/// </remarks>
internal sealed class HeadsFile : IDisposable
{
    /// <summary>A shard begins with one block of slots.</summary>
    public const int SmallestLog2 = 6;

    /// <summary>Bounds a shard to 1 GiB, the file to 256 GiB: about three billion streams.</summary>
    public const int LargestLog2 = 24;

    // At 7 of 10 a lookup that misses probes 6 neighbouring slots on average; a shard is between 35 and 70 % full.
    private const int LoadTenths = 7;
    private const long LargestLengthStep = 1L << 30;

    private readonly IFile _file;
    private readonly BlockWriter _writer;
    private readonly Shard[] _shards = new Shard[HeadsHeader.ShardCount];
    private readonly List<MappedFile> _maps = [];
    private HeadsHeader _header;
    private HeadsExtents _extents;
    private KeyValuePair<UInt128, StreamHead>[]? _overlay;
    private byte[] _image = []; // a growing shard's new bytes; kept for the next one of the same Apply
    private long _appliedThrough;
    private long _streamCount;
    private bool _failed;

    private HeadsFile(IFile file, HeadsHeader header, HeadsHeader? older)
    {
        _file = file;
        _header = header;
        _writer = new BlockWriter(file);
        _extents = new HeadsExtents(header, older);
        MappedFile map = file.Map(file.Length, MappedAccess.Random);
        _maps.Add(map);
        for (int i = 0; i < _shards.Length; i++)
        {
            _shards[i] = new Shard(map, header.Shards[i].Offset, header.Shards[i].Log2Slots);
        }
    }

    /// <summary>Number of the last segment applied, −1 if none.</summary>
    public long AppliedThrough => Volatile.Read(ref _appliedThrough);

    /// <summary>Number of streams, as of <see cref="AppliedThrough"/>.</summary>
    public long StreamCount => Volatile.Read(ref _streamCount);

    /// <summary>Opens the file; creates an empty one if there is none.</summary>
    /// <exception cref="IndexDamageException">Both headers are damaged.</exception>
    /// <exception cref="UnsupportedFormatException">It is of a later format.</exception>
    public static HeadsFile Open(IFileSystem fileSystem, string path)
    {
        if (!fileSystem.FileExists(path))
        {
            Create(fileSystem, path);
        }

        IFile file = fileSystem.OpenFile(path, FileOpening.Existing);
        try
        {
            var slots = new byte[HeadsHeader.DataStart];
            int read = file.Read(0, slots);
            if (read < slots.Length)
            {
                throw new IndexDamageException(path, read, $"file of {read} bytes, expected at least {slots.Length}");
            }

            (HeadsHeader newest, HeadsHeader? older) = HeadsHeader.Read(path, slots, file.Length);
            return new HeadsFile(file, newest, older)
            {
                _appliedThrough = newest.AppliedThrough,
                _streamCount = newest.StreamCount,
            };
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>
    /// The head of a stream, or false if it has no event in the segments applied. While Apply runs, and after a
    /// crash in it until redo is done, a head may already be that of the segment being applied
    /// (<c>head.Latest.Segment</c> above <see cref="AppliedThrough"/>).
    /// </summary>
    /// <exception cref="IndexDamageException">A slot on the way is damaged.</exception>
    public bool TryGet(UInt128 key, out StreamHead head)
    {
        KeyValuePair<UInt128, StreamHead>[]? overlay = Volatile.Read(ref _overlay);
        if (overlay is not null && HeadsOverlay.TryGet(overlay, key, out head))
        {
            return true;
        }

        Shard shard = Volatile.Read(ref _shards[ShardOf(key)]);
        Span<byte> slot = stackalloc byte[HeadSlot.Length];
        uint mask = (1u << shard.Log2Slots) - 1;
        uint number = shard.HomeOf(key);
        for (uint probes = 0; probes <= mask; probes++, number = (number + 1) & mask)
        {
            ReadStable(shard.Map, shard.Offset + ((long)number * HeadSlot.Length), slot);
            if (HeadSlot.IsEmpty(slot))
            {
                head = StreamHead.None;
                return false;
            }

            if (HeadSlot.Key(slot) == key)
            {
                head = HeadSlot.Read(slot);
                return true;
            }
        }

        throw new IndexDamageException(_file.Path, shard.Offset, "a shard without an empty slot");
    }

    /// <summary>
    /// Applies a sealed segment's heads and makes them durable. Segments follow one another without gaps; one that
    /// is applied already changes nothing.
    /// </summary>
    /// <param name="segment">The segment.</param>
    /// <param name="heads">Each stream that has events in it, once, with its head after it; any order.</param>
    /// <exception cref="IndexDamageException">A slot is damaged, or a head does not continue what the file holds.</exception>
    /// <exception cref="DiskException">
    /// If it is a refusal, the same heads may be tried again: until then it is as while Apply runs. Otherwise Apply may not be
    /// called again; open the file anew.
    /// </exception>
    public void Apply(uint segment, ReadOnlySpan<KeyValuePair<UInt128, StreamHead>> heads)
    {
        Invariant.Check(!_failed);
        if (segment <= _header.AppliedThrough)
        {
            return;
        }

        Invariant.Check(_header.AppliedThrough == -1 || segment == _header.AppliedThrough + 1);
        KeyValuePair<UInt128, StreamHead>[] sorted = HeadsOverlay.Sort(heads, segment);
        Volatile.Write(ref _overlay, sorted);
        _failed = true;
        (HeadsHeader header, HeadsExtents extents) = (_header.Copy(), new HeadsExtents(_extents));
        try
        {
            ApplySorted(segment, sorted);
            _failed = false;
        }
        catch (DiskException e) when (e.IsRefusal)
        {
            // Back to where a start behind a crash would begin, so that the next try is the same redo. The places that shards
            // grew into are taken again, and get the same bytes: readers that are in one already miss nothing.
            (_header, _extents) = (header, extents);
            _image = [];
            _failed = false;
            throw;
        }

        Volatile.Write(ref _streamCount, _header.StreamCount);
        Volatile.Write(ref _appliedThrough, segment);

        // From here on the slots serve these heads themselves.
        Volatile.Write(ref _overlay, null);
    }

    /// <summary>
    /// The most that <see cref="Apply"/> can add to the file when these streams have events in the segment, in bytes:
    /// a shard that must grow is written anew. The applying thread only.
    /// </summary>
    public long GrowthBytes(IEnumerable<UInt128> keys)
    {
        Span<int> streams = stackalloc int[HeadsHeader.ShardCount];
        foreach (UInt128 key in keys)
        {
            streams[ShardOf(key)]++;
        }

        long bytes = 0;
        for (int i = 0; i < HeadsHeader.ShardCount; i++)
        {
            (_, int log2, int used) = _header.Shards[i];
            int now = log2;
            while (!Fits(used + streams[i], log2))
            {
                log2++;
            }

            bytes += log2 > now ? (long)HeadSlot.Length << log2 : 0;
        }

        return bytes;
    }

    /// <summary>Every stream, in no particular order; checks all slots. Not during <see cref="Apply"/>.</summary>
    /// <exception cref="IndexDamageException">A slot is damaged, or a shard's count is wrong.</exception>
    public IEnumerable<KeyValuePair<UInt128, StreamHead>> ReadAll()
    {
        var slot = new byte[HeadSlot.Length];
        for (int i = 0; i < _shards.Length; i++)
        {
            Shard shard = _shards[i];
            int used = 0;
            for (long number = 0; number < 1L << shard.Log2Slots; number++)
            {
                ReadStable(shard.Map, shard.Offset + (number * HeadSlot.Length), slot);
                if (!HeadSlot.IsEmpty(slot))
                {
                    used++;
                    yield return new(HeadSlot.Key(slot), HeadSlot.Read(slot));
                }
            }

            if (used != _header.Shards[i].Used)
            {
                throw new IndexDamageException(
                    _file.Path, shard.Offset, $"shard {i} holds {used} streams, expected {_header.Shards[i].Used}");
            }
        }
    }

    /// <summary>Unmaps and closes; no reader may be left.</summary>
    public void Dispose()
    {
        foreach (MappedFile map in _maps)
        {
            map.Dispose();
        }

        _file.Dispose();
    }

    private static int ShardOf(UInt128 key) => (int)(key >> 120);

    private static void Create(IFileSystem fileSystem, string path)
    {
        string temporary = path + SealedIndexFormat.TemporarySuffix;
        fileSystem.DeleteFile(temporary);
        using (IFile file = fileSystem.OpenFile(temporary, FileOpening.New))
        {
            const int ShardBytes = HeadSlot.Length << SmallestLog2;
            var header = new HeadsHeader();
            var slots = new byte[HeadsHeader.ShardCount * ShardBytes];
            for (int at = 0; at < slots.Length; at += HeadSlot.Length)
            {
                HeadSlot.Seal(slots.AsSpan(at, HeadSlot.Length), HeadsHeader.DataStart + at);
            }

            for (int i = 0; i < HeadsHeader.ShardCount; i++)
            {
                header.Shards[i] = (HeadsHeader.DataStart + ((long)i * ShardBytes), SmallestLog2, 0);
            }

            var headers = new byte[HeadsHeader.DataStart];
            header.Encode(headers.AsSpan(0, HeadsHeader.SlotLength));
            file.Write(0, headers);
            file.Write(HeadsHeader.DataStart, slots);
            file.Flush();
        }

        fileSystem.MoveFile(temporary, path);
        fileSystem.FlushDirectory(Path.GetDirectoryName(path) ?? ".");
    }

    private void ApplySorted(uint segment, ReadOnlySpan<KeyValuePair<UInt128, StreamHead>> sorted)
    {
        while (!sorted.IsEmpty)
        {
            int shard = ShardOf(sorted[0].Key);
            int count = 1;
            while (count < sorted.Length && ShardOf(sorted[count].Key) == shard)
            {
                count++;
            }

            ApplyToShard(shard, segment, sorted[..count]);
            sorted = sorted[count..];
        }

        _image = [];
        _writer.Flush();
        _header.AppliedThrough = segment;
        _header.Sequence++;
        var slot = new byte[HeadsHeader.SlotLength];
        _header.Encode(slot);
        _file.Write((long)(_header.Sequence & 1) * HeadsHeader.SlotLength, slot);
        _file.Flush();
    }

    private void ApplyToShard(int number, uint segment, ReadOnlySpan<KeyValuePair<UInt128, StreamHead>> sorted)
    {
        Shard shard = _shards[number];
        (long offset, int log2, int used) = _header.Shards[number];
        var table = new HeadsTable(_file.Path, _writer, shard.Map, offset, log2);
        int added;
        if (!Fits(used + sorted.Length, log2) && !Fits(used + table.CountNew(sorted, segment), log2))
        {
            added = Grow(number, table, segment, sorted);
        }
        else
        {
            added = table.Put(sorted, segment);
        }

        _header.Shards[number].Used += added;
        _header.StreamCount += added;
    }

    private static bool Fits(int used, int log2) => (long)used * 10 <= (long)LoadTenths << log2;

    private int Grow(int number, HeadsTable old, uint segment, ReadOnlySpan<KeyValuePair<UInt128, StreamHead>> sorted)
    {
        (_, int log2, int used) = _header.Shards[number];
        int needed = used + old.CountNew(sorted, segment);
        do
        {
            log2++;
        }
        while (!Fits(needed, log2));

        Invariant.Check(log2 <= LargestLog2);
        long bytes = (long)HeadSlot.Length << log2;
        long offset = _extents.Take(bytes);
        MappedFile map = MapAtLeast(offset + bytes);

        // Nobody reads the new place yet, so it is filled in memory and written in one go.
        if (_image.Length < bytes)
        {
            _image = new byte[bytes];
        }

        Span<byte> image = _image.AsSpan(0, (int)bytes);
        image.Clear();
        int added = old.CopyTo(image, offset, log2, sorted, segment);
        _writer.WriteThrough(offset, image);
        _header.Shards[number].Offset = offset;
        _header.Shards[number].Log2Slots = log2;
        Volatile.Write(ref _shards[number], new Shard(map, offset, log2));
        return added;
    }

    /// <summary>A mapping that covers so many bytes. Earlier ones stay: readers may be in them.</summary>
    private MappedFile MapAtLeast(long length)
    {
        if (_maps[^1].Length < length)
        {
            // Doubling keeps the number of mappings small; the file is sparse, so room ahead costs no disk.
            long wanted = Math.Max(length, _file.Length + Math.Min(_file.Length, LargestLengthStep));
            _file.SetLength(wanted);
            _maps.Add(_file.Map(wanted, MappedAccess.Random));
        }

        return _maps[^1];
    }

    /// <summary>Copies a slot and checks it; waits out a write that is just being copied over it.</summary>
    private void ReadStable(MappedFile map, long offset, Span<byte> slot)
    {
        SpinWait spin = default;
        while (true)
        {
            int before = _writer.WriteSequence;
            map.Span(offset, HeadSlot.Length).CopyTo(slot);
            if (HeadSlot.IsWhole(slot, offset))
            {
                return;
            }

            Interlocked.MemoryBarrier(); // the bytes were read before the sequence is read again
            if ((before & 1) == 0 && _writer.WriteSequence == before)
            {
                HeadsTable.ThrowDamaged(_file.Path, slot, offset);
            }

            spin.SpinOnce();
        }
    }

    private sealed record Shard(MappedFile Map, long Offset, int Log2Slots)
    {
        public uint HomeOf(UInt128 key) => HeadsTable.HomeOf(key, Log2Slots);
    }
}
