// Checks a stopped vault's data directory from end to end, past the page cache, and changes nothing.
using System.Globalization;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage;

/// <summary>A place where something else stands than was written.</summary>
/// <param name="Segment">File name, without its folder.</param>
/// <param name="Offset">Where in it, in bytes.</param>
/// <param name="Expected">What was expected there.</param>
public sealed record Damage(string Segment, long Offset, string Expected)
{
    /// <summary>What makes it good again without another copy, in a sentence; null: nothing does.</summary>
    public string? Remedy { get; init; }
}

/// <summary>
/// A torn tail, written but never acknowledged, or what a truncation that a crash cut short left; the next start cuts it off.
/// </summary>
/// <param name="Segment">File name, without its folder.</param>
/// <param name="Offset">Where the intact log ends.</param>
/// <param name="Bytes">How much stands behind it.</param>
public sealed record TornTail(string Segment, long Offset, long Bytes);

/// <summary>What verify found.</summary>
/// <param name="Events">Intact events.</param>
/// <param name="Segments">Segment files looked at.</param>
/// <param name="Torn">A torn tail, if there is one. No damage.</param>
/// <param name="Damage">All damage, in log order; empty: the vault is whole.</param>
public sealed record VerifyReport(long Events, int Segments, TornTail? Torn, IReadOnlyList<Damage> Damage)
{
    /// <summary>Whether it had the directory's lock; false: the file system can only be read, and a node that writes to it elsewhere may have misled it.</summary>
    public bool IsLocked { get; init; }
}

/// <summary>Verifies a data directory.</summary>
public sealed class LogVerifier
{
    /// <summary>
    /// A single bit set where zeros or an equal copy should be is a flipped bit: a torn write leaves bytes of a group,
    /// with many more.
    /// </summary>
    private const int StrayBits = 1;

    /// <summary>Of a damaged copy that has a sound one beside it.</summary>
    internal const string OtherCopy = "The next start writes it again from the other copy.";

    private readonly IFileSystem _files;
    private readonly string _directory;
    private readonly VaultMeta? _meta;
    private readonly List<Damage> _damage = [];
    private readonly Dictionary<uint, ScavengedHeader> _scavenged = []; // Those that are whole.
    private long _events;
    private Term _lastTerm;
    private uint _membership; // Offset of the newest membership in the segment that is being walked.
    private TornTail? _torn;

    private LogVerifier(IFileSystem files, string directory)
    {
        _files = files;
        _directory = directory;
        var path = Path.Combine(directory, VaultMeta.FileName);
        if (!files.FileExists(path))
        {
            if (!files.DirectoryExists(Path.Combine(directory, VaultStorage.LogFolder)))
            {
                throw new FileNotFoundException($"'{directory}' is not a vault's data directory: it has neither a file {VaultMeta.FileName} nor a folder {VaultStorage.LogFolder}.");
            }

            _damage.Add(new Damage(VaultMeta.FileName, 0, "the vault's identity, without which nothing else can be checked; the file is missing"));
            return;
        }

        using var file = files.OpenFile(path, FileOpening.ReadExisting);
        var damaged = new List<long>();
        _meta = VaultMeta.Read(file, damaged);
        foreach (var offset in damaged)
        {
            _damage.Add(new Damage(VaultMeta.FileName, offset, "a copy of the vault's identity that matches its checksum") { Remedy = _meta is null ? null : OtherCopy });
        }
    }

    /// <summary>Checks everything. Takes the directory's lock, unless its file system can only be read: no node may be running on it.</summary>
    /// <param name="files">Where it stands.</param>
    /// <param name="directory">The data directory.</param>
    /// <param name="progress">Told after each segment: how many are done, and how many there are.</param>
    /// <exception cref="DirectoryInUseException">A node is running on it.</exception>
    /// <exception cref="FileNotFoundException">It is not a vault.</exception>
    public static VerifyReport Verify(IFileSystem files, string directory, Action<int, int>? progress = null)
    {
        if (!files.DirectoryExists(directory))
        {
            throw new FileNotFoundException(files.FileExists(directory) ? $"'{directory}' is a file, not a data directory." : $"'{directory}' does not exist.");
        }

        using var held = Lock(files, Path.Combine(directory, VaultStorage.LockName));
        return new LogVerifier(files, directory).Run(progress) with { IsLocked = held is not null };
    }

