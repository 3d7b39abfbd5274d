using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Scavenging;

/// <summary>A scavenge that is cut off, runs out of space or is read meanwhile; and what verify says of one.</summary>
public sealed class ScavengeFaultTests
{
    private const string LogFolder = SmallVault.Directory + "/log";
    private const string IndexFolder = SmallVault.Directory + "/index";

    // At every operation of the disk, from the first one of a segment's rewrite to behind its end: the old or the new segment,
    // never none, and nothing left over.
    [Fact]
    public void A_crash_at_any_moment_leaves_the_old_segment_or_the_new_one()
    {
        var vault = ScavengeVaults.Mixed();
        vault.Write(vault.Scavenge());
        vault.Flush();
        vault.StepAll();
        vault.Stop();
        int crashes = 0, replaced = 0, kept = 0;
        for (var at = 1; ; at++)
        {
            var files = vault.Copy();
            var storage = SmallVault.Open(files);
            files.CrashAtOperation = files.Operations + at;
            try
            {
                while (storage.Scavenger.Progress.SegmentsRewritten < 1)
                {
                    Assert.True(storage.Scavenger.Step(storage.CommitIndex));
                }

                storage.Dispose();
                break;
            }
            catch (SimulatedCrashException)
            {
                crashes++;
            }

            files = files.Crash(new Random(at));
            Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
            using var survivor = SmallVault.Open(files);
            Assert.DoesNotContain(files.AllFiles(), n => n.EndsWith(".tmp", StringComparison.Ordinal));
            var count = survivor.Scavenger.Progress.SegmentsRewritten;
            replaced += count;
            kept += 1 - count;
            Assert.Equal(survivor.SegmentCounts.Sealed * 2, files.ListFiles(IndexFolder).Count(n => n.EndsWith(".ix", StringComparison.Ordinal) || n.EndsWith(".kx", StringComparison.Ordinal)));
            vault.Model.CheckAll(survivor.Reader);
            vault.Model.CheckStreams(survivor.Reader);
            if (at % 5 == 0)
            {
                vault.Model.Check(survivor, new Random(at));
            }
        }

        Assert.True(crashes > 15 && replaced > 1 && kept > 10, $"{crashes} crashes, {replaced} times the new segment, {kept} times the old one");
    }

    [Fact]
    public void Power_lost_again_and_again_while_all_of_it_is_scavenged()
    {
        var vault = ScavengeVaults.Mixed();
        vault.Write(vault.Scavenge());
        vault.Flush();
        vault.StepAll();
        vault.Stop();
        var files = vault.Copy();
        var random = new Random(7);
        var crashes = 0;
        for (var isDone = false; !isDone;)
        {
            var storage = SmallVault.Open(files);
            vault.Model.CheckAll(storage.Reader);
            files.CrashAtOperation = files.Operations + random.Next(1, 120);
            try
            {
                while (storage.StepBackground() || storage.Scavenger.Step(storage.CommitIndex))
                {
                }

                isDone = storage.Scavenger.Progress.State == ScavengeState.Done;
                files.CrashAtOperation = long.MaxValue;
                vault.Model.Check(storage, random);
                storage.Dispose();
            }
            catch (SimulatedCrashException)
            {
                crashes++;
                files = files.Crash(random);
            }
        }

        Assert.True(crashes > 2);
        Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        using var last = SmallVault.Open(files);
        vault.Model.Check(last, random);
        Assert.True(last.Scavenger.Progress.SegmentsRewritten > 3);
    }

