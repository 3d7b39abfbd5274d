using EventVault.Storage.Backups;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using EventVault.Storage.Shipping;
using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Scavenging;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Backups;

/// <summary>A finished backup is an exact prefix of the log as it could be read, whatever happens while it is made; the next one follows it.</summary>
public sealed class BackupTests
{
    private const string SegmentsDirectory = BackupOf.Directory + "/segments";

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_restored_vault_reads_as_the_backed_up_one_did_and_is_another_one(bool isScavenged)
    {
        var vault = ScavengeVaults.Mixed();
        if (isScavenged)
        {
            vault.ScavengeAll();
        }

        vault.Write(vault.Event("pending", 50)); // On the disk, and not committed: no part of it.
        var files = new SimulatedFileSystem();
        var (content, _) = await BackupOf.TakeAsync(vault.Storage, files);
        Assert.Equal((vault.Storage.VaultId, vault.Storage.Head, 77, 1), (content.VaultId, content.Last, content.BegunAt, content.Number));
        Assert.Empty(BackupVerifier.Verify(files, BackupOf.Directory).Damage);
        var model = vault.Model;
        model.CutTo(model.Count - 1);
        var report = BackupOf.Restore(files);
        Assert.Equal(content.Last, report.Last);
        BackupOf.CheckRestored(files, model);
        using var storage = BackupOf.Open(files);
        Assert.NotEqual(vault.Storage.VaultId, storage.VaultId);
        Assert.NotEqual(vault.Storage.Incarnation, storage.Incarnation);
        Assert.True(storage.Vote.Term > vault.Storage.Tail.LastTerm && storage.Tail.LastTerm == storage.Vote.Term);
        Assert.Equal(isScavenged, storage.View.Sealed.Any(s => s.Scavenged is not null));
        Assert.Equal(vault.Storage.Meta.SipKey, storage.Meta.SipKey);
    }

    [Fact]
    public async Task The_next_backup_reads_only_what_is_new_or_has_another_form()
    {
        var vault = ScavengeVaults.Mixed();
        var files = new SimulatedFileSystem();
        var (first, all) = await BackupOf.TakeAsync(vault.Storage, files);
        Assert.Equal(first.Bytes, all);
        var (again, nothing) = await BackupOf.TakeAsync(vault.Storage, files, begunAt: 78);
        Assert.Equal((0, 2, first.Last, 77), (nothing, again.Number, again.FollowsLast, again.FollowsBegunAt));

        // A group of it, in the segment that is being written: what the backup before has of that is not read again.
        vault.Append("more", 500);
        var (_, group) = await BackupOf.TakeAsync(vault.Storage, files);
        Assert.InRange(group, 500, 1500);
        vault.ScavengeAll();
        var rewritten = vault.Storage.View.Sealed.Where(s => s.Scavenged is not null).Sum(s => s.Scavenged!.FileLength);
        var (scavenged, read) = await BackupOf.TakeAsync(vault.Storage, files);
        Assert.InRange(read, rewritten, rewritten + 5_000);
        Assert.Equal(scavenged.Segments, files.ListFiles(SegmentsDirectory).Count); // Older forms went.
        Assert.True(scavenged.Bytes < all);
        BackupOf.Restore(files);
        BackupOf.CheckRestored(files, vault.Model);
    }

    [Fact]
    public async Task Segments_that_are_scavenged_sealed_and_written_meanwhile_make_no_difference()
    {
        var vault = ScavengeVaults.Mixed();
        var files = new SimulatedFileSystem();
        var pieces = 0;
        var (content, _) = await BackupOf.TakeAsync(vault.Storage, files, onRead: (segment, _) =>
        {
            pieces++;
            if (pieces % 5 == 0)
            {
                vault.Append("meanwhile", 2_000);
                vault.StepAll();
            }

            if (segment.Segment == 3 && vault.Storage.Scavenger.Progress.State == ScavengeState.Never)
            {
                vault.ScavengeAll(); // At a point that lies behind what was listed.
            }
        });
        Assert.True(pieces > 30 && content.Last >= vault.Storage.Lives.Scavenge.Point, $"{pieces} pieces up to {content.Last}.");
        BackupOf.Restore(files);
        vault.Model.CutTo((int)content.Last.Value + 1);
        BackupOf.CheckRestored(files, vault.Model);
    }

