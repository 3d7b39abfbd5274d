// The events of the stream `$reducers`, one for each version of each named reducer. They are events like all others: with a
// position, replicated, readable by whoever asks for them.
//
// Type `$reducer-defined`, schema version 1. Data: JSON,
//   {"name":"cart","version":2,"kind":"slots","slots":"<the text as it was given>","definition":"<its normal form>",
//    "categories":["cart"],"eager":false}
// `slots` is absent with the kind `merge_patch`. Other members are ignored, and so are events of other types: a version that
// changes what these mean raises the schema version. What a later version wrote is kept as unreadable: it has its name and
// number, and nothing else of the vault stops because of it.
using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using EventVault.Protocol;
using EventVault.Storage.Log;
using EventVault.Temporal.Expressions;
using EventVault.Temporal.Reducers;

namespace EventVault.Node.States;

/// <summary>Writes and reads the events of <c>$reducers</c>.</summary>
internal static class ReducerEvent
{
    private const string MergePatch = "merge_patch";
    private const string Slots = "slots";

    private static readonly JsonWriterOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly string Type = Encoding.UTF8.GetString(ReducersStream.Defined);

    /// <summary>A definition as the data of the event of its version.</summary>
    /// <param name="asked">What is defined.</param>
    /// <param name="version">Which version of it; 0: not known yet.</param>
    public static byte[] Encode(AskedReducer asked, uint version)
    {
        var json = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(json, Readable))
        {
            writer.WriteStartObject();
            writer.WriteString("name", asked.Name);
            writer.WriteNumber("version", version);
            writer.WriteString("kind", asked.Slots is null ? MergePatch : Slots);
            if (asked.Slots is not null)
            {
                writer.WriteString("slots", asked.Slots);
            }

            writer.WriteString("definition", asked.Reducer.Definition);
            writer.WriteStartArray("categories");
            foreach (var category in asked.Categories)
            {
                writer.WriteStringValue(category);
            }

            writer.WriteEndArray();
            writer.WriteBoolean("eager", asked.Eager);
            writer.WriteEndObject();
        }

        return json.WrittenSpan.ToArray();
    }

    /// <summary>What an event of <c>$reducers</c> defines; null if it defines nothing, or names nothing that can be told.</summary>
    public static DefinedReducer? Read(in EventView e)
    {
        var data = EventData.Parser.ParseFrom(e.EventData);
        if (data.Type != Type)
        {
            return null;
        }

        try
        {
            using var json = JsonDocument.Parse(data.Data.Memory);
            var root = json.RootElement;
            var named = new DefinedReducer(
                root.GetProperty("name").GetString()!, root.GetProperty("version").GetUInt32(), null, null, ReadCategories(root), Eager: false, e.Position, e.RecordedAt);
            return data.SchemaVersion == ReducersStream.Schema ? ReadDefinition(root, named) : named;
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            return null;
        }
    }

    private static DefinedReducer ReadDefinition(JsonElement root, DefinedReducer named)
    {
        var slots = root.TryGetProperty(Slots, out var text) ? text.GetString() : null;
        var kind = root.GetProperty("kind").GetString();
        try
        {
            return kind switch
            {
                MergePatch => named with { Reducer = MergePatchReducer.Instance, Eager = root.GetProperty("eager").GetBoolean() },
                Slots when slots is not null => named with { Reducer = SlotsReducer.Parse(slots), Slots = slots, Eager = root.GetProperty("eager").GetBoolean() },
                _ => named,
            };
        }
        catch (ExpressionException)
        {
            return named;
        }
    }

    private static List<string> ReadCategories(JsonElement root) =>
        root.TryGetProperty("categories", out var categories) && categories.ValueKind == JsonValueKind.Array
            ? [.. categories.EnumerateArray().Where(c => c.ValueKind == JsonValueKind.String).Select(c => c.GetString()!)]
            : [];
}

/// <summary>A definition as a client asks for it, checked.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Reducer">What it says.</param>
/// <param name="Slots">The text that says it; null: it needs none.</param>
/// <param name="Categories">Of the streams for which anchors are made; in the order of their bytes, none twice.</param>
/// <param name="Eager">Whether states on the way are kept as events come.</param>
internal sealed record AskedReducer(string Name, Reducer Reducer, string? Slots, IReadOnlyList<string> Categories, bool Eager);

/// <summary>One version of a named reducer.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Version">1, 2, 3 …</param>
/// <param name="Reducer">What it says; null: a later version of EventVault wrote it, and this one can't read it.</param>
/// <param name="Slots">The text that says it; null: it needs none.</param>
/// <param name="Categories">Of the streams for which anchors are made.</param>
/// <param name="Eager">Whether states on the way are kept as events come.</param>
/// <param name="Position">Of the event that defined it.</param>
/// <param name="RecordedAt">When that was recorded, 100 ns ticks since 1970.</param>
internal sealed record DefinedReducer(
    string Name, uint Version, Reducer? Reducer, string? Slots, IReadOnlyList<string> Categories, bool Eager, Storage.Position Position, long RecordedAt)
{
    private readonly byte[][] _categories = [.. Categories.Select(Encoding.UTF8.GetBytes)];

    /// <summary>Whether a stream is of one of its categories.</summary>
    public bool Covers(ReadOnlySpan<byte> stream)
    {
        var dash = stream.IndexOf((byte)'-');
        var category = dash < 0 ? stream : stream[..dash];
        foreach (var covered in _categories)
        {
            if (category.SequenceEqual(covered))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether it says what is asked for.</summary>
    public bool Says(AskedReducer asked) =>
        Reducer is not null && Name == asked.Name && Eager == asked.Eager && Categories.SequenceEqual(asked.Categories) && Reducer.Hash.AsSpan().SequenceEqual(asked.Reducer.Hash);
}
