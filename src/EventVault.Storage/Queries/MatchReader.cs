// Reads the events that match a filter. On the caller's thread, without locks, never past the commit position.
using EventVault.Storage.Log;

namespace EventVault.Storage.Queries;

/// <summary>Reads and counts the events that match a filter. Safe for concurrent use.</summary>
internal sealed class MatchReader(VaultStorage storage)
{
    /// <summary>Events looked at by one call: some 0.1 ms of work, and few enough for the stack.</summary>
    private const int PageEvents = 128;

    public int Read<TSink>(EventFilter filter, Position from, Position until, bool backwards, ref TSink sink, out Position next)
        where TSink : IEventSink, allows ref struct
    {
        var head = storage.Head;
        var first = backwards ? (from < head ? from : head) : (from.Value < 0 ? new Position(0) : from);
        var last = backwards ? (until.Value < 0 ? new Position(0) : until) : (until < head ? until : head);
        next = first;
        if (backwards ? first < last : first > last)
        {
            return 0;
        }

        var segment = EventReader.SegmentOf(storage.View, first, out var end);
        last = backwards
            ? (last > segment.FirstPosition ? last : segment.FirstPosition)
            : (last < end ? last : end);
        var count = (int)Math.Min(PageEvents, Math.Abs(last.Value - first.Value) + 1);
        var matched = 0;
        using var lease = segment.Lease();
        for (var i = 0; i < count; i++)
        {
            var ordinal = (uint)(next.Value - segment.FirstPosition.Value);
            var view = lease.Reader.Read(segment.OffsetOf(ordinal), next);
            next += backwards ? -1 : 1;
            if (filter.Matches(view) && storage.IsVisible(view))
            {
                matched++;
                if (!sink.Accept(view))
                {
                    return matched;
                }
            }
        }

        return matched;
    }

    public long Count(EventFilter filter, Position from, Position until)
    {
        var sink = default(CountSink);
        var head = storage.Head;
        var last = until < head ? until : head;
        while (from <= last)
        {
            Read(filter, from, last, backwards: false, ref sink, out from);
        }

        return sink.Count;
    }

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
