using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using EventVault.Storage.Io;

namespace EventVault.Storage.Index;

/// <summary>
/// The keys of one sealed segment: which of its events have a key. Never changes; rebuildable from the segment.
/// </summary>
/// <remarks>
/// The header and the checksums are checked at opening, which reads a thousandth of the file; each 4 KiB block is checked
/// when it is first read, so that what is handed out always comes from checked bytes. Any number of threads may read
/// without locks until <see cref="Dispose"/>, which the owner calls only when no reader is left, or, once a scavenge replaced
/// it, until nothing leads to it any more (<see cref="Retire"/>): so every method holds on to it until it has read.
/// </remarks>
internal sealed class SealedKeys : IDisposable
{
    /// <summary>What the message of damage says: nobody needs to do anything, while the node runs.</summary>
    public const string NextStep = "This file is rebuildable: a running node makes it again from the log within seconds. Ask again then.";

    private readonly MappedFile _map;
    private readonly string _path;
    private readonly SealedKeysShape _shape;
    private readonly ulong[] _checked; // a bit for each block; bits are only ever set
    private readonly int _suffixBytes;
    private readonly int _valueBytes;
    private readonly int _bloomBlocks;
    private readonly long _directory;
    private readonly long _entries;
    private readonly long _lists;
    private volatile bool _isDamaged;

    private SealedKeys(string path, MappedFile map)
    {
        GC.SuppressFinalize(this);
        _path = path;
        _map = map;
        (Segment, _shape, uint tableChecksum) = Header(path, map.Span(0, SealedKeysFormat.HeaderLength), map.Length);
        (KeyCount, PostingCount, EventCount) = (_shape.Keys, _shape.Postings, Segment.Events);
        OrdinalWidth = SealedKeysFormat.Width((uint)Math.Max(0, EventCount - 1));
        (_suffixBytes, _valueBytes, _bloomBlocks) = (_shape.SuffixBytes, _shape.ValueBytes, _shape.BloomBlocks);
        (_directory, _entries, _lists) = (_shape.Directory, _shape.Entries, _shape.Lists);
        _checked = new ulong[(_shape.Blocks + 63) / 64];
        uint found = Checksum.Compute(map.Span(_shape.Table, (int)(_shape.FileLength - _shape.Table)));
        if (found != tableChecksum)
        {
            throw Damage(_shape.Table, $"checksums with checksum {found:X8}, expected {tableChecksum:X8}");
        }
    }

    ~SealedKeys() => _map.Dispose();

    /// <summary>The segment they are of.</summary>
    public KeyedSegment Segment { get; }

    /// <summary>Whether anybody has found damage here.</summary>
    public bool IsDamaged => _isDamaged;

    /// <summary>Number of different keys.</summary>
    public int KeyCount { get; }

    /// <summary>Number of postings, of all keys together.</summary>
    public long PostingCount { get; }

    public long LengthBytes => _map.Length;

    /// <summary>Events in the segment.</summary>
    public int EventCount { get; }

    /// <summary>Bits of an ordinal in a short list.</summary>
    internal int OrdinalWidth { get; }

    /// <summary>What a key file of this content will look like; <see cref="SealedKeysShape.FileLength"/> is what it takes.</summary>
    /// <param name="content">Sorted.</param>
    /// <param name="events">Events in the segment.</param>
    public static SealedKeysShape Measure(SealedKeysContent content, int events) => SealedKeysWriter.Measure(content, events);

    /// <summary>Writes a key file so that under <paramref name="path"/> there is never half a file, and makes it durable.</summary>
    /// <param name="fileSystem">Where.</param>
    /// <param name="path">Its path.</param>
    /// <param name="segment">What it is of.</param>
    /// <param name="content">Sorted.</param>
    /// <param name="shape">As from <see cref="Measure"/>.</param>
    public static void Write(IFileSystem fileSystem, string path, in KeyedSegment segment, SealedKeysContent content, in SealedKeysShape shape) =>
        SealedKeysWriter.Write(fileSystem, path, segment, content, shape);

