using System.Text;
using System.Text.RegularExpressions;

namespace EventVault.Tidy.Rules;

/// <summary>What a document or a comment points to is there.</summary>
internal static partial class DocLinks
{
    /// <param name="file">A Markdown file.</param>
    /// <param name="paths">Every path of the repository.</param>
    /// <param name="document">Finds a Markdown file by its path.</param>
    public static IEnumerable<Violation> CheckLinks(SourceFile file, IReadOnlySet<string> paths, Func<string, SourceFile?> document)
    {
        for (var i = 0; i < file.Lines.Length; i++)
        {
            foreach (Match link in Link().Matches(file.Lines[i]))
            {
                var (target, anchor) = (link.Groups["target"].Value, link.Groups["anchor"].Value);
                if (target.Contains(':'))
                {
                    continue;
                }

                var path = target.Length == 0 ? file.Path : Resolve(file.Path, target);
                if (path is null || !paths.Contains(path))
                {
                    yield return new Violation(file.Path, i + 1, $"the link to {target} leads nowhere. Mend or remove it.");
                }
                else if (anchor.Length > 0 && document(path) is { } linked && !Anchors(linked).Contains(anchor))
                {
                    yield return new Violation(file.Path, i + 1, $"{path} has no heading #{anchor}. Mend the link.");
                }
            }
        }
    }

    /// <summary>Paths in backticks in documents, and documents named in comments.</summary>
    public static IEnumerable<Violation> CheckMentions(SourceFile file, IReadOnlySet<string> paths)
    {
        var pattern = file.Is(".md") ? PathInBackticks() : DocumentInComment();
        for (var i = 0; i < file.Lines.Length; i++)
        {
            foreach (Match mention in pattern.Matches(file.Lines[i]))
            {
                var path = mention.Groups["path"].Value.TrimEnd('/');
                if (!paths.Contains(path) && !paths.Contains(path + ".cs"))
                {
                    yield return new Violation(file.Path, i + 1, $"speaks of {path}, which is not in the repository. Say where it is now.");
                }
            }
        }
    }

    private static string? Resolve(string from, string target)
    {
        var parts = new List<string>(from.Split('/')[..^1]);
        foreach (var part in target.TrimEnd('/').Split('/'))
        {
            if (part == "..")
            {
                if (parts.Count == 0)
                {
                    return null;
                }

                parts.RemoveAt(parts.Count - 1);
            }
            else if (part is not ("." or ""))
            {
                parts.Add(part);
            }
        }

        return string.Join('/', parts);
    }

    // As GitHub makes them: lower case, spaces to hyphens, everything else but letters, digits, hyphens and underscores dropped.
    private static HashSet<string> Anchors(SourceFile document)
    {
        var anchors = new HashSet<string>(StringComparer.Ordinal);
        foreach (var line in document.Lines.Where(l => l.StartsWith('#')))
        {
            var anchor = new StringBuilder();
            foreach (var c in line.TrimStart('#').Trim().ToLowerInvariant())
            {
                anchor.Append(c == ' ' ? "-" : char.IsLetterOrDigit(c) || c is '-' or '_' ? c.ToString() : string.Empty);
            }

            anchors.Add(anchor.ToString());
        }

        return anchors;
    }

    [GeneratedRegex(@"\]\((?<target>[^)#\s]*)(#(?<anchor>[^)\s]*))?\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"`(?<path>(src|tests|tools|docs|proto|perf|\.ci)/[\w./-]*\w/?)`")]
    private static partial Regex PathInBackticks();

    [GeneratedRegex(@"(?<![\w/])(?<path>docs/[\w/-]+\.md)")]
    private static partial Regex DocumentInComment();
}
