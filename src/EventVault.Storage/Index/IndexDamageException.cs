using EventVault.Storage.Io;

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

    /// <summary>Opens a rebuildable file that must be there.</summary>
    /// <exception cref="IndexDamageException">It is gone.</exception>
    internal static IFile OpenFile(IFileSystem files, string path, string nextStep = ByHand)
    {
        try
        {
            return files.OpenFile(path, FileOpening.ReadExisting);
        }
        catch (DiskException e) when (e.IsAbsence)
        {
            throw new IndexDamageException(path, 0, "the file is gone", nextStep);
        }
    }

    /// <summary>The damaged file.</summary>
    public string Path { get; } = path;

    /// <summary>Where in it, in bytes.</summary>
    public long Offset { get; } = offset;
}
