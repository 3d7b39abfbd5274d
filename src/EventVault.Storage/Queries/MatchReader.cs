// Reads, counts and finds the events that match a filter. On the caller's thread, without locks, never past the commit
// position; only the sequencer looks for matches among what is pending, too.
//
// Segments are looked at by their keys; what the keys give is compared with the record before it is handed out. Only a count
// may trust the keys alone: two of 64 bits are equal by chance once in some 10^19.
using System.Diagnostics;
using EventVault.Storage.Log;

namespace EventVault.Storage.Queries;

/// <summary>Reads and counts the events that match a filter. Safe for concurrent use.</summary>
internal sealed class MatchReader(VaultStorage storage)
{
    /// <summary>Events read by one call where no key helps: some 0.1 ms of work.</summary>
    private const int ScannedEvents = 512;

    /// <summary>Ordinals that one call looks at: some 0.1 ms of work.</summary>
    private const int Budget = 16 * 1024;

    /// <summary>Segments that one call looks at: some 0.1 ms of work, if they are in memory.</summary>
    private const int Segments = 64;

    /// <summary>A first record that takes longer than this came from the disk: load the others ahead.</summary>
    private static readonly long ColdTicks = Stopwatch.Frequency / 20_000; // 50 µs

    private readonly BarrenRanges _barren = new();

    /// <summary>Stretches that are known to hold nothing for the conditions that were looked up.</summary>
    public int KnownBarren => _barren.Count;

    /// <summary>As <see cref="EventReader.ReadMatching"/> says.</summary>
    public int Read<TSink>(EventFilter filter, Position from, Position until, bool backwards, ref TSink sink, out Position next)
        where TSink : IEventSink, allows ref struct
    {
        var head = storage.Head;
        using var lease = storage.LeaseView();
        var view = lease.View;
        next = backwards ? Lower(from, head) : Upper(from, new Position(0));
        until = backwards ? Upper(until, new Position(0)) : Lower(until, head);
        var budget = Budget;
        for (var i = 0; i < Segments && budget > 0 && !IsBehind(next, until, backwards); i++)
        {
            var segment = QuerySegment.Of(lease, QuerySegment.NumberOf(view, next), head);
            var read = filter.Ways.Length > 0
                ? ReadByKeys(filter, segment, until, backwards, ref sink, ref next, ref budget)
                : Scan(filter, segment, until, backwards, ref sink, ref next, ref budget);
            if (read > 0)
            {
                return read;
            }
        }

        return 0;
    }

    /// <summary>As <see cref="EventReader.CountMatching"/> says.</summary>
    public long Count(EventFilter filter, Position from, Position until)
    {
        var head = storage.Head;
        var next = Upper(from, new Position(0));
        var last = Lower(until, head);
        var sink = default(CountSink);
        var byKeys = filter.IsCountedByKeys;
        while (next <= last && !filter.IsOfSystem)
        {
            using var lease = storage.LeaseView();
            var segment = QuerySegment.Of(lease, QuerySegment.NumberOf(lease.View, next), head);

            // Behind the newest change of a stream's life all events are visible; before it the records must tell.
            if (byKeys && next > storage.Lives.LastChange)
            {
                sink.Count += CountByKeys(filter, segment, segment.OrdinalOf(next), segment.OrdinalOf(last));
                next = segment.First + segment.Events;
            }
            else
            {
                Read(filter, next, last, backwards: false, ref sink, out next);
            }
        }

        return sink.Count;
    }

    /// <summary>A matching event behind a position, in the newest segment that has one.</summary>
    /// <param name="filter">Which events.</param>
    /// <param name="after">Only events behind it.</param>
    /// <param name="until">The last event that counts.</param>
    /// <param name="tail">Has the events behind the head; null if none of them counts.</param>
    public Position Last(EventFilter filter, Position after, Position until, LogTail? tail)
    {
        for (var number = until > after ? QuerySegment.NumberOf(storage.View, until) : -1; number >= 0; number--)
        {
            using var lease = storage.LeaseView(); // For each: there may be many, from the disk.
            var segment = QuerySegment.Of(lease, number, until);
            if (segment.Events > 0)
            {
                if (segment.First + (segment.Events - 1) <= after)
                {
                    break;
                }

                var found = LastIn(filter, segment, segment.OrdinalOf(after + 1), tail);
                if (found != Position.None)
                {
                    return found;
                }
            }
        }

        return Position.None;
    }

