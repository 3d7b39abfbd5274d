// Walks the groups of a segment from its start, past the page cache: for recovery and verify. After a failed flush the
// cache may hold pages that count as clean and yet never reached the disk, so the cache can't be asked. Only behind a stop in
// order, when no flush had failed, it can.
using System.Numerics;
using EventVault.Storage.Io;

namespace EventVault.Storage.Log;

/// <summary>Reads a segment group by group. One thread. Dispose it before the file: then nothing is read ahead any more; what it knows stays.</summary>
internal sealed class SegmentScanner : IDisposable
{
    private const int CountedAtOnce = 256 * 1024;
    private readonly string _name;
    private readonly uint _segment;
    private readonly uint _limit;
    private readonly VaultMeta _meta;
    private readonly SegmentWindow _window;
    private uint _previousGroup;
    private LogIndex _nextIndex;
    private Position _nextPosition;
    private long _minTime;

    private SegmentScanner(IFile file, VaultMeta meta, in SegmentHeader header, bool isCached)
    {
        _name = SegmentHeader.FileName(header.Segment);
        _segment = header.Segment;
        _limit = header.SizeBytes - Blocks.Size;
        _window = new SegmentWindow(file, _limit, isCached);
        _meta = meta;
        Header = header;
        Offset = Blocks.Size;
        _previousGroup = header.PreviousGroup;
        _nextIndex = header.FirstIndex;
        _nextPosition = header.FirstPosition;
        _minTime = header.MinTime;
    }

    public SegmentHeader Header { get; }

    /// <summary>Where the next group stands or should stand: the end of what is intact.</summary>
    public uint Offset { get; private set; }

    /// <summary>Index that the group at <see cref="Offset"/> must have.</summary>
    public LogIndex NextIndex => _nextIndex;

    public Position NextPosition => _nextPosition;

    /// <summary>Checksum of the last intact group.</summary>
    public uint LastGroup => _previousGroup;

    /// <summary>Least time that the group at <see cref="Offset"/> may have.</summary>
    public long MinTime => _minTime;

    /// <summary>Why the bytes at <see cref="Offset"/> are not the next group, after Next returned false.</summary>
    public string Problem { get; private set; } = "";

    /// <summary>Opens a segment's file for scanning.</summary>
    /// <param name="file">The file.</param>
    /// <param name="segment">Its number.</param>
    /// <param name="meta">The vault.</param>
    /// <param name="isCached">Whether groups are read through the page cache.</param>
    /// <exception cref="DamageException">Its header is damaged, or belongs to another vault or segment.</exception>
    public static SegmentScanner Open(IFile file, uint segment, VaultMeta meta, bool isCached = false)
    {
        var header = ReadHeader(file, segment, meta);
        var bytes = header.Scavenged?.FileLength ?? header.SizeBytes;
        if (file.Length != bytes)
        {
            throw new DamageException(SegmentHeader.FileName(segment), file.Length, $"the file should have {bytes} bytes.", LogRecovery.NextStep);
        }

        return new SegmentScanner(file, meta, header, isCached);
    }

    /// <summary>Opens a file that ends with the last group, as backups have it.</summary>
    /// <exception cref="DamageException">Its header is damaged, or belongs to another vault or segment.</exception>
    public static SegmentScanner OpenCut(IFile file, uint segment, VaultMeta meta) => new(file, meta, ReadHeader(file, segment, meta), isCached: false);

