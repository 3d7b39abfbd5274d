// What a backup consists of. Written last, flushed under a temporary name and renamed: what it names is whole, and what it does not name is
// no part of the backup. Truth of the backup; one checksum over all of it.
//
// | offset | size | meaning                                                                          |
// |      0 |    8 | magic "EVBACK\0\1"                                                               |
// |      8 |    4 | CRC32C of the file with this field zero                                          |
// |     12 |    4 | format version: 1                                                                |
// |     16 |    8 | required feature bits: 0                                                         |
// |     24 |    8 | optional feature bits                                                            |
// |     32 |    8 | number of the backup in its directory, from 1                                    |
// |     40 |    8 | when it was begun, 100 ns ticks since 1970                                       |
// |     48 |    8 | the backup that it follows: when that was begun; 0: it is the first              |
// |     56 |    8 | the backup that it follows: position of its last event; -1: it had none          |
// |     64 |    4 | number of segments, from 1                                                       |
// |     68 |    4 | zero                                                                             |
// |     72 |   49 | whose it is (VaultIdentity), with the vault's secrets                            |
// |    121 |    7 | zero                                                                             |
// |    128 | 96 n | the segments, from 0 without a gap: 72 bytes (ShippedSegment), then where the    |
// |        |      | log ends with it: position of the last event i64, time i64, checksum of the last |
// |        |      | group u32, zero u32                                                              |
using System.Buffers.Binary;
using System.Globalization;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Shipping;

namespace EventVault.Storage.Backups;

/// <summary>A segment of a backup.</summary>
/// <param name="Segment">What its file holds.</param>
/// <param name="Last">Position of the log's last event up to its end.</param>
/// <param name="Time">When its last group was recorded.</param>
/// <param name="Checksum">Of that group.</param>
internal readonly record struct BackupEntry(ShippedSegment Segment, Position Last, long Time, uint Checksum)
{
    /// <summary>Where the log ends with it; the place in the segment is only right where it has groups.</summary>
    public LogEnd End => new(new Place(Segment.Segment, (uint)Segment.LengthBytes), Checksum, Segment.LastIndex, Last, Time, Segment.LastTerm);

    /// <summary>Its file's name: a name stands for one content for ever.</summary>
    public string FileName => string.Create(
        CultureInfo.InvariantCulture, $"{Segment.Segment:D20}.{Segment.LastIndex.Value}{(Segment.Form == ShippedForm.Scavenged ? $".{Segment.ScavengePoint}" : "")}{BackupManifest.SegmentSuffix}");
}

/// <summary>The newest finished backup of a directory.</summary>
internal sealed record BackupManifest(VaultIdentity Vault, long Number, long BegunAt, long FollowsBegunAt, Position FollowsLast, IReadOnlyList<BackupEntry> Segments)
{
    public const string FileName = "manifest";
    public const string SegmentsFolder = "segments";

    public const string SegmentSuffix = ".seg";

    /// <summary>What a manifest is called until it is whole.</summary>
    public const string TemporaryName = FileName + ".tmp";

    /// <summary>Segments of a backup, 4 Mi: a petabyte at the usual size, and 384 MiB of manifest, which is read at once.</summary>
    private const int MostSegments = 4 * 1024 * 1024;

    private const uint FormatVersion = 1;
    private const int IdentityOffset = 72;
    private const int IdentityLength = 49;
    private const int HeaderLength = 128;
    private const int EntryLength = ShippedSegment.EncodedLength + 24;

    private static ReadOnlySpan<byte> Magic => "EVBACK\0\u0001"u8;

    /// <summary>Where the log ends in it.</summary>
    public LogEnd End => Segments[^1].End;

    /// <summary>Where a backup directory has a segment.</summary>
    public static string PathOf(string directory, in BackupEntry entry) => Path.Combine(directory, SegmentsFolder, entry.FileName);

    /// <summary>The manifest of a backup directory; null: no backup was ever finished there.</summary>
    /// <exception cref="DamageException">It is damaged.</exception>
    /// <exception cref="UnsupportedFormatException">Another version wrote it.</exception>
    public static BackupManifest? Read(IFileSystem files, string directory)
    {
        var path = Path.Combine(directory, FileName);
        if (!files.FileExists(path))
        {
            return null;
        }

        using var file = files.OpenFile(path, FileOpening.ReadExisting);
        var bytes = new byte[file.Length <= HeaderLength + ((long)MostSegments * EntryLength) ? file.Length : 0];
        return (file.ReadFromDisk(0, bytes) == bytes.Length ? TryDecode(bytes) : null)
            ?? throw new DamageException(FileName, 0, "a manifest that matches its checksum should be here.", "Use another backup, or make a new one in an empty directory.");
    }

