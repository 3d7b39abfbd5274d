using System.Text.RegularExpressions;

namespace EventVault.Tidy.Rules;

/// <summary>Native calls and raw memory stand in one folder, where they are reviewed with that in mind.</summary>
internal static partial class UnsafeCode
{
    private const string Home = "src/EventVault.Storage/Io/";
    private const string HomeProject = "src/EventVault.Storage/EventVault.Storage.csproj";

    public static IEnumerable<Violation> Check(SourceFile file)
    {
        if (file.Is(".csproj") && file.IsUnder("src/", "tools/") && file.Path != HomeProject && file.Text.Contains("AllowUnsafeBlocks", StringComparison.Ordinal))
        {
            yield return new Violation(file.Path, 0, $"allows unsafe code; only {HomeProject} does. Put native code under {Home}.");
        }

        if (!file.Is(".cs") || !file.IsUnder("src/", "tools/") || file.IsUnder(Home))
        {
            yield break;
        }

        for (var i = 0; i < file.Code.Length; i++)
        {
            if (Native().Match(file.Code[i]) is { Success: true } match)
            {
                yield return new Violation(file.Path, i + 1, $"`{match.Value}` outside {Home}. Move it there, behind IFileSystem or MappedFile.");
            }
        }
    }

    [GeneratedRegex(@"\bunsafe\b|\bDllImport\b|\bLibraryImport\b|\bNativeLibrary\b")]
    private static partial Regex Native();
}
