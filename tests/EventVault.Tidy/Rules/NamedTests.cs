using System.Text.RegularExpressions;

namespace EventVault.Tidy.Rules;

/// <summary>Tests that documents name as proofs, as Class.Test in backticks, are there.</summary>
internal static partial class NamedTests
{
    /// <param name="file">A Markdown file.</param>
    /// <param name="tests">The tests' sources; a class stands in the file of its name.</param>
    public static IEnumerable<Violation> Check(SourceFile file, IEnumerable<SourceFile> tests)
    {
        var byClass = tests.ToLookup(t => Path.GetFileNameWithoutExtension(t.Path));
        for (var i = 0; i < file.Lines.Length; i++)
        {
            foreach (Match named in Name().Matches(file.Lines[i]))
            {
                var (type, test) = (named.Groups["class"].Value, named.Groups["test"].Value);
                if (!byClass[type].Any(t => t.Lines.Any(line => line.Contains($" {test}(", StringComparison.Ordinal))))
                {
                    yield return new Violation(file.Path, i + 1, $"names the test {type}.{test} as a proof, which is not there. Name the one that proves it now, or write it.");
                }
            }
        }
    }

    [GeneratedRegex(@"`(?<class>\w+Tests)\.(?<test>[A-Z]\w*)`")]
    private static partial Regex Name();
}
