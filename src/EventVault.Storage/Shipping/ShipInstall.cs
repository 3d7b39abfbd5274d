// Puts shipped segments in their places, when a start finds a plan: before the log is walked, and before anybody may vote or answer.
//
// Nothing of the log changes before all that the plan names has been checked, whole and past the page cache. Then the plan says that
// it is being installed, and from there on a start carries it to its end, whatever a crash has left: each file is moved into its place once,
// what is behind the last one goes, the plan goes last.
//
// What is committed is never lost. All that a plan brings is committed; let P be its last group. If this log holds P, of the same term, it holds
// the same groups before it, and perhaps committed ones behind: the plan is dropped. If it does not hold P, then what it has of other
// groups at P's index or before was never committed and never will be, and nothing behind can be: no two groups are
// committed at one index, and no leader counts a group without those before it. So nothing that this disk acknowledged, and that could count for a commit, is
// missing behind the install; the vote stays, and its term rises to P's if it was lower. Whether P was there can't be told if it is damaged: then the
// plan is dropped as well, and recovery says so.
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage.Shipping;

/// <summary>What a start did with a plan.</summary>
/// <param name="Installed">How many segments came from other nodes.</param>
/// <param name="Through">Groups up to this one are committed, as the plan brought them; 0: it brought none.</param>
/// <param name="Dropped">Why a plan was not installed; null: there was none, or it was.</param>
/// <param name="Repaired">The sealed segment in whose place another node's came; null: none.</param>
public sealed record ShipReport(int Installed, LogIndex Through, string? Dropped, uint? Repaired = null)
{
    /// <summary>There was no plan.</summary>
    public static ShipReport None { get; } = new(0, default, null);
}

internal sealed class ShipInstall
{
    private readonly IFileSystem _files;
    private readonly string _directory;
    private readonly string _logDirectory;
    private readonly OpeningWatch? _watch;
    private VaultMeta _meta;

    private ShipInstall(IFileSystem files, string directory, VaultMeta meta, OpeningWatch? watch)
    {
        _watch = watch;
        _files = files;
        _directory = directory;
        _logDirectory = Path.Combine(directory, VaultStorage.LogFolder);
        _meta = meta;
    }

    /// <summary>Installs what a plan names, if there is one.</summary>
    /// <returns>The meta that stands now, and what was done.</returns>
    /// <exception cref="DamageException">The plan is damaged, or another vault's or disk's.</exception>
    /// <exception cref="OperationCanceledException">The opening is to end; nothing was changed.</exception>
    public static (VaultMeta Meta, ShipReport Report) Run(IFileSystem files, string directory, VaultMeta meta, VoteFile vote, OpeningWatch? watch)
    {
        if (ShipPlan.Read(files, directory, meta) is not { } plan)
        {
            return (meta, ShipReport.None);
        }

        var install = new ShipInstall(files, directory, meta, watch);
        if (plan.State == ShipState.Ready)
        {
            if (install.WhyNot(plan) is { } why)
            {
                install.DeletePlan();
                return (meta, ShipReport.None with { Dropped = why });
            }

            if (vote.Term < plan.Last.LastTerm)
            {
                vote.Write(plan.Last.LastTerm, 0, Guid.Empty); // A node's term is never behind its log's.
            }

            plan = plan with { State = ShipState.Installing };
            plan.Save(files, directory, meta.ChecksumSeed);
        }

        install.MoveAll(plan);
        install.DeletePlan();
        return (install._meta, plan.Purpose == ShipPurpose.CatchUp
            ? new ShipReport(plan.Segments.Count, plan.Last.LastIndex, null)
            : new ShipReport(plan.Segments.Count, default, null, plan.First.Segment));
    }

    // Null: it is to be installed.
    private string? WhyNot(ShipPlan plan)
    {
        try
        {
            if (plan.Purpose == ShipPurpose.Repair)
            {
                return CheckRepair(plan.First);
            }

            if (Holds(plan.Last) is { } why)
            {
                return why;
            }

            if (Canary.Is(Canary.ShippedUnverified))
            {
                return null;
            }

            var end = plan.First.Segment == 0 ? LogEnd.Empty : ShippedCheck.Before(ReadHeader(plan.First.Segment));
            var number = 0;
            foreach (var segment in plan.Segments)
            {
                _watch?.Begin("checks segment that came from another node,", ++number, plan.Segments.Count);
                end = Check(segment, end);
            }

            return null;
        }
        catch (Exception e) when (e is DamageException or UnsupportedFormatException or DiskException)
        {
            return e.Message;
        }
    }

    private LogEnd Check(in ShippedSegment segment, in LogEnd before)
    {
        using var file = _files.OpenFile(ShipFolder.PathOf(_directory, segment), FileOpening.ReadExisting);
        return new ShippedCheck(_meta) { OnRead = _ => _watch?.Check() }.Run(file, segment, before, makesOwn: false);
    }