    // Null: it can only be read from here. A node may run on it elsewhere, so that has to be told.
    private static IDisposable? Lock(IFileSystem files, string path)
    {
        try
        {
            return files.LockFile(path);
        }
        catch (DiskException e) when (e.IsReadOnly)
        {
            return null;
        }
    }

    private VerifyReport Run(Action<int, int>? progress)
    {
        var logDirectory = Path.Combine(_directory, VaultStorage.LogFolder);
        var names = _files.DirectoryExists(logDirectory)
            ? _files.ListFiles(logDirectory).Where(StorageOpening.IsSegment).ToList()
            : [];
        foreach (var stray in names.Where(name => !SegmentHeader.IsFileName(name)))
        {
            _damage.Add(new Damage(stray, 0, $"{StorageOpening.StrayName} {StorageOpening.StrayNext}"));
        }

        names.RemoveAll(name => !SegmentHeader.IsFileName(name));
        while (_meta?.Truncation is { } truncation && names.Count > 1
            && HeaderOf(Path.Combine(logDirectory, names[^1]), (uint)names.Count - 1) is { } header && header.FirstIndex > truncation.LastKept)
        {
            // The next start deletes it.
            _torn = new TornTail(names[^1], 0, header.SizeBytes);
            names.RemoveAt(names.Count - 1);
        }

        var after = default(SegmentScanner);
        for (var i = 0; i < names.Count && _meta is not null; i++)
        {
            if (names[i] != SegmentHeader.FileName((uint)i))
            {
                _damage.Add(new Damage(SegmentHeader.FileName((uint)i), 0, $"this segment; the next file found is {names[i]}"));
                break;
            }

            using var file = _files.OpenFile(Path.Combine(logDirectory, names[i]), FileOpening.ReadExisting);
            var next = i + 1 < names.Count ? HeaderOf(Path.Combine(logDirectory, names[i + 1]), (uint)i + 1) : null;
            after = VerifySegment(file, (uint)i, after, next, isLast: i + 1 == names.Count);
            after?.Dispose(); // Before the file; what it knows stays.
            progress?.Invoke(i + 1, names.Count);
        }

        if (_meta is { HasVote: true } && VoteFile.Verify(_files, _directory, _meta, _lastTerm, hasLog: names.Count > 0) is { } vote)
        {
            _damage.Add(vote);
        }

        VerifyIndexes();
        return new VerifyReport(_events, names.Count, _torn, _damage);
    }

    private SegmentHeader? HeaderOf(string path, uint segment)
    {
        try
        {
            using var file = _files.OpenFile(path, FileOpening.ReadExisting);
            return SegmentScanner.Open(file, segment, _meta!).Header;
        }
        catch (DamageException)
        {
            return null; // Reported when its turn comes.
        }
    }

    private static bool Follows(in SegmentHeader header, SegmentScanner before) =>
        header.FirstIndex == before.NextIndex && header.PreviousGroup == before.LastGroup && header.FirstPosition == before.NextPosition;

