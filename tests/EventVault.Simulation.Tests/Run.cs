namespace EventVault.Simulation.Tests;

internal static class Run
{
    /// <summary>Runs; a failure shows all there is to know, and how to replay it.</summary>
    public static RunResult Passes(SimulationOptions options)
    {
        using var report = new StringWriter();
        var result = RunResult.Of(options, null, report);
        Assert.True(result.Passed, report.ToString());
        return result;
    }
}
