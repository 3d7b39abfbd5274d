// Scavenged segments: the same segment at the same point has the same bytes on every node, whatever happened to each since (unless a legal hold came between
// two scavenges, the first of which some nodes missed: these keep more), and ends with the
// group that was committed there, to which all before it is chained. What can still be read is held against the ledger by reads.
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Simulation.Checkers;

/// <summary>Checks what scavenges leave.</summary>
internal sealed class ScavengeChecker(Ledger ledger)
{
    private readonly Dictionary<(uint Segment, long Point), (SegmentDigest Digest, int Node)> _forms = [];
    private readonly Dictionary<int, LogView> _looked = [];

    /// <summary>Forms of segments that were seen.</summary>
    public int Seen => _forms.Count;

    /// <summary>The node ended.</summary>
    public void Stopped(int node) => _looked.Remove(node);

    /// <summary>Something ran on a node. Costs nothing unless a segment was sealed or scavenged.</summary>
    public void Look(int node, VaultStorage storage)
    {
        var view = storage.View;
        if (_looked.GetValueOrDefault(node) is { } known && ReferenceEquals(known.Sealed, view.Sealed))
        {
            return;
        }

        _looked[node] = view;
        foreach (var segment in view.Sealed)
        {
            if (segment.Scavenged is { } header)
            {
                var record = segment.Record;
                Look(node, record.Segment, header.Point.Value, header.Digest, record.LastLogIndex.Value, record.LastGroupChecksum);
            }
        }
    }

    /// <summary>A node has a segment scavenged at a point.</summary>
    public void Look(int node, uint segment, long point, in SegmentDigest digest, ulong lastIndex, uint lastChecksum)
    {
        Require.That(Rules.ScavengedIsCommitted, lastIndex <= ledger.LastIndex && point <= ledger.Head,
            $"node {node} has segment {segment}, which ends with entry {lastIndex}, scavenged at {point}; committed are entries up to {ledger.LastIndex} and position {ledger.Head}.");
        Require.That(Rules.LogsEqual, ledger.Group(lastIndex).Mark.Checksum == lastChecksum,
            $"node {node} has segment {segment} scavenged, which ends with {lastChecksum:x8} in the place of entry {lastIndex}, {ledger.Group(lastIndex).Mark}.");
        var (first, by) = _forms.TryAdd((segment, point), (digest, node)) ? (digest, node) : _forms[(segment, point)];
        Require.That(Rules.ScavengedEqual, first == digest || ledger.HasHolds(point), $"nodes {by} and {node} scavenged segment {segment} at {point} and came to different bytes.");
    }
}
