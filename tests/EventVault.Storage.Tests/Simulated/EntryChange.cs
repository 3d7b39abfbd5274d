namespace EventVault.Storage.Tests.Simulated;

/// <summary>
/// One creation, renaming or deletion: the entries it sets, all or none. Two changes of the same name happen in their
/// order, if at all; changes of different names survive a power loss independently.
/// </summary>
internal sealed class EntryChange((SimulatedDirectory Directory, string Name, SimulatedInode? Node)[] entries)
{
    internal void Apply() => Array.ForEach(entries, entry => Set(entry.Directory.Entries, entry.Name, entry.Node));

    internal void ApplyToFlushed() => Array.ForEach(entries, entry => Set(entry.Directory.FlushedEntries, entry.Name, entry.Node));

    internal bool TouchesName(SimulatedDirectory directory, string name) =>
        Array.Exists(entries, entry => entry.Directory == directory && entry.Name == name);

    /// <summary>What a flush of a folder makes durable: its changes, and those they build on. Both parts in order.</summary>
    internal static (List<EntryChange> Flushed, List<EntryChange> Unflushed) SplitForFlush(List<EntryChange> changes, SimulatedDirectory directory)
    {
        var flushed = new List<EntryChange>();
        var unflushed = new List<EntryChange>();
        var names = new HashSet<(SimulatedDirectory, string)>();
        foreach (var change in Enumerable.Reverse(changes))
        {
            var isFlushed = change.Touches(directory) || change.TouchesAny(names);
            (isFlushed ? flushed : unflushed).Add(change);
            if (isFlushed)
            {
                change.AddNamesTo(names);
            }
        }

        flushed.Reverse();
        unflushed.Reverse();
        return (flushed, unflushed);
    }

    /// <summary>Which changes a power loss keeps: never one that builds on a lost one.</summary>
    internal static List<EntryChange> DrawKept(List<EntryChange> changes, Random random)
    {
        var luck = new CrashLuck(random, changes.Count);
        var kept = new List<EntryChange>();
        var lostNames = new HashSet<(SimulatedDirectory, string)>();
        foreach (var change in changes)
        {
            if (luck.PickVersion(versions: 2) == 1 && !change.TouchesAny(lostNames))
            {
                kept.Add(change);
            }
            else
            {
                change.AddNamesTo(lostNames);
            }
        }

        return kept;
    }

    /// <summary>The folder after a power loss, and all below it.</summary>
    internal static SimulatedDirectory Survivor(SimulatedDirectory directory, List<EntryChange> kept, Random random)
    {
        var entries = new SortedDictionary<string, SimulatedInode>(directory.FlushedEntries, StringComparer.Ordinal);
        foreach (var change in kept)
        {
            change.ApplyTo(directory, entries);
        }

        var survivor = new SimulatedDirectory();
        foreach (var (name, node) in entries)
        {
            SimulatedInode survived = node is SimulatedDirectory child
                ? Survivor(child, kept, random)
                : ((SimulatedContent)node).Crash(random);
            survivor.Entries.Add(name, survived);
            survivor.FlushedEntries.Add(name, survived);
        }

        return survivor;
    }

    private static void Set(SortedDictionary<string, SimulatedInode> entries, string name, SimulatedInode? node)
    {
        if (node is null)
        {
            entries.Remove(name);
        }
        else
        {
            entries[name] = node;
        }
    }

    private void ApplyTo(SimulatedDirectory directory, SortedDictionary<string, SimulatedInode> flushed)
    {
        foreach (var entry in entries)
        {
            if (entry.Directory == directory)
            {
                Set(flushed, entry.Name, entry.Node);
            }
        }
    }

    private bool Touches(SimulatedDirectory directory) => Array.Exists(entries, entry => entry.Directory == directory);

    private bool TouchesAny(HashSet<(SimulatedDirectory, string)> names) =>
        Array.Exists(entries, entry => names.Contains((entry.Directory, entry.Name)));

    private void AddNamesTo(HashSet<(SimulatedDirectory, string)> names) =>
        Array.ForEach(entries, entry => names.Add((entry.Directory, entry.Name)));
}
