using System.Buffers;
using System.Numerics;
using EventVault.Storage.Io;

namespace EventVault.Storage.Index;

/// <summary>
/// One operations file: a hash table of fixed size for a fixed number of appends in a row. Takes appends until it
/// is full, never changes afterwards, and is deleted as a whole.
/// </summary>
/// <remarks>
/// Crash-safe by redo like the heads file: entries never move, buckets only gain, and an entry that a crash kept is
/// recognised. One thread writes; any number may look up meanwhile.
/// </remarks>
internal sealed class OperationsGeneration : IDisposable
{
    private const int BucketsAhead = 16 * 1024; // 1 MiB

    private readonly IFile _file;
    private readonly MappedFile _map;
    private readonly BlockWriter _writer;
    private readonly OperationsHeader _header;

    // The next Put may repeat one that a crash, a failed flush or a refusal ended. Then blocks that the header does not know may hold
    // entries, and the page cache may show some that the disk does not have: so they are read, and every block on the way is written again, changed or not.
    private bool _mayRepeat = true;
    private uint? _firstBlock;

    private OperationsGeneration(IFile file, OperationsHeader header)
    {
        _file = file;
        _header = header;
        _map = file.Map(header.FileLength, MappedAccess.Random);
        _writer = new BlockWriter(file);
    }

    public OperationsHeader Header => _header;

    public string Path => _file.Path;

    /// <summary>
    /// CRC32C of the first block of buckets, which tells the file from others: once it is full it stays as it is. As it was when it was
    /// first asked for, whatever became of it since. For the thread that applies segments.
    /// </summary>
    public uint FirstBlockChecksum
    {
        get
        {
            Invariant.Check(_header.IsFull);
            return _firstBlock ??= Checksum.Compute(_map.Span(OperationsHeader.DataStart, BlockWriter.BlockBytes));
        }
    }

    /// <summary>The part of a hash that is kept.</summary>
    public static ulong FingerprintOf(UInt128 hash) => (ulong)(hash >> 64) & ((1UL << OperationBucket.FingerprintBits) - 1);

