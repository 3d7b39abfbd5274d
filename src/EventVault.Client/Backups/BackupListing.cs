namespace EventVault.Client;

/// <summary>What a backup of a node holds.</summary>
/// <param name="Vault">Whose log it is, with the vault's secrets: for whoever restores it, and nobody else.</param>
/// <param name="Segments">The log's segments, in its order, as the node describes them.</param>
public sealed record BackupListing(ReadOnlyMemory<byte> Vault, IReadOnlyList<ReadOnlyMemory<byte>> Segments);
