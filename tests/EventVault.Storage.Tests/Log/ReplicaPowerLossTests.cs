using System.Globalization;
using Xunit.Abstractions;

namespace EventVault.Storage.Tests.Log;

/// <summary>
/// The promise: whatever leaders and power do, a node's log is what its leaders made, no group that was durable is gone
/// unless a leader took it back, none that was taken back returns, and two nodes that have the same groups have the same
/// bytes. EVENTVAULT_REPLICA_RUNS sets how many runs there are, EVENTVAULT_SEED the first seed.
/// </summary>
public sealed class ReplicaPowerLossTests(ITestOutputHelper output)
{
    private const int DefaultRuns = 150;
    private const int StepsPerLoss = 90;
    private const int LossesPerRun = 8;

    // A default set of runs that never came across one of these proves nothing about it.
    private static readonly Dictionary<string, int> MustCover = new()
    {
        ["segment sealed"] = 1000,
        ["fourth segment for a system group"] = 50,
        ["follower without room"] = 100,
        ["killed"] = 100,
        ["index files lost with the power"] = 50,
        ["opened with pending groups"] = 500,
        ["opened with all committed"] = 5,
        ["received a group that opens a segment"] = 500,
        ["truncated over a segment's start"] = 100,
        ["truncated over two segments or more"] = 20,
        ["truncated to what is committed"] = 50,
        ["truncated what was not flushed"] = 100,
        ["truncated with pending groups kept"] = 200,
        ["truncated within a segment"] = 200,
        ["truncated within background work"] = 20,
        ["power lost while opening"] = 20,
        ["power lost while writing"] = 50,
        ["power lost while rolling"] = 20,
        ["power lost while flushing"] = 20,
        ["power lost while truncating"] = 50,
        ["power lost while background"] = 50,
    };

    [Fact]
    public void Two_nodes_hold_the_same_log_over_many_leaders_truncations_and_power_losses()
    {
        var runs = int.Parse(Environment.GetEnvironmentVariable("EVENTVAULT_REPLICA_RUNS") ?? $"{DefaultRuns}", CultureInfo.InvariantCulture);
        var first = int.Parse(Environment.GetEnvironmentVariable("EVENTVAULT_SEED") ?? "1", CultureInfo.InvariantCulture);
        var covered = new Dictionary<string, int>();
        for (var seed = first; seed < first + runs; seed++)
        {
            try
            {
                RunSeed(seed, covered);
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"Seed {seed} (replay: EVENTVAULT_SEED={seed} EVENTVAULT_REPLICA_RUNS=1): {e.Message}", e);
            }
        }

        foreach (var (what, times) in covered.OrderBy(c => c.Key, StringComparer.Ordinal))
        {
            output.WriteLine($"{times,8} {what}");
        }

        if (runs >= DefaultRuns)
        {
            Assert.Empty(MustCover.Where(m => covered.GetValueOrDefault(m.Key) < m.Value).Select(m => $"{m.Key}: {covered.GetValueOrDefault(m.Key)}, wanted {m.Value}"));
        }
    }

    private static void RunSeed(int seed, Dictionary<string, int> covered)
    {
        var random = new Random(seed);
        var driver = new ReplicaDriver(random, seed % 4 == 0 ? 256u * 1024 : StorageOptions.MinSegmentSizeBytes) { Covered = covered };
        for (var loss = 0; loss < LossesPerRun; loss++)
        {
            driver.ArmPowerLoss(random.Next(4) == 0 ? 30 : 200);
            driver.Run(StepsPerLoss);
        }

        driver.Settle();
    }
}
