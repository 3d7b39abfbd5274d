using System.Text.RegularExpressions;

namespace EventVault.Tidy.Rules;

/// <summary>
/// What a document shows works: each of its code blocks is compiled or run by a test, or says above itself, in a comment that readers of the page don't see,
/// why it is only shown: <c>&lt;!-- shown: the reason --&gt;</c>. Blocks without a language are output, grammars and drawings; results tell by which commands
/// they were made, on one day.
/// </summary>
internal static partial class CodeBlocks
{
    /// <summary>Documents whose blocks of a language are all taken by a test, and its class. It leaves out those that are only shown.</summary>
    private static readonly (string Document, string Language, string Test)[] Taken =
    [
        ("README.md", "sh", "ReadmeTests"),
        ("README.md", "csharp", "ReadmeTests"),
        ("docs/TOUR.md", "sh", "TourTests"),
        ("docs/TOUR.md", "csharp", "TourTests"),
        ("docs/TEMPORAL.md", "sh", "TemporalTourTests"),
        ("docs/TEMPORAL.md", "csharp", "TemporalTourTests"),
        ("docs/CLUSTER.md", "sh", "ClusterGuideTests"),
        ("docs/CLUSTER.md", "csharp", "ReadmeTests"),
    ];

    /// <param name="file">A Markdown file.</param>
    /// <param name="tests">The tests' sources; a class stands in the file of its name.</param>
    public static IEnumerable<Violation> Check(SourceFile file, IReadOnlyList<SourceFile> tests)
    {
        var isInside = false;
        if (file.IsUnder("perf/results/"))
        {
            yield break;
        }

        for (var i = 0; i < file.Lines.Length; i++)
        {
            if (!file.Lines[i].StartsWith("```", StringComparison.Ordinal))
            {
                continue;
            }

            isInside = !isInside;
            var language = file.Lines[i][3..].Trim();
            if (!isInside || language.Length == 0 || (i > 0 && Shown().IsMatch(file.Lines[i - 1])))
            {
                continue;
            }

            var test = Array.Find(Taken, t => t.Document == file.Path && t.Language == language).Test;
            if (test is null)
            {
                yield return new Violation(file.Path, i + 1, $"nobody runs this {language} block. Have a test run it (CodeBlocks.Taken), or say why it is only shown, in the line above: <!-- shown: … -->");
            }
            else if (!tests.Any(t => t.Name == test + ".cs" && t.Text.Contains($"\"{file.Name}\"", StringComparison.Ordinal)))
            {
                yield return new Violation(file.Path, i + 1, $"{test}, which should run this {language} block, is not there or doesn't read {file.Name}.");
            }
        }
    }

    [GeneratedRegex(@"^<!-- shown: \w.{9,} -->$")]
    private static partial Regex Shown();
}
