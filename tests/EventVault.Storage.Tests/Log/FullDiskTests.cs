using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>A full disk refuses appends clearly, loses nothing and gets better; a failed write or flush does not.</summary>
public sealed class FullDiskTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(300_000)]
    public void Appends_are_refused_while_the_disk_is_full_and_resume_when_space_returns(long free)
    {
        var vault = new SmallVault();
        for (var i = 0; i < 120; i++)
        {
            vault.Append($"s-{i % 9}", 1000);
            vault.StepAll();
        }

        // With some room left segments are prepared but not sealed: that takes more.
        vault.Files.CapacityBytes = Used(vault.Files) + free;
        var written = FillUp(vault);
        Assert.True(vault.Storage.DiskIsFull);
        Assert.True(free == 0 || vault.Storage.SealingIsBlocked);
        Assert.True(written > (free == 0 ? 0 : 50));
        vault.Model.Check(vault.Storage, new Random(1));
        vault.StepAll();
        Assert.True(vault.Storage.DiskIsFull);

        // A restart on the full disk, too.
        vault.Kill();
        vault.Reopen();
        vault.Model.Check(vault.Storage, new Random(1));
        FillUp(vault);

        vault.Files.CapacityBytes += 20_000_000;
        vault.StepAll();
        Assert.False(vault.Storage.DiskIsFull);
        for (var i = 0; i < 120; i++)
        {
            vault.Append($"s-{i % 9}", 1000);
            vault.StepAll();
        }

        vault.Model.Check(vault.Storage, new Random(1));
        vault.Stop();
        Assert.Empty(LogVerifier.Verify(vault.Files, SmallVault.Directory).Damage);
    }

    [Fact]
    public void The_filter_over_operation_ids_waits_for_room_that_nobody_needs()
    {
        const string Filter = SmallVault.Directory + "/index/operations-filter";
        const int Horizon = 64;
        var vault = new SmallVault(horizon: Horizon);
        var appends = new List<ModelAppend>();
        while (vault.Storage.Operations.TotalAppends <= 3 * Horizon || !vault.Files.FileExists(Filter))
        {
            appends.Add(vault.Event("s", 1000));
            vault.Write(appends[^1]);
            vault.Flush();
            vault.StepAll();
        }

        CheckNewest();
        vault.Stop();
        vault.Files.DeleteFile(Filter);

        // Opening makes none, nor does the background where it would leave too little for sealing and for the next segment.
        vault.Reopen();
        vault.Storage.Spares.Step();
        vault.Files.CapacityBytes = Used(vault.Files) + (4 * StorageOptions.MinSegmentSizeBytes);
        while (vault.Storage.CanSpare(vault.Storage.Operations.FilterBytes))
        {
            vault.Files.CapacityBytes -= 1000;
        }

        vault.StepAll();
        Assert.False(vault.Files.FileExists(Filter));
        Assert.False(vault.Storage.SealingIsBlocked);
        CheckNewest();
        vault.Files.CapacityBytes += 4 * StorageOptions.MinSegmentSizeBytes;
        vault.StepAll();
        Assert.True(vault.Files.FileExists(Filter));
        Assert.Equal(0, vault.Storage.Operations.FilterBytes);
        CheckNewest();
        vault.Kill();
        vault.Reopen();
        Assert.True(vault.Files.FileExists(Filter));
        CheckNewest();

        void CheckNewest() => Assert.All(appends.TakeLast(Horizon), append => vault.Model.CheckOperation(vault.Storage, append));
    }

    // A fence takes no room that an append could have: it is refused first.
    [Fact]
    public void On_a_disk_that_becomes_full_there_is_room_for_appends_when_there_is_none_for_fences_any_more()
    {
        var vault = new SmallVault();
        vault.Append("a", 1000);
        vault.Files.CapacityBytes = Used(vault.Files);
        int fences = 0, appends = 0;
        while (true)
        {
            vault.StepAll();
            var fence = vault.Storage.Tail.CheckFenceRoom();
            var append = vault.Storage.Tail.CheckRoom(Encoded.Append(vault.Storage, 1, vault.Event("a", 100).Streams).EncodedLength);
            if (append == RoomCheck.Full)
            {
                Assert.Equal(RoomCheck.Full, fence);
                break;
            }

            Assert.True(fence == RoomCheck.Ok ? appends == 0 : fence == RoomCheck.Full);
            (fences, appends) = fence == RoomCheck.Ok ? (fences + 1, appends) : (fences, appends + 1);
            if (fence == RoomCheck.Ok)
            {
                vault.WriteSystem(GroupKind.NoOp, []);
                vault.Flush();
            }
            else
            {
                vault.Append("a", 100);
            }
        }

        Assert.True(fences > 10 && appends > 10, $"{fences} fences, {appends} appends");
    }

    [Fact]
    public void Space_that_runs_out_while_a_segment_is_prepared_or_an_index_written_costs_nothing()
    {
        foreach (var path in (string[])["spare", ".ix", ".kx"])
        {
            var vault = new SmallVault();
            var until = 0L;
            vault.Files.OnOperation = operation =>
            {
                if (operation.Path.Contains(path, StringComparison.Ordinal) && operation.Kind == (path == "spare" ? DiskOperationKind.WriteZeros : DiskOperationKind.Write) && operation.Number > until)
                {
                    until = operation.Number + 40;
                    throw SimulatedFileSystem.Failure("pwrite", operation.Path, SimulatedFileSystem.NoSpace);
                }
            };
            var failedAt = 0L;
            for (var i = 0; i < 300; i++)
            {
                vault.Append($"s-{i % 9}", 1000);
                vault.Storage.StepBackground();
                if (path == ".kx" && until != failedAt)
                {
                    failedAt = until;
                    Assert.DoesNotContain(vault.Files.ListFiles($"{SmallVault.Directory}/index"), name => name.Contains(".kx.tmp", StringComparison.Ordinal));
                }
            }

            Assert.True(until > 100 && vault.Storage.SegmentCounts.Sealed > 2);
            vault.Files.OnOperation = null;
            vault.Model.Check(vault.Storage, new Random(1));
            vault.StepAll();
            vault.Kill();
            vault.Reopen();
            vault.Model.Check(vault.Storage, new Random(1));
        }
    }

    /// <summary>Found by the fault lab: others filled the disk between the look at it and the writing of the state table, and the node ended.</summary>
    [Fact]
    public void A_disk_that_others_fill_up_at_any_step_of_sealing_only_delays_it()
    {
        const int Segments = 3;
        long waits = 0;
        for (long at = 1; ; at++)
        {
            var vault = new SmallVault(horizon: 64, seed: (int)at);
            while (vault.Storage.SegmentCounts.Unsealed < 3)
            {
                vault.Append($"s-{at % 9}", 1000);
                vault.Append($"t-{vault.Storage.Head.Value}", 1000);
                vault.Storage.Spares.Step();
            }

            var refusals = new Refusals(
                vault.Files, at, (int)at, path => path.StartsWith(SmallVault.Directory + "/index/", StringComparison.Ordinal) || path == Sealer.LogPath(vault.Storage, (uint)vault.Storage.SegmentCounts.Sealed));
            while (vault.Storage.SegmentCounts.Sealed < Segments)
            {
                var refused = refusals.Count;
                var worked = vault.Storage.StepBackground();
                if (vault.Storage.SealingIsBlocked && refusals.Count > refused)
                {
                    waits++;
                    string[] halves = [.. vault.Files.AllFiles().Where(path => path.StartsWith(SmallVault.Directory + "/index/", StringComparison.Ordinal) && path.EndsWith(".tmp", StringComparison.Ordinal))];
                    Assert.True(halves.Length == 0 || refusals.Last == DiskOperationKind.Delete || halves is [var half] && half.Contains("operations-", StringComparison.Ordinal), string.Join(' ', halves));
                    Assert.True(vault.Storage.DiskIsFull);
                    vault.Model.Check(vault.Storage, new Random(1));
                    if (at % 3 == 0)
                    {
                        vault.Files.OnOperation = null; // A start needs the room.
                        vault.Kill();
                        vault.Reopen();
                    }
                }
                else if (!worked && !vault.Storage.SealingIsBlocked)
                {
                    vault.Append("u", 1000);
                }
            }

            vault.Files.OnOperation = null;
            vault.Model.Check(vault.Storage, new Random(1));
            Assert.False(vault.Storage.SealingIsBlocked);
            vault.Kill();
            vault.Reopen();
            vault.Model.Check(vault.Storage, new Random(1));
            vault.Stop();
            Assert.Empty(LogVerifier.Verify(vault.Files, SmallVault.Directory).Damage);
            if (refusals.Count == 0)
            {
                Assert.True(at > 30 && waits > at - 5, $"{at} operations, {waits} waits");
                return;
            }
        }
    }

    [Fact]
    public void A_flush_that_says_that_the_disk_is_full_is_no_reason_to_try_again()
    {
        long failures = 0;
        for (long at = 1; ; at++)
        {
            var vault = new SmallVault();
            while (vault.Storage.SegmentCounts.Unsealed < 2)
            {
                vault.Append("s", 1000);
                vault.Storage.Spares.Step();
            }

            vault.Append("s", 1000);
            vault.Files.FailingFlushError = SimulatedFileSystem.NoSpace;
            var flushes = at % 2 == 0 ? vault.Files.FailingFlush : vault.Files.FailingDirectoryFlush;
            flushes.StrikeAt((at + 1) / 2);
            var failure = Record.Exception(() =>
            {
                while (vault.Storage.SegmentCounts.Sealed == 0)
                {
                    vault.Storage.StepBackground();
                }
            });
            if (flushes.Strikes == 0)
            {
                Assert.Null(failure);
                if (at % 2 == 0)
                {
                    Assert.True(failures > 4, $"{failures} failures");
                    return;
                }

                continue;
            }

            // Those of index and key files are written anew from the beginning.
            var disk = failure as DiskException;
            Assert.True(disk is { IsFull: true, IsRefusal: false } || (failure is null && vault.Storage.SegmentCounts.Sealed == 1), $"{failure}");
            failures += disk is null ? 0 : 1;
        }
    }

    [Fact]
    public void A_key_file_that_takes_the_room_of_the_other_files_only_delays_sealing()
    {
        var vault = new SmallVault();
        var written = 0;
        var used = 0L;
        vault.Files.OnOperation = operation =>
        {
            // The last step of the key file: from now on there is no room for what comes behind it.
            if (operation.Kind == DiskOperationKind.Move && operation.Path.Contains(".kx", StringComparison.Ordinal) && ++written == 1)
            {
                used = Used(vault.Files);
                vault.Files.CapacityBytes = used + 1000;
            }
        };
        while (written == 0)
        {
            vault.Append("s-1", 1000);
            vault.Storage.StepBackground();
        }

        Assert.True(vault.Storage.SealingIsBlocked);
        Assert.Equal(0, vault.Storage.SegmentCounts.Sealed);
        vault.Model.Check(vault.Storage, new Random(1));
        vault.Files.CapacityBytes = used + 20_000_000;
        vault.StepAll();
        Assert.False(vault.Storage.SealingIsBlocked);
        Assert.Equal((2, 1), (written, vault.Storage.SegmentCounts.Sealed));
        vault.Model.Check(vault.Storage, new Random(1));
    }

    [Fact]
    public void After_a_failed_write_or_flush_nothing_is_written_any_more()
    {
        foreach (var fault in (Action<SmallVault>[])[
            v => v.Files.FailingWrite.StrikeAt(1),
            v => v.Files.FailingFlush.StrikeAt(1),
            v => v.Files.FailingDirectoryFlush.StrikeAt(1)])
        {
            var vault = new SmallVault();
            vault.Append("s-1", 50_000);
            vault.StepAll();
            fault(vault);
            var durable = vault.Storage.Log.Durable;

            // Opens a segment, so that all three happen.
            Assert.Throws<DiskException>(() =>
            {
                vault.Write(vault.Event("s-1", 20_000));
                vault.Flush();
            });
            Assert.Equal(durable, vault.Storage.Log.Durable);
            Assert.Throws<InvariantException>(vault.Storage.Log.Flush);
            Assert.Throws<InvariantException>(() => vault.Write(vault.Event("s-1", 10)));
            Assert.False(vault.Storage.Log.WantsMark);
            Assert.Equal(0, vault.Storage.Head.Value);
            vault.Kill();
            vault.Reopen();
            Assert.InRange(vault.Storage.Head.Value, 0, 1);
        }
    }

    [Fact]
    public void A_mark_that_fails_breaks_the_log_too()
    {
        var vault = new SmallVault();
        vault.Append("s-1");
        vault.Files.FailingFlush.StrikeAt(1);
        Assert.Throws<DiskException>(vault.Mark);
        Assert.False(vault.Storage.Log.WantsMark);
        Assert.Throws<InvariantException>(() => vault.Write(vault.Event("s-1", 10)));
    }

    private static int FillUp(SmallVault vault)
    {
        for (var i = 0; ; i++)
        {
            var content = Encoded.Append(vault.Storage, 1, vault.Event("s-1", 1000).Streams);
            vault.StepAll();
            var room = vault.Storage.Tail.CheckRoom(content.EncodedLength);
            if (room == RoomCheck.Full)
            {
                return i;
            }

            Assert.Equal(RoomCheck.Ok, room);
            vault.Append($"s-{i % 9}", 1000);
            Assert.True(i < 1000);
        }
    }

    private static long Used(SimulatedFileSystem files)
    {
        const long Ample = 1L << 40;
        files.CapacityBytes = Ample;
        return Ample - files.FreeBytes("/");
    }
}
