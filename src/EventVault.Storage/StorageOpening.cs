// Opens a data directory: recovers the log's end and brings the rebuildable files up to date with it.
//
// What is sealed is what the catalog lists. Behind it stand a few unsealed segments, which are walked whole. A truncation that
// a crash cut short is finished first. Behind a stop in order the log's end is known, and nothing is looked for behind it.
// Index files, key files, heads, operations, state and catalog may be missing or behind, in any combination: they are redone from
// the log, in the order of the segments, so that they come out with the same content. The index of the unsealed segment may have been
// saved by a stop in order; then that segment is not walked.
using System.Globalization;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage;

internal sealed class StorageOpening
{
    /// <summary>What is wrong with a file in the log's folder that only calls itself a segment, and what to do about it.</summary>
    public const string StrayName = "no segment has such a name: 20 digits and .seg.", StrayNext = "If it is a copy, move it out of the folder; if a segment was renamed, give it its name back.";

    private readonly VaultStorage _storage;
    private readonly IFileSystem _files;
    private readonly VaultMeta _meta;
    private readonly OpeningWatch? _watch;
    private readonly RecoveredLog _log;
    private readonly StreamLives _lives;
    private readonly List<SealedSegment> _sealed = [];
    private readonly List<UnsealedSegment> _unsealed = [];
    private readonly List<IDisposable> _open = [];
    private HeadsFile? _heads;
    private readonly List<ScavengedHeader?> _scavenged = [];
    private bool _headsAreOfCatalog;
    private uint _walked; // The segment that is being walked.
    private RecoveredSegment? _last;
    private IFile? _lastFile;
    private CleanStop? _stop;

    private StorageOpening(VaultStorage storage)
    {
        _storage = storage;
        _files = storage.Files;
        _meta = storage.Meta;
        _watch = storage.Options.Watch;
        _lives = new StreamLives(storage.Meta.SipKey);
        _log = new RecoveredLog(storage.Meta, _lives, LastVersion);
    }

    private string CatalogPath => Path.Combine(_storage.IndexDirectory, "catalog");

    private string HeadsPath => HeadsPathOf(_storage);

    private string StatePath => Path.Combine(_storage.IndexDirectory, "state");

    /// <summary>What the storage needs to begin.</summary>
    public sealed record Opened(
        LogView View, Sealer Sealer, OperationsFiles Operations, IFile ActiveFile, VaultMeta Meta, RecoveredLog Log, StreamLives Lives, bool IsMarked, uint CutBytes, bool StoppedInOrder, bool HadSavedIndex);

    public static string HeadsPathOf(VaultStorage storage) => Path.Combine(storage.IndexDirectory, "heads");

    /// <summary>Recovers the log. A rebuildable file that turns out to be damaged is as good as missing.</summary>
    public static Opened Run(VaultStorage storage)
    {
        var deleted = new HashSet<string>();
        while (true)
        {
            var opening = new StorageOpening(storage);
            try
            {
                if (opening.RunOnce() is { } opened)
                {
                    return opened;
                }

                opening.Close(); // Once more, with a longer catalog.
            }
            catch (IndexDamageException e) when (deleted.Add(e.Path))
            {
                opening.Close();
                opening.Delete(e.Path);
            }
            catch
            {
                opening.Close();
                throw;
            }
        }
    }

