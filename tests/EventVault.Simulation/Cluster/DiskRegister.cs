using EventVault.Raft;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Simulation.Cluster;

/// <summary>What is on the disks whatever happens now, also on those that were taken out.</summary>
internal sealed class DiskRegister(Simulation simulation)
{
    private readonly Dictionary<ReplicaId, SimulatedFileSystem> _retired = [];
    private readonly HashSet<ReplicaId> _spoilt = [];

    public void Retire(ReplicaId id, SimulatedFileSystem files) => _retired[id] = files;

    /// <summary>The disk lied, or bits of it flipped: what it confirmed may be missing.</summary>
    public void Spoil(ReplicaId id) => _spoilt.Add(id);

    /// <summary>Whether the disk never lost what it had confirmed to be flushed.</summary>
    public bool IsHonest(ReplicaId replica) => !_spoilt.Contains(replica);

    /// <summary>Whether these bytes would be there after a power loss now. The file is relative to the data directory.</summary>
    public bool IsFlushed(ReplicaId replica, string file, long offset, ReadOnlySpan<byte> bytes) => Find(replica)?.IsFlushed(Path(file), offset, bytes) ?? false;

    /// <summary>What a file would hold at least after a power loss now; null if it might be gone.</summary>
    public byte[]? ReadFlushed(ReplicaId replica, string file) => Find(replica)?.ReadFlushed(Path(file));

    private static string Path(string file) => $"{SimulatedNode.Directory}/{file}";

    private SimulatedFileSystem? Find(ReplicaId replica)
    {
        foreach (var node in simulation.Nodes)
        {
            if (node.Id == replica)
            {
                return node.Aside ?? node.Files;
            }
        }

        return _retired.GetValueOrDefault(replica);
    }
}
