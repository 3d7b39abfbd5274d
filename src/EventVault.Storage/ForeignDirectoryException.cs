namespace EventVault.Storage;

/// <summary>A data directory is another node's or another vault's, or none at all. Nothing was changed.</summary>
/// <param name="directory">The data directory.</param>
/// <param name="message">What it is, and what to do.</param>
public sealed class ForeignDirectoryException(string directory, string message) : IOException(message)
{
    /// <summary>The data directory.</summary>
    public string Directory { get; } = directory;
}
