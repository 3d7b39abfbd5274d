using EventVault.Raft;

namespace EventVault.Simulation.Checkers;

/// <summary>
/// What the simulated disks hold after any loss of power now, of replicas that run, are down, or whose disks were wiped
/// (as they were then). Damage that a disk does by itself is not counted: it is no fault of the node's.
/// </summary>
internal interface IDiskTruth
{
    /// <summary>Whether these bytes stand flushed in a file of the data directory.</summary>
    bool IsFlushed(ReplicaId replica, string file, long offset, ReadOnlySpan<byte> bytes);

    /// <summary>The flushed content of a file; null: it is not there for certain.</summary>
    byte[]? ReadFlushed(ReplicaId replica, string file);

    /// <summary>Whether the disk never lied, lost or spoilt anything that it had confirmed.</summary>
    bool IsHonest(ReplicaId replica);
}