    /// <summary>Makes it the directory's, durably. Everything that it names is durable already.</summary>
    public void Save(IFileSystem files, string directory)
    {
        var temporary = Path.Combine(directory, TemporaryName);
        files.DeleteFile(temporary);
        using (var file = files.OpenFile(temporary, FileOpening.New))
        {
            file.Write(0, Encode());
            file.Flush();
        }

        files.MoveFile(temporary, Path.Combine(directory, FileName));
        files.FlushDirectory(directory);
    }

    public byte[] Encode()
    {
        Invariant.Check(IsConsistent && Number > 0 && Segments.Count <= MostSegments);
        var bytes = new byte[HeaderLength + (Segments.Count * EntryLength)];
        var span = bytes.AsSpan();
        Magic.CopyTo(span);
        BinaryPrimitives.WriteUInt32LittleEndian(span[12..], FormatVersion);
        BinaryPrimitives.WriteInt64LittleEndian(span[32..], Number);
        BinaryPrimitives.WriteInt64LittleEndian(span[40..], BegunAt);
        BinaryPrimitives.WriteInt64LittleEndian(span[48..], FollowsBegunAt);
        BinaryPrimitives.WriteInt64LittleEndian(span[56..], FollowsLast.Value);
        BinaryPrimitives.WriteInt32LittleEndian(span[64..], Segments.Count);
        Vault.Encode().CopyTo(span[IdentityOffset..]);
        for (var i = 0; i < Segments.Count; i++)
        {
            var entry = span[(HeaderLength + (i * EntryLength))..];
            Segments[i].Segment.Encode(entry);
            entry = entry[ShippedSegment.EncodedLength..];
            BinaryPrimitives.WriteInt64LittleEndian(entry, Segments[i].Last.Value);
            BinaryPrimitives.WriteInt64LittleEndian(entry[8..], Segments[i].Time);
            BinaryPrimitives.WriteUInt32LittleEndian(entry[16..], Segments[i].Checksum);
        }

        BinaryPrimitives.WriteUInt32LittleEndian(span[8..], Storage.Checksum.Compute(bytes));
        return bytes;
    }

    /// <summary>Null: not what was written there.</summary>
    /// <exception cref="UnsupportedFormatException">Another version wrote it.</exception>
    public static BackupManifest? TryDecode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderLength || !bytes[..8].SequenceEqual(Magic))
        {
            return null;
        }

        var copy = bytes.ToArray();
        copy.AsSpan(8, 4).Clear();
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]) != Storage.Checksum.Compute(copy))
        {
            return null;
        }

        var version = BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]);
        var required = BinaryPrimitives.ReadUInt64LittleEndian(bytes[16..]);
        if (version != FormatVersion || required != 0)
        {
            throw new UnsupportedFormatException(FileName, $"format version {version} with required features 0x{required:x}");
        }

        var count = BinaryPrimitives.ReadInt32LittleEndian(bytes[64..]);
        if (count <= 0 || bytes.Length != HeaderLength + ((long)count * EntryLength) || VaultIdentity.Decode(bytes.Slice(IdentityOffset, IdentityLength)) is not { } vault)
        {
            return null;
        }

        var segments = new BackupEntry[count];
        for (var i = 0; i < count; i++)
        {
            var entry = bytes[(HeaderLength + (i * EntryLength))..];
            if (ShippedSegment.TryDecode(entry, vault.SegmentSizeBytes, isBackup: true) is not { } segment)
            {
                return null;
            }

            entry = entry[ShippedSegment.EncodedLength..];
            segments[i] = new BackupEntry(
                segment, new Position(BinaryPrimitives.ReadInt64LittleEndian(entry)), BinaryPrimitives.ReadInt64LittleEndian(entry[8..]), BinaryPrimitives.ReadUInt32LittleEndian(entry[16..]));
        }

        var manifest = new BackupManifest(
            vault, BinaryPrimitives.ReadInt64LittleEndian(bytes[32..]), BinaryPrimitives.ReadInt64LittleEndian(bytes[40..]), BinaryPrimitives.ReadInt64LittleEndian(bytes[48..]),
            new Position(BinaryPrimitives.ReadInt64LittleEndian(bytes[56..])), segments);
        return manifest.IsConsistent ? manifest : null;
    }

    /// <summary>Whether the log is without a gap, and no segment was scavenged at a point that it does not reach.</summary>
    public static bool AreConsistent(IReadOnlyList<BackupEntry> segments)
    {
        for (var i = 0; i < segments.Count; i++)
        {
            var (segment, before) = (segments[i], i > 0 ? segments[i - 1].End : LogEnd.Empty);
            if (segment.Segment.Segment != i || segment.Segment.FirstIndex.Value != before.Index.Value + 1 || segment.Segment.FirstTerm < before.Term
                || segment.Last < before.Position || segment.Time <= before.Time || segment.Segment.ScavengePoint > segments[^1].Last.Value)
            {
                return false;
            }
        }

        return segments.Count > 0;
    }

    private bool IsConsistent => AreConsistent(Segments) && Segments[^1].Segment.Form == ShippedForm.Unsealed;
}
