using System.Collections.ObjectModel;
using System.Text;

namespace EventVault.Client;

/// <summary>Builds events from their bytes. One per read: it remembers the strings that came before, of which there are few.</summary>
internal sealed class EventDecoder
{
    private readonly StringCache _strings = new();

    public RecordedEvent Decode(in RawEvent raw)
    {
        Guid id = default;
        string type = "";
        byte[] data = [];
        string contentType = RecordedEvent.JsonContentType;
        uint schemaVersion = 0;
        List<string>? tags = null;
        Dictionary<string, string>? metadata = null;
        long? occurredAt = null;
        var reader = new WireReader(raw.EventWire.Span);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    ReadOnlySpan<byte> bytes = reader.BytesField();
                    id = bytes.Length == 16
                        ? new Guid(bytes, bigEndian: true)
                        : throw VaultErrors.ProtocolViolation($"the id of the event at position {raw.Position} has {bytes.Length} bytes");
                    break;
                case 2:
                    type = _strings.Get(reader.BytesField());
                    break;
                case 3:
                    data = reader.BytesField().ToArray();
                    break;
                case 4:
                    contentType = _strings.Get(reader.BytesField()) is { Length: > 0 } given ? given : RecordedEvent.JsonContentType;
                    break;
                case 5:
                    schemaVersion = (uint)reader.VarintField();
                    break;
                case 6:
                    (tags ??= []).Add(_strings.Get(reader.BytesField()));
                    break;
                case 7:
                    ReadEntry(reader.BytesField(), metadata ??= new Dictionary<string, string>(StringComparer.Ordinal));
                    break;
                case 8:
                    occurredAt = reader.Fixed64Field();
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        return new RecordedEvent
        {
            Stream = _strings.Get(raw.StreamUtf8.Span),
            Version = raw.Version,
            Position = raw.Position,
            RecordedAt = VaultTime.FromTicks(raw.RecordedAtTicks),
            Id = id,
            Type = type,
            Data = data,
            ContentType = contentType,
            SchemaVersion = schemaVersion,
            Tags = tags is null ? [] : tags,
            Metadata = metadata is null ? ReadOnlyDictionary<string, string>.Empty : metadata,
            OccurredAtTicks = occurredAt,
        };
    }

    private void ReadEntry(ReadOnlySpan<byte> entry, Dictionary<string, string> metadata)
    {
        string key = "";
        string value = "";
        var reader = new WireReader(entry);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    key = _strings.Get(reader.BytesField());
                    break;
                case 2:
                    value = Encoding.UTF8.GetString(reader.BytesField());
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        metadata[key] = value;
    }
}
