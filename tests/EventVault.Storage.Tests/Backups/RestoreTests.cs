using EventVault.Storage.Backups;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Scavenging;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Backups;

/// <summary>A restored vault ends where it was asked to, never within an append, and never before what a scavenge took.</summary>
public sealed class RestoreTests
{
    [Fact]
    public async Task At_every_position_and_time_the_vault_ends_with_the_last_append_before()
    {
        var vault = Grouped();
        var files = new SimulatedFileSystem();
        await BackupOf.TakeAsync(vault.Storage, files);
        var events = vault.Model.Events;
        Assert.True(vault.Storage.SegmentCounts.Sealed > 1 && events.Count > 50);
        for (var cut = 0; cut < events.Count; cut++)
        {
            // The appends that end at or before the position.
            var kept = events.Count(e => e.Append.First + e.Append.EventCount - 1 <= cut);
            Check(files, events, kept, position: cut, time: null);

            if (cut % 3 > 0)
            {
                continue;
            }

            var time = events[cut].RecordedAt;
            Check(files, events, events.Count(e => e.RecordedAt <= time), position: null, time);
            Check(files, events, events.Count(e => e.RecordedAt < time), position: null, time - 1);
        }
    }

    [Fact]
    public async Task Behind_its_end_and_before_a_scavenge_it_is_refused()
    {
        var vault = ScavengeVaults.Mixed();
        vault.ScavengeAll();
        var point = vault.Storage.Lives.Scavenge.Point.Value;
        vault.Append("more");
        vault.Append("more");
        var files = new SimulatedFileSystem();
        var (content, _) = await BackupOf.TakeAsync(vault.Storage, files, begunAt: 5_000_000_000);
        Refused("ends with position", position: content.Last.Value + 1);
        Refused("does not tell", time: content.LastTime + 1); // Though it was begun later: what was on its way then is not in it.
        Refused($"scavenged at position {point}", position: point - 1);
        Refused($"scavenged at position {point}", position: 3);
        Refused($"scavenged at position {point}", time: vault.Model.Events[(int)point].RecordedAt - 1);
        Assert.False(files.DirectoryExists(BackupOf.Restored + "/log"));
        Assert.Equal(content.Last, BackupOf.Restore(files.Copy(), time: content.LastTime).Last);
        Assert.Equal(point, BackupOf.Restore(files, position: point).Last.Value);
        vault.Model.CutTo((int)point + 1);
        BackupOf.CheckRestored(files, vault.Model);

        void Refused(string why, long? position = null, long? time = null) =>
            Assert.Contains(why, Assert.Throws<BackupException>(() => BackupOf.Restore(files, position, time)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Only_an_empty_directory_is_written_to()
    {
        var vault = SmallVault.WithSealedSegments();
        await BackupOf.TakeAsync(vault.Storage, vault.Files);
        Assert.Throws<BackupException>(() => BackupOf.Restore(vault.Files, directory: SmallVault.Directory));
        Assert.Throws<BackupException>(() => BackupOf.Restore(new SimulatedFileSystem())); // No backup.
        BackupOf.Restore(vault.Files);
        Assert.Throws<BackupException>(() => BackupOf.Restore(vault.Files));
        BackupOf.CheckRestored(vault.Files, vault.Model);
    }

    [Fact]
    public async Task A_disk_that_does_not_hold_what_is_restored_to_it_is_told_from_a_damaged_backup()
    {
        var vault = SmallVault.WithSealedSegments();
        var files = new SimulatedFileSystem();
        await BackupOf.TakeAsync(vault.Storage, files);
        var last = vault.Storage.SegmentCounts.Sealed;
        Assert.True(last > 0);
        foreach (var number in new[] { 0, last })
        {
            var copy = files.Copy();
            var path = $"{BackupOf.Restored}/log/{SegmentHeader.FileName((uint)number)}";
            copy.OnOperation = operation =>
            {
                if (operation.Kind == DiskOperationKind.Flush && operation.Path == path)
                {
                    copy.OnOperation = null;
                    copy.FlipBit(path, Blocks.Size + 20, 1);
                }
            };

            var damage = Assert.Throws<DamageException>(() => BackupOf.Restore(copy));

            Assert.Equal(path, damage.File);
            Assert.Contains("Restore to another disk", damage.Message, StringComparison.Ordinal);
            Assert.DoesNotContain("Delete", damage.Message, StringComparison.Ordinal);
        }

        BackupOf.Restore(files);
    }

    // The segment with which the backup ends is full: the group by which the disk decides alone begins another one.
    [Fact]
    public async Task A_last_segment_without_room_is_followed_by_another_one()
    {
        var vault = new SmallVault();
        vault.StepAll(); // There is a segment to open: nothing keeps room in this one.
        var before = Room(vault);
        vault.Append("a", 1_000);
        var overhead = before - Room(vault) - 1_000;
        while (Room(vault) > 20_000)
        {
            vault.Append("a", 10_000);
        }

        vault.Append("a", (int)(Room(vault) - overhead - 8));
        Assert.Equal(1, vault.Storage.SegmentCounts.Unsealed);
        Assert.InRange(Room(vault), 0, 100);
        var files = new SimulatedFileSystem();
        await BackupOf.TakeAsync(vault.Storage, files);
        Assert.Equal(2, BackupOf.Restore(files).Segments);
        BackupOf.CheckRestored(files, vault.Model);
    }

    [Fact]
    public async Task Power_may_go_at_any_operation_and_no_half_of_a_vault_is_opened()
    {
        var vault = SmallVault.WithSealedSegments();
        var backup = new SimulatedFileSystem();
        await BackupOf.TakeAsync(vault.Storage, backup);
        var (crashes, isDone) = (0, false);
        for (var at = 1; !isDone; at++)
        {
            var files = backup.Copy();
            files.CrashAtOperation = files.Operations + at;
            try
            {
                BackupOf.Restore(files);
                isDone = true;
            }
            catch (SimulatedCrashException)
            {
                crashes++;
            }

            files = files.Crash(new Random(at));
            if (files.FileExists(BackupOf.Restored + "/meta"))
            {
                Whole(files);
            }
            else if (files.DirectoryExists(BackupOf.Restored + "/log") && files.ListFiles(BackupOf.Restored + "/log").Any(n => n.EndsWith(".seg", StringComparison.Ordinal)))
            {
                Assert.Throws<DamageException>(() => BackupOf.Open(files));
            }
        }

        Assert.True(crashes > 20, $"{crashes} crashes.");

        // meta may be there, and torn: then it is refused as well.
        void Whole(SimulatedFileSystem files)
        {
            try
            {
                BackupOf.CheckRestored(files, vault.Model);
            }
            catch (DamageException) when (!isDone)
            {
            }
        }
    }

    [Fact]
    public void The_golden_manifest_is_read_and_written_as_it_was()
    {
        var golden = File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Golden", "backup-manifest-1.bin"));
        var manifest = BackupManifest.TryDecode(golden)!;
        Assert.Equal(golden, manifest.Encode());
        Assert.Equal((3, 2, 77, 76), (manifest.Segments.Count, manifest.Number, manifest.BegunAt, manifest.FollowsBegunAt));
        Assert.Equal((Guid.Parse("10111213-1415-1617-1819-1a1b1c1d1e1f"), 65536u, 638), (manifest.Vault.VaultId, manifest.Vault.SegmentSizeBytes, manifest.Vault.CreatedAt));
        Assert.Equal(["00000000000000000000.5.seg", "00000000000000000001.8.9.seg", "00000000000000000002.12.seg"], manifest.Segments.Select(s => s.FileName));
        Assert.Equal((new Position(20), 3000, 13u, new Position(15)), (manifest.End.Position, manifest.End.Time, manifest.End.Checksum, manifest.FollowsLast));
        for (var bit = 0; bit < golden.Length * 8; bit++)
        {
            golden[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Null(BackupManifest.TryDecode(golden));
            golden[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    private static long Room(SmallVault vault) =>
        vault.Storage.Meta.SegmentSizeBytes - Blocks.Size - CommitMark.Length - vault.Storage.CommittedEnd.Place.Offset;

    // Several appends to a group, of one event or more, with system groups between, over three segments.
    private static SmallVault Grouped()
    {
        var vault = new SmallVault();
        var random = new Random(4);
        var id = (UInt128)500_000;
        for (var i = 0; i < 16; i++)
        {
            if (Room(vault) < 30_000)
            {
                vault.Append("a-0", 30_500); // So that each group has room in its segment.
            }

            var appends = Enumerable.Range(0, random.Next(1, 5)).Select(_ =>
            {
                id += 10;
                return new ModelAppend(id, [
                    ($"a-{random.Next(3)}", ExpectedKind.Any, -1, [.. Enumerable.Range(1, random.Next(1, 4)).Select(e => Encoded.Event(id + (UInt128)e, "T", new byte[random.Next(10, 2_000)]))])]);
            }).ToArray();
            vault.Write(appends);
            vault.Flush();
            vault.StepAll();
            if (i % 4 == 3)
            {
                vault.Lead(5 + (ulong)i);
            }
        }

        vault.Flush();
        return vault;
    }

    private static void Check(SimulatedFileSystem backup, List<ModelEvent> events, int kept, long? position, long? time)
    {
        var files = backup.Copy();
        Assert.Equal(kept - 1, BackupOf.Restore(files, position, time).Last.Value);
        using var storage = BackupOf.Open(files);
        Assert.Equal(kept - 1, storage.Head.Value);
        var sink = new CompareSink(events.GetRange(0, kept), backwards: false);
        for (var at = 0; at < kept;)
        {
            at += storage.Reader.ReadAll(new Position(at), new Position(kept - 1), backwards: false, ref sink);
        }

        Assert.Equal(kept, sink.Compared);
    }
}
