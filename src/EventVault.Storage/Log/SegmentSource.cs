using EventVault.Storage.Index;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Log;

/// <summary>One segment to read from, sealed or not.</summary>
internal readonly struct SegmentSource
{
    private readonly UnsealedSegment? _unsealed;
    private readonly ActiveIndex? _index;
    private readonly SealedSegment? _sealed;

    /// <summary>An unsealed segment, as long as the lease lasts.</summary>
    public SegmentSource(UnsealedSegment segment, in ViewLease lease)
        : this(segment) => _index = segment.Index(lease);

    /// <summary>The bytes alone of an unsealed segment: where its events stand can't be asked for.</summary>
    public SegmentSource(UnsealedSegment segment) => _unsealed = segment;

    public SegmentSource(SealedSegment segment) => _sealed = segment;

    public Position FirstPosition => _unsealed?.FirstPosition ?? _sealed!.FirstPosition;

    /// <summary>Offset of an event's record; 0: a scavenge removed it.</summary>
    public uint OffsetOf(uint ordinal) => _index?.OffsetOf((int)ordinal) ?? _sealed!.Index.OffsetOf(ordinal);

    /// <summary>The sealed segment; null: it is not sealed.</summary>
    public SealedSegment? Sealed => _sealed;

    /// <summary>The first event at or behind an ordinal that no scavenge removed; behind the last one if there is none.</summary>
    public uint NextKept(uint ordinal) => _sealed?.Index.NextKept(ordinal) ?? ordinal;

    /// <summary>The last event at or before an ordinal that no scavenge removed; −1 if there is none.</summary>
    public long LastKept(uint ordinal) => _sealed?.Index.LastKept(ordinal) ?? ordinal;

    /// <summary>What to read if the segment was scavenged; else null.</summary>
    public ScavengedSegment? Scavenged(SegmentReader leased, VaultMeta meta) =>
        _sealed?.Scavenged is { } header ? new ScavengedSegment(leased, header, _sealed.FirstPosition, meta) : null;

    public SegmentLease Lease()
    {
        if (_sealed is not null)
        {
            return new SegmentLease(_sealed.Lease());
        }

        return _unsealed!.Reader.TryLease() ? new SegmentLease(_unsealed.Reader) : throw new ObjectDisposedException(nameof(VaultStorage));
    }
}

/// <summary>Keeps a segment mapped while its bytes are looked at.</summary>
internal readonly ref struct SegmentLease(SegmentReader reader) : IDisposable
{
    public SegmentReader Reader { get; } = reader;

    public void Dispose() => Reader.Release();
}
