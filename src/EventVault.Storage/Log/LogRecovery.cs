// Finds the log's true end after any stop. An unsealed segment is walked from its start; where the walk stops, either
// nothing was durable yet (a torn tail: cut, zeroed, flushed) or something intact behind it says that it was (damage:
// the node refuses to start, and nothing is cut). Behind a stop in order the end is known (CleanStop), and the walk comes to it.
using EventVault.Storage.Index;
using EventVault.Storage.Io;

namespace EventVault.Storage.Log;

/// <summary>What recovery found in one segment, beside its groups.</summary>
/// <param name="Index">What is in it.</param>
/// <param name="IsMarked">Whether a whole commit mark stands behind the last group.</param>
/// <param name="CutBytes">Torn bytes that were cut.</param>
internal sealed record RecoveredSegment(ActiveIndex Index, bool IsMarked, uint CutBytes);

internal static class LogRecovery
{
    public const string NextStep = "The log was not changed. Run vault-admin verify, and restore the segment from another copy.";

    /// <summary>
    /// Most bytes written between two flushes, and so the most that can be torn: behind so many zeros nothing was ever
    /// written. A constant and no setting: the log must be recovered with whatever settings wrote it.
    /// </summary>
    public const uint InFlightBytes = VaultLimits.MostAppendBytes + (4 * 1024 * 1024);

    /// <summary>Walks an unsealed segment, takes its groups, and cuts a torn tail, or what a truncation left.</summary>
    /// <param name="file">The segment's file, open for writing.</param>
    /// <param name="segment">Its number.</param>
    /// <param name="meta">The vault.</param>
    /// <param name="next">Header of the segment behind it; null if this is the last one.</param>
    /// <param name="log">Gets the groups.</param>
    /// <param name="stop">Where the log ends, if the node stopped in order.</param>
    /// <param name="watch">Can end the walk; null: nobody does.</param>
    /// <returns>Null: the log does not end as the stop says, and must be recovered without it.</returns>
    /// <exception cref="DamageException">Bytes that were durable are damaged.</exception>
    /// <exception cref="OperationCanceledException">The opening is to end.</exception>
    public static RecoveredSegment? Recover(IFile file, uint segment, VaultMeta meta, SegmentHeader? next, RecoveredLog log, CleanStop? stop, OpeningWatch? watch)
    {
        using var scanner = SegmentScanner.Open(file, segment, meta, isCached: stop is not null);
        var index = new ActiveIndex(segment, scanner.Header.FirstPosition, scanner.Header.FirstIndex);
        log.Begin(segment);
        index.BeginWalk();
        while (scanner.NextIndex <= LastKept(meta) && scanner.Next(out var header, out var local, out var body))
        {
            log.Add(index, header, local.GroupChecksum, body);
            watch?.Check();
        }

        index.EndWalk();
        if (stop is { } known)
        {
            return EndsInOrder(scanner, meta, next, known) ? new RecoveredSegment(index, IsMarked: next is null, CutBytes: 0) : null;
        }

        if (next is null && meta.Truncation is { } truncation)
        {
            return FinishTruncation(file, scanner, index, truncation);
        }

        var (bits, tailEnd) = scanner.CountBits(scanner.Offset, InFlightBytes);
        var witness = next is { } following
            ? Contradiction(scanner, following)
            : scanner.FindWitness(tailEnd);
        if (witness is not null)
        {
            throw Damage(scanner, $"{scanner.Problem}, but {witness}. This is damage, not a torn tail.");
        }

        // Only the last segment can have a torn tail: the header of the next one was written when this one was durable.
        var isMarked = IsMarked(scanner, meta, tailEnd);
        var cut = next is null && bits != 0 && !isMarked;
        scanner.Dispose(); // Nothing is read beside what is written from here on.
        if (cut)
        {
            SegmentedLog.ZeroBehind(file, scanner.Offset, tailEnd);
        }

        // Makes durable, too, whatever a killed process had written but not flushed: from here on it counts.
        if (!Canary.Is(Canary.TailNotFlushed))
        {
            file.Flush();
        }

        return new RecoveredSegment(index, isMarked, cut ? tailEnd - scanner.Offset : 0);
    }

