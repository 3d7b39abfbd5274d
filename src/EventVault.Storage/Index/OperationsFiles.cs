using System.Globalization;
using EventVault.Storage.Io;

namespace EventVault.Storage.Index;

/// <summary>
/// Which operation ids were appended, and where: the memory behind "a retry never writes twice". One file per
/// 2^20 appends, as many as cover the horizon. Rebuildable from the segments.
/// </summary>
/// <remarks>
/// <para>
/// Only a keyed 48-bit fingerprint of an id is kept, so <see cref="Find"/> returns candidates: the caller looks
/// into the log whether the group really holds that append.
/// </para>
/// <para>
/// A segment's appends may end one generation and begin the next. Buckets of all are flushed first; then headers
/// are written from the newest generation to the oldest, so that the oldest one that is not full always tells
/// which segment is to be redone.
/// </para>
/// <para>
/// Most look-ups are for ids that were never used. The filter (<see cref="OperationsFilter"/>) tells it for all full generations by
/// one line; it is made behind <see cref="Apply"/>, a generation at a time, and whatever it does not know is looked into.
/// </para>
/// <para>
/// Find takes no lock and may run on any thread, also during <see cref="Apply"/> and <see cref="StepFilter"/>, which one thread calls.
/// </para>
/// </remarks>
internal sealed class OperationsFiles : IDisposable
{
    public const long DefaultHorizonAppends = 16L << 20;
    public const int DefaultGenerationAppends = 1 << 20;

    private const string Prefix = "operations-";
    private const string Suffix = ".op";
    private const int NumberDigits = 20;

    private readonly IFileSystem _fileSystem;
    private readonly string _directory;
    private readonly SipKey _key;
    private readonly long _horizonAppends;
    private readonly int _generationAppends;
    private readonly List<OperationsGeneration> _generations = [];
    private OperationsView _view;
    private long _appliedThrough;
    private long _totalAppends;
    private bool _failed;
    private OperationsFilter? _filter;
    private bool _filterWaits; // For the next segment, as the disk turned out to be full.

    private OperationsFiles(IFileSystem fileSystem, string directory, in SipKey key, long horizonAppends, int generationAppends)
    {
        Invariant.Check(horizonAppends > 0 && generationAppends > 0);
        _fileSystem = fileSystem;
        _directory = directory;
        _key = key;
        _horizonAppends = horizonAppends;
        _generationAppends = generationAppends;
        _view = new OperationsView([], filter: null);
    }

    /// <summary>Number of the last segment applied, −1 if none.</summary>
    public long AppliedThrough => Volatile.Read(ref _appliedThrough);

    /// <summary>Appends applied so far, those forgotten included.</summary>
    public long TotalAppends => Volatile.Read(ref _totalAppends);

    /// <summary>Number of the oldest append that is still remembered; 0 is the vault's first.</summary>
    public long OldestAppend
    {
        get
        {
            OperationsGeneration[] generations = Volatile.Read(ref _view).Generations;
            return generations.Length == 0 ? 0 : generations[0].Header.FirstAppend;
        }
    }

    /// <summary>Number of the oldest append that will still be remembered when so many more are applied.</summary>
    public long OldestAfter(int appends)
    {
        // As DropForgotten lets go of generations.
        long oldest = TotalAppends + appends - _horizonAppends;
        return Math.Max(OldestAppend, oldest < 0 ? 0 : oldest / _generationAppends * _generationAppends);
    }

    /// <summary>What the next <see cref="StepFilter"/> writes. Bytes; 0: it has nothing to do.</summary>
    public long FilterBytes =>
        !_filterWaits && _view.TryPlanFilter(out Range range) ? OperationsFilter.FileLengthFor(range.End.Value - range.Start.Value, _generationAppends) : 0;

    private string FilterPath => Path.Combine(_directory, OperationsFilter.FileName);

    /// <summary>Opens the files of a directory; there may be none.</summary>
    /// <param name="fileSystem">Where they are.</param>
    /// <param name="directory">The folder, which exists.</param>
    /// <param name="key">The vault's secret; the same at every opening.</param>
    /// <param name="horizonAppends">How many of the last appends must be remembered at least.</param>
    /// <param name="generationAppends">Appends per file; the same at every opening.</param>
    /// <exception cref="IndexDamageException">A file is damaged or missing among the others: <see cref="DeleteAll"/> and redo.</exception>
    public static OperationsFiles Open(
        IFileSystem fileSystem,
        string directory,
        in SipKey key,
        long horizonAppends = DefaultHorizonAppends,
        int generationAppends = DefaultGenerationAppends)
    {
        var files = new OperationsFiles(fileSystem, directory, key, horizonAppends, generationAppends);
        try
        {
            files.OpenGenerations();
            return files;
        }
        catch
        {
            files.Dispose();
            throw;
        }
    }

