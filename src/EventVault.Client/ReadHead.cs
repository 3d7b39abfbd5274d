namespace EventVault.Client;

/// <summary>The state that a read is based on, fixed before its first event is produced.</summary>
/// <param name="LastPosition">The vault's last committed position; null: the vault is empty.</param>
/// <param name="RecordedAt">When the last committed event was recorded; null: the vault is empty.</param>
/// <param name="LastVersion">When one stream is read: its last version; null: it has none.</param>
public sealed record ReadHead(ulong? LastPosition, DateTimeOffset? RecordedAt, ulong? LastVersion);