    // Readers that hold the old segment, its index or its keys go on with them; those that only know the old view, too.
    [Fact]
    public void Readers_of_the_old_segment_go_on_and_its_space_comes_back_when_they_are_gone()
    {
        var vault = ScavengeVaults.Mixed();
        var closed = HoldOver(vault);
        for (var i = 0; i < 10 && !closed(); i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.True(closed(), "The old segment is still mapped.");
        vault.Model.Check(vault.Storage, new Random(1));
    }

    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
    private static Func<bool> HoldOver(SmallVault vault)
    {
        var old = vault.Storage.View;
        var events = vault.Model.Events.GetRange(0, (int)old.Sealed[0].Record.EventCount);
        var leased = old.Sealed[0].Lease();
        vault.ScavengeAll();
        Assert.NotSame(old.Sealed[0], vault.Storage.View.Sealed[0]);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        foreach (var segment in old.Sealed)
        {
            using var lease = new SegmentSource(segment).Lease();
            var position = segment.FirstPosition;
            for (var ordinal = 0u; ordinal < segment.Record.EventCount; ordinal++)
            {
                lease.Reader.Read(segment.Index.OffsetOf(ordinal), position + ordinal);
            }

            segment.Keys.CheckAll();
        }

        foreach (var e in events)
        {
            var view = leased.Read(old.Sealed[0].Index.OffsetOf((uint)e.Position), new Position(e.Position));
            Assert.True(view.EventData.SequenceEqual(e.Bytes));
        }

        leased.Release();
        var reader = new WeakReference<SegmentReader>(leased);
        return () => !reader.TryGetTarget(out var target) || !target.TryLease();
    }

    // Without room it waits and says so; room that runs out meanwhile costs nothing but the work.
    [Fact]
    public void On_a_full_disk_it_waits_and_goes_on_when_there_is_room()
    {
        var vault = ScavengeVaults.Mixed();
        vault.Write(vault.Scavenge());
        vault.Flush();
        vault.StepAll();
        vault.Files.CapacityBytes = vault.Files.AllFiles().Sum(f => Length(vault.Files, f)) + 10_000;
        var progress = vault.StepScavenge();
        Assert.Equal((ScavengeState.Waiting, 0), (progress.State, progress.SegmentsRewritten));
        Assert.Contains("bytes left", progress.Why, StringComparison.Ordinal);
        vault.Files.CapacityBytes = null;

        // As if others had taken the room meanwhile: at each write of the new files in turn.
        var (failures, at) = (0, 0);
        vault.Files.OnOperation = operation =>
        {
            if (operation.Kind == DiskOperationKind.Write && (operation.Path.EndsWith("scavenge.tmp", StringComparison.Ordinal) || operation.Path.StartsWith(IndexFolder, StringComparison.Ordinal)) && at++ == failures)
            {
                failures++;
                at = 0;
                throw SimulatedFileSystem.Failure("pwrite", operation.Path, SimulatedFileSystem.NoSpace);
            }
        };
        var sealedBefore = vault.Storage.View.Sealed[0];
        while (failures < 8)
        {
            progress = vault.StepScavenge();
            Assert.Equal(ScavengeState.Waiting, progress.State);
            Assert.Contains("full", progress.Why, StringComparison.Ordinal);
            Assert.DoesNotContain(vault.Files.AllFiles(), n => n.Contains(".tmp", StringComparison.Ordinal) && !n.Contains("spare", StringComparison.Ordinal));
            vault.Model.CheckAll(vault.Storage.Reader);
        }

        Assert.Same(sealedBefore, vault.Storage.View.Sealed[0]);
        vault.Files.OnOperation = null;
        Assert.Equal(ScavengeState.Done, vault.StepScavenge().State);
        vault.Model.Check(vault.Storage, new Random(1));
        vault.Stop();
        Assert.Empty(LogVerifier.Verify(vault.Files, SmallVault.Directory).Damage);
    }

    // Any other failure is the vault's: the node stops, and the next start finds the old segment.
    [Fact]
    public void A_failed_write_or_flush_is_not_passed_over()
    {
        foreach (var fails in (Func<SimulatedFileSystem, FaultSwitch>[])[f => f.FailingWrite, f => f.FailingFlush, f => f.FailingDirectoryFlush])
        {
            var vault = ScavengeVaults.Mixed();
            vault.Write(vault.Scavenge());
            vault.Flush();
            vault.StepAll();
            fails(vault.Files).StrikeAt(1);
            Assert.Throws<DiskException>(() => vault.StepScavenge());
            vault.Kill();
            vault.Reopen();
            vault.Model.CheckAll(vault.Storage.Reader);
        }
    }

    [Fact]
    public void Verify_finds_a_flipped_bit_anywhere_in_a_scavenged_segment()
    {
        var vault = ScavengeVaults.Mixed();
        vault.ScavengeAll();
        vault.Stop();
        Assert.Empty(LogVerifier.Verify(vault.Files, SmallVault.Directory).Damage);
        var segment = vault.Storage.View.Sealed.First(s => s.Scavenged is { KeptEvents: > 0 });
        var files = vault.Copy();
        var missed = new List<long>();
        foreach (var (path, step) in (ValueTuple<string, int>[])[($"{LogFolder}/{SegmentHeader.FileName(segment.Record.Segment)}", 83), (segment.IndexPath, 211), (segment.KeysPath, 211)])
        {
            var length = Length(files, path);
            for (long offset = 0; offset < length; offset += offset < 240 ? 7 : step)
            {
                files.FlipBit(path, offset, (int)(offset % 8));
                var report = LogVerifier.Verify(files, SmallVault.Directory);
                if (report.Damage.Count == 0)
                {
                    missed.Add(offset);
                }

                files.FlipBit(path, offset, (int)(offset % 8));
            }
        }

        Assert.Empty(missed);
    }

    // Damage in what start and readers use is told and never served.
    [Fact]
    public void A_damaged_scavenged_segment_is_told_where_it_is_read()
    {
        var vault = ScavengeVaults.Mixed();
        vault.ScavengeAll();
        vault.Stop();
        var segment = vault.Storage.View.Sealed.First(s => s.Scavenged is { KeptEvents: > 0 });
        var path = $"{LogFolder}/{SegmentHeader.FileName(segment.Record.Segment)}";
        var header = vault.Copy();
        header.FlipBit(path, 100, 0);
        Assert.Throws<DamageException>(() => SmallVault.Open(header));

        var record = vault.Copy();
        record.FlipBit(path, 4096 + 60, 0);
        using (var storage = SmallVault.Open(record))
        {
            Assert.Throws<DamageException>(() => vault.Model.CheckAll(storage.Reader));
        }

        var appends = vault.Copy();
        appends.FlipBit(path, segment.Scavenged!.Sections[ScavengedHeader.Appends].Offset + (segment.Scavenged.KeptAppends * 4) + 30, 0);
        using (var storage = SmallVault.Open(appends))
        {
            var first = vault.Model.Events[(int)segment.FirstPosition.Value].Append;
            Assert.Throws<DamageException>(() => storage.Reader.FindAppend(first.Id));
        }
    }

    // The node goes on, and says what is wrong; damage that nobody reads must neither end it at each start nor keep what is
    // behind it for ever.
    [Fact]
    public void Damaged_segments_are_passed_over_and_named()
    {
        foreach (var folder in (string[])["log", "index"])
        {
            var vault = ScavengeVaults.Mixed();
            vault.Write(vault.Scavenge());
            vault.Flush();
            vault.StepAll();
            vault.Stop();
            int rewritten;
            using (var intact = SmallVault.Open(vault.Copy()))
            {
                while (intact.Scavenger.Step(intact.CommitIndex))
                {
                }

                rewritten = intact.Scavenger.Progress.SegmentsRewritten;
            }

            var files = vault.Copy();
            var path = folder == "log" ? $"{LogFolder}/{SegmentHeader.FileName(1)}" : vault.Storage.View.Sealed[1].KeysPath;
            files.FlipBit(path, folder == "log" ? 30_000 : Length(files, path) - 3, 1);
            using var storage = SmallVault.Open(files);
            while (storage.Scavenger.Step(storage.CommitIndex))
            {
            }

            var progress = storage.Scavenger.Progress;
            Assert.Equal((ScavengeState.Done, progress.SegmentsTotal - 1, rewritten - 1), (progress.State, progress.SegmentsDone, progress.SegmentsRewritten));
            Assert.Contains("1 damaged segments were passed over", progress.Why, StringComparison.Ordinal);
            Assert.Contains(Path.GetFileName(path), progress.Why, StringComparison.Ordinal);
            Assert.Null(storage.View.Sealed[1].Scavenged);
            Assert.False(storage.Scavenger.Step(storage.CommitIndex));
            Assert.DoesNotContain(files.AllFiles(), n => n.EndsWith("scavenge.tmp", StringComparison.Ordinal));
        }
    }

    // Sealing looks whether there is room, and then changes files that it can't finish without: scavenging must not take it.
    [Fact]
    public void It_leaves_the_room_that_sealing_counts_on()
    {
        var vault = ScavengeVaults.Mixed();
        vault.Write(vault.Scavenge());
        vault.Flush();
        vault.StepAll();
        var used = vault.Files.AllFiles().Sum(f => Length(vault.Files, f));
        var reserved = vault.Storage.ReservedBytes;
        Assert.True(reserved > vault.Storage.SegmentSizeBytes);
        vault.Files.CapacityBytes = used + 1024 * 1024 + vault.Storage.SegmentSizeBytes + reserved - 100_000;
        var progress = vault.StepScavenge();
        Assert.Equal((ScavengeState.Waiting, 0), (progress.State, progress.SegmentsRewritten));
        Assert.DoesNotContain(vault.Files.AllFiles(), n => n.EndsWith("scavenge.tmp", StringComparison.Ordinal));

        // There is room, and at each step in turn others take it: it waits, leaves nothing, and never went below what it leaves.
        for (var steps = 2; ; steps++)
        {
            vault.Files.CapacityBytes = null;
            for (var i = 0; i < steps; i++)
            {
                Assert.True(vault.Storage.Scavenger.Step(vault.Storage.CommitIndex));
            }

            if (vault.Storage.Scavenger.Progress.SegmentsRewritten > 0)
            {
                Assert.True(steps > 5);
                break;
            }

            vault.Files.CapacityBytes = vault.Files.AllFiles().Sum(f => Length(vault.Files, f)) + reserved;
            var isWritten = !vault.Storage.Scavenger.Step(vault.Storage.CommitIndex);
            progress = vault.Storage.Scavenger.Progress;
            Assert.Equal(isWritten ? ScavengeState.Waiting : ScavengeState.Running, progress.State);
            Assert.True(isWritten || progress.SegmentsRewritten == 1);
            if (!isWritten)
            {
                break;
            }

            Assert.Contains("bytes left", progress.Why, StringComparison.Ordinal);
            Assert.DoesNotContain(vault.Files.AllFiles(), n => n.EndsWith("scavenge.tmp", StringComparison.Ordinal));
        }

        vault.Files.CapacityBytes = null;
        Assert.Equal(ScavengeState.Done, vault.StepScavenge().State);
        vault.Model.Check(vault.Storage, new Random(1));
    }

    // A name is taken for 32 bytes where it is worth a rewrite, but never where it is asked whether there is room for one.
    [Fact]
    public void Long_names_take_no_more_room_than_was_asked_for()
    {
        var vault = new SmallVault();
        for (var i = 0; i < 130; i++)
        {
            vault.Append($"{i:D4}-{new string('n', 900)}", 50);
            vault.StepAll();
        }

        for (var i = 0; i < 130; i++)
        {
            vault.Write(vault.Change(StreamChangeKind.Delete, $"{i:D4}-{new string('n', 900)}"));
        }

        vault.Flush();
        vault.Write(vault.Scavenge());
        vault.Flush();
        vault.StepAll();
        var before = vault.Files.AllFiles().Sum(f => Length(vault.Files, f));
        var (most, asked) = (0L, 0L);
        vault.Files.OnOperation = operation => most = Math.Max(most, vault.Files.AllFiles().Sum(f => Length(vault.Files, f)) - before);
        var own = EventVault.Storage.Index.StreamKey.Compute("$streams"u8, vault.Storage.Meta.SipKey);
        foreach (var segment in vault.Storage.View.Sealed.Where(s => s.Index.Find(own) < 0))
        {
            var plan = SegmentPlan.Make(segment, new AllHidden(), segment.Record.EventCount, Position.None);
            asked = Math.Max(asked, SegmentRewrite.NeededBytes(plan));
            Assert.True(plan.MostLength > plan.EstimatedLength + 10_000);
        }

        vault.StepScavenge();
        vault.Files.OnOperation = null;
        Assert.InRange(most, 10_000, asked);
        vault.Model.Check(vault.Storage, new Random(1));
    }

    // Only a collection finds out that nobody reads the old files any more, and the one right behind the switch comes too early
    // while somebody does.
    [Fact]
    public void Collections_are_asked_for_as_long_as_old_files_are_mapped_and_no_longer()
    {
        var vault = ScavengeVaults.Mixed();
        var scavenger = vault.Storage.Scavenger;
        scavenger.CollectAtOnce();
        AskWhileHeld(vault);
        var asked = scavenger.CollectionsAsked;
        for (var quiet = 0; quiet < 2; quiet = asked == scavenger.CollectionsAsked ? quiet + 1 : 0)
        {
            asked = scavenger.CollectionsAsked;
            Assert.False(scavenger.Step(vault.Storage.CommitIndex)); // Done: a node steps it once a second.
            GC.Collect();
            GC.WaitForPendingFinalizers();
            Assert.True(asked < 1000, "The old segments are still mapped.");
        }
    }

    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
    private static void AskWhileHeld(SmallVault vault)
    {
        var old = vault.Storage.View;
        vault.ScavengeAll();
        for (var i = 0; i < 3; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            var asked = vault.Storage.Scavenger.CollectionsAsked;
            Assert.False(vault.Storage.Scavenger.Step(vault.Storage.CommitIndex));
            Assert.Equal(asked + 1, vault.Storage.Scavenger.CollectionsAsked);
        }

        GC.KeepAlive(old);
    }

    // Its index can be made again, and the header only says what the version that wrote it made.
    [Fact]
    public void An_index_that_another_version_made_longer_is_as_good()
    {
        var vault = ScavengeVaults.Mixed();
        vault.ScavengeAll();
        vault.Stop();
        var segment = vault.Storage.View.Sealed.First(s => s.Scavenged is { KeptEvents: > 0 });
        using (var file = vault.Files.OpenFile($"{LogFolder}/{SegmentHeader.FileName(segment.Record.Segment)}", FileOpening.Existing))
        {
            var block = new byte[4096];
            file.Read(0, block);
            var header = SegmentHeader.Decode(block, vault.Storage.Meta.ChecksumSeed, "x")!.Value;
            new ScavengedWriter(file, vault.Storage.Meta).WriteHeader(header, header.Scavenged! with { Index = new(segment.Scavenged!.Index.LengthBytes + 4096, 17) });
            file.Flush();
        }

        vault.Files.DeleteFile(segment.KeysPath); // It names the header's digest.
        for (var i = 0; i < 3; i++)
        {
            using var storage = SmallVault.Open(vault.Files);
            vault.Model.Check(storage, new Random(1));
            Assert.Empty(LogVerifier.Verify(vault.Copy(), SmallVault.Directory).Damage);
            if (i == 1)
            {
                vault.Files.DeleteFile(segment.IndexPath);
            }
        }
    }

    [Fact]
    public void The_segment_behind_a_scavenged_one_is_missed()
    {
        var vault = ScavengeVaults.Mixed();
        vault.ScavengeAll();
        vault.Stop();
        var last = vault.Storage.View.Sealed.Last(s => s.Scavenged is not null).Record.Segment;
        foreach (var name in vault.Files.ListFiles(LogFolder).Where(n => string.CompareOrdinal(n, SegmentHeader.FileName(last)) > 0))
        {
            vault.Files.DeleteFile($"{LogFolder}/{name}");
        }

        foreach (var lost in (string[])["catalog", "heads", "state"])
        {
            vault.Files.DeleteFile($"{IndexFolder}/{lost}");
            Assert.Contains(SegmentHeader.FileName(last + 1), Assert.Throws<DamageException>(() => SmallVault.Open(vault.Copy())).Message, StringComparison.Ordinal);
        }
    }

    // A version that does not know of them must not read on as if nothing was.
    [Fact]
    public void The_file_says_that_it_needs_a_version_that_knows_of_scavenges()
    {
        var vault = ScavengeVaults.Mixed();
        vault.ScavengeAll();
        vault.Stop();
        using var file = vault.Files.OpenFile($"{LogFolder}/{SegmentHeader.FileName(0)}", FileOpening.ReadExisting);
        var block = new byte[4096];
        file.Read(0, block);
        Assert.Equal(1ul, BitConverter.ToUInt64(block, 16));
        block[16] = 3;
        block.AsSpan(8, 4).Clear();
        BitConverter.TryWriteBytes(block.AsSpan(8), Checksum.Compute(block, vault.Storage.Meta.ChecksumSeed));
        Assert.Contains("required features 0x3", Assert.Throws<UnsupportedFormatException>(() => SegmentHeader.Decode(block, vault.Storage.Meta.ChecksumSeed, "x")).Message, StringComparison.Ordinal);
    }

    private static long Length(SimulatedFileSystem files, string path)
    {
        using var file = files.OpenFile(path, FileOpening.ReadExisting);
        return file.Length;
    }

    private sealed class AllHidden : IScavengeRules
    {
        public int Count => int.MaxValue;

        public IEnumerable<UInt128> Streams => [];

        public StreamVersion FirstVisible(UInt128 stream) => new(long.MaxValue);

        public bool IsHeld(ReadOnlySpan<byte> name) => false;
    }
}
