using System.Diagnostics;
using System.Runtime.Versioning;
using EventVault.Storage.Io;

namespace EventVault.Storage.Tests.Io;

/// <summary>What only the operating system's files have.</summary>
[SupportedOSPlatform("linux")]
public sealed class NativeFileSystemTests : IDisposable
{
    private readonly NativeFileSystem _files = new();
    private readonly string _folder = Directory.CreateDirectory(Path.Combine(AppContext.BaseDirectory, "eventvault-" + Guid.NewGuid().ToString("N"))).FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_lock_excludes_another_process_and_names_its_holder()
    {
        using var held = _files.LockFile(At("lock"));
        var told = await DiskChild.RunAsync("lock", At("lock"));

        Assert.Equal([$"lock: The data directory is in use: '{At("lock")}' is locked by process {Environment.ProcessId}. Stop that process first. A node can also be started with another --data."], told);
    }

    [Fact]
    public async Task A_lock_ends_with_its_process()
    {
        using var child = DiskChild.Start("lock", At("lock"));
        Assert.Equal("lock: done", await child.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(60)));
        Assert.Contains($"by process {child.Id}", Assert.Throws<DirectoryInUseException>(() => _files.LockFile(At("lock"))).Message, StringComparison.Ordinal);

        child.Kill();
        await child.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(60));
        _files.LockFile(At("lock")).Dispose();
    }

    [Fact]
    public void A_lock_file_without_a_number_in_it_still_refuses()
    {
        using var held = _files.LockFile(At("lock"));
        using var file = _files.OpenFile(At("lock"), FileOpening.Existing);
        file.Write(0, "not a number"u8);

        Assert.Contains("is locked. Stop", Assert.Throws<DirectoryInUseException>(() => _files.LockFile(At("lock"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_mapping_is_read_only_to_the_kernel_and_goes_when_it_is_disposed()
    {
        using var file = _files.OpenFile(At("file"), FileOpening.New);
        file.Write(0, new byte[10_000]);
        using (file.Map(10_000, MappedAccess.Random))
        {
            Assert.Equal("r--s", Assert.Single(Mappings(At("file"))).Split(' ')[1]);
        }

        Assert.Empty(Mappings(At("file")));
    }

    [Fact]
    public async Task A_stray_write_into_a_mapping_ends_the_process_and_leaves_the_file_alone()
    {
        File.WriteAllBytes(At("file"), new byte[10_000]);
        using var child = DiskChild.Start("write-into-mapping", At("file"));
        child.StandardInput.Close();
        var errors = child.StandardError.ReadToEndAsync();
        var told = await child.StandardOutput.ReadToEndAsync();
        await child.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(60));

        Assert.Equal("mapped\n", told);
        Assert.NotEqual(0, child.ExitCode);
        Assert.Contains("AccessViolation", await errors, StringComparison.Ordinal);
        Assert.Equal(new byte[10_000], File.ReadAllBytes(At("file")));
    }

    [Fact]
    public void A_device_without_space_says_full()
    {
        using var file = _files.OpenFile("/dev/full", FileOpening.Existing);
        var failure = Assert.Throws<DiskException>(() => file.Write(0, [1]));

        Assert.True(failure.IsFull);
        Assert.Equal("pwrite on '/dev/full' failed: No space left on device (errno 28).", failure.Message);
    }

    [NeedsMount]
    public async Task A_full_file_system_refuses_zeros_and_writes_as_full()
    {
        string[] prefix = [.. NeedsMountAttribute.Unshare, "sh", "-c", "mount -t tmpfs -o size=2m none \"$0\" && \"$@\"", _folder];

        Assert.Equal(["zeros: pwrite 28 full"], await DiskChild.RunAsync("zeros", At("file"), prefix));
        prefix[^2] = "mount -t tmpfs -o size=8k none \"$0\" && \"$@\"";
        Assert.Equal(["write: pwrite 28 full", "length: done"], await DiskChild.RunAsync("write", At("file"), prefix));
    }

    /// <summary>
    /// A real failure instead of an injected one: a file system of 64 MiB on a device that can hold 12. The cache goes
    /// on showing what never reached the disk; only reads past it tell the truth.
    /// </summary>
    [NeedsLoopDevice]
    public async Task Writes_that_the_disk_lost_fail_the_flush_and_show_in_reads_from_the_disk_only()
    {
        const string Mount = "mount -t tmpfs -o size=12m none \"$0\" && truncate -s 64M \"$0/disk\" && mkfs.ext4 -q \"$0/disk\" "
            + "&& mkdir \"$0/mounted\" && mount -o loop \"$0/disk\" \"$0/mounted\" && \"$@\"";
        var told = await DiskChild.RunAsync("lose-writes", At("mounted/file"), [.. NeedsMountAttribute.Unshare, "sh", "-c", Mount, _folder]);

        Assert.Contains(told[0], new[] { "first: fdatasync 28 full", "first: fdatasync 5" });
        Assert.Equal(["second: fdatasync 5", "disk: some lost", "cache: shows some that the disk lost"], told[1..]);
    }

    [Fact]
    public void Zeros_occupy_all_their_blocks()
    {
        using var file = _files.OpenFile(At("file"), FileOpening.New);
        file.WriteZeros(0, 4 << 20);
        file.Flush();

        Assert.Equal(4 << 20, AllocatedBytes(At("file")));
    }

    [Fact]
    public void Reads_from_the_disk_go_past_the_cache_where_the_file_system_can()
    {
        using var file = _files.OpenFile(At("file"), FileOpening.New);
        file.Write(0, FileSystemConformance.Bytes(1, 3 << 20));
        Assert.Equal([false], Directness());
        var read = new byte[(2 << 20) + 123];
        Assert.Equal(read.Length, file.ReadFromDisk(777, read));
        Assert.Equal(FileSystemConformance.Bytes(1, 3 << 20)[777..(777 + read.Length)], read);

        Assert.Equal([false, true], Directness());

        // Of each descriptor this process has of the file: whether it goes past the cache.
        IEnumerable<bool> Directness() => Directory.GetFiles("/proc/self/fd").Where(fd => new FileInfo(fd).LinkTarget == At("file")).Select(fd =>
        {
            var flags = File.ReadAllLines("/proc/self/fdinfo/" + Path.GetFileName(fd)).First(line => line.StartsWith("flags:", StringComparison.Ordinal));
            return (Convert.ToInt32(flags["flags:".Length..].Trim(), fromBase: 8) & NativeMethods.Direct) != 0;
        }).Order();
    }

    [Fact]
    public void Paths_that_cannot_be_looked_at_are_errors_not_absent()
    {
        var failure = Assert.Throws<DiskException>(() => _files.FileExists(At(new string('x', 300))));
        Assert.Equal(36, failure.ErrorNumber); // ENAMETOOLONG
    }

    [Fact]
    public void Free_bytes_are_those_that_anybody_may_use()
    {
        var expected = new DriveInfo(_folder).AvailableFreeSpace;

        // Other processes write meanwhile; a field read from the wrong place would be off by far more.
        Assert.InRange(_files.FreeBytes(_folder), expected - (expected / 10), expected + (expected / 10));
    }

    [Fact]
    public void Files_and_folders_are_closed_to_others()
    {
        _files.CreateDirectory(At("a/b"));
        _files.OpenFile(At("a/b/f"), FileOpening.New).Dispose();

        Assert.Equal(0, (int)(File.GetUnixFileMode(At("a/b/f")) & (UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute)));
        Assert.Equal(0, (int)(File.GetUnixFileMode(At("a/b")) & (UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute)));
    }

    [Fact]
    public void No_descriptor_stays_open()
    {
        for (var i = 0; i < 3; i++)
        {
            using var file = _files.OpenFile(At("file"), FileOpening.ExistingOrNew);
            file.WriteZeros(0, 4096);
            file.ReadFromDisk(0, new byte[10]);
            using var map = file.Map(10, MappedAccess.Normal);
        }

        Assert.Throws<DiskException>(() => _files.OpenFile(At("file"), FileOpening.New));
        Assert.True(_files.FileExists(At("file")));
        _files.FlushDirectory(_folder);
        Assert.DoesNotContain(Directory.GetFiles("/proc/self/fd"), fd => new FileInfo(fd).LinkTarget?.StartsWith(_folder, StringComparison.Ordinal) == true);
    }

    private string At(string name) => Path.Combine(_folder, name);

    private static IEnumerable<string> Mappings(string path) => File.ReadAllLines("/proc/self/maps").Where(line => line.EndsWith(path, StringComparison.Ordinal));

    private static long AllocatedBytes(string path)
    {
        using var stat = Process.Start(new ProcessStartInfo("stat", ["-c", "%b", path]) { RedirectStandardOutput = true })!;
        return 512 * long.Parse(stat.StandardOutput.ReadToEnd(), System.Globalization.CultureInfo.InvariantCulture);
    }
}