    // Segments are listed page by page, and scavenged meanwhile: their new forms may be of a later point than the end that is listed.
    [Fact]
    public async Task A_list_that_ends_before_the_point_of_a_scavenge_in_it_is_followed_by_another()
    {
        var vault = ScavengeVaults.Mixed();
        var before = vault.Storage.Backups.List(0, 100, out _);
        vault.ScavengeAll();
        var after = vault.Storage.Backups.List(0, 100, out _);
        var end = before.First(s => s.Form == ShippedForm.Unsealed).Segment;
        List<ShippedSegment> mixed = [.. after.Where(s => s.Segment < end), .. before.Where(s => s.Segment >= end)];
        Assert.Contains(mixed, s => s.Form == ShippedForm.Scavenged);
        var files = new SimulatedFileSystem();
        var (content, _) = await BackupOf.TakeAsync(vault.Storage, files, firstList: mixed);
        Assert.Equal(vault.Storage.Head, content.Last);
        BackupOf.Restore(files);
        BackupOf.CheckRestored(files, vault.Model);
    }

    [Fact]
    public async Task A_node_that_never_has_what_it_lists_ends_the_backup_and_leaves_the_one_before()
    {
        var vault = ScavengeVaults.Mixed();
        var files = new SimulatedFileSystem();
        var (before, _) = await BackupOf.TakeAsync(vault.Storage, files);
        vault.ScavengeAll();
        using (var folder = BackupFolder.Open(files, BackupOf.Directory, vault.Storage.Identity))
        {
            var asked = 0;
            var origin = new BackupOrigin(
                from => Task.FromResult(vault.Storage.Backups.List(from, 100, out _)),
                (_, _) =>
                {
                    asked++;
                    return Task.FromResult(false);
                });
            var e = await Assert.ThrowsAsync<DamageException>(() => BackupRun.RunAsync(folder, origin, 88, tries: 3));
            Assert.Contains("in another form than it has on its disk", e.Message, StringComparison.Ordinal);
            Assert.Equal(3, asked);
        }

        Assert.Equal(before.Last, BackupOf.Restore(files).Last);
    }

    [Fact]
    public async Task Power_may_go_at_any_operation_and_the_directory_holds_the_last_finished_backup()
    {
        var vault = SmallVault.WithSealedSegments();
        var before = new SimulatedFileSystem();
        var (first, _) = await BackupOf.TakeAsync(vault.Storage, before, begunAt: 1);
        for (var i = 0; i < 30; i++)
        {
            vault.Append($"a-{i % 4}", 3_000);
            vault.StepAll();
        }

        vault.Write(vault.Change(StreamChangeKind.Delete, "big-1"));
        vault.ScavengeAll();
        var (crashes, finished) = (0, 0);
        for (var at = 1; finished < 3; at++)
        {
            var files = before.Copy();
            files.CrashAtOperation = files.Operations + at;
            try
            {
                await BackupOf.TakeAsync(vault.Storage, files, begunAt: 2);
                finished++;
            }
            catch (SimulatedCrashException)
            {
                crashes++;
            }

            files = files.Crash(new Random(at));
            var report = BackupVerifier.Verify(files, BackupOf.Directory);
            Assert.Empty(report.Damage);
            Assert.Contains(report.Content.BegunAt, new[] { 1L, 2L });
            Assert.Equal(report.Content.BegunAt == 1 ? first.Last : vault.Storage.Head, report.Content.Last);
            if (at % 5 == 0)
            {
                await BackupOf.TakeAsync(vault.Storage, files, begunAt: 3);
                BackupOf.Restore(files);
                BackupOf.CheckRestored(files, vault.Model);
            }
        }

        Assert.True(crashes > 30, $"{crashes} crashes.");
    }

    [Fact]
    public async Task Whatever_bit_is_flipped_is_found_and_nothing_of_it_is_restored()
    {
        var vault = ScavengeVaults.Mixed();
        vault.ScavengeAll();
        var whole = new SimulatedFileSystem();
        await BackupOf.TakeAsync(vault.Storage, whole);
        var random = new Random(1);
        var paths = whole.ListFiles(SegmentsDirectory).Select(name => $"{SegmentsDirectory}/{name}").Append($"{BackupOf.Directory}/manifest").ToList();
        for (var i = 0; i < 150; i++)
        {
            var files = whole.Copy();
            var path = paths[i % paths.Count];
            long length;
            using (var file = files.OpenFile(path, FileOpening.ReadExisting))
            {
                length = file.Length;
            }

            files.FlipBit(path, random.NextInt64(length), random.Next(8));
            if (path.EndsWith("manifest", StringComparison.Ordinal))
            {
                Assert.Throws<DamageException>(() => BackupVerifier.Verify(files, BackupOf.Directory));
            }
            else
            {
                var damage = Assert.Single(BackupVerifier.Verify(files, BackupOf.Directory).Damage);
                Assert.EndsWith(damage.Segment, path, StringComparison.Ordinal);
            }

            Assert.Throws<DamageException>(() => BackupOf.Restore(files));
            Assert.False(files.FileExists(BackupOf.Restored + "/meta"));
        }

        whole.DeleteFile(paths[2]);
        Assert.Equal("the file is missing.", Assert.Single(BackupVerifier.Verify(whole, BackupOf.Directory).Damage).Expected);
        await BackupOf.TakeAsync(vault.Storage, whole); // What is missing is read again.
        Assert.Empty(BackupVerifier.Verify(whole, BackupOf.Directory).Damage);
    }

