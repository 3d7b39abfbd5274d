// Start numbers that were seen of other disks. v1: in memory.
using System.Collections.Concurrent;
using EventVault.Raft;

namespace EventVault.Node.Peers;

/// <summary>Highest start number of each replica.</summary>
internal sealed class SeenStarts
{
    private readonly ConcurrentDictionary<ReplicaId, (uint Number, Guid Boot)> _seen = new();

    /// <summary>Why a node is an old copy; null: it is none.</summary>
    public string? Refuses(PeerHello hello)
    {
        if (!_seen.TryGetValue(hello.Id, out var seen))
        {
            return null;
        }

        if (hello.StartNumber < seen.Number)
        {
            return $"the disk of {hello.Id} is an old copy: this is its start {hello.StartNumber}, and start {seen.Number} was seen before. Wipe it, and replace the node";
        }

        return hello.StartNumber == seen.Number && hello.Boot != seen.Boot
            ? $"the disk of {hello.Id} was copied: its start {hello.StartNumber} was seen before, of another process. Wipe the copy, and replace the node"
            : null;
    }

    /// <summary>Remembers it.</summary>
    public void Saw(PeerHello hello) => _seen[hello.Id] = (hello.StartNumber, hello.Boot);
}
