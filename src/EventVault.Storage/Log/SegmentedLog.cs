// Writes groups at the log's end. Owned by LogWriter's thread.
//
// Guarantees: bytes reach the disk only as finished, checksummed groups in whole 4,096-byte blocks; a block that
// holds acknowledged groups is only ever rewritten with the same bytes for them; Durable rises only after fdatasync
// returned success for bytes that were completely written before the call; what stands unflushed is no more than
// recovery looks through. After any failure the log is broken and stays so: a second fdatasync may report success for
// data that was lost.
using EventVault.Storage.Io;

namespace EventVault.Storage.Log;

/// <summary>Writes and flushes groups at the log's end. One thread only.</summary>
public sealed class SegmentedLog
{
    private readonly IFileSystem _files;
    private readonly string _logDirectory;
    private readonly VaultMeta _meta;
    private readonly byte[] _block = new byte[Blocks.Size]; // The last block's bytes up to _end.
    private readonly byte[] _scratch = new byte[2 * Blocks.Size];
    private IFile _file;
    private uint _segment;
    private uint _end;
    private uint _lastGroup;
    private LogIndex _written;
    private long _unflushed;
    private bool _broken;
    private bool _marked;

    internal SegmentedLog(IFileSystem files, string logDirectory, VaultMeta meta, IFile file, uint segment, RecoveredSegment recovered)
    {
        _files = files;
        _logDirectory = logDirectory;
        _meta = meta;
        _file = file;
        _segment = segment;
        _end = recovered.End;
        _written = recovered.LastIndex;
        Durable = recovered.LastIndex;
        _lastGroup = recovered.LastGroup;
        _marked = recovered.IsMarked;
        var start = Blocks.Floor(_end);
        if (start < _end)
        {
            var read = file.ReadFromDisk(start, _block);
            Invariant.Check(read == Blocks.Size);
            _block.AsSpan((int)(_end - start)).Clear();
        }
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
        _marked = true;
        var start = Blocks.Floor(_end);
        var inBlock = (int)(_end - start);
        var length = (int)(Blocks.Ceiling(_end + CommitMark.Length) - start);
        var bytes = _scratch.AsSpan(0, length);
        bytes.Clear();
        _block.AsSpan(0, inBlock).CopyTo(bytes);
        new CommitMark(new Place(_segment, _end), Durable, _lastGroup, _meta.StartNumber).Encode(bytes[inBlock..], _meta.ChecksumSeed);
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
    }

    /// <summary>Closes the file; writes nothing.</summary>
    public void Close() => _file.Dispose();

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
