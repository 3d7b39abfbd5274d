using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>
/// The promise: acknowledged = durable, whatever the power does. EVENTVAULT_POWER_LOSSES sets how many are simulated.
/// </summary>
public sealed class PowerLossTests
{
    private const int DefaultLosses = 600;

    [Fact]
    public void Nothing_acknowledged_is_lost_and_nothing_is_kept_in_part_over_many_power_losses()
    {
        var wanted = int.Parse(Environment.GetEnvironmentVariable("EVENTVAULT_POWER_LOSSES") ?? $"{DefaultLosses}", System.Globalization.CultureInfo.InvariantCulture);
        var firstSeed = int.Parse(Environment.GetEnvironmentVariable("EVENTVAULT_SEED") ?? "1", System.Globalization.CultureInfo.InvariantCulture);
        for (int losses = 0, seed = firstSeed; losses < wanted; seed++)
        {
            try
            {
                losses += RunSeed(seed);
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"Seed {seed} (replay: EVENTVAULT_SEED={seed} EVENTVAULT_POWER_LOSSES=1): {e.Message}", e);
            }
        }
    }

    private static int RunSeed(int seed)
    {
        const int LossesPerSeed = 6;
        var random = new Random(seed);
        var driver = new VaultDriver(random);
        for (var loss = 0; loss < LossesPerSeed; loss++)
        {
            // Now and then within the first operations: the power fails during recovery too.
            driver.Files.CrashAtOperation = driver.Files.Operations + random.Next(1, random.Next(3) == 0 ? 12 : 250);
            try
            {
                driver.Reopen();
                driver.Run(random.Next(10, 120));
            }
            catch (SimulatedCrashException)
            {
            }

            driver.CutPower();
        }

        driver.Reopen();
        driver.Run(20);
        driver.CleanStop();
        var report = LogVerifier.Verify(driver.Files, VaultDriver.Directory);
        Assert.Empty(report.Damage);
        Assert.Null(report.Torn);
        Assert.Equal(driver.Model.Count, report.Events);
        driver.Reopen();
        return LossesPerSeed;
    }
}
