using System.Text;

namespace EventVault.Client;

/// <summary>
/// What the client checks of queries and filters before it sends them. An empty text is refused: on the wire it would
/// mean "any", and a variable that happens to be empty must not turn a filtered read into one of everything.
/// </summary>
internal static class QueryChecks
{
    /// <param name="query">The query.</param>
    /// <param name="field">Path of its field in the request, for messages.</param>
    /// <param name="limits">The limits that hold.</param>
    /// <param name="keys">What the request's queries before it have to have looked up; this one's is added.</param>
    /// <exception cref="VaultException">It is empty, not well formed or exceeds a limit.</exception>
    public static void Check(EventQuery query, string field, VaultLimits limits, ref int keys)
    {
        if (query.Items.Count == 0)
        {
            throw VaultErrors.InvalidRequest($"{field}.items", "is empty");
        }

        Check(limits.QueryItems, query.Items.Count, $"Too many are the items of {field}");
        for (int i = 0; i < query.Items.Count; i++)
        {
            string place = $"{field}.items[{i}]";
            QueryItem item = query.Items[i] ?? throw VaultErrors.InvalidRequest(place, "is null");
            if (item.Types.Count == 0 && item.Tags.Count == 0)
            {
                throw VaultErrors.InvalidRequest(place, "has neither a type nor a tag, and would match every event");
            }

            Check(limits.ItemTypes, item.Types.Count, $"Too many are the types of {place}");
            Check(limits.ItemTags, item.Tags.Count, $"Too many are the tags of {place}");
            CheckTexts(item.Types, limits.Type, $"{place}.types");
            CheckTexts(item.Tags, limits.Tag, $"{place}.tags");

            // As the node counts them: each type with each tag.
            keys += Math.Max(1, item.Types.Count) * Math.Max(1, item.Tags.Count);
            Check(limits.QueryKeys, keys, $"Too much is to be looked up, counted up to {place},");
        }
    }

    /// <param name="filter">The filter.</param>
    /// <param name="limits">The limits that hold.</param>
    /// <exception cref="VaultException">Nothing is set, or something is not well formed or exceeds a limit.</exception>
    public static void Check(EventFilter filter, VaultLimits limits)
    {
        if (filter is { Category: null, StreamPrefix: null, Query: null, CorrelationId: null, EventId: null })
        {
            throw VaultErrors.InvalidRequest("filter", "has nothing set; leave it out to get all events");
        }

        CheckCategory(filter.Category, "filter.category", limits);
        CheckText(filter.StreamPrefix, limits.StreamName, "filter.stream_prefix");
        CheckText(filter.CorrelationId, limits.Metadata, "filter.correlation_id");
        if (filter.Query is { } query)
        {
            int keys = 0;
            Check(query, "filter.query", limits, ref keys);
        }
    }

    /// <param name="category">The category; null: not given.</param>
    /// <param name="field">Path of its field in the request, for messages.</param>
    /// <param name="limits">The limits that hold.</param>
    /// <exception cref="VaultException">No stream can be of that category, or it is not valid Unicode.</exception>
    public static void CheckCategory(string? category, string field, VaultLimits limits)
    {
        CheckText(category, limits.StreamName, field);
        if (category?.Contains('-', StringComparison.Ordinal) == true)
        {
            throw VaultErrors.InvalidRequest(field, "has a '-'; a category is what stands before the first one in a stream's name");
        }
    }

    /// <param name="text">The text; null: not given.</param>
    /// <param name="limit">How many bytes it may have.</param>
    /// <param name="field">Path of its field in the request, for messages.</param>
    /// <exception cref="VaultException">It is empty, too long or not valid Unicode.</exception>
    public static void CheckText(string? text, VaultLimit limit, string field)
    {
        if (text is null)
        {
            return;
        }

        if (text.Length == 0)
        {
            throw VaultErrors.InvalidRequest(field, "is empty");
        }

        try
        {
            Check(limit, WireWriter.Utf8.GetByteCount(text), $"Too long is {field}");
        }
        catch (EncoderFallbackException)
        {
            throw VaultErrors.InvalidRequest(field, "holds half a surrogate pair, which is no UTF-8");
        }
    }

    private static void CheckTexts(IReadOnlyList<string> texts, VaultLimit limit, string field)
    {
        for (int i = 0; i < texts.Count; i++)
        {
            string place = $"{field}[{i}]";
            CheckText(texts[i] ?? throw VaultErrors.InvalidRequest(place, "is null"), limit, place);
        }
    }

    private static void Check(VaultLimit limit, int value, string what)
    {
        if ((ulong)value > limit.Allowed)
        {
            throw VaultErrors.LimitExceeded(limit, (ulong)value, what);
        }
    }
}