    /// <summary>A segment's header, past the page cache.</summary>
    /// <exception cref="DamageException">It is damaged, or belongs to another vault or segment.</exception>
    public static SegmentHeader ReadHeader(IFile file, uint segment, VaultMeta meta)
    {
        var name = SegmentHeader.FileName(segment);
        var block = new byte[Blocks.Size];
        var length = file.ReadFromDisk(0, block);
        var header = length == Blocks.Size ? SegmentHeader.Decode(block, meta.ChecksumSeed, name) : null;
        if (header is not { } h)
        {
            // Never a torn write: the header is flushed before the file gets its name.
            throw new DamageException(name, 0, "the segment's header block does not match its checksum.", LogRecovery.NextStep);
        }

        if (h.Segment != segment || h.VaultId != meta.VaultId || h.SizeBytes != meta.SegmentSizeBytes)
        {
            throw new DamageException(name, 0, $"segment {segment} of vault {meta.VaultId} should stand here, this is segment {h.Segment} of vault {h.VaultId}.", "Put the file back where it belongs.");
        }

        return h;
    }

    /// <summary>Steps over all of a scavenged segment, to where its last group ended.</summary>
    public void SkipScavenged(in SegmentFooter footer)
    {
        Invariant.Check(Header.Scavenged is not null && footer.Segment == _segment);
        Offset = footer.End;
        _previousGroup = footer.LastGroup;
        _nextIndex = new LogIndex(footer.LastIndex.Value + 1);
        _nextPosition = footer.FirstPosition + footer.Events;
        _minTime = footer.LastTime + 1;
    }

    /// <summary>Steps to where the log ends, over groups of which another says that they are there (ActiveIndexFile).</summary>
    public void SkipTo(in LogEnd end)
    {
        Invariant.Check(end.Place.Segment == _segment && end.Place.Offset > Offset && end.Index >= Header.FirstIndex);
        Offset = end.Place.Offset;
        _previousGroup = end.Checksum;
        _nextIndex = new LogIndex(end.Index.Value + 1);
        _nextPosition = end.Position + 1;
        _minTime = end.Time + 1;
    }

    /// <summary>Steps over the next group; false where none follows that is intact.</summary>
    /// <param name="header">The group's header.</param>
    /// <param name="local">The node's own part of it.</param>
    /// <param name="body">Its body, valid until the next call.</param>
    public bool Next(out GroupHeader header, out GroupLocal local, out ReadOnlySpan<byte> body)
    {
        Invariant.Check(Header.Scavenged is null, "A scavenged segment has no groups.");
        body = default;
        var place = new Place(_segment, Offset);
        if (!TryBytes(Offset, GroupHeader.Length, out var bytes)
            || !GroupHeader.TryDecode(bytes, place, _meta.ChecksumSeed, out header, out local))
        {
            header = default;
            local = default;
            Problem = $"no group with index {_nextIndex} stands here";
            return false;
        }

        if (header.Index != _nextIndex || header.PreviousGroup != _previousGroup || header.FirstPosition != _nextPosition || header.Time < _minTime)
        {
            Problem = $"group {header.Index} (position {header.FirstPosition}) stands here, group {_nextIndex} (position {_nextPosition}) should";
            return false;
        }

        if (!TryBytes(Offset, header.TotalLength, out bytes)
            || Checksum.Compute(bytes[GroupHeader.Length..], _meta.ChecksumSeed) != header.BodyChecksum)
        {
            Problem = $"the body of group {header.Index} does not match its checksum";
            return false;
        }

        body = bytes[GroupHeader.Length..];
        Offset += (uint)header.TotalLength;
        _previousGroup = local.GroupChecksum;
        _nextIndex = new LogIndex(header.Index.Value + 1);
        _nextPosition = header.FirstPosition + header.Events;
        _minTime = header.LastTime + 1;
        return true;
    }

