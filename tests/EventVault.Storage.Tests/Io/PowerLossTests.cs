using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Io;

/// <summary>What a simulated power loss keeps always, sometimes and never.</summary>
public sealed class PowerLossTests
{
    private const int Tries = 400;
    private const int Sector = 512;

    [Fact]
    public void Flushed_content_and_length_always_survive()
    {
        var disk = DiskWithFile(Filled(1, 10_000));
        Assert.All(Outcomes(disk), survivor => Assert.Equal(Filled(1, 10_000), Content(survivor)));
    }

    [Fact]
    public void An_unflushed_overwrite_is_kept_lost_torn_and_reordered_by_sectors()
    {
        var disk = DiskWithFile(Filled(1, 8 * Sector));
        Open(disk).Write(0, Filled(2, 8 * Sector));
        var outcomes = Outcomes(disk).Select(survivor => Sectors(Content(survivor))).ToList();

        Assert.All(outcomes, sectors => Assert.All(sectors, value => Assert.True(value is '1' or '2')));
        Assert.Contains("11111111", outcomes);
        Assert.Contains("22222222", outcomes);
        Assert.Contains("22221111", outcomes);
        Assert.Contains(outcomes, sectors => sectors.Contains("12", StringComparison.Ordinal));
    }

    [Fact]
    public void A_write_that_ends_inside_a_sector_keeps_or_loses_that_sector_whole()
    {
        var disk = DiskWithFile(Filled(1, 2 * Sector));
        Open(disk).Write(Sector - 10, Filled(2, 20));
        foreach (var survivor in Outcomes(disk))
        {
            var content = Content(survivor);
            Assert.All(content[..(Sector - 10)].Concat(content[(Sector + 10)..]), value => Assert.Equal(1, value));
            Assert.Single(content[(Sector - 10)..Sector].Distinct());
            Assert.Single(content[Sector..(Sector + 10)].Distinct());
        }
    }

    [Fact]
    public void Of_several_versions_since_the_flush_each_may_be_the_one_on_the_disk()
    {
        var disk = DiskWithFile(Filled(1, Sector));
        Open(disk).Write(0, Filled(2, Sector));
        Open(disk).Flush();
        Open(disk).Write(0, Filled(3, Sector));
        Open(disk).Write(0, Filled(4, Sector));

        Assert.Equal("234", string.Concat(Outcomes(disk).Select(survivor => Sectors(Content(survivor))).Distinct().Order()));
    }

    [Fact]
    public void Unflushed_growth_leaves_the_old_length_or_the_new_one_with_zeros_for_what_was_lost()
    {
        var disk = DiskWithFile(Filled(1, Sector));
        Open(disk).Write(Sector, Filled(2, 3 * Sector));
        var outcomes = Outcomes(disk).Select(survivor => Sectors(Content(survivor))).ToHashSet();

        Assert.Subset(new HashSet<string> { "1", "1000", "1002", "1020", "1022", "1200", "1202", "1220", "1222" }, outcomes);
        Assert.Superset(new HashSet<string> { "1", "1000", "1222", "1200", "1002" }, outcomes);
    }

    [Fact]
    public void Behind_a_length_that_was_lost_nothing_comes_back_when_the_file_grows_again()
    {
        var disk = DiskWithFile(Filled(1, 600));
        Open(disk).Write(600, Filled(2, 9_000));
        foreach (var survivor in Outcomes(disk).Where(survivor => Open(survivor).Length == 600))
        {
            Open(survivor).SetLength(9_600);
            Assert.All(Content(survivor)[600..], value => Assert.Equal(0, value));
        }
    }

