using System.Diagnostics;
using System.Reflection;
using EventVault.FaultLab.Checks;
using EventVault.FaultLab.Scenarios;

namespace EventVault.FaultLab.Tests;

/// <summary>The lab with several nodes (tests/FaultLab).</summary>
public sealed class LabTests
{
    // What run.sh says where namespaces or tools are missing.
    private const int ExitCannot = 3;

    [Fact]
    public async Task The_short_set_of_scenarios_is_clean()
    {
        using var folder = new TemporaryFolder();
        using var lab = Process.Start(new ProcessStartInfo("bash", [Metadata("LabScript"), "--no-build", "--short", "--seed", $"{Settings.Seed}", "--out", folder.Path])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var output = lab.StandardOutput.ReadToEndAsync();
        var errors = lab.StandardError.ReadToEndAsync();
        await lab.WaitForExitAsync();
        if (lab.ExitCode == ExitCannot)
        {
            Tool.Skip(await errors);
            return;
        }

        Console.WriteLine(await output);
        Assert.True(lab.ExitCode == 0, $"{await output}\n{await errors}");
    }

    [Fact]
    public async Task Every_scenario_and_every_rule_is_in_the_documentation()
    {
        var text = await File.ReadAllTextAsync(Metadata("TestingDocument"));
        var names = AllScenarios.List.Select(s => s.Name).Concat(HistoryChecker.Rules.Keys);
        Assert.DoesNotContain(names, name => !text.Contains($"| `{name}` |", StringComparison.Ordinal));
    }

    private static string Metadata(string key) => typeof(LabTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == key).Value!;
}
