namespace EventVault.Storage.Log;

/// <summary>One segment to read from, sealed or not.</summary>
internal readonly struct SegmentSource
{
    private readonly UnsealedSegment? _unsealed;
    private readonly SealedSegment? _sealed;

    public SegmentSource(UnsealedSegment segment) => _unsealed = segment;

    public SegmentSource(SealedSegment segment) => _sealed = segment;

    public Position FirstPosition => _unsealed?.Index.FirstPosition ?? _sealed!.FirstPosition;

    public uint OffsetOf(uint ordinal) => _unsealed?.Index.OffsetOf((int)ordinal) ?? _sealed!.Index.OffsetOf(ordinal);

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
