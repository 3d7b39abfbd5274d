using System.Buffers.Binary;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;
using FsCheck;
using FsCheck.Fluent;

namespace EventVault.Storage.Tests.Index;

public sealed class OperationsFilesTests
{
    private const string Folder = "/";
    private static readonly SipKey Key = new(1, 2);

    [Fact]
    public void Finds_every_append_within_the_horizon_and_forgets_whole_generations() => Prop.ForAll(
        Gen.Choose(0, 10_000).ToArbitrary(),
        seed =>
        {
            var random = new Random(seed);
            int generation = random.Next(1, 400);
            int horizon = random.Next(1, 3_000);
            OperationEntry[][] segments = Segments(random, random.Next(1, 12), random.Next(0, 500));
            var disk = new SimulatedFileSystem(tracksLosses: false);
            OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, horizon, generation);
            var all = new List<OperationEntry>();
            for (uint s = 0; s < segments.Length; s++)
            {
                files.Apply(s, segments[s]);
                all.AddRange(segments[s]);
                while (random.Next(4) != 0 && files.StepFilter())
                {
                }

                if (random.Next(3) == 0)
                {
                    files.Dispose();
                    files = OperationsFiles.Open(disk, Folder, Key, horizon, generation);
                }

                CheckContent(files, all, s, horizon, generation);
                Assert.Equal(Generations(disk).Count(), all.Count == 0 ? 1 : GenerationsFor(all.Count, horizon, generation));
            }

            files.Dispose();
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(60));

    [Fact]
    public void Does_not_find_what_was_never_appended()
    {
        var random = new Random(1);
        OperationEntry[][] segments = Segments(random, 4, 4_000);
        using OperationsFiles files = OperationsFiles.Open(new SimulatedFileSystem(tracksLosses: false), Folder, Key, 100_000, 16_000);
        ApplyFrom(files, segments);
        for (int i = 0; i < 20_000; i++)
        {
            Assert.Empty(Find(files, ChainModel.RandomKey(random)));
        }
    }