    private SegmentScanner? VerifySegment(IFile file, uint segment, SegmentScanner? before, SegmentHeader? next, bool isLast)
    {
        var name = SegmentHeader.FileName(segment);
        SegmentScanner scanner;
        try
        {
            scanner = SegmentScanner.Open(file, segment, _meta!);
        }
        catch (DamageException e)
        {
            _damage.Add(new Damage(name, e.Offset, e.Expected));
            return null;
        }

        if (before is not null && !Follows(scanner.Header, before))
        {
            _damage.Add(new Damage(name, 0, $"a segment that begins with group {before.NextIndex}, behind the one before"));
        }

        if (scanner.Header.Scavenged is not null)
        {
            return VerifyScavenged(file, scanner, name, isLast) ? scanner : null;
        }

        var damagedBefore = _damage.Count;
        var lastKept = LogRecovery.LastKept(_meta!);
        _membership = 0;
        while (true)
        {
            while (scanner.NextIndex <= lastKept && scanner.Next(out var header, out _, out var body))
            {
                VerifyGroup(name, header, body);
            }

            if (isLast && scanner.NextIndex > lastKept)
            {
                var cut = scanner.CountBits(scanner.Offset, uint.MaxValue).End - scanner.Offset;
                _torn ??= cut > 0 ? new TornTail(name, scanner.Offset, cut) : null;
                return scanner;
            }

            var witness = next is { } following
                ? Follows(following, scanner) ? null : "the segment behind it says that more was durable"
                : scanner.FindWitness(scanner.CountBits(scanner.Offset, uint.MaxValue).End);
            if (witness is null && isLast && _meta!.Truncation is { } truncation)
            {
                witness = $"a truncation began when groups up to {truncation.LastKept} were durable";
            }

            if (witness is null)
            {
                break;
            }

            _damage.Add(new Damage(name, scanner.Offset, $"{scanner.Problem}; {witness}"));
            if (!scanner.Resume())
            {
                return scanner;
            }
        }

        VerifyTail(file, scanner, name, isLast, isWhole: _damage.Count == damagedBefore);
        return scanner;
    }

    private bool VerifyScavenged(IFile file, SegmentScanner scanner, string name, bool isLast)
    {
        try
        {
            var footer = ScavengedVerifier.Verify(file, scanner.Header, _meta!, _lastTerm);
            scanner.SkipScavenged(footer);
            _lastTerm = footer.LastTerm;
            _events += scanner.Header.Scavenged!.KeptEvents;
            _scavenged.Add(scanner.Header.Segment, scanner.Header.Scavenged);
            if (isLast)
            {
                _damage.Add(new Damage(SegmentHeader.FileName(scanner.Header.Segment + 1), 0, "this segment: behind a scavenged one there is always another"));
            }

            return true;
        }
        catch (DamageException e)
        {
            _damage.Add(new Damage(name, e.Offset, e.Expected));
            return false;
        }
    }

    private void VerifyGroup(string name, in GroupHeader header, ReadOnlySpan<byte> body)
    {
        var seed = _meta!.ChecksumSeed;
        if (header.Term < _lastTerm)
        {
            _damage.Add(new Damage(name, header.Place.Offset, $"a group of term {_lastTerm} or a later one"));
        }

        _lastTerm = header.Term;
        var isSound = GroupContent.IsSound(header, body, seed, out var kind, out var events, out var fault);
        _events += events;
        _membership = header.IsSystem && kind == GroupKind.Membership ? header.Place.Offset : _membership;
        if (!isSound)
        {
            _damage.Add(new Damage(name, fault!.Value.Offset, fault.Value.Expected));
        }
    }

    // Behind the last group stand a commit mark or nothing, zeros, and in a finalised segment the footer.
    private void VerifyTail(IFile file, SegmentScanner scanner, string name, bool isLast, bool isWhole)
    {
        var end = scanner.Offset;
        if (scanner.TryBytes(end, CommitMark.Length, out var bytes)
            && CommitMark.TryDecode(bytes, new Place(scanner.Header.Segment, end), _meta!.ChecksumSeed, out var mark))
        {
            Span<byte> whole = stackalloc byte[CommitMark.Length];
            mark.Encode(whole, _meta.ChecksumSeed);
            var wrong = BitsApart(bytes, whole);
            if (wrong == StrayBits)
            {
                _damage.Add(new Damage(name, end + bytes.CommonPrefixLength(whole), "a commit mark of two equal copies"));
            }

            end += wrong <= StrayBits ? CommitMark.Length : 0u;
        }

        var (bits, junkEnd) = scanner.CountBits(end, uint.MaxValue);
        if (bits == StrayBits || (bits > 0 && !isLast))
        {
            _damage.Add(new Damage(name, junkEnd - 1, "zero behind the log's end"));
        }
        else if (bits > 0)
        {
            _torn = new TornTail(name, scanner.Offset, junkEnd - scanner.Offset);
        }

        VerifyFooter(file, scanner, name, isLast, isWhole);
    }

