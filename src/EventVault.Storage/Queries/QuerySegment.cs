using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Storage.Queries;

/// <summary>One segment as queries see it: its records, its keys, and how many of its events count.</summary>
internal readonly struct QuerySegment
{
    private readonly ActiveKeys? _active;
    private readonly SealedSegment? _sealed;

    private QuerySegment(SegmentSource source, Position first, int events, ActiveKeys? active, SealedSegment? @sealed)
    {
        Source = source;
        First = first;
        Events = events;
        _active = active;
        _sealed = @sealed;
    }

    /// <summary>Its records.</summary>
    public SegmentSource Source { get; }

    /// <summary>Position of its first event.</summary>
    public Position First { get; }

    /// <summary>How many of its events count; may be 0.</summary>
    public int Events { get; }

    /// <summary>The segment with this number, as long as the lease lasts.</summary>
    /// <param name="lease">Its view has the segment.</param>
    /// <param name="number">Its number.</param>
    /// <param name="head">No later event counts.</param>
    public static QuerySegment Of(in ViewLease lease, int number, Position head)
    {
        var view = lease.View;
        if (number < view.Sealed.Length)
        {
            var segment = view.Sealed[number];
            return new QuerySegment(new SegmentSource(segment), segment.FirstPosition, Clamp(head, segment.FirstPosition, segment.Record.EventCount), active: null, segment);
        }

        var unsealed = view.Unsealed[number - view.Sealed.Length];
        var next = number + 1 - view.Sealed.Length;
        var first = unsealed.FirstPosition;
        var most = next < view.Unsealed.Length ? view.Unsealed[next].FirstPosition.Value - first.Value : int.MaxValue;
        return new QuerySegment(new SegmentSource(unsealed, lease), first, Clamp(head, first, most), unsealed.Index(lease).Keys, @sealed: null);
    }

    /// <summary>Number of the segment that holds a position at or before the head.</summary>
    public static int NumberOf(LogView view, Position position)
    {
        for (var i = view.Unsealed.Length - 1; i >= 0; i--)
        {
            if (view.Unsealed[i].FirstPosition <= position)
            {
                return view.Sealed.Length + i;
            }
        }

        return view.SealedSegmentOf(position);
    }

    /// <summary>Ordinal of a position in this segment, or that of its nearest event.</summary>
    public uint OrdinalOf(Position position) => (uint)Math.Clamp(position.Value - First.Value, 0, Events - 1);

    /// <summary>The events that have a key; of a sealed segment, all of which counts, all.</summary>
    /// <exception cref="IndexDamageException">A key file is damaged.</exception>
    public bool TryFind(ulong key, out Postings postings)
    {
        if (_sealed is not null)
        {
            var isThere = _sealed.Keys.TryFind(key, out var all);
            postings = new Postings(all);
            return isThere;
        }

        var found = _active!.TryFind(key, Events, out var active);
        postings = new Postings(active);
        return found;
    }

    private static int Clamp(Position head, Position first, long most) => (int)Math.Clamp(head.Value - first.Value + 1, 0, most);
}