    /// <summary>Whether a file of this name, without its folder, is one of these.</summary>
    public static bool IsName(string name) => name.StartsWith(Prefix, StringComparison.Ordinal);

    /// <summary>Deletes all operations files of a directory, so that redo from the first segment makes them anew.</summary>
    public static void DeleteAll(IFileSystem fileSystem, string directory)
    {
        // The filter is gone before the files are that it was made from: it never stands beside others.
        string filter = Path.Combine(directory, OperationsFilter.FileName);
        if (fileSystem.FileExists(filter))
        {
            fileSystem.DeleteFile(filter);
            fileSystem.FlushDirectory(directory);
        }

        foreach (string name in fileSystem.ListFiles(directory))
        {
            if (IsName(name))
            {
                fileSystem.DeleteFile(Path.Combine(directory, name));
            }
        }

        fileSystem.FlushDirectory(directory);
    }

    /// <summary>
    /// Places of groups that may hold the append with this operation id, newest generation first; returns how many.
    /// More than one is a coincidence of fingerprints, one in 10¹² lookups: a handful of room is plenty.
    /// </summary>
    /// <exception cref="IndexDamageException">A bucket on the way is damaged.</exception>
    public int Find(ReadOnlySpan<byte> id, Span<Place> candidates)
    {
        Invariant.Check(id.Length == OperationEntry.IdLengthBytes && !candidates.IsEmpty);
        UInt128 hash = SipHash128.Compute(id, _key);
        ulong mixed = OperationsFilter.Mix(OperationsGeneration.FingerprintOf(hash));
        ulong bits = OperationsFilter.BitsOf(mixed);
        OperationsView view = OperationsView.Lease(ref _view);
        try
        {
            // First touch all, then read all: the caches fetch what is independent side by side.
            int touched = view.Filter?.Touch(mixed) ?? 0;
            for (int i = view.Generations.Length - 1; i >= 0 && !view.IsCovered(i); i--)
            {
                touched += view.Generations[i].Touch(hash);
            }

            ReadOnlySpan<byte> words = view.Filter is { } filter ? filter.Words(mixed) : default;
            for (int i = 0; i < view.Generations.Length; i++)
            {
                touched += view.MayHold(i, words, bits) ? view.Generations[i].Touch(hash) : 0;
            }

            Invariant.Check(touched >= 0);
            int found = 0;
            for (int i = view.Generations.Length - 1; i >= 0 && found < candidates.Length; i--)
            {
                found += view.MayHold(i, words, bits) ? view.Generations[i].Find(hash, candidates[found..]) : 0;
            }

            return found;
        }
        finally
        {
            view.Release();
        }
    }

    /// <summary>How many generations <see cref="Find"/> looks into for this operation id.</summary>
    public int CountSearched(ReadOnlySpan<byte> id)
    {
        ulong mixed = OperationsFilter.Mix(OperationsGeneration.FingerprintOf(SipHash128.Compute(id, _key)));
        OperationsView view = OperationsView.Lease(ref _view);
        try
        {
            ReadOnlySpan<byte> words = view.Filter is { } filter ? filter.Words(mixed) : default;
            int searched = 0;
            for (int i = 0; i < view.Generations.Length; i++)
            {
                searched += view.MayHold(i, words, OperationsFilter.BitsOf(mixed)) ? 1 : 0;
            }

            return searched;
        }
        finally
        {
            view.Release();
        }
    }

    /// <summary>
    /// Applies a sealed segment's appends and makes them durable. Segments follow one another without gaps; one
    /// that is applied already changes nothing.
    /// </summary>
    /// <param name="segment">The segment.</param>
    /// <param name="count">How many appends it has.</param>
    /// <param name="entry">Each of them, by number in log order. Asked for in this order, and again if it is tried again.</param>
    /// <exception cref="IndexDamageException">A bucket is damaged.</exception>
    /// <exception cref="DiskException">
    /// If it is a refusal, the same appends may be tried again. Otherwise Apply may not be called again; open the files anew.
    /// </exception>
    public void Apply(uint segment, int count, Func<int, OperationEntry> entry)
    {
        Invariant.Check(!_failed);
        if (segment <= _appliedThrough)
        {
            return;
        }

        Invariant.Check(_appliedThrough == -1 || segment == _appliedThrough + 1);
        _failed = true;
        _filterWaits = false;
        long total = _totalAppends + count;
        try
        {
            List<(OperationsGeneration Generation, int Count)> parts = PutAll(segment, count, entry);
            for (int i = parts.Count - 1; i >= 0; i--)
            {
                if (parts[i].Generation.Header.AppliedThrough < segment)
                {
                    parts[i].Generation.Commit(segment, parts[i].Count, goesOn: i < parts.Count - 1);
                }
            }

            DropForgotten(total);
            _failed = false;
        }
        catch (DiskException e) when (e.IsRefusal)
        {
            _failed = false; // The next try finds each generation as a start would, and goes on.
            throw;
        }

        Publish();
        Volatile.Write(ref _totalAppends, total);
        Volatile.Write(ref _appliedThrough, segment);
    }

