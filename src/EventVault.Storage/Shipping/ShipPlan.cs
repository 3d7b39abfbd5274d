// ship/plan: which files in ship/ take the place of segments of this node's log at the next start. Neither truth nor rebuildable: work
// under way. Written last, when all that it names is whole and durable, under a temporary name, flushed and renamed.
//
// | offset | size | meaning                                                                        |
// |      0 |    8 | magic "EVSHIP\0\1"                                                             |
// |      8 |    4 | CRC32C, started with the vault's seed, of the file with this field zero        |
// |     12 |    4 | format version: 1                                                              |
// |     16 |    8 | required feature bits: 0                                                       |
// |     24 |   16 | vault id                                                                       |
// |     40 |   16 | incarnation of the disk                                                        |
// |     56 |    1 | purpose: 1 catch-up, 2 repair                                                  |
// |     57 |    1 | state: 1 ready, 2 being installed                                              |
// |     58 |    2 | zero                                                                           |
// |     60 |    4 | number of segments, n, 1 to 262,144                                            |
// |     64 | 72 n | segments, ascending (ShippedSegment)                                           |
using System.Buffers.Binary;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage.Shipping;

/// <summary>What a plan is for.</summary>
internal enum ShipPurpose : byte
{
    /// <summary>Segments without a gap, and the beginning of the one behind: the log goes on there.</summary>
    CatchUp = 1,

    /// <summary>One sealed segment in the place of a damaged one.</summary>
    Repair = 2,
}

/// <summary>How far a plan is.</summary>
internal enum ShipState : byte
{
    /// <summary>Nothing of it was done; it may be dropped.</summary>
    Ready = 1,

    /// <summary>The log may be anything between before and behind: it must be carried to its end.</summary>
    Installing = 2,
}

internal sealed record ShipPlan(Guid VaultId, Guid Incarnation, ShipPurpose Purpose, ShipState State, IReadOnlyList<ShippedSegment> Segments)
{
    public const string FileName = "plan";

    /// <summary>Most segments in one plan: 64 TiB of the usual size, 16 GiB of the smallest. The plan takes 72 bytes for each, of the disk and, at the start that installs it, of memory.</summary>
    public const int MostSegments = 262_144;

    private const int FormatVersion = 1;
    private const int HeaderLength = 64;
    private const string TemporarySuffix = ".tmp";

    private static ReadOnlySpan<byte> Magic => "EVSHIP\0\u0001"u8;

    public ShippedSegment First => Segments[0];

    public ShippedSegment Last => Segments[^1];

    public static string PathIn(string directory) => Path.Combine(ShipFolder.PathIn(directory), FileName);

    /// <summary>Makes the plan durable in the place of the one before.</summary>
    /// <exception cref="DiskException">The disk failed, or is full.</exception>
    public void Save(IFileSystem files, string directory, uint seed)
    {
        var bytes = Encode(seed);
        var path = PathIn(directory);
        files.DeleteFile(path + TemporarySuffix);
        using (var file = files.OpenFile(path + TemporarySuffix, FileOpening.New))
        {
            file.Write(0, bytes);
            file.Flush();
        }

        files.MoveFile(path + TemporarySuffix, path);
        files.FlushDirectory(ShipFolder.PathIn(directory));
    }

    /// <summary>The plan of a data directory; null if there is none.</summary>
    /// <exception cref="DamageException">It is damaged, or another vault's or disk's.</exception>
    /// <exception cref="UnsupportedFormatException">Another version wrote it.</exception>
    public static ShipPlan? Read(IFileSystem files, string directory, VaultMeta meta)
    {
        var path = PathIn(directory);
        if (!files.FileExists(path))
        {
            return null;
        }

        using var file = files.OpenFile(path, FileOpening.ReadExisting);
        // Bytes of the largest plan: a longer file is none.
        const int MostBytes = HeaderLength + (MostSegments * ShippedSegment.EncodedLength);
        var bytes = new byte[Math.Min(file.Length, MostBytes + 1)];
        var read = file.ReadFromDisk(0, bytes);
        var plan = read == bytes.Length ? TryDecode(bytes, meta.ChecksumSeed, meta.SegmentSizeBytes) : null;
        if (plan is null)
        {
            throw Refused("a plan that matches its checksum should be here.");
        }

        return plan.VaultId == meta.VaultId && plan.Incarnation == meta.Incarnation
            ? plan
            : throw Refused($"a plan for disk {meta.Incarnation} of vault {meta.VaultId} should be here, this is one for disk {plan.Incarnation} of vault {plan.VaultId}.");
    }

