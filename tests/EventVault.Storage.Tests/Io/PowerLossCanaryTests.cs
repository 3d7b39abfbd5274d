using System.Buffers.Binary;
using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Io;

/// <summary>
/// The simulated disk must find mistakes, so a tiny log is built with each of them: the right one never loses what it
/// acknowledged, every broken one is caught.
/// </summary>
public sealed class PowerLossCanaryTests
{
    private const int FileSize = 256 << 10;
    private const int BlockSize = 4096;

    public enum Mistake
    {
        None,
        NoFlushAfterWrite,
        AcknowledgesBeforeFlush,
        NoDirectoryFlush,
        RenamesBeforeFlush,
        RetriesFailedFlush,
        TrustsWritesToComeInOrder,
    }

    [Fact]
    public void A_right_log_keeps_all_it_acknowledged()
    {
        for (var seed = 0; seed < 1_000; seed++)
        {
            Assert.True(KeepsAllAcknowledged(Mistake.None, seed), $"Seed {seed} lost an acknowledged entry.");
        }
    }

    [Theory]
    [InlineData(Mistake.NoFlushAfterWrite)]
    [InlineData(Mistake.AcknowledgesBeforeFlush)]
    [InlineData(Mistake.NoDirectoryFlush)]
    [InlineData(Mistake.RenamesBeforeFlush)]
    [InlineData(Mistake.RetriesFailedFlush)]
    [InlineData(Mistake.TrustsWritesToComeInOrder)]
    public void A_broken_log_is_caught(Mistake mistake) =>
        Assert.Contains(Enumerable.Range(0, 1_000), seed => !KeepsAllAcknowledged(mistake, seed));

    private static bool KeepsAllAcknowledged(Mistake mistake, int seed)
    {
        var random = new Random(seed);
        var disk = new SimulatedFileSystem { CrashAtOperation = random.Next(1, 120) };
        disk.FailingFlush.StrikeRandomly(random, 0.02);
        var acknowledged = new Dictionary<int, int>();
        try
        {
            for (var file = 0; file < 3; file++)
            {
                Fill(disk, file, mistake, random, acknowledged);
            }
        }
        catch (Exception e) when (e is SimulatedCrashException or DiskException)
        {
        }

        var survivor = disk.Crash(random);
        return acknowledged.All(entry => EntriesOf(survivor, entry.Key, mistake) >= entry.Value);
    }

    private static void Fill(SimulatedFileSystem disk, int number, Mistake mistake, Random random, Dictionary<int, int> acknowledged)
    {
        using var file = disk.OpenFile("/spare", FileOpening.New);
        file.WriteZeros(0, FileSize);
        if (mistake == Mistake.RenamesBeforeFlush)
        {
            disk.MoveFile("/spare", $"/{number}");
            disk.FlushDirectory("/");
        }

        if (mistake != Mistake.RenamesBeforeFlush)
        {
            Flush(file, mistake);
            disk.MoveFile("/spare", $"/{number}");
            if (mistake != Mistake.NoDirectoryFlush)
            {
                disk.FlushDirectory("/");
            }
        }

        acknowledged[number] = 0;
        var entries = 0;
        for (var at = 0; at < FileSize;)
        {
            var count = Math.Min(random.Next(1, 4), (FileSize - at) / BlockSize);
            for (var block = 0; block < count; block++)
            {
                file.Write(at, Entry(++entries));
                at += BlockSize;
            }

            acknowledged[number] = mistake == Mistake.AcknowledgesBeforeFlush ? entries : acknowledged[number];
            if (mistake != Mistake.NoFlushAfterWrite)
            {
                Flush(file, mistake);
            }

            acknowledged[number] = entries;
        }
    }

    private static void Flush(IFile file, Mistake mistake)
    {
        try
        {
            file.Flush();
        }
        catch (DiskException) when (mistake == Mistake.RetriesFailedFlush)
        {
            file.Flush();
        }
    }

    private static byte[] Entry(int number)
    {
        var entry = new byte[BlockSize];
        for (var at = 0; at < BlockSize; at += 4)
        {
            BinaryPrimitives.WriteInt32LittleEndian(entry.AsSpan(at), number);
        }

        return entry;
    }

    /// <summary>Entries before the first torn one; −1 if the file is missing or has lost its length.</summary>
    private static int EntriesOf(SimulatedFileSystem disk, int number, Mistake mistake)
    {
        if (!disk.FileExists($"/{number}"))
        {
            return -1;
        }

        using var file = disk.OpenFile($"/{number}", FileOpening.ReadExisting);
        if (file.Length != FileSize)
        {
            return -1;
        }

        var content = new byte[FileSize];
        file.ReadFromDisk(0, content);
        var entries = 0;
        while (entries < FileSize / BlockSize && content.AsSpan(entries * BlockSize, BlockSize).SequenceEqual(Entry(entries + 1)))
        {
            entries++;
        }

        // Whoever takes an entry for whole because its last bytes are there is wrong as soon as sectors are reordered.
        if (mistake == Mistake.TrustsWritesToComeInOrder && entries < FileSize / BlockSize
            && content.AsSpan((entries + 1) * BlockSize - 4, 4).SequenceEqual(Entry(entries + 1).AsSpan(^4..)))
        {
            return -1;
        }

        return entries;
    }
}
