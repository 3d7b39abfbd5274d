namespace EventVault.Tidy.Rules;

/// <summary>One screen a method, a few screens a file.</summary>
internal static class FileSizes
{
    /// <summary>Past this a file does several jobs.</summary>
    public const int MostLines = 800;

    /// <summary>Half of the files are no longer than this.</summary>
    public const int MedianLines = 150;

    /// <summary>Nine of ten files are no longer than this.</summary>
    public const int NinthDecileLines = 400;

    public static IEnumerable<Violation> Check(SourceFile file)
    {
        var lines = Lines(file);
        if (lines > MostLines)
        {
            yield return new Violation(file.Path, MostLines + 1, $"{lines} lines, {MostLines} are the most. Split it by type.");
        }
    }

    public static IEnumerable<Violation> CheckAll(IReadOnlyCollection<SourceFile> files)
    {
        var (median, ninth) = Measure(files);
        if (median > MedianLines || ninth > NinthDecileLines)
        {
            var longest = files.OrderByDescending(Lines).Take(5).Select(f => $"{f.Path} ({Lines(f)})");
            yield return new Violation(
                "src", 0, $"files have a median of {median} lines and a ninth decile of {ninth}; {MedianLines} and {NinthDecileLines} are the most. Longest: {string.Join(", ", longest)}.");
        }
    }

    public static (int Median, int NinthDecile) Measure(IReadOnlyCollection<SourceFile> files)
    {
        var sorted = files.Select(Lines).Order().ToArray();
        return (sorted[sorted.Length / 2], sorted[sorted.Length * 9 / 10]);
    }

    private static int Lines(SourceFile file) => file.Lines.Length - (file.Text.EndsWith('\n') ? 1 : 0);
}
