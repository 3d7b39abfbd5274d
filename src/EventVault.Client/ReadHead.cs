namespace EventVault.Client;

/// <summary>The state that a read is based on, fixed before its first event is produced.</summary>
/// <param name="LastPosition">The vault's last committed position; null: the vault is empty.</param>
/// <param name="RecordedAt">When the last committed event was recorded; null: the vault is empty.</param>
/// <param name="LastVersion">When one stream is read: its last version; null: it has none.</param>
public sealed record ReadHead(ulong? LastPosition, DateTimeOffset? RecordedAt, ulong? LastVersion)
{
    internal static ReadHead From(Protocol.ReadHead message) => new(
        message.HasLastPosition ? message.LastPosition : null,
        VaultTime.FromTicksOrNone(message.RecordedAt),
        message.HasLastVersion ? message.LastVersion : null);
}

/// <summary>How many events match a filter.</summary>
/// <param name="Count">Their number.</param>
/// <param name="Head">What the count is based on.</param>
public sealed record EventCount(ulong Count, ReadHead Head);
