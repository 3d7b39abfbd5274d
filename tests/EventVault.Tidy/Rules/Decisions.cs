namespace EventVault.Tidy.Rules;

/// <summary>A decision that nobody finds is made again.</summary>
internal static class Decisions
{
    public const string Folder = "docs/decisions/";

    private static readonly string[] Headings = ["Context", "Decision", "Consequences", "Rejected"];

    /// <param name="records">The decision records.</param>
    /// <param name="readers">The documents that must link every record.</param>
    public static IEnumerable<Violation> Check(IReadOnlyCollection<SourceFile> records, IReadOnlyCollection<SourceFile> readers)
    {
        foreach (var record in records)
        {
            foreach (var reader in readers)
            {
                if (!reader.Text.Contains(record.Name + ")", StringComparison.Ordinal))
                {
                    yield return new Violation(record.Path, 0, $"is not linked from {reader.Path}. Link it where that decision shows.");
                }
            }

            foreach (var heading in Headings)
            {
                if (!record.Lines.Any(l => l.StartsWith("## " + heading, StringComparison.Ordinal) || l.StartsWith($"**{heading}.**", StringComparison.Ordinal)))
                {
                    yield return new Violation(record.Path, 0, $"has no part \"{heading}\". A record has context, decision, consequences and rejected options.");
                }
            }
        }

        foreach (var number in records.GroupBy(r => r.Name[..4]).Where(g => g.Count() > 1))
        {
            yield return new Violation(number.Last().Path, 0, $"the number {number.Key} is taken by {number.First().Name}. Take the next free one.");
        }
    }
}
