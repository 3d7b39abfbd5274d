namespace EventVault.Client.Tests.Support;

/// <summary>What filters and queries mean, in the simplest form.</summary>
internal static class MemoryFilter
{
    public static bool Matches(Protocol.EventFilter? filter, Protocol.RecordedEvent e) => filter is null
        || ((filter.Category.Length == 0 || Category(e.Stream) == filter.Category)
            && e.Stream.StartsWith(filter.StreamPrefix, StringComparison.Ordinal)
            && (filter.Query is null || Matches(filter.Query, e))
            && (filter.CorrelationId.Length == 0
                || (e.Event.Metadata.TryGetValue("correlationId", out string? id) && id == filter.CorrelationId))
            && (filter.EventId.Length == 0 || e.Event.Id == filter.EventId));

    public static bool Matches(Protocol.Query query, Protocol.RecordedEvent e) => query.Items.Any(item =>
        (item.Types_.Count == 0 || item.Types_.Contains(e.Event.Type)) && item.Tags.All(e.Event.Tags.Contains));

    public static string Category(string stream) => stream.Split('-', 2)[0];
}
