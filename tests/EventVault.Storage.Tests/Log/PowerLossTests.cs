using System.Globalization;
using EventVault.Storage.Tests.Simulated;
using Xunit.Abstractions;

namespace EventVault.Storage.Tests.Log;

/// <summary>
/// The promise: acknowledged = durable, whatever the power does. EVENTVAULT_POWER_LOSSES sets how many are simulated,
/// EVENTVAULT_SEED the first seed.
/// </summary>
public sealed class PowerLossTests(ITestOutputHelper output)
{
    private const int DefaultLosses = 1000;
    private const int LossesPerSeed = 8;

    // A run that never came across one of these proves nothing about it. Per 1,000 losses, at the least.
    private static readonly Dictionary<string, int> MustCover = new()
    {
        ["segment rolled"] = 500,
        ["segment sealed"] = 300,
        ["all three segments unsealed"] = 50,
        ["heads file grown"] = 10,
        ["group over 64 KiB"] = 50,
        ["commit mark"] = 500,
        ["failed flush"] = 20,
        ["killed"] = 20,
        ["index files lost with the power"] = 100,
        ["torn tail cut"] = 50,
        ["several groups in flight, some kept, some cut"] = 10,
        ["writer's turn within background work"] = 300,
        ["power lost with a mark"] = 20,
        ["power lost with several groups in flight"] = 50,
        ["power lost while opening"] = 50,
        ["stopped in order"] = 100,
        ["started behind a stop in order"] = 100,
        ["started by a saved index"] = 20,
        ["power lost while stopping"] = 5,
        ["power lost while writing"] = 50,
        ["power lost while rolling"] = 10,
        ["power lost while flushing"] = 50,
        ["power lost while marking"] = 5,
        ["power lost while preparing a segment"] = 20,
        ["power lost while sealing: footer"] = 3,
        ["power lost while sealing: index file"] = 5,
        ["power lost while sealing: catalog"] = 3,
        ["power lost while sealing: heads"] = 5,
        ["power lost while sealing: operations"] = 5,
        ["power lost while sealing: state"] = 5,
    };

    [Fact]
    public void Nothing_acknowledged_is_lost_and_nothing_is_kept_in_part_over_many_power_losses()
    {
        var wanted = int.Parse(Environment.GetEnvironmentVariable("EVENTVAULT_POWER_LOSSES") ?? $"{DefaultLosses}", CultureInfo.InvariantCulture);
        var firstSeed = int.Parse(Environment.GetEnvironmentVariable("EVENTVAULT_SEED") ?? "1", CultureInfo.InvariantCulture);
        var covered = new Dictionary<string, int>();
        var losses = 0;
        for (var seed = firstSeed; losses < wanted; seed++, losses += LossesPerSeed)
        {
            try
            {
                RunSeed(seed, covered);
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"Seed {seed} (replay: EVENTVAULT_SEED={seed} EVENTVAULT_POWER_LOSSES=1): {e.Message}", e);
            }
        }

        output.WriteLine($"{losses} power losses from seed {firstSeed}");
        foreach (var (what, times) in covered.OrderBy(c => c.Key, StringComparer.Ordinal))
        {
            output.WriteLine($"{times,8} {what}");
        }

        if (losses >= DefaultLosses)
        {
            Assert.Empty(MustCover.Where(m => covered.GetValueOrDefault(m.Key) < m.Value * (long)losses / 1000)
                .Select(m => $"{m.Key}: {covered.GetValueOrDefault(m.Key)}, wanted {m.Value * (long)losses / 1000}"));
        }
    }

    private static void RunSeed(int seed, Dictionary<string, int> covered)
    {
        var random = new Random(seed);
        var driver = new VaultDriver(random, seed % 5 == 0 ? 512u * 1024 : StorageOptions.MinSegmentSizeBytes) { Covered = covered };
        for (var loss = 0; loss < LossesPerSeed; loss++)
        {
            Lose(driver, random);
        }

        driver.Files.CrashAtOperation = long.MaxValue;
        driver.Reopen();
        driver.Run(20);
        driver.CleanStop();
        var report = LogVerifier.Verify(driver.Files, VaultDriver.Directory);
        Assert.Empty(report.Damage);
        Assert.Null(report.Torn);
        Assert.Equal(driver.Model.Count, report.Events);
        driver.Reopen();
        Assert.Equal(0u, driver.Storage!.CutBytes);
    }

    private static void Lose(VaultDriver driver, Random random)
    {
        // Now and then within the first operations: the power fails during recovery too.
        driver.Files.CrashAtOperation = driver.Files.Operations + random.Next(1, random.Next(6) == 0 ? 30 : 280);
        SimulatedCrashException? crash = null;
        try
        {
            driver.Reopen();
            driver.Run(random.Next(10, 120));
            if (random.Next(4) == 0)
            {
                driver.FailFlush();
                if (random.Next(2) == 0)
                {
                    driver.Kill();
                    driver.Reopen();
                }
            }
            else if (random.Next(4) == 0)
            {
                driver.WriteGroup();
                driver.Kill();
                driver.Reopen();
                driver.Run(random.Next(30));
            }
            else if (random.Next(2) == 0)
            {
                if (random.Next(2) == 0)
                {
                    driver.Files.CrashAtOperation = driver.Files.Operations + random.Next(1, 14); // Stopping takes some ten.
                }

                driver.CleanStop();
                driver.Reopen();
                driver.Run(random.Next(30));
            }
            else
            {
                // Several groups that no flush has reached: the power takes some of them.
                for (var groups = random.Next(5); groups > 0; groups--)
                {
                    driver.WriteGroup();
                }

                // Chance alone seldom meets a flush: most operations are those of the background work.
                if (driver.UnflushedGroups > 0 && random.Next(3) > 0)
                {
                    driver.Files.CrashAtOperation = driver.Files.Operations + 1;
                    driver.FlushAndCommit();
                }
            }
        }
        catch (SimulatedCrashException e)
        {
            crash = e;
        }

        driver.CutPower(crash);
        if (random.Next(6) == 0)
        {
            driver.LoseIndexFiles();
        }
    }
}
