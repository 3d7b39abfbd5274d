// Which events are meant: by the stream's category and prefix, by types and tags, by correlation id, by event id.
// All parts that are given must hold; of the items any one.
//
// For the indexes a filter is a list of ways: an event matches by a way if it has all of the way's keys (EventKeys). An
// item with types is a way for each type, with the keys of its (type, tag) pairs; one without types is a way with the keys
// of its tags. Category, correlation id and event id are further keys of every way. A filter by prefix alone has no way:
// for it the log is scanned.
using System.Runtime.InteropServices;
using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Storage.Queries;

/// <summary>A filter of events. Immutable; safe for concurrent use.</summary>
public sealed class EventFilter
{
    /// <summary>Most items: a query is one decision's, and every item is looked up in every segment.</summary>
    public const int MostItems = 32;

    /// <summary>Most types of an item, for the same reason.</summary>
    public const int MostTypes = 32;

    /// <summary>Most tags of an item: no event has more.</summary>
    public const int MostTags = VaultLimits.Tags;

    private readonly byte[] _category;
    private readonly byte[] _prefix;
    private readonly QueryItem[] _items;
    private readonly byte[] _correlationId;
    private readonly UInt128? _eventId;
    private readonly SipKey _key;

    private EventFilter(byte[] category, byte[] prefix, QueryItem[] items, byte[] correlationId, UInt128? eventId, in SipKey key)
    {
        _category = category;
        _prefix = prefix;
        _items = items;
        _correlationId = correlationId;
        _eventId = eventId;
        _key = key;
        Ways = MakeWays(key);
    }

    /// <summary>The ways to match; none: only the log itself can tell.</summary>
    internal ulong[][] Ways { get; }

    /// <summary>Tells the ways from those of other filters, as surely as a stream's key tells it from others. Takes a moment, and memory.</summary>
    internal UInt128 DigestOfWays()
    {
        var words = new ulong[Ways.Sum(static way => way.Length + 1)];
        var at = 0;
        foreach (var way in Ways)
        {
            words[at++] = (ulong)way.Length;
            way.CopyTo(words, at);
            at += way.Length;
        }

        return SipHash128.Compute(MemoryMarshal.AsBytes(words.AsSpan()), _key);
    }

    /// <summary>
    /// Whether the keys alone tell how many events match. Not so with a prefix, and not with ids, which events of <c>$</c> streams
    /// have, too; those are rare enough to be looked at.
    /// </summary>
    internal bool IsCountedByKeys => _prefix.Length == 0 && _correlationId.Length == 0 && _eventId is null && Ways.Length > 0;

    /// <summary>Whether it asks for a category of <c>$</c> streams, whose events are never counted.</summary>
    internal bool IsOfSystem => EventKeys.IsSystem(_category);

    /// <summary>Makes a filter of the parts that are given, at least one; what it is made of is copied.</summary>
    /// <param name="storage">The vault it is for.</param>
    /// <param name="category">Of the stream, UTF-8; empty: any.</param>
    /// <param name="prefix">Of the stream's name, UTF-8; empty: any.</param>
    /// <param name="items">Any of them matches; none: all events. Events of <c>$</c> streams match no item.</param>
    /// <param name="correlationId">The metadata entry <c>correlationId</c>, UTF-8; empty: any.</param>
    /// <param name="eventId">Big-endian; null: any.</param>
    /// <exception cref="ArgumentException">
    /// No part is given, an item has neither types nor tags, or there are more than <see cref="MostItems"/> items,
    /// <see cref="MostTypes"/> types or <see cref="MostTags"/> tags.
    /// </exception>
    public static EventFilter Create(
        VaultStorage storage, ReadOnlyMemory<byte> category, ReadOnlyMemory<byte> prefix, IReadOnlyList<QueryItem> items,
        ReadOnlyMemory<byte> correlationId, UInt128? eventId)
    {
        ArgumentNullException.ThrowIfNull(storage);
        if (category.IsEmpty && prefix.IsEmpty && items.Count == 0 && correlationId.IsEmpty && eventId is null)
        {
            throw new ArgumentException("A filter without any part is no filter: read all instead.");
        }

        if (items.Count > MostItems || items.Any(static i => i.Types.Count > MostTypes || i.Tags.Count > MostTags))
        {
            throw new ArgumentException($"A query has at most {MostItems} items with {MostTypes} types and {MostTags} tags each.", nameof(items));
        }

        if (items.Any(static i => i.Types.Count == 0 && i.Tags.Count == 0))
        {
            throw new ArgumentException("A query item needs a type or a tag: without, every event would match.", nameof(items));
        }

        return new EventFilter(category.ToArray(), prefix.ToArray(), [.. items.Select(Copy)], correlationId.ToArray(), eventId, storage.Meta.SipKey);
    }

