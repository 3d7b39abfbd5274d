using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using EventVault.Simulation.Checkers;

namespace EventVault.Simulation.Tests.Checkers;

public sealed partial class RulesTests
{
    public static TheoryData<string, string> All()
    {
        var rules = new TheoryData<string, string>();
        foreach (var field in typeof(Rules).GetFields(BindingFlags.Public | BindingFlags.Static))
        {
            rules.Add(field.Name, (string)field.GetRawConstantValue()!);
        }

        return rules;
    }

    [Theory]
    [MemberData(nameof(All))]
    public void Every_rule_has_a_planted_violation_and_is_documented(string constant, string name)
    {
        var sources = Directory.GetFiles(Folder(), "*.cs").Select(File.ReadAllText).ToList();
        Assert.Contains(sources, source => source.Contains($"Breaks(Rules.{constant},", StringComparison.Ordinal) || source.Contains($"BreaksRead(Rules.{constant},", StringComparison.Ordinal));
        Assert.Contains($"| `{name}` |", File.ReadAllText(Path.Combine(Folder(), "../../../docs/TESTING.md")), StringComparison.Ordinal);
    }

    [Fact]
    public void Names_of_rules_are_words_with_dashes_and_differ()
    {
        var names = All().Select(row => (string)row[1]).ToList();
        Assert.All(names, name => Assert.Matches(Name(), name));
        Assert.Equal(names.Count, names.Distinct().Count());
    }

    private static string Folder([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;

    [GeneratedRegex("^[a-z]+(-[a-z]+)*$")]
    private static partial Regex Name();
}
