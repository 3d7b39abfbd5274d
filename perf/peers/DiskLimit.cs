using System.Diagnostics;
using EventVault.LoadTest.Figures;
using EventVault.Storage.Io;

namespace EventVault.Peers;

/// <summary>What the disk itself allows one writer that waits: nobody's durable appends can be faster one by one.</summary>
internal static class DiskLimit
{
    // The space that is written before; a run ends at its end.
    private const long ReserveBytes = 256L << 20;

    public static void Measure(string folder, TimeSpan length, Action<Row> emit)
    {
        Directory.CreateDirectory(folder);
        Write(folder, "write 4 KiB + fdatasync, file grows", 4096, reserve: false, length, emit);
        Write(folder, "write 4 KiB + fdatasync, space written before", 4096, reserve: true, length, emit);
        Write(folder, "write 64 KiB + fdatasync, space written before", 65536, reserve: true, length, emit);
        Directory.Delete(folder, recursive: true);
    }

    private static void Write(string folder, string name, int size, bool reserve, TimeSpan length, Action<Row> emit)
    {
        var files = new NativeFileSystem();
        var path = Path.Combine(folder, "disk-limit.tmp");
        var latencies = new LatencyHistogram();
        using (var file = files.OpenFile(path, FileOpening.New))
        {
            if (reserve)
            {
                file.WriteZeros(0, ReserveBytes);
                file.Flush();
            }

            var block = new byte[size];
            Random.Shared.NextBytes(block);
            var begun = Stopwatch.GetTimestamp();
            for (var offset = 0L; Stopwatch.GetElapsedTime(begun) < length && offset + size <= ReserveBytes; offset += size)
            {
                var before = Stopwatch.GetTimestamp();
                file.Write(offset, block);
                file.Flush();
                latencies.Add(Stopwatch.GetElapsedTime(before));
            }

            var seconds = Stopwatch.GetElapsedTime(begun).TotalSeconds;
            emit(new Row("W0 the disk", name, "disk", Valid: true, new()
            {
                ["ops/s"] = latencies.Count / seconds,
                ["p50 µs"] = latencies.Percentile(50).TotalMicroseconds,
                ["p99 µs"] = latencies.Percentile(99).TotalMicroseconds,
            }));
        }

        files.DeleteFile(path);
    }
}