    // Null: another scavenged segment can be added to the catalog now.
    private Opened? RunOnce()
    {
        // Where segments were installed the log is not the one that the note is about.
        _stop = _meta.Truncation is null && _storage.Shipped.Installed == 0 ? CleanStop.Read(_files, _storage.Directory, _meta) : null;
        var segments = DropTruncated(ListSegments());
        var catalog = OpenCatalog(segments);
        segments = DropLeftEmpty(segments, catalog.Count);
        RedoScavenged(catalog);
        var heads = Keep(HeadsFile.Open(_files, HeadsPath));
        var operations = OpenOperations();
        var (state, history) = OpenState(catalog);
        var hasIndex = Enumerable.Range(0, catalog.Count).Select(i => HasIndex(catalog[i], _scavenged[i])).ToArray();
        if (hasIndex.Contains(false) || heads.AppliedThrough >= catalog.Count)
        {
            // A missing index can only be made with the heads as they were before it: begin again at the start.
            heads.Dispose();
            Delete(HeadsPath);
            heads = Keep(HeadsFile.Open(_files, HeadsPath));
        }

        if (operations.AppliedThrough >= catalog.Count)
        {
            operations.Dispose();
            OperationsFiles.DeleteAll(_files, _storage.IndexDirectory);
            operations = OpenOperations();
        }

        var saved = _stop is { } stop && segments == catalog.Count + 1 && !hasIndex.Contains(false) ? OpenSaved(stop, history) : null;
        history.Lives.CopyTo(_lives);
        _heads = heads;
        var sealer = new Sealer(_storage, catalog, heads, operations, state);
        for (var i = 0; i < catalog.Count; i++)
        {
            _sealed.Add(Redo(catalog[i], hasIndex[i], sealer, heads, operations));
        }

        _log.Follow(history);
        _log.Prove(_storage.Shipped.Through);
        if (saved is { } end)
        {
            _log.Resume(end);
        }
        else if (!WalkUnsealed((uint)catalog.Count, (uint)segments, sealer))
        {
            return null;
        }

        if (_last is null)
        {
            CreateFirstSegment();
        }

        if (_log.Proven > _log.End.Index)
        {
            throw new DamageException(
                SegmentHeader.FileName(_log.End.Place.Segment), _log.End.Place.Offset, $"group {_log.Proven} should stand here: it was durable when the segment before was sealed.", LogRecovery.NextStep);
        }

        if (_storage.Vote.Term < history.LastTerm)
        {
            throw VoteFile.IsOlderThan(history.LastTerm, _storage.Vote.Term);
        }

        sealer.Floor.Open();
        _log.LoadPending(_unsealed);
        _files.FlushDirectory(_storage.LogDirectory);
        _files.DeleteFile(CleanStop.PathIn(_storage.Directory)); // It says nothing any more, whether or not this is durable.
        ActiveIndexFile.Delete(_files, _storage.Directory); // Nor does this.
        var meta = _meta.Truncation is null ? _meta : _meta.EndTruncation(_files, _storage.Directory);
        return new Opened(View(heads), sealer, operations, _lastFile!, meta, _log, _lives, _last!.IsMarked, _last.CutBytes, _stop is not null, saved is not null);
    }

    // The segments behind those that the catalog lists; false if it turned out that the catalog was lost: then all before a
    // scavenged segment, which has no groups to walk, is sealed by now.
    private bool WalkUnsealed(uint sealedCount, uint segments, Sealer sealer)
    {
        for (var segment = sealedCount; segment < segments; segment++)
        {
            _watch?.Begin("walks segment", segment + 1, segments);
            if (ReadScavenged(segment) is not null)
            {
                Invariant.Check(_unsealed.Count > 0, "The catalog lists a scavenged segment as soon as it lists all before it.");
                _log.Prove(_log.End.Index);
                while (_unsealed.Count > 0)
                {
                    SealOldest(sealer, _unsealed.Count > 1 ? _unsealed[1].IndexBefore : _log.End.Index);
                }

                return false;
            }

            RecoverUnsealed(segment, (int)segments);
            if (segment == sealedCount && segment > 0)
            {
                // A segment is sealed when the first group behind it is committed.
                _log.Prove(_unsealed[0].FirstIndex);
            }

            if (_unsealed.Count > VaultStorage.MaxUnsealedSegments + VaultStorage.ReservedSegments)
            {
                // So many segments are only begun behind one that is sealed.
                _log.Prove(_unsealed[1].FirstIndex);
                SealOldest(sealer, _unsealed[1].IndexBefore);
            }
        }

        return true;
    }

