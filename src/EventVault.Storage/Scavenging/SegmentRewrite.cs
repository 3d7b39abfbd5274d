// Writes one sealed segment anew, in pieces. The new file is written beside the old one, read back whole and checked, with
// its index and its keys under names of their own; all of it is flushed. Then the one switch: the new file is renamed to the
// segment's name, and the folder flushed. A crash before it leaves the old segment and leftovers, which the next start
// removes; behind it the new one. Nothing else changes: the catalog, heads, operations and state say of the segment what
// they said before.
//
// Memory, at most: 4 bytes for each event that the segment had; 16 for each that is kept, and 12 for each of its keys, of which
// an event has some 6; 220 for each stream, and its name; 92 for each append whose operation id is kept, and 16 for each further
// stream of it. With a million events in a segment of 256 MiB, all of them kept, that is some 100 MB and with ids 200 MB; it
// goes back when the segment is done.
using System.Buffers;
using System.Buffers.Binary;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage.Scavenging;

/// <summary>Writes a segment anew. One thread.</summary>
internal sealed class SegmentRewrite : IDisposable
{
    /// <summary>Bytes read or written between two stops.</summary>
    private const int PieceBytes = 1024 * 1024;

    /// <summary>Of the file while it is written; removed at start, as all names with this end.</summary>
    private const string TemporaryName = "scavenge.tmp";

    private readonly VaultStorage _storage;
    private readonly SegmentPlan _plan;
    private readonly Position _point;
    private readonly SegmentFooter _footer;
    private readonly SegmentHeader _header;
    private readonly SegmentReader _reader; // Leased until the end.
    private readonly IFile _file;
    private readonly ScavengedWriter _writer;
    private readonly IEnumerator<bool> _pieces;
    private readonly int[] _entries; // Of each event, by ordinal.
    private readonly StreamRun[] _runs;
    private readonly byte[]?[] _names;
    private readonly ArrayBufferWriter<byte> _appends;
    private readonly List<int> _appendOffsets;
    private readonly List<(LogIndex First, Term Term)> _terms = [];
    private (LogIndex Index, byte[] Content) _membership = (default, []);
    private int _kept;
    private readonly long _needed;
    private string? _indexPath;
    private long _indexBytes;
    private bool _isWritten;
    private bool _isDone;
    private bool _isDisposed;

    /// <param name="storage">The vault.</param>
    /// <param name="plan">What goes.</param>
    /// <param name="point">The scavenge's.</param>
    /// <param name="footer">The segment's.</param>
    /// <param name="header">The segment's.</param>
    public SegmentRewrite(VaultStorage storage, SegmentPlan plan, Position point, in SegmentFooter footer, in SegmentHeader header)
    {
        (_storage, _plan, _point, _footer, _header) = (storage, plan, point, footer, header);
        _needed = NeededBytes(plan);

        // In their size at once: growing takes three times as much.
        var appends = plan.KeepsAppends ? (int)plan.Appends : 0;
        _appends = new ArrayBufferWriter<byte>(Math.Max(1, plan.KeepsAppends ? plan.AppendBytes : 0));
        _appendOffsets = new List<int>(appends);
        plan.Segment.OpenAll();
        var index = plan.Segment.Index;
        _runs = new StreamRun[index.StreamCount];
        _names = new byte[]?[_runs.Length];
        _entries = new int[index.EventCount];
        _reader = plan.Segment.Lease();
        try
        {
            storage.Files.DeleteFile(Temporary);
            _file = storage.Files.OpenFile(Temporary, FileOpening.New);
        }
        catch
        {
            _reader.Release();
            throw;
        }

        _writer = new ScavengedWriter(_file, storage.Meta);
        _pieces = Pieces().GetEnumerator();
    }

    /// <summary>Whether a path is of a file that it writes: a full disk there is no failure of the vault's.</summary>
    public bool IsOwn(string path) =>
        path == Temporary || (_indexPath is not null && Path.ChangeExtension(path, null).StartsWith(Path.ChangeExtension(_indexPath, null), StringComparison.Ordinal));

