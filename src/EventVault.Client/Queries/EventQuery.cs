namespace EventVault.Client;

/// <summary>
/// Which events are meant, by their types and tags: those that match any of the items. Immutable.
/// <code>EventQuery.OfTypes("seat-taken", "seat-freed").WithTags("course:7").Or(EventQuery.Tagged("closed"))</code>
/// </summary>
public sealed class EventQuery
{
    /// <summary>Makes a query of items.</summary>
    /// <param name="items">1 to 32; checked when the query is used.</param>
    public EventQuery(params QueryItem[] items)
    {
        ArgumentNullException.ThrowIfNull(items);
        Items = [.. items];
    }

    /// <summary>The items. An event that matches one of them matches the query.</summary>
    public IReadOnlyList<QueryItem> Items { get; }

    /// <summary>Events that have any of these types.</summary>
    /// <param name="types">1 to 32 types.</param>
    public static EventQuery OfTypes(params string[] types) => new(new QueryItem { Types = types });

    /// <summary>Events that have all of these tags, of whatever type.</summary>
    /// <param name="tags">1 to 16 tags.</param>
    public static EventQuery Tagged(params string[] tags) => new(new QueryItem { Tags = tags });

    /// <summary>The same query, of events that have all of these tags as well.</summary>
    /// <param name="tags">The tags.</param>
    public EventQuery WithTags(params string[] tags)
    {
        ArgumentNullException.ThrowIfNull(tags);
        return new EventQuery([.. Items.Select(item => item with { Tags = [.. item.Tags, .. tags] })]);
    }

    /// <summary>Events that match this query or the other one.</summary>
    /// <param name="other">The other one.</param>
    public EventQuery Or(EventQuery other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return new EventQuery([.. Items, .. other.Items]);
    }

    internal Protocol.Query ToMessage()
    {
        var query = new Protocol.Query();
        foreach (QueryItem item in Items)
        {
            query.Items.Add(new Protocol.QueryItem { Types_ = { item.Types }, Tags = { item.Tags } });
        }

        return query;
    }
}

/// <summary>Matches an event that has any of the types and all of the tags. At least one type or tag. Immutable.</summary>
public sealed record QueryItem
{
    private readonly IReadOnlyList<string> _types = [];
    private readonly IReadOnlyList<string> _tags = [];

    /// <summary>Any of these, at most 32, each 1 to 256 bytes of UTF-8; empty: of whatever type.</summary>
    public IReadOnlyList<string> Types
    {
        get => _types;
        init => _types = [.. value];
    }

    /// <summary>All of these, at most 16, each 1 to 128 bytes of UTF-8; empty: with whatever tags.</summary>
    public IReadOnlyList<string> Tags
    {
        get => _tags;
        init => _tags = [.. value];
    }
}
