using System.Diagnostics;
using EventVault.Client;
using EventVault.Storage.Io;

namespace EventVault.FaultLab.Tests;

/// <summary>Encryption at rest is the volume's (docs/OPERATIONS.md): a node there keeps its promises, nothing stands on the disk in clear, and without the key nothing starts.</summary>
public sealed class EncryptedDiskTests
{
    private const int SegmentSizeBytes = 2 * 1024 * 1024;
    private const int EnoughAppends = 300;

    // Stands in many of the workload's events, and once in a file that is not encrypted, which shows that it would be found.
    private static ReadOnlySpan<byte> Secret => "\"text\":\"xxxxxxxxxxxxxxxxxxxxxxxx"u8;

    [NeedsOfKernel("/sys/fs/ext4/features/encryption", "a folder that ext4 encrypts")]
    public Task A_node_in_an_encrypted_folder_loses_nothing_when_killed_and_leaves_nothing_in_clear() => KilledAsync(isLuks: false);

    [NeedsOfKernel("/dev/mapper/control", "a LUKS volume")]
    public Task A_node_on_a_luks_volume_loses_nothing_when_killed_and_leaves_nothing_in_clear() => KilledAsync(isLuks: true);

    private static async Task KilledAsync(bool isLuks)
    {
        using var folder = new TemporaryFolder();
        using var volume = isLuks ? EncryptedVolume.Luks(folder.Path) : EncryptedVolume.Fscrypt(folder.Path);
        if (volume is null)
        {
            return;
        }

        var (data, port) = (Path.Combine(volume.Folder, "data"), NodeProcess.FreePort());
        await using (var client = VaultClient.Connect($"eventvault://127.0.0.1:{port}", new VaultClientOptions { AppendTimeout = TimeSpan.FromSeconds(5) }))
        {
            var work = new Workload(client, writers: 8);
            using (var stop = new CancellationTokenSource())
            using (var killed = await NodeProcess.StartAsync(data, port, SegmentSizeBytes))
            {
                var running = work.RunAsync(stop.Token);
                while (work.Acknowledged < EnoughAppends && !running.IsCompleted)
                {
                    await Task.Delay(TimeSpan.FromMilliseconds(10));
                }

                killed.Kill();
                await stop.CancelAsync();
                await running;
            }

            await CheckAsync(data, port, work, client);
            if (!isLuks)
            {
                await WithoutKeyAsync(volume, data, port);
                await CheckAsync(data, port, work, client);
                await File.WriteAllBytesAsync(Path.Combine(volume.Mount, "clear"), Secret.ToArray());
            }
        }

        volume.Detach();
        Assert.Equal(isLuks ? 0 : 1, Occurrences(await File.ReadAllBytesAsync(volume.Image)));
    }

    // What the disk holds is altered behind the system's back: whoever reads past the page cache sees that.
    [NeedsOfKernel("/sys/fs/ext4/features/encryption", "a folder that ext4 encrypts")]
    public void Reading_past_the_page_cache_reads_the_disk_also_where_files_are_encrypted()
    {
        using var folder = new TemporaryFolder();
        using var volume = EncryptedVolume.Fscrypt(folder.Path);
        if (volume is null || !Tool.IsInstalled("filefrag"))
        {
            return;
        }

        var path = Path.Combine(volume.Folder, "file");
        var (written, read) = (new byte[64 * 1024], new byte[64 * 1024]);
        new Random(1).NextBytes(written);
        var files = new NativeFileSystem();
        using var file = files.OpenFile(path, FileOpening.New);
        file.Write(0, written);
        file.Flush();
        Assert.Equal(read.Length, file.ReadFromDisk(0, read));
        Assert.Equal(written, read);
        using (var image = new FileStream(volume.Image, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite))
        {
            image.Position = OffsetOnDisk(path);
            image.WriteByte((byte)~image.ReadByte());
        }

        file.Read(0, read); // Through the cache, which has it as it was written, or as it is by now.
        Assert.Equal(read.Length, file.ReadFromDisk(0, read));
        Assert.NotEqual(written, read);
    }

    private static async Task WithoutKeyAsync(EncryptedVolume volume, string data, int port)
    {
        volume.Lock();
        var names = Directory.GetFileSystemEntries(volume.Folder);
        Assert.DoesNotContain(data, names);
        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => NodeProcess.StartAsync(data, port, SegmentSizeBytes));
        Assert.Contains("key", refused.Message, StringComparison.Ordinal); // ENOKEY, "Required key not available".
        Assert.Equal(names, Directory.GetFileSystemEntries(volume.Folder));
        volume.Unlock();
    }

    private static async Task CheckAsync(string data, int port, Workload work, VaultClient client)
    {
        using var node = await NodeProcess.StartAsync(data, port, SegmentSizeBytes);
        await work.CheckAsync(client);
        Assert.Equal(0, await node.StopAsync());
    }

    private static int Occurrences(ReadOnlySpan<byte> bytes)
    {
        var count = 0;
        for (var at = bytes.IndexOf(Secret); at >= 0; at = bytes.IndexOf(Secret))
        {
            count++;
            bytes = bytes[(at + 1)..];
        }

        return count;
    }

    // Of a file's first byte, as filefrag tells it in blocks of one byte: "   0:        0..   65535:   8454144..   8519679: …".
    private static long OffsetOnDisk(string path)
    {
        using var process = Process.Start(new ProcessStartInfo("filefrag", ["-b1", "-v", path]) { RedirectStandardOutput = true })!;
        var first = process.StandardOutput.ReadToEnd().Split('\n').First(line => line.TrimStart().StartsWith("0:", StringComparison.Ordinal));
        process.WaitForExit();
        return long.Parse(first.Split(':')[2].Split('.')[0].Trim(), System.Globalization.CultureInfo.InvariantCulture);
    }
}
