using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Log;

/// <summary>
/// A segment that will not change any more. Its file, index and keys are opened at the first use, so that start-up costs
/// nothing per segment. Safe for concurrent use.
/// </summary>
/// <param name="opened">The reader from before it was sealed, kept so that no running read loses it; or null.</param>
/// <param name="scavenged">What its header says if it was scavenged; or null.</param>
internal sealed class SealedSegment(
    IFileSystem files, string logPath, string indexPath, CatalogEntry record, VaultMeta meta, SegmentReader? opened, ScavengedHeader? scavenged = null)
{
    private readonly Lock _opening = new();
    private readonly string _keysPath = Path.ChangeExtension(indexPath, SealedKeysFormat.Extension); // Beside the index.
    private volatile SegmentReader? _reader = opened;
    private volatile SealedIndex? _index;
    private volatile SealedKeys? _keys;
    private volatile bool _isKeyFileDamaged; // It could not even be opened.
    private volatile bool _hasNoFile; // It is gone, or not as long as it should be.
    private bool _closed;
    private object? _retired;

    public CatalogEntry Record { get; } = record;

    /// <summary>Not null: it was scavenged, and its file has no groups.</summary>
    public ScavengedHeader? Scavenged => scavenged;

    /// <summary>Bytes of its file.</summary>
    public long FileLength => scavenged?.FileLength ?? meta.SegmentSizeBytes;

    /// <summary>What its key file must be of.</summary>
    public KeyedSegment Keyed => KeyedSegment.Of(Record, scavenged);

    /// <summary>Path of the index file.</summary>
    public string IndexPath => indexPath;

    /// <summary>Path of the key file.</summary>
    public string KeysPath => _keysPath;

    public Position FirstPosition => Record.FirstPosition;

    /// <summary>The segment's index. An index is never closed while its vault is open.</summary>
    /// <exception cref="IndexDamageException">The index file is damaged.</exception>
    public SealedIndex Index => _index ?? OpenIndex();

    /// <summary>The keys of the segment's events. Never closed while the vault is open.</summary>
    /// <exception cref="IndexDamageException">The key file is damaged; what is read from it later may turn out to be, too.</exception>
    public SealedKeys Keys => _keys ?? OpenKeys();

    /// <summary>Whether somebody found the key file damaged, and it was not made again since.</summary>
    public bool HasDamagedKeys => _isKeyFileDamaged || _keys is { IsDamaged: true };

    /// <summary>Whether somebody who read in the segment's file met damage.</summary>
    public bool HasMetDamage => _hasNoFile || _reader is { HasMetDamage: true };

    /// <summary>The segment's records; takes a lease that the caller must release.</summary>
    public SegmentReader Lease()
    {
        var reader = _reader ?? OpenReader();
        var isLeased = reader.TryLease();
        GC.KeepAlive(this);
        return isLeased ? reader : throw new ObjectDisposedException(nameof(VaultStorage));
    }

    /// <summary>Opens the segment's file, to be read past the mapping.</summary>
    /// <returns>The file; null: a newer form of the segment has taken its place.</returns>
    /// <exception cref="DamageException">It is gone, or as long as no form of the segment is.</exception>
    public IFile? TryOpenFile()
    {
        try
        {
            var file = files.OpenFile(logPath, FileOpening.ReadExisting);
            if (file.Length == FileLength)
            {
                return file;
            }

            using (file)
            {
                RequireNewer(file);
                return null;
            }
        }
        catch (Exception e) when (e is DamageException or DiskException { IsAbsence: true })
        {
            _hasNoFile = true;
            throw e as DamageException ?? Damage("the file is gone.");
        }
    }

    /// <summary>Opens all of its files, so that they stay what they are whatever stands under their names later.</summary>
    /// <exception cref="DamageException">One is damaged.</exception>
    public void OpenAll()
    {
        Lease().Release();
        Invariant.Check(Index.Segment == Record.Segment && Keys.Segment == Keyed);
    }

    /// <summary>
    /// A newer form of the segment has taken its place. Readers that found this one go on with it: it is unmapped, and its space
    /// returned, once nothing leads to it any more.
    /// </summary>
    public void Retire()
    {
        Invariant.Check(_reader is not null && _index is not null && _keys is not null && _retired is null);
        _retired = new OwnerLease(_reader);
        _index.Retire();
        _keys.Retire();
    }

    /// <summary>What still keeps its files' space once it is retired; each is gone when nothing leads to it any more.</summary>
    public IEnumerable<WeakReference> Mappings()
    {
        Invariant.Check(_retired is not null);
        return [new(_retired), new(_index), new(_keys)];
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

    /// <summary>Takes the key file that was made again. Who reads in the damaged one meets its damage, or goes on.</summary>
    /// <exception cref="IndexDamageException">It is damaged, too.</exception>
    public void ReopenKeys()
    {
        lock (_opening)
        {
            ObjectDisposedException.ThrowIf(_closed, typeof(VaultStorage));
            var keys = OpenKeyFile();
            _keys?.Retire();
            _keys = keys;
            _isKeyFileDamaged = false;
        }
    }

    private SealedKeys OpenKeys()
    {
        lock (_opening)
        {
            ObjectDisposedException.ThrowIf(_closed, typeof(VaultStorage));
            return _keys ??= OpenKeyFile();
        }
    }

    private SealedKeys OpenKeyFile()
    {
        try
        {
            var keys = SealedKeys.Open(files, _keysPath, Record.Segment);
            if (keys.Segment != Keyed)
            {
                keys.Dispose();
                throw new IndexDamageException(
                    _keysPath, 40, $"keys of another segment {Record.Segment}: {keys.Segment.Events} events from position {keys.Segment.FirstPosition}, expected {Record.EventCount} from {Record.FirstPosition}, or of another digest", SealedKeys.NextStep);
            }

            return keys;
        }
        catch (IndexDamageException)
        {
            _isKeyFileDamaged = true;
            throw;
        }
    }

    // A scavenge renames its file before the view has it. What it wrote is of a later scavenge, and as long as it says itself.
    private void RequireNewer(IFile file)
    {
        using var scanner = SegmentScanner.Open(file, Record.Segment, meta);
        if (scanner.Header.Scavenged is not { } found || (scavenged is not null && found.Point <= scavenged.Point))
        {
            throw Damage($"the file should have {FileLength} bytes.");
        }
    }

    private DamageException Damage(string expected)
    {
        _hasNoFile = true;
        return new DamageException(Path.GetFileName(logPath), 0, expected, LogRecovery.NextStep);
    }

    private SegmentReader OpenReader()
    {
        lock (_opening)
        {
            ObjectDisposedException.ThrowIf(_closed, typeof(VaultStorage));
            if (_reader is null)
            {
                using var file = TryOpenFile() ?? throw Damage("the form of the segment that the catalog has should stand here."); // A scavenge opens what it replaces.
                _reader = new SegmentReader(Record.Segment, file.Map(FileLength, MappedAccess.Normal), meta.ChecksumSeed);
            }

            return _reader;
        }
    }

    // The owner's lease of a segment that was replaced ends with the segment: nobody can take another one then.
    private sealed class OwnerLease(SegmentReader reader)
    {
        ~OwnerLease() => reader.Close();
    }
}
