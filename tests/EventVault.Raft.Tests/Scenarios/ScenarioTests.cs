using System.Runtime.CompilerServices;

namespace EventVault.Raft.Tests.Scenarios;

/// <summary>
/// Every scenario puts out what stands in its file. EVENTVAULT_REWRITE_SCENARIOS=1 writes what comes out into the files of
/// the source tree instead: read the difference before you keep it.
/// </summary>
public sealed class ScenarioTests
{
    private const int Least = 25;

    public static TheoryData<string> Names => [.. Files().Select(f => Path.GetFileNameWithoutExtension(f)).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Puts_out_what_its_file_says(string name)
    {
        string file = Path.Combine(Folder(), name + ".txt");
        string expected = File.ReadAllText(file);
        string actual = Scenario.Run(expected);
        if (Environment.GetEnvironmentVariable("EVENTVAULT_REWRITE_SCENARIOS") == "1")
        {
            File.WriteAllText(file, actual);
            return;
        }

        if (actual != expected)
        {
            Assert.Fail($"{name}: {Difference(expected, actual)}");
        }
    }

    [Fact]
    public void None_got_lost() => Assert.True(Files().Length >= Least, $"{Files().Length} scenarios in {Folder()}");

    [Fact]
    public void A_changed_line_is_found()
    {
        const string Text = "# Shows that the runner compares.\n> cluster 1\n> campaign 1\n  1 leads term 9\n";
        Assert.Contains("1 leads term 1", Difference(Text, Scenario.Run(Text)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("> cluster 1\n")]
    [InlineData("# Shows.\nno command\n")]
    [InlineData("# Shows.\n> cluster 1\n> fly 1\n")]
    [InlineData("# Shows.\n> cluster 1\n> campaign 1 now\n")]
    public void What_is_no_scenario_is_refused(string text) => Assert.Throws<FormatException>(() => Scenario.Run(text));

    private static string Difference(string expected, string actual)
    {
        string[] left = expected.Split('\n');
        string[] right = actual.Split('\n');
        int at = Enumerable.Range(0, Math.Max(left.Length, right.Length))
            .First(i => i >= left.Length || i >= right.Length || left[i] != right[i]);
        return $"line {at + 1}\n  expected: {string.Join("\n            ", left.Skip(at).Take(5))}\n  came out: {string.Join("\n            ", right.Skip(at).Take(5))}";
    }

    private static string[] Files() => Directory.GetFiles(Folder(), "*.txt");

    // To be written again the files of the source tree are needed; otherwise the copies beside the tests do.
    private static string Folder([CallerFilePath] string thisFile = "") =>
        Environment.GetEnvironmentVariable("EVENTVAULT_REWRITE_SCENARIOS") == "1" ? Path.GetDirectoryName(thisFile)! : Path.Combine(AppContext.BaseDirectory, "Scenarios");
}
