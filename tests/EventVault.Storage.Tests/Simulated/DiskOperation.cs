namespace EventVault.Storage.Tests.Simulated;

/// <summary>What changes a disk or makes a change durable. Reads are none.</summary>
public enum DiskOperationKind
{
    CreateFile,
    CreateDirectory,
    Move,
    Delete,
    FlushDirectory,
    Write,
    WriteZeros,
    SetLength,
    Flush,
}

/// <summary>One operation, before it takes effect.</summary>
/// <param name="Number">1, 2, 3 … within one <see cref="SimulatedFileSystem"/>.</param>
/// <param name="Kind">What it does.</param>
/// <param name="Path">To which file or folder.</param>
/// <param name="Offset">Where in the file, or its new length.</param>
/// <param name="Length">How many bytes.</param>
public readonly record struct DiskOperation(long Number, DiskOperationKind Kind, string Path, long Offset, long Length);

/// <summary>
/// The power went out: no operation took effect from this one on. Not an IOException, so that nothing takes it for
/// a disk's error and goes on.
/// </summary>
public sealed class SimulatedCrashException(DiskOperation operation)
    : Exception($"Simulated power loss before operation {operation.Number}: {operation.Kind} on '{operation.Path}'.")
{
    public DiskOperation Operation { get; } = operation;
}
