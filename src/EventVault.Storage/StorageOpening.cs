// Opens a data directory: recovers the log's end and brings the rebuildable files up to date with it.
//
// What is sealed is what the catalog lists. Behind it stand up to three unsealed segments, which are walked whole.
// Index files, heads, operations, state and catalog may be missing or behind, in any combination: they are redone from
// the log, in the order of the segments, so that they come out with the same content.
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage;

internal sealed class StorageOpening(VaultStorage storage)
{
    private readonly IFileSystem _files = storage.Files;
    private readonly VaultMeta _meta = storage.Meta;
    private readonly List<SealedSegment> _sealed = [];
    private readonly List<UnsealedSegment> _unsealed = [];
    private RecoveredSegment? _last;
    private IFile? _lastFile;

    private string CatalogPath => Path.Combine(storage.IndexDirectory, "catalog");

    private string HeadsPath => Path.Combine(storage.IndexDirectory, "heads");

    private string StatePath => Path.Combine(storage.IndexDirectory, "state");

    /// <summary>What the storage needs to begin.</summary>
    public sealed record Opened(
        LogView View, Sealer Sealer, OperationsFiles Operations, IFile ActiveFile, uint End, uint LastGroup,
        LogIndex LastIndex, Position LastPosition, long LastTime, uint CutBytes);

    /// <summary>Reads the vault's identity and counts the start; creates both if the directory is empty.</summary>
    public static VaultMeta OpenMeta(IFileSystem files, string directory, StorageOptions options, long now)
    {
        var path = Path.Combine(directory, VaultMeta.FileName);
        var logDirectory = Path.Combine(directory, VaultStorage.LogFolder);
        VaultMeta? meta = null;
        if (files.FileExists(path))
        {
            using var old = files.OpenFile(path, FileOpening.ReadExisting);
            meta = VaultMeta.Read(old);
        }

        var hasLog = files.DirectoryExists(logDirectory) && files.ListFiles(logDirectory).Any(IsSegment);
        if (meta is null && hasLog)
        {
            throw new DamageException(VaultMeta.FileName, 0, "both copies of the vault's identity are missing or damaged, and there is a log.", "Nothing was changed. Restore the file meta from a copy of the data directory: without it the log can't be checked.");
        }

        if (meta is null)
        {
            if (options.SegmentSizeBytes is < StorageOptions.MinSegmentSizeBytes or > StorageOptions.MaxSegmentSizeBytes || options.SegmentSizeBytes % Blocks.Size != 0)
            {
                throw new ArgumentException($"A segment of {options.SegmentSizeBytes} bytes can't be made: {StorageOptions.MinSegmentSizeBytes} to {StorageOptions.MaxSegmentSizeBytes} in steps of {Blocks.Size} are allowed.", nameof(options));
            }

            meta = VaultMeta.Create(options.SegmentSizeBytes, now, options.Random);
        }

        using (var file = files.OpenFile(path, FileOpening.ExistingOrNew))
        {
            meta = (meta with { StartNumber = meta.StartNumber + 1 }).Write(file);
        }

        files.CreateDirectory(logDirectory);
        files.CreateDirectory(Path.Combine(directory, VaultStorage.IndexFolder));
        files.FlushDirectory(directory);
        if (Path.GetDirectoryName(Path.GetFullPath(directory)) is { Length: > 0 } parent)
        {
            files.FlushDirectory(parent);
        }

        return meta;
    }

