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
    private const int DefaultRuns = 60;
    private const int StepsPerLoss = 90;
    private const int LossesPerRun = 8;

    // A default set of runs that never came across one of these proves nothing about it.
    private static readonly Dictionary<string, int> MustCover = new()
    {
        ["segment sealed"] = 333,
        ["fourth segment for a system group"] = 16,
        ["follower without room"] = 33,
        ["killed"] = 33,
        ["index files lost with the power"] = 16,
        ["opened with pending groups"] = 166,
        ["opened with all committed"] = 2,
        ["received a group that opens a segment"] = 166,
        ["truncated over a segment's start"] = 33,
        ["truncated over two segments or more"] = 6,
        ["truncated to what is committed"] = 16,
        ["truncated what was not flushed"] = 33,
        ["truncated with pending groups kept"] = 66,
        ["truncated within a segment"] = 66,
        ["truncated within background work"] = 6,
        ["power lost while opening"] = 6,
        ["power lost while writing"] = 16,
        ["power lost while rolling"] = 6,
        ["power lost while flushing"] = 6,
        ["power lost while truncating"] = 16,
        ["power lost while background"] = 16,
        ["stream: Delete"] = 33,
        ["stream: Truncate"] = 33,
        ["stream: Tombstone"] = 16,
        ["stream not changed: NotFound"] = 16,
        ["stream not changed: Tombstoned"] = 6,
        ["stream not changed: BehindEnd"] = 6,
        ["append to a tombstoned stream"] = 16,
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
