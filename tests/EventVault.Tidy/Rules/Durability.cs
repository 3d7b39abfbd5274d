using System.Text.RegularExpressions;

namespace EventVault.Tidy.Rules;

/// <summary>The flushes of the base class library lose errors (decision 0003): durable code calls fdatasync itself.</summary>
internal static partial class Durability
{
    public static IEnumerable<Violation> Check(SourceFile file)
    {
        for (var i = 0; i < file.Code.Length; i++)
        {
            if (ManagedFlush().Match(file.Code[i]) is { Success: true } match)
            {
                yield return new Violation(file.Path, i + 1, $"`{match.Value}` swallows the disk's errors. Use IFile.Flush of EventVault.Storage/Io.");
            }
        }
    }

    [GeneratedRegex(@"\bFlushToDisk\s*\(|\bflushToDisk\s*:|\bFlush\s*\(\s*true\b|\bFileOptions\.WriteThrough\b")]
    private static partial Regex ManagedFlush();
}