    /// <summary>Whether an event matches, by its own bytes.</summary>
    public bool Matches(in EventView e)
    {
        if (!e.Stream.StartsWith(_prefix)
            || (_category.Length > 0 && !EventKeys.CategoryOf(e.Stream).SequenceEqual(_category))
            || (_items.Length > 0 && e.IsSystem))
        {
            return false;
        }

        if (_items.Length == 0 && _correlationId.Length == 0 && _eventId is null)
        {
            return true;
        }

        Span<Range> tags = stackalloc Range[VaultLimits.Tags];
        var labels = EventFields.ReadLabels(e.EventData, tags);
        return (_correlationId.Length == 0 || labels.CorrelationId.SequenceEqual(_correlationId))
            && (_eventId is not { } id || HasId(labels, id))
            && (_items.Length == 0 || MatchesAny(e.EventData, labels, tags[..labels.TagCount]));
    }

    private static bool HasId(in EventLabels labels, UInt128 id) =>
        labels.Id.Length == 16 && System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(labels.Id) == id;

    private bool MatchesAny(ReadOnlySpan<byte> eventData, in EventLabels labels, ReadOnlySpan<Range> tags)
    {
        foreach (var item in _items)
        {
            if (Matches(item, eventData, labels, tags))
            {
                return true;
            }
        }

        return false;
    }

    private static bool Matches(QueryItem item, ReadOnlySpan<byte> eventData, in EventLabels labels, ReadOnlySpan<Range> tags)
    {
        for (var i = 0; i < item.Tags.Count; i++)
        {
            if (!Has(eventData, tags, item.Tags[i].Span))
            {
                return false;
            }
        }

        for (var i = 0; i < item.Types.Count; i++)
        {
            if (labels.Type.SequenceEqual(item.Types[i].Span))
            {
                return true;
            }
        }

        return item.Types.Count == 0;
    }

    private static bool Has(ReadOnlySpan<byte> eventData, ReadOnlySpan<Range> tags, ReadOnlySpan<byte> wanted)
    {
        foreach (var tag in tags)
        {
            if (eventData[tag].SequenceEqual(wanted))
            {
                return true;
            }
        }

        return false;
    }

    private ulong[][] MakeWays(in SipKey key)
    {
        var common = new List<ulong>();
        if (_eventId is { } id)
        {
            common.Add(EventKeys.OfId(id, key));
        }

        if (_correlationId.Length > 0)
        {
            common.Add(EventKeys.OfCorrelation(_correlationId, key));
        }

        // A prefix that reaches behind the first '-' has the category in it.
        if (_category.Length > 0 || _prefix.Contains((byte)'-'))
        {
            common.Add(EventKeys.OfCategory(_category.Length > 0 ? _category : EventKeys.CategoryOf(_prefix), key));
        }

        var ways = new List<ulong[]>();
        foreach (var item in _items)
        {
            foreach (var type in item.Types)
            {
                ways.Add(Way(common, item.Tags.Count == 0 ? [EventKeys.OfType(type.Span, key)] : KeysOf(type, item.Tags, key)));
            }

            if (item.Types.Count == 0)
            {
                ways.Add(Way(common, KeysOf(default, item.Tags, key)));
            }
        }

        return _items.Length > 0 ? [.. ways.Distinct(WayComparer.Instance)] : common.Count > 0 ? [[.. common]] : [];
    }

    private static List<ulong> KeysOf(ReadOnlyMemory<byte> type, IReadOnlyList<ReadOnlyMemory<byte>> tags, in SipKey key)
    {
        var keys = new List<ulong>();
        foreach (var tag in tags)
        {
            keys.Add(type.IsEmpty ? EventKeys.OfTag(tag.Span, key) : EventKeys.OfPair(type.Span, tag.Span, key));
        }

        return keys;
    }

    private static ulong[] Way(List<ulong> common, List<ulong> own) => [.. own.Concat(common).Distinct()];

    private static QueryItem Copy(QueryItem item) => new([.. item.Types.Select(Copy)], [.. item.Tags.Select(Copy)]);

    private static ReadOnlyMemory<byte> Copy(ReadOnlyMemory<byte> bytes) => bytes.ToArray();

    /// <summary>Ways are equal if they have the same keys, in whatever order: what was looked up once need not be again.</summary>
    private sealed class WayComparer : IEqualityComparer<ulong[]>
    {
        public static readonly WayComparer Instance = new();

        public bool Equals(ulong[]? x, ulong[]? y) => x!.Length == y!.Length && x.All(key => y.Contains(key));

        public int GetHashCode(ulong[] way) => way.Aggregate(0ul, static (all, key) => all ^ key).GetHashCode();
    }
}
