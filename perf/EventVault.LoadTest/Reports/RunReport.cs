using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using EventVault.LoadTest.Figures;

namespace EventVault.LoadTest.Reports;

/// <summary>All that one run of the program gave.</summary>
/// <param name="Began">When, UTC.</param>
/// <param name="Commit">What was built, with a mark if it was changed; empty if not known.</param>
/// <param name="Machine">Cores, runtime, system, and the load when it began.</param>
/// <param name="Command">The program's arguments.</param>
/// <param name="Target">What was loaded.</param>
/// <param name="Scenarios">In the order of their runs.</param>
internal sealed record RunReport(DateTime Began, string Commit, string Machine, string Command, string Target, IReadOnlyList<ScenarioResult> Scenarios)
{
    public static string ThisCommit()
    {
        try
        {
            using var git = Process.Start(new ProcessStartInfo("git", ["-C", AppContext.BaseDirectory, "describe", "--always", "--dirty", "--exclude", "*"])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
            var text = git.StandardOutput.ReadToEnd().Trim();
            git.WaitForExit();
            return git.ExitCode == 0 ? text : "";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return ""; // No git here.
        }
    }

    public static string ThisMachine()
    {
        var load = File.Exists("/proc/loadavg") ? "; load before the run: " + File.ReadAllText("/proc/loadavg").Trim() : "";
        return $"{Environment.ProcessorCount} cores, .NET {Environment.Version}, {RuntimeInformation.OSDescription}{load}";
    }
}

/// <summary>How figures are written in all reports.</summary>
internal static class Figure
{
    /// <summary>Three significant digits, thousands apart.</summary>
    public static string Of(double value) => double.IsNaN(value) ? "–"
        : Math.Abs(value) >= 1000 ? Math.Round(value, 0).ToString("#,0", CultureInfo.InvariantCulture)
        : Math.Abs(value) >= 100 ? value.ToString("0", CultureInfo.InvariantCulture)
        : value.ToString("0.###", CultureInfo.InvariantCulture) is var text && Math.Abs(value) >= 10 ? value.ToString("0.0", CultureInfo.InvariantCulture)
        : Math.Abs(value) >= 1 ? value.ToString("0.00", CultureInfo.InvariantCulture) : text;

    /// <summary>"valid", or why a run is not.</summary>
    public static string Validity(ScenarioResult result) =>
        result.Generator.Valid ? "valid" : "INVALID: " + string.Join("; ", result.Generator.Faults);

    /// <summary>Columns of the table of steps, in console and Markdown.</summary>
    public static readonly string[] Columns = ["step", "ok", "failed", "per s", "mean µs", "p50", "p75", "p95", "p99", "p99.9", "most", "MB/s"];

    public static string[] Row(ScenarioResult result, StepResult step) =>
    [
        step.Name, step.Ok.ToString("#,0", CultureInfo.InvariantCulture), step.Failed.ToString("#,0", CultureInfo.InvariantCulture), Of(step.PerSecond),
        Of(step.Latency.Mean), Of(step.Latency.P50), Of(step.Latency.P75), Of(step.Latency.P95), Of(step.Latency.P99), Of(step.Latency.P999), Of(step.Latency.Most),
        step.Bytes == 0 ? "" : Of(step.Bytes / result.Seconds / 1e6),
    ];

    /// <summary>What stands below the table of steps, line by line.</summary>
    public static IEnumerable<string> Notes(ScenarioResult result)
    {
        foreach (var (name, count) in result.Counts.OrderBy(c => c.Key, StringComparer.Ordinal))
        {
            yield return $"{name}: {count:#,0} ({Of(count / result.Seconds)} a second)";
        }

        foreach (var (name, found) in result.Findings.OrderBy(f => f.Key, StringComparer.Ordinal))
        {
            yield return $"found {name}: {found:#,0}";
        }

        foreach (var step in result.Steps)
        {
            foreach (var (why, count) in step.Failures)
            {
                yield return $"{step.Name} failed with {why}: {count:#,0}";
            }
        }

        var generator = result.Generator;
        yield return $"generator: lag p50 {Of(generator.LagP50)} µs, p99 {Of(generator.LagP99)} µs, most {Of(generator.LagMost)} µs over {generator.Starts:#,0} starts; {Of(result.ClientCpuSeconds)} s of processor time";
        if (result.ServerCpuSeconds is { } cpu)
        {
            var memory = result.ServerMemoryMiB is { } mib ? $", {Of(mib)} MiB" : "";
            yield return $"nodes: {Of(cpu)} s of processor time, {Of(cpu / Math.Max(1, result.Whole.Ok) * 1e6)} s for 1 M iterations{memory}";
        }

        foreach (var threshold in result.Thresholds)
        {
            yield return $"{(threshold.Passed ? "held" : "BROKEN")}: {threshold.Text}";
        }
    }
}
