using System.Buffers.Binary;
using EventVault.Storage.Io;

namespace EventVault.Storage.Index;

// The catalog: one record per sealed segment, in order. Rebuildable. Header of 64 bytes, then records of 128.
//
//  Header
//  offset size type  meaning
//       0   40       common part (FileHeader), magic "EVCATAL\n"
//      40    4 u32   record length, 128
//      44   20       zero
//
//  Record
//       0    4 u32   CRC32C of 4..127
//       4    4 u32   type, 1: sealed segment
//       8    4 u32   segment
//      12    4 u32   number of events
//      16    8 i64   position of the first event (of the vault's next one if there is none)
//      24    8 u64   first log index
//      32    8 u64   last log index
//      40    8 u64   first term
//      48    8 u64   last term
//      56    8 i64   first time
//      64    8 i64   last time
//      72    4 u32   end offset
//      76    4 u32   checksum of the last group
//      80   16 u128  digest
//      96    8 i64   length of the index file
//     104    4 u32   checksum of the index file (that of its header, which covers those of its sections)
//     108   20       zero

/// <summary>
/// The sealed segments in order: which one holds a position, a log index or a time, without opening any.
/// </summary>
/// <remarks>
/// Each record is flushed before the next is written, so a crash can spoil the last one only: a bad last record is
/// cut at opening, as redo of the seal writes it again; a bad one before it is damage. One thread appends; any
/// number may read meanwhile without locks.
/// </remarks>
internal sealed class Catalog : IDisposable
{
    private const int HeaderLength = 64;
    private const int RecordLength = 128;
    private const uint Version = 1;
    private const uint SealedSegmentType = 1;

    private readonly IFile _file;
    private CatalogEntry[] _entries;
    private int _count;
    private bool _failed;

    private Catalog(IFile file, List<CatalogEntry> entries)
    {
        _file = file;
        _count = entries.Count;
        _entries = [.. entries];
    }

    private static ReadOnlySpan<byte> Magic => "EVCATAL\n"u8;

    /// <summary>Number of sealed segments.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>A segment's entry, by place in the catalog.</summary>
    public CatalogEntry this[int number]
    {
        get
        {
            Invariant.Check((uint)number < (uint)Count); // before the array is read: it holds all that was counted
            return Volatile.Read(ref _entries)[number];
        }
    }