    private int ReadByKeys<TSink>(
        EventFilter filter, in QuerySegment segment, Position until, bool backwards, ref TSink sink, ref Position next, ref int budget)
        where TSink : IEventSink, allows ref struct
    {
        Span<uint> page = stackalloc uint[SegmentMatches.PageLength];
        var matches = new SegmentMatches(filter, segment);
        var count = matches.Collect(segment.OrdinalOf(next), segment.OrdinalOf(until), backwards, page, ref budget, out var through);
        var read = 0;
        if (count > 0)
        {
            using var lease = segment.Source.Lease();
            for (var i = 0; i < count; i++)
            {
                var before = i == 0 ? Stopwatch.GetTimestamp() : 0;
                var position = segment.First + page[i];
                var view = lease.Reader.Read(segment.Source.OffsetOf(page[i]), position); // Removed events have no keys.
                if (i == 0 && count > 1 && Stopwatch.GetTimestamp() - before > ColdTicks)
                {
                    Prefetch(segment, lease.Reader, page[1..count], view.RecordLength);
                }

                if (filter.Matches(view) && storage.Lives.IsVisible(view))
                {
                    read++;
                    if (!sink.Accept(view))
                    {
                        through = page[i];
                        break;
                    }
                }
            }
        }

        next = segment.First + through + (backwards ? -1 : 1);
        return read;
    }

    private static void Prefetch(in QuerySegment segment, SegmentReader reader, ReadOnlySpan<uint> ordinals, int lengthEach)
    {
        Span<uint> offsets = stackalloc uint[SegmentMatches.PageLength];
        for (var i = 0; i < ordinals.Length; i++)
        {
            offsets[i] = segment.Source.OffsetOf(ordinals[i]);
        }

        reader.Prefetch(offsets[..ordinals.Length], lengthEach);
    }

    private int Scan<TSink>(
        EventFilter filter, in QuerySegment segment, Position until, bool backwards, ref TSink sink, ref Position next, ref int budget)
        where TSink : IEventSink, allows ref struct
    {
        long ordinal = segment.OrdinalOf(next);
        var last = segment.OrdinalOf(until);
        var read = 0;
        var count = 0;
        using var lease = segment.Source.Lease();
        while (count < ScannedEvents)
        {
            // Over what a scavenge removed, however much it is.
            ordinal = backwards ? segment.Source.LastKept((uint)ordinal) : segment.Source.NextKept((uint)ordinal);
            if (backwards ? ordinal < last : ordinal > last)
            {
                next = segment.First + (last + (backwards ? -1L : 1L));
                break;
            }

            var view = lease.Reader.Read(segment.Source.OffsetOf((uint)ordinal), segment.First + ordinal);
            ordinal += backwards ? -1 : 1;
            next = segment.First + ordinal;
            count++;
            if (filter.Matches(view) && storage.Lives.IsVisible(view))
            {
                read++;
                if (!sink.Accept(view))
                {
                    break;
                }
            }

            if (ordinal < 0 || ordinal >= segment.Events)
            {
                break;
            }
        }

        budget -= Budget / ScannedEvents * count;
        return read;
    }

    private static long CountByKeys(EventFilter filter, in QuerySegment segment, uint first, uint last)
    {
        if (filter.Ways is [[var key]])
        {
            return segment.TryFind(key, out var postings) ? postings.CountBefore(last + 1) - postings.CountBefore(first) : 0;
        }

        Span<uint> page = stackalloc uint[SegmentMatches.PageLength];
        var matches = new SegmentMatches(filter, segment);
        var count = 0L;
        while (true)
        {
            var budget = Budget;
            count += matches.Collect(first, last, backwards: false, page, ref budget, out var through);
            if (through == last)
            {
                return count;
            }

            first = through + 1;
        }
    }

    // The newest match from an ordinal on; of several ways perhaps not the newest.
    private Position LastIn(EventFilter filter, in QuerySegment segment, uint first, LogTail? tail)
    {
        var from = (uint)segment.Events - 1;
        if (filter.Ways.Length == 0)
        {
            for (var ordinal = segment.Source.LastKept(from); ordinal >= first; ordinal = ordinal == 0 ? -1 : segment.Source.LastKept((uint)ordinal - 1))
            {
                if (IsMatch(filter, segment, (uint)ordinal, tail, out _))
                {
                    return segment.First + ordinal;
                }
            }

            return Position.None;
        }

        if (!MayMatch(filter, segment, first, tail, out var found) || found != Position.None)
        {
            return found;
        }

        var (looked, isBarren) = (0, true);
        return tail is null ? LastCommitted(filter, segment, from, first) : LastByKeys(filter, segment, from, first, tail, ref looked, ref isBarren);
    }