    /// <summary>
    /// Adds the oldest full generation that the filter lacks to it, and lets go of those that are forgotten; makes it anew, from one generation on,
    /// if it is damaged. Reads the generation, some 25 MB, and writes all of the filter. For the thread that calls <see cref="Apply"/>.
    /// </summary>
    /// <returns>False: there was nothing to do, or the disk is full; then it is tried again behind the next segment.</returns>
    /// <exception cref="DiskException">The disk failed.</exception>
    public bool StepFilter()
    {
        if (_filterWaits || !_view.TryPlanFilter(out Range range))
        {
            return false;
        }

        Invariant.Check(!_failed);
        ReadOnlySpan<OperationsGeneration> generations = _view.Generations.AsSpan()[range];
        try
        {
            if (!OperationsFilter.TryReplace(_fileSystem, FilterPath, generations.Length == 1 ? null : _filter, generations))
            {
                Invariant.Check(_filter?.IsDamaged == true);
                return true; // The next step begins anew.
            }
        }
        catch (DiskException e) when (e.IsFull)
        {
            _filterWaits = true;
            return false;
        }

        if (OperationsFilter.Open(_fileSystem, FilterPath) is not { } filter)
        {
            // A write went elsewhere. The one that is open goes on to serve.
            _filterWaits = true;
            return false;
        }

        _filter = filter;
        Publish();
        return true;
    }

    /// <summary>All entries, oldest generation first; checks every bucket that was written. Not during <see cref="Apply"/>.</summary>
    public IEnumerable<(ulong Fingerprint, Place Place)> ReadAll() => _generations.SelectMany(g => g.ReadAll());

    /// <summary>Unmaps and closes; no reader may be left.</summary>
    public void Dispose()
    {
        foreach (OperationsGeneration generation in _generations)
        {
            generation.Dispose();
        }

        _filter?.Dispose();
    }

    private List<(OperationsGeneration Generation, int Count)> PutAll(uint segment, int all, Func<int, OperationEntry> entry)
    {
        using var arrays = new OperationsRoom(all);
        var parts = new List<(OperationsGeneration, int)>();
        long number = _totalAppends;
        int at = 0;
        do
        {
            // A segment without appends still moves the newest generation's header on.
            OperationsGeneration generation = At(all == 0 && number > 0 ? number - 1 : number);
            long room = generation.Header.FirstAppend + _generationAppends - number;
            int count = (int)Math.Min(room, all - at);
            if (generation.Header.AppliedThrough < segment)
            {
                int first = at;
                generation.Put(count, i =>
                {
                    OperationEntry next = entry(first + i);
                    return (Hash(next.Id), next.Place);
                }, arrays);
            }

            parts.Add((generation, count));
            number += count;
            at += count;
        }
        while (at < all);

        return parts;
    }

    private UInt128 Hash(UInt128 id)
    {
        Span<byte> bytes = stackalloc byte[OperationEntry.IdLengthBytes];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt128BigEndian(bytes, id);
        return SipHash128.Compute(bytes, _key);
    }

    /// <summary>The generation that append <paramref name="number"/> belongs to; created if it is the next one.</summary>
    private OperationsGeneration At(long number)
    {
        long first = number / _generationAppends * _generationAppends;
        foreach (OperationsGeneration generation in _generations)
        {
            if (generation.Header.FirstAppend == first)
            {
                return generation;
            }
        }

        Invariant.Check(_generations.Count == 0 || _generations[^1].Header.FirstAppend + _generationAppends == first);
        OperationsHeader header = OperationsHeader.Create(
            first, _generations.Count == 0 ? first : _generations[0].Header.FirstAppend, _generationAppends, _appliedThrough);
        var created = OperationsGeneration.Create(_fileSystem, PathOf(first), header);
        _generations.Add(created);
        return created;
    }

    private string PathOf(long first) =>
        Path.Combine(_directory, Prefix + first.ToString($"D{NumberDigits}", CultureInfo.InvariantCulture) + Suffix);