    /// <summary>Whether there is a key file of this segment, as far as its header and length tell.</summary>
    /// <exception cref="UnsupportedFormatException">It is of a later format.</exception>
    public static bool Fits(IFileSystem fileSystem, string path, in KeyedSegment segment)
    {
        if (!fileSystem.FileExists(path))
        {
            return false;
        }

        using IFile file = fileSystem.OpenFile(path, FileOpening.ReadExisting);
        Span<byte> header = stackalloc byte[SealedKeysFormat.HeaderLength];
        if (file.Read(0, header) < header.Length)
        {
            return false;
        }

        try
        {
            return Header(path, header, file.Length).Segment == segment;
        }
        catch (IndexDamageException)
        {
            return false;
        }
    }

    /// <summary>Whether it is an intact file of an older format version: the next start makes it anew.</summary>
    public static bool IsOlder(IFileSystem fileSystem, string path)
    {
        using IFile file = fileSystem.OpenFile(path, FileOpening.ReadExisting);
        Span<byte> header = stackalloc byte[SealedKeysFormat.HeaderLength];
        return file.Read(0, header) == header.Length
            && FileHeader.Fault(header, SealedKeysFormat.Magic) is null
            && FileHeader.StoredVersion(header) < SealedKeysFormat.Version;
    }

    /// <summary>Opens a key file and checks its header and its checksums.</summary>
    /// <exception cref="IndexDamageException">They are damaged, or the file is gone, or that of another segment.</exception>
    /// <exception cref="UnsupportedFormatException">It is of a later format.</exception>
    public static SealedKeys Open(IFileSystem fileSystem, string path, uint expectedSegment)
    {
        using IFile file = IndexDamageException.OpenFile(fileSystem, path, NextStep);
        if (file.Length < SealedKeysFormat.HeaderLength)
        {
            throw new IndexDamageException(path, 0, $"{file.Length} bytes, expected at least a header of {SealedKeysFormat.HeaderLength}", NextStep);
        }

        MappedFile map = file.Map(file.Length, MappedAccess.Random);
        try
        {
            var keys = new SealedKeys(path, map);
            return keys.Segment.Segment == expectedSegment
                ? keys
                : throw keys.Damage(40, $"keys of segment {keys.Segment.Segment}, expected {expectedSegment}");
        }
        catch
        {
            map.Dispose();
            throw;
        }
    }

    /// <summary>Whether a key may be here; false: it is not. Cheaper than <see cref="TryFind"/>, and wrong for some 3 of 100 absent keys.</summary>
    /// <exception cref="IndexDamageException">The bytes concerned are damaged.</exception>
    public bool MayContain(ulong key)
    {
        if (_bloomBlocks == 0)
        {
            return false;
        }

        long block = SealedKeysFormat.BloomBlockOf(key, _bloomBlocks);
        bool isIn = SealedKeysFormat.IsInBloom(
            Bytes(SealedKeysFormat.HeaderLength + (block * SealedKeysFormat.BloomBlockBytes), SealedKeysFormat.BloomBlockBytes), key);
        GC.KeepAlive(this);
        return isIn;
    }

    /// <summary>Finds the events that have a key; false: none has. Allocates nothing.</summary>
    /// <exception cref="IndexDamageException">The bytes concerned are damaged.</exception>
    public bool TryFind(ulong key, out KeyPostings postings)
    {
        postings = default;
        if (!MayContain(key))
        {
            return false;
        }

        var (low, high) = Bucket(SealedKeysFormat.BucketOf(key, _suffixBytes));
        int entryBytes = _suffixBytes + _valueBytes;
        long start = _entries + ((long)low * entryBytes);
        ReadOnlySpan<byte> bucket = Bytes(start, (high - low) * entryBytes);
        ulong mask = ulong.MaxValue >> (64 - (8 * _suffixBytes));
        ulong wanted = key & mask;
        (low, high) = (0, high - low);
        while (low < high)
        {
            int middle = (int)((uint)(low + high) >> 1);
            ulong found = BinaryPrimitives.ReadUInt64LittleEndian(bucket[(middle * entryBytes)..]) & mask;
            if (found == wanted)
            {
                postings = Postings(Value(bucket.Slice(middle * entryBytes, entryBytes)), start + ((long)middle * entryBytes));
                return true;
            }

            (low, high) = found < wanted ? (middle + 1, high) : (low, middle);
        }

        GC.KeepAlive(this);
        return false;
    }

