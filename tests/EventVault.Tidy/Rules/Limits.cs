using System.Text.RegularExpressions;

namespace EventVault.Tidy.Rules;

/// <summary>A limit without its reason is a number nobody dares to change.</summary>
internal static partial class Limits
{
    public static IEnumerable<Violation> Check(SourceFile file)
    {
        for (var i = 0; i < file.Code.Length; i++)
        {
            if (Limit().Match(file.Code[i]) is { Success: true } match && !HasComment(file, i))
            {
                yield return new Violation(file.Path, i + 1, $"the limit {match.Groups["name"].Value} has no comment. Say its unit and why it is this much.");
            }
        }
    }

    // On the line itself, or above it; one comment may cover constants that stand together.
    private static bool HasComment(SourceFile file, int line)
    {
        if (file.Lines[line].Contains("//", StringComparison.Ordinal))
        {
            return true;
        }

        do
        {
            line--;
        }
        while (line >= 0 && Constant().IsMatch(file.Code[line]));
        return line >= 0 && file.Lines[line].TrimStart().StartsWith("//", StringComparison.Ordinal);
    }

    [GeneratedRegex(@"\bconst\s+(int|uint|long|ulong|double)\s+(?<name>(Max|Most|Min)\w*|\w*(Limit|Capacity|Timeout\w*|Milliseconds|Seconds))\s*=")]
    private static partial Regex Limit();

    [GeneratedRegex(@"\bconst\s")]
    private static partial Regex Constant();
}
