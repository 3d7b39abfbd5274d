using System.Runtime.InteropServices;

namespace EventVault.Storage.Tests.Simulated;

/// <summary>
/// A file's bytes, as the processes see them (the page cache) and as they are on the disk. Pages are never changed
/// once they are shared, so that a flush and a crash only copy references. Not safe for concurrent use.
/// </summary>
internal sealed class SimulatedContent(bool tracksLosses) : SimulatedInode
{
    internal const int PageSize = 4096;
    internal const int SectorSize = 512;

    private const int SectorsPerPage = PageSize / SectorSize;

    // A null page is all zeros. Entries behind the end of a table are, too.
    private byte[]?[] _cache = [];
    private byte[]?[] _disk = [];

    // Per page with unflushed writes: every state since the last flush, oldest first; the last one is the cache's.
    private readonly Dictionary<int, List<byte[]?>> _unflushed = [];
    private readonly List<long> _unflushedLengths = [];
    private readonly List<byte[]> _mappings = [];
    private long _diskLength;

    internal long Length { get; private set; }

    internal bool HasUnflushed => _unflushed.Count > 0 || _unflushedLengths.Count > 0;

    internal int Read(long offset, Span<byte> destination, bool fromDisk)
    {
        var count = (int)Math.Clamp(Length - offset, 0, destination.Length);
        for (var done = 0; done < count;)
        {
            var index = (int)((offset + done) / PageSize);
            var inPage = (int)((offset + done) % PageSize);
            var part = destination.Slice(done, Math.Min(PageSize - inPage, count - done));
            // What was never flushed but is still to be written counts as the disk's: reading past the cache
            // makes the kernel write it first.
            var page = fromDisk && tracksLosses && !_unflushed.ContainsKey(index) ? PageAt(_disk, index) : PageAt(_cache, index);
            if (page is null)
            {
                part.Clear();
            }
            else
            {
                page.AsSpan(inPage, part.Length).CopyTo(part);
            }

            done += part.Length;
        }

        return count;
    }

    internal void Write(long offset, ReadOnlySpan<byte> source)
    {
        if (source.IsEmpty)
        {
            return; // Not even behind the end does an empty write make a file longer.
        }

        for (var done = 0; done < source.Length;)
        {
            var index = (int)((offset + done) / PageSize);
            var inPage = (int)((offset + done) % PageSize);
            var part = source.Slice(done, Math.Min(PageSize - inPage, source.Length - done));
            part.CopyTo(ChangePage(index, keepsRest: part.Length < PageSize).AsSpan(inPage));
            done += part.Length;
        }

        foreach (var mapping in _mappings)
        {
            if (offset < mapping.Length)
            {
                source[..(int)Math.Min(source.Length, mapping.Length - offset)].CopyTo(mapping.AsSpan((int)offset));
            }
        }

        GrowTo(offset + source.Length);
    }

    internal void WriteZeros(long offset, long length)
    {
        if (length == 0)
        {
            return;
        }

        GrowTo(offset + length);
        ClearPages((int)(offset / PageSize), (int)((offset + length) / PageSize));
        ClearMappings(offset, offset + length);
    }

    internal void SetLength(long length)
    {
        if (length < Length)
        {
            var inPage = (int)(length % PageSize);
            var index = (int)(length / PageSize);
            if (inPage > 0 && PageAt(_cache, index) is not null)
            {
                ChangePage(index, keepsRest: true).AsSpan(inPage).Clear();
            }

            ClearPages(inPage > 0 ? index + 1 : index, PageCount(Length));
            ClearMappings(length, Length);
        }

        if (length != Length)
        {
            Length = length;
            NoteLength();
        }
    }

    internal void Flush()
    {
        foreach (var index in _unflushed.Keys)
        {
            SetPage(ref _disk, index, PageAt(_cache, index));
        }

        ForgetUnflushed(_unflushedLengths.Count > 0 ? Length : _diskLength);
    }

    /// <summary>
    /// What Linux does when write-back fails: what did not reach the disk counts as clean from now on, so that later
    /// flushes succeed without it, while reads through the page cache still show it.
    /// </summary>
    internal void FailFlush(Random? random)
    {
        if (random is not null)
        {
            ForgetUnflushed(DrawAfterCrash(random, ref _disk));
        }
        else
        {
            ForgetUnflushed(_diskLength);
        }
    }

