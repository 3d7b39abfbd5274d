// Writes groups at the log's end. Owned by LogWriter's thread.
//
// Guarantees: bytes reach the disk only as finished, checksummed groups in whole 4,096-byte blocks; a block that
// holds acknowledged groups is only ever rewritten with the same bytes for them; Durable rises only after fdatasync
// returned success for bytes that were completely written before the call; what stands unflushed is no more than
// recovery looks through. A truncation is noted in meta before a byte of the log is touched, and the note is taken back
// before the next group is written: so recovery can tell a truncation from damage, and never drops what came after it. After any
// failure the log is broken and stays so: a second fdatasync may report success for data that was lost.
using EventVault.Storage.Io;

namespace EventVault.Storage.Log;

/// <summary>Writes and flushes groups at the log's end. One thread only.</summary>
public sealed class SegmentedLog
{
    private const int ZeroBytes = 1024 * 1024;

    private readonly IFileSystem _files;
    private readonly string _directory;
    private readonly string _logDirectory;
    private readonly byte[] _block = new byte[Blocks.Size]; // The last block's bytes up to _end.
    private readonly byte[] _scratch = new byte[2 * Blocks.Size];
    private VaultMeta _meta;
    private IFile _file;
    private uint _segment;
    private uint _end;
    private uint _lastGroup;
    private Term _lastTerm;
    private LogIndex _written;
    private long _unflushed;
    private bool _broken;
    private bool _marked;

    internal SegmentedLog(IFileSystem files, string directory, VaultMeta meta, IFile file, in LogEnd end, bool isMarked)
    {
        Invariant.Check(meta.Truncation is null);
        _files = files;
        _directory = directory;
        _logDirectory = Path.Combine(directory, VaultStorage.LogFolder);
        _meta = meta;
        _file = file;
        StandAt(end);
        _marked = isMarked;
    }

    /// <summary>Index of the last group that a flush has made durable.</summary>
    public LogIndex Durable { get; private set; }

    /// <summary>Whether groups were written since the last flush.</summary>
    public bool HasUnflushed => _written != Durable;

    /// <summary>Whether the log ends without a commit mark; it gets one once it rests.</summary>
    public bool WantsMark => !_marked && !HasUnflushed && !_broken && Durable.Value > 0;

    /// <summary>Writes a group behind the last one. Durable only after <see cref="Flush"/>.</summary>
    /// <exception cref="DiskException">The log is broken from here on; the node must stop.</exception>
    public void Write(GroupBuffer group)
    {
        Invariant.Check(!_broken, "Nothing may be written after a failed write or flush.");
        try
        {
            if (group.Spare is { } spare)
            {
                OpenSegment(spare, group.NewSegment);
                group.Spare = null;
            }

            Invariant.Check(group.Place == new Place(_segment, _end));
            Invariant.Check(group.Index.Value == _written.Value + 1);
            Invariant.Check(_end + group.Length + CommitMark.Length <= _meta.SegmentSizeBytes - Blocks.Size);
            if (_unflushed + group.Length > LogRecovery.InFlightBytes)
            {
                FlushFile();
            }

            GroupHeader.EncodeLocal(group.Group, Durable, _meta.StartNumber, _meta.ChecksumSeed);
            WriteBytes(group);
        }
        catch
        {
            _broken = true;
            throw;
        }

        _end += (uint)group.Length;
        _unflushed += group.Length;
        _written = group.Index;
        _lastGroup = group.Checksum;
        _lastTerm = group.Term;
        _marked = false;
    }

    /// <summary>Makes all written groups durable.</summary>
    /// <exception cref="DiskException">The log is broken from here on; the node must stop.</exception>
    public void Flush()
    {
        Invariant.Check(!_broken, "Nothing may be flushed after a failed write or flush.");
        try
        {
            FlushFile();
        }
        catch
        {
            _broken = true;
            throw;
        }
    }

    /// <summary>
    /// Notes at the log's end that all before it is durable, so that damage to the last group can't pass for a torn
    /// tail. For a log that rests, and at a clean stop.
    /// </summary>
    public void WriteMark()
    {
        Invariant.Check(WantsMark);
        var start = Blocks.Floor(_end);
        var inBlock = (int)(_end - start);
        var length = (int)(Blocks.Ceiling(_end + CommitMark.Length) - start);
        var bytes = _scratch.AsSpan(0, length);
        bytes.Clear();
        _block.AsSpan(0, inBlock).CopyTo(bytes);
        new CommitMark(new Place(_segment, _end), Durable, _lastGroup, _meta.StartNumber, _lastTerm).Encode(bytes[inBlock..], _meta.ChecksumSeed);
        try
        {
            _file.Write(start, bytes);
            _file.Flush();
        }
        catch
        {
            _broken = true;
            throw;
        }

        _marked = true; // Behind the flush: who sees from another thread that none is wanted knows that it is on the disk.
    }

    /// <summary>The end of the run, in order: marks the log's end. Nothing may be written any more.</summary>
    /// <returns>Where it ends; null: not so that it could be believed, and whoever starts next looks for the end.</returns>
    /// <exception cref="DiskException">The disk failed.</exception>
    internal CleanStop? Stop()
    {
        if (WantsMark)
        {
            WriteMark();
        }

        if (!_marked || HasUnflushed || _broken)
        {
            return null;
        }

        _broken = true; // What is written behind it would not be looked for.
        return new CleanStop(new Place(_segment, _end), Durable, _lastGroup);
    }

