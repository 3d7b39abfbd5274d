using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Io;

/// <summary>The faults that a simulated disk can be told to have.</summary>
public sealed class DiskFaultTests
{
    private readonly SimulatedFileSystem _disk = new();
    private readonly IFile _file;

    public DiskFaultTests()
    {
        _file = _disk.OpenFile("/file", FileOpening.New);
        _file.Write(0, new byte[8192]);
        _file.Flush();
        _disk.FlushDirectory("/");
    }

    [Fact]
    public void After_a_failed_flush_the_cache_shows_what_the_disk_lost_and_the_next_flush_succeeds()
    {
        _file.Write(100, [1, 2, 3]);
        _file.Write(10_000, [4]);
        _disk.FailingFlush.StrikeAt(1);
        var failure = Assert.Throws<DiskException>(_file.Flush);
        _file.Flush();

        Assert.Equal(("fdatasync", 5, "/file"), (failure.Operation, failure.ErrorNumber, failure.Path));
        Assert.Equal([1, 2, 3], Read(_file, 100, 3));
        Assert.Equal([4], Read(_file, 10_000, 1));
        Assert.Equal([0, 0, 0], ReadFromDisk(_file, 100, 3));
        var survivor = _disk.Crash(new Random(1)).OpenFile("/file", FileOpening.ReadExisting);
        Assert.Equal(8192, survivor.Length);
        Assert.Equal([0, 0, 0], Read(survivor, 100, 3));
    }

    [Fact]
    public void What_is_written_again_after_a_failed_flush_becomes_durable()
    {
        _file.Write(100, [1, 2, 3]);
        _file.Write(10_000, [4]);
        _disk.FailingFlush.StrikeAt(1);
        Assert.Throws<DiskException>(_file.Flush);
        _file.Write(100, [1, 2, 3]);
        _file.Write(10_000, [4]);
        _file.Flush();

        var survivor = _disk.Crash(new Random(1)).OpenFile("/file", FileOpening.ReadExisting);
        Assert.Equal([1, 2, 3], Read(survivor, 100, 3));
        Assert.Equal([4], Read(survivor, 10_000, 1));
    }

    [Fact]
    public void Zeros_written_again_after_a_failed_flush_become_durable()
    {
        _file.Write(0, Enumerable.Repeat((byte)1, 8192).ToArray());
        _file.Flush();
        _file.WriteZeros(0, 4096);
        _disk.FailingFlush.StrikeAt(1);
        Assert.Throws<DiskException>(_file.Flush);
        Assert.Equal([1], ReadFromDisk(_file, 0, 1));
        _file.WriteZeros(0, 4096);
        _file.Flush();

        Assert.Equal([0], Read(_disk.Crash(new Random(1)).OpenFile("/file", FileOpening.ReadExisting), 0, 1));
    }

    [Fact]
    public void A_randomly_failing_flush_saves_some_sectors_and_loses_others()
    {
        _disk.FailingFlush.StrikeRandomly(new Random(6), 0.5);
        var (failed, lost, saved) = (0, 0, 0);
        for (var i = 0; i < 200; i++)
        {
            var value = (byte)(1 + (i % 250));
            _file.Write(0, Enumerable.Repeat(value, 8192).ToArray());
            try
            {
                _file.Flush();
                Assert.All(ReadFromDisk(_file, 0, 8192), read => Assert.Equal(value, read));
            }
            catch (DiskException)
            {
                failed++;
                var read = ReadFromDisk(_file, 0, 8192);
                saved += read.Count(found => found == value);
                lost += read.Count(found => found != value);
                Assert.All(Read(_file, 0, 8192), found => Assert.Equal(value, found));
            }
        }

        Assert.Equal(_disk.FailingFlush.Strikes, failed);
        Assert.InRange(failed, 50, 150);
        Assert.True(lost > 0 && saved > 0);
    }

