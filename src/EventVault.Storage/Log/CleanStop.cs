// clean-stop, beside the index files: the node stopped in order, and this is where its log ends. A start that finds the log as
// it says need not look for a torn tail, nor read past the page cache: nothing was in flight, and everything was flushed.
// A hint: without it, or if anything does not fit, the log's end is looked for as after a crash.
//
// It counts for the very next start only: it names the start number of the run that stopped, and a start makes its own,
// which is higher, durable before it touches the log. So whatever happens behind that start, this file says nothing any more,
// also where it could not be deleted, or comes back with an older copy of the folder.
//
// | offset | size | meaning                                                  |
// |      0 |   40 | common part (Index/FileHeader.cs), magic "EVCLEAN\n"     |
// |     40 |   16 | vault id, UUID in network byte order                     |
// |     56 |   16 | incarnation of the disk, likewise                        |
// |     72 |    4 | start number of the run that stopped                     |
// |     76 |    4 | checksum of the last group                               |
// |     80 |    8 | log index of the last group                              |
// |     88 |    4 | last segment                                             |
// |     92 |    4 | offset behind its last group, where the commit mark is   |
using System.Buffers.Binary;
using EventVault.Storage.Index;
using EventVault.Storage.Io;

namespace EventVault.Storage.Log;

/// <summary>Where the log ended when the node stopped in order.</summary>
/// <param name="End">Behind the last group.</param>
/// <param name="Index">Of the last group.</param>
/// <param name="LastGroup">Its checksum.</param>
internal readonly record struct CleanStop(Place End, LogIndex Index, uint LastGroup)
{
    public const string FileName = "clean-stop";
    private const int Length = 96;
    private const uint Version = 1;

    private static ReadOnlySpan<byte> Magic => "EVCLEAN\n"u8;

    /// <summary>Where a data directory has it.</summary>
    public static string PathIn(string directory) => Path.Combine(directory, VaultStorage.IndexFolder, FileName);

    /// <summary>Makes it durable. The log up to here is, and nothing is written behind it in this run.</summary>
    /// <exception cref="DiskException">It is not there, or may be: either does no harm.</exception>
    public void Save(IFileSystem files, string directory, VaultMeta meta)
    {
        var path = PathIn(directory);
        var temporary = path + ".tmp";
        files.DeleteFile(temporary);
        using (var file = files.OpenFile(temporary, FileOpening.New))
        {
            file.Write(0, Encode(meta));
            file.Flush();
        }

        files.MoveFile(temporary, path);
        files.FlushDirectory(Path.GetDirectoryName(path)!);
    }

    /// <summary>What the run before this start left; null if that did not stop in order, or the file is damaged, unreadable or of another disk.</summary>
    /// <param name="files">Where it stands.</param>
    /// <param name="directory">The data directory.</param>
    /// <param name="meta">Of this start.</param>
    public static CleanStop? Read(IFileSystem files, string directory, VaultMeta meta)
    {
        var path = PathIn(directory);
        if (!files.FileExists(path))
        {
            return null;
        }

        Span<byte> bytes = stackalloc byte[Length];
        try
        {
            using var file = files.OpenFile(path, FileOpening.ReadExisting);
            if (file.Length != Length || file.Read(0, bytes) != Length)
            {
                return null;
            }
        }
        catch (DiskException)
        {
            return null; // The log alone can tell as well.
        }

        // Whatever a later version has to say with other bytes, this one can do without.
        var stop = new CleanStop(
            new Place(BinaryPrimitives.ReadUInt32LittleEndian(bytes[88..]), BinaryPrimitives.ReadUInt32LittleEndian(bytes[92..])),
            new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(bytes[80..])),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[76..]));
        return bytes.SequenceEqual(stop.Encode(meta with { StartNumber = meta.StartNumber - 1 })) ? stop : null;
    }

    /// <summary>Whether the walk of the last segment ended where this says.</summary>
    public bool IsAt(SegmentScanner scanner) =>
        End == new Place(scanner.Header.Segment, scanner.Offset) && Index.Value + 1 == scanner.NextIndex.Value && LastGroup == scanner.LastGroup;

    private byte[] Encode(VaultMeta meta)
    {
        var bytes = new byte[Length];
        var span = bytes.AsSpan();
        FileHeader.Write(span, Magic, Version);
        meta.VaultId.TryWriteBytes(span[40..], bigEndian: true, out _);
        meta.Incarnation.TryWriteBytes(span[56..], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt32LittleEndian(span[72..], meta.StartNumber);
        BinaryPrimitives.WriteUInt32LittleEndian(span[76..], LastGroup);
        BinaryPrimitives.WriteUInt64LittleEndian(span[80..], Index.Value);
        BinaryPrimitives.WriteUInt32LittleEndian(span[88..], End.Segment);
        BinaryPrimitives.WriteUInt32LittleEndian(span[92..], End.Offset);
        FileHeader.Seal(span);
        return bytes;
    }
}