    /// <summary>Deletes the generations that hold none of the last appends, as many as the horizon counts.</summary>
    private void DropForgotten(long total)
    {
        long oldest = total - _horizonAppends;
        int dropped = _generations.FindIndex(g => g.Header.FirstAppend + _generationAppends > oldest);
        dropped = dropped < 0 ? _generations.Count - 1 : dropped; // the newest stays: it says what is applied
        if (dropped == 0)
        {
            return;
        }

        if (_generations[^1].Header.OldestFirstAppend < _generations[dropped].Header.FirstAppend)
        {
            _generations[^1].CommitOldest(_generations[dropped].Header.FirstAppend);
        }

        foreach (OperationsGeneration generation in _generations[..dropped])
        {
            _fileSystem.DeleteFile(generation.Path);
        }

        _fileSystem.FlushDirectory(_directory);
        _generations.RemoveRange(0, dropped);
    }

    private void Publish()
    {
        OperationsView current = _view;
        if (current.Filter != _filter || !current.Generations.AsSpan().SequenceEqual(_generations.ToArray()))
        {
            var next = new OperationsView([.. _generations], _filter);
            Volatile.Write(ref _view, next);
            current.Retire(next);
        }
    }

    private void OpenGenerations()
    {
        foreach (string name in _fileSystem.ListFiles(_directory))
        {
            if (name.StartsWith(Prefix, StringComparison.Ordinal) && name.EndsWith(Suffix, StringComparison.Ordinal))
            {
                OperationsGeneration generation = OperationsGeneration.Open(_fileSystem, Path.Combine(_directory, name));
                _generations.Add(generation);
                Require(generation.Path == PathOf(generation.Header.FirstAppend), generation, "the file of other appends");
                Require(
                    generation.Header.GenerationAppends == _generationAppends,
                    generation,
                    $"generations of {generation.Header.GenerationAppends} appends, expected {_generationAppends}");
            }
        }

        _appliedThrough = -1;
        if (_generations.Count > 0)
        {
            FinishDeletion();
            CheckComplete();

            // The oldest that has room is where the last complete Apply ended; later ones come from one cut short.
            OperationsGeneration end = _generations.Find(g => !g.Header.IsFull) ?? _generations[^1];
            _appliedThrough = end.Header.AppliedThrough;
            _totalAppends = end.Header.FirstAppend + end.Header.Count;
            DropForgotten(_totalAppends);
        }

        OpenFilter();
        Publish();
    }

    private void OpenFilter()
    {
        string temporary = FilterPath + SealedIndexFormat.TemporarySuffix;
        if (_fileSystem.FileExists(temporary))
        {
            _fileSystem.DeleteFile(temporary); // Cut short by a crash; it takes room.
        }

        if (!_fileSystem.FileExists(FilterPath))
        {
            return;
        }

        _filter = OperationsFilter.Open(_fileSystem, FilterPath);
        if (_filter?.Fits(_generations) != true)
        {
            // Before any file can come that it would pass for the filter of.
            _filter?.Dispose();
            _filter = null;
            _fileSystem.DeleteFile(FilterPath);
            _fileSystem.FlushDirectory(_directory);
        }
    }

    /// <summary>Finishes a deletion that a crash cut short.</summary>
    private void FinishDeletion()
    {
        long oldest = _generations.Max(g => g.Header.OldestFirstAppend);
        while (_generations.Count > 1 && _generations[0].Header.FirstAppend < oldest)
        {
            _generations[0].Dispose();
            _fileSystem.DeleteFile(_generations[0].Path);
            _generations.RemoveAt(0);
        }

        Require(_generations[0].Header.FirstAppend == oldest, _generations[0], $"the file of append {oldest} is missing");
    }

    private void CheckComplete()
    {
        for (int i = 1; i < _generations.Count; i++)
        {
            OperationsHeader before = _generations[i - 1].Header;
            OperationsHeader header = _generations[i].Header;
            long expected = before.FirstAppend + _generationAppends;
            Require(header.FirstAppend == expected, _generations[i], $"the file of append {expected} is missing");

            // Headers of later generations are durable first: one that is behind has lost its newest header.
            Require(
                !before.GoesOn || header.AppliedThrough >= before.AppliedThrough,
                _generations[i],
                $"applied through segment {header.AppliedThrough}, expected {before.AppliedThrough} as before it");
        }

        Require(!_generations[^1].Header.GoesOn, _generations[^1], "the file of the next appends is missing");
    }

    private static void Require(bool condition, OperationsGeneration generation, string observed)
    {
        if (!condition)
        {
            throw new IndexDamageException(generation.Path, 0, observed + " (delete all operations files)");
        }
    }
}
