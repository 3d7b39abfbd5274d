using EventVault.Storage.Index;
using EventVault.Storage.Io;

namespace EventVault.Storage.Log;

/// <summary>
/// A segment that will not change any more. Its file, index and keys are opened at the first use, so that start-up costs
/// nothing per segment. Safe for concurrent use.
/// </summary>
/// <param name="opened">The reader from before it was sealed, kept so that no running read loses it; or null.</param>
internal sealed class SealedSegment(
    IFileSystem files, string logPath, string indexPath, CatalogEntry record, VaultMeta meta, SegmentReader? opened)
{
    private readonly Lock _opening = new();
    private readonly string _keysPath = Path.ChangeExtension(indexPath, SealedKeysFormat.Extension); // Beside the index.
    private volatile SegmentReader? _reader = opened;
    private volatile SealedIndex? _index;
    private volatile SealedKeys? _keys;
    private bool _closed;

    public CatalogEntry Record { get; } = record;

    public Position FirstPosition => Record.FirstPosition;

    /// <summary>The segment's index. An index is never closed while its vault is open.</summary>
    /// <exception cref="IndexDamageException">The index file is damaged.</exception>
    public SealedIndex Index => _index ?? OpenIndex();

    /// <summary>The keys of the segment's events. Never closed while the vault is open.</summary>
    /// <exception cref="IndexDamageException">The key file is damaged; what is read from it later may turn out to be, too.</exception>
    public SealedKeys Keys => _keys ?? OpenKeys();

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
            _keys?.Dispose();
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

    private SealedKeys OpenKeys()
    {
        lock (_opening)
        {
            ObjectDisposedException.ThrowIf(_closed, typeof(VaultStorage));
            if (_keys is null)
            {
                var keys = SealedKeys.Open(files, _keysPath, Record.Segment);
                if (keys.Segment != KeyedSegment.Of(Record))
                {
                    keys.Dispose();
                    throw new IndexDamageException(_keysPath, 40, $"keys of another segment {Record.Segment}: {keys.Segment.Events} events from position {keys.Segment.FirstPosition}, expected {Record.EventCount} from {Record.FirstPosition}, or of another digest");
                }

                _keys = keys;
            }

            return _keys;
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