    // The only unsealed segment by its saved index, if nothing before it has to be walked, with what its groups say about consensus and its events about streams, which are read;
    // null if there is none. Whatever does not fit is left to a walk, which tells damage from what can be made again.
    private LogEnd? OpenSaved(in CleanStop stop, LogHistory history)
    {
        if (ActiveIndexFile.Read(_files, _storage.Directory, _meta, stop) is not { } saved)
        {
            return null;
        }

        var (index, end) = saved;
        try
        {
            var file = Keep(_files.OpenFile(Sealer.LogPath(_storage, index.Segment), FileOpening.Existing));
            if (!LogRecovery.EndsAsSaved(file, index, end, _meta))
            {
                throw NotAsSaved("the log does not end there");
            }

            var segment = Unsealed(index, file);
            _unsealed.Add(segment);
            foreach (var offset in index.ConsensusGroups)
            {
                var body = segment.Reader.ReadGroup(offset, out var header);
                history.Add(header, body, _meta.ChecksumSeed);
            }

            history.Lives.Add(segment, _meta.SipKey);
            _last = new RecoveredSegment(index, IsMarked: true, CutBytes: 0);
            _lastFile = file;
            return end;
        }
        catch (DamageException e)
        {
            throw NotAsSaved(e.Message);
        }
    }

    private IndexDamageException NotAsSaved(string why) => new(ActiveIndexFile.PathIn(_storage.Directory), 0, $"the index of the unsealed segment as of {_stop}, but: {why}");

    private void SealOldest(Sealer sealer, LogIndex last)
    {
        _sealed.Add(sealer.Seal(_unsealed[0], last, View(_heads!)));
        _unsealed.RemoveAt(0);
    }

    // Segments that a truncation which was not finished takes out. All of them are unsealed: what is sealed is committed.
    private int DropTruncated(int segments)
    {
        while (_meta.Truncation is { } truncation && segments > 1 && ReadHeader((uint)segments - 1).FirstIndex > truncation.LastKept)
        {
            var last = (uint)segments - 1;
            using (var file = _files.OpenFile(Sealer.LogPath(_storage, last), FileOpening.ReadExisting))
            {
                using var scanner = SegmentScanner.Open(file, last, _meta);
                LogRecovery.CheckTerms(scanner, truncation);
            }

            SegmentedLog.DeleteSegments(_files, _storage.LogDirectory, last, last);
            segments--;
        }

        return segments;
    }

    // A last segment without a group is as if it had never been begun, unless the one before it is sealed.
    private int DropLeftEmpty(int segments, int sealedCount)
    {
        if (segments < sealedCount + 2 || _meta.Truncation is not null)
        {
            return segments;
        }

        var last = (uint)segments - 1;
        using (var file = _files.OpenFile(Sealer.LogPath(_storage, last), FileOpening.ReadExisting))
        using (var before = _files.OpenFile(Sealer.LogPath(_storage, last - 1), FileOpening.ReadExisting))
        {
            if (!LogRecovery.IsLeftEmpty(file, before, last, _meta))
            {
                return segments;
            }
        }

        SegmentedLog.DeleteSegments(_files, _storage.LogDirectory, last, last);
        return segments - 1;
    }

    // Lets go of what a failed opening holds.
    private void Close()
    {
        _sealed.ForEach(segment => segment.Close());
        _unsealed.ForEach(segment => segment.Reader.Close());
        _open.ForEach(file => file.Dispose());
    }

    private T Keep<T>(T file)
        where T : IDisposable
    {
        _open.Add(file);
        return file;
    }

    private void Delete(string path)
    {
        if (OperationsFiles.IsName(Path.GetFileName(path)))
        {
            OperationsFiles.DeleteAll(_files, _storage.IndexDirectory);
        }
        else
        {
            _files.DeleteFile(path);
        }
    }

