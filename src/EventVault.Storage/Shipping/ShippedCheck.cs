// Checks a segment's file that came from another node, from end to end, and makes it this node's: the bytes that each node adds to a
// group of its own (GroupLocal) are written anew, as the file is flushed whole before anything rests on it.
//
// What must hold: the header block, at its place behind the group before; every group's own checksum and its body's, its own place, its
// place in the chain, terms that rise; every append and record in it; nothing behind the last group; and that together it is what was
// named: indexes, terms, digest. Of a scavenged segment what ScavengedVerifier checks, and its own digest.
//
// The same holds for every sealed segment of this node's own log (SegmentScrub), behind whose last group a commit mark may stand.
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Scavenging;

namespace EventVault.Storage.Shipping;

/// <summary>Checks shipped files. One thread.</summary>
/// <param name="meta">This node's vault and disk.</param>
internal sealed class ShippedCheck(VaultMeta meta)
{
    private const int WindowBytes = 1024 * 1024;
    private byte[] _window = new byte[WindowBytes];
    private long _windowStart;
    private int _windowLength;

    /// <summary>Whether the file stands in this node's log already.</summary>
    public bool IsOfLog { get; init; }

    /// <summary>Whether the file is a backup's: it ends with the last group, without zeros or a footer.</summary>
    public bool IsBackup { get; init; }

    /// <summary>Whether the file was copied from a backup's.</summary>
    public bool IsRestored { get; init; }

    /// <summary>Told of each group that was found whole, with where the log ends behind it.</summary>
    public Action<LogEnd>? OnGroup { get; init; }

    /// <summary>Told of bytes that were read, behind each piece; what it throws ends the check.</summary>
    public Action<int>? OnRead { get; init; }

    /// <summary>Checks a file whole.</summary>
    /// <param name="file">As long as a segment's file of its form is.</param>
    /// <param name="segment">What it must be.</param>
    /// <param name="before">Behind which group it must stand.</param>
    /// <param name="makesOwn">Whether the part of each group that is a node's own is written; else it must be sound.</param>
    /// <returns>Where the log ends with it.</returns>
    /// <exception cref="DamageException">It is something else.</exception>
    public LogEnd Run(IFile file, in ShippedSegment segment, in LogEnd before, bool makesOwn)
    {
        _windowLength = 0;
        var name = SegmentHeader.FileName(segment.Segment);
        var header = IsBackup ? SegmentScanner.ReadHeader(file, segment.Segment, meta) : SegmentScanner.Open(file, segment.Segment, meta).Header;
        Require(!IsBackup || file.Length == segment.LengthBytes, name, file.Length, $"a file of {segment.LengthBytes} bytes");
        Require(
            header.FirstIndex.Value == before.Index.Value + 1 && header.FirstPosition == before.Position + 1 && header.PreviousGroup == before.Checksum
                && header.MinTime == before.Time + 1 && header.FirstIndex == segment.FirstIndex,
            name, 0, $"a segment that begins with group {before.Index.Value + 1}, behind the one before");
        Require((header.Scavenged?.Point.Value ?? -1) == segment.ScavengePoint, name, 0, "the form that was named");
        var end = header.Scavenged is { } scavenged ? RunScavenged(file, header, scavenged, segment, before) : RunGroups(file, segment, before, makesOwn);
        Require(end.Index == segment.LastIndex && end.Term == segment.LastTerm, name, end.Place.Offset, $"group {segment.LastIndex} of term {segment.LastTerm} as the last one");
        return end;
    }

    /// <summary>What a whole file of a shipped segment says that it is. Not checked: <see cref="Run"/> must follow.</summary>
    /// <param name="file">The file.</param>
    /// <param name="number">The segment's number.</param>
    /// <param name="until">Of a segment that is being written: its groups up to this one, or as many as are whole; null: all, of one that is sealed.</param>
    /// <exception cref="DamageException">It says nothing.</exception>
    public ShippedSegment Describe(IFile file, uint number, LogIndex? until = null)
    {
        var name = SegmentHeader.FileName(number);
        using var scanner = SegmentScanner.Open(file, number, meta, isCached: until is not null);
        if (scanner.Header.Scavenged is { } scavenged)
        {
            var block = new byte[Blocks.Size];
            file.ReadFromDisk(scavenged.FileLength - Blocks.Size, block);
            var footer = SegmentFooter.Decode(block, meta.ChecksumSeed) ?? throw Damage(name, scavenged.FileLength - Blocks.Size, "the segment's footer");
            return new ShippedSegment(
                number, ShippedForm.Scavenged, scavenged.Point.Value, scavenged.FileLength, scavenged.Digest, footer.FirstIndex, footer.LastIndex, footer.FirstTerm, footer.LastTerm);
        }

        var digest = new SipHash128(meta.SipKey);
        Span<byte> shared = stackalloc byte[GroupHeader.Length];
        Term first = default, last = default;
        while ((until is null || scanner.NextIndex <= until) && scanner.Next(out var header, out _, out _))
        {
            first = first.Value == 0 ? header.Term : first;
            last = header.Term;
            header.EncodeShared(shared, meta.ChecksumSeed);
            digest.Append(shared[..GroupHeader.SharedLength]);
        }

        return scanner.NextIndex > scanner.Header.FirstIndex
            ? new ShippedSegment(
                number, until is null ? ShippedForm.Groups : ShippedForm.Unsealed, -1, scanner.Offset, digest.Finish(), scanner.Header.FirstIndex, new LogIndex(scanner.NextIndex.Value - 1), first, last)
            : throw Damage(name, Blocks.Size, $"group {scanner.Header.FirstIndex}");
    }

