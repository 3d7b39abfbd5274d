namespace EventVault.Storage.Backups;

/// <summary>What a backup directory holds.</summary>
/// <param name="VaultId">The vault that it is of.</param>
/// <param name="Number">Number of the backup in its directory, from 1.</param>
/// <param name="BegunAt">When it was begun, by the clock of whoever made it; 100 ns ticks since 1970.</param>
/// <param name="Last">Position of its last event; it has all before.</param>
/// <param name="LastTime">When its last group was recorded, 100 ns ticks since 1970.</param>
/// <param name="Segments">Segment files.</param>
/// <param name="Bytes">Of all of them.</param>
/// <param name="FollowsBegunAt">When the backup before it in the directory was begun; 0: it is the first.</param>
/// <param name="FollowsLast">Position of that one's last event.</param>
public sealed record BackupContent(Guid VaultId, long Number, long BegunAt, Position Last, long LastTime, int Segments, long Bytes, long FollowsBegunAt, Position FollowsLast)
{
    internal static BackupContent Of(BackupManifest manifest) => new(
        manifest.Vault.VaultId, manifest.Number, manifest.BegunAt, manifest.End.Position, manifest.End.Time, manifest.Segments.Count, manifest.Segments.Sum(s => s.Segment.LengthBytes),
        manifest.FollowsBegunAt, manifest.FollowsLast);
}
