// Turns the bytes of a Query into items, for the conditions of appends and for filters alike. As strict as the contract, and
// bounded while it reads: a message has room for millions of empty items. Field numbers as in streams.proto.
using System.Text.Unicode;
using EventVault.Storage.Log;
using EventVault.Storage.Queries;

namespace EventVault.Node.Services;

/// <summary>Reads queries. Thread-safe.</summary>
internal sealed class QueryReader(NodeLimits limits)
{
    /// <summary>Reads and checks an encoded <c>Query</c>.</summary>
    /// <param name="bytes">The message; the items point into it.</param>
    /// <param name="path">Of the field it stands in.</param>
    /// <param name="items">Filled; of no use if there is a refusal.</param>
    /// <param name="keys">Keys that the queries of the same request have so far; this one's are added.</param>
    /// <returns>Why it is refused; null if it is fine.</returns>
    public Refusal? Read(ReadOnlyMemory<byte> bytes, string path, List<QueryItem> items, ref int keys)
    {
        var reader = new WireReader(bytes.Span);
        while (reader.Next())
        {
            if (reader.Field != 1)
            {
                return Errors.UnknownField($"{path}.{AppendFields.Number(reader.Field)}");
            }

            var field = $"{path}.items[{AppendFields.Number(items.Count)}]";
            if (reader.WireType != WireReader.Delimited)
            {
                return Errors.InvalidRequest(field, "has the wrong wire type");
            }

            if (items.Count == limits[NodeLimits.QueryItems].Allowed)
            {
                return Errors.LimitExceeded(limits[NodeLimits.QueryItems], items.Count + 1L, $"{path}.items");
            }

            if (ReadItem(bytes.Slice(reader.Start, reader.Length), field, out var item) is { } refusal)
            {
                return refusal;
            }

            keys += KeysOf(item);
            if (keys > limits[NodeLimits.QueryKeys].Allowed)
            {
                return Errors.LimitExceeded(limits[NodeLimits.QueryKeys], keys, field);
            }

            items.Add(item);
        }

        return reader.Malformed ? Errors.InvalidRequest(path, "is not an encoded Query message")
            : items.Count == 0 ? Errors.InvalidRequest($"{path}.items", "is empty: a query has at least one item")
            : null;
    }

    // What is looked up for an item: each type with each tag. The item's own limits keep the product small.
    private static int KeysOf(QueryItem item) => Math.Max(1, item.Types.Count) * Math.Max(1, item.Tags.Count);

    private Refusal? ReadItem(ReadOnlyMemory<byte> bytes, string path, out QueryItem item)
    {
        var types = new List<ReadOnlyMemory<byte>>();
        var tags = new List<ReadOnlyMemory<byte>>();
        item = new QueryItem(types, tags);
        var reader = new WireReader(bytes.Span);
        while (reader.Next())
        {
            if (reader.Field is not (1 or 2))
            {
                return Errors.UnknownField($"{path}.{AppendFields.Number(reader.Field)}");
            }

            var (name, terms, most, longest) = reader.Field == 1
                ? ("types", types, limits[NodeLimits.ItemTypes], limits[NodeLimits.TypeBytes])
                : ("tags", tags, limits[NodeLimits.ItemTags], limits[NodeLimits.TagBytes]);
            var field = $"{path}.{name}[{AppendFields.Number(terms.Count)}]";
            if (reader.WireType != WireReader.Delimited)
            {
                return Errors.InvalidRequest(field, "has the wrong wire type");
            }

            if (terms.Count == most.Allowed)
            {
                return Errors.LimitExceeded(most, terms.Count + 1L, $"{path}.{name}");
            }

            if (reader.Length > longest.Allowed)
            {
                return Errors.LimitExceeded(longest, reader.Length, field);
            }

            if (reader.Length == 0 || !Utf8.IsValid(reader.Bytes))
            {
                return Errors.InvalidRequest(field, reader.Length == 0 ? "is empty" : "is not valid UTF-8");
            }

            terms.Add(bytes.Slice(reader.Start, reader.Length));
        }

        return reader.Malformed ? Errors.InvalidRequest(path, "is not an encoded QueryItem message")
            : types.Count + tags.Count == 0 ? Errors.InvalidRequest(path, "has neither types nor tags: every event would match")
            : null;
    }
}