    public Opened Run()
    {
        var segments = ListSegments();
        var catalog = OpenOrDelete(CatalogPath, () => Catalog.Open(_files, CatalogPath));
        if (catalog.Count >= segments)
        {
            // The catalog knows more than the log has: it is of another time.
            catalog.Dispose();
            _files.DeleteFile(CatalogPath);
            catalog = Catalog.Open(_files, CatalogPath);
        }

        while (catalog.Count < segments - 1 && ReadSealed((uint)catalog.Count) is { } record)
        {
            catalog.Append(record);
        }

        var heads = OpenOrDelete(HeadsPath, () => HeadsFile.Open(_files, HeadsPath));
        var operations = OpenOperations();
        var state = OpenOrDelete(StatePath, () => StateTable.Open(_files, StatePath));
        if (Enumerable.Range(0, catalog.Count).Any(i => !HasIndex(catalog[i])) || heads.AppliedThrough >= catalog.Count)
        {
            // A missing index can only be made with the heads as they were before it: begin again at the start.
            heads.Dispose();
            _files.DeleteFile(HeadsPath);
            heads = HeadsFile.Open(_files, HeadsPath);
        }

        if (operations.AppliedThrough >= catalog.Count)
        {
            operations.Dispose();
            OperationsFiles.DeleteAll(_files, storage.IndexDirectory);
            operations = OpenOperations();
        }

        if (state.AppliedThrough >= catalog.Count)
        {
            _files.DeleteFile(StatePath);
            state = StateTable.Open(_files, StatePath);
        }

        for (var segment = (uint)(state.AppliedThrough + 1); segment < catalog.Count; segment++)
        {
            state.Rewrite(segment, []);
        }

        var sealer = new Sealer(storage, catalog, heads, operations, state);
        for (var i = 0; i < catalog.Count; i++)
        {
            _sealed.Add(Redo(catalog[i], sealer, heads, operations));
        }

        var cut = 0u;
        for (var segment = (uint)catalog.Count; segment < segments; segment++)
        {
            cut += RecoverUnsealed(segment, segments, heads);
            if (_unsealed.Count > VaultStorage.MaxUnsealedSegments)
            {
                var oldest = _unsealed[0];
                _sealed.Add(sealer.Seal(oldest, _unsealed[1].IndexBefore, View(heads)));
                _unsealed.RemoveAt(0);
            }
        }

        if (_last is null)
        {
            CreateFirstSegment();
        }

        _files.FlushDirectory(storage.LogDirectory);
        return new Opened(
            View(heads), sealer, operations, _lastFile!, _last!.End, _last.LastGroup, _last.LastIndex, _last.LastPosition, _last.LastTime, cut);
    }

    private static bool IsSegment(string name) => name.EndsWith(".seg", StringComparison.Ordinal);

    private LogView View(HeadsFile heads) => new([.. _sealed], [.. _unsealed], heads);

    private int ListSegments()
    {
        var names = _files.ListFiles(storage.LogDirectory).Where(IsSegment).ToList();
        for (var i = 0; i < names.Count; i++)
        {
            if (names[i] != SegmentHeader.FileName((uint)i))
            {
                throw new DamageException(SegmentHeader.FileName((uint)i), 0, $"the segment's file should be here, the next one found is {names[i]}.", "Nothing was changed. Put the missing file back, or restore it from another copy.");
            }
        }

        return names.Count;
    }

    // A rebuildable file that is damaged is as good as missing.
    private T OpenOrDelete<T>(string path, Func<T> open)
    {
        try
        {
            return open();
        }
        catch (IndexDamageException)
        {
            _files.DeleteFile(path);
            return open();
        }
    }

    private OperationsFiles OpenOperations()
    {
        try
        {
            return OperationsFiles.Open(_files, storage.IndexDirectory, storage.Meta.SipKey, storage.Options.OperationHorizon);
        }
        catch (IndexDamageException)
        {
            OperationsFiles.DeleteAll(_files, storage.IndexDirectory);
            return OperationsFiles.Open(_files, storage.IndexDirectory, storage.Meta.SipKey, storage.Options.OperationHorizon);
        }
    }

    private bool HasIndex(CatalogEntry record)
    {
        var path = Sealer.IndexPath(storage, record.Segment);
        if (!_files.FileExists(path))
        {
            return false;
        }

        using var file = _files.OpenFile(path, FileOpening.ReadExisting);
        return file.Length == record.Index.LengthBytes;
    }

    // For a catalog that was lost: what an intact footer and an intact index file say.
    private CatalogEntry? ReadSealed(uint segment)
    {
        var block = new byte[Blocks.Size];
        using (var file = _files.OpenFile(Sealer.LogPath(storage, segment), FileOpening.ReadExisting))
        {
            file.ReadFromDisk(_meta.SegmentSizeBytes - Blocks.Size, block);
        }

        if (SegmentFooter.Decode(block, _meta.ChecksumSeed) is not { } footer || footer.Segment != segment
            || !_files.FileExists(Sealer.IndexPath(storage, segment)))
        {
            return null;
        }

        try
        {
            using var index = SealedIndex.Open(_files, Sealer.IndexPath(storage, segment), segment);
            return index.EventCount == footer.Events ? Sealer.Record(footer, index.Mark) : null;
        }
        catch (IndexDamageException)
        {
            return null;
        }
    }

