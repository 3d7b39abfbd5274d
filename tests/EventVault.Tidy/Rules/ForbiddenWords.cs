using System.Text.RegularExpressions;

namespace EventVault.Tidy.Rules;

/// <summary>
/// One term per concept. The glossary's last column is the list of words that mean something we call otherwise; here
/// stand the few places where such a word means something else.
/// </summary>
internal sealed partial class ForbiddenWords
{
    public const string Glossary = "docs/GLOSSARY.md";

    /// <summary>Phrases that may stand anywhere, in lower case and with humps taken apart, each with its reason.</summary>
    private static readonly string[] Phrases =
    [
        "in flight", // An adverb: written or sent, not confirmed yet. The noun is what is forbidden.
        "line feed", // The character.
        "state snapshot", // Qualified, as the glossary wants it.
        "raft snapshot",
        "fold snapshot", // What the contract calls an application's kept state.
    ];

    /// <summary>Words that may stand in one place only.</summary>
    private static readonly (string Path, string Word, string Reason)[] Exceptions =
    [
        ("tools/vault-admin/", "batch", "`batch` is a field of the files that import reads and export writes."),
        ("tools/demo/", "batch", "It shows the same files."),
        ("docs/OPERATIONS.md", "batch", "It describes the same files."),
        ("README.md", "batch", "It describes the same files."),
        ("CHANGELOG.md", "batch", "It describes the same files."),
    ];

    private readonly (string Word, string Instead, Regex Pattern)[] _words;

    public ForbiddenWords(SourceFile glossary) => _words = [.. Parse(glossary)];

    public int Count => _words.Length;

    // The FAQ maps the words of other systems to ours.
    public static bool Covers(SourceFile file) =>
        file.Path is not (Glossary or "docs/FAQ.md")
        && (file.IsUnder("src/", "tools/", "proto/", "docs/") || !file.Path.Contains('/'))
        && (file.Is(".cs") || file.Is(".proto") || file.Is(".md"));

    public IEnumerable<Violation> Check(SourceFile file)
    {
        for (var i = 0; i < file.Lines.Length; i++)
        {
            var line = Words(file.Lines[i]);
            foreach (var phrase in Phrases)
            {
                line = line.Replace(phrase, string.Empty, StringComparison.Ordinal);
            }

            foreach (var (word, instead, pattern) in _words)
            {
                if (pattern.IsMatch(line) && !Exceptions.Any(e => file.IsUnder(e.Path) && e.Word == word))
                {
                    yield return new Violation(file.Path, i + 1, $"\"{word}\" is not a word of this project. Say \"{instead}\" (see {Glossary}).");
                }
            }
        }
    }

    // `ChunkSize_bytes` → `chunk size bytes`: whole words in identifiers count as words. Calls of `Enumerable.Chunk`
    // are not our name for anything.
    private static string Words(string line) =>
        Humps().Replace(LinqChunk().Replace(line, "("), " ").Replace('_', ' ').Replace('-', ' ').ToLowerInvariant();

    private static IEnumerable<(string, string, Regex)> Parse(SourceFile glossary)
    {
        foreach (var line in glossary.Lines)
        {
            var cells = line.Split('|', StringSplitOptions.TrimEntries);
            if (cells.Length != 5 || cells[3].Length == 0 || cells[3] == "Never" || cells[3].StartsWith('-'))
            {
                continue;
            }

            foreach (var word in Parentheses().Replace(cells[3], string.Empty).Split(',', StringSplitOptions.TrimEntries))
            {
                yield return (word, cells[1], new Regex($@"\b{Regex.Escape(word)}(s|es|ed|ing)?\b"));
            }
        }
    }

    [GeneratedRegex("(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")]
    private static partial Regex Humps();

    [GeneratedRegex(@"\.Chunk\(")]
    private static partial Regex LinqChunk();

    [GeneratedRegex(@"\s*\([^)]*\)")]
    private static partial Regex Parentheses();
}