    /// <summary>What the files will take, at most. Bytes.</summary>
    public static long NeededBytes(SegmentPlan plan)
    {
        const long MarginBytes = 1024 * 1024; // The membership, terms, and sections that end with a block.
        var index = plan.Segment.Index;
        var kept = index.EventCount / SealedIndexFormat.KeptOrdinals * (long)SealedIndexFormat.KeptLength; // The new index alone has it.
        return plan.MostLength + index.Mark.LengthBytes + kept + plan.Segment.Keys.LengthBytes + MarginBytes;
    }

    /// <summary>Of <see cref="NeededBytes"/>, what is not written yet; 0: all is. Bytes.</summary>
    public long RemainingBytes => _isWritten ? 0 : _needed - _writer.Offset - _indexBytes;

    private string Temporary => Path.Combine(_storage.LogDirectory, TemporaryName);

    /// <summary>What was replaced, once it was; null: the file would not have become shorter.</summary>
    public SealedSegment? Replaced { get; private set; }

    /// <summary>Does the next piece; false: it was the last one, and the segment is replaced.</summary>
    /// <exception cref="DiskException">If <see cref="IsOwn"/>, and the disk is full, nothing has changed.</exception>
    public bool Step()
    {
        Invariant.Check(!_isDone && !_isDisposed, "A piece that failed is not gone on with.");
        if (_pieces.MoveNext())
        {
            return true;
        }

        _isDone = true;
        return false;
    }

    /// <summary>Lets go of everything; what is not finished is as if it had never begun.</summary>
    public void Dispose()
    {
        if (_isDisposed)
        {
            return;
        }

        _isDisposed = true;
        _pieces.Dispose();
        _file.Dispose();
        _reader.Release();
        if (!_isDone)
        {
            _storage.Files.DeleteFile(Temporary);
            if (_indexPath is not null)
            {
                _storage.Files.DeleteFile(_indexPath + SealedIndexFormat.TemporarySuffix);
                _storage.Files.DeleteFile(_indexPath);
                _storage.Files.DeleteFile(Path.ChangeExtension(_indexPath, SealedKeysFormat.Extension));
            }
        }
    }

    private IEnumerable<bool> Pieces()
    {
        ReadRuns();
        yield return true;
        var pieceEnd = (long)PieceBytes;
        var walked = 0L;
        foreach (var length in _plan.Segment.Scavenged is { } old ? CopyScavenged(old) : CopyGroups())
        {
            walked += length;
            if (walked >= pieceEnd)
            {
                pieceEnd = walked + PieceBytes;
                yield return true;
            }
        }

        _writer.EndSection();
        yield return true;
        var fileLength = Length();
        if (fileLength >= _plan.Segment.FileLength)
        {
            // Long names. It was worth no more than it looked; nothing has changed.
            _file.Dispose();
            _storage.Files.DeleteFile(Temporary);
            yield break;
        }

        foreach (var _ in WriteTables())
        {
            yield return true;
        }

        var written = _writer.WriteFooter(_footer);
        Invariant.Check(written == fileLength, "What the tables take is known before they are written.");
        _file.Flush();
        yield return true;
        foreach (var _ in Finish(Header(fileLength)))
        {
            yield return true;
        }
    }

    // Of the file, once all records are copied: what follows is known.
    private long Length()
    {
        long[] sections =
        [
            _runs.Length * (long)SealedIndexFormat.RunLength,
            _names.Sum(name => sizeof(uint) + sizeof(ushort) + (long)name!.Length),
            (_appendOffsets.Count * (long)sizeof(uint)) + _appends.WrittenCount,
            ConsensusContent.HeaderLength + (_terms.Count * (long)ConsensusContent.TermLength) + _membership.Content.Length,
        ];
        return Blocks.Ceiling(_writer.Offset + sections.Sum(bytes => (long)Blocks.Align((int)bytes))) + Blocks.Size;
    }