    // Null: this log does not hold the group with which the plan ends. It would be the first one of its segment.
    private string? Holds(in ShippedSegment last)
    {
        var path = Path.Combine(_logDirectory, SegmentHeader.FileName(last.Segment));
        var isBehind = _files.FileExists(Path.Combine(_logDirectory, SegmentHeader.FileName(last.Segment + 1)));
        if (Canary.Is(Canary.InstalledOverHeld) || _meta.Truncation is { } truncation && truncation.LastKept < last.LastIndex)
        {
            return null;
        }

        if (!_files.FileExists(path))
        {
            return isBehind ? $"segment {last.Segment} is missing here, and the log goes on behind it" : null;
        }

        using var file = _files.OpenFile(path, FileOpening.ReadExisting);
        using var scanner = SegmentScanner.Open(file, last.Segment, _meta);
        if (scanner.Header.Scavenged is not null)
        {
            return $"segment {last.Segment} is sealed here";
        }

        if (scanner.Next(out var header, out _, out _))
        {
            return header.Index == last.LastIndex && header.Term == last.LastTerm ? $"the log has group {last.LastIndex} of term {last.LastTerm}" : null;
        }

        return isBehind || scanner.Resume() ? $"the beginning of segment {last.Segment} is damaged here" : null;
    }

    // Only between the segments on either side, to which it is chained.
    private string? CheckRepair(in ShippedSegment segment)
    {
        var before = LogEnd.Empty;
        if (segment.Segment > 0)
        {
            if (ReadFooter(segment.Segment - 1) is not { } footer)
            {
                return $"the footer of segment {segment.Segment - 1} is damaged";
            }

            before = new LogEnd(
                new Place(footer.Segment, footer.End), footer.LastGroup, footer.LastIndex, footer.FirstPosition + (footer.Events - 1), footer.LastTime, footer.LastTerm);
        }

        if (HasOtherForm(segment))
        {
            return $"segment {segment.Segment} has another form here now";
        }

        var end = Check(segment, before);
        var next = ReadHeader(segment.Segment + 1);
        return next.FirstIndex.Value == end.Index.Value + 1 && next.PreviousGroup == end.Checksum && next.FirstPosition == end.Position + 1
            ? null
            : $"segment {next.Segment} does not follow it";
    }

    // It was scavenged while its repair was under way, and so it was read whole, and its indexes are those of its new form. If its header can't be read, it was not.
    private bool HasOtherForm(in ShippedSegment segment)
    {
        try
        {
            return (ReadHeader(segment.Segment).Scavenged?.Point.Value ?? -1) != segment.ScavengePoint;
        }
        catch (Exception e) when (e is DamageException or UnsupportedFormatException or DiskException)
        {
            return false;
        }
    }

    private void MoveAll(ShipPlan plan)
    {
        _files.DeleteFile(CleanStop.PathIn(_directory)); // The log ends elsewhere.
        foreach (var segment in plan.Segments)
        {
            var shipped = ShipFolder.PathOf(_directory, segment);
            if (!_files.FileExists(shipped))
            {
                continue; // Moved before a crash.
            }

            // What was sealed here meanwhile is the same; indexes stand on its form.
            var isOwn = Canary.Is(Canary.OwnGroupsKept) && _files.FileExists(Path.Combine(_logDirectory, SegmentHeader.FileName(segment.Segment)));
            if (isOwn || (plan.Purpose == ShipPurpose.CatchUp && ReadFooter(segment.Segment) is { } footer && footer.LastIndex == segment.LastIndex && footer.LastTerm == segment.LastTerm))
            {
                _files.DeleteFile(shipped);
            }
            else
            {
                _files.MoveFile(shipped, Path.Combine(_logDirectory, SegmentHeader.FileName(segment.Segment)));
            }
        }

        _files.FlushDirectory(_logDirectory);
        _files.FlushDirectory(ShipFolder.PathIn(_directory));
        if (plan.Purpose == ShipPurpose.CatchUp)
        {
            DropBehind(plan.Last.Segment);
            if (_meta.Truncation is not null)
            {
                _meta = _meta.EndTruncation(_files, _directory); // What it was about is gone: unsealed segments, all of which were replaced.
            }
        }
    }

    private void DropBehind(uint last)
    {
        var newest = last;
        while (_files.FileExists(Path.Combine(_logDirectory, SegmentHeader.FileName(newest + 1))))
        {
            newest++;
        }

        SegmentedLog.DeleteSegments(_files, _logDirectory, last + 1, newest);
    }

    private void DeletePlan()
    {
        _files.DeleteFile(ShipPlan.PathIn(_directory));
        _files.FlushDirectory(ShipFolder.PathIn(_directory));
    }

    private SegmentHeader ReadHeader(uint segment)
    {
        using var file = _files.OpenFile(Path.Combine(_logDirectory, SegmentHeader.FileName(segment)), FileOpening.ReadExisting);
        return SegmentScanner.Open(file, segment, _meta).Header;
    }

    private SegmentFooter? ReadFooter(uint segment)
    {
        var path = Path.Combine(_logDirectory, SegmentHeader.FileName(segment));
        if (!_files.FileExists(path))
        {
            return null;
        }

        using var file = _files.OpenFile(path, FileOpening.ReadExisting);
        var block = new byte[Blocks.Size];
        return file.Length >= 2 * Blocks.Size && file.ReadFromDisk(file.Length - Blocks.Size, block) == block.Length
            && SegmentFooter.Decode(block, _meta.ChecksumSeed) is { } footer && footer.Segment == segment ? footer : null;
    }
}
