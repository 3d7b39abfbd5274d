// unsealed, beside the index files: the index of the unsealed segment as it stood in memory when the node stopped in order, so that
// the next start neither reads the segment nor indexes it. Rebuildable, and a part of the note of that stop (CleanStop): it counts only
// beside one that says the same, so like that for the very next start alone. Without it the segment is walked.
//
// | offset | size | meaning                                                                         |
// |      0 |   40 | common part (FileHeader.cs), magic "EVUNSEAL"                                   |
// |     40 |   16 | vault id, UUID in network byte order                                            |
// |     56 |   16 | incarnation of the disk, likewise                                               |
// |     72 |    4 | start number of the run that stopped                                            |
// |     76 |    4 | checksum of the last group                                                      |
// |     80 |    8 | log index of the last group                                                     |
// |     88 |    4 | segment                                                                         |
// |     92 |    4 | offset behind its last group                                                    |
// |     96 |    8 | position of the last event, i64                                                 |
// |    104 |    8 | time of the last append or system record                                        |
// |    112 |    8 | term of the last group                                                          |
// |    120 |    8 | position of the segment's first event                                           |
// |    128 |    8 | log index of the segment's first group                                          |
// |    136 |    8 | length of the file                                                              |
// |    144 |    4 | CRC32C of all that follows the header                                           |
// |    148 |    4 | zero                                                                            |
//
// Behind it stand, without gaps, what ActiveIndex.Save writes: lists as a count (u32) and their elements, tables with their slots, so that nothing
// is computed at the start. They are structures of this version's memory: one that changes any of them is another version of the file.
using System.Buffers.Binary;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage.Index;

/// <summary>The index of the unsealed segment, kept from a stop in order to the next start.</summary>
internal static class ActiveIndexFile
{
    public const string FileName = "unsealed";
    private const int HeaderLength = 152;
    private const uint Version = 2;

    private static ReadOnlySpan<byte> Magic => "EVUNSEAL"u8;

    /// <summary>Where a data directory has it.</summary>
    public static string PathIn(string directory) => Path.Combine(directory, VaultStorage.IndexFolder, FileName);

    /// <summary>Makes it durable. The node has stopped, and the segment's groups are all committed.</summary>
    /// <param name="files">Where it is to stand.</param>
    /// <param name="directory">The data directory.</param>
    /// <param name="meta">Of the run that stops.</param>
    /// <param name="end">Where the log ends.</param>
    /// <param name="index">Of its last segment.</param>
    /// <exception cref="DiskException">It is not there, or may be: either does no harm.</exception>
    public static void Save(IFileSystem files, string directory, VaultMeta meta, in LogEnd end, ActiveIndex index)
    {
        CheckFits(end, index);
        var path = PathIn(directory);
        var temporary = TemporaryIn(directory);
        files.DeleteFile(temporary);
        using (var file = files.OpenFile(temporary, FileOpening.New))
        {
            var writer = new ActiveIndexWriter(file, HeaderLength);
            index.Save(writer);
            writer.WriteOut();
            file.Write(0, Header(meta, end, index, writer.Length, writer.ContentChecksum));
            file.Flush();
        }

        files.MoveFile(temporary, path);
        files.FlushDirectory(Path.GetDirectoryName(path)!);
    }

    /// <summary>
    /// The index that the run before this start left, and where the log ends; null if there is none that belongs to the note, or it is damaged or unreadable.
    /// </summary>
    /// <param name="files">Where it stands.</param>
    /// <param name="directory">The data directory.</param>
    /// <param name="meta">Of this start.</param>
    /// <param name="stop">What the note of the stop says.</param>
    public static (ActiveIndex Index, LogEnd End)? Read(IFileSystem files, string directory, VaultMeta meta, in CleanStop stop)
    {
        var path = PathIn(directory);
        if (!files.FileExists(path))
        {
            return null;
        }

        try
        {
            using var file = files.OpenFile(path, FileOpening.ReadExisting);
            return Read(file, meta, stop);
        }
        catch (Exception e) when (e is DiskException or IndexDamageException)
        {
            return null; // The log can tell as well.
        }
    }

