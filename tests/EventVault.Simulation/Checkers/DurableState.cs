using System.Buffers.Binary;
using EventVault.Raft;
using EventVault.Simulation.Cluster;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Simulation.Checkers;

/// <summary>What replicas have on their disks, read from the files as docs/FORMAT.md has them.</summary>
internal sealed class DurableState(DiskRegister disks) : IDurableState
{
    private const int VoteBlock = 4096;

    public bool HoldsGroup(ReplicaId replica, ulong index, IReplicaView source)
    {
        var group = source.BytesAt(index);
        if (group.Length == 0)
        {
            return true; // Scavenged: its file was flushed and renamed, and if it was lost the next start has less than was acknowledged.
        }

        var (segment, offset) = GroupDecoder.Place(group);
        var file = $"log/{SegmentHeader.FileName(segment)}";
        return disks.IsFlushed(replica, file, offset, GroupDecoder.SharedHeader(group))
            && disks.IsFlushed(replica, file, offset + GroupDecoder.BodyAt, GroupDecoder.Body(group));
    }

    public Promise PromiseOf(ReplicaId replica)
    {
        var file = disks.ReadFlushed(replica, "vote") ?? [];
        var (promise, number) = (default(Promise), 0UL);
        for (var offset = 0; offset + VoteBlock <= file.Length; offset += VoteBlock)
        {
            var block = file.AsSpan(offset, VoteBlock);
            var written = BinaryPrimitives.ReadUInt64LittleEndian(block[16..]);
            if (written > number && IsWhole(block))
            {
                var node = BinaryPrimitives.ReadUInt32LittleEndian(block[40..]);
                number = written;
                promise = new Promise(
                    BinaryPrimitives.ReadUInt64LittleEndian(block[32..]),
                    node == 0 ? null : new ReplicaId(node, new Guid(block.Slice(48, 16), bigEndian: true)));
            }
        }

        return promise;
    }

    public bool IsHonest(ReplicaId replica) => disks.IsHonest(replica);

    private static bool IsWhole(ReadOnlySpan<byte> block)
    {
        var copy = block.ToArray();
        copy.AsSpan(8, 4).Clear();
        return BinaryPrimitives.ReadUInt32LittleEndian(block[8..]) == Checksum.Compute(copy);
    }
}
