namespace EventVault.Storage.Tests.Io;

/// <summary>
/// What the native file layer does when a system call fails, with the real calls failing under strace. Above all: no
/// error of a flush is ever lost.
/// </summary>
public sealed class InjectedErrorTests : IDisposable
{
    private readonly string _folder = Directory.CreateDirectory(Path.Combine(AppContext.BaseDirectory, "eventvault-" + Guid.NewGuid().ToString("N"))).FullName;

    private string File => Path.Combine(_folder, "file");

    private string Trace => Path.Combine(_folder, "trace");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [NeedsStrace]
    public async Task A_failed_fdatasync_is_reported_and_never_followed_by_a_success()
    {
        // The second call would succeed: the kernel calls lost pages clean.
        Assert.Equal(["first: fdatasync 5", "second: fdatasync 5"], await RunAsync("flush", "fdatasync:error=EIO:when=1"));
        Assert.Equal(["first: fdatasync 28 full", "second: fdatasync 5"], await RunAsync("flush", "fdatasync:error=ENOSPC:when=1"));
        Assert.Equal(["first: done", "second: fdatasync 5"], await RunAsync("flush", "fdatasync:error=EIO:when=2"));
    }

    [NeedsStrace]
    public async Task An_interrupted_flush_counts_as_failed() =>
        Assert.Equal(["first: fdatasync 4", "second: fdatasync 5"], await RunAsync("flush", "fdatasync:error=EINTR:when=1"));

    [NeedsStrace]
    public async Task A_failed_flush_of_a_folder_is_reported()
    {
        var told = await DiskChild.RunAsync("flush-directory", _folder, Strace("fsync:error=EIO", _folder));
        Assert.Equal(["directory: fsync 5"], told);
    }

    /// <summary>
    /// Why the file layer has system calls of its own (decision 0003). If this fails, .NET has been mended, and the
    /// decision may be looked at again.
    /// </summary>
    [NeedsStrace]
    public async Task The_flushes_of_the_base_class_library_hide_the_error()
    {
        Assert.Equal(["Flush(true): done", "FlushToDisk: done"], await RunAsync("managed-flush", "fsync:error=EIO"));
        Assert.Equal(2, Injected().Count(line => line.Contains("fsync(", StringComparison.Ordinal)));
    }

    [NeedsStrace]
    public async Task A_short_write_is_continued_where_it_stopped()
    {
        // strace only claims that the first 100 bytes were written: they stay zeros, and the rest must lie behind.
        Assert.Equal(["write: done", "length: done"], await RunAsync("write", "pwrite64:retval=100:when=1"));
        var expected = FileSystemConformance.Bytes(seed: 1, 10_000)[..9_000];
        expected.AsSpan(0, 100).Clear();
        Assert.Equal(expected, await System.IO.File.ReadAllBytesAsync(File));
    }

    [NeedsStrace]
    public async Task Interrupted_calls_are_repeated()
    {
        Assert.Equal(["write: done", "length: done"], await RunAsync("write", "pwrite64,ftruncate:error=EINTR:when=1"));
        Assert.Equal(FileSystemConformance.Bytes(seed: 1, 10_000)[..9_000], await System.IO.File.ReadAllBytesAsync(File));
        Assert.NotEmpty(Injected());

        Assert.Equal(["zeros: done"], await RunAsync("zeros", "pwrite64:error=EINTR:when=1"));
        Assert.Equal(new byte[3 << 20], await System.IO.File.ReadAllBytesAsync(File));

        await System.IO.File.WriteAllBytesAsync(File, FileSystemConformance.Bytes(seed: 1, 10_000));
        Assert.Equal(["True", "read: done", "True", "disk: done"], await RunAsync("read", "pread64:error=EINTR:when=1"));
        Assert.Equal(["lock: done"], await RunAsync("lock", "flock:error=EINTR:when=1"));
    }