    // Over what earlier looks have found out.
    private Position LastCommitted(EventFilter filter, in QuerySegment segment, uint from, uint first)
    {
        var ways = filter.DigestOfWays();
        var (found, next, looked, isBarren) = (Position.None, (long)from, 0, true);
        if (_barren.TryFind(ways, segment.First, out var known) && from >= known.Oldest && first <= known.Newest)
        {
            if (from > known.Newest)
            {
                found = LastByKeys(filter, segment, from, known.Newest + 1, tail: null, ref looked, ref isBarren);
            }

            next = known.Oldest - 1L;
        }

        if (found == Position.None && next >= first)
        {
            found = LastByKeys(filter, segment, (uint)next, first, tail: null, ref looked, ref isBarren);
        }

        var oldest = found == Position.None ? first : segment.OrdinalOf(found) + 1;
        if (isBarren && looked >= BarrenRanges.WorthKnowing && oldest <= from)
        {
            _barren.Add(ways, segment.First, new BarrenRange(oldest, from));
        }

        return found;
    }

    // The newest of those that the keys give. `looked` counts the ordinals that were looked at; `isBarren` stays true if all that were
    // compared in vain are hidden, so that nobody will ever find any of them.
    private Position LastByKeys(
        EventFilter filter, in QuerySegment segment, uint from, uint first, LogTail? tail, ref int looked, ref bool isBarren)
    {
        Span<uint> page = stackalloc uint[SegmentMatches.PageLength];
        var matches = new SegmentMatches(filter, segment);
        while (true)
        {
            var budget = Budget;
            var count = matches.Collect(from, first, backwards: true, page, ref budget, out var through);
            looked += Budget - budget;
            foreach (var ordinal in page[..count])
            {
                if (IsMatch(filter, segment, ordinal, tail, out var isVisible))
                {
                    return segment.First + ordinal;
                }

                isBarren &= !isVisible;
            }

            if (through == first)
            {
                return Position.None;
            }

            from = through - 1;
        }
    }

    // What the last ordinals of the keys say, without a look at the others: nearly always all there is to know.
    private bool MayMatch(EventFilter filter, in QuerySegment segment, uint first, LogTail? tail, out Position found)
    {
        found = Position.None;
        var mayMatch = false;
        foreach (var way in filter.Ways)
        {
            var isCandidate = true;
            var last = 0u;
            for (var i = 0; i < way.Length && isCandidate; i++)
            {
                isCandidate = segment.TryFind(way[i], out var postings) && (last = postings.Last) >= first;
            }

            if (isCandidate && IsMatch(filter, segment, last, tail, out _))
            {
                found = segment.First + last;
                return true;
            }

            mayMatch |= isCandidate;
        }

        return mayMatch;
    }

    private bool IsMatch(EventFilter filter, in QuerySegment segment, uint ordinal, LogTail? tail, out bool isVisible)
    {
        var position = segment.First + ordinal;
        if (position > storage.Head)
        {
            Invariant.Check(tail is not null);
            var pending = tail.ReadPending(position);
            isVisible = storage.Lives.IsVisibleAtTail(pending);
            return isVisible && filter.Matches(pending);
        }

        using var lease = segment.Source.Lease();
        var view = lease.Reader.Read(segment.Source.OffsetOf(ordinal), position);
        isVisible = tail is null ? storage.Lives.IsVisible(view) : storage.Lives.IsVisibleAtTail(view);
        return isVisible && filter.Matches(view);
    }

    private static bool IsBehind(Position a, Position b, bool backwards) => backwards ? a < b : a > b;

    private static Position Lower(Position a, Position b) => a < b ? a : b;

    private static Position Upper(Position a, Position b) => a > b ? a : b;

    private struct CountSink : IEventSink
    {
        public long Count;

        public bool Accept(in EventView e)
        {
            Count += e.IsSystem ? 0 : 1;
            return true;
        }
    }
}
