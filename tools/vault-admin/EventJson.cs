using System.Text.Json;
using EventVault.Client;

namespace EventVault.Admin;

/// <summary>An event as the JSON object that <c>read</c> and <c>tail</c> print.</summary>
internal static class EventJson
{
    /// <summary>Writes the event as one object.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="e">The event.</param>
    public static void Write(Utf8JsonWriter writer, RecordedEvent e)
    {
        writer.WriteStartObject();
        writer.WriteString("stream", e.Stream);
        writer.WriteNumber("version", e.Version);
        writer.WriteNumber("position", e.Position);
        writer.WriteTime("recordedAt", e.RecordedAt);
        writer.WriteTime("occurredAt", e.OccurredAt);
        writer.WriteString("type", e.Type);
        writer.WriteString("id", e.Id);
        WriteData(writer, e);
        WriteMetadata(writer, e.Metadata);
        WriteTags(writer, e.Tags);
        WriteRest(writer, e);
        writer.WriteEndObject();
    }

    /// <summary>Writes the data: nested if it is of the type <c>application/json</c>, <c>dataBase64</c> otherwise.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="e">The event.</param>
    public static void WriteData(Utf8JsonWriter writer, RecordedEvent e)
    {
        // What a client declares as JSON and isn't would spoil the whole line. Other kinds of JSON, such as signed ones, may count on each byte.
        if (e.ContentType == RecordedEvent.JsonContentType && JsonText.IsJson(e.Data.Span))
        {
            writer.WritePropertyName("data");
            writer.WriteRawValue(JsonText.Compact(e.Data).Span, skipInputValidation: true);
        }
        else
        {
            writer.WriteBase64String("dataBase64", e.Data.Span);
        }
    }

    /// <summary>Writes the metadata as an object of texts.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="metadata">The metadata.</param>
    public static void WriteMetadata(Utf8JsonWriter writer, IReadOnlyDictionary<string, string> metadata)
    {
        writer.WriteStartObject("metadata");
        foreach (var (name, value) in metadata)
        {
            writer.WriteString(name, value);
        }

        writer.WriteEndObject();
    }

    /// <summary>Writes the tags as a list.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="tags">The tags.</param>
    public static void WriteTags(Utf8JsonWriter writer, IReadOnlyList<string> tags)
    {
        writer.WriteStartArray("tags");
        foreach (var tag in tags)
        {
            writer.WriteStringValue(tag);
        }

        writer.WriteEndArray();
    }

    /// <summary>Writes what few events have.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="e">The event.</param>
    public static void WriteRest(Utf8JsonWriter writer, RecordedEvent e)
    {
        if (e.ContentType != RecordedEvent.JsonContentType)
        {
            writer.WriteString("contentType", e.ContentType);
        }

        if (e.SchemaVersion != 0)
        {
            writer.WriteNumber("schemaVersion", e.SchemaVersion);
        }
    }
}
