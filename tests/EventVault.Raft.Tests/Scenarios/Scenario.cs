using System.Text;

namespace EventVault.Raft.Tests.Scenarios;

/// <summary>
/// A scenario is a text file. Lines that begin with <c>#</c> explain, lines that begin with <c>&gt;</c> are commands, and the
/// indented lines behind a command are what it must put out. A file begins with a comment that says what it shows.
/// </summary>
internal static class Scenario
{
    private const string Prompt = "> ";
    private const string Indent = "  ";

    /// <summary>Runs the commands and returns the file as it should be: the same comments and commands, with what came out.</summary>
    /// <exception cref="FormatException">The file is not a scenario.</exception>
    public static string Run(string text)
    {
        string[] lines = text.Split('\n');
        if (!lines[0].StartsWith('#'))
        {
            throw new FormatException("A scenario begins with a comment that says what it shows.");
        }

        var result = new StringBuilder();
        var commands = new ScenarioCommands();
        for (int i = 0; i < lines.Length; i++)
        {
            string line = lines[i].TrimEnd();
            if (line.StartsWith(Indent, StringComparison.Ordinal))
            {
                continue; // What came out when the file was written.
            }

            if (line.Length > 0 && line[0] is not ('#' or '>'))
            {
                throw new FormatException($"Line {i + 1} is neither a comment, a command nor indented: {line}");
            }

            result.Append(line).Append('\n');
            if (line.StartsWith(Prompt, StringComparison.Ordinal))
            {
                foreach (string output in Run(commands, line[Prompt.Length..], i + 1))
                {
                    result.Append(Indent).Append(output).Append('\n');
                }
            }
        }

        return result.ToString().TrimEnd('\n') + "\n";
    }

    private static IReadOnlyList<string> Run(ScenarioCommands commands, string command, int line)
    {
        try
        {
            return commands.Run(command);
        }
        catch (Exception e)
        {
            throw new FormatException($"Line {line}, '{command}': {e.Message}", e);
        }
    }
}