    // Of a part or the manifest: told as the disk's failure. Only behind the manifest's renaming may the new backup be there, which then is whole.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_write_or_flush_that_fails_ends_the_backup_and_leaves_the_one_before_and_the_vault(bool isFlush)
    {
        var vault = new SmallVault(segmentSizeBytes: 4 << 20);
        vault.Append("a-1");
        var before = new SimulatedFileSystem();
        var (first, _) = await BackupOf.TakeAsync(vault.Storage, before, begunAt: 1);
        vault.Append("large", 600_000);
        vault.Append("large", 600_000); // More than the disk is given at once.

        var (failed, old, operations) = (0, 0, new HashSet<string>());
        for (var at = 1; ; at++)
        {
            var files = before.Copy();
            var fault = isFlush ? files.FailingFlush : files.FailingWrite;
            fault.StrikeAt(at);
            try
            {
                await BackupOf.TakeAsync(vault.Storage, files, begunAt: 2);
                Assert.Equal(0, fault.Strikes);
                break;
            }
            catch (DiskException e)
            {
                operations.Add(e.Operation);
                failed++;
            }

            // As it stands, and as a loss of power leaves it, in which nothing counts whose flush has failed.
            foreach (var left in new[] { files, files.Crash(new Random(at)) })
            {
                var report = BackupVerifier.Verify(left, BackupOf.Directory);
                Assert.Empty(report.Damage);
                var isNew = report.Content.BegunAt == 2;
                Assert.Equal(isNew ? (2L, vault.Storage.Head) : (1L, first.Last), (report.Content.BegunAt, report.Content.Last));
                var (next, _) = await BackupOf.TakeAsync(vault.Storage, left, begunAt: 3);
                Assert.Equal((isNew ? 3 : 2, vault.Storage.Head), (next.Number, next.Last));
                old += isNew ? 0 : 1;
                Assert.Empty(BackupVerifier.Verify(left, BackupOf.Directory).Damage);
            }
        }

        Assert.True(failed >= 3 && old > failed, $"{failed} failures, behind which the backup before was there {old} times.");
        Assert.Equal(isFlush ? ["fdatasync", "sync_file_range"] : ["pwrite"], operations.Order(StringComparer.Ordinal));
        vault.Model.Check(vault.Storage, new Random(1));
    }

    // The end of what is whole is no end of the log: a backup up to there would be one without what others were told is committed.
    [Fact]
    public async Task Damage_in_what_is_not_sealed_yet_ends_the_backup_with_its_place_and_is_never_taken_for_the_logs_end()
    {
        var vault = new SmallVault();
        var files = new SimulatedFileSystem();
        vault.Append("a-1");
        var (first, _) = await BackupOf.TakeAsync(vault.Storage, files, begunAt: 1);
        var damagedAt = vault.Storage.Backups.List(0, 10, out _)[^1].LengthBytes;
        vault.Append("a-2");
        vault.Append("a-3");
        var name = SegmentHeader.FileName(0);
        vault.Files.FlipBit($"{SmallVault.Directory}/log/{name}", damagedAt + 3, 2);
        var damage = await Assert.ThrowsAsync<DamageException>(() => BackupOf.TakeAsync(vault.Storage, files, begunAt: 2));
        Assert.Equal((name, damagedAt), (damage.File, damage.Offset));
        Assert.Contains("Back up from another node", damage.Message, StringComparison.Ordinal);
        Assert.Equal(first.Last, BackupVerifier.Verify(files, BackupOf.Directory).Content.Last);
    }