    [Fact]
    public void Unflushed_zeros_and_cuts_are_kept_or_lost()
    {
        var disk = DiskWithFile(Filled(1, 16 * Sector));
        Open(disk).WriteZeros(4096, 4096);
        Assert.Superset(new HashSet<string> { "1111111111111111", "1111111100000000" }, Outcomes(disk).Select(survivor => Sectors(Content(survivor))).ToHashSet());

        disk = DiskWithFile(Filled(1, 16 * Sector));
        Open(disk).SetLength(Sector + 100);
        Assert.Superset(new HashSet<long> { Sector + 100, 16 * Sector }, Outcomes(disk).Select(survivor => Open(survivor).Length).ToHashSet());
        Open(disk).Flush();
        Open(disk).SetLength(16 * Sector);
        foreach (var survivor in Outcomes(disk))
        {
            Assert.All(Content(survivor)[(Sector + 100)..], value => Assert.Equal(0, value));
            Open(survivor).SetLength(16 * Sector);
            Assert.All(Content(survivor)[(Sector + 100)..], value => Assert.Equal(0, value));
        }
    }

    [Fact]
    public void A_new_file_may_vanish_until_its_folder_is_flushed()
    {
        var disk = new SimulatedFileSystem();
        using var file = disk.OpenFile("/a", FileOpening.New);
        file.Write(0, Filled(1, 100));
        file.Flush();
        Assert.Equal([false, true], Outcomes(disk).Select(survivor => survivor.FileExists("/a")).Distinct().Order());
        Assert.All(Outcomes(disk).Where(survivor => survivor.FileExists("/a")), survivor => Assert.Equal(100, Open(survivor, "/a").Length));

        disk.FlushDirectory("/");
        Assert.All(Outcomes(disk), survivor => Assert.True(survivor.FileExists("/a")));
    }

    [Fact]
    public void A_new_folder_may_vanish_with_all_in_it_until_its_parent_is_flushed()
    {
        var disk = new SimulatedFileSystem();
        disk.CreateDirectory("/a/b");
        disk.OpenFile("/a/b/f", FileOpening.New).Dispose();
        disk.FlushDirectory("/a/b");
        disk.FlushDirectory("/a");
        Assert.Equal([false, true], Outcomes(disk).Select(survivor => survivor.DirectoryExists("/a")).Distinct().Order());
        Assert.All(Outcomes(disk), survivor => Assert.Equal(survivor.DirectoryExists("/a"), survivor.FileExists("/a/b/f")));

        disk.FlushDirectory("/");
        Assert.All(Outcomes(disk), survivor => Assert.True(survivor.FileExists("/a/b/f")));
    }

    [Fact]
    public void An_unflushed_move_leaves_the_file_under_one_of_its_names()
    {
        var disk = DiskWithFile(Filled(1, 600));
        disk.MoveFile("/file", "/other");
        var outcomes = Outcomes(disk).Select(survivor => string.Join(' ', survivor.ListFiles("/"))).ToHashSet();
        Assert.Equal(["file", "other"], outcomes.Order());
        Assert.All(Outcomes(disk), survivor => Assert.Equal(Filled(1, 600), Content(survivor, "/" + survivor.ListFiles("/")[0])));

        disk.FlushDirectory("/");
        Assert.All(Outcomes(disk), survivor => Assert.Equal(["other"], survivor.ListFiles("/")));
    }

