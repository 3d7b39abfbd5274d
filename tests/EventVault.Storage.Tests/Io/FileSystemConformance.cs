using System.Text;
using EventVault.Storage.Io;

namespace EventVault.Storage.Tests.Io;

/// <summary>What every <see cref="IFileSystem"/> does alike. The classes at the end run it on each of them.</summary>
public abstract class FileSystemConformance : IDisposable
{
    private readonly string _root;

    protected FileSystemConformance(IFileSystem files, string parent)
    {
        Files = files;
        _root = Path.Combine(parent, "eventvault-" + Guid.NewGuid().ToString("N"));
        Files.CreateDirectory(_root);
    }

    protected IFileSystem Files { get; }

    public void Dispose()
    {
        if (Directory.Exists(_root))
        {
            Directory.Delete(_root, recursive: true);
        }

        GC.SuppressFinalize(this);
    }

    protected string At(string name) => Path.Combine(_root, name);

    protected IFile NewFile(string name = "file") => Files.OpenFile(At(name), FileOpening.New);

    [Fact]
    public void Written_bytes_are_read_back_by_every_way_of_reading()
    {
        var expected = Bytes(seed: 1, 300_001);
        using var file = NewFile();
        file.Write(0, expected);
        file.Flush();
        using var map = file.Map(expected.Length, MappedAccess.Normal);

        Assert.Equal(expected.Length, file.Length);
        Assert.Equal(expected, Read(file, 0, expected.Length));
        Assert.Equal(expected, ReadFromDisk(file, 0, expected.Length));
        Assert.Equal(expected, map.Span(0, expected.Length).ToArray());
    }

    [Fact]
    public void Random_writes_zeros_and_lengths_leave_what_a_plain_array_would_hold()
    {
        var random = new Random(2);
        var expected = Array.Empty<byte>();
        using var file = NewFile();
        for (var step = 0; step < 400; step++)
        {
            var offset = random.Next(70_000);
            switch (random.Next(6))
            {
                case 0:
                    offset &= ~4095;
                    var length = random.Next(1, 9) * 4096;
                    file.WriteZeros(offset, length);
                    Grow(offset + length);
                    expected.AsSpan(offset, length).Clear();
                    break;
                case 1:
                    file.SetLength(offset);
                    Array.Resize(ref expected, offset);
                    break;
                case 2:
                    file.Flush();
                    break;
                default:
                    var bytes = Bytes(step, random.Next(1, 10_000));
                    file.Write(offset, bytes);
                    Grow(offset + bytes.Length);
                    bytes.CopyTo(expected, offset);
                    break;
            }

            Assert.Equal(expected.Length, file.Length);
            var from = random.Next(70_000);
            var count = random.Next(40_000);
            var part = expected.AsSpan(Math.Min(from, expected.Length));
            part = part[..Math.Min(count, part.Length)];
            Assert.Equal(part.ToArray(), Read(file, from, count));
            Assert.Equal(part.ToArray(), ReadFromDisk(file, from, count));
        }

        Assert.Equal(expected, Read(file, 0, 200_000));

        void Grow(int length) => Array.Resize(ref expected, Math.Max(length, expected.Length));
    }

    [Fact]
    public void A_read_is_short_only_at_the_end_and_empty_behind_it()
    {
        using var file = NewFile();
        file.Write(0, Bytes(3, 5000));

        foreach (var (offset, count, expected) in new[] { (0L, 5000, 5000), (1, 5000, 4999), (4999, 10, 1), (5000, 10, 0), (9_000, 10, 0), (4096, 4096, 904), (0, 0, 0) })
        {
            Assert.Equal(expected, file.Read(offset, new byte[count]));
            Assert.Equal(expected, file.ReadFromDisk(offset, new byte[count]));
        }
    }

    [Fact]
    public void A_gap_between_the_end_and_a_write_reads_as_zeros()
    {
        using var file = NewFile();
        file.Write(0, [1, 2, 3]);
        file.Write(10_000, [4]);

        Assert.Equal(10_001, file.Length);
        Assert.Equal(9_997, Read(file, 3, 9_997).Count(value => value == 0));
    }

    [Fact]
    public void An_empty_write_behind_the_end_changes_nothing()
    {
        using var file = NewFile();
        file.Write(100, []);

        Assert.Equal(0, file.Length);
    }

    [Fact]
    public void Cutting_and_extending_leaves_zeros_where_bytes_were()
    {
        using var file = NewFile();
        file.Write(0, Bytes(4, 9_000));
        file.SetLength(100);
        file.SetLength(9_000);

        Assert.Equal(Bytes(4, 9_000)[..100], Read(file, 0, 100));
        Assert.All(Read(file, 100, 8_900), value => Assert.Equal(0, value));
    }

    [Fact]
    public void Zeros_extend_a_file_and_replace_what_was_there()
    {
        using var file = NewFile();
        file.Write(0, Bytes(5, 12_288));
        file.WriteZeros(4096, 3 << 20);

        Assert.Equal(4096 + (3 << 20), file.Length);
        Assert.Equal(Bytes(5, 12_288)[..4096], Read(file, 0, 4096));
        Assert.All(ReadFromDisk(file, 4096, 3 << 20), value => Assert.Equal(0, value));
        Assert.Throws<ArgumentException>(() => file.WriteZeros(100, 4096));
        Assert.Throws<ArgumentException>(() => file.WriteZeros(0, 100));
    }

