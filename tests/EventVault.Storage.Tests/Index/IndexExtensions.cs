using EventVault.Storage.Index;

namespace EventVault.Storage.Tests.Index;

/// <summary>What tests have as arrays, where the product lends its own.</summary>
internal static class IndexExtensions
{
    /// <summary>Applies a segment's appends.</summary>
    public static void Apply(this OperationsFiles files, uint segment, OperationEntry[] entries) => files.Apply(segment, entries.Length, i => entries[i]);

    /// <summary>One table's keys and their lists.</summary>
    public static (ulong[] Keys, ulong[] Lists) Sorted(this ActiveKeys active, int table)
    {
        ulong[] keys = new ulong[active.MostSorted(table)];
        ulong[] lists = new ulong[keys.Length];
        int count = active.Sort(table, keys, lists);
        return (keys[..count], lists[..count]);
    }
}
