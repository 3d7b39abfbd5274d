using System.Diagnostics;
using System.Globalization;
using FsCheck;
using FsCheck.Fluent;
using Microsoft.FSharp.Core;
using Xunit.Abstractions;

namespace EventVault.Storage.Tests.Models;

/// <summary>
/// Runs of random steps on a vault and on plain lists. EVENTVAULT_MODEL_RUNS sets how many, EVENTVAULT_SEED the first seed; a
/// failure is shrunk, printed step by step, and names the seed that replays it.
/// </summary>
internal static class ModelRun
{
    /// <summary>A run that failed is made shorter for so long: on a busy machine to the very end takes minutes.</summary>
    private static readonly TimeSpan MostShrinking = TimeSpan.FromSeconds(30);

    /// <summary>Runs many seeds.</summary>
    /// <param name="runs">How many by default.</param>
    /// <param name="mostSteps">Steps of the longest runs: a hundred steps fill a segment or two of the smallest size.</param>
    /// <param name="shares">What kinds of steps there are.</param>
    /// <param name="mustCover">What the default runs must have come across, and how often at the least.</param>
    /// <param name="output">Gets what they came across.</param>
    public static void Check(int runs, int mostSteps, Shares shares, Dictionary<string, int> mustCover, ITestOutputHelper output)
    {
        var wanted = Setting("EVENTVAULT_MODEL_RUNS", runs);
        var first = Setting("EVENTVAULT_SEED", 1);
        var covered = new Dictionary<string, int>();
        var steps = 0L;
        for (var seed = first; seed < first + wanted; seed++)
        {
            long failed = 0;
            var property = Prop.ForAll(StepDraw.Runs(mostSteps, shares, () => Stopwatch.GetElapsedTime(failed) < MostShrinking), run =>
            {
                steps += run.All.Length;
                try
                {
                    Run(run, covered);
                }
                catch when (failed == 0)
                {
                    failed = Stopwatch.GetTimestamp();
                    throw;
                }
            });
            try
            {
                FsCheck.Check.One(Config.QuickThrowOnFailure.WithMaxTest(1).WithQuietOnSuccess(true).WithReplay(FSharpOption<Replay>.Some(new Replay(new Rnd((ulong)seed), FSharpOption<int>.None))), property);
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"Seed {seed} (replay: EVENTVAULT_SEED={seed} EVENTVAULT_MODEL_RUNS=1): {e.Message}", e);
            }
        }

        output.WriteLine($"{wanted} runs from seed {first}, {steps} steps");
        foreach (var (what, times) in covered.OrderBy(c => c.Key, StringComparer.Ordinal))
        {
            output.WriteLine($"{times,9} {what}");
        }

        if (wanted >= runs)
        {
            Assert.Empty(mustCover.Where(m => covered.GetValueOrDefault(m.Key) < m.Value).Select(m => $"{m.Key}: {covered.GetValueOrDefault(m.Key)}, wanted {m.Value}"));
        }
    }

    private static void Run(Steps run, Dictionary<string, int> covered)
    {
        var vault = new ModelVault(covered);
        var reads = new ReadChecks(vault);
        AppendChecks? appends = null;
        RetentionChecks? retention = null;
        appends = new AppendChecks(vault, RunAll);
        retention = new RetentionChecks(vault, appends, RunAll);
        RunAll(run.All);

        vault.Restart(new RestartStep(IsClean: true, 0, 0));
        vault.CheckState();
        appends.FindAll();
        vault.Storage.Dispose();

        void RunAll(Step[] steps) => Array.ForEach(steps, step => Do(step, vault, appends!, retention!, reads));
    }

    private static void Do(Step step, ModelVault vault, AppendChecks appends, RetentionChecks retention, ReadChecks reads)
    {
        switch (step)
        {
            case AppendStep append:
                appends.Append(append);
                break;
            case RetryStep retry:
                appends.Retry(retry);
                break;
            case ChangeStep change:
                appends.Change(change);
                break;
            case RetainStep retain:
                appends.Retain(retain);
                break;
            case TimeStep time:
                vault.Clock += time.Seconds * TimeSpan.TicksPerSecond;
                break;
            case PassStep pass:
                retention.Pass(pass);
                break;
            case CloseStep:
                vault.Close();
                break;
            case FlushStep:
                vault.Flush();
                break;
            case CommitStep commit:
                vault.Commit(commit.Groups);
                break;
            case CutStep cut:
                vault.Cut(cut.Groups);
                break;
            case SealStep seal:
                vault.Seal(seal.Times);
                break;
            case ScavengeStep scavenge:
                appends.Scavenge(scavenge);
                break;
            case RewriteStep rewrite:
                vault.Rewrite(rewrite.Times);
                break;
            case RestartStep restart:
                vault.Restart(restart);
                vault.CheckState();
                appends.FindAll();
                break;
            case ReadAllStep read:
                reads.ReadAll(read);
                break;
            case ReadStreamStep read:
                reads.ReadStream(read);
                break;
            case FilterStep read:
                reads.Filter(read);
                break;
            case ListStep list:
                reads.List(list);
                break;
            case FindAppendStep find:
                if (appends.Pick(find.Which) is { } attempt)
                {
                    appends.Find(attempt);
                }

                break;
            default:
                throw new InvalidOperationException($"No such step: {step}");
        }
    }

    private static int Setting(string name, int otherwise) =>
        int.Parse(Environment.GetEnvironmentVariable(name) ?? otherwise.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
}
