// meta: who this vault is, which of its disks this one is, and what is being truncated. Truth: without it the log can't
// be checked.
// Two copies, each alone in a 4,096-byte block, written and flushed one after the other, a bad one first: a crash or a bad
// block costs one of them at most, and the copy with the higher write number stands.
// Written at each start and, from then on, by the owner of the log's end alone (around a truncation): a second writer
// would give the same write number to different content.
//
// | offset | size | meaning                                                                  |
// |      0 |    8 | magic "EVMETA\0\1"                                                       |
// |      8 |    4 | CRC32C of the block with this field zero                                 |
// |     12 |    4 | format version: 1                                                        |
// |     16 |    8 | write number, rises with every write                                     |
// |     24 |    8 | required feature bits: 1 the file `vote` is there, and bytes 112 to 131   |
// |        |      | count. Clear in a directory that only 0.1 has opened                     |
// |     32 |    8 | optional feature bits                                                    |
// |     40 |   16 | vault id, UUID in network byte order                                     |
// |     56 |   16 | hash key: keys stream names, operation ids and digests                   |
// |     72 |    4 | checksum seed: starts every checksum in the log                          |
// |     76 |    4 | segment size in bytes                                                    |
// |     80 |    4 | start number, rises with every start                                     |
// |     84 |    4 | node id; 0 (written by 0.1): 1                                           |
// |     88 |   16 | incarnation of the disk, UUID in network byte order                      |
// |    104 |    8 | created at, 100 ns ticks since 1970                                      |
// |    112 |    8 | truncation under way: last log index that is kept                        |
// |    120 |    8 | truncation under way: the term it happens in; 0: none is                 |
// |    128 |    4 | 1: the disk joined a vault that was there; 0: the vault began on it      |
// |    132 |      | zero to the block's end                                                  |
using System.Buffers.Binary;
using System.Security.Cryptography;
using EventVault.Storage.Index;
using EventVault.Storage.Io;

namespace EventVault.Storage.Log;

internal sealed record VaultMeta
{
    public const string FileName = "meta";
    private const int FormatVersion = 1;
    private const ulong FeatureVote = 1;
    private static ReadOnlySpan<byte> Magic => "EVMETA\0\u0001"u8;

    public required Guid VaultId { get; init; }

    /// <summary>For names, operation ids and digests. Two numbers and no <see cref="UInt128"/>: code that touches one is never compiled ahead, and all that opens a vault touches this.</summary>
    public required SipKey SipKey { get; init; }

    public required uint ChecksumSeed { get; init; }
    public required uint SegmentSizeBytes { get; init; }
    public required uint StartNumber { get; init; }
    public required Guid Incarnation { get; init; }
    public required long CreatedAt { get; init; }

    /// <summary>The node's number in its vault, from 1.</summary>
    public uint NodeId { get; init; } = 1;

    /// <summary>Whether the disk joined a vault that was there; false: the vault began on it.</summary>
    public bool IsJoined { get; private init; }

    /// <summary>Whether the file <c>vote</c> was made durable. From then on it may not be missing.</summary>
    public bool HasVote { get; init; }

    /// <summary>The truncation that was begun and not ended; null: none.</summary>
    public LogTruncation? Truncation { get; private init; }

    private ulong WriteNumber { get; init; }

    /// <summary>What a node must know to join this vault.</summary>
    public VaultIdentity Identity => new(VaultId, SegmentSizeBytes, CreatedAt, SipKey, ChecksumSeed);

    /// <summary>A new vault's identity. <paramref name="random"/> fills secrets; null: the system's generator.</summary>
    public static VaultMeta Create(uint nodeId, uint segmentSizeBytes, long now, Random? random)
    {
        Span<byte> bytes = stackalloc byte[52];
        Fill(bytes, random);
        return new VaultMeta
        {
            VaultId = AsUuid(bytes[..16]),
            Incarnation = AsUuid(bytes[16..32]),
            SipKey = SipKey.FromBytes(bytes[32..48]),
            ChecksumSeed = BinaryPrimitives.ReadUInt32LittleEndian(bytes[48..]),
            SegmentSizeBytes = segmentSizeBytes,
            StartNumber = 0,
            CreatedAt = now,
            NodeId = nodeId,
        };
    }