    [NeedsStrace]
    public async Task A_failed_write_is_reported_and_a_full_disk_told_apart()
    {
        Assert.Equal(["write: pwrite 5", "length: done"], await RunAsync("write", "pwrite64:error=EIO"));
        Assert.Equal(["write: pwrite 28 full", "length: done"], await RunAsync("write", "pwrite64:error=ENOSPC"));
        Assert.Equal(["write: pwrite 122 full", "length: done"], await RunAsync("write", "pwrite64:error=EDQUOT"));
        Assert.Equal(["write: pwrite 5", "length: done"], await RunAsync("write", "pwrite64:retval=0"));
        Assert.Equal(["write: done", "length: ftruncate 28 full"], await RunAsync("write", "ftruncate:error=ENOSPC"));
        Assert.Equal(["zeros: pwrite 28 full"], await RunAsync("zeros", "pwrite64:error=ENOSPC:when=2"));
        Assert.Equal(["zeros: pwrite 5"], await RunAsync("zeros", "pwrite64:error=EIO:when=2"));
    }

    [NeedsStrace]
    public async Task Zeros_are_written_through_the_cache_where_going_past_it_is_refused()
    {
        await System.IO.File.WriteAllBytesAsync(File, FileSystemConformance.Bytes(seed: 2, 2 << 20));
        Assert.Equal(["zeros: done"], await RunAsync("zeros", "pwrite64:error=EINVAL:when=2"));
        Assert.Equal(new byte[3 << 20], await System.IO.File.ReadAllBytesAsync(File));
    }

    [NeedsStrace]
    public async Task Zeros_through_the_cache_are_flushed_and_the_flush_is_checked() =>
        Assert.Equal(["zeros: fdatasync 5"], await DiskChild.RunAsync("zeros", File,
            [.. Strace("pwrite64:error=EINVAL:when=1", File)[..^2], "-e", "trace=pwrite64,fdatasync", "-e", "inject=fdatasync:error=EIO", "-P", File]));

    [NeedsStrace]
    public async Task Reading_from_the_disk_goes_round_a_refusal_and_reports_errors()
    {
        await System.IO.File.WriteAllBytesAsync(File, FileSystemConformance.Bytes(seed: 1, 10_000));
        Assert.Equal(["True", "read: done", "True", "disk: done"], await RunAsync("read", "pread64:error=EINVAL:when=2"));
        Assert.NotEmpty(Injected());
        Assert.Equal(["True", "read: done", "disk: pread 5"], await RunAsync("read", "pread64:error=EIO:when=2+"));
        Assert.Equal(["read: pread 5", "disk: pread 5"], await RunAsync("read", "pread64:error=EIO"));
    }

    [NeedsStrace]
    public async Task A_short_read_inside_a_file_does_not_pass_for_its_end()
    {
        await System.IO.File.WriteAllBytesAsync(File, FileSystemConformance.Bytes(seed: 1, 10_000));
        var told = await RunAsync("read", "pread64:retval=0:when=2");
        Assert.Equal(["True", "read: done", "True", "disk: done"], told);
    }

    [NeedsStrace]
    public async Task A_failed_close_of_a_written_file_is_reported()
    {
        Assert.Equal(["close: close 5"], await RunAsync("close", "close:error=EIO"));
        Assert.Equal(["close: done"], await RunAsync("close-unwritten", "close:error=EIO"));
    }

    [NeedsStrace]
    public async Task A_failed_mapping_is_reported()
    {
        await System.IO.File.WriteAllBytesAsync(File, [1]);
        Assert.Equal(["map: mmap 12"], await RunAsync("map", "mmap:error=ENOMEM"));
    }

    private Task<string[]> RunAsync(string scenario, string injection) => DiskChild.RunAsync(scenario, File, Strace(injection, File));

    private string[] Strace(string injection, string path) =>
        ["strace", "-f", "-qq", "-o", Trace, "-e", "trace=" + injection.Split(':')[0], "-e", "inject=" + injection, "-P", path];

    private IEnumerable<string> Injected() => System.IO.File.ReadLines(Trace).Where(line => line.Contains("INJECTED", StringComparison.Ordinal));
}
