namespace EventVault.Client;

/// <summary>What a node is. Changes only with a restart, but for the head.</summary>
/// <param name="Version">Version of the node's software.</param>
/// <param name="VaultId">Identity of the vault.</param>
/// <param name="Limits">Its limits.</param>
/// <param name="Head">Last committed position; null: the vault is empty.</param>
/// <param name="HeadRecordedAt">When the head was recorded; null: the vault is empty.</param>
/// <param name="SegmentSizeBytes">Size of a log segment.</param>
public sealed record VaultInfo(
    string Version, Guid VaultId, IReadOnlyList<VaultLimit> Limits, ulong? Head, DateTimeOffset? HeadRecordedAt, ulong SegmentSizeBytes)
{
    /// <summary>Operation ids of appends at or before this position are no longer kept; null: all are.</summary>
    public ulong? OperationFloor { get; init; }
}

/// <summary>A limit of the vault.</summary>
/// <param name="Name">Such as <c>event_bytes</c>; the unit is its last word.</param>
/// <param name="Allowed">What is allowed.</param>
/// <param name="Setting">The node's setting that changes it; empty if it is fixed.</param>
public sealed record VaultLimit(string Name, ulong Allowed, string Setting);
