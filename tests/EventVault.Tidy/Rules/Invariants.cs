namespace EventVault.Tidy.Rules;

/// <summary>Code that guards data checks itself.</summary>
internal static class Invariants
{
    /// <summary>Checks for each thousand lines.</summary>
    public const double LeastPerThousandLines = 10;

    public static IEnumerable<Violation> Check(string folder, IReadOnlyCollection<SourceFile> files)
    {
        var lines = files.Sum(f => f.Lines.Length);
        var checks = files.Sum(f => f.Code.Count(l => l.Contains("Invariant.", StringComparison.Ordinal)));
        var density = lines == 0 ? 0 : checks * 1000.0 / lines;
        if (density < LeastPerThousandLines)
        {
            yield return new Violation(
                folder, 0, $"{checks} invariant checks in {lines} lines are {density:F1} for each thousand; {LeastPerThousandLines} are the least. Check before writing and after reading.");
        }
    }
}
