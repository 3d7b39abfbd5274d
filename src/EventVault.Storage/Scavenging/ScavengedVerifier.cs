// Checks a scavenged segment from end to end, past the page cache: header, all sections, every record, and that together they
// account for every event and append that the segment ever had.
using System.Runtime.InteropServices;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Storage.Scavenging;

/// <summary>Verifies scavenged segments. Reads a whole segment into memory.</summary>
internal sealed class ScavengedVerifier
{
    private const int PieceBytes = 1024 * 1024;

    private readonly VaultMeta _meta;
    private readonly ScavengedHeader _header;
    private readonly SegmentHeader _segmentHeader;
    private readonly SegmentReader _reader;
    private readonly ScavengedSegment _segment;
    private readonly byte[] _bytes;

    private ScavengedVerifier(IFile file, in SegmentHeader header, VaultMeta meta, Action<int>? onRead)
    {
        (_meta, _segmentHeader, _header) = (meta, header, header.Scavenged!);
        _bytes = GC.AllocateArray<byte>((int)_header.FileLength, pinned: true);
        for (var at = 0; at < _bytes.Length; at += PieceBytes)
        {
            var read = file.ReadFromDisk(at, _bytes.AsSpan(at, Math.Min(PieceBytes, _bytes.Length - at)));
            onRead?.Invoke(read);
        }

        var bytes = _bytes;
        _reader = new SegmentReader(header.Segment, new MappedFile(Marshal.UnsafeAddrOfPinnedArrayElement(bytes, 0), bytes.Length, () => GC.KeepAlive(bytes), prefetch: null), meta.ChecksumSeed);
        _segment = new ScavengedSegment(_reader, _header, header.FirstPosition, meta);
    }

    /// <summary>Checks a segment.</summary>
    /// <param name="file">Its file, as long as the header says.</param>
    /// <param name="header">Its header, of a scavenged one.</param>
    /// <param name="meta">The vault.</param>
    /// <param name="firstTerm">No group may have an earlier term.</param>
    /// <param name="onRead">Told of bytes that were read, behind each piece; what it throws ends the check.</param>
    /// <returns>The segment's footer.</returns>
    /// <exception cref="DamageException">It is damaged, there.</exception>
    public static SegmentFooter Verify(IFile file, in SegmentHeader header, VaultMeta meta, Term firstTerm, Action<int>? onRead = null)
    {
        var verifier = new ScavengedVerifier(file, header, meta, onRead);
        try
        {
            var footer = verifier.VerifyFooter(firstTerm);
            verifier.VerifySections();
            verifier.VerifyRecords(footer);
            verifier.VerifyAppends(footer);
            verifier.VerifyConsensus(footer);
            return footer;
        }
        finally
        {
            verifier._reader.Close();
        }
    }

    private SegmentFooter VerifyFooter(Term firstTerm)
    {
        Require(ScavengedHeader.ComputeDigest(_bytes.AsSpan(0, Blocks.Size), _meta.SipKey) == _header.Digest, 0, "a header block with its digest");
        var offset = _bytes.Length - Blocks.Size;
        var footer = SegmentFooter.Decode(_bytes.AsSpan(offset), _meta.ChecksumSeed);
        Require(
            footer is { } f && f.Segment == _segmentHeader.Segment && f.FirstIndex == _segmentHeader.FirstIndex && f.FirstPosition == _segmentHeader.FirstPosition
                && f.LastIndex >= f.FirstIndex && f.Events >= _header.KeptEvents && f.FirstTerm >= firstTerm && f.FirstTime >= _segmentHeader.MinTime,
            offset,
            "the segment's footer");
        return footer!.Value;
    }

    private void VerifySections()
    {
        uint end = Blocks.Size;
        for (var i = 0; i < ScavengedHeader.SectionCount; i++)
        {
            _ = _segment.ReadSection(i);
            var section = _header.Sections[i];
            RequireZeros(section.Offset + section.Length, section.End);
            end = section.End;
        }

        RequireZeros(end, (uint)(_bytes.Length - Blocks.Size));
    }