    [Fact]
    public void A_lying_flush_makes_nothing_durable()
    {
        _disk.LyingFlush.StrikeAlways();
        _file.Write(0, [1]);
        _file.Flush();
        _disk.OpenFile("/new", FileOpening.New).Dispose();
        _disk.FlushDirectory("/");
        var outcomes = Enumerable.Range(0, 50).Select(seed => _disk.Crash(new Random(seed))).ToList();
        Assert.Contains(outcomes, survivor => !survivor.FileExists("/new"));
        Assert.Contains(outcomes, survivor => Read(survivor.OpenFile("/file", FileOpening.Existing), 0, 1)[0] == 0);

        _disk.LyingFlush.Off();
        _file.Flush();
        Assert.Equal([1], Read(_disk.Crash(new Random(3)).OpenFile("/file", FileOpening.Existing), 0, 1));
    }

    [Fact]
    public void A_write_fails_at_the_given_count_or_in_part_by_chance()
    {
        _disk.FailingWrite.StrikeAt(2);
        _file.Write(0, [1]);
        Assert.Equal(5, Assert.Throws<DiskException>(() => _file.Write(0, [2])).ErrorNumber);
        Assert.Equal([1], Read(_file, 0, 1));
        _file.Write(0, [3]);

        _disk.FailingWrite.StrikeRandomly(new Random(7), 1);
        var written = new HashSet<int>();
        for (var i = 0; i < 50; i++)
        {
            _disk.FailingWrite.Off();
            _file.Write(0, new byte[10]);
            _disk.FailingWrite.StrikeRandomly(new Random(i), 1);
            Assert.Throws<DiskException>(() => _file.Write(0, [9, 9, 9, 9]));
            var read = Read(_file, 0, 10);
            written.Add(read.Count(value => value == 9));
            Assert.All(read[..read.Count(value => value == 9)], value => Assert.Equal(9, value));
        }

        Assert.Equal([0, 1, 2, 3, 4], written.Order());
        Assert.Throws<DiskException>(() => _file.WriteZeros(0, 4096));
    }

    [Fact]
    public void Reads_and_folder_flushes_fail_on_demand()
    {
        _disk.FailingRead.StrikeAt(1);
        Assert.Throws<DiskException>(() => Read(_file, 0, 1));
        _disk.FailingRead.StrikeAt(1);
        Assert.Throws<DiskException>(() => ReadFromDisk(_file, 0, 1));

        _disk.OpenFile("/new", FileOpening.New).Dispose();
        _disk.FailingDirectoryFlush.StrikeAt(1);
        Assert.Throws<DiskException>(() => _disk.FlushDirectory("/"));
        Assert.Contains(Enumerable.Range(0, 50), seed => !_disk.Crash(new Random(seed)).FileExists("/new"));
    }

    [Fact]
    public void A_full_disk_refuses_growth_and_nothing_else()
    {
        _disk.CapacityBytes = 12_000;
        Assert.Equal(12_000 - 8192, _disk.FreeBytes("/"));
        _file.Write(0, new byte[8192]);
        _file.WriteZeros(4096, 4096);
        Assert.True(Assert.Throws<DiskException>(() => _file.WriteZeros(8192, 4096)).IsFull);
        Assert.True(Assert.Throws<DiskException>(() => _file.WriteZeros(16_384, 4096)).IsFull);
        Assert.True(Assert.Throws<DiskException>(() => _file.SetLength(12_001)).IsFull);
        Assert.Equal(8192, _file.Length);

        // As the native loop over short writes: what still fits is written.
        Assert.True(Assert.Throws<DiskException>(() => _file.Write(8192, new byte[5000])).IsFull);
        Assert.Equal(12_000, _file.Length);
        Assert.Equal(0, _disk.FreeBytes("/"));
        _file.Flush();

        _disk.DeleteFile("/file");
        Assert.Equal(12_000, _disk.FreeBytes("/"));
        _disk.OpenFile("/other", FileOpening.New).SetLength(12_000);
    }

