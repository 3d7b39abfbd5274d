using Google.Protobuf;

namespace EventVault.Client;

/// <summary>
/// Which events of the whole vault are wanted: those to which everything that is set applies. At least one must be set.
/// The node finds them by its indexes and sends nothing else.
/// </summary>
public sealed record EventFilter
{
    /// <summary>
    /// The stream's category: what stands before the first <c>-</c> of its name, or all of it if there is none. Null: any.
    /// </summary>
    public string? Category { get; init; }

    /// <summary>How the stream's name begins. Null: any.</summary>
    public string? StreamPrefix { get; init; }

    /// <summary>By types and tags. Null: any.</summary>
    public EventQuery? Query { get; init; }

    /// <summary>The metadata entry <see cref="CorrelationIdKey"/>. Null: any.</summary>
    public string? CorrelationId { get; init; }

    /// <summary>The event's id. Ids need not be unique: several events may have it. Null: any.</summary>
    public Guid? EventId { get; init; }

    /// <summary>The key under which the metadata names the correlation id.</summary>
    public const string CorrelationIdKey = "correlationId";

    /// <summary>Events of the streams of one category.</summary>
    /// <param name="category">The category.</param>
    public static EventFilter OfCategory(string category) => new() { Category = category };

    /// <summary>Events that match a query.</summary>
    /// <param name="query">The query.</param>
    public static EventFilter Of(EventQuery query) => new() { Query = query };

    /// <summary>Events with one correlation id.</summary>
    /// <param name="correlationId">The correlation id.</param>
    public static EventFilter OfCorrelation(string correlationId) => new() { CorrelationId = correlationId };

    /// <summary>The event, or the events, with one id.</summary>
    /// <param name="eventId">The id.</param>
    public static EventFilter OfEvent(Guid eventId) => new() { EventId = eventId };

    internal Protocol.EventFilter ToMessage()
    {
        var filter = new Protocol.EventFilter
        {
            Category = Category ?? "",
            StreamPrefix = StreamPrefix ?? "",
            Query = Query?.ToMessage(),
            CorrelationId = CorrelationId ?? "",
        };
        if (EventId is { } id)
        {
            filter.EventId = ByteString.CopyFrom(id.ToByteArray(bigEndian: true));
        }

        return filter;
    }
}
