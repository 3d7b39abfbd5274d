// Makes a data directory of a backup: a vault of its own, with one voter, whose log is the one that was backed up, up to a cut.
//
// What is new: the vault's id (in `meta`, and in the header block of each segment), so that no node of the old vault takes it for one of its
// own, nor a client, a token or a backup; the incarnation of the disk; and one group at the log's end, by which the disk is the only voter, of a later
// term than all before it. What stays: hash key and checksum seed, without which no checksum would hold; positions, versions, times, ids, and so
// every group and record, byte for byte.
//
// The cut is between two appends: an append is all or nothing here, too. The group that the cut is in keeps its index, term and time and loses
// the appends behind the cut.
//
// Everything is checked on its way, past the page cache: what is read from the backup, and what was written, against the checksums of every group and record,
// the chain of groups, and the manifest. `meta` is written last: a directory whose restore was cut short has a log and nothing that says whose, which
// a node refuses.
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;
using EventVault.Storage.Shipping;

namespace EventVault.Storage.Backups;

/// <summary>Restores a backup.</summary>
public sealed class BackupRestore
{
    private const int PieceBytes = 1024 * 1024;

    private static readonly string[] Folders = [VaultStorage.LogFolder, VaultStorage.IndexFolder, ShipFolder.Name, Reincarnation.Folder];

    private readonly IFileSystem _files;
    private readonly string _from;
    private readonly string _directory;
    private readonly string _log;
    private readonly RestoreOptions _options;
    private readonly BackupManifest _manifest;
    private readonly VaultMeta _old;
    private readonly VaultMeta _meta;
    private int _written;

    private BackupRestore(IFileSystem files, string from, string directory, RestoreOptions options, BackupManifest manifest)
    {
        _files = files;
        _from = from;
        _directory = directory;
        _log = Path.Combine(directory, VaultStorage.LogFolder);
        _options = options;
        _manifest = manifest;
        _old = VaultMeta.Join(manifest.Vault, nodeId: 1, options.Random);
        _meta = VaultMeta.Restore(manifest.Vault, options.NodeId, options.Random);
    }

    /// <summary>Restores the newest finished backup of a directory.</summary>
    /// <param name="files">Where both directories stand.</param>
    /// <param name="from">The backup directory.</param>
    /// <param name="directory">The new data directory; missing or empty.</param>
    /// <param name="options">How.</param>
    /// <param name="progress">Told of segments done and in all.</param>
    /// <exception cref="BackupException">There is no backup, it does not have what is asked for, or the data directory is not empty.</exception>
    /// <exception cref="DamageException">The backup is damaged. What was written is no data directory; delete it.</exception>
    /// <exception cref="DiskException">The disk failed, or is full.</exception>
    public static RestoreReport Run(IFileSystem files, string from, string directory, RestoreOptions options, Action<int, int>? progress = null)
    {
        ArgumentNullException.ThrowIfNull(files);
        ArgumentNullException.ThrowIfNull(options);
        if (options.NodeId == 0)
        {
            throw new ArgumentException("0 is no node id: they are counted from 1.", nameof(options));
        }

        RequireEmpty(files, directory);
        var manifest = BackupVerifier.Read(files, from);
        files.CreateDirectory(directory);
        using var @lock = files.LockFile(Path.Combine(directory, VaultStorage.LockName));
        return new BackupRestore(files, from, directory, options, manifest).Run(progress);
    }

    private static void RequireEmpty(IFileSystem files, string directory)
    {
        // A restore that was refused before it wrote anything has left the lock.
        if ((files.DirectoryExists(directory) && files.ListFiles(directory).Any(name => name != VaultStorage.LockName))
            || Folders.Any(folder => files.DirectoryExists(Path.Combine(directory, folder))))
        {
            throw new BackupException($"'{directory}' is not empty. A backup is restored into an empty directory only: name another one, or empty it if nothing in it is needed.");
        }
    }