    [Fact]
    public void A_flipped_bit_shows_in_every_way_of_reading_and_survives()
    {
        _file.Write(5000, [0b0001_0000]);
        using var map = _file.Map(8192, MappedAccess.Normal);
        _disk.FlipBit("/file", 5000, 0);
        _disk.FlipBit("/file", 17, 7);

        Assert.Equal([0b0001_0001], Read(_file, 5000, 1));
        Assert.Equal([0b0001_0001], ReadFromDisk(_file, 5000, 1));
        Assert.Equal([0b0001_0001], map.Span(5000, 1).ToArray());
        Assert.All(Enumerable.Range(0, 20).Select(seed => _disk.Crash(new Random(seed)).OpenFile("/file", FileOpening.Existing)), file =>
        {
            Assert.Equal([0b1000_0000], Read(file, 17, 1));
            Assert.True(Read(file, 5000, 1)[0] is 0b0000_0001 or 0b0001_0001);
        });
        Assert.Throws<ArgumentOutOfRangeException>(() => _disk.FlipBit("/file", 8192, 0));
    }

    [Fact]
    public void The_hook_sees_every_operation_and_may_fail_it()
    {
        var seen = new List<string>();
        _disk.OnOperation = operation =>
        {
            seen.Add($"{operation.Kind} {operation.Path} {operation.Offset} {operation.Length}");
            if (operation.Kind == DiskOperationKind.SetLength)
            {
                throw new DiskException("ftruncate", operation.Path, 5, "injected");
            }
        };
        _file.Write(3, [1, 2]);
        _file.WriteZeros(0, 4096);
        _file.Flush();
        Assert.Throws<DiskException>(() => _file.SetLength(5));
        _disk.CreateDirectory("/a/b");
        _disk.OpenFile("/a/f", FileOpening.ExistingOrNew).Dispose();
        _disk.OpenFile("/a/f", FileOpening.ExistingOrNew).Dispose();
        _disk.MoveFile("/a/f", "/a/g");
        _disk.DeleteFile("/a/g");
        _disk.FlushDirectory("/a");

        Assert.Equal(
            [
                "Write /file 3 2", "WriteZeros /file 0 4096", "Flush /file 0 0", "SetLength /file 5 0", "CreateDirectory /a 0 0",
                "CreateDirectory /a/b 0 0", "CreateFile /a/f 0 0", "Move /a/f 0 0", "Delete /a/g 0 0", "FlushDirectory /a 0 0",
            ],
            seen);
        Assert.Equal(8192, _file.Length);
    }

    [Fact]
    public void A_crash_thrown_by_the_hook_cuts_the_power_for_all_later_calls()
    {
        _disk.OnOperation = operation => throw new SimulatedCrashException(operation);
        Assert.Throws<SimulatedCrashException>(_file.Flush);
        _disk.OnOperation = null;

        Assert.Throws<SimulatedCrashException>(() => Read(_file, 0, 1));
        Assert.Throws<SimulatedCrashException>(() => _file.Write(0, [1]));
        Assert.True(_disk.Crash(new Random(1)).FileExists("/file"));
    }

    [Fact]
    public async Task A_hanging_flush_holds_up_nobody_else()
    {
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var release = new ManualResetEventSlim();
        _disk.OnOperation = operation =>
        {
            if (operation.Kind == DiskOperationKind.Flush)
            {
                entered.SetResult();
                release.Wait(TimeSpan.FromSeconds(30));
            }
        };
        var flush = Task.Run(_file.Flush);
        await entered.Task.WaitAsync(TimeSpan.FromSeconds(30));
        _file.Write(0, [1]);
        Assert.Equal([1], Read(_file, 0, 1));
        Assert.False(flush.IsCompleted);

        release.Set();
        await flush.WaitAsync(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public void A_lock_does_not_survive_a_power_loss()
    {
        var held = _disk.LockFile("/lock");
        _disk.FlushDirectory("/");
        var survivor = _disk.Crash(new Random(1));

        survivor.LockFile("/lock").Dispose();
        Assert.Throws<DirectoryInUseException>(() => _disk.LockFile("/lock"));
        held.Dispose();
    }

    private static byte[] Read(IFile file, long offset, int count)
    {
        var bytes = new byte[count];
        return bytes[..file.Read(offset, bytes)];
    }

    private static byte[] ReadFromDisk(IFile file, long offset, int count)
    {
        var bytes = new byte[count];
        return bytes[..file.ReadFromDisk(offset, bytes)];
    }
}
