namespace EventVault.Storage;

/// <summary>A data directory is whole, but another node's or another vault's. Nothing was changed.</summary>
/// <param name="directory">The data directory.</param>
/// <param name="found">What it is.</param>
/// <param name="wanted">What it was opened as.</param>
public sealed class ForeignDirectoryException(string directory, string found, string wanted)
    : IOException($"'{directory}' is the data directory of {found}; it was opened as that of {wanted}. Start this node on its own data directory, or with the settings that this one was created with. A new node needs an empty directory.")
{
    /// <summary>The data directory.</summary>
    public string Directory { get; } = directory;
}
