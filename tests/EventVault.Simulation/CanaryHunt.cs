using System.Diagnostics;
using System.Globalization;
using System.Reflection;

namespace EventVault.Simulation;

/// <summary>
/// Breaks one rule of the product on purpose and runs seeds until a checker sees it. What no checker sees would not be seen
/// if somebody broke it by mistake either.
/// </summary>
internal static class CanaryHunt
{
    /// <summary>Names of all rules that can be broken.</summary>
    public static IReadOnlyList<string> Names { get; } =
        [.. typeof(Canary).GetFields(BindingFlags.Public | BindingFlags.Static).Where(field => field.IsLiteral).Select(field => (string)field.GetRawConstantValue()!)];

    /// <summary>Where a mistake shows soon: most of them need leaders that come and go. Null: whatever the seed draws.</summary>
    public static Profile? ProfileFor(string name) => name switch
    {
        Canary.OldTermByCounting or Canary.MatchNotChecked or Canary.CutNotRecorded or Canary.ReadWithoutQuorum or Canary.NoAbaFence or Canary.TruncatedIsRefused or Canary.RuleNotChecked
            or Canary.CommitBeyondMatch or Canary.NoCheckQuorum or Canary.ReadBeforeFirstCommit => Profile.Elections,
        Canary.ShippedUnverified or Canary.OwnGroupsKept or Canary.InstalledOverHeld or Canary.ScavengedByNow or Canary.ShownBeforeWhole => Profile.Segments,
        _ => null,
    };

    // A group that is cut off one log while others hold it takes two nodes that have it and three that elect another leader.
    private static SimulationOptions Fitting(string name, SimulationOptions drawn) => name == Canary.TruncatedIsRefused ? drawn with { Nodes = 5 } : drawn;

    public static int Run(CommandLine line, string name, TextWriter to)
    {
        if (!Names.Contains(name))
        {
            to.WriteLine($"Canaries: {string.Join(", ", Names)}");
            return name == "list" ? 0 : 2;
        }

        if (line.Seed is { } seed)
        {
            return RunOne(name, line.OptionsOf(seed), line.IsVerbose ? to : null, to);
        }

        var began = Stopwatch.GetTimestamp();
        var fitting = line with { Profile = line.Profile ?? ProfileFor(name) };
        var caught = Hunt(name, fitting.OptionsOf, line.Tries);
        var seconds = Stopwatch.GetElapsedTime(began).TotalSeconds.ToString("F1", CultureInfo.InvariantCulture);
        to.WriteLine(caught is null
            ? $"{name}: NOT caught by seeds 1 to {line.Tries} in {seconds} s"
            : $"{name}: caught by seed {caught.Options.Seed} ({caught.Options.Profile}), rule {caught.Rule}, in {seconds} s: {caught.Violation!.Message.Split('\n')[0]}");
        return caught is null ? 1 : 0;
    }

    private static int RunOne(string name, SimulationOptions options, TextWriter? verbose, TextWriter to)
    {
        Canary.Active = name;
        try
        {
            var result = RunResult.Of(Fitting(name, options), verbose, to);
            to.WriteLine(result);
            return result.Passed ? 1 : 0;
        }
        finally
        {
            Canary.Active = null;
        }
    }

    /// <summary>The first run that fails; null: none of them.</summary>
    public static RunResult? Hunt(string name, Func<ulong, SimulationOptions> optionsOf, int tries)
    {
        Canary.Active = name;
        try
        {
            for (ulong seed = 1; seed <= (ulong)tries; seed++)
            {
                var result = RunResult.Of(Fitting(name, optionsOf(seed)));
                if (!result.Passed)
                {
                    return result;
                }
            }

            return null;
        }
        finally
        {
            Canary.Active = null;
        }
    }
}