    /// <summary>
    /// Checks all of the file: every block, that keys ascend and pass the filter, that postings ascend and are those of
    /// events of the segment, and that the lists follow one another.
    /// </summary>
    /// <exception cref="IndexDamageException">Something is wrong.</exception>
    public void CheckAll()
    {
        for (int block = 0; block < _shape.Blocks; block++)
        {
            CheckBlock(block);
        }

        long postings = 0;
        long list = 0;
        int entry = 0;
        ulong before = 0;
        for (int bucket = 0; bucket < SealedKeysFormat.Buckets(_suffixBytes); bucket++)
        {
            var (low, high) = Bucket(bucket);
            if (low != entry)
            {
                throw Damage(_directory + ((long)bucket * sizeof(uint)), $"bucket {bucket} begins with entry {low}, expected {entry}");
            }

            for (; entry < high; entry++)
            {
                KeyPostings found = CheckEntry(bucket, entry, ref before, ref list);
                postings += found.Count;
            }
        }

        if (entry != KeyCount || postings != PostingCount || list + SealedKeysFormat.ListsEndBytes != _shape.ListsLength)
        {
            throw Damage(_lists, $"{entry} keys, {postings} postings, lists of {list} bytes; the header says {KeyCount}, {PostingCount}, {_shape.ListsLength}");
        }
    }

    /// <summary>Unmaps; no reader may be left.</summary>
    public void Dispose()
    {
        GC.SuppressFinalize(this);
        _map.Dispose();
    }

    /// <summary>Unmaps when nothing leads to it any more.</summary>
    public void Retire() => GC.ReRegisterForFinalize(this);

    /// <summary>Checked bytes of the parts; every block they lie in is checked before, once.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ReadOnlySpan<byte> Bytes(long offset, int length)
    {
        Invariant.Check(offset >= SealedKeysFormat.HeaderLength && length >= 0 && offset + length <= _shape.Table);
        long last = (offset + Math.Max(0, length - 1)) / SealedKeysFormat.BlockBytes;
        for (long block = offset / SealedKeysFormat.BlockBytes; block <= last; block++)
        {
            if (((Volatile.Read(ref _checked[block >> 6]) >> (int)(block & 63)) & 1) == 0)
            {
                CheckBlock(block);
            }
        }

        return _map.Span(offset, length);
    }

    /// <summary>What to throw when bytes at an offset cannot be what was written.</summary>
    internal IndexDamageException Damage(long offset, string observed)
    {
        _isDamaged = true;
        return new IndexDamageException(_path, offset, observed, NextStep);
    }

    private static (KeyedSegment Segment, SealedKeysShape Shape, uint TableChecksum) Header(string path, ReadOnlySpan<byte> header, long fileLength)
    {
        string? fault = FileHeader.Fault(header, SealedKeysFormat.Magic);
        if (fault is not null)
        {
            throw new IndexDamageException(path, 0, fault, NextStep);
        }

        if (FileHeader.StoredVersion(header) < SealedKeysFormat.Version)
        {
            throw new IndexDamageException(path, 8, $"format version {FileHeader.StoredVersion(header)}, which lacks keys; the next start makes it anew");
        }

        FileHeader.RequireSupported(path, header, SealedKeysFormat.Version);
        if (FileHeader.StoredLength(header) != header.Length || SealedKeysFormat.ReadHeader(header) is not { } read)
        {
            throw new IndexDamageException(path, 12, $"a header of {FileHeader.StoredLength(header)} bytes whose numbers contradict each other", NextStep);
        }

        return read.Shape.FileLength == fileLength
            ? read
            : throw new IndexDamageException(path, 56, $"file of {fileLength} bytes, expected {read.Shape.FileLength}", NextStep);
    }

    private void CheckBlock(long block)
    {
        long from = Math.Max(block * SealedKeysFormat.BlockBytes, SealedKeysFormat.HeaderLength);
        long until = Math.Min((block + 1) * SealedKeysFormat.BlockBytes, _shape.Table);
        uint found = Checksum.Compute(_map.Span(from, (int)(until - from)));
        uint expected = BinaryPrimitives.ReadUInt32LittleEndian(_map.Span(_shape.Table + (block * sizeof(uint)), sizeof(uint)));
        if (found != expected)
        {
            throw Damage(from, $"block checksum {found:X8}, expected {expected:X8}");
        }

        Interlocked.Or(ref _checked[block >> 6], 1UL << (int)(block & 63));
    }