    private RestoreReport Run(Action<int, int>? progress)
    {
        var last = FindLast();
        var before = last > 0 ? _manifest.Segments[last - 1].End : LogEnd.Empty;
        var cut = FindCut(_manifest.Segments[last], before);
        RequireReadable(last, cut.End.Position);
        _files.CreateDirectory(_log);
        _files.FlushDirectory(_directory);
        var end = LogEnd.Empty;
        for (var i = 0; i < last; i++)
        {
            try
            {
                end = Install(_manifest.Segments[i], end);
            }
            catch (DamageException e)
            {
                throw WhoseDamage(i, e);
            }

            progress?.Invoke(i + 1, last + 1);
        }

        try
        {
            InstallLast(_manifest.Segments[last], before, cut);
        }
        catch (DamageException e)
        {
            throw WhoseDamage(last, e);
        }

        _files.FlushDirectory(_log);
        progress?.Invoke(last + 1, last + 1);

        // A node's term is never behind its log's; nobody was promised anything in this one.
        VoteFile.Create(_files, _directory, _meta).Write(NextTerm(cut.End), 0, Guid.Empty);
        (_meta with { HasVote = true }).Save(_files, _directory);
        _files.FlushDirectory(_directory);
        if (Path.GetDirectoryName(Path.GetFullPath(_directory)) is { Length: > 0 } parent)
        {
            _files.FlushDirectory(parent);
        }

        return new RestoreReport(BackupContent.Of(_manifest), _meta.VaultId, cut.End.Position, cut.End.Time, cut.End.Index, _written);
    }

    // What was copied is not what it should be: is that so in the backup, too? A sound file must not be given up for the fault of another disk.
    private DamageException WhoseDamage(int i, DamageException found)
    {
        var entry = _manifest.Segments[i];
        BackupVerifier.Check(_files, _from, new ShippedCheck(_old) { IsBackup = true }, entry, i > 0 ? _manifest.Segments[i - 1].End : LogEnd.Empty);
        return new DamageException(
            Path.Combine(_log, SegmentHeader.FileName(entry.Segment.Segment)), found.Offset, found.Expected,
            "The backup's own file is sound: the disk that it was restored to does not hold what is written. Restore to another disk.");
    }

    // The segment that the cut is in, or the last one.
    private int FindLast()
    {
        var end = _manifest.End;
        if (_options.UntilPosition > end.Position)
        {
            throw new BackupException($"The backup ends with position {end.Position}; {_options.UntilPosition} is behind it.");
        }

        // Not even up to when it was begun: the node may have been behind, or a group with an earlier time on its way to the disk.
        if (_options.UntilTime > end.Time)
        {
            throw new BackupException(
                $"The backup's last group is of {Text(end.Time)}: it does not tell what was there at {Text(_options.UntilTime.Value)}. For all that it has give no time; for what came behind take a later backup.");
        }

        for (var i = 0; i + 1 < _manifest.Segments.Count; i++)
        {
            if (_options.UntilPosition < _manifest.Segments[i].Last + 1 || _options.UntilTime <= _manifest.Segments[i].Time)
            {
                return i;
            }
        }

        return _manifest.Segments.Count - 1;
    }

    // Before a segment's scavenge point what it has lost could be read, and nothing tells it any more.
    private void RequireReadable(int last, Position end)
    {
        var point = _manifest.Segments.Take(last + 1).Max(entry => entry.Segment.ScavengePoint);
        if (point > end.Value)
        {
            throw new BackupException(
                $"Segments of the backup were scavenged at position {point}, so what could be read before is not in it any more. Name a position or time from there on, or use a backup that was made before.");
        }
    }

    private LogEnd Install(in BackupEntry entry, in LogEnd before)
    {
        using var source = OpenSource(entry);
        using var file = NewFile(entry.Segment.Segment);
        var (header, block) = NewHeader(source, entry);
        file.Write(0, block);
        Copy(source, file, Blocks.Size, entry.Segment.LengthBytes);
        var segment = entry.Segment;
        if (header.Scavenged is { } scavenged)
        {
            segment = segment with { Digest = scavenged.Digest };
        }
        else
        {
            ShipFolder.FillWithZeros(file, segment.LengthBytes, _meta.SegmentSizeBytes);
        }

        file.Flush();
        var end = new ShippedCheck(_meta) { IsRestored = true }.Run(file, segment, before, makesOwn: true);
        file.Flush();
        return end.Checksum == entry.Checksum && end.Position == entry.Last && end.Time == entry.Time
            ? end
            : throw new DamageException(entry.FileName, 0, "the segment that the manifest names should stand here.", "Use another backup.");
    }

