using System.Buffers.Binary;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;
using Xunit.Abstractions;
using static EventVault.Storage.Tests.Index.OperationsFilesTests;

namespace EventVault.Storage.Tests.Index;

/// <summary>
/// The filter spares look-ups of ids that were never used, and hides none that was: not when it is damaged, missing, old, of other files, or
/// cut short by a crash. Crashes, failed flushes and misdirected writes meet it in <see cref="OperationsFilesTests"/>, too.
/// </summary>
public sealed class OperationsFilterTests(ITestOutputHelper output)
{
    private const string Folder = "/";
    private const string FilterPath = "/operations-filter";
    private static readonly SipKey Key = new(1, 2);

    [Fact]
    public void An_id_that_was_never_used_is_looked_for_in_the_newest_generation_alone()
    {
        const int Generation = 4_096;
        const int Ids = 100_000;
        var random = new Random(1);
        OperationEntry[][] segments = Segments(random, 33, 1, minimum: Generation / 2);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 16 * Generation, Generation);
        foreach (var (entries, s) in segments.Select((entries, s) => (entries, (uint)s)))
        {
            files.Apply(s, entries);
        }

        Assert.Equal(17, Generations(disk).Count());
        Assert.Equal(17, Searched(files, ChainModel.RandomKey(random)));
        int steps = 0;
        while (files.StepFilter())
        {
            steps++;
        }

        Assert.Equal(16, steps);
        Assert.Equal(0, files.FilterBytes);
        int more = Enumerable.Range(0, Ids).Sum(_ => Searched(files, ChainModel.RandomKey(random)) - 1);
        output.WriteLine($"{more} of {16 * Ids} lanes passed without a reason: {100.0 * more / (16 * Ids):F3} %");
        Assert.InRange(more, 1, 16 * Ids / 200);

        // Find does as it is counted: it does not even meet damage where it needs not look.
        foreach (string path in Generations(disk).SkipLast(1))
        {
            using IFile file = disk.OpenFile(path, FileOpening.Existing);
            file.Write(OperationsHeader.DataStart, new byte[file.Length - OperationsHeader.DataStart]);
        }

