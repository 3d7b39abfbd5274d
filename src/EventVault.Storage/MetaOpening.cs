// Who a data directory belongs to: the first thing that an opening reads, and what it makes if nothing is there.
using EventVault.Storage.Backups;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage;

internal static class MetaOpening
{
    /// <summary>
    /// Reads who the vault is and what the node promised, and counts the start; creates both if the directory is empty.
    /// </summary>
    public static (VaultMeta Meta, VoteFile Vote) Open(IFileSystem files, string directory, StorageOptions options, long now)
    {
        var logDirectory = Path.Combine(directory, VaultStorage.LogFolder);
        var meta = Read(files, directory);
        CheckOptions(options, creates: meta is null);
        if (meta is not null)
        {
            CheckOwner(directory, meta, options);
            VoteFile.TakePrepared(files, directory, meta);
        }
        else
        {
            RequireNoBackup(files, directory);
        }

        meta ??= options.Join is { } vault
            ? VaultMeta.Join(vault, options.NodeId, options.Random)
            : VaultMeta.Create(options.NodeId, options.SegmentSizeBytes, now, options.Random);

        // Without a vote file this is a new vault, or a log that 0.1 wrote: it never voted.
        var vote = meta.HasVote ? VoteFile.Open(files, directory, meta) : VoteFile.Create(files, directory, meta);
        if (vote.HasPromised && !HasLog(files, logDirectory))
        {
            // To begin another log under the same name would give out positions that others may hold already.
            throw new DamageException(
                SegmentHeader.FileName(0), 0, $"the log's first segment should be here: the node has voted, which none does before it has one. Is '{logDirectory}' a volume that is not mounted?",
                "Nothing was changed. Put the folder back. If it is lost, restore a backup into an empty directory.");
        }

        meta = (meta with { StartNumber = meta.StartNumber + 1, HasVote = true }).Save(files, directory);
        files.CreateDirectory(logDirectory);
        files.CreateDirectory(Path.Combine(directory, VaultStorage.IndexFolder));
        files.FlushDirectory(directory);
        if (Path.GetDirectoryName(Path.GetFullPath(directory)) is { Length: > 0 } parent)
        {
            files.FlushDirectory(parent);
        }

        return (meta, vote);
    }

    /// <summary>Who the vault in a data directory is; null: none was made there.</summary>
    /// <exception cref="DamageException">There is a log, and nothing says whose.</exception>
    public static VaultMeta? Read(IFileSystem files, string directory)
    {
        var path = Path.Combine(directory, VaultMeta.FileName);
        VaultMeta? meta = null;
        if (files.FileExists(path))
        {
            using var old = files.OpenFile(path, FileOpening.ReadExisting);
            meta = VaultMeta.Read(old);
        }

        var logDirectory = Path.Combine(directory, VaultStorage.LogFolder);
        return meta is null && HasLog(files, logDirectory)
            ? throw new DamageException(VaultMeta.FileName, 0, "both copies of the vault's identity are missing or damaged, and there is a log.", "The log was not changed. Restore the file meta from a copy of the data directory: without it the log can't be checked.")
            : meta;
    }

    private static bool HasLog(IFileSystem files, string logDirectory) =>
        files.DirectoryExists(logDirectory) && files.ListFiles(logDirectory).Any(StorageOpening.IsSegment);

    private static void CheckOptions(StorageOptions options, bool creates)
    {
        if (options.Limits.AppendBytes > VaultLimits.MostAppendBytes)
        {
            throw new ArgumentException($"Appends of {options.Limits.AppendBytes} bytes can't be allowed: at most {VaultLimits.MostAppendBytes}, which is as far as recovery looks for a torn tail.", nameof(options));
        }

        if (creates && options.Join is null
            && (options.SegmentSizeBytes is < StorageOptions.MinSegmentSizeBytes or > StorageOptions.MaxSegmentSizeBytes || options.SegmentSizeBytes % Blocks.Size != 0))
        {
            throw new ArgumentException($"A segment of {options.SegmentSizeBytes} bytes can't be made: {StorageOptions.MinSegmentSizeBytes} to {StorageOptions.MaxSegmentSizeBytes} in steps of {Blocks.Size} are allowed.", nameof(options));
        }

        if (options.NodeId == 0)
        {
            throw new ArgumentException("0 is no node id: they are counted from 1.", nameof(options));
        }
    }

    // A disk in the wrong node would answer with another node's log and vote in its name.
    private static void CheckOwner(string directory, VaultMeta meta, StorageOptions options)
    {
        if (meta.NodeId != options.NodeId || (options.Join is { } vault && vault.VaultId != meta.VaultId))
        {
            throw new ForeignDirectoryException(
                directory,
                $"'{directory}' is the data directory of node {meta.NodeId} of vault {meta.VaultId}; it was opened as that of node {options.NodeId} of vault {options.Join?.VaultId ?? meta.VaultId}. "
                + "Start this node on its own data directory, or with the settings that this one was created with. A new node needs an empty directory.");
        }
    }

    /// <summary>For a directory without a vault: whoever forgets to restore would get an empty one, which looks well.</summary>
    /// <exception cref="ForeignDirectoryException">It is a backup.</exception>
    public static void RequireNoBackup(IFileSystem files, string directory)
    {
        if (BackupFolder.IsOne(files, directory))
        {
            throw new ForeignDirectoryException(
                directory,
                $"'{directory}' holds a backup, or one that was begun; it is no data directory. Name another one. To get the vault that was backed up: vault-admin restore --from '{directory}' --data DIRECTORY.");
        }
    }
}