    // The segment with which the log ends, up to the cut, and behind that the group by which the disk is the only voter.
    private void InstallLast(in BackupEntry entry, in LogEnd before, in Cut cut)
    {
        var voter = OnlyVoterGroup(cut.End);
        var fits = cut.End.Place.Offset + (long)voter.Length <= _meta.SegmentSizeBytes - Blocks.Size - CommitMark.Length;
        using (var source = OpenSource(entry))
        {
            Finish(entry.Segment.Segment, before, NewHeader(source, entry).Block, source, cut.Keep, [.. cut.Part, .. fits ? voter : []]);
        }

        if (!fits)
        {
            var block = new byte[Blocks.Size];
            cut.End.Open(_meta, entry.Segment.Segment + 1).Encode(block, _meta.ChecksumSeed);
            Finish(entry.Segment.Segment + 1, cut.End, block, null, Blocks.Size, OnlyVoterGroup(cut.End with { Place = new Place(entry.Segment.Segment + 1, Blocks.Size) }));
        }
    }

    private void Finish(uint segment, in LogEnd before, ReadOnlySpan<byte> header, IFile? source, long keep, ReadOnlySpan<byte> behind)
    {
        using var file = NewFile(segment);
        file.Write(0, header);
        if (source is not null)
        {
            Copy(source, file, Blocks.Size, keep);
        }

        file.Write(keep, behind);
        ShipFolder.FillWithZeros(file, keep + behind.Length, _meta.SegmentSizeBytes);
        file.Flush();
        var check = new ShippedCheck(_meta) { IsRestored = true };
        check.Run(file, check.Describe(file, segment, new LogIndex(ulong.MaxValue)), before, makesOwn: true);
        file.Flush();
    }

    // The whole segment is checked, and then how much of it is kept.
    private Cut FindCut(in BackupEntry entry, in LogEnd before)
    {
        BackupVerifier.Check(_files, _from, new ShippedCheck(_old) { IsBackup = true }, entry, before);
        var end = before with { Place = new Place(entry.Segment.Segment, Blocks.Size) };
        if (_options is { UntilPosition: null, UntilTime: null })
        {
            return new Cut(entry.Segment.LengthBytes, [], entry.End);
        }

        using var source = OpenSource(entry);
        using var scanner = SegmentScanner.OpenCut(source, entry.Segment.Segment, _old);
        if (scanner.Header.Scavenged is not null)
        {
            return new Cut(Blocks.Size, [], end); // Refused by RequireReadable: its point lies behind it.
        }

        while (scanner.Next(out var header, out var local, out var body))
        {
            if (!IsKept(header.FirstPosition + (header.Events - 1), header.LastTime))
            {
                return CutIn(header, body, end);
            }

            end = header.EndWith(local.GroupChecksum);
        }

        return new Cut(scanner.Offset, [], end);
    }

    private Cut CutIn(in GroupHeader header, ReadOnlySpan<byte> body, in LogEnd end)
    {
        var (appends, events) = (0, 0);
        var rest = body;
        while (!header.IsSystem && RecordFormat.TryDecodeAppend(rest, out var append))
        {
            var count = 0;
            for (var records = append.Records; !records.IsEmpty; count++)
            {
                Invariant.Check(RecordFormat.TryReadEvent(records, _old.ChecksumSeed, out var view));
                records = records[view.RecordLength..];
            }

            if (!IsKept(header.FirstPosition + (events + count - 1), header.Time + appends))
            {
                break;
            }

            (appends, events) = (appends + 1, events + count);
            rest = rest[append.Length..];
        }

        if (appends == 0)
        {
            return new Cut(header.Place.Offset, [], end);
        }

        Invariant.Check(appends < header.Appends, "A group that is kept whole is not cut.");
        var kept = body[..^rest.Length];
        var shorter = header with { BodyLength = kept.Length, BodyChecksum = Checksum.Compute(kept, _meta.ChecksumSeed), Appends = appends, Events = events };
        var bytes = Encode(shorter, kept, end.Index, out var checksum);
        return new Cut(header.Place.Offset, bytes, shorter.EndWith(checksum));
    }

