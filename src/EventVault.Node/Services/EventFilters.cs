using System.Text;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventFilter = EventVault.Storage.Queries.EventFilter;
using FilterMessage = EventVault.Protocol.EventFilter;
using QueryItem = EventVault.Storage.Queries.QueryItem;

namespace EventVault.Node.Services;

/// <summary>Checks the filters of requests that read. Thread-safe.</summary>
internal sealed class EventFilters(VaultStorage storage, NodeLimits limits)
{
    private const int EventIdBytes = 16;
    private const string NeedsInclude = "which are left out: set include_system";
    private const string NeverCounted = "which can't be counted: read them with include_system";

    private readonly QueryReader _queries = new(limits);

    /// <summary>The filter of a request that reads; null if it has none.</summary>
    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT with the path of the field concerned.</exception>
    public EventFilter? Read(FilterMessage? filter, bool includeSystem) => Read(filter, includeSystem ? null : NeedsInclude);

    /// <summary>The filter of a request that counts; null if it has none.</summary>
    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT with the path of the field concerned.</exception>
    public EventFilter? ReadCounted(FilterMessage? filter) => Read(filter, NeverCounted);

    // A category or prefix of the vault's own streams is refused with what is needed for them, where it would match nothing.
    private EventFilter? Read(FilterMessage? filter, string? needed)
    {
        if (filter is null)
        {
            return null;
        }

        if (filter.CalculateSize() is var bytes && bytes > limits[NodeLimits.FilterBytes].Allowed)
        {
            throw Errors.LimitExceeded(limits[NodeLimits.FilterBytes], bytes, "filter").ToException();
        }

        var category = StreamNames.CheckLength(filter.Category, "filter.category", limits);
        CheckCategory(category, "filter.category");
        if (needed is not null && category is [(byte)'$', ..])
        {
            throw Errors.InvalidRequest("filter.category", $"is one of the vault's own streams, {needed}").ToException();
        }

        var prefix = StreamNames.CheckLength(filter.StreamPrefix, "filter.stream_prefix", limits);
        if (needed is not null && prefix is [(byte)'$', ..])
        {
            throw Errors.InvalidRequest("filter.stream_prefix", $"begins as only names of the vault's own streams do, {needed}").ToException();
        }

        var items = new List<QueryItem>();
        var keys = 0;
        if (filter.Query is { } query && _queries.Read(Google.Protobuf.MessageExtensions.ToByteArray(query), "filter.query", items, ref keys) is { } refusal)
        {
            throw refusal.ToException();
        }

        var correlationId = Encoding.UTF8.GetBytes(filter.CorrelationId);
        if (correlationId.Length > VaultLimits.MetadataBytes)
        {
            throw Errors.LimitExceeded(limits[NodeLimits.MetadataBytes], correlationId.Length, "filter.correlation_id").ToException();
        }

        if (filter.EventId.Length is not (0 or EventIdBytes))
        {
            throw Errors.InvalidRequest("filter.event_id", $"must be {EventIdBytes} bytes, has {AppendFields.Number(filter.EventId.Length)}").ToException();
        }

        if (category.Length + prefix.Length + items.Count + correlationId.Length + filter.EventId.Length == 0)
        {
            throw Errors.InvalidRequest("filter", "says nothing: set one of its fields, or leave it out to read all").ToException();
        }

        UInt128? eventId = filter.EventId.IsEmpty ? null : System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(filter.EventId.Span);
        return EventFilter.Create(storage, category, prefix, items, correlationId, eventId);
    }

    /// <exception cref="Rpc.RpcException">INVALID_ARGUMENT: no stream can be of that category.</exception>
    public static void CheckCategory(ReadOnlySpan<byte> category, string field)
    {
        if (category.Contains((byte)'-'))
        {
            throw Errors.InvalidRequest(field, "has a -: a category is what stands before the first one in a stream's name").ToException();
        }
    }
}