    private void VerifyFooter(IFile file, SegmentScanner scanner, string name, bool isLast, bool isWhole)
    {
        var offset = _meta!.SegmentSizeBytes - Blocks.Size;
        var block = new byte[Blocks.Size];
        file.ReadFromDisk(offset, block);
        var isZero = block.AsSpan().IndexOfAnyExcept((byte)0) < 0;
        var footer = SegmentFooter.Decode(block, _meta.ChecksumSeed);
        var fits = footer is { } f && f.Segment == scanner.Header.Segment && f.End == scanner.Offset
            && f.LastGroup == scanner.LastGroup && f.LastIndex.Value + 1 == scanner.NextIndex.Value
            && (!isWhole || (f.LastTerm == _lastTerm && f.Membership == _membership));

        // The last segment has none; the others get theirs when they are sealed, and that is when there is another one behind them.
        if (isLast && fits && isWhole)
        {
            _damage.Add(new Damage(SegmentHeader.FileName(scanner.Header.Segment + 1), 0, "this segment: the one before it is sealed"));
        }
        else if (isLast ? !isZero : !isZero && !fits)
        {
            _damage.Add(new Damage(name, offset, isLast ? "zeros: the segment is not finalised" : "a footer that matches the segment"));
        }
    }

    private void VerifyIndexes()
    {
        var directory = Path.Combine(_directory, VaultStorage.IndexFolder);
        if (!_files.DirectoryExists(directory))
        {
            return;
        }

        foreach (var name in _files.ListFiles(directory))
        {
            var isKeys = name.EndsWith(SealedKeysFormat.Extension, StringComparison.Ordinal);
            if (!isKeys && !name.EndsWith(".ix", StringComparison.Ordinal))
            {
                continue;
            }

            // 20 digits, and behind them, if it is a scavenged segment's, the point.
            var number = Path.GetFileNameWithoutExtension(name);
            var point = Path.GetExtension(number);
            if (!uint.TryParse(Path.ChangeExtension(number, null), NumberStyles.None, CultureInfo.InvariantCulture, out var segment))
            {
                continue; // Not one of ours.
            }

            var scavenged = _scavenged.GetValueOrDefault(segment);
            if (point != (scavenged is null ? "" : $".{scavenged.Point}"))
            {
                continue; // What a scavenge left, or did not finish. The next start removes it.
            }

            if (isKeys && SealedKeys.IsOlder(_files, Path.Combine(directory, name)))
            {
                continue;
            }

            try
            {
                if (isKeys)
                {
                    using var keys = SealedKeys.Open(_files, Path.Combine(directory, name), segment);
                    keys.CheckAll();
                    if (scavenged is not null && keys.Segment.Digest != scavenged.Digest)
                    {
                        throw new IndexDamageException(name, 64, "keys of another form of the segment");
                    }
                }
                else
                {
                    using var index = SealedIndex.Open(_files, Path.Combine(directory, name), segment);
                    if (scavenged is not null && (index.KeptCount != scavenged.KeptEvents || index.StreamCount != scavenged.StreamCount))
                    {
                        throw new IndexDamageException(name, 0, "the index of another form of the segment");
                    }
                }
            }
            catch (IndexDamageException e)
            {
                _damage.Add(new Damage(name, e.Offset, $"an intact {(isKeys ? "key" : "index")} file")
                {
                    Remedy = "Delete the file: the next start makes it again from the log.",
                });
            }
        }
    }

    private static int BitsApart(ReadOnlySpan<byte> a, ReadOnlySpan<byte> b)
    {
        var bits = 0;
        for (var i = 0; i < a.Length; i++)
        {
            bits += System.Numerics.BitOperations.PopCount((uint)(a[i] ^ b[i]));
        }

        return bits;
    }
}