    private bool IsKept(Position last, long time) => !(last > _options.UntilPosition) && !(time > _options.UntilTime);

    private byte[] OnlyVoterGroup(in LogEnd end)
    {
        var content = _options.OnlyVoter(_meta.NodeId, _meta.Incarnation);
        var body = new byte[SystemRecord.Length(content.Length)];
        SystemRecord.Encode(body, GroupKind.Membership, content, _meta.ChecksumSeed);
        var header = new GroupHeader(
            body.Length, Checksum.Compute(body, _meta.ChecksumSeed), end.Place, NextTerm(end), new LogIndex(end.Index.Value + 1), end.Position + 1, end.Time + 1, end.Index, 0, 0, end.Checksum);
        return Encode(header, body, end.Index, out _);
    }

    private byte[] Encode(in GroupHeader header, ReadOnlySpan<byte> body, LogIndex durable, out uint checksum)
    {
        var bytes = new byte[header.TotalLength];
        body.CopyTo(bytes.AsSpan(GroupHeader.Length));
        checksum = header.EncodeShared(bytes, _meta.ChecksumSeed);
        GroupHeader.EncodeLocal(bytes, durable, _meta.StartNumber, _meta.ChecksumSeed);
        return bytes;
    }

    // Of the new vault. What covers the old one's id is checked first, and made anew.
    private (SegmentHeader Header, byte[] Block) NewHeader(IFile source, in BackupEntry entry)
    {
        var block = new byte[Blocks.Size];
        var header = SegmentScanner.ReadHeader(source, entry.Segment.Segment, _old) with { VaultId = _meta.VaultId };
        if (header.Scavenged is { } scavenged)
        {
            source.ReadFromDisk(0, block);
            if (ScavengedHeader.ComputeDigest(block, _old.SipKey) != entry.Segment.Digest)
            {
                throw new DamageException(entry.FileName, 0, "a header block with the digest that the manifest names should stand here.", "Use another backup.");
            }

            header.Encode(block, _meta.ChecksumSeed);
            header = header with { Scavenged = scavenged with { Digest = ScavengedHeader.ComputeDigest(block, _meta.SipKey) } };
        }

        header.Encode(block, _meta.ChecksumSeed);
        return (header, block);
    }

    private IFile OpenSource(in BackupEntry entry)
    {
        var path = BackupManifest.PathOf(_from, entry);
        return _files.FileExists(path)
            ? _files.OpenFile(path, FileOpening.ReadExisting)
            : throw new DamageException(entry.FileName, 0, "the file is missing.", "If a backup was finished meanwhile, restore again; otherwise use another backup.");
    }

    private IFile NewFile(uint segment)
    {
        _written++;
        return _files.OpenFile(Path.Combine(_log, SegmentHeader.FileName(segment)), FileOpening.New);
    }

    private static void Copy(IFile source, IFile file, long from, long until)
    {
        var piece = new byte[PieceBytes];
        for (var at = from; at < until; at += PieceBytes)
        {
            var bytes = piece.AsSpan(0, (int)Math.Min(PieceBytes, until - at));
            source.Read(at, bytes);
            file.Write(at, bytes);
        }
    }

    private static Term NextTerm(in LogEnd end) => new(end.Term.Value + 1);

    private static string Text(long ticks) => DateTimeOffset.UnixEpoch.AddTicks(ticks).ToString("yyyy-MM-ddTHH:mm:ss.fffffffZ", System.Globalization.CultureInfo.InvariantCulture);

    // Bytes of the last segment that are kept as they are, the group behind them that loses appends, if any, and where the log ends then.
    private readonly record struct Cut(long Keep, byte[] Part, LogEnd End);
}
