using System.IO.Compression;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>
/// A data directory of format version 1 as it was first written, gzipped file by file under Golden/vault-v1. It must
/// open and read equal for ever; and as long as version 1 is what we write, we must write these very bytes. A new
/// version gets a directory of its own; this one never changes.
/// </summary>
public sealed class GoldenVaultTests
{
    private static readonly string[] Folders = ["", "log/", "index/"];

    private static string GoldenDirectory => Path.Combine(AppContext.BaseDirectory, "Golden", "vault-v1");

    [Fact]
    public void A_vault_of_version_1_opens_and_reads_equal()
    {
        var wanted = Build();
        var files = Golden();
        Assert.Empty(LogVerifier.Verify(files, SmallVault.Directory).Damage);
        using var storage = SmallVault.Open(files);
        Assert.Equal(wanted.Storage.VaultId, storage.VaultId);
        Assert.Equal((2, 1), storage.SegmentCounts);
        Assert.Equal(0u, storage.CutBytes);
        wanted.Model.Check(storage, new Random(1));
        foreach (var e in wanted.Model.Events)
        {
            wanted.Model.CheckOperation(storage, e.Append);
        }
    }

    [Fact]
    public void A_vault_of_version_1_opens_without_its_index()
    {
        var files = Golden();
        foreach (var name in files.ListFiles(SmallVault.Directory + "/index"))
        {
            files.DeleteFile($"{SmallVault.Directory}/index/{name}");
        }

        using var storage = SmallVault.Open(files);
        Build().Model.Check(storage, new Random(1));
    }

    [Fact]
    public void Version_1_is_written_the_same()
    {
        var written = Files(Build().Files);
        if (Environment.GetEnvironmentVariable("EVENTVAULT_WRITE_GOLDEN") is { } target)
        {
            foreach (var (name, bytes) in written)
            {
                var path = Path.Combine(target, name + ".gz");
                Directory.CreateDirectory(Path.GetDirectoryName(path)!);
                using var gzip = new GZipStream(File.Create(path), CompressionLevel.SmallestSize);
                gzip.Write(bytes);
            }
        }

        var golden = Files(Golden());
        Assert.Equal(golden.Keys, written.Keys);
        foreach (var (name, bytes) in golden)
        {
            var same = bytes.AsSpan().CommonPrefixLength(written[name]);
            Assert.True(same == bytes.Length && bytes.Length == written[name].Length, $"{name} differs from offset {same} on.");
        }
    }

    // Every kind of structure: groups of one append and of several, over several streams, ids of their own and those of
    // the first event, a huge event, a system stream, all fields of an event, a commit mark, sealed segments.
    private static SmallVault Build()
    {
        var vault = new SmallVault(seed: 20);
        for (var i = 0; i < 6; i++)
        {
            vault.Append($"order-{i % 3}");
        }

        vault.Write(
            vault.Event("order-1", 10),
            new ModelAppend(77_000, [
                ("größe-1", ExpectedKind.NoStream, -1, [Encoded.Event(77_001, "Größe", "{}"u8, ["a", "b"], [("traceparent", "x"), ("correlationId", "y")], 42)]),
                ("order-0", ExpectedKind.Exact, 1, [Encoded.Event(77_002, "T", ""u8), Encoded.Event(77_003, "T", "3"u8)])]),
            vault.Event("$system-1", 5));
        vault.Flush();
        vault.Mark();
        vault.Write(vault.Event("big-1", [.. Enumerable.Range(0, 55_000).Select(i => (byte)(i / 100))]));
        vault.Flush();
        vault.Append("order-2", 3000);
        vault.Append("order-9");
        vault.StepAll();
        vault.Stop();
        return vault;
    }

    private static SortedDictionary<string, byte[]> Files(SimulatedFileSystem files)
    {
        var all = new SortedDictionary<string, byte[]>(StringComparer.Ordinal);
        foreach (var folder in Folders)
        {
            foreach (var name in files.ListFiles($"{SmallVault.Directory}/{folder}").Where(n => n != VaultStorage.LockName))
            {
                using var file = files.OpenFile($"{SmallVault.Directory}/{folder}{name}", FileOpening.ReadExisting);
                var bytes = new byte[file.Length];
                file.Read(0, bytes);
                all[folder + name] = bytes;
            }
        }

        return all;
    }

    private static SimulatedFileSystem Golden()
    {
        var files = new SimulatedFileSystem();
        foreach (var folder in Folders)
        {
            files.CreateDirectory($"{SmallVault.Directory}/{folder}".TrimEnd('/'));
            foreach (var path in Directory.GetFiles(Path.Combine(GoldenDirectory, folder)))
            {
                using var gzip = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
                using var bytes = new MemoryStream();
                gzip.CopyTo(bytes);
                using var file = files.OpenFile($"{SmallVault.Directory}/{folder}{Path.GetFileNameWithoutExtension(path)}", FileOpening.New);
                file.Write(0, bytes.GetBuffer().AsSpan(0, (int)bytes.Length));
            }
        }

        return files;
    }
}
