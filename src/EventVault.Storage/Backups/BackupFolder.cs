// A backup directory, for whoever makes the next backup in it.
//
//   manifest           what the newest finished backup consists of (BackupManifest); renamed into its place last
//   segments/*.seg     the segments' files, which end with the last group; each is written once and never changes
//   segments/*.part    under way, as far as it is long: what comes is added at its end
//   lock               keeps a second one out
//
// Whenever whoever writes here is killed, the manifest names the last finished backup, all of whose files are there: what the next one needs
// is written beside them, checked from end to end past the page cache and flushed before the manifest changes, and only then goes what the new
// manifest does not name. What a killed run has gathered is taken up by the next one.
//
// A backup follows the one before: all groups of that are in it. Another log under the same vault's id, or a node that is behind, is refused.
using System.Globalization;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Shipping;

namespace EventVault.Storage.Backups;

/// <summary>Makes a backup in a directory. One thread.</summary>
public sealed class BackupFolder : IDisposable
{
    private const string LockName = "lock";
    private const string PartSuffix = ".part";
    private const int NumberDigits = 20;
    private const int PieceBytes = 1024 * 1024;

    /// <summary>
    /// Bytes that the disk is given at once, 1 MiB: some milliseconds of it. The flushes of a node on the same disk wait behind them, and behind more they would wait longer.
    /// </summary>
    private const long WriteOutEvery = 1024 * 1024;

    private readonly IFileSystem _files;
    private readonly string _directory;
    private readonly string _segments;
    private readonly VaultIdentity _vault;
    private readonly VaultMeta _meta;
    private readonly BackupManifest? _before;
    private readonly IDisposable _lock;
    private readonly List<BackupEntry> _taken = [];
    private IFile? _part;
    private string _partPath = "";
    private ShippedSegment _partOf;
    private long _partLength;
    private long _writtenOut;

    private BackupFolder(IFileSystem files, string directory, VaultIdentity vault, BackupManifest? before, IDisposable @lock)
    {
        _files = files;
        _directory = directory;
        _segments = Path.Combine(directory, BackupManifest.SegmentsFolder);
        _vault = vault;
        _meta = VaultMeta.Join(vault, nodeId: 1, random: null);
        _before = before;
        _lock = @lock;
    }

    /// <summary>Told of bytes that were read on the directory's disk, to check them or to copy them; whoever wants to spare the disk waits in it.</summary>
    public Action<int>? OnDiskRead { get; init; }

    /// <summary>What the last finished backup holds; null: there is none.</summary>
    public BackupContent? Before => _before is null ? null : BackupContent.Of(_before);

    /// <summary>The first segment that is not in the new backup yet.</summary>
    public uint Next => (uint)_taken.Count;

    /// <summary>Bytes that the segment under way still lacks.</summary>
    public long Missing => _part is null ? 0 : _partOf.LengthBytes - _partLength;

    /// <summary>
    /// Whether what was taken is a state that the vault was in: if a segment was scavenged meanwhile, at a point behind what was taken, more of the log is needed.
    /// </summary>
    public bool IsWhole => BackupManifest.AreConsistent(_taken);

    /// <summary>Whether what was taken ends where the log was committed, which is never at a sealed segment's end.</summary>
    public bool EndsUnsealed => _taken is [.., { Segment.Form: ShippedForm.Unsealed }];

    private LogEnd End => _taken.Count == 0 ? LogEnd.Empty : _taken[^1].End;

    /// <summary>Whether a directory holds a backup, or what a run that was ended has left of its first one.</summary>
    internal static bool IsOne(IFileSystem files, string directory) =>
        files.FileExists(Path.Combine(directory, BackupManifest.FileName)) || files.DirectoryExists(Path.Combine(directory, BackupManifest.SegmentsFolder));