    // The catalog, with what it lacks taken from intact footers and index files.
    private Catalog OpenCatalog(int segments)
    {
        _watch?.Begin("reads the catalog");
        var catalog = Keep(Catalog.Open(_files, CatalogPath));

        // The catalog lists a segment before the heads learn of it. So they know nothing of those behind, unless it was lost.
        _headsAreOfCatalog = catalog.Count > 0;
        if (catalog.Count > 0 && catalog.Count >= segments)
        {
            throw new DamageException(
                SegmentHeader.FileName((uint)segments), 0, $"the segment's file should be here: segments up to {catalog.Count - 1} were sealed, and behind them there is always another.",
                "The log was not changed. Put the missing file back. If the folder log was replaced by an older copy on purpose, delete the folder index and start again.");
        }

        if (catalog.Count > 0 && !Precedes(catalog[catalog.Count - 1], ReadHeader((uint)catalog.Count)))
        {
            // The catalog is of another log, so all of the index is.
            catalog.Dispose();
            OperationsFiles.DeleteAll(_files, _storage.IndexDirectory); // In an order of its own.
            foreach (var name in _files.ListFiles(_storage.IndexDirectory))
            {
                _files.DeleteFile(Path.Combine(_storage.IndexDirectory, name));
            }

            catalog = Keep(Catalog.Open(_files, CatalogPath));
            _headsAreOfCatalog = false;
        }

        if (segments > 0 && ReadScavenged((uint)segments - 1) is not null)
        {
            throw new DamageException(
                SegmentHeader.FileName((uint)segments), 0, $"the segment's file should be here: segment {segments - 1} was scavenged, so it was sealed, and behind that there is always another.",
                "The log was not changed. Put the missing file back, or restore it from another copy.");
        }

        while (catalog.Count < segments - 1 && ReadSealed((uint)catalog.Count) is { } record)
        {
            catalog.Append(record);
            _watch?.Check();
        }

        return catalog;
    }

    private static bool Precedes(in CatalogEntry entry, in SegmentHeader next) =>
        entry.LastLogIndex.Value + 1 == next.FirstIndex.Value && entry.LastPosition + 1 == next.FirstPosition
        && entry.LastGroupChecksum == next.PreviousGroup;

    /// <summary>Whether it is a segment, or somebody wanted it to be one.</summary>
    public static bool IsSegment(string name) => name.EndsWith(".seg", StringComparison.Ordinal);

    private LogView View(HeadsFile heads) => new([.. _sealed], [.. _unsealed], heads, null);

    private int ListSegments()
    {
        var names = _files.ListFiles(_storage.LogDirectory).Where(IsSegment).ToList();
        if (names.Find(name => !SegmentHeader.IsFileName(name)) is { } stray)
        {
            // Not passed over: it may be the last segment, and the events in it would be gone without a word.
            throw new DamageException(stray, 0, StrayName, $"Nothing was changed. {StrayNext}");
        }

        for (var i = 0; i < names.Count; i++)
        {
            if (names[i] != SegmentHeader.FileName((uint)i))
            {
                throw new DamageException(SegmentHeader.FileName((uint)i), 0, $"the segment's file should be here, the next one found is {names[i]}.", "The log was not changed. Put the missing file back, or restore it from another copy.");
            }
        }

        return names.Count;
    }

    private OperationsFiles OpenOperations()
    {
        var horizon = _storage.Options.OperationHorizon;
        var fileAppends = (int)Math.Min(horizon, OperationsFiles.DefaultGenerationAppends);
        return Keep(OperationsFiles.Open(_files, _storage.IndexDirectory, _meta.SipKey, horizon, fileAppends));
    }

    private bool HasIndex(CatalogEntry record) => HasIndex(record, scavenged: null);

    private bool HasIndex(CatalogEntry record, ScavengedHeader? scavenged)
    {
        var path = Sealer.IndexPath(_storage, record.Segment, scavenged);
        if (!_files.FileExists(path))
        {
            return false;
        }

        using var file = _files.OpenFile(path, FileOpening.ReadExisting);
        return file.Length == (scavenged?.Index ?? record.Index).LengthBytes || (scavenged is not null && IsIndex(path, record.Segment));
    }

    // That of a scavenged segment says by itself what it is of, and another version may have written it longer.
    private bool IsIndex(string path, uint segment)
    {
        try
        {
            using var index = SealedIndex.Open(_files, path, segment);
            return true;
        }
        catch (IndexDamageException)
        {
            return false;
        }
    }

