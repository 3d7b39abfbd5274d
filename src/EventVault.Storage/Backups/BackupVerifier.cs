using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Shipping;

namespace EventVault.Storage.Backups;

/// <summary>What a check of a backup found.</summary>
/// <param name="Content">What the backup holds.</param>
/// <param name="Damage">All damage, in the order of the log; empty: it is whole.</param>
public sealed record BackupReport(BackupContent Content, IReadOnlyList<Damage> Damage);

/// <summary>Checks a backup from end to end, without restoring it: every group and record, past the page cache.</summary>
public static class BackupVerifier
{
    /// <summary>Checks the newest finished backup of a directory, and changes nothing.</summary>
    /// <param name="files">Where it stands.</param>
    /// <param name="directory">The backup directory.</param>
    /// <param name="progress">Told of segments done and in all.</param>
    /// <exception cref="BackupException">There is none, or another one was finished meanwhile.</exception>
    /// <exception cref="DamageException">The manifest is damaged.</exception>
    /// <exception cref="DiskException">The disk failed.</exception>
    public static BackupReport Verify(IFileSystem files, string directory, Action<int, int>? progress = null)
    {
        ArgumentNullException.ThrowIfNull(files);
        var manifest = Read(files, directory);
        var check = new ShippedCheck(VaultMeta.Join(manifest.Vault, nodeId: 1, random: null)) { IsBackup = true };
        var damage = new List<Damage>();
        var before = LogEnd.Empty;
        for (var i = 0; i < manifest.Segments.Count; i++)
        {
            var entry = manifest.Segments[i];
            try
            {
                Check(files, directory, check, entry, before);
            }
            catch (DamageException e)
            {
                damage.Add(new Damage(entry.FileName, e.Offset, e.Expected));
            }

            before = entry.End;
            progress?.Invoke(i + 1, manifest.Segments.Count);
        }

        return damage.Count > 0 && BackupManifest.Read(files, directory)?.Number != manifest.Number
            ? throw new BackupException($"A backup in '{directory}' was finished meanwhile. Check that one.")
            : new BackupReport(BackupContent.Of(manifest), damage);
    }

    /// <summary>A directory's manifest.</summary>
    /// <exception cref="BackupException">It has none.</exception>
    internal static BackupManifest Read(IFileSystem files, string directory) => BackupManifest.Read(files, directory)
        ?? throw new BackupException($"There is no finished backup in '{directory}'.");

    /// <summary>Damage in a backup's segment, with the file's name there and what to do about it: whoever found it knows neither.</summary>
    internal static DamageException In(in BackupEntry entry, DamageException found) => new(
        entry.FileName, found.Offset, found.Expected, "Delete this file from the backup's folder segments and back up again: it is copied anew. If the vault is gone, use another backup.");

    /// <summary>Checks a segment of a backup from end to end.</summary>
    /// <exception cref="DamageException">It is missing, or not what the manifest says.</exception>
    internal static void Check(IFileSystem files, string directory, ShippedCheck check, in BackupEntry entry, in LogEnd before)
    {
        var path = BackupManifest.PathOf(directory, entry);
        if (!files.FileExists(path))
        {
            throw new DamageException(entry.FileName, 0, "the file is missing.", "Back up again: what is missing is copied anew. Otherwise use another backup.");
        }

        using var file = files.OpenFile(path, FileOpening.ReadExisting);
        LogEnd end;
        try
        {
            end = check.Run(file, entry.Segment, before, makesOwn: false);
        }
        catch (DamageException e)
        {
            throw In(entry, e);
        }

        if (end.Checksum != entry.Checksum || end.Position != entry.Last || end.Time != entry.Time)
        {
            throw new DamageException(entry.FileName, 0, "the segment that the manifest names should stand here.", "Use another backup.");
        }
    }
}
