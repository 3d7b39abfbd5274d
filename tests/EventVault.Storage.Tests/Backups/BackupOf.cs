using EventVault.Storage.Backups;
using EventVault.Storage.Io;
using EventVault.Storage.Shipping;
using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Backups;

/// <summary>Backs up and restores vaults on simulated disks.</summary>
internal static class BackupOf
{
    public const string Directory = "/backup";
    public const string Restored = "/restored";

    /// <summary>Small pieces: resuming is what is tested.</summary>
    private const int PieceBytes = 10_000;

    public static byte[] Voter(uint node, Guid disk) => [(byte)node, .. disk.ToByteArray(bigEndian: true)];

    /// <summary>Backs a vault up.</summary>
    /// <param name="storage">The vault.</param>
    /// <param name="files">The disk with the backup directory.</param>
    /// <param name="begunAt">The clock.</param>
    /// <param name="onRead">Called before each piece is read.</param>
    /// <param name="firstList">What the first list says; null: what is so.</param>
    /// <returns>What the backup holds, and how many bytes of segments were read for it.</returns>
    public static async Task<(BackupContent Content, long Read)> TakeAsync(VaultStorage storage, IFileSystem files, long begunAt = 77, Action<ShippedSegment, long>? onRead = null, IReadOnlyList<ShippedSegment>? firstList = null)
    {
        var bytes = 0L;
        using var folder = BackupFolder.Open(files, Directory, storage.Identity);
        var content = await BackupRun.RunAsync(folder, new BackupOrigin(List, Read), begunAt);
        return (content, bytes);

        Task<IReadOnlyList<ShippedSegment>> List(uint from)
        {
            var all = new List<ShippedSegment>(firstList ?? []);
            var isEnd = firstList is not null;
            firstList = null;
            while (!isEnd)
            {
                all.AddRange(storage.Backups.List(from + (uint)all.Count, most: 3, out isEnd));
            }

            return Task.FromResult<IReadOnlyList<ShippedSegment>>(all);
        }

        Task<bool> Read(ShippedSegment segment, long offset)
        {
            var piece = new byte[PieceBytes];
            while (folder.Missing > 0)
            {
                onRead?.Invoke(segment, offset);
                var read = storage.Backups.Read(segment, offset, piece);
                if (read < 0)
                {
                    return Task.FromResult(false);
                }

                folder.Add(piece.AsSpan(0, read));
                offset += read;
                bytes += read;
            }

            return Task.FromResult(true);
        }
    }

    /// <summary>Restores the backup of a disk on the same disk.</summary>
    public static RestoreReport Restore(SimulatedFileSystem files, long? position = null, long? time = null, string directory = Restored) => BackupRestore.Run(
        files, Directory, directory, new RestoreOptions { UntilPosition = position is { } p ? new Position(p) : null, UntilTime = time, OnlyVoter = Voter, NodeId = 1, Random = new Random(9) });

    /// <summary>Opens what was restored, as a node that decides alone does.</summary>
    public static VaultStorage Open(SimulatedFileSystem files, string directory = Restored) =>
        VaultStorage.Open(files, directory, new StorageOptions { OperationHorizon = SmallVault.DefaultHorizon, Random = new Random(3) }, now: 5).CommitAll();

    /// <summary>What was restored reads as a model says, in every way, before and behind sealing, and no check finds damage.</summary>
    public static void CheckRestored(SimulatedFileSystem files, VaultModel model, string directory = Restored)
    {
        using (var storage = Open(files, directory))
        {
            Assert.True(storage.IsWhole && !storage.IsJoined);
            Assert.Equal(Voter(1, storage.Incarnation), storage.Raft.Memberships[^1].Content);
            model.Check(storage, new Random(1));
            while (storage.StepBackground())
            {
            }

            model.Check(storage, new Random(2));
        }

        Assert.Empty(LogVerifier.Verify(files, directory).Damage);
    }
}
