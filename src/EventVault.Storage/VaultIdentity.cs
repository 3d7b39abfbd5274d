using EventVault.Storage.Index;

namespace EventVault.Storage;

/// <summary>
/// What all nodes of a vault have in common: with it a new node makes a data directory whose log comes out byte for byte
/// like the others'. It carries the vault's secrets, which it never shows.
/// </summary>
public sealed record VaultIdentity
{
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
}
