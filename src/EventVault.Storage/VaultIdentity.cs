// As nodes tell it to one that is to join, little-endian; UUIDs in network byte order:
//
//   offset  size  what
//   0       1     layout, 1
//   1       16    vault id
//   17      4     segment size in bytes
//   21      8     created at, 100 ns ticks since 1970
//   29      16    hash key
//   45      4     checksum seed
using System.Buffers.Binary;
using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Storage;

/// <summary>
/// What all nodes of a vault have in common: with it a new node makes a data directory whose log comes out byte for byte
/// like the others'. It carries the vault's secrets, which it never shows.
/// </summary>
public sealed record VaultIdentity
{
    private const byte Layout = 1;
    private const int Length = 49;

    internal VaultIdentity(Guid vaultId, uint segmentSizeBytes, long createdAt, SipKey hashKey, uint checksumSeed)
    {
        VaultId = vaultId;
        SegmentSizeBytes = segmentSizeBytes;
        CreatedAt = createdAt;
        HashKey = hashKey;
        ChecksumSeed = checksumSeed;
    }

    /// <summary>UUID of the vault.</summary>
    public Guid VaultId { get; }

    /// <summary>Size of a segment file.</summary>
    public uint SegmentSizeBytes { get; }

    /// <summary>When the vault was created, 100 ns ticks since 1970.</summary>
    public long CreatedAt { get; }

    internal SipKey HashKey { get; }

    internal uint ChecksumSeed { get; }

    /// <summary>Reads what <see cref="Encode"/> made; null if the bytes are no identity.</summary>
    public static VaultIdentity? Decode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != Length || bytes[0] != Layout)
        {
            return null;
        }

        var vault = new Guid(bytes.Slice(1, 16), bigEndian: true);
        var segment = BinaryPrimitives.ReadUInt32LittleEndian(bytes[17..]);
        var isUsable = vault != Guid.Empty && segment is >= StorageOptions.MinSegmentSizeBytes and <= StorageOptions.MaxSegmentSizeBytes && segment % Blocks.Size == 0;
        return isUsable
            ? new VaultIdentity(
                vault, segment, BinaryPrimitives.ReadInt64LittleEndian(bytes[21..]), SipKey.FromBytes(bytes.Slice(29, SipKey.LengthBytes)), BinaryPrimitives.ReadUInt32LittleEndian(bytes[45..]))
            : null;
    }

    /// <summary>For a node that is to join, and nobody else: the vault's secrets are in it.</summary>
    public byte[] Encode()
    {
        var bytes = new byte[Length];
        var span = bytes.AsSpan();
        span[0] = Layout;
        Invariant.Check(VaultId.TryWriteBytes(span[1..], bigEndian: true, out _));
        BinaryPrimitives.WriteUInt32LittleEndian(span[17..], SegmentSizeBytes);
        BinaryPrimitives.WriteInt64LittleEndian(span[21..], CreatedAt);
        BinaryPrimitives.WriteUInt64LittleEndian(span[29..], HashKey.K0);
        BinaryPrimitives.WriteUInt64LittleEndian(span[37..], HashKey.K1);
        BinaryPrimitives.WriteUInt32LittleEndian(span[45..], ChecksumSeed);
        return bytes;
    }
}