    private void ReadRuns()
    {
        var index = _plan.Segment.Index;
        for (var entry = 0; entry < _runs.Length; entry++)
        {
            var run = index.Run(entry);
            Invariant.Check(_plan.Removed[entry] >= run.Removed && _plan.Removed[entry] <= run.Count, "What is removed stays removed.");
            for (var i = run.Removed; i < run.Count; i++)
            {
                _entries[index.OrdinalOf(run, i)] = entry;
            }

            _runs[entry] = run with { Removed = _plan.Removed[entry], FirstOrdinalIndex = (int)index.OrdinalOf(run, run.Count - 1) };
        }
    }

    // ---- from a segment with groups ----

    private IEnumerable<int> CopyGroups()
    {
        var offset = (uint)Blocks.Size;
        LogIndex at;
        do
        {
            var length = CopyGroup(offset, out at);
            offset += (uint)length;
            yield return length;
        }
        while (at != _plan.Segment.Record.LastLogIndex);

        Invariant.Check(offset == _plan.Segment.Record.EndOffset && (!_plan.KeepsAppends || _appendOffsets.Count == _footer.Appends));
    }

    private int CopyGroup(uint offset, out LogIndex index)
    {
        var body = _reader.ReadGroup(offset, out var header);
        index = header.Index;
        if (_terms.Count == 0 || _terms[^1].Term != header.Term)
        {
            _terms.Add((header.Index, header.Term));
        }

        if (header.IsSystem)
        {
            Invariant.Check(SystemRecord.TryDecode(body, _storage.Meta.ChecksumSeed, out var kind, out var content));
            _membership = kind == GroupKind.Membership ? (header.Index, content.ToArray()) : _membership;
            return header.TotalLength;
        }

        while (!body.IsEmpty)
        {
            Invariant.Check(RecordFormat.TryDecodeAppend(body, out var append));
            CopyAppend(append, offset);
            body = body[append.Length..];
        }

        return header.TotalLength;
    }

    private void CopyAppend(in AppendView append, uint groupOffset)
    {
        var start = _appends.WrittenCount;
        if (_plan.KeepsAppends)
        {
            _appendOffsets.Add(start);
            _appends.GetSpan(ScavengedHeader.AppendLength)[..ScavengedHeader.AppendLength].Clear();
            _appends.Advance(ScavengedHeader.AppendLength);
        }

        Position first = Position.None, last = Position.None;
        var (streams, before, recordedAt) = (0, -1, 0L);
        for (var records = append.Records; !records.IsEmpty;)
        {
            Invariant.Check(RecordFormat.TryReadEvent(records, _storage.Meta.ChecksumSeed, out var e));
            var entry = CopyRecord(e, records[..e.RecordLength]);
            first = first == Position.None ? e.Position : first;
            (last, recordedAt) = (e.Position, e.RecordedAt);
            if (_plan.KeepsAppends)
            {
                streams += entry == before ? 0 : 1;
                AddAppendStream(entry, e.Version, isNew: entry != before);
                before = entry;
            }

            records = records[e.RecordLength..];
        }

        if (_plan.KeepsAppends)
        {
            FinishAppend(start, append, groupOffset, streams, first, last, recordedAt);
        }
    }

    private void AddAppendStream(int entry, StreamVersion version, bool isNew)
    {
        if (isNew)
        {
            var at = _appends.GetSpan(ScavengedHeader.AppendStreamLength);
            BinaryPrimitives.WriteInt32LittleEndian(at, entry);
            BinaryPrimitives.WriteInt32LittleEndian(at[4..], 0);
            _appends.Advance(ScavengedHeader.AppendStreamLength);
        }

        BinaryPrimitives.WriteInt64LittleEndian(Appends(_appends.WrittenCount - sizeof(long)), version.Value);
    }

