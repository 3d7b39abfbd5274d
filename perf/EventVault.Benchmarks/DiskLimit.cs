using EventVault.Storage.Io;

namespace EventVault.Benchmarks;

/// <summary>What the disk itself allows: the loop that every durable append is held against.</summary>
internal static class DiskLimit
{
    /// <summary>Writes a 4 KiB block and flushes it, over and over, in a file whose space was written before.</summary>
    public static Measured BlockAndFlush(string directory, TimeSpan warmUp, TimeSpan length)
    {
        const int Block = 4096;
        const int Size = 64 * 1024 * 1024;
        var files = new NativeFileSystem();
        var path = Path.Combine(directory, "disk-limit.tmp");
        files.DeleteFile(path);
        try
        {
            using var file = files.OpenFile(path, FileOpening.New);
            file.WriteZeros(0, Size);
            file.Flush();
            var bytes = new byte[Block];
            Random.Shared.NextBytes(bytes);
            var offset = 0L;
            return Measure.Loop(warmUp, length, () =>
            {
                file.Write(offset, bytes);
                file.Flush();
                offset = (offset + Block) % Size;
            });
        }
        finally
        {
            files.DeleteFile(path);
        }
    }
}
