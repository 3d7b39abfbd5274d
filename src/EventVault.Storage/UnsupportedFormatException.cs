namespace EventVault.Storage;

/// <summary>A file is whole, but of a format that this version does not know. Nothing was changed.</summary>
/// <param name="file">The file.</param>
/// <param name="needs">What a program must know to read it.</param>
public sealed class UnsupportedFormatException(string file, string needs)
    : IOException($"'{file}' needs {needs}, which this version of EventVault does not have. Start the version that wrote it, or a later one.")
{
    /// <summary>The file.</summary>
    public string File { get; } = file;
}