    private void VerifyRecords(in SegmentFooter footer)
    {
        var runs = _segment.ReadRuns();
        long events = 0, kept = 0;
        for (var entry = 0; entry < runs.Length; entry++)
        {
            var run = runs[entry];
            var place = _header.Sections[ScavengedHeader.Streams].Offset + ((long)entry * SealedIndexFormat.RunLength);
            Require((entry == 0 || run.Key > runs[entry - 1].Key) && run.Count > 0 && run.Kept >= 0 && run.Removed >= 0, place, $"stream {entry} of {runs.Length}");
            _ = _segment.Name(entry, run.Key);
            events += run.Count;
            kept += run.Kept;
        }

        var streams = _header.Sections[ScavengedHeader.Streams].Offset;
        Require(events == footer.Events && kept == _header.KeptEvents, streams, $"streams of {footer.Events} events, {_header.KeptEvents} of them kept");
        var index = _segment.BeginIndex((int)footer.Events);
        long count = 0, before = footer.FirstTime;
        for (var offset = _segment.FirstRecord; offset < _segment.RecordsEnd; count++)
        {
            var view = _segment.AddTo(index, offset);
            var padding = _bytes[offset + 11];
            Require(view.RecordedAt >= before && view.RecordedAt <= footer.LastTime, offset, $"an event recorded from {before} to {footer.LastTime}");
            RequireZeros(offset + (uint)view.RecordLength - padding, offset + (uint)view.RecordLength);
            before = view.RecordedAt;
            offset += (uint)view.RecordLength;
        }

        // With a place of its own for each in its stream, that is all of them.
        Require(count == kept, _segment.FirstRecord, $"{kept} events");
    }

    private void VerifyAppends(in SegmentFooter footer)
    {
        var place = _header.Sections[ScavengedHeader.Appends].Offset;
        Require(_header.KeptAppends == 0 || _header.KeptAppends == footer.Appends, place, $"{footer.Appends} appends, or none");
        var (next, group) = (footer.FirstPosition, 0u);
        for (var i = 0; i < _header.KeptAppends; i++)
        {
            var append = _segment.AppendAt(i);
            Require(append.First == next && append.Last >= append.First && append.GroupOffset >= group, place, $"append {i}, from position {next} on");
            for (var s = 0; s < append.StreamCount; s++)
            {
                Require((uint)append.Stream(s).Entry < (uint)_header.StreamCount, place, $"append {i}, with streams of the segment");
            }

            (next, group) = (append.Last + 1, append.GroupOffset);
        }

        Require(_header.KeptAppends == 0 || next == footer.FirstPosition + footer.Events, place, $"appends up to position {footer.FirstPosition.Value + footer.Events - 1}");
    }

    private void VerifyConsensus(in SegmentFooter footer)
    {
        var terms = new List<(LogIndex First, Term Term)>();
        var (membership, _) = _segment.ReadConsensus(terms);
        var rises = true;
        for (var i = 1; i < terms.Count; i++)
        {
            rises &= terms[i].First > terms[i - 1].First && terms[i].Term > terms[i - 1].Term;
        }

        Require(
            rises && terms[0] == (footer.FirstIndex, footer.FirstTerm) && terms[^1].Term == footer.LastTerm && (membership.Value > 0) == (footer.Membership > 0),
            _header.Sections[ScavengedHeader.Consensus].Offset,
            "terms and membership as the footer has them");
    }

    private void RequireZeros(uint from, uint until) =>
        Require(!_bytes.AsSpan((int)from, (int)(until - from)).ContainsAnyExcept((byte)0), from, "zeros");

    private void Require(bool condition, long offset, string expected)
    {
        if (!condition)
        {
            throw _reader.Damage((uint)offset, expected);
        }
    }
}