    /// <summary>Index of the last group that a truncation under way keeps.</summary>
    public static LogIndex LastKept(VaultMeta meta) => meta.Truncation?.LastKept ?? new LogIndex(ulong.MaxValue);

    /// <summary>
    /// Whether the last segment has no group, and nothing says that it had one: begun for a group that a crash lost. Another
    /// leader's next group may belong into the segment before it, so it must go.
    /// </summary>
    public static bool IsLeftEmpty(IFile file, IFile fileBefore, uint segment, VaultMeta meta)
    {
        using var scanner = SegmentScanner.Open(file, segment, meta);
        if (scanner.Next(out _, out _, out _) || scanner.FindWitness(scanner.CountBits(scanner.Offset, InFlightBytes).End) is not null)
        {
            return false;
        }

        // It vouches for the segment before it, and is the only one to do so.
        using var before = SegmentScanner.Open(fileBefore, segment - 1, meta);
        while (before.Next(out _, out _, out _))
        {
        }

        return Contradiction(before, scanner.Header) is null;
    }

    // Nothing was in flight when the node stopped, so nothing is torn, and there is nothing to look for behind the end; what it
    // wrote is flushed. If the walk came to anything else, the disk itself is asked, and whoever has to tell damage.
    private static bool EndsInOrder(SegmentScanner scanner, VaultMeta meta, SegmentHeader? next, in CleanStop stop)
    {
        Invariant.Check(meta.Truncation is null, "A truncation under way is no stop in order.");
        return next is { } following
            ? Contradiction(scanner, following) is null
            : stop.IsAt(scanner) && IsMarked(scanner, meta, tailEnd: scanner.Offset);
    }

    /// <summary>
    /// Whether the last segment is the one of a saved index, and the log's end stands in it, with its mark. The groups between are not read: every
    /// byte of them was written and flushed with success, and who reads one compares its checksum.
    /// </summary>
    /// <exception cref="DamageException">The segment's header is damaged.</exception>
    public static bool EndsAsSaved(IFile file, ActiveIndex index, in LogEnd end, VaultMeta meta)
    {
        using var scanner = SegmentScanner.Open(file, index.Segment, meta, isCached: true);
        if (scanner.Header.FirstIndex != index.FirstIndex || scanner.Header.FirstPosition != index.FirstPosition)
        {
            return false;
        }

        scanner.SkipTo(end);
        return IsMarked(scanner, meta, tailEnd: scanner.Offset);
    }

    // The crash came between the note in meta and its end. All that is kept was durable before the note was; nothing behind
    // it counts, whatever state it is in.
    private static RecoveredSegment FinishTruncation(IFile file, SegmentScanner scanner, ActiveIndex index, LogTruncation truncation)
    {
        if (scanner.NextIndex <= truncation.LastKept)
        {
            throw Damage(scanner, $"{scanner.Problem}, but the truncation in {VaultMeta.FileName} says that groups up to {truncation.LastKept} were durable when it began.");
        }

        var end = scanner.Offset;
        CheckTerms(scanner, truncation);
        var (bits, tailEnd) = scanner.CountBits(end, uint.MaxValue);
        scanner.Dispose(); // As above.
        if (bits != 0)
        {
            SegmentedLog.ZeroBehind(file, end, tailEnd);
        }

        file.Flush();
        return new RecoveredSegment(index, IsMarked: false, tailEnd - end);
    }

    /// <summary>Refuses to take out groups that the truncation can't have meant. From where the scanner stands to where it ends.</summary>
    /// <exception cref="DamageException">There is such a group.</exception>
    public static void CheckTerms(SegmentScanner scanner, LogTruncation truncation)
    {
        while (scanner.Next(out var header, out _, out _))
        {
            if (header.Term >= truncation.Term)
            {
                throw Damage(scanner, $"group {header.Index} of term {header.Term} stands behind group {truncation.LastKept}, where {VaultMeta.FileName} notes a truncation in term {truncation.Term}, which takes out groups of earlier terms only.");
            }
        }
    }

    private static DamageException Damage(SegmentScanner scanner, string expected) =>
        new(SegmentHeader.FileName(scanner.Header.Segment), scanner.Offset, expected, NextStep);

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
}