    // Indexes of scavenged segments follow from these alone, so they are there before anything else is looked at. What a
    // scavenge replaced, or did not finish, goes.
    private void RedoScavenged(Catalog catalog)
    {
        var names = new HashSet<string>();
        for (var i = 0; i < catalog.Count; i++)
        {
            _watch?.Check();
            var record = catalog[i];
            var scavenged = ReadScavenged(record.Segment);
            var path = Sealer.IndexPath(_storage, record.Segment, scavenged);
            names.Add(Path.GetFileName(path));
            names.Add(Path.ChangeExtension(Path.GetFileName(path), SealedKeysFormat.Extension));
            _scavenged.Add(scavenged);
            if (scavenged is null || HasIndex(record, scavenged))
            {
                continue;
            }

            var segment = Sealer.Open(_storage, record, scavenged);
            try
            {
                using var lease = new SegmentSource(segment).Lease();
                new ScavengedSegment(lease.Reader, scavenged, record.FirstPosition, _meta).WriteIndex(_files, path, (int)record.EventCount);
            }
            finally
            {
                segment.Close();
            }
        }

        foreach (var name in _files.ListFiles(_storage.IndexDirectory))
        {
            var dot = name.IndexOf('.', StringComparison.Ordinal);
            if (dot > 0 && name[(dot + 1)..] is var rest
                && (rest.EndsWith("ix", StringComparison.Ordinal) || rest.EndsWith("kx", StringComparison.Ordinal) || rest.EndsWith(SealedIndexFormat.TemporarySuffix, StringComparison.Ordinal))
                && uint.TryParse(name.AsSpan(0, dot), NumberStyles.None, CultureInfo.InvariantCulture, out var segment)
                && !names.Contains(name) && (segment < catalog.Count || rest.Contains('.', StringComparison.Ordinal)))
            {
                _files.DeleteFile(Path.Combine(_storage.IndexDirectory, name));
            }
        }
    }

    // For a catalog that was lost: what an intact footer and an intact index file say.
    private CatalogEntry? ReadSealed(uint segment)
    {
        if (ReadScavenged(segment) is { } scavenged)
        {
            // Its footer is as much truth as the rest of it.
            return Sealer.ReadFooter(_storage, segment) is { } kept && Precedes(Sealer.Record(kept, scavenged.SealedIndex), ReadHeader(segment + 1))
                ? Sealer.Record(kept, scavenged.SealedIndex)
                : throw new DamageException(SegmentHeader.FileName(segment), scavenged.FileLength - Blocks.Size, "the footer of a scavenged segment, followed by the next one, should stand here.", LogRecovery.NextStep);
        }

        if (Sealer.ReadFooter(_storage, segment) is not { } footer
            || !_files.FileExists(Sealer.IndexPath(_storage, segment)))
        {
            return null;
        }

        using var index = SealedIndex.Open(_files, Sealer.IndexPath(_storage, segment), segment);
        var record = Sealer.Record(footer, index.Mark);
        return index.EventCount == footer.Events && index.FirstPosition == footer.FirstPosition && Precedes(record, ReadHeader(segment + 1))
            ? record
            : null;
    }

    // Brings heads and operations up to a sealed segment; makes its index file again if that is missing.
    private SealedSegment Redo(CatalogEntry record, bool hasIndex, Sealer sealer, HeadsFile heads, OperationsFiles operations)
    {
        var segment = record.Segment;
        _watch?.Begin(hasIndex ? "looks at the index of segment" : "indexes segment", segment + 1, _scavenged.Count);
        if (!hasIndex)
        {
            Recover(segment, ReadHeader(segment + 1), out var unsealed);
            _log.Prove(record.LastLogIndex);
            return sealer.Seal(unsealed, record.LastLogIndex, View(heads));
        }

        _log.Skip(record);

        var result = Sealer.Open(_storage, record, _scavenged[(int)segment]);
        if (!SealedKeys.Fits(_files, result.KeysPath, result.Keyed))
        {
            Sealer.WriteKeys(_storage, result);
        }

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
            var read = ReadOperations(result, record.LastLogIndex);
            sealer.ApplyOperations(segment, read.Length, i => read[i]);
        }

