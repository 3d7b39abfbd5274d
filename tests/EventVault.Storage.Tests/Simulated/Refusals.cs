namespace EventVault.Storage.Tests.Simulated;

/// <summary>A disk that is full for two of its operations: others fill it and make room again, whatever was seen before.</summary>
internal sealed class Refusals
{
    private readonly SimulatedFileSystem _files;
    private readonly Func<string, bool> _counts;
    private readonly long _first;
    private readonly long _second;
    private readonly Random _random;
    private long _seen;

    /// <summary>From now on.</summary>
    /// <param name="files">The disk; nobody else uses its <see cref="SimulatedFileSystem.OnOperation"/>.</param>
    /// <param name="at">Which of the operations that take room is refused first; 1 is the next.</param>
    /// <param name="seed">Draws how much of a write was done all the same, and which one is refused next.</param>
    /// <param name="counts">Says by a path whether operations on it count; null: on all do.</param>
    public Refusals(SimulatedFileSystem files, long at, int seed, Func<string, bool>? counts = null)
    {
        (_files, _counts) = (files, counts ?? (static _ => true));
        _random = new Random(seed);
        (_first, _second) = (at, at + _random.Next(1, 12));
        files.FailingWriteError = SimulatedFileSystem.NoSpace;
        files.OnOperation = Refuse;
    }

    /// <summary>How many were refused.</summary>
    public int Count { get; private set; }

    /// <summary>What was refused last.</summary>
    public DiskOperationKind Last { get; private set; }

    private void Refuse(DiskOperation operation)
    {
        // Some file systems need room even to delete.
        var takesRoom = operation.Kind is not (DiskOperationKind.Flush or DiskOperationKind.FlushDirectory);
        if (!takesRoom || !_counts(operation.Path) || (++_seen != _first && _seen != _second))
        {
            return;
        }

        (Count, Last) = (Count + 1, operation.Kind);
        if (operation.Kind is not (DiskOperationKind.Write or DiskOperationKind.WriteZeros))
        {
            throw SimulatedFileSystem.Failure("open", operation.Path, SimulatedFileSystem.NoSpace);
        }

        _files.FailingWrite.StrikeAt(1, _random);
    }
}