    /// <summary>Opens the catalog; creates an empty one if there is none.</summary>
    /// <exception cref="IndexDamageException">A record before the last is damaged.</exception>
    public static Catalog Open(IFileSystem fileSystem, string path)
    {
        if (!fileSystem.FileExists(path))
        {
            Create(fileSystem, path);
        }

        IFile file = fileSystem.OpenFile(path, FileOpening.Existing);
        try
        {
            return new Catalog(file, ReadEntries(file));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Adds the next sealed segment and makes it durable.</summary>
    /// <exception cref="DiskException">
    /// If it is a refusal, the same record may be tried again. Otherwise Append may not be called again; open the file anew.
    /// </exception>
    public void Append(in CatalogEntry entry)
    {
        Invariant.Check(!_failed);
        int count = _count;
        Invariant.Check(count == 0 || Fault(_entries[count - 1], entry) is null);
        Span<byte> record = stackalloc byte[RecordLength];
        Encode(record, entry);
        _failed = true;
        try
        {
            _file.Write(OffsetOf(count), record);
            _file.Flush();
            _failed = false;
        }
        catch (DiskException e) when (e.IsRefusal)
        {
            _failed = false; // Whatever stands there of the record is written over.
            throw;
        }

        if (count == _entries.Length)
        {
            var larger = new CatalogEntry[Math.Max(16, 2 * count)];
            _entries.CopyTo(larger, 0);
            Volatile.Write(ref _entries, larger);
        }

        _entries[count] = entry;
        Volatile.Write(ref _count, count + 1);
    }

    /// <summary>Place of the last segment that begins at or before a position, or −1.</summary>
    public int FindPosition(Position position) => FindLast(position, static (e, sought) => e.FirstPosition <= sought);

    /// <summary>Place of the last segment that begins at or before a log index, or −1.</summary>
    public int FindLogIndex(LogIndex index) => FindLast(index, static (e, sought) => e.FirstLogIndex.Value <= sought.Value);

    /// <summary>Place of the last segment that begins at or before a time, or −1.</summary>
    public int FindTime(long time) => FindLast(time, static (e, sought) => e.FirstTime <= sought);

    /// <summary>Place of a segment, or −1 if it is not in the catalog.</summary>
    public int FindSegment(uint segment)
    {
        long number = Count == 0 ? -1 : (long)segment - this[0].Segment;
        return number < Count ? (int)Math.Max(-1, number) : -1;
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static long OffsetOf(int number) => HeaderLength + ((long)number * RecordLength);

    private static void Create(IFileSystem fileSystem, string path)
    {
        string temporary = path + SealedIndexFormat.TemporarySuffix;
        fileSystem.DeleteFile(temporary);
        using (IFile file = fileSystem.OpenFile(temporary, FileOpening.New))
        {
            Span<byte> header = stackalloc byte[HeaderLength];
            header.Clear();
            FileHeader.Write(header, Magic, Version);
            BinaryPrimitives.WriteUInt32LittleEndian(header[FileHeader.LengthBytes..], RecordLength);
            FileHeader.Seal(header);
            file.Write(0, header);
            file.Flush();
        }

        fileSystem.MoveFile(temporary, path);
        fileSystem.FlushDirectory(Path.GetDirectoryName(path) ?? ".");
    }

    private static List<CatalogEntry> ReadEntries(IFile file)
    {
        var bytes = new byte[file.Length];
        int read = file.Read(0, bytes);
        CheckHeader(file.Path, bytes.AsSpan(0, read));
        var entries = new List<CatalogEntry>();
        for (int at = HeaderLength; at < read; at += RecordLength)
        {
            ReadOnlySpan<byte> record = bytes.AsSpan(at, Math.Min(RecordLength, read - at));
            string? fault = TryDecode(record, out CatalogEntry entry);
            if (fault is null && entries.Count > 0)
            {
                fault = Fault(entries[^1], entry);
            }

            if (fault is null)
            {
                entries.Add(entry);
            }
            else if (at + RecordLength >= read)
            {
                file.SetLength(at);
                file.Flush();
            }
            else
            {
                throw new IndexDamageException(file.Path, at, fault + "; records follow, so this is no torn tail");
            }
        }

        return entries;
    }

    private static void CheckHeader(string path, ReadOnlySpan<byte> bytes)
    {
        string? fault = FileHeader.Fault(bytes, Magic);
        if (fault is not null)
        {
            throw new IndexDamageException(path, 0, fault);
        }

        FileHeader.RequireSupported(path, bytes, Version);
        if (FileHeader.StoredLength(bytes) != HeaderLength
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes[FileHeader.LengthBytes..]) != RecordLength)
        {
            throw new IndexDamageException(path, 0, $"another header or record length than {HeaderLength} and {RecordLength}");
        }
    }

    /// <summary>Why an entry cannot follow another, or null.</summary>
    private static string? Fault(in CatalogEntry before, in CatalogEntry entry)
    {
        bool follows = entry.Segment == before.Segment + 1
            && entry.FirstPosition == before.LastPosition + 1
            && entry.FirstLogIndex.Value == before.LastLogIndex.Value + 1
            && entry.FirstTerm.Value >= before.LastTerm.Value
            && entry.FirstTime > before.LastTime;
        return follows
            ? null
            : $"segment {entry.Segment} from position {entry.FirstPosition}, log index {entry.FirstLogIndex} does not follow segment {before.Segment} up to position {before.LastPosition}, log index {before.LastLogIndex}";
    }

    private static void Encode(Span<byte> record, in CatalogEntry entry)
    {
        record.Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(record[4..], SealedSegmentType);
        BinaryPrimitives.WriteUInt32LittleEndian(record[8..], entry.Segment);
        BinaryPrimitives.WriteUInt32LittleEndian(record[12..], entry.EventCount);
        BinaryPrimitives.WriteInt64LittleEndian(record[16..], entry.FirstPosition.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(record[24..], entry.FirstLogIndex.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(record[32..], entry.LastLogIndex.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(record[40..], entry.FirstTerm.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(record[48..], entry.LastTerm.Value);
        BinaryPrimitives.WriteInt64LittleEndian(record[56..], entry.FirstTime);
        BinaryPrimitives.WriteInt64LittleEndian(record[64..], entry.LastTime);
        BinaryPrimitives.WriteUInt32LittleEndian(record[72..], entry.EndOffset);
        BinaryPrimitives.WriteUInt32LittleEndian(record[76..], entry.LastGroupChecksum);
        entry.Digest.Write(record[80..]);
        BinaryPrimitives.WriteInt64LittleEndian(record[96..], entry.Index.LengthBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(record[104..], entry.Index.Checksum);
        BinaryPrimitives.WriteUInt32LittleEndian(record, Checksum.Compute(record[4..]));
    }

    private static string? TryDecode(ReadOnlySpan<byte> record, out CatalogEntry entry)
    {
        entry = default;
        if (record.Length < RecordLength)
        {
            return $"record of {record.Length} bytes, expected {RecordLength}";
        }

        uint stored = BinaryPrimitives.ReadUInt32LittleEndian(record);
        uint expected = Checksum.Compute(record[4..]);
        if (stored != expected)
        {
            return $"record checksum {stored:X8}, expected {expected:X8}";
        }

        uint type = BinaryPrimitives.ReadUInt32LittleEndian(record[4..]);
        if (type != SealedSegmentType)
        {
            return $"record of type {type}, expected {SealedSegmentType}";
        }

        entry = new CatalogEntry
        {
            Segment = BinaryPrimitives.ReadUInt32LittleEndian(record[8..]),
            EventCount = BinaryPrimitives.ReadUInt32LittleEndian(record[12..]),
            FirstPosition = new Position(BinaryPrimitives.ReadInt64LittleEndian(record[16..])),
            FirstLogIndex = new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(record[24..])),
            LastLogIndex = new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(record[32..])),
            FirstTerm = new Term(BinaryPrimitives.ReadUInt64LittleEndian(record[40..])),
            LastTerm = new Term(BinaryPrimitives.ReadUInt64LittleEndian(record[48..])),
            FirstTime = BinaryPrimitives.ReadInt64LittleEndian(record[56..]),
            LastTime = BinaryPrimitives.ReadInt64LittleEndian(record[64..]),
            EndOffset = BinaryPrimitives.ReadUInt32LittleEndian(record[72..]),
            LastGroupChecksum = BinaryPrimitives.ReadUInt32LittleEndian(record[76..]),
            Digest = SegmentDigest.Read(record[80..]),
            Index = new SealedIndexMark(
                BinaryPrimitives.ReadInt64LittleEndian(record[96..]), BinaryPrimitives.ReadUInt32LittleEndian(record[104..])),
        };
        return null;
    }

    private int FindLast<T>(T sought, Func<CatalogEntry, T, bool> beginsAtOrBefore)
    {
        int low = 0;
        int high = Count;
        CatalogEntry[] entries = Volatile.Read(ref _entries);
        while (low < high)
        {
            int middle = low + ((high - low) / 2);
            if (beginsAtOrBefore(entries[middle], sought))
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low - 1;
    }
}