    /// <summary>Deletes it, and what a stop that was cut short left of it.</summary>
    public static void Delete(IFileSystem files, string directory)
    {
        files.DeleteFile(PathIn(directory));
        files.DeleteFile(TemporaryIn(directory));
    }

    private static string TemporaryIn(string directory) => PathIn(directory) + ".tmp";

    private static (ActiveIndex Index, LogEnd End)? Read(IFile file, VaultMeta meta, in CleanStop stop)
    {
        Span<byte> header = stackalloc byte[HeaderLength];
        if (file.Read(0, header) != HeaderLength)
        {
            return null;
        }

        var end = new LogEnd(
            stop.End, stop.LastGroup, stop.Index, new Position(BinaryPrimitives.ReadInt64LittleEndian(header[96..])),
            BinaryPrimitives.ReadInt64LittleEndian(header[104..]), new Term(BinaryPrimitives.ReadUInt64LittleEndian(header[112..])));
        var index = new ActiveIndex(
            stop.End.Segment, new Position(BinaryPrimitives.ReadInt64LittleEndian(header[120..])), new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(header[128..])));
        var checksum = BinaryPrimitives.ReadUInt32LittleEndian(header[144..]);
        if (!header.SequenceEqual(Header(meta with { StartNumber = meta.StartNumber - 1 }, end, index, file.Length, checksum)))
        {
            return null; // Of another stop, another version, or damaged.
        }

        var reader = new ActiveIndexReader(file, HeaderLength, file.Length);
        index.Load(reader, end.Term);
        if (!reader.IsWhole(checksum))
        {
            return null;
        }

        CheckFits(end, index);
        return (index, end);
    }

    private static void CheckFits(in LogEnd end, ActiveIndex index)
    {
        Invariant.Check(end.Place.Segment == index.Segment && end.Index >= index.FirstIndex);
        Invariant.Check(end.Position.Value - index.FirstPosition.Value + 1 == index.EventCount, "All events of the segment are committed.");
        Invariant.Check(index.StreamCount <= index.EventCount && index.ConsensusGroups.Count > 0, "Streams are there by their events, and a segment has a first group.");
    }

    private static byte[] Header(VaultMeta meta, in LogEnd end, ActiveIndex index, long length, uint checksum)
    {
        var bytes = new byte[HeaderLength];
        var span = bytes.AsSpan();
        FileHeader.Write(span, Magic, Version);
        meta.VaultId.TryWriteBytes(span[40..], bigEndian: true, out _);
        meta.Incarnation.TryWriteBytes(span[56..], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt32LittleEndian(span[72..], meta.StartNumber);
        BinaryPrimitives.WriteUInt32LittleEndian(span[76..], end.Checksum);
        BinaryPrimitives.WriteUInt64LittleEndian(span[80..], end.Index.Value);
        BinaryPrimitives.WriteUInt32LittleEndian(span[88..], end.Place.Segment);
        BinaryPrimitives.WriteUInt32LittleEndian(span[92..], end.Place.Offset);
        BinaryPrimitives.WriteInt64LittleEndian(span[96..], end.Position.Value);
        BinaryPrimitives.WriteInt64LittleEndian(span[104..], end.Time);
        BinaryPrimitives.WriteUInt64LittleEndian(span[112..], end.Term.Value);
        BinaryPrimitives.WriteInt64LittleEndian(span[120..], index.FirstPosition.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(span[128..], index.FirstIndex.Value);
        BinaryPrimitives.WriteInt64LittleEndian(span[136..], length);
        BinaryPrimitives.WriteUInt32LittleEndian(span[144..], checksum);
        FileHeader.Seal(span);
        return bytes;
    }
}
