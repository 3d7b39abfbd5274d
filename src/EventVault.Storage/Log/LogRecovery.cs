// Finds the log's true end after any stop. An unsealed segment is walked from its start; where the walk stops, either
// nothing was durable yet (a torn tail: cut, zeroed, flushed) or something intact behind it says that it was (damage:
// the node refuses to start, and nothing is cut).
using EventVault.Storage.Index;
using EventVault.Storage.Io;

namespace EventVault.Storage.Log;

/// <summary>What recovery found in one segment.</summary>
/// <param name="Index">Its events.</param>
/// <param name="End">Behind its last group.</param>
/// <param name="LastGroup">Checksum of the last group.</param>
/// <param name="LastIndex">Index of the last group; one before the segment's first if it has none.</param>
/// <param name="LastPosition">Position of the last event.</param>
/// <param name="LastTime">Time of the last append.</param>
/// <param name="IsMarked">Whether a whole commit mark stands behind the last group.</param>
/// <param name="CutBytes">Torn bytes that were cut.</param>
internal sealed record RecoveredSegment(
    ActiveIndex Index, uint End, uint LastGroup, LogIndex LastIndex, Position LastPosition, long LastTime, bool IsMarked, uint CutBytes);

internal static class LogRecovery
{
    public const string NextStep = "The log was not changed. Run vault-admin verify, and restore the segment from another copy.";

    /// <summary>
    /// Most bytes written between two flushes, and so the most that can be torn: behind so many zeros nothing was ever
    /// written. A constant and no setting: the log must be recovered with whatever settings wrote it.
    /// </summary>
    public const uint InFlightBytes = VaultLimits.MostAppendBytes + (4 * 1024 * 1024);

    /// <summary>Walks an unsealed segment, indexes it, and cuts a torn tail.</summary>
    /// <param name="file">The segment's file, open for writing.</param>
    /// <param name="segment">Its number.</param>
    /// <param name="meta">The vault.</param>
    /// <param name="next">Header of the segment behind it; null if this is the last one.</param>
    /// <param name="lastVersion">Last version of a stream before this segment.</param>
    /// <exception cref="DamageException">Bytes that were durable are damaged.</exception>
    public static RecoveredSegment Recover(
        IFile file, uint segment, VaultMeta meta, SegmentHeader? next, Func<UInt128, StreamVersion> lastVersion)
    {
        var scanner = SegmentScanner.Open(file, segment, meta);
        var index = new ActiveIndex(segment, scanner.Header.FirstPosition, scanner.Header.FirstIndex);
        var indexer = new GroupIndexer(index, meta, lastVersion);
        while (scanner.Next(out var header, out _, out var body))
        {
            indexer.Add(header, body);
        }

        var (bits, tailEnd) = scanner.CountBits(scanner.Offset, InFlightBytes);
        var witness = next is { } following
            ? Contradiction(scanner, following)
            : scanner.FindWitness(tailEnd);
        if (witness is not null)
        {
            throw new DamageException(SegmentHeader.FileName(segment), scanner.Offset, $"{scanner.Problem}, but {witness}. This is damage, not a torn tail.", NextStep);
        }

        // Only the last segment can have a torn tail: the header of the next one was written when this one was durable.
        var isMarked = IsMarked(scanner, meta, tailEnd);
        var cut = next is null && bits != 0 && !isMarked;
        if (cut)
        {
            Cut(file, scanner, tailEnd);
        }

        // Makes durable, too, whatever a killed process had written but not flushed: from here on it counts.
        file.Flush();
        return new RecoveredSegment(
            index, scanner.Offset, scanner.LastGroup, new LogIndex(scanner.NextIndex.Value - 1), scanner.NextPosition + -1,
            scanner.MinTime - 1, isMarked, cut ? tailEnd - scanner.Offset : 0);
    }

    // What the segment behind says against this one's end; null: nothing.
    private static string? Contradiction(SegmentScanner scanner, in SegmentHeader next) =>
        next.FirstIndex != scanner.NextIndex || next.PreviousGroup != scanner.LastGroup || next.FirstPosition != scanner.NextPosition
            ? $"segment {next.Segment} says that groups up to {next.FirstIndex.Value - 1} were durable when it was begun"
            : null;

    private static bool IsMarked(SegmentScanner scanner, VaultMeta meta, uint tailEnd)
    {
        var place = new Place(scanner.Header.Segment, scanner.Offset);
        return tailEnd <= scanner.Offset + CommitMark.Length
            && scanner.TryBytes(scanner.Offset, CommitMark.Length, out var bytes)
            && CommitMark.TryDecode(bytes, place, meta.ChecksumSeed, out var mark)
            && mark.Durable.Value == scanner.NextIndex.Value - 1 && mark.LastGroup == scanner.LastGroup
            && mark.IsWhole(bytes, meta.ChecksumSeed);
    }

    // Zeros everything behind the last intact group: a stale group left there could join the log after a later crash.
    private static void Cut(IFile file, SegmentScanner scanner, uint tailEnd)
    {
        var start = Blocks.Floor(scanner.Offset);
        var zeros = new byte[(int)(Blocks.Ceiling(tailEnd) - start)];
        var kept = (int)(scanner.Offset - start);
        if (kept > 0)
        {
            var known = scanner.TryBytes((uint)start, kept, out var bytes);
            Invariant.Check(known);
            bytes.CopyTo(zeros);
        }

        file.Write(start, zeros);
    }
}

/// <summary>Puts the events of recovered groups into an index.</summary>
internal sealed class GroupIndexer(ActiveIndex index, VaultMeta meta, Func<UInt128, StreamVersion> lastVersion)
{
    private byte[] _lastName = [];
    private int _lastStream = -1;

    public void Add(in GroupHeader header, ReadOnlySpan<byte> body)
    {
        index.AddGroup(header.Index, header.Time, header.Place.Offset);
        var position = header.FirstPosition;
        for (var appends = 0; !body.IsEmpty; appends++)
        {
            // The group's checksum held, so anything odd in it was written so: our own fault.
            Invariant.Check(RecordFormat.TryDecodeAppend(body, out var append));
            index.AddOperation(append.OperationId, header.Place.Offset);
            var records = append.Records;
            var offset = header.Place.Offset + (uint)(header.TotalLength - body.Length + append.Length - records.Length);
            while (!records.IsEmpty)
            {
                Invariant.Check(RecordFormat.TryDecodeEvent(records, out var view));
                Invariant.Check(view.Position == position && view.AppendOrdinal == appends && view.RecordedAt == header.Time + appends);
                var stream = StreamOf(view.Stream);
                ref var tail = ref index.Tail(stream);
                Invariant.Check(view.Version.Value == tail + 1);
                tail++;
                index.AddEvent(stream, offset);
                offset += (uint)view.RecordLength;
                records = records[view.RecordLength..];
                position += 1;
            }

            body = body[append.Length..];
        }

        Invariant.Check(position == header.FirstPosition + header.Events);
    }

    private int StreamOf(ReadOnlySpan<byte> name)
    {
        if (_lastStream >= 0 && name.SequenceEqual(_lastName))
        {
            return _lastStream;
        }

        var key = StreamKey.Compute(name, meta.SipKey);
        var stream = index.FindStream(key);
        _lastStream = stream >= 0 ? stream : index.AddStream(key, lastVersion(key));
        _lastName = name.ToArray();
        return _lastStream;
    }
}