    [Fact]
    public async Task Damage_says_which_file_what_should_stand_there_and_what_to_do()
    {
        var vault = ScavengeVaults.Mixed();
        vault.ScavengeAll();
        var whole = new SimulatedFileSystem();
        await BackupOf.TakeAsync(vault.Storage, whole, begunAt: 1);
        foreach (var name in whole.ListFiles(SegmentsDirectory))
        {
            // In the header, and in what stands behind it; a check and a restoration say the same.
            foreach (var offset in new[] { 20L, 4096 + 20 })
            {
                var files = whole.Copy();
                files.FlipBit($"{SegmentsDirectory}/{name}", offset, 1);
                var damage = Assert.Throws<DamageException>(() => BackupOf.Restore(files));
                Assert.StartsWith($"{name}, offset ", damage.Message, StringComparison.Ordinal);
                Assert.Contains("Delete this file from the backup's folder segments and back up again", damage.Message, StringComparison.Ordinal);
                Assert.Equal(name, Assert.Single(BackupVerifier.Verify(files, BackupOf.Directory).Damage).Segment);
                Assert.DoesNotContain("another node", damage.Message, StringComparison.Ordinal);
            }
        }

        // A sealed segment of the node that is damaged shows when all of it has come.
        var log = $"{SmallVault.Directory}/log/{SegmentHeader.FileName(0)}";
        vault.Files.FlipBit(log, 4096 + 20, 1);
        var given = await Assert.ThrowsAsync<DamageException>(() => BackupOf.TakeAsync(vault.Storage, new SimulatedFileSystem()));
        Assert.StartsWith(SegmentHeader.FileName(0), given.Message, StringComparison.Ordinal);
        Assert.Contains("vault-admin cluster status names damaged segments", given.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/backup/meta")] // Such as a data directory.
    [InlineData("/backup/segments/holiday.seg")]
    [InlineData("/backup/segments/00000000000000000000.txt")]
    public async Task Files_of_somebody_else_are_neither_mixed_with_a_backup_nor_deleted(string path)
    {
        var vault = SmallVault.WithSealedSegments();
        var files = new SimulatedFileSystem();
        files.CreateDirectory(SegmentsDirectory);
        files.OpenFile(path, FileOpening.New).Dispose();
        Assert.Contains("holds '", (await Assert.ThrowsAsync<BackupException>(() => BackupOf.TakeAsync(vault.Storage, files))).Message, StringComparison.Ordinal);
        Assert.False(files.FileExists($"{BackupOf.Directory}/lock"));

        // What comes into a directory that is a backup's stays there.
        files.DeleteFile(path);
        await BackupOf.TakeAsync(vault.Storage, files);
        files.OpenFile(path, FileOpening.New).Dispose();
        vault.Append("more");
        await BackupOf.TakeAsync(vault.Storage, files);
        Assert.True(files.FileExists(path));
    }

    [Fact]
    public async Task A_node_that_is_behind_another_vault_and_another_log_of_the_same_vault_are_refused()
    {
        var vault = SmallVault.WithSealedSegments();
        var old = vault.Copy();
        vault.Append("a-1");
        var files = new SimulatedFileSystem();
        await BackupOf.TakeAsync(vault.Storage, files);
        var manifest = files.Copy();
        using (var behind = SmallVault.Open(old.Copy()))
        {
            Assert.Contains("committed groups up to", (await Assert.ThrowsAsync<BackupException>(() => BackupOf.TakeAsync(behind, files))).Message, StringComparison.Ordinal);
        }

        using (BackupFolder.Open(files, BackupOf.Directory, vault.Storage.Identity))
        {
            Assert.Contains("Another backup", (await Assert.ThrowsAsync<BackupException>(() => BackupOf.TakeAsync(vault.Storage, files))).Message, StringComparison.Ordinal);
        }

        var other = new SmallVault(seed: 5);
        other.Append("a-1");
        Assert.Contains("holds a backup of vault", (await Assert.ThrowsAsync<BackupException>(() => BackupOf.TakeAsync(other.Storage, files))).Message, StringComparison.Ordinal);

        // An older copy of the directory, which went on by itself: as long, and longer.
        var fork = new SmallVault(old);
        fork.Append("fork");
        Assert.Contains("is not the one", (await Assert.ThrowsAsync<BackupException>(() => BackupOf.TakeAsync(fork.Storage, files))).Message, StringComparison.Ordinal);
        fork.Append("fork", 3_000);
        Assert.Contains("is not the one", (await Assert.ThrowsAsync<BackupException>(() => BackupOf.TakeAsync(fork.Storage, files))).Message, StringComparison.Ordinal);
        Assert.Equal(Bytes(manifest), Bytes(files));
        Assert.Empty(BackupVerifier.Verify(files, BackupOf.Directory).Damage);

        static byte[] Bytes(SimulatedFileSystem files)
        {
            using var file = files.OpenFile($"{BackupOf.Directory}/manifest", FileOpening.ReadExisting);
            var bytes = new byte[file.Length];
            file.Read(0, bytes);
            return bytes;
        }
    }
}