    /// <summary>The file after a power loss: what was flushed, and a random part of the rest.</summary>
    internal SimulatedContent Crash(Random random)
    {
        var survivor = new SimulatedContent(tracksLosses) { _disk = (byte[]?[])_disk.Clone() };
        var length = DrawAfterCrash(random, ref survivor._disk);
        survivor._disk = CutAt(survivor._disk, length);
        survivor._diskLength = survivor.Length = length;
        survivor._cache = (byte[]?[])survivor._disk.Clone();
        return survivor;
    }

    internal void FlipBit(long offset, int bit)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(offset, Length);
        var index = (int)(offset / PageSize);
        var inPage = (int)(offset % PageSize);
        var mask = (byte)(1 << bit);
        if (tracksLosses)
        {
            SetPage(ref _disk, index, Flipped(PageAt(_disk, index)));
        }

        SetPage(ref _cache, index, Flipped(PageAt(_cache, index)));
        if (_unflushed.TryGetValue(index, out var versions))
        {
            for (var i = 0; i < versions.Count; i++)
            {
                versions[i] = i == versions.Count - 1 ? PageAt(_cache, index) : Flipped(versions[i]);
            }
        }

        foreach (var mapping in _mappings)
        {
            if (offset < mapping.Length)
            {
                mapping[offset] ^= mask;
            }
        }

