using System.Globalization;

namespace EventVault.Simulation;

/// <summary>
/// Finds out how little of a failing run still fails: without which classes of faults, with how many clients and requests,
/// and for how long. Possible because each of them draws from a stream of its own.
/// </summary>
internal static class Shrinker
{
    public static int Run(SimulationOptions options, TextWriter to)
    {
        var first = RunResult.Of(options);
        to.WriteLine(first);
        if (first.Passed)
        {
            to.WriteLine("It passes: nothing to shrink.");
            return 1;
        }

        var best = first;
        bool improved;
        do
        {
            improved = false;
            foreach (var candidate in Smaller(best).ToList())
            {
                var result = RunResult.Of(candidate);
                if (result.Passed || result.Rule != first.Rule)
                {
                    continue;
                }

                best = result;
                improved = true;
                to.WriteLine(string.Create(CultureInfo.InvariantCulture, $"still fails: {candidate.Clients} clients, {candidate.Requests} requests, {candidate.SafetyTime.TotalSeconds:F1} s, faults {candidate.Faults} ({result.Events} events)"));
                break;
            }
        }
        while (improved);

        RunResult.Of(best.Options, null, to);
        return 0;
    }

    // The biggest steps first. A run that failed early needs no more time than that.
    private static IEnumerable<SimulationOptions> Smaller(RunResult failing)
    {
        var options = failing.Options;
        if (failing.VirtualTime < options.SafetyTime)
        {
            yield return options with { SafetyTime = failing.VirtualTime + TimeSpan.FromSeconds(1) };
        }

        foreach (var fault in Enum.GetValues<FaultClass>().Where(fault => fault != FaultClass.None && options.Has(fault)))
        {
            yield return options with { Faults = options.Faults & ~fault };
        }

        if (options.Clients > 1)
        {
            yield return options with { Clients = options.Clients / 2 };
        }

        if (options.Requests > 1)
        {
            yield return options with { Requests = options.Requests / 2 };
        }

        if (options.SafetyTime > TimeSpan.FromSeconds(2))
        {
            yield return options with { SafetyTime = options.SafetyTime / 2 };
        }
    }
}
