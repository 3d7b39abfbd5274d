using System.Text.RegularExpressions;

namespace EventVault.Tidy.Rules;

/// <summary>A name that says nothing gathers everything.</summary>
internal static partial class FileNames
{
    public static IEnumerable<Violation> Check(SourceFile file)
    {
        if (file.Is(".cs") && Empty().Match(Path.GetFileNameWithoutExtension(file.Name)) is { Success: true } match)
        {
            yield return new Violation(file.Path, 0, $"\"{match.Value}\" says nothing about what is in it. Name it after what it does, or split it by what its parts do.");
        }

        if (file.Is(".csproj") && EmptyProject().Match(Path.GetFileNameWithoutExtension(file.Name)) is { Success: true } project)
        {
            yield return new Violation(file.Path, 0, $"a project \"{project.Value}\" has no reason of its own to exist. Put its types where they are used.");
        }
    }

    [GeneratedRegex("(Manager|Helper|Util|Common|Misc)(s|ities)?(?![a-z])")]
    private static partial Regex Empty();

    [GeneratedRegex("(Common|Core|Utils|Abstractions)$")]
    private static partial Regex EmptyProject();
}