    private void FinishAppend(int start, in AppendView append, uint groupOffset, int streams, Position first, Position last, long recordedAt)
    {
        var item = Appends(start);
        BinaryPrimitives.WriteInt32LittleEndian(item, item.Length);
        BinaryPrimitives.WriteUInt128BigEndian(item[8..], append.OperationId);
        BinaryPrimitives.WriteUInt128LittleEndian(item[24..], append.Digest);
        BinaryPrimitives.WriteUInt32LittleEndian(item[40..], groupOffset);
        BinaryPrimitives.WriteInt32LittleEndian(item[44..], streams);
        BinaryPrimitives.WriteInt64LittleEndian(item[48..], first.Value);
        BinaryPrimitives.WriteInt64LittleEndian(item[56..], last.Value);
        BinaryPrimitives.WriteInt64LittleEndian(item[64..], recordedAt);
        BinaryPrimitives.WriteUInt32LittleEndian(item[4..], Checksum.Compute(item[8..], _storage.Meta.ChecksumSeed));
    }

    // What was written from an offset on, to be changed.
    private Span<byte> Appends(int from) =>
        System.Runtime.InteropServices.MemoryMarshal.AsMemory(_appends.WrittenMemory).Span[from..];

    private int CopyRecord(in EventView e, ReadOnlySpan<byte> record)
    {
        var entry = _entries[e.Position.Value - _footer.FirstPosition.Value];
        ref readonly var run = ref _runs[entry];
        Invariant.Check(e.Version.Value >= run.FirstVersion && e.Version.Value < run.FirstVersion + run.Count, "The index leads from a record to its stream.");
        if (_names[entry] is null)
        {
            Invariant.Check(StreamKey.Compute(e.Stream, _storage.Meta.SipKey) == run.Key);
            _names[entry] = e.Stream.ToArray();
        }

        if (e.Version.Value >= run.FirstVersion + run.Removed)
        {
            _kept++;
            _writer.Append(record);
        }

        return entry;
    }

    // ---- from a segment that was scavenged before ----

    private IEnumerable<int> CopyScavenged(ScavengedHeader old)
    {
        ReadTables(old);
        var segment = new ScavengedSegment(_reader, old, _footer.FirstPosition, _storage.Meta);
        for (var offset = segment.FirstRecord; offset < segment.RecordsEnd;)
        {
            var length = CopyRecord(segment, offset);
            offset += (uint)length;
            yield return length;
        }
    }

    private int CopyRecord(ScavengedSegment segment, uint offset)
    {
        var e = segment.ReadRecord(offset);
        CopyRecord(e, _reader.Span(offset, e.RecordLength));
        return e.RecordLength;
    }

    private void ReadTables(ScavengedHeader old)
    {
        var segment = new ScavengedSegment(_reader, old, _footer.FirstPosition, _storage.Meta);
        for (var entry = 0; entry < _names.Length; entry++)
        {
            _names[entry] = segment.Name(entry, _runs[entry].Key).ToArray();
        }

        for (var i = 0; _plan.KeepsAppends && i < old.KeptAppends; i++)
        {
            var append = segment.AppendAt(i);
            _appendOffsets.Add(_appends.WrittenCount);
            _appends.Write(append.Bytes);
        }

        _membership = segment.ReadConsensus(_terms);
    }

    // ---- what stands behind the records ----

    private IEnumerable<bool> WriteTables()
    {
        for (var entry = 0; entry < _runs.Length; entry++)
        {
            WriteRun(entry);
            if (entry % (PieceBytes / SealedIndexFormat.RunLength) == 0)
            {
                yield return true;
            }
        }

        _writer.EndSection();
        WriteNames();
        yield return true;
        WriteAppends();
        yield return true;
        WriteConsensus();
    }

    private void WriteRun(int entry)
    {
        Span<byte> run = stackalloc byte[SealedIndexFormat.RunLength];
        SealedIndexFormat.WriteRun(run, _runs[entry]);
        _writer.Append(run);
    }

