using System.Globalization;

namespace EventVault.Simulation;

/// <summary>Adds runs up.</summary>
internal sealed class RunTotals
{
    /// <summary>A line is printed after so many runs.</summary>
    private const int LineEvery = 100;

    private readonly List<string> _failed = [];
    private long _events;
    private TimeSpan _virtualTime;
    private readonly TimeSpan _processorBefore = Environment.CpuUsage.TotalTime;
    private TimeSpan _wallTime;
    private RunResult? _slowest;
    private int _installs;
    private int _scavenged;

    public int Runs { get; private set; }

    public int Failed => _failed.Count;

    public void Add(RunResult result, TextWriter to)
    {
        Runs++;
        _events += result.Events;
        _virtualTime += result.VirtualTime;
        _wallTime += result.WallTime;
        _installs += result.Installs;
        _scavenged += result.Scavenged;
        _slowest = _slowest is null || result.WallTime > _slowest.WallTime ? result : _slowest;
        if (!result.Passed)
        {
            _failed.Add($"{result.Options.Seed} ({result.Rule})");
        }

        if (Runs % LineEvery == 0)
        {
            to.WriteLine($"... {Runs} runs, {Failed} failed, last seed {result.Options.Seed}");
        }
    }

    public override string ToString()
    {
        // By processor time, so that a busy machine doesn't count; wall time stands beside it.
        var minutes = Math.Max((Environment.CpuUsage.TotalTime - _processorBefore).TotalMinutes, 1e-9);
        return string.Create(CultureInfo.InvariantCulture, $"""
            {Runs} runs, {Failed} failed{(Failed > 0 ? ": " + string.Join(", ", _failed) : "")}
            {_virtualTime.TotalHours:F2} h virtual in {minutes:F2} min of processor time ({_wallTime.TotalMinutes:F2} min by the clock): {_virtualTime.TotalHours / minutes:F1} h per minute, {_events / (minutes * 60) / 1000:F0} k events/s; slowest: seed {_slowest?.Options.Seed} with {_slowest?.WallTime.TotalSeconds:F2} s
            {_installs} starts installed segments of other nodes, {_scavenged} segments were scavenged
            """);
    }
}
