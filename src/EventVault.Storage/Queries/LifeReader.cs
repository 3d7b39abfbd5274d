// The lives of streams as of a position, from the events of `$streams`: those about a stream are found by keys (EventKeys, kinds 7
// and 8), so `$streams` itself, which has millions of events under retention, is never read through.
//
// A deletion or tombstone at position D ends a life; its `before` is the first version of the next one. A truncation takes the
// versions before its own `before` away, and begins nothing. All is as of one head, which is read once: an answer is never half of what was
// before a commit and half of what is behind it.
using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Storage.Queries;

/// <summary>Finds lives. Safe for concurrent use.</summary>
internal sealed class LifeReader(VaultStorage storage)
{
    /// <summary>As <see cref="EventReader.LifeAt"/> says.</summary>
    public StreamLifeAt At(in StreamReference stream, Position cut)
    {
        var life = storage.Lives.Of(stream.Key);
        if (life == default)
        {
            return StreamLifeAt.Whole;
        }

        // Behind the look above: what it shows may be newer than this head, never older than one that the caller has seen.
        var head = storage.Head;
        if (storage.Reader.LastVersion(stream.Key, head) == StreamVersion.None)
        {
            return StreamLifeAt.Whole; // All of it is newer than this head.
        }

        cut = cut < head ? cut : head;
        var key = storage.Meta.SipKey;
        var ends = new Search(stream, EventKeys.OfEnd(stream.Name, key), IsTruncation: false);
        var truncations = new Search(stream, EventKeys.OfTruncation(stream.Name, key), IsTruncation: true);

        // Nothing was done to a stream before its first event.
        var begin = storage.Reader.PositionOf(stream, new StreamVersion(0)) + -1;
        var first = new StreamVersion(0);
        if (TryFindNewest(ends, begin, cut, out var before))
        {
            (begin, first) = (before.At, before.Life.FirstVisible);
        }

        var endedAt = TryFindOldest(ends, cut, head, out var end) ? end.At : Position.None;
        var most = endedAt == Position.None ? life.FirstVisible : end.Life.FirstVisible;
        var kept = FirstKept(truncations, begin, endedAt == Position.None ? head : endedAt, first, most);
        return new StreamLifeAt(first, endedAt, kept, endedAt > Position.None && storage.Lives.Scavenge.Point > endedAt, life.IsTombstoned);
    }

    // The most that a truncation of the life took away. The newest one says it, unless an earlier version of EventVault wrote it, which took
    // one that changed nothing as it was asked for: then those before it are looked at, too. No more than `most` can have been taken.
    private StreamVersion FirstKept(in Search truncations, Position begin, Position until, StreamVersion first, StreamVersion most)
    {
        var kept = first;
        while (kept < most && TryFindNewest(truncations, begin, until, out var truncation))
        {
            kept = truncation.Life.FirstVisible > kept ? truncation.Life.FirstVisible : kept;
            until = truncation.At + -1;
        }

        return kept;
    }

    // The newest change behind `after`, up to `until`.
    private bool TryFindNewest(in Search search, Position after, Position until, out LifeChange change)
    {
        change = default;
        for (var number = until > after ? QuerySegment.NumberOf(storage.View, until) : -1; number >= 0; number--)
        {
            using var lease = storage.LeaseView();
            var segment = QuerySegment.Of(lease, number, until);
            if (segment.Events == 0)
            {
                continue;
            }

            if (segment.First + (segment.Events - 1) <= after)
            {
                return false;
            }

            if (segment.TryFind(search.Key, out var postings) && TryFind(search, segment, postings, after, until, backwards: true, out change))
            {
                return true;
            }
        }

        return false;
    }

    // The oldest change behind `after`, up to `until`.
    private bool TryFindOldest(in Search search, Position after, Position until, out LifeChange change)
    {
        change = default;
        var view = storage.View;
        var last = until > after ? QuerySegment.NumberOf(view, until) : -1;
        for (var number = last < 0 ? 0 : QuerySegment.NumberOf(view, after + 1); number <= last; number++)
        {
            using var lease = storage.LeaseView();
            var segment = QuerySegment.Of(lease, number, until);
            if (segment.Events > 0 && segment.TryFind(search.Key, out var postings) && TryFind(search, segment, postings, after, until, backwards: false, out change))
            {
                return true;
            }
        }

        return false;
    }

    // Nearly always the first one looked at is it: two keys are equal by chance once in some 10¹⁹.
    private bool TryFind(in Search search, in QuerySegment segment, in Postings postings, Position after, Position until, bool backwards, out LifeChange change)
    {
        change = default;
        Span<uint> ordinal = stackalloc uint[1];
        var position = backwards ? until : after + 1;
        var last = segment.First + (segment.Events - 1);
        position = position < segment.First ? segment.First : position > last ? last : position;
        using var lease = segment.Source.Lease();
        while (position > after && position >= segment.First && position <= last && postings.CopyFrom(segment.OrdinalOf(position), backwards, ordinal) == 1)
        {
            var found = segment.First + ordinal[0];
            if (found <= after || found > until)
            {
                return false;
            }

            // The vault's own events are never removed, so it is there.
            var view = lease.Reader.Read(segment.Source.OffsetOf(ordinal[0]), found);
            if (StreamLifeEvent.TryRead(view, storage.Meta.SipKey, out var kind, out change)
                && change.Stream == search.Stream.Key && kind == StreamChangeKind.Truncate == search.IsTruncation)
            {
                return true;
            }

            position = found + (backwards ? -1 : 1);
        }

        return false;
    }

    /// <summary>What is looked for.</summary>
    private readonly record struct Search(StreamReference Stream, ulong Key, bool IsTruncation);
}