    /// <summary>Opens a directory, which may be missing or empty.</summary>
    /// <param name="files">Where it stands.</param>
    /// <param name="directory">The backup directory.</param>
    /// <param name="vault">The vault to back up.</param>
    /// <param name="onDiskRead">See <see cref="OnDiskRead"/>.</param>
    /// <exception cref="BackupException">It holds another vault's backup, or files of something else, or a backup is being made in it.</exception>
    /// <exception cref="DamageException">Its manifest is damaged.</exception>
    /// <exception cref="DiskException">The disk failed.</exception>
    public static BackupFolder Open(IFileSystem files, string directory, VaultIdentity vault, Action<int>? onDiskRead = null)
    {
        ArgumentNullException.ThrowIfNull(files);
        ArgumentNullException.ThrowIfNull(vault);
        RequireOwn(files, directory);
        files.CreateDirectory(Path.Combine(directory, BackupManifest.SegmentsFolder));
        var @lock = Lock(files, directory);
        try
        {
            var before = BackupManifest.Read(files, directory);
            if (before is not null && before.Vault != vault)
            {
                throw new BackupException($"'{directory}' holds a backup of vault {before.Vault.VaultId}, and this is vault {vault.VaultId}. Use another directory: a restored vault is one of its own.");
            }

            files.FlushDirectory(directory);
            if (Path.GetDirectoryName(Path.GetFullPath(directory)) is { Length: > 0 } parent)
            {
                files.FlushDirectory(parent);
            }

            return new BackupFolder(files, directory, vault, before, @lock) { OnDiskRead = onDiskRead };
        }
        catch
        {
            @lock.Dispose();
            throw;
        }
    }

    /// <summary>Whether what a node has can follow the backup before.</summary>
    /// <param name="listed">All of its segments, from 0 on.</param>
    /// <exception cref="BackupException">It is behind, or its log is another one.</exception>
    public void RequireFollows(IReadOnlyList<ShippedSegment> listed)
    {
        ArgumentNullException.ThrowIfNull(listed);
        if (_before is null)
        {
            return;
        }

        var end = listed.Count > 0 ? listed[^1].LastIndex : default;
        if (end < _before.End.Index)
        {
            throw new BackupException(
                $"The node has committed groups up to {end}, and the backup in '{_directory}' goes to {_before.End.Index}. If the node is catching up, wait or ask another one; if its vault was set back, use another directory.");
        }

        foreach (var entry in _before.Segments)
        {
            var (held, now) = (entry.Segment, listed[Math.Min((int)entry.Segment.Segment, listed.Count - 1)]);
            var isSame = now.Segment == held.Segment && now.FirstIndex == held.FirstIndex && now.LastIndex >= held.LastIndex
                && (now.LastIndex != held.LastIndex || now.Form == ShippedForm.Scavenged || held.Form == ShippedForm.Scavenged || now.Digest == held.Digest);
            if (!isSame)
            {
                throw AnotherLog(held.Segment);
            }
        }
    }

    /// <summary>Takes a segment over from the backup before, if that has it in this form or in a later one.</summary>
    /// <param name="segment">As the node lists it.</param>
    /// <returns>False: it must be read from the node.</returns>
    public bool TryKeep(in ShippedSegment segment)
    {
        Invariant.Check(segment.Segment == Next && _part is null);
        if (_before is null || segment.Segment >= _before.Segments.Count)
        {
            return false;
        }

        var held = _before.Segments[(int)segment.Segment];
        var isLater = held.Segment.Form == ShippedForm.Scavenged && segment.Form != ShippedForm.Unsealed
            && held.Segment.LastIndex == segment.LastIndex && held.Segment.ScavengePoint >= segment.ScavengePoint;
        var follows = segment.Segment == 0 || _before.Segments[(int)segment.Segment - 1].Checksum == End.Checksum;
        if ((held.Segment != segment && !isLater) || !follows || !HasFile(held))
        {
            return false;
        }

        _taken.Add(held);
        return true;
    }

