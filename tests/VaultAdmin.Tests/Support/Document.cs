using System.Text.RegularExpressions;

namespace EventVault.Admin.Tests.Support;

/// <summary>
/// A page of the documentation, by its code blocks. Those under a comment <c>shown: …</c> are left out: EventVault.Tidy checks that they say why.
/// </summary>
public sealed partial class Document
{
    private readonly List<(string Language, string[] Lines)> _blocks = [];

    /// <param name="path">From the root of the repository.</param>
    public Document(params string[] path)
    {
        List<string>? block = null;
        var (previous, language, isShown) = ("", "", false);
        foreach (var line in File.ReadLines(Path.Combine([AdminProcess.Root, .. path])))
        {
            if (!line.StartsWith("```", StringComparison.Ordinal))
            {
                block?.Add(line);
            }
            else if (block is null)
            {
                (block, language, isShown) = ([], line[3..], Shown().IsMatch(previous));
            }
            else
            {
                if (!isShown)
                {
                    _blocks.Add((language, [.. block]));
                }

                block = null;
            }

            previous = line;
        }
    }

    /// <summary>The commands of its shell blocks, and what stands below each. Without a `$` in front of any, each line is one, and nothing stands below.</summary>
    public IReadOnlyList<(string Command, string Output)> Commands()
    {
        var commands = new List<(string Command, string Output)>();
        var hasPrompts = Lines("sh").Any(l => l.StartsWith("$ ", StringComparison.Ordinal));
        foreach (var line in Lines("sh"))
        {
            if (!hasPrompts || line.StartsWith("$ ", StringComparison.Ordinal))
            {
                commands.Add((hasPrompts ? line[2..] : line, ""));
            }
            else
            {
                commands[^1] = (commands[^1].Command, commands[^1].Output + line + "\n");
            }
        }

        return commands;
    }

    /// <summary>Its blocks of C#, sorted.</summary>
    public IEnumerable<string> Code() => _blocks.Where(b => b.Language == "csharp").Select(b => string.Join('\n', b.Lines)).Order(StringComparer.Ordinal);

    /// <summary>What a source file of the tests has compiled for it, between "tour: …" and "end", sorted.</summary>
    /// <param name="file">Name of the file.</param>
    public static IEnumerable<string> Compiled(string file)
    {
        List<string>? region = null;
        var regions = new List<string>();
        foreach (var line in File.ReadLines(Path.Combine(AdminProcess.Root, "tests", "VaultAdmin.Tests", file)))
        {
            if (region is null)
            {
                region = line.TrimStart().StartsWith("// tour: ", StringComparison.Ordinal) ? [] : null;
            }
            else if (line.Trim() == "// end")
            {
                // Without the indentation of what holds it, and the empty line that the style wants behind a block.
                var indent = region[0].Length - region[0].TrimStart().Length;
                regions.Add(string.Join('\n', region.Select(l => l.Length == 0 ? l : l[indent..])).TrimEnd('\n'));
                region = null;
            }
            else
            {
                region.Add(line);
            }
        }

        return regions.Order(StringComparer.Ordinal);
    }

    private IEnumerable<string> Lines(string language) => _blocks.Where(b => b.Language == language).SelectMany(b => b.Lines);

    [GeneratedRegex("^<!-- shown: .+ -->$")]
    private static partial Regex Shown();
}