    [Fact]
    public void An_id_appended_twice_has_both_places_newest_generation_first()
    {
        UInt128 id = 77;
        using OperationsFiles files = OperationsFiles.Open(new SimulatedFileSystem(), Folder, Key, 100, 2);
        files.Apply(0, [new(id, new(0, 8)), new(1, new(0, 16))]);
        files.Apply(1, [new(id, new(1, 24))]);
        Assert.Equal([new Place(1, 24), new Place(0, 8)], Find(files, id));
        Span<Place> one = new Place[1];
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, id);
        Assert.Equal(1, files.Find(bytes, one));
        Assert.Equal(new Place(1, 24), one[0]);
    }

    [Fact]
    public void A_generation_takes_its_whole_number_of_appends_though_buckets_overflow()
    {
        // One file of 2^10 appends in buckets for 65 %: with random ids some runs of buckets fill and overflow.
        var random = new Random(3);
        OperationEntry[][] segments = Segments(random, 1, 1, minimum: 1_024);
        using OperationsFiles files = OperationsFiles.Open(new SimulatedFileSystem(tracksLosses: false), Folder, Key, 1_024, 1_024);
        files.Apply(0, segments[0]);
        CheckContent(files, [.. segments[0]], 0, 1_024, 1_024);
    }

    [Fact]
    public void Entries_are_dealt_out_to_buckets_in_the_order_of_a_sort()
    {
        var random = new Random(6);
        foreach (int count in (int[])[0, 1, 4_095, 4_096, 20_000])
        {
            foreach (int buckets in (int[])[1, 2, 3, 64, 127, 128, 1_000, 32_767, 65_536, 3_000_000, int.MaxValue])
            {
                ulong[] order = [.. Enumerable.Range(0, count).Select(i => ((ulong)(random.Next(4) == 0 ? buckets - 1 : random.Next(buckets)) << 32) | (uint)i)];
                ulong[] expected = [.. order.Order()];
                OperationsGeneration.SortByHome(order, new ulong[order.Length], buckets);
                Assert.Equal(expected, order);
            }
        }
    }

    [Fact]
    public void All_of_a_large_segment_are_found()
    {
        OperationEntry[][] segments = Segments(new Random(4), 1, 1, minimum: 20_000);
        using OperationsFiles files = OperationsFiles.Open(new SimulatedFileSystem(tracksLosses: false), Folder, Key, 600_000, 300_000);
        files.Apply(0, segments[0]);
        CheckContent(files, [.. segments[0]], 0, 600_000, 300_000);
    }

    [Fact]
    public void A_segment_larger_than_several_generations_is_spread_over_them()
    {
        OperationEntry[][] segments = Segments(new Random(4), 1, 1, minimum: 1_000);
        var disk = new SimulatedFileSystem();
        using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 250, 100);
        files.Apply(0, segments[0]);
        Assert.Equal(
            ["operations-00000000000000000700.op", "operations-00000000000000000800.op", "operations-00000000000000000900.op"],
            disk.ListFiles(Folder));
        CheckContent(files, [.. segments[0]], 0, 250, 100);
        Assert.Equal(700, files.OldestAppend);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Redo_after_a_crash_at_any_operation_gives_the_same_content(int seed)
    {
        var random = new Random(seed);
        OperationEntry[][] segments = Segments(random, 6, 60);
        List<OperationEntry> all = [.. segments.SelectMany(s => s)];
        const int Generation = 50;
        int horizon = seed * 40;
        for (long at = 1; ; at++)
        {
            var disk = new SimulatedFileSystem { CrashAtOperation = at };
            if (TryApplyAll(disk, segments, horizon, Generation))
            {
                CheckDisk(disk);
                Assert.True(at > 40, $"only {at} operations");
                return;
            }

            for (int luck = 0; luck < 4; luck++)
            {
                SimulatedFileSystem survivor = disk.Crash(new Random(luck));
                survivor.CrashAtOperation = random.Next(1, 30);
                TryApplyAll(survivor, segments, horizon, Generation);
                survivor = survivor.Crash(new Random(luck + 100));
                Assert.True(TryApplyAll(survivor, segments, horizon, Generation));
                CheckDisk(survivor);
            }
        }

        void CheckDisk(SimulatedFileSystem disk)
        {
            using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, horizon, Generation);
            CheckContent(files, all, segments.Length - 1, horizon, Generation);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Redo_after_a_failed_flush_writes_again_what_only_the_page_cache_shows(int seed)
    {
        // Found by simulation (seed 42692196629369): the process that stopped at a failed flush was started again, found its
        // entries in the cache, wrote nothing for them, and the next power loss took them.
        var random = new Random(seed);
        OperationEntry[][] segments = Segments(random, 6, 60);
        List<OperationEntry> all = [.. segments.SelectMany(s => s)];
        const int Generation = 50;
        for (var flush = 1; ; flush++)
        {
            var disk = new SimulatedFileSystem();
            disk.FailingFlush.StrikeAt(flush);
            bool failed = false;
            try
            {
                Assert.True(TryApplyAll(disk, segments, all.Count, Generation));
            }
            catch (DiskException)
            {
                failed = true;
                disk.FailingFlush.Off();
                Assert.True(TryApplyAll(disk, segments, all.Count, Generation));
            }

            SimulatedFileSystem survivor = disk.Crash(new Random(flush));
            try
            {
                Assert.True(TryApplyAll(survivor, segments, all.Count, Generation));
            }
            catch (IndexDamageException)
            {
                // A header that only the cache had: seen, and made again, as the storage's opening does.
                OperationsFiles.DeleteAll(survivor, Folder);
                Assert.True(TryApplyAll(survivor, segments, all.Count, Generation));
            }

            using (OperationsFiles files = OperationsFiles.Open(survivor, Folder, Key, all.Count, Generation))
            {
                CheckContent(files, all, segments.Length - 1, all.Count, Generation);
            }

            if (!failed)
            {
                Assert.True(flush > 10, $"only {flush} flushes");
                return;
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void A_segment_that_a_full_disk_refused_at_any_operation_is_applied_by_the_next_try(int seed)
    {
        var random = new Random(seed);
        OperationEntry[][] segments = Segments(random, 6, 60);
        const int Generation = 50;
        int horizon = seed * 40;
        for (long at = 1; ; at++)
        {
            var disk = new SimulatedFileSystem();
            OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, horizon, Generation);
            var refusals = new Refusals(disk, at, (int)at);
            var all = new List<OperationEntry>();
            for (uint s = 0; s < segments.Length; s++)
            {
                while (!TryApply(files, s, segments[s]))
                {
                    Assert.All(all.TakeLast(horizon), e => Assert.Contains(e.Place, Find(files, e.Id)));
                    if (random.Next(4) == 0)
                    {
                        SimulatedFileSystem survivor = disk.Crash(random);
                        Assert.True(TryApplyAll(survivor, segments, horizon, Generation));
                        CheckDisk(survivor, [.. segments.SelectMany(entries => entries)]);
                    }
                }

                all.AddRange(segments[s]);
                CheckContent(files, all, s, horizon, Generation);
            }

            disk.OnOperation = null;
            files.Dispose();
            CheckDisk(disk.Crash(random), all);
            if (refusals.Count == 0)
            {
                Assert.True(at > 20, $"only {at} operations");
                return;
            }
        }

        void CheckDisk(SimulatedFileSystem disk, List<OperationEntry> all)
        {
            using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, horizon, Generation);
            CheckContent(files, all, segments.Length - 1, horizon, Generation);
        }
    }

    [Fact]
    public void What_was_refused_among_many_blocks_is_put_in_by_the_next_try()
    {
        OperationEntry[][] segments = Segments(new Random(9), 3, 300, minimum: 200);
        List<OperationEntry> all = [.. segments.SelectMany(entries => entries)];
        for (long at = 1; ; at += 7)
        {
            var disk = new SimulatedFileSystem();
            using (OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 100_000, 100_000))
            {
                files.Apply(0, segments[0]);
                var refusals = new Refusals(disk, at, (int)at);
                for (uint s = 1; s < segments.Length; s++)
                {
                    while (!TryApply(files, s, segments[s]))
                    {
                    }
                }

                disk.OnOperation = null;
                CheckContent(files, all, segments.Length - 1, 100_000, 100_000);
                if (refusals.Count == 0)
                {
                    Assert.True(at > 100, $"only {at} operations");
                    return;
                }
            }

            using OperationsFiles reopened = OperationsFiles.Open(disk.Crash(new Random((int)at)), Folder, Key, 100_000, 100_000);
            CheckContent(reopened, all, segments.Length - 1, 100_000, 100_000);
        }
    }

    [Fact]
    public void A_segment_is_not_tried_again_if_a_flush_says_that_the_disk_is_full()
    {
        OperationEntry[][] segments = Segments(new Random(1), 1, 1, minimum: 20);
        for (int flush = 1; ; flush++)
        {
            var disk = new SimulatedFileSystem { FailingFlushError = SimulatedFileSystem.NoSpace };
            using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 100, 10);
            disk.FailingFlush.StrikeAt(flush);
            if (Record.Exception(() => files.Apply(0, segments[0])) is not DiskException failure)
            {
                Assert.True(flush > 5, $"only {flush} flushes");
                return;
            }

            Assert.False(failure.IsRefusal);
            Assert.Throws<InvariantException>(() => files.Apply(0, segments[0]));
        }
    }

    [Fact]
    public void A_flipped_bit_in_any_header_is_reported_or_redone()
    {
        // A flip in the header that counts brings the older one back, and with it a redo that changes nothing (or,
        // where the older one is that of a file just created, a report); in the other header nobody reads it.
        OperationEntry[][] segments = Segments(new Random(6), 3, 1, minimum: 7);
        List<OperationEntry> all = [.. segments.SelectMany(s => s)];
        var disk = new SimulatedFileSystem(tracksLosses: false);
        Assert.True(TryApplyAll(disk, segments, 100, 10));
        int redone = 0;
        foreach (string path in Generations(disk))
        {
            using IFile file = disk.OpenFile(path, FileOpening.Existing);
            var original = new byte[file.Length];
            file.Read(0, original);

            // Every byte that is used, and of the zeros behind them some.
            for (int offset = 0; offset < OperationsHeader.DataStart; offset += offset % OperationsHeader.SlotLength < 160 ? 1 : 61)
            {
                disk.FlipBit(path, offset, offset % 8);
                try
                {
                    using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 100, 10);
                    redone += files.AppliedThrough < 2 ? 1 : 0;
                    ApplyFrom(files, segments);
                    CheckContent(files, all, 2, 100, 10);
                }
                catch (IndexDamageException damage)
                {
                    Assert.Equal(path, damage.Path);
                }
                finally
                {
                    file.Write(0, original);
                }
            }
        }

        Assert.True(redone > 200);
    }

    [Fact]
    public void A_flipped_bit_at_any_byte_of_a_written_block_is_reported()
    {
        OperationEntry[][] segments = Segments(new Random(6), 3, 1, minimum: 7);
        List<OperationEntry> all = [.. segments.SelectMany(s => s)];
        var disk = new SimulatedFileSystem(tracksLosses: false);
        Assert.True(TryApplyAll(disk, segments, 100, 10));
        using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 100, 10);
        foreach (string path in Generations(disk))
        {
            for (long offset = OperationsHeader.DataStart; offset < OperationsHeader.DataStart + BlockWriter.BlockBytes; offset++)
            {
                disk.FlipBit(path, offset, (int)(offset % 8));
                var damage = Assert.Throws<IndexDamageException>(() => files.ReadAll().Count());
                Assert.Equal(path, damage.Path);
                Assert.InRange(offset - damage.Offset, 0, OperationBucket.Length - 1);
                disk.FlipBit(path, offset, (int)(offset % 8));
            }
        }

        CheckContent(files, all, 2, 100, 10);
    }

    [Fact]
    public void Any_missing_file_is_either_redone_or_reported()
    {
        for (int seed = 0; seed < 40; seed++)
        {
            var random = new Random(seed);
            OperationEntry[][] segments = Segments(random, 5, 60);
            List<OperationEntry> all = [.. segments.SelectMany(s => s)];
            var disk = new SimulatedFileSystem(tracksLosses: false);
            Assert.True(TryApplyAll(disk, segments, 120, 50));
            IReadOnlyList<string> names = disk.ListFiles(Folder);
            foreach (string name in names.Where(_ => random.Next(2) == 0))
            {
                disk.DeleteFile(Folder + name);
            }

            try
            {
                OperationsFiles.Open(disk, Folder, Key, 120, 50).Dispose();
            }
            catch (IndexDamageException damage)
            {
                Assert.Contains("missing", damage.Message, StringComparison.Ordinal);
                OperationsFiles.DeleteAll(disk, Folder);
                Assert.Empty(disk.ListFiles(Folder));
            }

            Assert.True(TryApplyAll(disk, segments, 120, 50));
            using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 120, 50);
            CheckContent(files, all, 4, 120, 50);
        }
    }

    [Fact]
    public void A_written_block_that_reads_as_zeros_is_damage_and_not_an_unknown_id()
    {
        var disk = new SimulatedFileSystem(tracksLosses: false);
        using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 100, 10);
        files.Apply(0, [new(5, new(0, 8))]);
        using (IFile file = disk.OpenFile(Folder + disk.ListFiles(Folder)[0], FileOpening.Existing))
        {
            file.Write(OperationsHeader.DataStart, new byte[file.Length - OperationsHeader.DataStart]);
        }

        Assert.Throws<IndexDamageException>(() => Find(files, 5));
    }

    [Fact]
    public void A_written_block_that_reads_as_zeros_is_not_made_one_of_empty_buckets()
    {
        var disk = new SimulatedFileSystem(tracksLosses: false);
        using (OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 100, 10))
        {
            files.Apply(0, [new(5, new(0, 8))]);
        }

        using (IFile file = disk.OpenFile(Folder + disk.ListFiles(Folder)[0], FileOpening.Existing))
        {
            file.Write(OperationsHeader.DataStart, new byte[file.Length - OperationsHeader.DataStart]);
        }

        using OperationsFiles opened = OperationsFiles.Open(disk, Folder, Key, 100, 10);
        Assert.Throws<IndexDamageException>(() => opened.Apply(1, [new(6, new(1, 8))]));
    }

    [Fact]
    public void A_bucket_that_is_just_being_written_is_waited_for_and_not_taken_for_damage()
    {
        // 10 appends have 64 buckets. While an id is put into the first one, another looks there.
        UInt128[] ids = [.. Enumerable.Range(1, 2_000).Select(i => (UInt128)i).Where(id => FirstOf64(id)).Take(3)];
        var disk = new TearingFileSystem(new SimulatedFileSystem(tracksLosses: false));
        using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 100, 10);
        files.Apply(0, [new(ids[0], new(0, 8))]);
        Exception? failure = null;
        Place[]? absent = null;
        using var started = new ManualResetEventSlim();
        var reader = new Thread(() =>
        {
            started.Set();
            failure = Record.Exception(() => absent = Find(files, ids[2]));
        });
        bool endedEarly = false;
        disk.InTheMiddle = () =>
        {
            reader.Start();
            started.Wait();
            endedEarly = reader.Join(TimeSpan.FromMilliseconds(50));
        };
        files.Apply(1, [new(ids[1], new(1, 8))]);
        Assert.True(reader.Join(TimeSpan.FromSeconds(30)));
        Assert.Null(failure);
        Assert.False(endedEarly, "an answer from half a bucket");
        Assert.NotNull(absent);
        Assert.Empty(absent);

        static bool FirstOf64(UInt128 id)
        {
            Span<byte> bytes = stackalloc byte[16];
            BinaryPrimitives.WriteUInt128BigEndian(bytes, id);
            return (uint)SipHash128.Compute(bytes, Key) < 1u << 26;
        }
    }

    [Fact]
    public void Lookups_are_right_while_segments_are_applied_and_generations_dropped()
    {
        string folder = Path.Combine(AppContext.BaseDirectory, $"operations-{Guid.NewGuid():N}");
        Directory.CreateDirectory(folder);
        try
        {
            const int Horizon = 20_000;
            OperationEntry[][] segments = Segments(new Random(7), 40, 1, minimum: 2_000);
            using OperationsFiles files = OperationsFiles.Open(new NativeFileSystem(), folder, Key, Horizon, 3_000);
            var failures = new System.Collections.Concurrent.ConcurrentQueue<string>();
            bool done = false;
            Thread[] readers = [.. Enumerable.Range(0, 3).Select(i => new Thread(() =>
            {
                var random = new Random(i);
                try
                {
                    while (!Volatile.Read(ref done))
                    {
                        long applied = files.AppliedThrough;
                        if (applied < 0)
                        {
                            continue;
                        }

                        // Half of the horizon, as Apply moves on while this looks.
                        int segment = random.Next((int)Math.Max(0, applied - 4), (int)applied + 1);
                        OperationEntry entry = segments[segment][random.Next(segments[segment].Length)];
                        if (!Find(files, entry.Id).Contains(entry.Place) && files.AppliedThrough < segment + 9)
                        {
                            failures.Enqueue($"an append of segment {segment} not found, applied through {applied}");
                        }
                    }
                }
                catch (Exception e)
                {
                    failures.Enqueue(e.ToString());
                }
            }))];
            foreach (Thread reader in readers)
            {
                reader.Start();
            }

            try
            {
                ApplyFrom(files, segments);
            }
            finally
            {
                Volatile.Write(ref done, true);
                foreach (Thread reader in readers)
                {
                    reader.Join();
                }
            }

            Assert.Empty(failures);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void A_write_that_lands_elsewhere_never_leaves_an_operation_out_unseen()
    {
        OperationEntry[][] segments = Segments(new Random(8), 3, 300, minimum: 200);
        int seen = 0;
        for (long write = 1; ; write++)
        {
            var disk = new SimulatedFileSystem();
            using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 100_000, 100_000);
            files.Apply(0, segments[0]);
            files.Apply(1, segments[1]);
            disk.MisdirectedWrite.StrikeAt(write);
            try
            {
                files.Apply(2, segments[2]);
            }
            catch (IndexDamageException)
            {
                seen++;
                continue;
            }

            if (disk.MisdirectedWrite.Strikes == 0)
            {
                Assert.True(write > 2 && seen >= write - 2, $"{seen} of {write - 1} seen"); // That of a header is redone.
                return;
            }
        }
    }

    private static bool TryApply(OperationsFiles files, uint segment, OperationEntry[] entries)
    {
        try
        {
            files.Apply(segment, entries);
            return true;
        }
        catch (DiskException e) when (e.IsRefusal)
        {
            return false;
        }
    }

    private static int GenerationsFor(int appends, int horizon, int generation) =>
        ((appends - 1) / generation) - Math.Min((appends - 1) / generation, Math.Max(0, appends - horizon) / generation) + 1;

    internal static bool TryApplyAll(SimulatedFileSystem disk, OperationEntry[][] segments, int horizon, int generation)
    {
        try
        {
            using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, horizon, generation);
            ApplyFrom(files, segments);
            return true;
        }
        catch (SimulatedCrashException)
        {
            return false;
        }
    }

    // With the filter, so that what becomes of the files becomes of it, too.
    internal static void ApplyFrom(OperationsFiles files, OperationEntry[][] segments)
    {
        for (uint s = (uint)(files.AppliedThrough + 1); s < segments.Length; s++)
        {
            files.Apply(s, segments[s]);
            while (files.StepFilter())
            {
            }
        }
    }

    internal static IEnumerable<string> Generations(SimulatedFileSystem disk) =>
        disk.ListFiles(Folder).Where(name => name.EndsWith(".op", StringComparison.Ordinal)).Select(name => Folder + name);

    internal static void CheckContent(
        OperationsFiles files, List<OperationEntry> all, long appliedThrough, int horizon, int generation)
    {
        Assert.Equal(appliedThrough, files.AppliedThrough);
        Assert.Equal(all.Count, files.TotalAppends);
        foreach (OperationEntry entry in all.Skip(Math.Max(0, all.Count - horizon)))
        {
            Assert.Contains(entry.Place, Find(files, entry.Id));
        }

        // Whole generations, neither more nor less: what is kept is exactly their appends, each once.
        int oldest = all.Count == 0
            ? 0
            : Math.Min((all.Count - 1) / generation, Math.Max(0, all.Count - horizon) / generation) * generation;
        Assert.Equal(oldest, files.OldestAppend);
        Assert.Equal(
            all.Skip(oldest).Select(e => e.Place).Order(),
            files.ReadAll().Select(e => e.Place).Order());
    }

    internal static Place[] Find(OperationsFiles files, UInt128 id)
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, id);
        Span<Place> found = new Place[8];
        return found[..files.Find(bytes, found)].ToArray();
    }

    internal static OperationEntry[][] Segments(Random random, int count, int spread, int minimum = 0)
    {
        var segments = new OperationEntry[count][];
        for (uint s = 0; s < count; s++)
        {
            segments[s] = new OperationEntry[minimum + random.Next(spread)];
            for (uint i = 0; i < segments[s].Length; i++)
            {
                segments[s][i] = new(ChainModel.RandomKey(random), new Place(s, 4096 + (i * 8)));
            }
        }

        return segments;
    }
}