    /// <summary>
    /// Takes the groups behind the order's last one off the disk; durable when it returns. All groups that were pending when
    /// the order was made have been written.
    /// </summary>
    /// <exception cref="DiskException">The log is broken from here on; the node must stop.</exception>
    public void Truncate(TruncateOrder order)
    {
        Invariant.Check(!_broken, "Nothing may be truncated after a failed write or flush.");
        Invariant.Check(order.Last < _written && order.Kept.Place.Segment <= _segment);
        try
        {
            TruncateDisk(order);
        }
        catch
        {
            _broken = true;
            throw;
        }
    }

    /// <summary>Closes the file; writes nothing.</summary>
    public void Close() => _file.Dispose();

    private void TruncateDisk(TruncateOrder order)
    {
        // The note says that all it keeps is durable, so it must be.
        if (HasUnflushed)
        {
            FlushFile();
        }

        var isNoted = !Canary.Is(Canary.CutNotRecorded);
        if (isNoted)
        {
            _meta = _meta.BeginTruncation(_files, _directory, new LogTruncation(order.Last, order.Term));
        }

        var (segment, end) = (order.Kept.Place.Segment, order.Kept.Place.Offset);
        if (segment < _segment)
        {
            _file.Dispose();
            DeleteSegments(_files, _logDirectory, segment + 1, _segment);
            _file = _files.OpenFile(Path.Combine(_logDirectory, SegmentHeader.FileName(segment)), FileOpening.Existing);
        }

        ZeroBehind(_file, end, order.OldEnd + CommitMark.Length);
        _file.Flush();
        if (isNoted)
        {
            _meta = _meta.EndTruncation(_files, _directory);
        }

        StandAt(order.Kept);
        _marked = false;
    }

    /// <summary>Deletes segments' files, the newest first, so that a crash leaves no gap between them.</summary>
    internal static void DeleteSegments(IFileSystem files, string logDirectory, uint first, uint last)
    {
        for (var segment = last; segment >= first; segment--)
        {
            Invariant.Check(segment > 0);
            files.DeleteFile(Path.Combine(logDirectory, SegmentHeader.FileName(segment)));
            files.FlushDirectory(logDirectory);
        }
    }

    /// <summary>Overwrites whole blocks with zeros, but for the bytes before <paramref name="from"/>. Not flushed.</summary>
    internal static void ZeroBehind(IFile file, uint from, uint to)
    {
        var start = Blocks.Floor(from);
        var end = Blocks.Ceiling(to);
        var zeros = new byte[(int)Math.Min(ZeroBytes, end - start)];
        var kept = (int)(from - start);
        if (kept > 0)
        {
            var read = file.ReadFromDisk(start, zeros.AsSpan(0, Blocks.Size));
            Invariant.Check(read == Blocks.Size);
            zeros.AsSpan(kept).Clear();
        }

        for (var at = start; at < end; at += zeros.Length)
        {
            file.Write(at, zeros.AsSpan(0, (int)Math.Min(zeros.Length, end - at)));
            zeros.AsSpan(0, Math.Min(Blocks.Size, zeros.Length)).Clear();
        }
    }

    // The log ends here, and all of it is durable.
    private void StandAt(in LogEnd end)
    {
        _segment = end.Place.Segment;
        _end = end.Place.Offset;
        _lastGroup = end.Checksum;
        _lastTerm = end.Term;
        _written = end.Index;
        _unflushed = 0;
        Durable = end.Index;
        _block.AsSpan().Clear();
        var start = Blocks.Floor(_end);
        if (start < _end)
        {
            var read = _file.ReadFromDisk(start, _block);
            Invariant.Check(read == Blocks.Size);
            _block.AsSpan((int)(_end - start)).Clear();
        }
    }

    private void FlushFile()
    {
        _file.Flush();
        _unflushed = 0;
        Durable = _written;
    }

    private void WriteBytes(GroupBuffer group)
    {
        var start = Blocks.Floor(_end);
        var inBlock = (int)(_end - start);
        var bytes = group.Bytes;
        _block.AsSpan(0, inBlock).CopyTo(bytes.AsSpan(GroupBuffer.Headroom - inBlock));
        var end = GroupBuffer.Headroom + group.Length;
        var from = GroupBuffer.Headroom - inBlock;
        var to = from + (int)Blocks.Ceiling(inBlock + group.Length);
        bytes.AsSpan(end, to - end).Clear();
        _file.Write(start, bytes.AsSpan(from, to - from));

        var tail = (int)((_end + group.Length) % Blocks.Size);
        bytes.AsSpan(end - tail, tail).CopyTo(_block);
        _block.AsSpan(tail).Clear();
    }

    private void OpenSegment(SpareSegment spare, in SegmentHeader header)
    {
        // All groups of the old segment are durable before the new one's header vouches for them.
        if (HasUnflushed)
        {
            FlushFile();
        }

        Invariant.Check(header.Segment == _segment + 1 && header.FirstIndex.Value == _written.Value + 1 && header.PreviousGroup == _lastGroup);
        header.Encode(_scratch.AsSpan(0, Blocks.Size), _meta.ChecksumSeed);
        spare.File.Write(0, _scratch.AsSpan(0, Blocks.Size));
        spare.File.Flush();
        _files.MoveFile(spare.Path, Path.Combine(_logDirectory, SegmentHeader.FileName(header.Segment)));
        _files.FlushDirectory(_logDirectory);
        _file.Dispose();
        _file = spare.File;
        _segment = header.Segment;
        _end = Blocks.Size;
        _block.AsSpan().Clear();
    }
}