        return result;
    }

    // The state table, brought up to the catalog; with what it says.
    private (StateTable State, LogHistory History) OpenState(Catalog catalog)
    {
        var state = StateTable.Open(_files, StatePath);
        var history = state.AppliedThrough < catalog.Count ? LogHistory.From(state) : null;
        if (history is null || (state.AppliedThrough >= 0 && history.LastTerm != catalog[(int)state.AppliedThrough].LastTerm))
        {
            // Of an older version, or of another log.
            Delete(StatePath);
            state = StateTable.Open(_files, StatePath);
            history = new LogHistory();
        }

        if (state.AppliedThrough < catalog.Count - 1)
        {
            for (var i = (int)state.AppliedThrough + 1; i < catalog.Count; i++)
            {
                _watch?.Begin("reads segment", i + 1, catalog.Count);
                AddSealed(history, catalog[i]);
            }

            state.Rewrite((uint)catalog.Count - 1, history.Values());
        }

        return (state, history);
    }

    // What a sealed segment says about consensus and about streams. Nearly all are of one term and without a membership, and
    // their footer says so; the others are read, and so is one whose footer is damaged or whose index is missing.
    private void AddSealed(LogHistory history, CatalogEntry record)
    {
        var segment = Sealer.Open(_storage, record, _scavenged[(int)record.Segment]);
        try
        {
            if (segment.Scavenged is { } header)
            {
                using var lease = new SegmentSource(segment).Lease();
                new ScavengedSegment(lease.Reader, header, record.FirstPosition, _meta).AddConsensus(history);
                history.Lives.Add(segment, _meta.SipKey);
                return;
            }

            var raft = history;
            if (Sealer.ReadFooter(_storage, record.Segment) is { Membership: 0 } footer && footer.LastGroup == record.LastGroupChecksum && footer.FirstTerm == footer.LastTerm)
            {
                history.AddRun(footer.FirstIndex, footer.FirstTerm);
                raft = null;
            }

            var lives = history.Lives;
            if (HasIndex(record))
            {
                lives.Add(segment, _meta.SipKey);
                lives = null;
            }

            if (raft is not null || lives is not null)
            {
                AddGroups(segment, raft, lives);
            }
        }
        finally
        {
            segment.Close();
        }
    }

    private void AddGroups(SealedSegment segment, LogHistory? history, LifeHistory? lives)
    {
        using var lease = new SegmentSource(segment).Lease();
        var offset = (uint)Blocks.Size;
        GroupHeader header;
        do
        {
            var body = lease.Reader.ReadGroup(offset, out header);
            history?.Add(header, body, _meta.ChecksumSeed);
            if (!header.IsSystem)
            {
                lives?.Add(body, _meta.SipKey);
            }

            offset += (uint)header.TotalLength;
        }
        while (header.Index != segment.Record.LastLogIndex);
    }

    private OperationEntry[] ReadOperations(SealedSegment segment, LogIndex last)
    {
        var entries = new List<OperationEntry>();
        using var lease = new SegmentSource(segment).Lease();
        if (segment.Scavenged is { } scavenged)
        {
            var footer = Sealer.ReadFooter(_storage, segment.Record.Segment)
                ?? throw new DamageException(SegmentHeader.FileName(segment.Record.Segment), scavenged.FileLength - Blocks.Size, "the footer of a scavenged segment should stand here.", LogRecovery.NextStep);
            return new ScavengedSegment(lease.Reader, scavenged, segment.FirstPosition, _meta).Operations(footer.Appends);
        }

        var offset = (uint)Blocks.Size;
        GroupHeader header;
        do
        {
            var body = lease.Reader.ReadGroup(offset, out header);
            while (!body.IsEmpty && !header.IsSystem)
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

    private void RecoverUnsealed(uint segment, int segments)
    {
        var next = segment + 1 < segments ? ReadHeader(segment + 1) : (SegmentHeader?)null;
        _last = Recover(segment, next, out var unsealed);
        _unsealed.Add(unsealed);
    }

    private SegmentHeader ReadHeader(uint segment)
    {
        using var file = _files.OpenFile(Sealer.LogPath(_storage, segment), FileOpening.ReadExisting);
        return SegmentScanner.Open(file, segment, _meta).Header;
    }

    // What a segment's header says of a scavenge; null if it says nothing of it, or is damaged, which shows when it is read.
    private ScavengedHeader? ReadScavenged(uint segment)
    {
        using var file = _files.OpenFile(Sealer.LogPath(_storage, segment), FileOpening.ReadExisting);
        if (file.Length == _meta.SegmentSizeBytes)
        {
            return null; // A scavenged one is shorter, or it would not have been written: no need to look into all files.
        }

        var block = new byte[Blocks.Size];
        return file.ReadFromDisk(0, block) == block.Length
            && SegmentHeader.Decode(block, _meta.ChecksumSeed, SegmentHeader.FileName(segment)) is { } header && header.Segment == segment
            ? header.Scavenged : null;
    }

    private RecoveredSegment Recover(uint segment, SegmentHeader? next, out UnsealedSegment unsealed)
    {
        _walked = segment;
        var file = Keep(_files.OpenFile(Sealer.LogPath(_storage, segment), FileOpening.Existing));
        var recovered = LogRecovery.Recover(file, segment, _meta, next, _log, _stop, _watch)
            ?? throw new IndexDamageException(CleanStop.PathIn(_storage.Directory), 0, $"{_stop}, but the log does not end there");
        unsealed = Unsealed(recovered.Index, file);
        if (next is null)
        {
            _lastFile = file;
        }
        else
        {
            file.Dispose();
        }

        return recovered;
    }

    // A stream's last version before the segment that is being walked. To look it up in the heads is a random read for each
    // stream, more than all else that recovery does; the record says it, or a truncation at least how far it went, and the seal compares
    // what records say. The heads are asked only where they may hold what this walk comes to.
    private StreamVersion LastVersion(UInt128 key, StreamVersion expected)
    {
        for (var i = _unsealed.Count - 1; i >= 0; i--)
        {
            var number = _unsealed[i].OwnIndex.FindStream(key);
            if (number >= 0)
            {
                return new StreamVersion(_unsealed[i].OwnIndex.Tail(number));
            }
        }

        if (_walked > 0 && _headsAreOfCatalog)
        {
            return expected;
        }

        if (_walked == 0 || !_heads!.TryGet(key, out var head))
        {
            return StreamVersion.None;
        }

        // Left by a sealing that a crash cut short, and then the catalog was lost.
        return head.Latest.Segment < _walked
            ? new StreamVersion(head.LastVersion)
            : throw new IndexDamageException(HeadsPath, 0, $"a stream's head in segment {head.Latest.Segment}, which is not sealed");
    }

    private UnsealedSegment Unsealed(ActiveIndex index, IFile file) => new(
        index, new SegmentReader(index.Segment, file.Map(_meta.SegmentSizeBytes, MappedAccess.Random), _meta.ChecksumSeed));

    private void CreateFirstSegment()
    {
        var path = Path.Combine(_storage.LogDirectory, "first.tmp");
        _files.DeleteFile(path);
        var file = Keep(_files.OpenFile(path, FileOpening.New));
        file.WriteZeros(0, _meta.SegmentSizeBytes);
        var header = new SegmentHeader(_meta.VaultId, 0, _meta.SegmentSizeBytes, new LogIndex(1), new Position(0), 1, 0);
        var block = new byte[Blocks.Size];
        header.Encode(block, _meta.ChecksumSeed);
        file.Write(0, block);
        file.Flush();
        _files.MoveFile(path, Sealer.LogPath(_storage, 0));
        _files.FlushDirectory(_storage.LogDirectory);
        var index = new ActiveIndex(0, new Position(0), new LogIndex(1));
        _last = new RecoveredSegment(index, IsMarked: false, CutBytes: 0);
        _lastFile = file;
        _unsealed.Add(Unsealed(index, file));
    }
}