        byte[] Flipped(byte[]? page)
        {
            var copy = page is null ? new byte[PageSize] : (byte[])page.Clone();
            copy[inPage] ^= mask;
            return copy;
        }
    }

    /// <summary>A pinned copy that later writes go to, too.</summary>
    internal byte[] Map(long length)
    {
        var mapping = GC.AllocateArray<byte>(checked((int)length), pinned: true);
        for (var index = 0; index < PageCount(length); index++)
        {
            if (PageAt(_cache, index) is { } page)
            {
                var start = index * PageSize;
                page.AsSpan(0, Math.Min(PageSize, mapping.Length - start)).CopyTo(mapping.AsSpan(start));
            }
        }

        _mappings.Add(mapping);
        return mapping;
    }

    internal void Unmap(byte[] mapping) => _mappings.Remove(mapping);

    /// <summary>Whoever mapped it is gone.</summary>
    internal void ForgetMappings() => _mappings.Clear();

    /// <summary>The same bytes, all of them flushed.</summary>
    internal SimulatedContent Copy() => new(tracksLosses)
    {
        _cache = (byte[]?[])_cache.Clone(),
        _disk = (byte[]?[])_cache.Clone(),
        _diskLength = Length,
        Length = Length,
    };

    /// <summary>Whether these bytes are on the disk, and no unflushed write may replace them with others.</summary>
    internal bool IsFlushed(long offset, ReadOnlySpan<byte> bytes)
    {
        if (offset + bytes.Length > _diskLength || _unflushedLengths.Exists(IsShorter(offset + bytes.Length)))
        {
            return false;
        }

        for (var done = 0; done < bytes.Length;)
        {
            var index = (int)((offset + done) / PageSize);
            var inPage = (int)((offset + done) % PageSize);
            var part = bytes.Slice(done, Math.Min(PageSize - inPage, bytes.Length - done));
            if (!Holds(PageAt(_disk, index), inPage, part))
            {
                return false;
            }

            foreach (var version in _unflushed.GetValueOrDefault(index) ?? [])
            {
                if (!Holds(version, inPage, part))
                {
                    return false;
                }
            }

            done += part.Length;
        }

        return true;
    }

    /// <summary>All bytes that are on the disk.</summary>
    internal byte[] ReadFlushed()
    {
        var bytes = new byte[_diskLength];
        for (var index = 0; index < PageCount(_diskLength); index++)
        {
            var start = index * PageSize;
            PageAt(_disk, index)?.AsSpan(0, (int)Math.Min(PageSize, _diskLength - start)).CopyTo(bytes.AsSpan(start));
        }

        return bytes;
    }

    private static Predicate<long> IsShorter(long length) => other => other < length;

    private static bool Holds(byte[]? page, int offset, ReadOnlySpan<byte> bytes) =>
        page is null ? !bytes.ContainsAnyExcept((byte)0) : page.AsSpan(offset, bytes.Length).SequenceEqual(bytes);

    private static int PageCount(long length) => (int)((length + PageSize - 1) / PageSize);

    private static byte[]? PageAt(byte[]?[] table, int index) => index < table.Length ? table[index] : null;

    private static void SetPage(ref byte[]?[] table, int index, byte[]? page)
    {
        if (index >= table.Length)
        {
            if (page is null)
            {
                return;
            }

            Array.Resize(ref table, Math.Max(index + 1, table.Length * 2));
        }

        table[index] = page;
    }

    private static byte[]?[] CutAt(byte[]?[] table, long length)
    {
        var pages = PageCount(length);
        if (table.Length > pages)
        {
            Array.Resize(ref table, pages);
        }

        var inPage = (int)(length % PageSize);
        if (inPage > 0 && PageAt(table, pages - 1) is { } last && last.AsSpan(inPage).ContainsAnyExcept((byte)0))
        {
            last = (byte[])last.Clone();
            last.AsSpan(inPage).Clear();
            table[pages - 1] = last;
        }

        return table;
    }

    /// <summary>A page of the cache that may be written, noted as unflushed.</summary>
    private byte[] ChangePage(int index, bool keepsRest)
    {
        var page = PageAt(_cache, index);
        if (tracksLosses || page is null)
        {
            // Shared with the disk, with earlier versions or with crashed copies: changed by replacing it.
            var changed = keepsRest && page is null ? new byte[PageSize] : GC.AllocateUninitializedArray<byte>(PageSize);
            if (keepsRest)
            {
                page?.CopyTo(changed, 0);
            }

            page = changed;
            SetPage(ref _cache, index, page);
            NoteVersion(index, page);
        }

        return page;
    }

    private void ClearPages(int from, int to)
    {
        for (var index = from; index < to; index++)
        {
            if (PageAt(_cache, index) is not null || (tracksLosses && PageAt(_disk, index) is not null) || _unflushed.ContainsKey(index))
            {
                SetPage(ref _cache, index, null);
                NoteVersion(index, null);
            }
        }
    }

    private void ClearMappings(long from, long to)
    {
        foreach (var mapping in _mappings)
        {
            var start = (int)Math.Min(from, mapping.Length);
            mapping.AsSpan(start, (int)Math.Min(to, mapping.Length) - start).Clear();
        }
    }

    private void NoteVersion(int index, byte[]? page)
    {
        if (tracksLosses)
        {
            ref var versions = ref CollectionsMarshal.GetValueRefOrAddDefault(_unflushed, index, out _);
            (versions ??= new(1)).Add(page);
        }
    }

    private void GrowTo(long length)
    {
        if (length > Length)
        {
            Length = length;
            NoteLength();
        }
        else if (length > _diskLength && _unflushedLengths.Count == 0)
        {
            // A failed flush lost the length; a new write there makes it dirty again.
            NoteLength();
        }
    }

    private void NoteLength()
    {
        if (tracksLosses)
        {
            _unflushedLengths.Add(Length);
        }
    }

    private void ForgetUnflushed(long diskLength)
    {
        _diskLength = diskLength;
        _unflushed.Clear();
        _unflushedLengths.Clear();
    }

    /// <summary>Puts a random part of what is unflushed into <paramref name="table"/>; returns the length drawn.</summary>
    private long DrawAfterCrash(Random random, ref byte[]?[] table)
    {
        if (!HasUnflushed)
        {
            return _diskLength;
        }

        var luck = new CrashLuck(random, (_unflushed.Count * SectorsPerPage) + 1);
        // As often as not the length shares the content's fate: alone it would spoil most of the clean extremes.
        var lengthLuck = random.Next(2) == 0 ? luck : new CrashLuck(random, 1);
        var version = lengthLuck.PickVersion(_unflushedLengths.Count + 1);
        var length = version == 0 ? _diskLength : _unflushedLengths[version - 1];
        foreach (var (index, versions) in _unflushed.OrderBy(page => page.Key))
        {
            SetPage(ref table, index, DrawPage(luck, PageAt(table, index), versions));
        }

        return length;
    }

    private static byte[]? DrawPage(CrashLuck luck, byte[]? flushed, List<byte[]?> versions)
    {
        Span<int> picks = stackalloc int[SectorsPerPage];
        foreach (ref var pick in picks)
        {
            pick = luck.PickVersion(versions.Count + 1);
        }

        if (!picks.ContainsAnyExcept(picks[0]))
        {
            return Version(picks[0]);
        }

        var page = new byte[PageSize];
        for (var sector = 0; sector < SectorsPerPage; sector++)
        {
            Version(picks[sector])?.AsSpan(sector * SectorSize, SectorSize).CopyTo(page.AsSpan(sector * SectorSize));
        }

        return page;

        byte[]? Version(int pick) => pick == 0 ? flushed : versions[pick - 1];
    }
}