    /// <summary>Begins a segment, or goes on with what an earlier run has of it.</summary>
    /// <param name="segment">As the node lists it; the next one.</param>
    /// <param name="isFresh">Whether what is there of it is thrown away.</param>
    /// <returns>Where its bytes go on: as many are there.</returns>
    /// <exception cref="DiskException">The disk failed, or is full.</exception>
    public long BeginPart(in ShippedSegment segment, bool isFresh)
    {
        Invariant.Check(segment.Segment == Next && _part is null);
        var point = segment.Form == ShippedForm.Scavenged ? string.Create(CultureInfo.InvariantCulture, $".{segment.ScavengePoint}") : "";
        _partPath = Path.Combine(_segments, string.Create(CultureInfo.InvariantCulture, $"{segment.Segment:D20}{point}{PartSuffix}"));
        _partOf = segment;
        if (isFresh)
        {
            _files.DeleteFile(_partPath);
        }

        _part = _files.OpenFile(_partPath, FileOpening.ExistingOrNew);

        // What a killed process wrote counts: it is checked when all of it is there.
        _partLength = _writtenOut = Math.Min(_part.Length, segment.LengthBytes) & ~(long)(Blocks.Size - 1);
        if (_partLength == 0 && !isFresh)
        {
            CopyOfBefore(segment);
        }

        return _partLength;
    }

    /// <summary>Adds the bytes that follow.</summary>
    /// <exception cref="DiskException">The disk failed, or is full.</exception>
    public void Add(ReadOnlySpan<byte> bytes)
    {
        Invariant.Check(_part is not null && bytes.Length <= Missing);
        _part.Write(_partLength, bytes);
        _partLength += bytes.Length;
        if (_partLength - _writtenOut >= WriteOutEvery)
        {
            _part.WriteOut(_writtenOut, _partLength - _writtenOut);
            _writtenOut = _partLength;
        }
    }

    /// <summary>Lets go of the segment under way: the node has it in another form now.</summary>
    public void EndPart()
    {
        _part?.Dispose();
        _part = null;
        (_partLength, _writtenOut) = (0, 0);
    }

    /// <summary>Checks the segment whose last byte has come, and makes it durable. Reads all of it.</summary>
    /// <returns>Null: it is in the new backup. Otherwise what is wrong with it; it was deleted.</returns>
    /// <exception cref="BackupException">It is sound, and of another log than the backup before.</exception>
    /// <exception cref="DiskException">The disk failed, or is full.</exception>
    public DamageException? Finish()
    {
        Invariant.Check(_part is not null && Missing == 0);
        var segment = _partOf;
        try
        {
            _part.SetLength(segment.LengthBytes);
            _part.Flush();
            var before = BeforeEndIn(segment);
            var end = new ShippedCheck(_meta)
            {
                IsBackup = true,
                OnRead = OnDiskRead,
                OnGroup = group =>
                {
                    if (group.Index == before?.Index && group.Checksum != before?.Checksum)
                    {
                        throw AnotherLog(segment.Segment);
                    }
                },
            }.Run(_part, segment, End, makesOwn: false);
            EndPart();
            var entry = new BackupEntry(segment, end.Position, end.Time, end.Checksum);
            _files.MoveFile(_partPath, BackupManifest.PathOf(_directory, entry));
            _files.FlushDirectory(_segments);
            _taken.Add(entry);
            return null;
        }
        catch (DamageException e)
        {
            EndPart();
            _files.DeleteFile(_partPath);
            return e;
        }
    }

    /// <summary>Forgets the unsealed segments that were taken, to take them again as they are now.</summary>
    public void DropUnsealed()
    {
        while (_taken.Count > 0 && _taken[^1].Segment.Form == ShippedForm.Unsealed)
        {
            _taken.RemoveAt(_taken.Count - 1);
        }
    }

    /// <summary>Makes what was taken the directory's backup, durably, and deletes what is no part of it.</summary>
    /// <param name="begunAt">When it was begun, 100 ns ticks since 1970.</param>
    /// <exception cref="DiskException">The disk failed, or is full.</exception>
    public BackupContent Complete(long begunAt)
    {
        Invariant.Check(_part is null && IsWhole && End.Index >= (_before?.End.Index ?? default), "A backup follows the one before.");
        var manifest = new BackupManifest(_vault, (_before?.Number ?? 0) + 1, begunAt, _before?.BegunAt ?? 0, _before?.End.Position ?? Position.None, [.. _taken]);
        manifest.Save(_files, _directory);
        var named = _taken.Select(entry => entry.FileName).ToHashSet();
        foreach (var name in _files.ListFiles(_segments).Where(name => IsOwn(name) && !named.Contains(name)))
        {
            _files.DeleteFile(Path.Combine(_segments, name));
        }

        _files.FlushDirectory(_segments);
        return BackupContent.Of(manifest);
    }

