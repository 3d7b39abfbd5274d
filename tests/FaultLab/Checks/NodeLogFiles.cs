using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using EventVault.FaultLab.History;
using EventVault.Protocol;

namespace EventVault.FaultLab.Checks;

/// <summary>
/// Reads the log of a stopped node from its segment files, as docs/FORMAT.md describes them: written apart from the product, so that a
/// mistake in its reader does not hide itself. Checksums are left to verify, which runs beside it. The lab never scavenges.
/// </summary>
internal static class NodeLogFiles
{
    public const int GroupHeaderBytes = 104;
    private const int BlockBytes = 4096;
    private const int SharedHeaderBytes = 88;
    private const int RecordHeaderBytes = 40;
    private const uint GroupMagic = 0x52475645; // "EVGR"

    public static NodeLog Read(int node, string directory)
    {
        var groups = new List<LogGroup>();
        var events = new List<LogEvent>();
        foreach (var file in Directory.EnumerateFiles(Path.Combine(directory, "log"), "*.seg").Order(StringComparer.Ordinal))
        {
            var bytes = File.ReadAllBytes(file);
            var at = BlockBytes;
            while (at + GroupHeaderBytes <= bytes.Length && BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(at)) == GroupMagic)
            {
                var header = bytes.AsSpan(at, GroupHeaderBytes);
                var length = BinaryPrimitives.ReadInt32LittleEndian(header[8..]);
                var index = BinaryPrimitives.ReadUInt64LittleEndian(header[32..]);
                if (length <= 0 || at + GroupHeaderBytes + length > bytes.Length || index != (ulong)groups.Count + 1)
                {
                    break; // What a truncation left behind the end.
                }

                var body = bytes.AsSpan(at + GroupHeaderBytes, length);
                groups.Add(new LogGroup(index, BinaryPrimitives.ReadUInt64LittleEndian(header[24..]), Digest(header[..SharedHeaderBytes], body)));
                if (header[4] == 1)
                {
                    ReadAppends(body, events);
                }

                at += GroupHeaderBytes + length;
            }
        }

        return new NodeLog(node, groups, events);
    }

    private static ulong Digest(ReadOnlySpan<byte> header, ReadOnlySpan<byte> body)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(header);
        hash.AppendData(body);
        return BinaryPrimitives.ReadUInt64LittleEndian(hash.GetHashAndReset());
    }

    private static void ReadAppends(ReadOnlySpan<byte> body, List<LogEvent> into)
    {
        while (!body.IsEmpty)
        {
            var length = BinaryPrimitives.ReadInt32LittleEndian(body);
            var headerBytes = BinaryPrimitives.ReadUInt16LittleEndian(body[4..]);
            Guid? operation = (body[7] & 1) == 0 ? new Guid(body.Slice(24, 16), bigEndian: true) : null;
            var records = body[headerBytes..length];
            while (!records.IsEmpty)
            {
                var e = ReadEvent(records, ref operation, out var recordBytes);
                into.Add(e);
                records = records[recordBytes..];
            }

            body = body[length..];
        }
    }

    private static LogEvent ReadEvent(ReadOnlySpan<byte> record, ref Guid? operation, out int length)
    {
        length = BinaryPrimitives.ReadInt32LittleEndian(record);
        var headerBytes = BinaryPrimitives.ReadUInt16LittleEndian(record[8..]);
        if (headerBytes < RecordHeaderBytes)
        {
            throw new InvalidDataException($"A record with a header of {headerBytes} bytes.");
        }

        var nameBytes = BinaryPrimitives.ReadUInt16LittleEndian(record[14..]);
        var stream = Encoding.UTF8.GetString(record.Slice(headerBytes, nameBytes));
        var content = record[(headerBytes + nameBytes)..(length - record[11])];
        var e = EventData.Parser.ParseFrom(content);

        // An append without an id of its own is named by its first event.
        operation ??= new Guid(e.Id.Span, bigEndian: true);
        return new LogEvent
        {
            Position = BinaryPrimitives.ReadInt64LittleEndian(record[16..]),
            Stream = stream,
            Version = BinaryPrimitives.ReadInt64LittleEndian(record[24..]),
            RecordedAt = BinaryPrimitives.ReadInt64LittleEndian(record[32..]),
            Digest = EventDigest.Of(stream, content),
            OperationId = operation.Value,
            Tags = [.. e.Tags],
        };
    }
}
