using System.Buffers.Binary;
using System.Text;
using EventVault.Storage.Io;

namespace EventVault.Storage.Index;

// The state table: named values as of the last sealed segment. Rebuildable. Written anew at each seal under a
// temporary name, flushed and renamed.
//
//  Header, 64 bytes
//  offset size type  meaning
//       0   40       common part (FileHeader), magic "EVSTATE\n"
//      40    8 i64   applied through: number of the last segment applied, -1 if none
//      48    8 u64   length of the body in bytes
//      56    4 u32   number of values
//      60    4 u32   CRC32C of the body
//
//  Body: the values, ascending by the bytes of their names; each padded with zeros to 8 bytes
//       0    2 u16   length of the name, n, from 1
//       2    2 u16   zero
//       4    4 u32   length of the value, v
//       8    n       name, UTF-8
//     8+n    v       value

/// <summary>
/// A small table of named values (configuration, policies, checkpoints, definitions, horizon floor): what the log
/// says about them up to the last sealed segment, so that start need not read it all again.
/// </summary>
/// <remarks>One thread rewrites; any number may read meanwhile without locks.</remarks>
internal sealed class StateTable
{
    private const int HeaderLength = 64;
    private const int ValueHeaderLength = 8;
    private const uint Version = 1;

    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly IFileSystem _fileSystem;
    private readonly string _path;
    private Content _content;

    private StateTable(IFileSystem fileSystem, string path, Content content)
    {
        _fileSystem = fileSystem;
        _path = path;
        _content = content;
    }

    private static ReadOnlySpan<byte> Magic => "EVSTATE\n"u8;

    /// <summary>Number of the last segment applied, −1 if none.</summary>
    public long AppliedThrough => Volatile.Read(ref _content).AppliedThrough;

    /// <summary>The values as of <see cref="AppliedThrough"/>, ascending by name; the bytes are not to be changed.</summary>
    public IReadOnlyDictionary<string, byte[]> Values => Volatile.Read(ref _content).Values;

    /// <summary>Opens the table; an empty one if there is none.</summary>
    /// <exception cref="IndexDamageException">It is damaged.</exception>
    /// <exception cref="UnsupportedFormatException">It is of a later format.</exception>
    public static StateTable Open(IFileSystem fileSystem, string path)
    {
        Content content = fileSystem.FileExists(path) ? Read(fileSystem, path) : new Content(-1, []);
        return new StateTable(fileSystem, path, content);
    }

    /// <summary>
    /// Replaces all values by those as of this segment and makes them durable: after a crash either the old table is
    /// there or the new one. A segment that is applied already changes nothing.
    /// </summary>
    /// <exception cref="DiskException">If it is a refusal, the same may be tried again.</exception>
    public void Rewrite(uint segment, IEnumerable<KeyValuePair<string, byte[]>> values)
    {
        if (segment <= AppliedThrough)
        {
            return;
        }

        var sorted = new SortedList<string, byte[]>(new Dictionary<string, byte[]>(values), NameOrder.Instance);
        byte[] bytes = Encode(segment, sorted);
        string temporary = _path + SealedIndexFormat.TemporarySuffix;
        _fileSystem.DeleteFile(temporary);
        try
        {
            using (IFile file = _fileSystem.OpenFile(temporary, FileOpening.New))
            {
                file.Write(0, bytes);
                file.Flush();
            }

            _fileSystem.MoveFile(temporary, _path);
        }
        catch (DiskException e) when (e.IsFull)
        {
            _fileSystem.DeleteFile(temporary); // Or half a file would keep the room that sealing waits for.
            throw;
        }

        _fileSystem.FlushDirectory(Path.GetDirectoryName(_path) ?? ".");
        Volatile.Write(ref _content, new Content(segment, sorted));
    }

