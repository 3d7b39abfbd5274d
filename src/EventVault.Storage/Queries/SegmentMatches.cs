// Finds, by the keys of one segment, which of its events may match a filter: a superset of those that do, because keys are
// hashes and a prefix has none. Whoever hands an event out compares its record.
//
// Ordinals come in pages, in either direction. A page is complete up to an ordinal that is told with it: a filter of many
// ways, or one whose keys are frequent and rarely meet, gets as far as the page's room and the budget of ordinals that may
// be looked at allow.
namespace EventVault.Storage.Queries;

/// <summary>The matches of one segment.</summary>
/// <param name="filter">Which events.</param>
/// <param name="segment">Of which segment; an indexed one.</param>
internal readonly ref struct SegmentMatches(EventFilter filter, in QuerySegment segment)
{
    /// <summary>Ordinals of a page.</summary>
    public const int PageLength = 128;

    /// <summary>Ordinals looked at at once.</summary>
    private const int StepLength = 64;

    private readonly QuerySegment _segment = segment;

    /// <summary>
    /// A page of candidates from an ordinal on, no further than another, in the given direction, none twice.
    /// </summary>
    /// <param name="from">Where to begin.</param>
    /// <param name="until">Where to end: at or behind <paramref name="from"/> in that direction.</param>
    /// <param name="backwards">From the newest to the oldest.</param>
    /// <param name="page">Takes them.</param>
    /// <param name="budget">Ordinals that may be looked at; what is left of it.</param>
    /// <param name="through">Up to where the page is complete; <paramref name="until"/>: there are no more.</param>
    public int Collect(uint from, uint until, bool backwards, Span<uint> page, ref int budget, out uint through)
    {
        Invariant.Check(page.Length == PageLength);
        through = until;
        var count = 0;
        Span<uint> own = stackalloc uint[PageLength];
        Span<uint> merged = stackalloc uint[PageLength];
        foreach (var way in filter.Ways)
        {
            var found = Collect(way, from, ref through, backwards, own, ref budget);
            if (count == 0)
            {
                own[..found].CopyTo(page);
                count = found;
            }
            else if (found > 0)
            {
                count = Merge(page[..count], own[..found], backwards, merged);
                merged[..count].CopyTo(page);
            }

            // What a way has behind the end of this one's page comes with the next page.
            while (count > 0 && IsBehind(page[count - 1], through, backwards))
            {
                count--;
            }

            if (count == PageLength)
            {
                through = page[count - 1];
            }
        }

        return count;
    }

    // Those of one way; `until` moves to where they are complete.
    private int Collect(ulong[] way, uint from, ref uint until, bool backwards, Span<uint> into, ref int budget)
    {
        var lists = default(PostingsOfWay);
        if (!TryFindAll(way, ref lists))
        {
            return 0;
        }

        Span<uint> step = stackalloc uint[StepLength];
        Span<uint> other = stackalloc uint[StepLength];
        var count = 0;
        while (true)
        {
            var got = lists[0].CopyFrom(from, backwards, step);
            var wanted = got;
            while (wanted > 0 && IsBehind(step[wanted - 1], until, backwards))
            {
                wanted--;
            }

            budget -= got;
            var last = got > 0 ? step[got - 1] : 0;
            for (var i = 1; i < way.Length && wanted > 0; i++)
            {
                // A list that is much longer has many ordinals between two of these: little of what is copied would be used.
                var isDense = lists[i].Count / 8 > lists[0].Count;
                wanted = Intersect(step[..wanted], lists[i], backwards, other[..(isDense ? 4 : StepLength)], ref budget);
            }

            var room = Math.Min(wanted, into.Length - count);
            step[..room].CopyTo(into[count..]);
            count += room;
            if (count == into.Length)
            {
                until = into[count - 1];
                return count;
            }

            if (got < step.Length || IsBehind(last, until, backwards) || last == until)
            {
                return count;
            }

            if (budget <= 0)
            {
                until = last;
                return count;
            }

            from = backwards ? last - 1 : last + 1;
        }
    }

    /// <summary>The postings of all keys of a way, the rarest one first; false if one of them has none.</summary>
    public bool TryFindAll(ulong[] way, scoped ref PostingsOfWay lists)
    {
        for (var i = 0; i < way.Length; i++)
        {
            if (!_segment.TryFind(way[i], out var list))
            {
                return false;
            }

            // The rarest in front: it leads.
            lists[i] = list;
            if (list.Count < lists[0].Count)
            {
                (lists[0], lists[i]) = (list, lists[0]);
            }
        }

        return true;
    }

    // Keeps of the ordinals those that the list has.
    private static int Intersect(Span<uint> ordinals, in Postings list, bool backwards, Span<uint> some, ref int budget)
    {
        var (count, at, kept) = (0, 0, 0);
        foreach (var ordinal in ordinals)
        {
            while (at < count && IsBehind(ordinal, some[at], backwards))
            {
                at++;
            }

            if (at == count)
            {
                count = list.CopyFrom(ordinal, backwards, some);
                budget -= count;
                at = 0;
                if (count == 0)
                {
                    break;
                }
            }

            if (some[at] == ordinal)
            {
                ordinals[kept++] = ordinal;
            }
        }

        return kept;
    }

    private static int Merge(ReadOnlySpan<uint> a, ReadOnlySpan<uint> b, bool backwards, Span<uint> into)
    {
        var (count, i, j) = (0, 0, 0);
        while (count < into.Length && (i < a.Length || j < b.Length))
        {
            if (j == b.Length || (i < a.Length && !IsBehind(a[i], b[j], backwards)))
            {
                j += j < b.Length && a[i] == b[j] ? 1 : 0;
                into[count++] = a[i++];
            }
            else
            {
                into[count++] = b[j++];
            }
        }

        return count;
    }

    private static bool IsBehind(uint a, uint b, bool backwards) => backwards ? a < b : a > b;
}
