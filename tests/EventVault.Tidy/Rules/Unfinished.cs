using System.Text.RegularExpressions;

namespace EventVault.Tidy.Rules;

/// <summary>What is committed is done; what is not done is an issue, not a comment.</summary>
internal static partial class Unfinished
{
    public static IEnumerable<Violation> Check(SourceFile file)
    {
        for (var i = 0; i < file.Lines.Length; i++)
        {
            if (Mark().Match(file.Lines[i]) is { Success: true } match)
            {
                yield return new Violation(file.Path, i + 1, $"\"{match.Value}\": finish it, or open an issue and take the mark out.");
            }
        }
    }

    [GeneratedRegex(@"\b(TODO|FIXME|HACK|XXX)\b|\bfor now\b|\bNotImplementedException\b|\[(Fact|Theory)\(Skip\b")]
    private static partial Regex Mark();
}