        UInt128[] unused = [.. Enumerable.Range(0, 1_000).Select(_ => ChainModel.RandomKey(random))];
        Assert.All(unused, id => Assert.Equal(Searched(files, id) > 1, Record.Exception(() => Assert.Empty(Find(files, id))) is IndexDamageException));
        Assert.All(segments[..32].SelectMany(s => s), entry => Assert.Throws<IndexDamageException>(() => Find(files, entry.Id)));
    }

    [Fact]
    public void Every_id_is_found_whatever_byte_of_the_filter_is_damaged_and_the_filter_is_made_again()
    {
        const int Horizon = 160;
        const int Generation = 40;
        OperationEntry[][] segments = Segments(new Random(2), 6, 1, minimum: 30);
        List<OperationEntry> all = [.. segments.SelectMany(s => s)];
        var disk = new SimulatedFileSystem(tracksLosses: false);
        Assert.True(TryApplyAll(disk, segments, Horizon, Generation));
        byte[] whole = Bytes(disk, FilterPath);
        int remade = 0;
        for (int offset = 0; offset < whole.Length; offset += offset is < 160 or >= 4096 and < 4600 ? 1 : 97)
        {
            for (int bit = 0; bit < 8; bit++)
            {
                // A line's while it is looked up, a header's before it is opened.
                bool isHeader = offset < 4096;
                if (isHeader)
                {
                    disk.FlipBit(FilterPath, offset, bit);
                }

                bool isUsed = isHeader || offset < 4096 + (10 * (8 + (4 * 8)));
                using (OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, Horizon, Generation))
                {
                    if (!isHeader)
                    {
                        disk.FlipBit(FilterPath, offset, bit);
                    }

                    CheckContent(files, all, 5, Horizon, Generation);
                    Assert.Equal(isUsed, files.FilterBytes > 0);
                    while (files.StepFilter())
                    {
                        remade++;
                    }

                    CheckContent(files, all, 5, Horizon, Generation);
                }

                if (!isUsed)
                {
                    disk.FlipBit(FilterPath, offset, bit);
                }

                Assert.Equal(whole, Bytes(disk, FilterPath));
            }
        }

        Assert.True(remade > 1_000, $"{remade}");
    }

    [Fact]
    public void Blocks_of_an_earlier_filter_do_not_pass_for_those_of_this_one()
    {
        // As after a write that went nowhere, where the earlier one had stood on the disk: as many lanes, each line's number and checksum right.
        const int Generation = 40;
        OperationEntry[][] segments = Segments(new Random(13), 12, 1, minimum: Generation);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        Assert.True(TryApplyAll(disk, segments[..11], 4 * Generation, Generation));
        byte[] earlier = Bytes(disk, FilterPath);
        Assert.True(TryApplyAll(disk, segments, 4 * Generation, Generation));
        byte[] now = Bytes(disk, FilterPath);
        Assert.Equal(earlier.Length, now.Length);
        Assert.Equal(earlier[48..64], now[48..64]);
        Write(disk, FilterPath, [.. now[..4096], .. earlier[4096..]]);
        using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 4 * Generation, Generation);
        CheckContent(files, [.. segments.SelectMany(s => s)], 11, 4 * Generation, Generation);
        Assert.True(files.FilterBytes > 0);
    }

    [Fact]
    public void A_line_that_is_found_damaged_while_the_filter_is_extended_is_not_taken_over()
    {
        const int Generation = 40;
        OperationEntry[][] segments = Segments(new Random(3), 5, 1, minimum: Generation);
        List<OperationEntry> all = [.. segments.SelectMany(s => s)];
        var disk = new SimulatedFileSystem(tracksLosses: false);
        using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 1_000, Generation);
        ApplyFrom(files, segments[..4]);
        disk.FlipBit(FilterPath, 4096 + 8, 0);
        ApplyFrom(files, segments);
        CheckContent(files, all, 4, 1_000, Generation);
        Assert.Equal(0, files.FilterBytes);
        Assert.All(all.Take(4 * Generation), entry => Assert.InRange(Searched(files, entry.Id), 2, 4));
    }

    [Fact]
    public void A_filter_of_other_files_is_deleted_before_anything_else_is_written()
    {
        const int Generation = 40;
        OperationEntry[][] segments = Segments(new Random(4), 4, 1, minimum: 50);
        OperationEntry[][] others = Segments(new Random(5), 4, 1, minimum: 50);
        var foreign = new SimulatedFileSystem(tracksLosses: false);
        Assert.True(TryApplyAll(foreign, others, 1_000, Generation));
        byte[] filter = Bytes(foreign, FilterPath);

        // Beside whole files of the same numbers, beside none, and beside files that were not full when the power went.
        for (int count = 0; count <= segments.Length; count++)
        {
            var disk = new SimulatedFileSystem();
            Assert.True(TryApplyAll(disk, segments[..count], 1_000, Generation));
            Write(disk, FilterPath, filter);
            disk.FlushDirectory(Folder);
            var operations = new List<DiskOperation>();
            disk.OnOperation = operations.Add;
            using (OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 1_000, Generation))
            {
                Assert.Equal((DiskOperationKind.Delete, FilterPath), (operations[0].Kind, operations[0].Path));
                Assert.Equal(DiskOperationKind.FlushDirectory, operations[1].Kind);
                ApplyFrom(files, segments);
                CheckContent(files, [.. segments.SelectMany(s => s)], 3, 1_000, Generation);
            }
        }
    }

    [Fact]
    public void Files_without_a_filter_get_one_generation_by_generation()
    {
        const int Generation = 40;
        OperationEntry[][] segments = Segments(new Random(6), 5, 1, minimum: 50);
        List<OperationEntry> all = [.. segments.SelectMany(s => s)];
        var disk = new SimulatedFileSystem(tracksLosses: false);
        Assert.True(TryApplyAll(disk, segments, 1_000, Generation));
        disk.DeleteFile(FilterPath);
        for (int lanes = 0; lanes <= 6; lanes++)
        {
            // Opening makes none: it would read all of the files. What a crash left of one takes no room.
            Write(disk, FilterPath + ".tmp", new byte[100]);
            using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 1_000, Generation);
            Assert.False(disk.FileExists(FilterPath + ".tmp"));
            Assert.Equal(lanes > 0, disk.FileExists(FilterPath));
            CheckContent(files, all, 4, 1_000, Generation);
            int sum = all.Sum(entry => Searched(files, entry.Id));
            Assert.InRange(sum, all.Count * (7 - lanes), (all.Count * (8 - lanes)) + (all.Count / 5));
            Assert.Equal(lanes < 6, files.FilterBytes > 0);
            Assert.Equal(lanes < 6, files.StepFilter());
        }
    }

    [Fact]
    public void A_generation_that_still_changes_is_not_in_the_filter()
    {
        const int Generation = 40;
        OperationEntry[] entries = Segments(new Random(7), 1, 1, minimum: 3 * Generation)[0];
        var disk = new SimulatedFileSystem(tracksLosses: false);
        using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 1_000, Generation);
        for (uint i = 0; i < entries.Length; i++)
        {
            files.Apply(i, [entries[i]]);
            int full = (int)i / Generation;
            Assert.Equal(full > 0 && i % Generation == 0, files.FilterBytes > 0);
            Assert.Equal(full > 0 && i % Generation == 0, files.StepFilter());
            CheckContent(files, [.. entries[..((int)i + 1)]], i, 1_000, Generation);
        }
    }

    [Fact]
    public void More_generations_than_a_filter_has_lanes_for_are_looked_into_beside_it()
    {
        const int Generation = 10;
        OperationEntry[][] segments = Segments(new Random(8), 90, 1, minimum: Generation);
        List<OperationEntry> all = [.. segments.SelectMany(s => s)];
        var disk = new SimulatedFileSystem(tracksLosses: false);
        using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 800, Generation);
        ApplyFrom(files, segments);
        CheckContent(files, all, 89, 800, Generation);
        Assert.Equal(OperationsFilter.FileLengthFor(OperationsFilter.MostLanes, Generation), Bytes(disk, FilterPath).Length);
        int covered = Enumerable.Range(0, 100).Sum(i => 80 - Searched(files, (UInt128)i << 64)) / 100;
        Assert.InRange(covered, OperationsFilter.MostLanes - 3, OperationsFilter.MostLanes);
    }

    [Fact]
    public void A_generation_with_a_damaged_bucket_is_looked_into_for_every_id()
    {
        const int Generation = 40;
        OperationEntry[][] segments = Segments(new Random(9), 4, 1, minimum: Generation);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 1_000, Generation);
        for (uint s = 0; s < segments.Length; s++)
        {
            files.Apply(s, segments[s]);
        }

        string second = Generations(disk).ElementAt(1);
        byte[] whole = Bytes(disk, second);
        Write(disk, second, [.. whole.Select((b, at) => at < OperationsHeader.DataStart ? b : (byte)0)]);
        while (files.StepFilter())
        {
        }

        Assert.Equal(0, files.FilterBytes);
        Assert.All(segments.SelectMany(s => s), entry => Assert.Throws<IndexDamageException>(() => Find(files, entry.Id)));
        Write(disk, second, whole);
        CheckContent(files, [.. segments.SelectMany(s => s)], 3, 1_000, Generation);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Power_lost_anywhere_while_the_filter_is_made_or_all_is_deleted_leaves_one_that_hides_nothing(int seed)
    {
        const int Horizon = 150;
        const int Generation = 30;
        var random = new Random(seed);
        OperationEntry[][] segments = Segments(random, 9, 60);
        OperationEntry[][] others = Segments(random, 9, 1, minimum: 30);
        List<OperationEntry> all = [.. segments.SelectMany(s => s)];
        for (long at = 1; ; at++)
        {
            var disk = new SimulatedFileSystem { CrashAtOperation = at };
            bool isDone = TryApplyAll(disk, segments, Horizon, Generation);
            for (int luck = 0; luck < 3; luck++)
            {
                SimulatedFileSystem survivor = disk.Crash(new Random(luck));
                if (luck == 2)
                {
                    // All is deleted, and cut short; what stands then is opened with another log.
                    DeleteCutShort(survivor, random.Next(1, 12));
                    survivor = survivor.Crash(new Random(luck + 50));
                    bool hasFilter = survivor.FileExists(FilterPath);
                    Assert.True(!hasFilter || Generations(survivor).SequenceEqual(Generations(disk.Crash(new Random(luck)))), "a filter beside other files");
                    OperationsFiles.DeleteAll(survivor, Folder);
                    Assert.True(TryApplyAll(survivor, others, Horizon, Generation));
                    using OperationsFiles other = OperationsFiles.Open(survivor, Folder, Key, Horizon, Generation);
                    CheckContent(other, [.. others.SelectMany(s => s)], 8, Horizon, Generation);
                    continue;
                }

                Assert.True(TryApplyAll(survivor, segments, Horizon, Generation));
                using OperationsFiles files = OperationsFiles.Open(survivor, Folder, Key, Horizon, Generation);
                CheckContent(files, all, 8, Horizon, Generation);
                while (files.StepFilter())
                {
                }

                Assert.DoesNotContain(survivor.ListFiles(Folder), name => name == "operations-filter.tmp");
                CheckContent(files, all, 8, Horizon, Generation);
                Assert.Equal(0, files.FilterBytes);
            }

            if (isDone)
            {
                Assert.True(at > 100, $"only {at} operations");
                return;
            }
        }

        static void DeleteCutShort(SimulatedFileSystem disk, int at)
        {
            disk.CrashAtOperation = at;
            try
            {
                OperationsFiles.DeleteAll(disk, Folder);
            }
            catch (SimulatedCrashException)
            {
            }
        }
    }

    [Fact]
    public void The_filter_is_deleted_for_certain_before_any_file_that_it_was_made_from()
    {
        var disk = new SimulatedFileSystem();
        Assert.True(TryApplyAll(disk, Segments(new Random(10), 4, 1, minimum: 50), 1_000, 40));
        var operations = new List<(DiskOperationKind Kind, string Path)>();
        disk.OnOperation = operation => operations.Add((operation.Kind, operation.Path));
        OperationsFiles.DeleteAll(disk, Folder);
        Assert.Equal([(DiskOperationKind.Delete, FilterPath), (DiskOperationKind.FlushDirectory, Folder)], operations[..2]);
        Assert.All(operations[2..^1], operation => Assert.Equal(DiskOperationKind.Delete, operation.Kind));
        Assert.Equal(DiskOperationKind.FlushDirectory, operations[^1].Kind);
        Assert.Empty(disk.ListFiles(Folder));
    }

    [Fact]
    public void On_a_full_disk_the_filter_waits_for_the_next_segment_and_takes_no_room()
    {
        const int Generation = 40;
        OperationEntry[][] segments = Segments(new Random(11), 5, 1, minimum: Generation);
        var disk = new SimulatedFileSystem();
        using OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 1_000, Generation);
        ApplyFrom(files, segments[..3]);
        byte[] before = Bytes(disk, FilterPath);
        files.Apply(3, segments[3]);
        long used = disk.AllFiles().Sum(path => (long)Bytes(disk, path).Length);
        for (long free = 0; free < files.FilterBytes; free += 4096)
        {
            disk.CapacityBytes = used + free;
            Assert.False(files.StepFilter());
            Assert.Equal(0, files.FilterBytes);
            Assert.Equal(before, Bytes(disk, FilterPath));
            Assert.Equal(used, disk.AllFiles().Sum(path => (long)Bytes(disk, path).Length));
            disk.CapacityBytes = null;
            files.Apply((uint)files.AppliedThrough + 1, []);
        }

        Assert.True(files.AppliedThrough > 4);
        Assert.True(files.StepFilter());
        CheckContent(files, [.. segments[..4].SelectMany(s => s)], files.AppliedThrough, 1_000, Generation);
    }

    [Fact]
    public void A_disk_that_fails_while_the_filter_is_made_says_so_and_the_old_one_stays_right()
    {
        const int Generation = 40;
        OperationEntry[][] segments = Segments(new Random(12), 5, 1, minimum: Generation);
        List<OperationEntry> all = [.. segments.SelectMany(s => s)];
        int failures = 0;
        foreach (Func<SimulatedFileSystem, FaultSwitch> fault in (Func<SimulatedFileSystem, FaultSwitch>[])[d => d.FailingWrite, d => d.FailingFlush, d => d.FailingDirectoryFlush, d => d.MisdirectedWrite])
        {
            for (int call = 1; ; call++)
            {
                var disk = new SimulatedFileSystem();
                OperationsFiles files = OperationsFiles.Open(disk, Folder, Key, 1_000, Generation);
                ApplyFrom(files, segments[..4]);
                files.Apply(4, segments[4]);
                FaultSwitch failing = fault(disk);
                failing.StrikeAt(call);
                Exception? failure = Record.Exception(() => files.StepFilter());
                if (failing.Strikes == 0)
                {
                    break;
                }

                failures++;
                Assert.True(failing == disk.MisdirectedWrite ? failure is null : failure is DiskException);
                failing.Off();
                CheckContent(files, all, 4, 1_000, Generation);
                SimulatedFileSystem survivor = disk.Crash(new Random(call));
                using (OperationsFiles again = OperationsFiles.Open(survivor, Folder, Key, 1_000, Generation))
                {
                    CheckContent(again, all, 4, 1_000, Generation);
                    while (again.StepFilter())
                    {
                    }

                    CheckContent(again, all, 4, 1_000, Generation);
                }
            }
        }

        Assert.True(failures >= 7, $"{failures}");
    }

    private static int Searched(OperationsFiles files, UInt128 id)
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, id);
        return files.CountSearched(bytes);
    }

    private static byte[] Bytes(SimulatedFileSystem disk, string path)
    {
        using IFile file = disk.OpenFile(path, FileOpening.ReadExisting);
        var bytes = new byte[file.Length];
        Assert.Equal(bytes.Length, file.Read(0, bytes));
        return bytes;
    }

    private static void Write(SimulatedFileSystem disk, string path, byte[] bytes)
    {
        using IFile file = disk.OpenFile(path, FileOpening.ExistingOrNew);
        file.Write(0, bytes);
        file.Flush();
    }
}
