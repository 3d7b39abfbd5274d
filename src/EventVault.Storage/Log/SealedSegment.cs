using EventVault.Storage.Index;
using EventVault.Storage.Io;

namespace EventVault.Storage.Log;

/// <summary>
/// A segment that will not change any more. Its file and index are opened at the first use, so that start-up costs
/// nothing per segment. Safe for concurrent use.
/// </summary>
/// <param name="opened">The reader from before it was sealed, kept so that no running read loses it; or null.</param>
internal sealed class SealedSegment(
    IFileSystem files, string logPath, string indexPath, CatalogEntry record, VaultMeta meta, SegmentReader? opened)
{
    private readonly Lock _opening = new();
    private volatile SegmentReader? _reader = opened;
    private volatile SealedIndex? _index;
    private bool _closed;

    public CatalogEntry Record { get; } = record;

    public Position FirstPosition => Record.FirstPosition;

    /// <summary>The segment's index. An index is never closed while its vault is open.</summary>
    /// <exception cref="IndexDamageException">The index file is damaged.</exception>
    public SealedIndex Index => _index ?? OpenIndex();

    /// <summary>The segment's records; takes a lease that the caller must release.</summary>
    public SegmentReader Lease()
    {
        var reader = _reader ?? OpenReader();
        return reader.TryLease() ? reader : throw new ObjectDisposedException(nameof(VaultStorage));
    }

    public void Close()
    {
        lock (_opening)
        {
            _closed = true;
            _reader?.Close();
            _index?.Dispose();
        }
    }

    private SealedIndex OpenIndex()
    {
        lock (_opening)
        {
            ObjectDisposedException.ThrowIf(_closed, typeof(VaultStorage));
            return _index ??= SealedIndex.Open(files, indexPath, Record.Segment);
        }
    }

    private SegmentReader OpenReader()
    {
        lock (_opening)
        {
            ObjectDisposedException.ThrowIf(_closed, typeof(VaultStorage));
            if (_reader is null)
            {
                using var file = files.OpenFile(logPath, FileOpening.ReadExisting);
                if (file.Length != meta.SegmentSizeBytes)
                {
                    throw new DamageException(Path.GetFileName(logPath), file.Length, $"the file should have {meta.SegmentSizeBytes} bytes.", LogRecovery.NextStep);
                }

                _reader = new SegmentReader(Record.Segment, file.Map(meta.SegmentSizeBytes, MappedAccess.Normal), meta.ChecksumSeed);
            }

            return _reader;
        }
    }
}
