namespace EventVault.Storage.Tests.Simulated;

/// <summary>What a directory entry leads to.</summary>
internal abstract class SimulatedNode
{
}

/// <summary>A folder: its entries as the processes see them, and as they are on the disk.</summary>
internal sealed class SimulatedDirectory : SimulatedNode
{
    internal SortedDictionary<string, SimulatedNode> Entries { get; } = new(StringComparer.Ordinal);

    internal SortedDictionary<string, SimulatedNode> FlushedEntries { get; } = new(StringComparer.Ordinal);
}