    /// <summary>What a segment's header says of the log before it. Its term is not known.</summary>
    public static LogEnd Before(in SegmentHeader header) => new(
        new Place(header.Segment, Blocks.Size), header.PreviousGroup, new LogIndex(header.FirstIndex.Value - 1), header.FirstPosition + -1, header.MinTime - 1, default);

    private LogEnd RunScavenged(IFile file, in SegmentHeader header, ScavengedHeader scavenged, in ShippedSegment segment, in LogEnd before)
    {
        var name = SegmentHeader.FileName(segment.Segment);
        Require(segment.Form == ShippedForm.Scavenged && scavenged.Digest == segment.Digest && scavenged.FileLength == segment.LengthBytes, name, 0, "the form that was named");
        var footer = ScavengedVerifier.Verify(file, header, meta, before.Term, OnRead);
        Require(footer.FirstTerm == segment.FirstTerm, name, segment.LengthBytes - Blocks.Size, $"a footer with the first term {segment.FirstTerm}");
        return new LogEnd(
            new Place(footer.Segment, footer.End), footer.LastGroup, footer.LastIndex, footer.FirstPosition + (footer.Events - 1), footer.LastTime, footer.LastTerm);
    }

    private LogEnd RunGroups(IFile file, in ShippedSegment segment, in LogEnd before, bool makesOwn)
    {
        var name = SegmentHeader.FileName(segment.Segment);
        var digest = new SipHash128(meta.SipKey);
        var end = before with { Place = new Place(segment.Segment, Blocks.Size) };
        Span<byte> local = stackalloc byte[GroupHeader.Length];
        long appends = 0, firstTime = 0;
        uint membership = 0;
        while (end.Place.Offset < segment.LengthBytes)
        {
            var at = end.Place.Offset;
            var bytes = Read(file, at, GroupHeader.Length, segment.LengthBytes);
            Require(
                GroupHeader.TryDecodeShared(bytes, meta.ChecksumSeed, out var header, out var checksum) && header.Place == end.Place
                    && header.Index.Value == end.Index.Value + 1 && header.PreviousGroup == end.Checksum && header.FirstPosition == end.Position + 1
                    && header.Time > end.Time && header.Term >= end.Term && header.LeaderCommit < header.Index && at + (long)header.TotalLength <= segment.LengthBytes,
                name, at, $"group {end.Index.Value + 1}");
            Require(header.Index != segment.FirstIndex || header.Term == segment.FirstTerm, name, at, $"a first group of term {segment.FirstTerm}");
            bytes[..GroupHeader.Length].CopyTo(local);
            digest.Append(local[..GroupHeader.SharedLength]);
            if (makesOwn)
            {
                // The file is flushed whole before it counts: whatever stands before the group is durable when the group is part of the log.
                GroupHeader.EncodeLocal(local, end.Index, meta.StartNumber, meta.ChecksumSeed);
                file.Write(at + GroupHeader.SharedLength, local[GroupHeader.SharedLength..]);
            }
            else
            {
                Require(GroupHeader.TryDecode(local, end.Place, meta.ChecksumSeed, out _, out _), name, at, $"this node's own part of group {header.Index}");
            }

            var body = Read(file, at, header.TotalLength, segment.LengthBytes)[GroupHeader.Length..];
            Require(Checksum.Compute(body, meta.ChecksumSeed) == header.BodyChecksum || Canary.Is(Canary.ShippedUnverified), name, at, $"the body of group {header.Index}");
            if (!GroupContent.IsSound(header, body, meta.ChecksumSeed, out var kind, out _, out var fault) && !Canary.Is(Canary.ShippedUnverified))
            {
                throw Damage(name, fault.Value.Offset, fault.Value.Expected);
            }

            appends += header.Appends;
            firstTime = header.Index == segment.FirstIndex ? header.Time : firstTime;
            membership = header.IsSystem && kind == GroupKind.Membership ? at : membership;
            end = header.EndWith(checksum);
            OnGroup?.Invoke(end);
        }

        var whole = digest.Finish();
        Require(segment.Form != ShippedForm.Scavenged && whole == segment.Digest, name, end.Place.Offset, "groups with the digest that was named");
        if (IsBackup)
        {
            return end;
        }

        var limit = meta.SegmentSizeBytes - Blocks.Size;
        RequireZeros(file, name, IsOfLog ? BehindMark(file, end.Place) : end.Place.Offset, segment.Form == ShippedForm.Groups ? limit : meta.SegmentSizeBytes);
        if (segment.Form == ShippedForm.Groups)
        {
            var footer = new SegmentFooter(
                segment.Segment, end.Place.Offset, end.Checksum, segment.FirstIndex, end.Index, segment.FirstTerm, end.Term, before.Position + 1,
                end.Position.Value - before.Position.Value, appends, firstTime, end.Time, whole, membership);
            PutFooter(file, name, footer, limit, makesOwn);
        }

        return end;
    }

