using System.Diagnostics;
using System.Runtime.CompilerServices;
using EventVault.Storage.Io;
using EventVault.Storage.Tests.Guard;

namespace EventVault.Storage.Tests.Io;

/// <summary>
/// A process of its own that does one thing to one file and tells what came of it, one line each: for faults that can
/// only be injected from outside, and for ends that would take the test runner along.
/// </summary>
public static class DiskChild
{
    private static readonly NativeFileSystem Files = new();

    public static int Main(string[] args)
    {
        ArgumentNullException.ThrowIfNull(args);
        var (scenario, path) = (args[0], args[1]);
        var expected = FileSystemConformance.Bytes(seed: 1, 10_000);
        using var file = scenario is "lock" or "flush-directory" or "write-groups" ? null : Files.OpenFile(path, FileOpening.ExistingOrNew);
        switch (scenario)
        {
            case "flush":
                file!.Write(0, expected);
                Tell("first", file.Flush);
                Tell("second", file.Flush);
                break;
            case "lose-writes":
                LoseWrites(file!);
                break;
            case "flush-directory":
                Tell("directory", () => Files.FlushDirectory(path));
                break;
            case "managed-flush":
                using (var stream = new FileStream(path, FileMode.Open, FileAccess.ReadWrite))
                {
                    stream.Write(expected);
                    Tell("Flush(true)", () => stream.Flush(flushToDisk: true));
                    Tell("FlushToDisk", () => RandomAccess.FlushToDisk(stream.SafeFileHandle));
                }

                break;
            case "write":
                Tell("write", () => file!.Write(0, expected));
                Tell("length", () => file!.SetLength(9_000));
                break;
            case "zeros":
                Tell("zeros", () => file!.WriteZeros(0, 3 << 20));
                break;
            case "read":
                var buffer = new byte[10_000];
                Tell("read", () => Console.WriteLine(file!.Read(0, buffer) == 10_000 && buffer.AsSpan().SequenceEqual(expected)));
                Tell("disk", () => Console.WriteLine(file!.ReadFromDisk(0, buffer) == 10_000 && buffer.AsSpan().SequenceEqual(expected)));
                break;
            case "map":
                Tell("map", () => file!.Map(1, MappedAccess.Normal).Dispose());
                break;
            case "close":
                file!.Write(0, expected);
                Tell("close", file.Dispose);
                break;
            case "close-unwritten":
                Tell("close", file!.Dispose);
                break;
            case "lock":
                Tell("lock", () => Files.LockFile(path));
                Console.In.Read();
                break;
            case "write-groups":
                WriteGroups(path);
                break;
            case "write-into-mapping":
                var map = file!.Map(10_000, MappedAccess.Normal);
                Console.WriteLine("mapped");
                Unsafe.AsRef(in map.Span(0, 1)[0])++;
                Console.WriteLine("written");
                break;
        }

        return 0;
    }

    /// <summary>Starts this assembly as a process of its own, behind a prefix such as strace.</summary>
    internal static Process Start(string scenario, string path, params string[] prefix)
    {
        string[] command = [.. prefix, Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet", typeof(DiskChild).Assembly.Location, scenario, path];
        return Process.Start(new ProcessStartInfo(command[0], command[1..])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
    }

    /// <summary>Runs it to its end and returns what it told.</summary>
    internal static async Task<string[]> RunAsync(string scenario, string path, params string[] prefix)
    {
        using var child = Start(scenario, path, prefix);
        try
        {
            child.StandardInput.Close();
            var errors = child.StandardError.ReadToEndAsync();
            var lines = await child.StandardOutput.ReadToEndAsync().WaitAsync(TimeSpan.FromSeconds(120));
            await child.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(120));
            Assert.True(child.ExitCode == 0, $"Exit code {child.ExitCode}: {await errors}");
            return lines.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        }
        finally
        {
            child.Kill(entireProcessTree: true);
        }
    }

    /// <summary>Writes more than the disk can take though the file system has room, so that write-back fails.</summary>
    private static void LoseWrites(IFile file)
    {
        const int Parts = 30;
        var expected = FileSystemConformance.Bytes(seed: 1, 1 << 20);
        for (var part = 0; part < Parts; part++)
        {
            file.Write((long)part << 20, expected);
        }

        Tell("first", file.Flush);
        Tell("second", file.Flush);

        // Not all parts need be in the cache still: a machine that is short of memory empties it, and what is read again then comes from the disk.
        bool[] inCache = [.. Enumerable.Range(0, Parts).Select(part => Holds(part, (at, found) => file.Read(at, found)))];
        bool[] onDisk = [.. Enumerable.Range(0, Parts).Select(part => Holds(part, (at, found) => file.ReadFromDisk(at, found)))];
        Console.WriteLine($"disk: {(onDisk.Contains(false) ? "some" : "none")} lost");
        Console.WriteLine($"cache: {(inCache.Zip(onDisk).Any(part => part.First && !part.Second) ? "shows some that the disk lost" : "shows what the disk does")}");

        bool Holds(int part, Func<long, byte[], int> read)
        {
            var found = new byte[expected.Length];
            try
            {
                return read((long)part << 20, found) == found.Length && found.AsSpan().SequenceEqual(expected);
            }
            catch (DiskException)
            {
                return false;
            }
        }
    }

    /// <summary>Whoever counts system calls finds the beginning and the end by the files that are asked for.</summary>
    private static void WriteGroups(string path)
    {
        using var load = new FixedLoad(Files, path, 4 << 20);
        load.Write(groups: 50, appendsEach: 10); // What happens once only.
        load.Settle();
        Files.FileExists(path + "/begun");
        load.Write(groups: 200, appendsEach: 10);
        Files.FileExists(path + "/done");
        Console.WriteLine("written");
    }

    private static void Tell(string what, Action action)
    {
        try
        {
            action();
            Console.WriteLine($"{what}: done");
        }
        catch (DiskException e)
        {
            Console.WriteLine($"{what}: {e.Operation} {e.ErrorNumber}{(e.IsFull ? " full" : "")}");
        }
        catch (DirectoryInUseException e)
        {
            Console.WriteLine($"{what}: {e.Message}");
        }
    }
}
