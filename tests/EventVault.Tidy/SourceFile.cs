namespace EventVault.Tidy;

/// <summary>A text file of the repository.</summary>
internal sealed class SourceFile(string path, string text)
{
    private string[]? _code;

    /// <summary>From the root, with forward slashes.</summary>
    public string Path { get; } = path;

    public string Text { get; } = text;

    public string[] Lines { get; } = text.Split('\n');

    public string Name => Path[(Path.LastIndexOf('/') + 1)..];

    /// <summary>The lines of a C# file with comments and the contents of strings blanked out.</summary>
    public string[] Code => _code ??= CSharpCode.WithoutText(Text).Split('\n');

    public bool IsUnder(params ReadOnlySpan<string> folders)
    {
        foreach (var folder in folders)
        {
            if (Path.StartsWith(folder, StringComparison.Ordinal))
            {
                return true;
            }
        }

        return false;
    }

    public bool Is(string extension) => Path.EndsWith(extension, StringComparison.Ordinal);
}
