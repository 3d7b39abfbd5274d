namespace EventVault.Tidy.Rules;

/// <summary>The first page: two commands that work, at most two screens.</summary>
internal static class Readme
{
    public const string CommandOne = "dotnet run -c Release --project tools/demo";
    public const string CommandTwo = "dotnet test -c Release";

    /// <summary>Two screens.</summary>
    public const int MostLines = 110;

    public static IEnumerable<Violation> Check(SourceFile readme)
    {
        if (readme.Lines.Length > MostLines)
        {
            yield return new Violation(readme.Path, MostLines + 1, $"{readme.Lines.Length} lines; {MostLines} are the most. Move detail to docs/.");
        }

        var blocks = Array.FindAll(readme.Lines, l => l.StartsWith("```", StringComparison.Ordinal));
        var first = Array.FindIndex(readme.Lines, l => l.StartsWith("```", StringComparison.Ordinal));
        if (blocks.Length == 0 || readme.Lines[first + 1].Split('#')[0].Trim() != CommandOne)
        {
            yield return new Violation(readme.Path, Math.Max(0, first + 2), $"the first code block must start with command one, on one line: {CommandOne}");
        }

        if (!readme.Lines.Any(l => l.Split('#')[0].Trim() == CommandTwo))
        {
            yield return new Violation(readme.Path, 0, $"command two is missing from the code blocks: {CommandTwo}");
        }
    }
}
