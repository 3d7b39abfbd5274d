using System.Text.RegularExpressions;

namespace EventVault.Tidy.Rules;

/// <summary>A clone on any machine is whole: no path of a build machine, no pointer to what is not in the repository.</summary>
internal static partial class Portability
{
    public static IEnumerable<Violation> Check(SourceFile file)
    {
        var isSettings = file.Name is ".npmrc" or "pip.conf" || file.Name.Equals("nuget.config", StringComparison.OrdinalIgnoreCase);
        if (isSettings && file.Text.Contains("://", StringComparison.Ordinal))
        {
            yield return new Violation(file.Path, 0, "names package sources. Leave them to each machine's own settings.");
        }

        for (var i = 0; i < file.Lines.Length; i++)
        {
            if (OfOneMachine().Match(file.Lines[i]) is { Success: true } match)
            {
                yield return new Violation(file.Path, i + 1, $"\"{match.Value}\" is a path of one machine. Use one from the root of the repository, or Directory.CreateTempSubdirectory.");
            }

            if (Outside().Match(file.Lines[i]) is { Success: true } outside)
            {
                yield return new Violation(file.Path, i + 1, $"\"{outside.Value}\" is not in this repository. Say here what it says, or link to docs/.");
            }

            if (file.Name == "package-lock.json" && file.Lines[i].Contains("\"resolved\": \"http", StringComparison.Ordinal))
            {
                yield return new Violation(file.Path, i + 1, "names a registry. Write the lock with `npm install --omit-lockfile-registry-resolved`.");
                yield break;
            }
        }
    }

    [GeneratedRegex(@"(?<![\w.$}/-])/(work|home/\w+|root|Users/\w+|tmp|var/tmp)/")]
    private static partial Regex OfOneMachine();

    [GeneratedRegex(@"\.\./shared/|\bshared/(research|data|peers|DESIGN|STYLE)|\b(DESIGN|STYLE)\.md|\b(DESIGN|STYLE) §")]
    private static partial Regex Outside();
}
