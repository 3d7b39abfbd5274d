using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage.Scavenging;

/// <summary>Writes sealed segments anew without what is hidden. One background thread calls <see cref="Step"/>.</summary>
public sealed class Scavenger
{
    private readonly VaultStorage _storage;

    internal Scavenger(VaultStorage storage) => _storage = storage;

    /// <summary>How far it is. For every thread.</summary>
    public ScavengeProgress Progress => new(ScavengeState.Never, Position.None, 0, 0, 0, 0, 0, null);

    /// <summary>
    /// Does a bounded piece of work: reads or writes some 1 MiB (an index or key file is written at once). The caller sleeps in
    /// between as it sees fit. One background thread, which need not be the one that seals.
    /// </summary>
    /// <param name="heldByAll">
    /// Only segments whose groups every member of the vault has, up to this index, are touched: the groups of a scavenged
    /// segment can't be sent any more. <see cref="VaultStorage.CommitIndex"/> in a vault of one node.
    /// </param>
    /// <returns>False: there is nothing to do now. It is done or stopped, never began, or waits.</returns>
    /// <exception cref="DiskException">A failure other than a full disk: the node must stop.</exception>
    /// <exception cref="DamageException">A segment is damaged; nothing was changed.</exception>
    public bool Step(LogIndex heldByAll) => false;

    /// <summary>What a scavenge that started now would do. For every thread; reads the stream <c>$streams</c> and indexes.</summary>
    /// <param name="from">First segment.</param>
    /// <param name="max">At most so many, from 1.</param>
    /// <param name="next">Where the next page begins; null: there are no more.</param>
    public IReadOnlyList<SegmentExplanation> Explain(uint from, int max, out uint? next)
    {
        next = null;
        return [];
    }
}
