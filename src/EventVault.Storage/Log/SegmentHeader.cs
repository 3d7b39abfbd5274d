// First block of every segment file. Truth.
//
// | offset | size | meaning                                                                          |
// |      0 |    8 | magic "EVSEG\0\0\1"                                                              |
// |      8 |    4 | CRC32C, started with the vault's seed, of the block with this field zero         |
// |     12 |    4 | format version: 1                                                                |
// |     16 |    8 | required feature bits: 0; 1 = scavenged (ScavengedHeader). An unknown one: refuse |
// |     24 |    8 | optional feature bits                                                            |
// |     32 |   16 | vault id                                                                         |
// |     48 |    4 | segment number                                                                   |
// |     52 |    4 | segment size in bytes                                                            |
// |     56 |    8 | log index of the first group                                                     |
// |     64 |    8 | position of the first event                                                      |
// |     72 |    8 | lower bound of the first group's time (time of the log's tail before + 1)        |
// |     80 |    4 | checksum of the group before, as in GroupHeader; 0 in segment 0                  |
// |     84 |      | zero to the block's end; of a scavenged segment what ScavengedHeader says        |
using System.Buffers.Binary;
using System.Globalization;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Log;

internal readonly record struct SegmentHeader(
    Guid VaultId, uint Segment, uint SizeBytes, LogIndex FirstIndex, Position FirstPosition, long MinTime, uint PreviousGroup)
{
    private const int FormatVersion = 1;
    private const ulong FeatureScavenged = 1;

    private static ReadOnlySpan<byte> Magic => "EVSEG\0\0\u0001"u8;

    /// <summary>Not null: it was scavenged, and what stands behind the header are no groups.</summary>
    public ScavengedHeader? Scavenged { get; init; }

    /// <summary>Name of a segment's file: 20 digits, so that names sort in log order.</summary>
    public static string FileName(uint segment) => $"{segment:D20}.seg";

    /// <summary>Whether a segment's file has such a name.</summary>
    public static bool IsFileName(string name) =>
        uint.TryParse(Path.GetFileNameWithoutExtension(name), NumberStyles.None, CultureInfo.InvariantCulture, out var segment) && name == FileName(segment);

    public void Encode(Span<byte> block, uint seed)
    {
        Invariant.Check(block.Length == Blocks.Size);
        block.Clear();
        Magic.CopyTo(block);
        BinaryPrimitives.WriteUInt32LittleEndian(block[12..], FormatVersion);
        BinaryPrimitives.WriteUInt64LittleEndian(block[16..], Scavenged is null ? 0 : FeatureScavenged);
        VaultId.TryWriteBytes(block[32..], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt32LittleEndian(block[48..], Segment);
        BinaryPrimitives.WriteUInt32LittleEndian(block[52..], SizeBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(block[56..], FirstIndex.Value);
        BinaryPrimitives.WriteInt64LittleEndian(block[64..], FirstPosition.Value);
        BinaryPrimitives.WriteInt64LittleEndian(block[72..], MinTime);
        BinaryPrimitives.WriteUInt32LittleEndian(block[80..], PreviousGroup);
        Scavenged?.Encode(block);
        BinaryPrimitives.WriteUInt32LittleEndian(block[8..], Checksum.Compute(block, seed));
    }

    /// <summary>Null if the block is not an intact header.</summary>
    public static SegmentHeader? Decode(ReadOnlySpan<byte> block, uint seed, string file)
    {
        if (block.Length < Blocks.Size || !block[..8].SequenceEqual(Magic))
        {
            return null;
        }

        Span<byte> copy = stackalloc byte[Blocks.Size];
        block[..Blocks.Size].CopyTo(copy);
        copy.Slice(8, 4).Clear();
        if (BinaryPrimitives.ReadUInt32LittleEndian(block[8..]) != Checksum.Compute(copy, seed))
        {
            return null;
        }

        var version = BinaryPrimitives.ReadUInt32LittleEndian(block[12..]);
        var required = BinaryPrimitives.ReadUInt64LittleEndian(block[16..]);
        if (version != FormatVersion || (required & ~FeatureScavenged) != 0)
        {
            throw new UnsupportedFormatException(file, $"format version {version} with required features 0x{required:x}");
        }

        var scavenged = required == FeatureScavenged ? ScavengedHeader.Decode(block) : null;
        if (required == FeatureScavenged && scavenged is null)
        {
            return null;
        }

        return new SegmentHeader(
            new Guid(block.Slice(32, 16), bigEndian: true),
            BinaryPrimitives.ReadUInt32LittleEndian(block[48..]),
            BinaryPrimitives.ReadUInt32LittleEndian(block[52..]),
            new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(block[56..])),
            new Position(BinaryPrimitives.ReadInt64LittleEndian(block[64..])),
            BinaryPrimitives.ReadInt64LittleEndian(block[72..]),
            BinaryPrimitives.ReadUInt32LittleEndian(block[80..]))
        {
            Scavenged = scavenged,
        };
    }
}