    [Fact]
    public void A_mapping_shows_later_writes_and_outlives_its_file()
    {
        var file = NewFile();
        file.WriteZeros(0, 64 << 10);
        using var map = file.Map(64 << 10, MappedAccess.Random);
        using var tail = file.Map(10_000, MappedAccess.Sequential);
        Assert.Equal(0, map.Span(9_999, 1)[0]);

        file.Write(9_999, [7, 8]);
        map.Prefetch(5_000, 1 << 20);
        Assert.Equal([7, 8], map.Span(9_999, 2).ToArray());
        Assert.Equal(7, tail.Span(9_999, 1)[0]);

        file.Dispose();
        Files.MoveFile(At("file"), At("other"));
        using (var again = Files.OpenFile(At("other"), FileOpening.Existing))
        {
            again.Write(0, [9]);
            again.WriteZeros(8192, 4096);
        }

        Files.DeleteFile(At("other"));
        Assert.Equal(9, map.Span(0, 1)[0]);
        Assert.Equal(0, map.Span(9_999, 1)[0]);
    }

    [Fact]
    public void A_mapping_may_not_reach_behind_the_end()
    {
        using var file = NewFile();
        file.Write(0, new byte[10]);

        Assert.Throws<ArgumentOutOfRangeException>(() => file.Map(11, MappedAccess.Normal));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Map(0, MappedAccess.Normal));
        using var map = file.Map(10, MappedAccess.Normal);
        Assert.Throws<InvariantException>(() => map.Span(0, 11).Length);
        Assert.Throws<InvariantException>(() => map.Span(-1, 1).Length);
    }

    [Fact]
    public void Opening_honours_whether_the_file_exists()
    {
        Assert.Equal(2, Assert.Throws<DiskException>(() => Files.OpenFile(At("a"), FileOpening.Existing)).ErrorNumber);
        Assert.Equal(2, Assert.Throws<DiskException>(() => Files.OpenFile(At("a"), FileOpening.ReadExisting)).ErrorNumber);
        Assert.Equal(2, Assert.Throws<DiskException>(() => Files.OpenFile(At("missing/a"), FileOpening.New)).ErrorNumber);
        Assert.False(Files.FileExists(At("a")));

        Files.OpenFile(At("a"), FileOpening.ExistingOrNew).Dispose();
        Assert.True(Files.FileExists(At("a")));
        Files.OpenFile(At("a"), FileOpening.ExistingOrNew).Dispose();
        var failure = Assert.Throws<DiskException>(() => Files.OpenFile(At("a"), FileOpening.New));

        Assert.Equal(17, failure.ErrorNumber);
        Assert.Equal(At("a"), failure.Path);
        Assert.Equal("open", failure.Operation);
        Assert.False(failure.IsFull);
        Assert.Contains("File exists", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_opened_for_reading_cannot_be_changed()
    {
        NewFile().Dispose();
        using var file = Files.OpenFile(At("file"), FileOpening.ReadExisting);

        Assert.Throws<DiskException>(() => file.Write(0, [1]));
        Assert.Throws<DiskException>(() => file.WriteZeros(0, 4096));
        Assert.Throws<DiskException>(() => file.SetLength(1));
        Assert.Equal(0, file.Length);
    }

    [Fact]
    public void A_closed_file_refuses_everything_and_may_be_closed_again()
    {
        var file = NewFile();
        file.Write(0, [1]);
        file.ReadFromDisk(0, new byte[1]);
        file.Dispose();
        file.Dispose();

        Assert.Throws<ObjectDisposedException>(() => file.Read(0, new byte[1]));
        Assert.Throws<ObjectDisposedException>(() => file.ReadFromDisk(0, new byte[1]));
        Assert.Throws<ObjectDisposedException>(() => file.Write(0, [1]));
        Assert.Throws<ObjectDisposedException>(() => file.WriteZeros(0, 4096));
        Assert.Throws<ObjectDisposedException>(() => file.SetLength(1));
        Assert.Throws<ObjectDisposedException>(file.Flush);
        Assert.Throws<ObjectDisposedException>(() => file.Length);
        Assert.Throws<ObjectDisposedException>(() => file.Map(1, MappedAccess.Normal));
    }

    [Fact]
    public void Two_openings_of_a_path_are_one_file()
    {
        using var writer = NewFile();
        using var reader = Files.OpenFile(At("file"), FileOpening.ReadExisting);
        writer.Write(0, Encoding.UTF8.GetBytes("seen"));

        Assert.Equal(4, reader.Length);
        Assert.Equal("seen", Encoding.UTF8.GetString(ReadFromDisk(reader, 0, 10)));
    }

    [Fact]
    public void Moving_replaces_the_target_and_keeps_open_files_open()
    {
        using var moved = NewFile("a");
        using var replaced = NewFile("b");
        moved.Write(0, [1]);
        replaced.Write(0, [2, 2]);
        Files.MoveFile(At("a"), At("b"));
        moved.Write(1, [3]);

        Assert.False(Files.FileExists(At("a")));
        Assert.Equal([2, 2], Read(replaced, 0, 10));
        using var found = Files.OpenFile(At("b"), FileOpening.ReadExisting);
        Assert.Equal([1, 3], Read(found, 0, 10));
        Assert.Equal([1, 3], ReadFromDisk(moved, 0, 10));
        Assert.Equal(2, Assert.Throws<DiskException>(() => Files.MoveFile(At("a"), At("c"))).ErrorNumber);
    }

    [Fact]
    public void A_deleted_file_is_gone_by_name_and_stays_for_whoever_has_it_open()
    {
        using var file = NewFile();
        file.Write(0, [5]);
        Files.DeleteFile(At("file"));
        Files.DeleteFile(At("file"));

        Assert.False(Files.FileExists(At("file")));
        Assert.Equal([5], Read(file, 0, 10));
        Assert.Equal([5], ReadFromDisk(file, 0, 10));
    }

    [Fact]
    public void Folders_are_made_with_their_parents_and_are_no_files()
    {
        Files.CreateDirectory(At("x/y/z"));
        Files.CreateDirectory(At("x/y/z"));
        NewFile("f").Dispose();

        Assert.True(Files.DirectoryExists(At("x/y")));
        Assert.False(Files.FileExists(At("x/y")));
        Assert.False(Files.DirectoryExists(At("x/other")));
        Assert.False(Files.DirectoryExists(At("f")));
        Assert.False(Files.FileExists(At("f/below")));
        Assert.Throws<DiskException>(() => Files.CreateDirectory(At("f")));
        Assert.Throws<DiskException>(() => Files.CreateDirectory(At("f/below")));
        Assert.Throws<DiskException>(() => Files.DeleteFile(At("x")));
    }

    [Fact]
    public void Files_are_listed_by_ordinal_name_without_folders()
    {
        foreach (var name in new[] { "b", "B", "a.tmp", ".hidden", "00000000000000000010", "a" })
        {
            NewFile(name).Dispose();
        }

        Files.CreateDirectory(At("folder"));

        Assert.Equal([".hidden", "00000000000000000010", "B", "a", "a.tmp", "b"], Files.ListFiles(_root));
        Assert.Empty(Files.ListFiles(At("folder")));
        Assert.Equal(2, Assert.Throws<DiskException>(() => Files.ListFiles(At("missing"))).ErrorNumber);
        Assert.Equal(20, Assert.Throws<DiskException>(() => Files.ListFiles(At("a"))).ErrorNumber);
    }

    [Fact]
    public void A_missing_folder_cannot_be_flushed()
    {
        Files.FlushDirectory(_root);

        Assert.Throws<DiskException>(() => Files.FlushDirectory(At("missing")));
        Assert.Throws<DiskException>(() => Files.FreeBytes(At("missing")));
        Assert.True(Files.FreeBytes(_root) > 0);
    }

    [Fact]
    public void A_lock_excludes_a_second_holder_until_it_is_released()
    {
        var held = Files.LockFile(At("lock"));
        var refusal = Assert.Throws<DirectoryInUseException>(() => Files.LockFile(At("lock")));
        Assert.Equal(At("lock"), refusal.Path);
        Assert.Contains($"by process {Environment.ProcessId}", refusal.Message, StringComparison.Ordinal);

        held.Dispose();
        held.Dispose();
        Files.LockFile(At("lock")).Dispose();
    }

    [Fact]
    public async Task Reads_run_beside_writes()
    {
        using var file = NewFile();
        file.WriteZeros(0, 256 << 10);
        using var stop = new CancellationTokenSource();
        var readers = Enumerable.Range(0, 3).Select(reader => Task.Run(() =>
        {
            var buffer = new byte[4096];
            while (!stop.IsCancellationRequested)
            {
                for (var offset = 0; offset < 256 << 10; offset += buffer.Length)
                {
                    Assert.Equal(buffer.Length, reader == 0 ? file.ReadFromDisk(offset, buffer) : file.Read(offset, buffer));
                    Assert.True(buffer[0] is 0 or 9);
                }
            }
        })).ToArray();
        for (var offset = 0; offset < 256 << 10; offset += 4096)
        {
            file.Write(offset, Enumerable.Repeat((byte)9, 4096).ToArray());
            file.Flush();
        }

        await stop.CancelAsync();
        await Task.WhenAll(readers);
        Assert.All(ReadFromDisk(file, 0, 256 << 10), value => Assert.Equal(9, value));
    }

    internal static byte[] Bytes(int seed, int count)
    {
        var bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    protected static byte[] Read(IFile file, long offset, int count)
    {
        var bytes = new byte[count];
        return bytes[..file.Read(offset, bytes)];
    }

    protected static byte[] ReadFromDisk(IFile file, long offset, int count)
    {
        var bytes = new byte[count];
        return bytes[..file.ReadFromDisk(offset, bytes)];
    }
}