    /// <summary>
    /// Steps to the next intact group header, at its own place, behind damage: for verify, which tells all damage at
    /// once. False if there is none.
    /// </summary>
    public bool Resume()
    {
        for (var at = (long)Offset + Blocks.Alignment; at + GroupHeader.Length <= _limit; at += Blocks.Alignment)
        {
            if (!TryBytes((uint)at, GroupHeader.Length, out var bytes))
            {
                return false;
            }

            if (bytes.IndexOfAnyExcept((byte)0) < 0)
            {
                at += SkipZeros(at) - Blocks.Alignment;
            }
            else if (GroupHeader.MayBegin(bytes)
                && GroupHeader.TryDecode(bytes, new Place(_segment, (uint)at), _meta.ChecksumSeed, out var header, out _)
                && header.Index.Value >= _nextIndex.Value)
            {
                Offset = (uint)at;
                _nextIndex = header.Index;
                _previousGroup = header.PreviousGroup;
                _nextPosition = header.FirstPosition;
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// Looks behind <see cref="Offset"/> for something intact, at its own place, that says that the group missing here
    /// was durable: a group or a commit mark.
    /// </summary>
    /// <param name="end">Where to stop: behind it are only zeros.</param>
    public string? FindWitness(uint end)
    {
        Invariant.Check(end >= Offset && end <= _limit);
        for (var at = (long)Offset; at < end; at += Blocks.Alignment)
        {
            if (!TryBytes((uint)at, (int)Math.Min(GroupHeader.Length, _limit - at), out var bytes) || bytes.Length < CommitMark.CopyLength)
            {
                return null;
            }

            var zeros = bytes.IndexOfAnyExcept((byte)0);
            if (zeros < 0)
            {
                at += SkipZeros(at) - Blocks.Alignment;
                continue;
            }

            var place = new Place(_segment, (uint)at);
            if (at > Offset && GroupHeader.MayBegin(bytes)
                && GroupHeader.TryDecode(bytes, place, _meta.ChecksumSeed, out var header, out var local)
                && local.Durable.Value >= _nextIndex.Value)
            {
                return $"group {header.Index} at offset {at} says that groups up to {local.Durable} were durable when it was written";
            }

            if (CommitMark.MayBegin(bytes)
                && (CommitMark.TryDecodeCopy(bytes, place, _meta.ChecksumSeed, out var mark)
                    || CommitMark.TryDecodeCopy(bytes, place with { Offset = place.Offset - CommitMark.CopyLength }, _meta.ChecksumSeed, out mark))
                && mark.Durable.Value >= _nextIndex.Value)
            {
                return $"the commit mark at offset {mark.Place.Offset} says that groups up to {mark.Durable} were durable";
            }
        }

        return null;
    }

    /// <summary>Bits set in a range, and the offset behind the last byte that is not zero.</summary>
    /// <param name="from">Where the range begins.</param>
    /// <param name="window">How long it is; at most up to the footer.</param>
    public (long Bits, uint End) CountBits(uint from, uint window)
    {
        var end = Math.Min(_limit, (long)from + window);
        long bits = 0;
        var last = from;
        for (var at = (long)from; at < end;)
        {
            if (!TryBytes((uint)at, (int)Math.Min(CountedAtOnce, end - at), out var bytes) || bytes.IsEmpty)
            {
                break;
            }

            var nonZero = bytes.LastIndexOfAnyExcept((byte)0);
            if (nonZero >= 0)
            {
                last = (uint)(at + nonZero + 1);
                foreach (var b in bytes[..(nonZero + 1)])
                {
                    bits += BitOperations.PopCount(b);
                }
            }

            at += bytes.Length;
        }

        return (bits, last);
    }

    /// <summary>Ends what is read ahead. It can go on all the same.</summary>
    public void Dispose() => _window.EndReads();

    /// <summary>Bytes of the segment in front of its footer; false if the file is shorter.</summary>
    public bool TryBytes(uint offset, int length, out ReadOnlySpan<byte> bytes) => _window.TryBytes(offset, length, out bytes);

    // Bytes until the next one that is not zero, within the window, in whole words.
    private long SkipZeros(long at)
    {
        var rest = _window.Rest(at);
        var nonZero = rest.IndexOfAnyExcept((byte)0);
        var skip = nonZero < 0 ? rest.Length : nonZero;
        return Math.Max(Blocks.Alignment, skip & ~(Blocks.Alignment - 1));
    }
}
