using System.Diagnostics;
using System.Globalization;
using EventVault.Simulation.Checkers;

namespace EventVault.Simulation;

/// <summary>How a run went.</summary>
internal sealed record RunResult(SimulationOptions Options, ulong Hash, long Events, TimeSpan VirtualTime, TimeSpan WallTime, ViolationException? Violation, string Clients, int Installs, int Scavenged)
{
    public bool Passed => Violation is null;

    /// <summary>Name of the broken rule; empty: none.</summary>
    public string Rule => Violation?.Rule ?? "";

    /// <summary>Runs a seed.</summary>
    /// <param name="options">What was drawn.</param>
    /// <param name="verbose">Gets each line of the trace as it happens; null: nobody.</param>
    /// <param name="failures">Gets all there is to know about a failing run; null: nobody.</param>
    public static RunResult Of(SimulationOptions options, TextWriter? verbose = null, TextWriter? failures = null)
    {
        var began = Stopwatch.GetTimestamp();
        var simulation = new Simulation(options);
        simulation.Trace.Verbose = verbose;
        ViolationException? violation = null;
        try
        {
            simulation.Run();
        }
        catch (ViolationException e)
        {
            violation = e;
        }

        var result = new RunResult(options, simulation.Trace.Hash, simulation.Events, TimeSpan.FromTicks(simulation.Now), Stopwatch.GetElapsedTime(began), violation, simulation.Clients.Summary(), simulation.Referee.Installs, simulation.Referee.Scavenged);
        if (violation is not null)
        {
            Report(result, simulation, failures);
        }

        return result;
    }

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"seed {Options.Seed} ({Options.Profile}): {(Passed ? "passed" : "FAILED " + Rule)}, {Events} events, {VirtualTime.TotalSeconds:F1} s virtual, {WallTime.TotalSeconds:F2} s, trace hash {Hash:x16}");

    private static void Report(RunResult result, Simulation simulation, TextWriter? to)
    {
        if (to is null)
        {
            return;
        }

        to.WriteLine($"=== seed {result.Options.Seed} FAILED: {result.Rule} ===");
        to.WriteLine($"commit {SourceCommit.Name}");
        to.WriteLine(result.Options);
        to.WriteLine("--- last events");
        foreach (var line in simulation.Trace.LastLines())
        {
            to.WriteLine(line);
        }

        to.WriteLine("--- last operations of clients");
        foreach (var line in simulation.Referee.LastOperations(20))
        {
            to.WriteLine(line);
        }

        to.WriteLine("--- nodes");
        foreach (var node in simulation.Nodes)
        {
            to.WriteLine(node);
        }

        to.WriteLine(simulation.Clients.Summary());
        to.WriteLine($"--- violated rule: {result.Rule}");
        to.WriteLine(result.Violation!.Message);
        to.WriteLine(result);
        to.WriteLine($"replay: {result.Options.ReplayCommand()}");
    }
}