    // What stands behind a mark that is whole; else the place itself.
    private uint BehindMark(IFile file, Place place)
    {
        var bytes = Read(file, place.Offset, CommitMark.Length, meta.SegmentSizeBytes);
        return CommitMark.TryDecode(bytes, place, meta.ChecksumSeed, out var mark) && mark.IsWhole(bytes, meta.ChecksumSeed) ? place.Offset + CommitMark.Length : place.Offset;
    }

    // As this node's own sealing would have written it.
    private void PutFooter(IFile file, string name, in SegmentFooter footer, uint offset, bool makesOwn)
    {
        var block = new byte[Blocks.Size];
        if (makesOwn)
        {
            footer.Encode(block, meta.ChecksumSeed);
            file.Write(offset, block);
        }
        else
        {
            file.ReadFromDisk(offset, block);
            Require(SegmentFooter.Decode(block, meta.ChecksumSeed) == footer, name, offset, "the segment's footer");
        }
    }

    private void RequireZeros(IFile file, string name, uint from, uint until)
    {
        for (var at = (long)from; at < until; at = _windowStart + _windowLength)
        {
            Fill(file, at);
            var inWindow = (int)(at - _windowStart);
            var rest = _window.AsSpan(inWindow, (int)Math.Min(_windowLength - inWindow, until - at));
            Require(rest.Length > 0 && rest.IndexOfAnyExcept((byte)0) < 0, name, at, "zeros");
        }
    }

    // Bytes of the file that stand before the end of what was shipped; fewer if that comes first. Past the page cache: what was read is what is durable.
    private ReadOnlySpan<byte> Read(IFile file, long offset, int length, long limit)
    {
        if (offset + length > limit)
        {
            return [];
        }

        if (offset < _windowStart || offset + length > _windowStart + _windowLength)
        {
            var needed = (int)Blocks.Ceiling(offset + length - Blocks.Floor(offset));
            if (needed > _window.Length)
            {
                _window = new byte[needed];
            }

            Fill(file, offset);
        }

        return offset + length <= _windowStart + _windowLength ? _window.AsSpan((int)(offset - _windowStart), length) : [];
    }

    private void Fill(IFile file, long offset)
    {
        _windowStart = Blocks.Floor(offset);
        _windowLength = file.ReadFromDisk(_windowStart, _window.AsSpan(0, (int)Math.Min(_window.Length, Blocks.Ceiling(file.Length - _windowStart))));
        OnRead?.Invoke(_windowLength);
    }

    private void Require(bool condition, string name, long offset, string expected)
    {
        if (!condition)
        {
            throw Damage(name, offset, expected);
        }
    }

    private DamageException Damage(string name, long offset, string expected) => IsBackup || IsRestored
        ? new(name, offset, $"{expected} should stand here, in the backup's copy of the segment.", "Back up again: what is damaged is copied anew if its file is deleted. Otherwise use another backup.")
        : IsOfLog
        ? new(name, offset, $"{expected} should stand here, as it was sealed.", "A node with peers gets the segment from one of them; otherwise restore it from another copy.")
        : new($"{ShipFolder.Name}/{name}", offset, $"{expected} should stand here, in a segment that came from another node.", "It was not taken.");
}
