// Which events are meant: by the stream's category and prefix, by types and tags, by correlation id, by event id.
// All parts that are given must hold; of the items any one.
using EventVault.Storage.Log;

namespace EventVault.Storage.Queries;

/// <summary>A filter of events. Immutable; safe for concurrent use.</summary>
public sealed class EventFilter
{
    private readonly byte[] _category;
    private readonly byte[] _prefix;
    private readonly QueryItem[] _items;
    private readonly byte[] _correlationId;
    private readonly UInt128? _eventId;

    private EventFilter(byte[] category, byte[] prefix, QueryItem[] items, byte[] correlationId, UInt128? eventId)
    {
        _category = category;
        _prefix = prefix;
        _items = items;
        _correlationId = correlationId;
        _eventId = eventId;
    }

    /// <summary>Makes a filter of the parts that are given, at least one; what it is made of is copied.</summary>
    /// <param name="storage">The vault it is for.</param>
    /// <param name="category">Of the stream, UTF-8; empty: any.</param>
    /// <param name="prefix">Of the stream's name, UTF-8; empty: any.</param>
    /// <param name="items">Any of them matches; none: all events. Events of <c>$</c> streams match no item.</param>
    /// <param name="correlationId">The metadata entry <c>correlationId</c>, UTF-8; empty: any.</param>
    /// <param name="eventId">Big-endian; null: any.</param>
    /// <exception cref="ArgumentException">No part is given, or an item has neither types nor tags.</exception>
    public static EventFilter Create(
        VaultStorage storage, ReadOnlyMemory<byte> category, ReadOnlyMemory<byte> prefix, IReadOnlyList<QueryItem> items,
        ReadOnlyMemory<byte> correlationId, UInt128? eventId)
    {
        ArgumentNullException.ThrowIfNull(storage);
        if (category.IsEmpty && prefix.IsEmpty && items.Count == 0 && correlationId.IsEmpty && eventId is null)
        {
            throw new ArgumentException("A filter without any part is no filter: read all instead.");
        }

        if (items.Any(static item => item.Types.Count == 0 && item.Tags.Count == 0))
        {
            throw new ArgumentException("A query item needs a type or a tag: without, every event would match.", nameof(items));
        }

        return new EventFilter(category.ToArray(), prefix.ToArray(), [.. items.Select(Copy)], correlationId.ToArray(), eventId);
    }

    /// <summary>Whether an event matches, by its own bytes.</summary>
    public bool Matches(in EventView e)
    {
        if (!e.Stream.StartsWith(_prefix) || (_category.Length > 0 && !CategoryOf(e.Stream).SequenceEqual(_category)) || (_items.Length > 0 && e.IsSystem))
        {
            return false;
        }

        if (_items.Length == 0 && _correlationId.Length == 0 && _eventId is null)
        {
            return true;
        }

        Span<Range> tags = stackalloc Range[VaultLimits.Tags];
        var terms = EventFields.ReadTerms(e.EventData, tags);
        return (_correlationId.Length == 0 || terms.CorrelationId.SequenceEqual(_correlationId))
            && (_eventId is null || terms.Id == _eventId)
            && (_items.Length == 0 || MatchesAny(terms));
    }

    /// <summary>What stands before the first <c>-</c> of a stream's name; all of it if there is none.</summary>
    internal static ReadOnlySpan<byte> CategoryOf(ReadOnlySpan<byte> stream) => stream.IndexOf((byte)'-') is >= 0 and var end ? stream[..end] : stream;

    private bool MatchesAny(scoped in EventTerms terms)
    {
        foreach (var item in _items)
        {
            if (Matches(item, terms))
            {
                return true;
            }
        }

        return false;
    }

    private static bool Matches(QueryItem item, scoped in EventTerms terms)
    {
        for (var i = 0; i < item.Tags.Count; i++)
        {
            if (!terms.HasTag(item.Tags[i].Span))
            {
                return false;
            }
        }

        for (var i = 0; i < item.Types.Count; i++)
        {
            if (terms.Type.SequenceEqual(item.Types[i].Span))
            {
                return true;
            }
        }

        return item.Types.Count == 0;
    }

    private static QueryItem Copy(QueryItem item) => new([.. item.Types.Select(Copy)], [.. item.Tags.Select(Copy)]);

    private static ReadOnlyMemory<byte> Copy(ReadOnlyMemory<byte> bytes) => bytes.ToArray();
}