    // The entries of a bucket.
    private (int Low, int High) Bucket(int bucket)
    {
        long offset = _directory + ((long)bucket * sizeof(uint));
        ReadOnlySpan<byte> bytes = Bytes(offset, 2 * sizeof(uint));
        uint low = BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        uint high = BinaryPrimitives.ReadUInt32LittleEndian(bytes[sizeof(uint)..]);
        GC.KeepAlive(this);
        return low <= high && high <= (uint)KeyCount && (high - low) * (long)(_suffixBytes + _valueBytes) <= int.MaxValue
            ? ((int)low, (int)high)
            : throw Damage(offset, $"bucket {bucket} of entries {low} to {high}, of {KeyCount}");
    }

    private uint Value(ReadOnlySpan<byte> entry) =>
        BinaryPrimitives.ReadUInt32LittleEndian(entry[^sizeof(uint)..]) >> (8 * (sizeof(uint) - _valueBytes));

    private KeyPostings Postings(uint value, long entryOffset)
    {
        uint number = value >> 1;
        if ((value & 1) == 0)
        {
            return number < (uint)EventCount
                ? new KeyPostings(number)
                : throw Damage(entryOffset, $"ordinal {number} of {EventCount}");
        }

        if (number + SealedKeysFormat.CountBytes > _shape.ListsLength)
        {
            throw Damage(entryOffset, $"a list at {number} of {_shape.ListsLength}");
        }

        long offset = _lists + number;
        ReadOnlySpan<byte> bytes = Bytes(offset, SealedKeysFormat.CountBytes);
        ulong count = 0;
        int length = 0;
        do
        {
            count |= (ulong)(bytes[length] & 0x7F) << (7 * length);
        }
        while (bytes[length++] >= 0x80 && length < SealedKeysFormat.CountBytes);

        bool isWhole = bytes[length - 1] < 0x80;
        GC.KeepAlive(this);
        return count >= 2 && count <= (uint)EventCount && isWhole
            ? new KeyPostings(this, offset + length, _lists + _shape.ListsLength, (int)count)
            : throw Damage(offset, $"a list of {count} postings, of {EventCount} events");
    }

    private KeyPostings CheckEntry(int bucket, int entry, ref ulong before, ref long list)
    {
        int entryBytes = _suffixBytes + _valueBytes;
        long offset = _entries + ((long)entry * entryBytes);
        ReadOnlySpan<byte> bytes = Bytes(offset, entryBytes);
        ulong key = BinaryPrimitives.ReadUInt64LittleEndian(bytes) & (ulong.MaxValue >> (64 - (8 * _suffixBytes)));
        key |= _suffixBytes == 8 ? 0 : (ulong)bucket << (8 * _suffixBytes);
        if ((entry > 0 && key <= before) || !MayContain(key))
        {
            throw Damage(offset, $"key {key:X16} behind {before:X16}, or not in the filter");
        }

        uint value = Value(bytes);
        if ((value & 1) != 0 && value >> 1 != list)
        {
            throw Damage(offset, $"a list at {value >> 1}, expected {list}");
        }

        KeyPostings found = Postings(value, offset);
        CheckOrdinals(found, offset);
        before = key;
        list = (value & 1) == 0 ? list : found.End - _lists;
        return found;
    }

    private void CheckOrdinals(in KeyPostings postings, long offset)
    {
        Span<uint> ordinals = stackalloc uint[SealedKeysFormat.StretchPostings];
        long before = -1;
        for (int i = 0; i < postings.Count; i += ordinals.Length)
        {
            Span<uint> piece = ordinals[..Math.Min(ordinals.Length, postings.Count - i)];
            postings.Copy(i, piece);
            foreach (uint ordinal in piece)
            {
                before = ordinal > before ? ordinal : throw Damage(offset, $"ordinal {ordinal} behind {before}");
            }
        }
    }
}