    public byte[] Encode(uint seed)
    {
        Invariant.Check(Segments.Count is > 0 and <= MostSegments && IsConsistent);
        var bytes = new byte[HeaderLength + (Segments.Count * ShippedSegment.EncodedLength)];
        var span = bytes.AsSpan();
        Magic.CopyTo(span);
        BinaryPrimitives.WriteUInt32LittleEndian(span[12..], FormatVersion);
        VaultId.TryWriteBytes(span[24..], bigEndian: true, out _);
        Incarnation.TryWriteBytes(span[40..], bigEndian: true, out _);
        span[56] = (byte)Purpose;
        span[57] = (byte)State;
        BinaryPrimitives.WriteInt32LittleEndian(span[60..], Segments.Count);
        for (var i = 0; i < Segments.Count; i++)
        {
            Segments[i].Encode(span[(HeaderLength + (i * ShippedSegment.EncodedLength))..]);
        }

        BinaryPrimitives.WriteUInt32LittleEndian(span[8..], Checksum.Compute(bytes, seed));
        return bytes;
    }

    /// <summary>Null: not what was written there.</summary>
    /// <exception cref="UnsupportedFormatException">Another version wrote it.</exception>
    public static ShipPlan? TryDecode(ReadOnlySpan<byte> bytes, uint seed, uint segmentSizeBytes)
    {
        if (bytes.Length < HeaderLength || !bytes[..8].SequenceEqual(Magic))
        {
            return null;
        }

        var copy = bytes.ToArray();
        copy.AsSpan(8, 4).Clear();
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]) != Checksum.Compute(copy, seed))
        {
            return null;
        }

        var version = BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]);
        var required = BinaryPrimitives.ReadUInt64LittleEndian(bytes[16..]);
        if (version != FormatVersion || required != 0)
        {
            throw new UnsupportedFormatException($"{ShipFolder.Name}/{FileName}", $"format version {version} with required features 0x{required:x}");
        }

        var count = BinaryPrimitives.ReadInt32LittleEndian(bytes[60..]);
        if (count is <= 0 or > MostSegments || bytes.Length != HeaderLength + (count * ShippedSegment.EncodedLength))
        {
            return null;
        }

        var segments = new ShippedSegment[count];
        for (var i = 0; i < count; i++)
        {
            if (ShippedSegment.TryDecode(bytes[(HeaderLength + (i * ShippedSegment.EncodedLength))..], segmentSizeBytes) is not { } segment)
            {
                return null;
            }

            segments[i] = segment;
        }

        var plan = new ShipPlan(
            new Guid(bytes.Slice(24, 16), bigEndian: true), new Guid(bytes.Slice(40, 16), bigEndian: true), (ShipPurpose)bytes[56], (ShipState)bytes[57], segments);
        return plan.IsConsistent ? plan : null;
    }

    private static DamageException Refused(string expected) => new(
        $"{ShipFolder.Name}/{FileName}", 0, expected, $"Nothing was changed. If the folder {ShipFolder.Name} came here with a copy, delete it and start again.");

    // Without a gap, and, if the log is to go on behind it, with the beginning of the segment behind the last whole one.
    private bool IsConsistent
    {
        get
        {
            var isWhole = State is ShipState.Ready or ShipState.Installing
                && (Purpose == ShipPurpose.CatchUp ? Last.Form == ShippedForm.Beginning && Segments.Count > 1 : Purpose == ShipPurpose.Repair && Segments.Count == 1 && Last.Form != ShippedForm.Beginning);
            for (var i = 0; i + 1 < Segments.Count && isWhole; i++)
            {
                isWhole = Segments[i].Form != ShippedForm.Beginning && Segments[i + 1].Segment == Segments[i].Segment + 1
                    && Segments[i + 1].FirstIndex.Value == Segments[i].LastIndex.Value + 1 && Segments[i + 1].FirstTerm >= Segments[i].LastTerm;
            }

            return isWhole;
        }
    }
}