    /// <summary>Lets go of the directory; what is whole stays for the next run.</summary>
    public void Dispose()
    {
        EndPart();
        _lock.Dispose();
    }

    // Whatever has no manifest, and more than a first backup leaves that was killed, is somebody's data: a slip in a command line must not mix the two, or tidy it away.
    private static void RequireOwn(IFileSystem files, string directory)
    {
        if (!files.DirectoryExists(directory) || files.FileExists(Path.Combine(directory, BackupManifest.FileName)))
        {
            return;
        }

        var segments = Path.Combine(directory, BackupManifest.SegmentsFolder);
        var foreign = files.ListFiles(directory).FirstOrDefault(name => name is not (LockName or BackupManifest.TemporaryName))
            ?? (files.DirectoryExists(segments) ? files.ListFiles(segments).FirstOrDefault(name => !IsOwn(name)) : null);
        if (foreign is not null)
        {
            throw new BackupException($"'{directory}' holds '{foreign}', and no backup. Name an empty directory, or one that is not there yet.");
        }
    }

    // By its name: a segment's number, and what it is.
    private static bool IsOwn(string name) =>
        name.Length > NumberDigits && name.AsSpan(0, NumberDigits).IndexOfAnyExceptInRange('0', '9') < 0 && name[NumberDigits] == '.'
        && (name.EndsWith(PartSuffix, StringComparison.Ordinal) || name.EndsWith(BackupManifest.SegmentSuffix, StringComparison.Ordinal));

    private static IDisposable Lock(IFileSystem files, string directory)
    {
        try
        {
            return files.LockFile(Path.Combine(directory, LockName));
        }
        catch (DirectoryInUseException)
        {
            throw new BackupException($"Another backup is being made in '{directory}'. Wait until it has ended: it is as good as this one would be.");
        }
    }

    private bool HasFile(in BackupEntry entry)
    {
        var path = BackupManifest.PathOf(_directory, entry);
        if (!_files.FileExists(path))
        {
            return false;
        }

        using var file = _files.OpenFile(path, FileOpening.ReadExisting);
        return file.Length == entry.Segment.LengthBytes;
    }

    // Where the backup before ends, if that is in this segment and the segment still has its groups.
    private LogEnd? BeforeEndIn(in ShippedSegment segment) =>
        _before is not null && _before.Segments.Count > segment.Segment && segment.Form != ShippedForm.Scavenged
            && _before.Segments[(int)segment.Segment] is { Segment.Form: not ShippedForm.Scavenged } held ? held.End : null;

    // The groups that the backup before has of the segment: fewer bytes to ask the node for. They are checked with the rest.
    private void CopyOfBefore(in ShippedSegment segment)
    {
        if (BeforeEndIn(segment) is null || _before!.Segments[(int)segment.Segment] is var held && (held.Segment.LengthBytes > segment.LengthBytes || !HasFile(held)))
        {
            return;
        }

        using var file = _files.OpenFile(BackupManifest.PathOf(_directory, held), FileOpening.ReadExisting);
        var piece = new byte[PieceBytes];
        while (_partLength < held.Segment.LengthBytes && file.Read(_partLength, piece) is > 0 and var read)
        {
            Add(piece.AsSpan(0, (int)Math.Min(read, held.Segment.LengthBytes - _partLength)));
            OnDiskRead?.Invoke(read);
        }
    }

    private BackupException AnotherLog(uint segment) => new(
        $"Segment {segment} of the node is not the one that '{_directory}' has a backup of, though the vault's id is the same: the data directories were set back, or are an older copy. Use another directory, and keep this one until you know which log is right.");
}
