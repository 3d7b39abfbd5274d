namespace EventVault.Storage.Index;

/// <summary>
/// A rebuildable file holds bytes that it cannot have been given. No event is lost by it: the log is the truth.
/// </summary>
/// <param name="path">The damaged file.</param>
/// <param name="offset">Where in it, in bytes.</param>
/// <param name="observed">What was found there, and what was expected.</param>
/// <param name="nextStep">What to do, in sentences.</param>
public sealed class IndexDamageException(string path, long offset, string observed, string nextStep = IndexDamageException.ByHand)
    : IOException($"'{path}', offset {offset}: {observed}. {nextStep}")
{
    private const string ByHand = "This file is rebuildable: stop the node, delete it and start again; start rebuilds it from the log.";

    /// <summary>The damaged file.</summary>
    public string Path { get; } = path;

    /// <summary>Where in it, in bytes.</summary>
    public long Offset { get; } = offset;
}