    [Fact]
    public void Replacing_by_a_move_leaves_the_old_content_or_the_new_one()
    {
        var disk = DiskWithFile(Filled(1, 600));
        using var next = disk.OpenFile("/next", FileOpening.New);
        next.Write(0, Filled(2, 700));
        next.Flush();
        disk.MoveFile("/next", "/file");
        var outcomes = Outcomes(disk).Select(survivor => string.Join(' ', survivor.ListFiles("/")) + Content(survivor)[0]).ToHashSet();

        Assert.Equal(["file next1", "file1", "file2"], outcomes.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void A_replacement_that_was_not_flushed_before_the_move_may_be_empty()
    {
        // The mistake that this simulation is for: the name is durable, the bytes are not.
        var disk = DiskWithFile(Filled(1, 600));
        using var next = disk.OpenFile("/next", FileOpening.New);
        next.Write(0, Filled(2, 600));
        disk.MoveFile("/next", "/file");
        disk.FlushDirectory("/");

        Assert.Contains(Outcomes(disk), survivor => Open(survivor).Length == 0);
    }

    [Fact]
    public void An_unflushed_deletion_may_be_undone()
    {
        var disk = DiskWithFile(Filled(1, 600));
        disk.DeleteFile("/file");
        Assert.Equal([false, true], Outcomes(disk).Select(survivor => survivor.FileExists("/file")).Distinct().Order());
        Assert.All(Outcomes(disk).Where(survivor => survivor.FileExists("/file")), survivor => Assert.Equal(Filled(1, 600), Content(survivor)));

        disk.FlushDirectory("/");
        Assert.All(Outcomes(disk), survivor => Assert.False(survivor.FileExists("/file")));
    }

    [Fact]
    public void Changes_of_different_names_survive_independently_and_of_one_name_in_order()
    {
        var disk = DiskWithFile(Filled(1, 600));
        disk.MoveFile("/file", "/old");
        using var file = disk.OpenFile("/file", FileOpening.New);
        disk.OpenFile("/apart", FileOpening.New).Dispose();
        var outcomes = Outcomes(disk).Select(survivor => string.Join(' ', survivor.ListFiles("/"))).ToHashSet();

        // Never the new file in place of the old one while the old one is under no name.
        Assert.Equal(["apart file", "apart file old", "apart old", "file", "file old", "old"], outcomes.Order(StringComparer.Ordinal));
        Assert.All(Outcomes(disk), survivor => Assert.Equal(survivor.FileExists("/old") ? 0 : 600, survivor.FileExists("/file") ? Open(survivor).Length : 0));
    }

    [Fact]
    public void Flushing_one_folder_leaves_others_unflushed_but_takes_along_what_it_builds_on()
    {
        var disk = new SimulatedFileSystem();
        disk.CreateDirectory("/a");
        disk.CreateDirectory("/b");
        disk.FlushDirectory("/");
        disk.OpenFile("/a/moved", FileOpening.New).Dispose();
        disk.OpenFile("/a/stays", FileOpening.New).Dispose();
        disk.MoveFile("/a/moved", "/b/moved");
        disk.FlushDirectory("/b");

        Assert.All(Outcomes(disk), survivor => Assert.Equal(["moved"], survivor.ListFiles("/b")));
        Assert.Equal([0, 1], Outcomes(disk).Select(survivor => survivor.ListFiles("/a").Count).Distinct().Order());
    }

    [Fact]
    public void One_moment_has_many_outcomes_that_do_not_touch_each_other()
    {
        var disk = DiskWithFile(Filled(1, 10_000));
        var first = disk.Crash(new Random(1));
        var second = disk.Crash(new Random(2));
        Open(first).Write(0, Filled(2, 9_000));
        Open(disk).Write(0, Filled(3, 5_000));
        first.DeleteFile("/file");

        Assert.Equal(Filled(1, 10_000), Content(second));
        Assert.Equal(Filled(3, 5_000), Content(disk)[..5_000]);
        Assert.Equal(Filled(1, 10_000), Content(disk.Crash(new Random(4)))[5_000..].Concat(Filled(1, 5_000)));
    }

    [Fact]
    public void The_same_seed_gives_the_same_outcome()
    {
        var disk = DiskWithFile(Filled(1, 50_000));
        var random = new Random(5);
        for (var i = 0; i < 30; i++)
        {
            Open(disk).Write(random.Next(60_000), Filled((byte)i, random.Next(5_000)));
            disk.OpenFile($"/{i}", FileOpening.New).Dispose();
        }

        for (var seed = 0; seed < 20; seed++)
        {
            var (one, other) = (disk.Crash(new Random(seed)), disk.Crash(new Random(seed)));
            Assert.Equal(one.ListFiles("/"), other.ListFiles("/"));
            Assert.Equal(Content(one), Content(other));
        }
    }

    [Fact]
    public void Every_sector_after_any_history_is_one_that_was_written_since_the_last_flush()
    {
        for (var seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            var disk = DiskWithFile(Filled(1, 40 * Sector));
            var file = Open(disk);
            var allowed = Enumerable.Range(0, 80).Select(sector => new HashSet<byte> { (byte)(sector < 40 ? 1 : 0) }).ToArray();
            var now = allowed.Select(values => values.First()).ToArray();
            var lengths = new HashSet<long> { 40 * Sector };
            for (byte step = 2; step < 60; step++)
            {
                var from = random.Next(72);
                var count = random.Next(1, 9);
                switch (random.Next(8))
                {
                    case 0:
                        file.Flush();
                        lengths = [file.Length];
                        allowed = [.. now.Select(value => new HashSet<byte> { value })];
                        break;
                    case 1:
                        from &= ~7;
                        file.WriteZeros(from * Sector, 4096);
                        Note(from, 8, 0);
                        break;
                    case 2:
                        var cut = random.Next(20, 80);
                        file.SetLength(cut * Sector);
                        Note(cut, 80 - cut, 0);
                        break;
                    default:
                        file.Write(from * Sector, Filled(step, count * Sector));
                        Note(from, count, step);
                        break;
                }
            }

            var survivor = disk.Crash(random);
            Assert.Contains(Open(survivor).Length, lengths);
            var sectors = Sectors(Content(survivor)).Select(value => (byte)(value - '0')).ToArray();
            Assert.All(Enumerable.Range(0, sectors.Length), sector => Assert.Contains(sectors[sector], allowed[sector].Append((byte)0)));

            void Note(int from, int count, byte value)
            {
                lengths.Add(file.Length);
                for (var sector = from; sector < from + count; sector++)
                {
                    allowed[sector].Add(value);
                    now[sector] = value;
                }
            }
        }
    }

    [Fact]
    public void The_power_can_go_out_at_every_step()
    {
        var whole = new SimulatedFileSystem();
        Work(whole);
        Assert.Equal(7, whole.Operations);
        for (var step = 1; step <= whole.Operations; step++)
        {
            var disk = new SimulatedFileSystem { CrashAtOperation = step };
            Assert.Equal(step, Assert.Throws<SimulatedCrashException>(() => Work(disk)).Operation.Number);
            Assert.Throws<SimulatedCrashException>(() => disk.FileExists("/log"));
            Assert.Throws<SimulatedCrashException>(() => disk.FlushDirectory("/"));
            var survivor = disk.Crash(new Random(step));
            Assert.True(step <= 4 || Open(survivor, "/log").Length == 4096);
            Assert.True(step <= 6 || Content(survivor, "/log")[511] == 1);
        }

        static void Work(SimulatedFileSystem disk)
        {
            using var file = disk.OpenFile("/log", FileOpening.New);
            file.WriteZeros(0, 4096);
            file.Flush();
            disk.FlushDirectory("/");
            file.Write(0, Filled(1, 512));
            file.Flush();
            file.Write(512, Filled(1, 512));
        }
    }

    private static SimulatedFileSystem DiskWithFile(byte[] content)
    {
        var disk = new SimulatedFileSystem();
        using var file = disk.OpenFile("/file", FileOpening.New);
        file.Write(0, content);
        file.Flush();
        disk.FlushDirectory("/");
        return disk;
    }

    private static IEnumerable<SimulatedFileSystem> Outcomes(SimulatedFileSystem disk) =>
        Enumerable.Range(0, Tries).Select(seed => disk.Crash(new Random(seed)));

    private static IFile Open(SimulatedFileSystem disk, string path = "/file") => disk.OpenFile(path, FileOpening.Existing);

    private static byte[] Filled(byte value, int count) => [.. Enumerable.Repeat(value, count)];

    private static byte[] Content(SimulatedFileSystem disk, string path = "/file")
    {
        var file = Open(disk, path);
        var content = new byte[file.Length];
        Assert.Equal(content.Length, file.Read(0, content));
        var fromDisk = new byte[content.Length];
        Assert.Equal(content.Length, file.ReadFromDisk(0, fromDisk));
        Assert.Equal(content, fromDisk);
        return content;
    }

    // One character for each sector, which must hold one value only.
    private static string Sectors(byte[] content) => string.Concat(content.Chunk(Sector).Select(sector =>
    {
        Assert.Single(sector.Distinct());
        return (char)('0' + sector[0]);
    }));
}
