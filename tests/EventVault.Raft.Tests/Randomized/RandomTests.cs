using System.Globalization;
using EventVault.Raft.Tests.Harness;
using Xunit.Abstractions;

namespace EventVault.Raft.Tests.Randomized;

/// <summary>
/// The promise: whatever network, disks and operators do to up to seven cores, what Raft guarantees holds after every event,
/// and a healed cluster agrees. EVENTVAULT_RAFT_RUNS sets how many runs, EVENTVAULT_SEED the first seed.
/// </summary>
public sealed class RandomTests(ITestOutputHelper output)
{
    private const int DefaultRuns = 700;
    private const int TraceLines = 150;

    // A run that never came across one of these proves nothing about it. Per 100 runs, at the least.
    private static readonly Dictionary<string, int> MustCover = new()
    {
        ["crash"] = 200,
        ["disk wiped"] = 10,
        ["entry committed"] = 1000,
        ["flushed after it was replaced"] = 1,
        ["links cut"] = 200,
        ["log truncated"] = 10,
        ["membership: Taken"] = 50,
        ["membership: ChangePending"] = 200,
        ["proposal: Taken"] = 1000,
        ["proposal: TooMuchUncommitted"] = 100,
        ["proposal: Transferring"] = 50,
        ["read answered"] = 200,
        ["read refused"] = 200,
        ["shipped"] = 4,
        ["shipping failed"] = 1,
        ["term led"] = 150,
        ["transfer begun"] = 20,
    };

    [Fact]
    public void Safety_holds_after_every_event_and_a_healed_cluster_agrees()
    {
        int runs = Setting("EVENTVAULT_RAFT_RUNS", DefaultRuns);
        int first = Setting("EVENTVAULT_SEED", 1);
        var covered = new Dictionary<string, int>();
        for (int seed = first; seed < first + runs; seed++)
        {
            var run = new RandomRun(seed);
            try
            {
                run.Run();
            }
            catch (Exception e)
            {
                throw new InvalidOperationException(
                    $"Seed {seed} (replay: EVENTVAULT_SEED={seed} EVENTVAULT_RAFT_RUNS=1): {e.Message}{Environment.NewLine}{Replay(seed)}", e);
            }

            foreach (var (what, times) in run.Covered)
            {
                covered[what] = covered.GetValueOrDefault(what) + times;
            }
        }

        output.WriteLine($"{runs} runs from seed {first}");
        foreach (var (what, times) in covered.OrderBy(c => c.Key, StringComparer.Ordinal))
        {
            output.WriteLine($"{times,8} {what}");
        }

        if (runs >= DefaultRuns)
        {
            Assert.Empty(MustCover.Where(m => covered.GetValueOrDefault(m.Key) < (long)m.Value * runs / 100)
                .Select(m => $"{m.Key}: {covered.GetValueOrDefault(m.Key)}, wanted {(long)m.Value * runs / 100}"));
        }
    }

    [Fact]
    public void One_seed_is_one_run()
    {
        for (int seed = 1; seed <= 20; seed++)
        {
            var first = new RandomRun(seed);
            first.Run();
            var second = new RandomRun(seed);
            second.Run();
            Assert.Equal(first.Hash, second.Hash);
        }
    }

    // The run once more, for the last of what happened in it.
    private static string Replay(int seed)
    {
        var lines = new Queue<string>();
        var run = new RandomRun(seed)
        {
            Trace = new TextTrace(line =>
            {
                lines.Enqueue(line);
                if (lines.Count > TraceLines)
                {
                    lines.Dequeue();
                }
            }),
        };
        try
        {
            run.Run();
        }
        catch (Exception)
        {
            return string.Join(Environment.NewLine, lines);
        }

        return "The replay did not fail: the run is not a function of its seed.";
    }

    private static int Setting(string name, int otherwise) =>
        int.Parse(Environment.GetEnvironmentVariable(name) ?? otherwise.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
}