    // Brings heads and operations up to a sealed segment; makes its index file again if that is missing.
    private SealedSegment Redo(CatalogEntry record, Sealer sealer, HeadsFile heads, OperationsFiles operations)
    {
        var segment = record.Segment;
        if (!HasIndex(record))
        {
            var (recovered, file) = Recover(segment, null, heads);
            var unsealed = Unsealed(recovered, file);
            file.Dispose();
            return sealer.Seal(unsealed, recovered.LastIndex, View(heads));
        }

        var result = new SealedSegment(_files, Sealer.LogPath(storage, segment), Sealer.IndexPath(storage, segment), record, _meta, null);
        if (heads.AppliedThrough < segment)
        {
            var index = result.Index;
            var changed = new KeyValuePair<UInt128, StreamHead>[index.StreamCount];
            for (var entry = 0; entry < changed.Length; entry++)
            {
                var run = index.Run(entry);
                var position = index.FirstPosition.Value + index.OrdinalOf(entry, run.Count - 1);
                changed[entry] = new(run.Key, StreamChain.HeadOf(segment, (uint)entry, run, position, node => _sealed[(int)node.Segment].Index.Run((int)node.Entry).Jump));
            }

            heads.Apply(segment, changed);
        }

        if (operations.AppliedThrough < segment)
        {
            operations.Apply(segment, ReadOperations(result, record.LastLogIndex));
        }

        return result;
    }

    private static OperationEntry[] ReadOperations(SealedSegment segment, LogIndex last)
    {
        var entries = new List<OperationEntry>();
        using var lease = new SegmentSource(segment).Lease();
        var offset = (uint)Blocks.Size;
        GroupHeader header;
        do
        {
            var body = lease.Reader.ReadGroup(offset, out header);
            while (!body.IsEmpty)
            {
                Invariant.Check(RecordFormat.TryDecodeAppend(body, out var append));
                entries.Add(new OperationEntry(append.OperationId, header.Place));
                body = body[append.Length..];
            }

            offset += (uint)header.TotalLength;
        }
        while (header.Index != last);
        return [.. entries];
    }

    private uint RecoverUnsealed(uint segment, int segments, HeadsFile heads)
    {
        var next = segment + 1 < segments ? ReadHeader(segment + 1) : (SegmentHeader?)null;
        var (recovered, file) = Recover(segment, next, heads);
        _unsealed.Add(Unsealed(recovered, file));
        if (next is null)
        {
            (_last, _lastFile) = (recovered, file);
        }
        else
        {
            file.Dispose();
        }

        return recovered.CutBytes;
    }

    private SegmentHeader ReadHeader(uint segment)
    {
        using var file = _files.OpenFile(Sealer.LogPath(storage, segment), FileOpening.ReadExisting);
        return SegmentScanner.Open(file, segment, _meta).Header;
    }

    private (RecoveredSegment Recovered, IFile File) Recover(uint segment, SegmentHeader? next, HeadsFile heads)
    {
        var file = _files.OpenFile(Sealer.LogPath(storage, segment), FileOpening.Existing);
        try
        {
            var unsealed = _unsealed.ToArray();
            return (LogRecovery.Recover(file, segment, _meta, storage.Options, next, LastVersion), file);

            StreamVersion LastVersion(UInt128 key)
            {
                for (var i = unsealed.Length - 1; i >= 0; i--)
                {
                    var number = unsealed[i].Index.FindStream(key);
                    if (number >= 0)
                    {
                        return new StreamVersion(unsealed[i].Index.Tail(number));
                    }
                }

                return segment > 0 && heads.TryGet(key, out var head) ? new StreamVersion(head.LastVersion) : StreamVersion.None;
            }
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private UnsealedSegment Unsealed(RecoveredSegment recovered, IFile file) => new(
        recovered.Index,
        new SegmentReader(recovered.Index.Segment, file.Map(_meta.SegmentSizeBytes, MappedAccess.Random), _meta.ChecksumSeed));

    private void CreateFirstSegment()
    {
        var path = Path.Combine(storage.LogDirectory, "first.tmp");
        _files.DeleteFile(path);
        var file = _files.OpenFile(path, FileOpening.New);
        file.WriteZeros(0, _meta.SegmentSizeBytes);
        var header = new SegmentHeader(_meta.VaultId, 0, _meta.SegmentSizeBytes, new LogIndex(1), new Position(0), 1, 0);
        var block = new byte[Blocks.Size];
        header.Encode(block, _meta.ChecksumSeed);
        file.Write(0, block);
        file.Flush();
        _files.MoveFile(path, Sealer.LogPath(storage, 0));
        _files.FlushDirectory(storage.LogDirectory);
        var index = new ActiveIndex(0, new Position(0), new LogIndex(1));
        _last = new RecoveredSegment(index, Blocks.Size, 0, new LogIndex(0), Position.None, 0, 0);
        _lastFile = file;
        _unsealed.Add(Unsealed(_last, file));
    }
}