    /// <summary>Opens one generation's file.</summary>
    /// <exception cref="IndexDamageException">It is damaged.</exception>
    public static OperationsGeneration Open(IFileSystem fileSystem, string path)
    {
        IFile file = fileSystem.OpenFile(path, FileOpening.Existing);
        try
        {
            var slots = new byte[OperationsHeader.DataStart];
            int read = file.Read(0, slots);
            if (read < slots.Length)
            {
                throw new IndexDamageException(path, read, $"file of {read} bytes, expected at least {slots.Length}");
            }

            OperationsHeader header = OperationsHeader.Read(path, slots);
            if (file.Length != header.FileLength)
            {
                throw new IndexDamageException(path, 0, $"file of {file.Length} bytes, expected {header.FileLength}");
            }

            return new OperationsGeneration(file, header);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Creates the file under a temporary name first: under its own there is never half a file.</summary>
    public static OperationsGeneration Create(IFileSystem fileSystem, string path, OperationsHeader header)
    {
        string temporary = path + SealedIndexFormat.TemporarySuffix;
        fileSystem.DeleteFile(temporary);
        using (IFile file = fileSystem.OpenFile(temporary, FileOpening.New))
        {
            // Sparse: a block costs disk only once an entry falls into it.
            file.SetLength(header.FileLength);
            WriteHeader(file, header);
            file.Flush();
        }

        fileSystem.MoveFile(temporary, path);
        fileSystem.FlushDirectory(System.IO.Path.GetDirectoryName(path) ?? ".");
        OperationsGeneration created = Open(fileSystem, path);
        created._mayRepeat = false;
        return created;
    }

    /// <summary>Touches the bucket where a search begins, so that the caches fetch many generations' at once.</summary>
    public byte Touch(UInt128 hash)
    {
        int bucket = HomeOf(hash);
        return _header.IsWritten(BlockOf(bucket)) ? _map.Span(OffsetOf(bucket), 1)[0] : (byte)0;
    }

    /// <summary>Adds the places of all entries with this hash's fingerprint; returns how many were added.</summary>
    /// <exception cref="IndexDamageException">A bucket on the way is damaged.</exception>
    public int Find(UInt128 hash, Span<Place> candidates)
    {
        ulong fingerprint = FingerprintOf(hash);
        Span<byte> bucket = stackalloc byte[OperationBucket.Length];
        int found = 0;
        int number = HomeOf(hash);
        for (int probes = 0; probes < _header.Buckets; probes++, number = Next(number))
        {
            if (!_header.IsWritten(BlockOf(number)))
            {
                return found;
            }

            ReadStable(OffsetOf(number), bucket);
            for (int i = 0; i < OperationBucket.Count(bucket) && found < candidates.Length; i++)
            {
                (ulong stored, Place place) = OperationBucket.Entry(bucket, i);
                if (stored == fingerprint)
                {
                    candidates[found++] = place;
                }
            }

            if (!OperationBucket.Overflowed(bucket))
            {
                return found;
            }
        }

        return found;
    }

    /// <summary>
    /// Puts entries into their buckets and flushes; the header stays as it is until <see cref="Commit"/>. The same
    /// entries in the same order give the same buckets, whatever a crash or a refusal kept of an earlier try.
    /// </summary>
    /// <param name="count">How many.</param>
    /// <param name="entry">Each of them, by number.</param>
    /// <param name="room">Of at least so many.</param>
    public void Put(int count, Func<int, (UInt128 Hash, Place Place)> entry, OperationsRoom room)
    {
        // In bucket order, so that each block is written once; within a bucket by their numbers. Both in one integer.
        Span<ulong> order = room.Order.AsSpan(0, count);
        (ulong Fingerprint, Place Place)[] entries = room.Entries;
        var touched = new ulong[_header.Written.Length];
        bool mayRepeat = _mayRepeat;
        _mayRepeat = true; // Until it has come to its end.
        for (int i = 0; i < count; i++)
        {
            (UInt128 hash, Place place) = entry(i);
            order[i] = ((ulong)(uint)HomeOf(hash) << 32) | (uint)i;
            entries[i] = (FingerprintOf(hash), place);
        }

        SortByHome(order, room.Spare, _header.Buckets);
        PutInOrder(order, entries, touched, mayRepeat);
        _writer.Flush();
        _mayRepeat = false;
        for (int i = 0; i < touched.Length; i++)
        {
            Interlocked.Or(ref _header.Written[i], touched[i]);
        }
    }

    /// <summary>Makes durable that <paramref name="count"/> more appends, up to a segment's end, are in.</summary>
    public void Commit(long appliedThrough, int count, bool goesOn)
    {
        Invariant.Check(appliedThrough >= _header.AppliedThrough && count >= 0 && _header.Count + count <= _header.GenerationAppends);
        var before = (_header.AppliedThrough, _header.Count, _header.GoesOn);
        (_header.AppliedThrough, _header.Count, _header.GoesOn) = (appliedThrough, _header.Count + count, goesOn);
        CommitHeader(() => (_header.AppliedThrough, _header.Count, _header.GoesOn) = before);
    }

    /// <summary>Makes durable that generations before this append are given up; only then may they be deleted.</summary>
    public void CommitOldest(long oldestFirstAppend)
    {
        Invariant.Check(oldestFirstAppend > _header.OldestFirstAppend && oldestFirstAppend <= _header.FirstAppend);
        long before = _header.OldestFirstAppend;
        _header.OldestFirstAppend = oldestFirstAppend;
        CommitHeader(() => _header.OldestFirstAppend = before);
    }

    /// <summary>All entries, bucket by bucket; checks every bucket that was written. Not while entries are put in.</summary>
    public IEnumerable<(ulong Fingerprint, Place Place)> ReadAll()
    {
        var bucket = new byte[OperationBucket.Length];
        for (int number = 0; number < _header.Buckets; number++)
        {
            if (number % BucketsAhead == 0)
            {
                _map.Prefetch(OffsetOf(number), 2 * BucketsAhead * OperationBucket.Length);
            }

            if (_header.IsWritten(BlockOf(number)))
            {
                ReadStable(OffsetOf(number), bucket);
                for (int i = 0; i < OperationBucket.Count(bucket); i++)
                {
                    yield return OperationBucket.Entry(bucket, i);
                }
            }
        }

        _map.Unload(); // Of all that was read look-ups need a few pages.
    }

    /// <summary>Unmaps and closes; no reader may be left.</summary>
    public void Dispose()
    {
        _map.Dispose();
        _file.Dispose();
    }

    // Refused, it stays what the disk says: the other slot is whole there.
    private void CommitHeader(Action takeBack)
    {
        _header.Sequence++;
        try
        {
            WriteHeader(_file, _header);
        }
        catch (DiskException e) when (e.IsRefusal)
        {
            _header.Sequence--;
            takeBack();
            throw;
        }

        _file.Flush();
    }

    private static void WriteHeader(IFile file, OperationsHeader header)
    {
        var slot = new byte[OperationsHeader.SlotLength];
        header.Encode(slot);
        file.Write((long)(header.Sequence & 1) * OperationsHeader.SlotLength, slot);
    }

    private static int BlockOf(int bucket) => bucket / (BlockWriter.BlockBytes / OperationBucket.Length);

    private static long OffsetOf(int bucket) => OperationsHeader.DataStart + ((long)bucket * OperationBucket.Length);

    private int HomeOf(UInt128 hash) => (int)(((ulong)(uint)hash * (uint)_header.Buckets) >> 32);

    private int Next(int bucket) => bucket + 1 == _header.Buckets ? 0 : bucket + 1;

    /// <summary>Sorts entries by their bucket, in the high half, and then by their number, in the low half, by which they are sorted already.</summary>
    /// <remarks>
    /// Dealt out by one half of the bucket's number and then by the other, each time in the order in which they come: for a segment's hundreds of thousands
    /// less work than comparing them.
    /// </remarks>
    /// <param name="order">The entries.</param>
    /// <param name="spare">At least as many, of no content.</param>
    /// <param name="buckets">How many buckets there are.</param>
    internal static void SortByHome(Span<ulong> order, Span<ulong> spare, int buckets)
    {
        const int LeastDealt = 4096; // For few there would be more values of half a number to count than entries.
        if (order.Length < LeastDealt)
        {
            order.Sort();
            return;
        }

        int bits = (BitOperations.Log2((uint)buckets) + 2) / 2; // Of each half.
        int[] ends = ArrayPool<int>.Shared.Rent(1 << bits);
        Span<ulong> dealt = spare[..order.Length];
        Deal(order, dealt, 32, ends.AsSpan(0, 1 << bits));
        Deal(dealt, order, 32 + bits, ends.AsSpan(0, 1 << bits));
        ArrayPool<int>.Shared.Return(ends);
    }

    private static void Deal(ReadOnlySpan<ulong> from, Span<ulong> to, int shift, Span<int> ends)
    {
        uint mask = (uint)ends.Length - 1;
        ends.Clear();
        foreach (ulong item in from)
        {
            ends[(int)((uint)(item >> shift) & mask)]++;
        }

        int end = 0;
        for (int i = 0; i < ends.Length; i++)
        {
            (ends[i], end) = (end, end + ends[i]);
        }

        foreach (ulong item in from)
        {
            to[ends[(int)((uint)(item >> shift) & mask)]++] = item;
        }
    }

    // Bucket by bucket: what finds no room goes on to the next one, and in there before those whose home that is.
    private void PutInOrder(ReadOnlySpan<ulong> order, (ulong Fingerprint, Place Place)[] entries, ulong[] touched, bool mayRepeat)
    {
        var goOn = new List<int>();
        int next = 0;
        int passed = 0; // Behind the last one's home.
        for (int number = 0; next < order.Length || goOn.Count > 0; number = Next(number))
        {
            if (goOn.Count == 0)
            {
                number = HomeOf(order[next]);
            }
            else if (next == order.Length && passed++ > _header.Buckets)
            {
                throw new IndexDamageException(Path, OperationsHeader.DataStart, "a table without room for its appends");
            }

            Span<byte> bucket = BucketForWriting(number, touched, mayRepeat);
            bool isChanged = false;
            int came = goOn.Count;
            int full = 0;
            for (int i = 0; i < came; i++)
            {
                if (!TryPut(bucket, entries[goOn[i]], ref isChanged))
                {
                    goOn[full++] = goOn[i];
                }
            }

            goOn.RemoveRange(full, came - full);
            for (; next < order.Length && HomeOf(order[next]) == number; next++)
            {
                if (!TryPut(bucket, entries[(int)(uint)order[next]], ref isChanged))
                {
                    goOn.Add((int)(uint)order[next]);
                }
            }

            if (isChanged)
            {
                OperationBucket.Seal(bucket, OffsetOf(number));
            }
        }

        static int HomeOf(ulong ordered) => (int)(ordered >> 32);
    }

    // False: it has to go on to the next bucket.
    private static bool TryPut(Span<byte> bucket, (ulong Fingerprint, Place Place) entry, ref bool isChanged)
    {
        int count = OperationBucket.Count(bucket);
        for (int i = 0; i < count; i++)
        {
            if (OperationBucket.Entry(bucket, i) == entry)
            {
                return true; // Kept of an earlier try.
            }
        }

        if (count < OperationBucket.Capacity)
        {
            OperationBucket.Add(bucket, entry.Fingerprint, entry.Place);
            isChanged = true;
            return true;
        }

        if (!OperationBucket.Overflowed(bucket))
        {
            OperationBucket.SetOverflowed(bucket);
            isChanged = true;
        }

        return false;
    }

    /// <summary>
    /// A bucket to be changed in place, before the next call; its block is written, changed or not. A block that is touched for the first time
    /// gets empty buckets with checksums, so that from then on zeros in it are damage.
    /// </summary>
    private Span<byte> BucketForWriting(int number, ulong[] touched, bool mayRepeat)
    {
        int block = BlockOf(number);
        long start = OperationsHeader.DataStart + ((long)block * BlockWriter.BlockBytes);
        bool isFirst = (touched[block / 64] & (1UL << (block % 64))) == 0;
        touched[block / 64] |= 1UL << (block % 64);
        bool isNew = isFirst && !_header.IsWritten(block);
        Span<byte> window = _writer.Window(start, isEmpty: isNew && !mayRepeat);
        if (isNew)
        {
            for (int at = 0; at < window.Length; at += OperationBucket.Length)
            {
                // What is left of an earlier try stays.
                Span<byte> fresh = window.Slice(at, OperationBucket.Length);
                if (OperationBucket.IsUnwritten(fresh))
                {
                    OperationBucket.Clear(fresh);
                    OperationBucket.Seal(fresh, start + at);
                }
            }
        }

        long offset = OffsetOf(number);
        Span<byte> bucket = window.Slice((int)(offset - start), OperationBucket.Length);
        if (!OperationBucket.IsWhole(bucket, offset))
        {
            ThrowDamaged(bucket, offset);
        }

        return bucket;
    }

    private void ReadStable(long offset, Span<byte> bucket)
    {
        SpinWait spin = default;
        while (true)
        {
            int before = _writer.WriteSequence;
            _map.Span(offset, OperationBucket.Length).CopyTo(bucket);
            if (OperationBucket.IsWhole(bucket, offset))
            {
                return;
            }

            Interlocked.MemoryBarrier(); // the bytes were read before the sequence is read again
            if ((before & 1) == 0 && _writer.WriteSequence == before)
            {
                ThrowDamaged(bucket, offset);
            }

            spin.SpinOnce();
        }
    }

    private void ThrowDamaged(ReadOnlySpan<byte> bucket, long offset) => throw new IndexDamageException(
        Path,
        offset,
        $"bucket checksum {OperationBucket.StoredChecksum(bucket):X8}, expected {OperationBucket.ComputeChecksum(bucket, offset):X8}");
}