    private void WriteNames()
    {
        var at = (uint)(_names.Length * sizeof(uint));
        foreach (var name in _names)
        {
            Invariant.Check(name is { Length: > 0 and <= RecordFormat.MaxNameBytes }, "Every stream of a segment has an event in it.");
            _writer.Append(at);
            at += sizeof(ushort) + (uint)name.Length;
        }

        Span<byte> length = stackalloc byte[sizeof(ushort)];
        foreach (var name in _names)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(length, (ushort)name!.Length);
            _writer.Append(length);
            _writer.Append(name);
        }

        _writer.EndSection();
    }

    private void WriteAppends()
    {
        var start = (uint)(_appendOffsets.Count * sizeof(uint));
        foreach (var offset in _appendOffsets)
        {
            _writer.Append(start + (uint)offset);
        }

        _writer.Append(_appends.WrittenSpan);
        _writer.EndSection();
    }

    private void WriteConsensus()
    {
        Span<byte> bytes = stackalloc byte[ConsensusContent.HeaderLength];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, _terms.Count);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[4..], _membership.Content.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[8..], _membership.Index.Value);
        _writer.Append(bytes);
        foreach (var (first, term) in _terms)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, first.Value);
            BinaryPrimitives.WriteUInt64LittleEndian(bytes[8..], term.Value);
            _writer.Append(bytes);
        }

        _writer.Append(_membership.Content);
        _writer.EndSection();
    }

    // ---- index, keys, and the switch ----

    private ScavengedHeader Header(long length) => new()
    {
        Point = _point,
        FileLength = length,
        Index = default,
        SealedIndex = _plan.Segment.Record.Index,
        KeptEvents = _kept,
        StreamCount = _runs.Length,
        KeptAppends = _appendOffsets.Count,
        Sections = _writer.Sections,
    };

    // Reads back what was written: what replaces the old segment was seen whole.
    private IEnumerable<bool> Finish(ScavengedHeader scavenged)
    {
        var old = _plan.Segment;
        var number = old.Record.Segment;
        _indexPath = Sealer.IndexPath(_storage, number, scavenged);
        var reader = new SegmentReader(number, _file.Map(scavenged.FileLength, MappedAccess.Sequential), _storage.Meta.ChecksumSeed);
        try
        {
            var segment = new ScavengedSegment(reader, scavenged, _footer.FirstPosition, _storage.Meta);
            var index = segment.BeginIndex((int)old.Record.EventCount);
            var keys = new ScavengedKeys(segment, _storage.Meta);
            while (keys.Add(index, PieceBytes))
            {
                yield return true;
            }

            scavenged = scavenged with { Index = index.Write(_storage.Files, _indexPath, segment) };
            _indexBytes = scavenged.Index.LengthBytes;
            yield return true;
            scavenged = _writer.WriteHeader(_header, scavenged).Scavenged!;
            _file.Flush();
            keys.Content.Sort();
            yield return true;
            var shape = SealedKeys.Measure(keys.Content, (int)old.Record.EventCount);
            var keysPath = Path.ChangeExtension(_indexPath, SealedKeysFormat.Extension);
            SealedKeys.Write(_storage.Files, keysPath, KeyedSegment.Of(old.Record, scavenged), keys.Content, shape);
            _isWritten = true;
        }
        finally
        {
            reader.Close();
        }

        yield return true;
        var replacement = Sealer.Open(_storage, old.Record, scavenged);
        Switch(old, replacement);
    }

    private void Switch(SealedSegment old, SealedSegment replacement)
    {
        var path = Sealer.LogPath(_storage, old.Record.Segment);
        _isDone = true; // Whatever comes now, the new files belong to the new segment.
        _storage.Files.MoveFile(Temporary, path);
        _storage.Files.FlushDirectory(_storage.LogDirectory);
        _storage.ReplaceSealed(old, replacement);
        Replaced = old;
        _storage.Files.DeleteFile(old.IndexPath);
        _storage.Files.DeleteFile(old.KeysPath);
    }
}
