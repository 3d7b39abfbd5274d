// Finds the log's true end after any stop. An unsealed segment is walked from its start; where the walk stops, either
// nothing was durable yet (a torn tail: cut, zeroed, flushed) or something intact behind it says that it was (damage:
// the node refuses to start, and nothing is cut).
using EventVault.Storage.Index;
using EventVault.Storage.Io;

namespace EventVault.Storage.Log;

/// <summary>What recovery found in one segment.</summary>
internal sealed record RecoveredSegment(
    ActiveIndex Index, uint End, uint LastGroup, LogIndex LastIndex, Position LastPosition, long LastTime, uint CutBytes);

internal static class LogRecovery
{
    public const string NextStep = "Nothing was changed. Run vault-admin verify, and restore the segment from another copy.";

    /// <summary>Slack beside the largest append: header, mark, block padding.</summary>
    private const int WindowSlackBytes = 2 * 1024 * 1024;

    /// <summary>Most bytes written between two flushes, and so the most that can be torn.</summary>
    public static uint InFlightBytes(VaultLimits limits) =>
        (uint)Math.Max(limits.AppendBytes, 16 * 1024 * 1024) + WindowSlackBytes;

    /// <summary>Walks an unsealed segment, indexes it, and cuts a torn tail.</summary>
    /// <param name="file">The segment's file, open for writing.</param>
    /// <param name="segment">Its number.</param>
    /// <param name="meta">The vault.</param>
    /// <param name="options">For the limits.</param>
    /// <param name="next">Header of the segment behind it; null if this is the last one.</param>
    /// <param name="lastVersion">Last version of a stream before this segment.</param>
    /// <exception cref="DamageException">Bytes that were durable are damaged.</exception>
    public static RecoveredSegment Recover(
        IFile file, uint segment, VaultMeta meta, StorageOptions options, SegmentHeader? next, Func<UInt128, StreamVersion> lastVersion)
    {
        var scanner = SegmentScanner.Open(file, segment, meta);
        var index = new ActiveIndex(segment, scanner.Header.FirstPosition, scanner.Header.FirstIndex);
        var indexer = new GroupIndexer(index, meta, lastVersion);
        while (scanner.Next(out var header, out _, out var body))
        {
            indexer.Add(header, body);
        }

        var witness = next is { } following && (following.FirstIndex != scanner.NextIndex || following.PreviousGroup != scanner.LastGroup)
            ? $"segment {following.Segment} says that groups up to {following.FirstIndex.Value - 1} were durable when it was begun"
            : scanner.FindWitness(InFlightBytes(options.Limits));
        if (witness is not null)
        {
            throw new DamageException(SegmentHeader.FileName(segment), scanner.Offset, $"{scanner.Problem}, but {witness}. This is damage, not a torn tail.", NextStep);
        }

        return new RecoveredSegment(
            index, scanner.Offset, scanner.LastGroup, new LogIndex(scanner.NextIndex.Value - 1), scanner.NextPosition + -1,
            scanner.MinTime - 1, CutTail(file, scanner, options));
    }

    // Zeros everything behind the last intact group: a stale group left there could join the log after a later crash.
    // The flush also makes durable whatever a killed process had written but not flushed: from here on it counts.
    private static uint CutTail(IFile file, SegmentScanner scanner, StorageOptions options)
    {
        var (bits, junkEnd) = scanner.CountBits(scanner.Offset, InFlightBytes(options.Limits));
        var isMark = junkEnd - scanner.Offset <= CommitMark.Length && scanner.StandsAtMark();
        if (bits != 0)
        {
            var start = Blocks.Floor(scanner.Offset);
            var zeros = new byte[(int)(Blocks.Ceiling(junkEnd) - start)];
            var kept = (int)(scanner.Offset - start);
            if (kept > 0)
            {
                var known = scanner.TryBytes((uint)start, kept, out var bytes);
                Invariant.Check(known);
                bytes.CopyTo(zeros);
            }

            file.Write(start, zeros);
        }

        file.Flush();
        return bits == 0 || isMark ? 0 : junkEnd - scanner.Offset;
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
