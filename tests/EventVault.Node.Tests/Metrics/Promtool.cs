using System.Diagnostics;

namespace EventVault.Node.Tests.Metrics;

/// <summary>Prometheus' own checker.</summary>
internal static class Promtool
{
    /// <summary>Runs it.</summary>
    /// <param name="input">What it reads from its standard input.</param>
    /// <param name="arguments">What to do.</param>
    /// <returns>Whether it found nothing wrong, and what it said.</returns>
    public static async Task<(bool Ok, string Said)> RunAsync(string input, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo("promtool", arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true })!;
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(60));
        return (process.ExitCode == 0, await output + await errors);
    }
}

/// <summary>A test that needs promtool. Without it the test is skipped and says so; where CI=true it runs and fails.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class NeedsPromtoolAttribute : FactAttribute
{
    public NeedsPromtoolAttribute()
    {
        var paths = (Environment.GetEnvironmentVariable("PATH") ?? string.Empty).Split(Path.PathSeparator);
        if (Environment.GetEnvironmentVariable("CI") != "true" && !paths.Any(p => File.Exists(Path.Combine(p, "promtool"))))
        {
            Skip = "NOT PROVEN HERE: promtool (Debian's package prometheus) is not installed, so metrics and alerts can't be checked.";
        }
    }
}
