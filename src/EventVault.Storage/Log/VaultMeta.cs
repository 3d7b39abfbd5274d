// meta: who this vault is. Truth: without it the log can't be checked.
// Two copies, each alone in a 4,096-byte block, written and flushed one after the other: a crash or a bad block
// costs one of them at most, and the copy with the higher write number stands.
//
// | offset | size | meaning                                                                  |
// |      0 |    8 | magic "EVMETA\0\1"                                                       |
// |      8 |    4 | CRC32C of the block with this field zero                                 |
// |     12 |    4 | format version: 1                                                        |
// |     16 |    8 | write number, rises with every write                                     |
// |     24 |    8 | required feature bits: 0                                                 |
// |     32 |    8 | optional feature bits                                                    |
// |     40 |   16 | vault id, UUID in network byte order                                     |
// |     56 |   16 | hash key: keys stream names, operation ids and digests                   |
// |     72 |    4 | checksum seed: starts every checksum in the log                          |
// |     76 |    4 | segment size in bytes                                                    |
// |     80 |    4 | start number, rises with every start                                     |
// |     84 |    4 | zero                                                                     |
// |     88 |   16 | incarnation of the disk, UUID in network byte order                      |
// |    104 |    8 | created at, 100 ns ticks since 1970                                      |
// |    112 |      | zero to the block's end                                                  |
using System.Buffers.Binary;
using System.Security.Cryptography;
using EventVault.Storage.Index;
using EventVault.Storage.Io;

namespace EventVault.Storage.Log;

internal sealed record VaultMeta
{
    public const string FileName = "meta";
    private const int FormatVersion = 1;
    private static ReadOnlySpan<byte> Magic => "EVMETA\0\u0001"u8;

    public required Guid VaultId { get; init; }
    public required UInt128 HashKey { get; init; }
    public required uint ChecksumSeed { get; init; }
    public required uint SegmentSizeBytes { get; init; }
    public required uint StartNumber { get; init; }
    public required Guid Incarnation { get; init; }
    public required long CreatedAt { get; init; }
    private ulong WriteNumber { get; init; }

    public SipKey SipKey => new((ulong)HashKey, (ulong)(HashKey >> 64));

    /// <summary>A new vault's identity. <paramref name="random"/> fills secrets; null: the system's generator.</summary>
    public static VaultMeta Create(uint segmentSizeBytes, long now, Random? random)
    {
        Span<byte> bytes = stackalloc byte[52];
        if (random is null)
        {
            RandomNumberGenerator.Fill(bytes);
        }
        else
        {
            random.NextBytes(bytes);
        }

        return new VaultMeta
        {
            VaultId = AsUuid(bytes[..16]),
            Incarnation = AsUuid(bytes[16..32]),
            HashKey = BinaryPrimitives.ReadUInt128LittleEndian(bytes[32..48]),
            ChecksumSeed = BinaryPrimitives.ReadUInt32LittleEndian(bytes[48..]),
            SegmentSizeBytes = segmentSizeBytes,
            StartNumber = 0,
            CreatedAt = now,
        };
    }

    /// <summary>Reads the copy that stands; null if the vault was never completely created.</summary>
    /// <param name="damaged">Offsets of copies that are neither valid nor explained by a crash.</param>
    public static VaultMeta? Read(IFile file, List<long>? damaged = null)
    {
        var blocks = new byte[2 * Blocks.Size];
        var length = file.ReadFromDisk(0, blocks);
        var first = length >= Blocks.Size ? Decode(blocks.AsSpan(0, Blocks.Size)) : null;
        var second = length >= 2 * Blocks.Size ? Decode(blocks.AsSpan(Blocks.Size)) : null;
        if (first is null)
        {
            damaged?.Add(0);
        }

        // A crash while the vault was created leaves the first copy alone.
        var isNew = first is { WriteNumber: 1 } && !blocks.AsSpan(Blocks.Size).ContainsAnyExcept((byte)0);
        if (second is null && !isNew)
        {
            damaged?.Add(Blocks.Size);
        }

        return first is null || second?.WriteNumber > first.WriteNumber ? second : first;
    }

    /// <summary>Writes both copies, each flushed before the other is touched.</summary>
    public VaultMeta Write(IFile file)
    {
        var next = this with { WriteNumber = WriteNumber + 1 };
        var block = next.Encode();
        for (var copy = 0; copy < 2; copy++)
        {
            file.Write(copy * Blocks.Size, block);
            file.Flush();
        }

        return next;
    }

    private byte[] Encode()
    {
        var block = new byte[Blocks.Size];
        Magic.CopyTo(block);
        var span = block.AsSpan();
        BinaryPrimitives.WriteUInt32LittleEndian(span[12..], FormatVersion);
        BinaryPrimitives.WriteUInt64LittleEndian(span[16..], WriteNumber);
        VaultId.TryWriteBytes(span[40..], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt128LittleEndian(span[56..], HashKey);
        BinaryPrimitives.WriteUInt32LittleEndian(span[72..], ChecksumSeed);
        BinaryPrimitives.WriteUInt32LittleEndian(span[76..], SegmentSizeBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(span[80..], StartNumber);
        Incarnation.TryWriteBytes(span[88..], bigEndian: true, out _);
        BinaryPrimitives.WriteInt64LittleEndian(span[104..], CreatedAt);
        BinaryPrimitives.WriteUInt32LittleEndian(span[8..], Checksum.Compute(block));
        return block;
    }

    private static VaultMeta? Decode(ReadOnlySpan<byte> block)
    {
        if (!block[..8].SequenceEqual(Magic))
        {
            return null;
        }

        var copy = block.ToArray();
        copy.AsSpan(8, 4).Clear();
        if (BinaryPrimitives.ReadUInt32LittleEndian(block[8..]) != Checksum.Compute(copy))
        {
            return null;
        }

        var version = BinaryPrimitives.ReadUInt32LittleEndian(block[12..]);
        var required = BinaryPrimitives.ReadUInt64LittleEndian(block[24..]);
        if (version != FormatVersion || required != 0)
        {
            throw new UnsupportedFormatException(FileName, $"format version {version} with required features 0x{required:x}");
        }

        return new VaultMeta
        {
            WriteNumber = BinaryPrimitives.ReadUInt64LittleEndian(block[16..]),
            VaultId = new Guid(block.Slice(40, 16), bigEndian: true),
            HashKey = BinaryPrimitives.ReadUInt128LittleEndian(block[56..]),
            ChecksumSeed = BinaryPrimitives.ReadUInt32LittleEndian(block[72..]),
            SegmentSizeBytes = BinaryPrimitives.ReadUInt32LittleEndian(block[76..]),
            StartNumber = BinaryPrimitives.ReadUInt32LittleEndian(block[80..]),
            Incarnation = new Guid(block.Slice(88, 16), bigEndian: true),
            CreatedAt = BinaryPrimitives.ReadInt64LittleEndian(block[104..]),
        };
    }

    private static Guid AsUuid(Span<byte> random)
    {
        random[6] = (byte)((random[6] & 0x0f) | 0x40);
        random[8] = (byte)((random[8] & 0x3f) | 0x80);
        return new Guid(random, bigEndian: true);
    }
}
