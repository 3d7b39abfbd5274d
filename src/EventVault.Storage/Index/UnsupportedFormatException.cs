namespace EventVault.Storage.Index;

/// <summary>A whole file, but of a format that this version does not know. Nothing was changed.</summary>
/// <param name="path">The file.</param>
/// <param name="needs">What a program must know to read it.</param>
public sealed class UnsupportedFormatException(string path, string needs)
    : IOException($"'{path}' needs {needs}, which this version of EventVault does not have. Start the version that wrote it, or, as the file is rebuildable, delete it and start again.")
{
    /// <summary>The file.</summary>
    public string Path { get; } = path;
}