    /// <summary>Another disk of a vault that exists: all that the log's bytes depend on is the same, the incarnation is its own.</summary>
    public static VaultMeta Join(VaultIdentity vault, uint nodeId, Random? random)
    {
        Span<byte> bytes = stackalloc byte[16];
        Fill(bytes, random);
        return new VaultMeta
        {
            VaultId = vault.VaultId,
            Incarnation = AsUuid(bytes),
            SipKey = vault.HashKey,
            ChecksumSeed = vault.ChecksumSeed,
            SegmentSizeBytes = vault.SegmentSizeBytes,
            StartNumber = 0,
            CreatedAt = vault.CreatedAt,
            NodeId = nodeId,
            IsJoined = true,
        };
    }

    /// <summary>
    /// The first disk of a vault that is made of another one's backup: a new id and incarnation, so that nobody takes it for a disk of the old vault;
    /// all that the log's checksums depend on is the same. What is written with it is of the first start.
    /// </summary>
    public static VaultMeta Restore(VaultIdentity vault, uint nodeId, Random? random)
    {
        Span<byte> bytes = stackalloc byte[16];
        Fill(bytes, random);
        return Join(vault, nodeId, random) with { VaultId = AsUuid(bytes), IsJoined = false, StartNumber = 1 };
    }

    /// <summary>
    /// The same disk as one that has forgotten: another incarnation, which promised nothing, and is no member of the vault until the others
    /// take it. A truncation that was under way is nothing to it.
    /// </summary>
    public VaultMeta Reincarnate(Random? random)
    {
        Span<byte> bytes = stackalloc byte[16];
        Fill(bytes, random);
        Invariant.Check(HasVote);
        return this with { Incarnation = AsUuid(bytes), IsJoined = true, Truncation = null };
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

    /// <summary>
    /// Notes that everything behind <see cref="LogTruncation.LastKept"/> is no part of the log any more, and makes that
    /// durable. Only then may a byte of it be overwritten: a crash in the middle leaves a broken log that this note explains.
    /// </summary>
    /// <returns>The meta that stands now.</returns>
    /// <exception cref="DiskException">Which of the two stands is not known: the node must stop.</exception>
    public VaultMeta BeginTruncation(IFileSystem files, string directory, LogTruncation truncation)
    {
        Invariant.Check(HasVote && Truncation is null && truncation.Term.Value > 0);
        return (this with { Truncation = truncation }).Save(files, directory);
    }

    /// <summary>
    /// Takes the note back, once zeros stand durably behind the log's end. Only then may the next group be written there:
    /// recovery would drop it.
    /// </summary>
    /// <returns>The meta that stands now.</returns>
    /// <exception cref="DiskException">Which of the two stands is not known: the node must stop.</exception>
    public VaultMeta EndTruncation(IFileSystem files, string directory)
    {
        Invariant.Check(Truncation is not null);
        return (this with { Truncation = null }).Save(files, directory);
    }

    /// <summary>Writes both copies of a data directory's meta, each flushed before the other is touched.</summary>
    /// <returns>The meta that stands now.</returns>
    public VaultMeta Save(IFileSystem files, string directory)
    {
        using var file = files.OpenFile(Path.Combine(directory, FileName), FileOpening.ExistingOrNew);
        return Write(file);
    }

    private VaultMeta Write(IFile file)
    {
        Invariant.Check(NodeId > 0 && WriteNumber < ulong.MaxValue);
        var next = this with { WriteNumber = WriteNumber + 1 };
        var block = next.Encode();

        // A second copy that went bad goes first: a crash within the write of the first one must find it whole.
        var begin = WriteNumber == 0 || StandsInSecond(file) ? 0 : 1;
        foreach (var copy in (ReadOnlySpan<int>)[begin, 1 - begin])
        {
            file.Write(copy * Blocks.Size, block);
            file.Flush();
        }

        return next;
    }

    private bool StandsInSecond(IFile file)
    {
        var block = new byte[Blocks.Size];
        return file.ReadFromDisk(Blocks.Size, block) == Blocks.Size && Decode(block)?.WriteNumber == WriteNumber;
    }

    private byte[] Encode()
    {
        var block = new byte[Blocks.Size];
        Magic.CopyTo(block);
        var span = block.AsSpan();
        BinaryPrimitives.WriteUInt32LittleEndian(span[12..], FormatVersion);
        BinaryPrimitives.WriteUInt64LittleEndian(span[16..], WriteNumber);
        BinaryPrimitives.WriteUInt64LittleEndian(span[24..], HasVote ? FeatureVote : 0);
        VaultId.TryWriteBytes(span[40..], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt64LittleEndian(span[56..], SipKey.K0);
        BinaryPrimitives.WriteUInt64LittleEndian(span[64..], SipKey.K1);
        BinaryPrimitives.WriteUInt32LittleEndian(span[72..], ChecksumSeed);
        BinaryPrimitives.WriteUInt32LittleEndian(span[76..], SegmentSizeBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(span[80..], StartNumber);
        BinaryPrimitives.WriteUInt32LittleEndian(span[84..], NodeId);
        Incarnation.TryWriteBytes(span[88..], bigEndian: true, out _);
        BinaryPrimitives.WriteInt64LittleEndian(span[104..], CreatedAt);
        BinaryPrimitives.WriteUInt64LittleEndian(span[112..], Truncation?.LastKept.Value ?? 0);
        BinaryPrimitives.WriteUInt64LittleEndian(span[120..], Truncation?.Term.Value ?? 0);
        BinaryPrimitives.WriteUInt32LittleEndian(span[128..], IsJoined ? 1u : 0u);
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
        if (version != FormatVersion || (required & ~FeatureVote) != 0)
        {
            throw new UnsupportedFormatException(FileName, $"format version {version} with required features 0x{required:x}");
        }

        var nodeId = BinaryPrimitives.ReadUInt32LittleEndian(block[84..]);
        var truncatedIn = new Term(BinaryPrimitives.ReadUInt64LittleEndian(block[120..]));
        return new VaultMeta
        {
            WriteNumber = BinaryPrimitives.ReadUInt64LittleEndian(block[16..]),
            VaultId = new Guid(block.Slice(40, 16), bigEndian: true),
            SipKey = SipKey.FromBytes(block.Slice(56, SipKey.LengthBytes)),
            ChecksumSeed = BinaryPrimitives.ReadUInt32LittleEndian(block[72..]),
            SegmentSizeBytes = BinaryPrimitives.ReadUInt32LittleEndian(block[76..]),
            StartNumber = BinaryPrimitives.ReadUInt32LittleEndian(block[80..]),
            Incarnation = new Guid(block.Slice(88, 16), bigEndian: true),
            CreatedAt = BinaryPrimitives.ReadInt64LittleEndian(block[104..]),
            NodeId = nodeId == 0 ? 1 : nodeId,
            IsJoined = BinaryPrimitives.ReadUInt32LittleEndian(block[128..]) != 0,
            HasVote = (required & FeatureVote) != 0,
            Truncation = truncatedIn.Value == 0
                ? null
                : new LogTruncation(new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(block[112..])), truncatedIn),
        };
    }

    private static void Fill(Span<byte> bytes, Random? random)
    {
        if (random is null)
        {
            RandomNumberGenerator.Fill(bytes);
        }
        else
        {
            random.NextBytes(bytes);
        }
    }

    private static Guid AsUuid(Span<byte> random)
    {
        random[6] = (byte)((random[6] & 0x0f) | 0x40);
        random[8] = (byte)((random[8] & 0x3f) | 0x80);
        return new Guid(random, bigEndian: true);
    }
}

/// <summary>Groups that a new leader's log does not have are taken out of this node's.</summary>
/// <param name="LastKept">Index of the last group that stays; 0: none does.</param>
/// <param name="Term">Term of the leader. All groups taken out are of earlier terms.</param>
internal readonly record struct LogTruncation(LogIndex LastKept, Term Term);