    private static byte[] Encode(uint segment, SortedList<string, byte[]> values)
    {
        int length = HeaderLength;
        foreach ((string name, byte[] value) in values)
        {
            int nameLength = Utf8.GetByteCount(name);
            Invariant.Check(nameLength is > 0 and <= ushort.MaxValue);
            length = checked(length + Align(ValueHeaderLength + nameLength + value.Length));
        }

        var bytes = new byte[length];
        int at = HeaderLength;
        foreach ((string name, byte[] value) in values)
        {
            Span<byte> entry = bytes.AsSpan(at);
            int nameLength = Utf8.GetBytes(name, entry[ValueHeaderLength..]);
            BinaryPrimitives.WriteUInt16LittleEndian(entry, (ushort)nameLength);
            BinaryPrimitives.WriteInt32LittleEndian(entry[4..], value.Length);
            value.CopyTo(entry[(ValueHeaderLength + nameLength)..]);
            at += Align(ValueHeaderLength + nameLength + value.Length);
        }

        Span<byte> header = bytes.AsSpan(0, HeaderLength);
        FileHeader.Write(header, Magic, Version);
        BinaryPrimitives.WriteInt64LittleEndian(header[40..], segment);
        BinaryPrimitives.WriteInt64LittleEndian(header[48..], length - HeaderLength);
        BinaryPrimitives.WriteInt32LittleEndian(header[56..], values.Count);
        BinaryPrimitives.WriteUInt32LittleEndian(header[60..], Checksum.Compute(bytes.AsSpan(HeaderLength)));
        FileHeader.Seal(header);
        return bytes;
    }

    private static Content Read(IFileSystem fileSystem, string path)
    {
        using IFile file = fileSystem.OpenFile(path, FileOpening.ReadExisting);
        var bytes = new byte[file.Length];
        ReadOnlySpan<byte> read = bytes.AsSpan(0, file.Read(0, bytes));
        string? fault = FileHeader.Fault(read, Magic);
        Require(fault is null, path, 0, fault);
        FileHeader.RequireSupported(path, read, Version);
        Require(FileHeader.StoredLength(read) == HeaderLength, path, 12, $"header length {FileHeader.StoredLength(read)}");
        ReadOnlySpan<byte> body = read[HeaderLength..];
        long expectedLength = BinaryPrimitives.ReadInt64LittleEndian(read[48..]);
        Require(body.Length == expectedLength, path, 48, $"body of {body.Length} bytes, expected {expectedLength}");
        uint expected = BinaryPrimitives.ReadUInt32LittleEndian(read[60..]);
        uint checksum = Checksum.Compute(body);
        Require(checksum == expected, path, HeaderLength, $"body checksum {checksum:X8}, expected {expected:X8}");
        int count = BinaryPrimitives.ReadInt32LittleEndian(read[56..]);
        return new Content(BinaryPrimitives.ReadInt64LittleEndian(read[40..]), ReadValues(path, body, count));
    }

    private static SortedList<string, byte[]> ReadValues(string path, ReadOnlySpan<byte> body, int count)
    {
        var values = new SortedList<string, byte[]>(NameOrder.Instance);
        int at = 0;
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> entry = body[Math.Min(at, body.Length)..];
            bool fits = entry.Length >= ValueHeaderLength;
            int nameLength = fits ? BinaryPrimitives.ReadUInt16LittleEndian(entry) : 0;
            int valueLength = fits ? BinaryPrimitives.ReadInt32LittleEndian(entry[4..]) : 0;
            fits = fits && nameLength > 0 && valueLength >= 0 && valueLength <= entry.Length - ValueHeaderLength - nameLength;
            Require(fits, path, HeaderLength + at, $"value {i} ends behind the file");
            string name = Utf8.GetString(entry.Slice(ValueHeaderLength, nameLength));
            Require(
                values.TryAdd(name, entry.Slice(ValueHeaderLength + nameLength, valueLength).ToArray()),
                path,
                HeaderLength + at,
                $"value '{name}' twice");
            at += Align(ValueHeaderLength + nameLength + valueLength);
        }

        Require(at == body.Length, path, HeaderLength + at, "bytes behind the last value");
        return values;
    }

    private static int Align(int length) => checked(length + 7) & ~7;

    private static void Require(bool condition, string path, long offset, string? observed)
    {
        if (!condition)
        {
            throw new IndexDamageException(path, offset, observed ?? "damage");
        }
    }

    private sealed record Content(long AppliedThrough, SortedList<string, byte[]> Values);

    /// <summary>Order of the UTF-8 bytes, so that the file does not depend on the program's culture or string form.</summary>
    private sealed class NameOrder : IComparer<string>
    {
        public static readonly NameOrder Instance = new();

        public int Compare(string? x, string? y) =>
            Utf8.GetBytes(x ?? "").AsSpan().SequenceCompareTo(Utf8.GetBytes(y ?? ""));
    }
}
