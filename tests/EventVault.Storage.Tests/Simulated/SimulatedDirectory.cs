namespace EventVault.Storage.Tests.Simulated;

/// <summary>What a directory entry leads to.</summary>
internal abstract class SimulatedInode
{
}

/// <summary>A folder: its entries as the processes see them, and as they are on the disk.</summary>
internal sealed class SimulatedDirectory : SimulatedInode
{
    internal SortedDictionary<string, SimulatedInode> Entries { get; } = new(StringComparer.Ordinal);

    internal SortedDictionary<string, SimulatedInode> FlushedEntries { get; } = new(StringComparer.Ordinal);
}
