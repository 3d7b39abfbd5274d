using System.Buffers.Text;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Unicode;
using EventVault.Client;

namespace EventVault.Admin.History;

/// <summary>
/// One line of a history: an event, and the batch it belongs to. The table of fields is in this tool's README. A field
/// that is not in it is refused: what is not understood must not get lost in silence.
/// </summary>
/// <param name="Line">1-based line.</param>
/// <param name="Batch">Events with the same number are one append.</param>
/// <param name="Stream">Name of the stream.</param>
/// <param name="Data">The event.</param>
internal sealed record HistoryEvent(long Line, ulong Batch, string Stream, EventData Data)
{
    private static readonly JsonDocumentOptions Options = new() { MaxDepth = JsonText.MaxDepth + 1 };

    /// <summary>Reads a line.</summary>
    /// <param name="json">Its bytes.</param>
    /// <param name="line">Its 1-based number.</param>
    /// <exception cref="HistoryException">It is not of the form.</exception>
    public static HistoryEvent Parse(ReadOnlyMemory<byte> json, long line)
    {
        if (!Utf8.IsValid(json.Span))
        {
            throw new HistoryException(line, null, "is not valid UTF-8");
        }

        try
        {
            using var document = JsonDocument.Parse(json, Options);
            return new Fields(line).Read(document.RootElement);
        }
        catch (JsonException e)
        {
            throw new HistoryException(line, null, $"is not valid JSON, or nested deeper than {JsonText.MaxDepth}, from byte {e.BytePositionInLine ?? 0} on", e);
        }
    }

    private sealed class Fields(long line)
    {
        private readonly HashSet<string> _seen = new(StringComparer.Ordinal);
        private string _field = "";
        private ulong _batch;
        private string _stream = "";
        private Guid _id;
        private string _type = "";
        private DateTimeOffset? _occurredAt;
        private byte[] _data = [];
        private string _contentType = "";
        private uint _schemaVersion;
        private string[] _tags = [];
        private Dictionary<string, string> _metadata = [];

        public HistoryEvent Read(JsonElement root)
        {
            if (root.ValueKind != JsonValueKind.Object)
            {
                throw new HistoryException(line, null, "is no JSON object");
            }

            foreach (var property in root.EnumerateObject())
            {
                _field = property.Name;
                if (!_seen.Add(_field))
                {
                    throw Wrong("is there twice");
                }

                Take(property.Value);
            }

            Require("batch");
            Require("stream");
            Require("id");
            Require("type");
            if (_seen.Contains("data") == _seen.Contains("dataBase64"))
            {
                throw new HistoryException(line, "data", _seen.Contains("data") ? "stands beside dataBase64; give one of them" : "is missing");
            }

            return new HistoryEvent(line, _batch, _stream, new EventData(_type, _data)
            {
                Id = _id,
                OccurredAt = _occurredAt,
                ContentType = _contentType,
                SchemaVersion = _schemaVersion,
                Tags = _tags,
                Metadata = _metadata,
            });
        }

        private void Take(JsonElement value)
        {
            switch (_field)
            {
                case "batch":
                    _batch = value.ValueKind == JsonValueKind.Number && value.TryGetUInt64(out var batch) ? batch : throw Wrong("must be a whole number from 0 on");
                    break;
                case "stream":
                    _stream = Text(value);
                    break;
                case "id":
                    _id = Guid.TryParseExact(Text(value), "D", out var id) ? id : throw Wrong("must be a UUID");
                    break;
                case "type":
                    _type = Text(value);
                    break;
                case "occurredAt":
                    _occurredAt = Time(value);
                    break;
                case "data":
                    _data = JsonText.Compact(JsonMarshal.GetRawUtf8Value(value).ToArray()).ToArray();
                    break;
                case "dataBase64":
                    _data = Base64.IsValid(Text(value)) ? value.GetBytesFromBase64() : throw Wrong("must be base64");
                    break;
                case "metadata":
                    _metadata = Metadata(value);
                    break;
                case "tags":
                    _tags = value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray().Select(Text)] : throw Wrong("must be a list of texts");
                    break;
                case "contentType":
                    _contentType = Text(value);
                    break;
                case "schemaVersion":
                    _schemaVersion = value.ValueKind == JsonValueKind.Number && value.TryGetUInt32(out var version) ? version : throw Wrong("must be a whole number from 0 on");
                    break;
                default:
                    throw Wrong("is not known; take it out, or put it into data or metadata");
            }
        }

        private Dictionary<string, string> Metadata(JsonElement value)
        {
            if (value.ValueKind != JsonValueKind.Object)
            {
                throw Wrong("must be an object of texts");
            }

            var metadata = new Dictionary<string, string>();
            foreach (var entry in value.EnumerateObject())
            {
                _field = "metadata." + entry.Name;
                if (!metadata.TryAdd(entry.Name, Text(entry.Value)))
                {
                    throw Wrong("is there twice");
                }
            }

            return metadata;
        }

        // Seconds as a decimal number are exact to the 100 ns that the vault keeps; a double would not be.
        private DateTimeOffset? Time(JsonElement value)
        {
            if (value.ValueKind == JsonValueKind.Null)
            {
                return null;
            }

            if (value.ValueKind == JsonValueKind.String && JsonText.TryParseTime(Text(value), out var time))
            {
                return time;
            }

            if (value.ValueKind != JsonValueKind.Number || !decimal.TryParse(value.GetRawText(), NumberStyles.Float, CultureInfo.InvariantCulture, out var seconds))
            {
                throw Wrong("must be seconds since 1970, or a time as RFC 3339");
            }

            var first = (decimal)DateTimeOffset.MinValue.ToUnixTimeSeconds();
            var end = (decimal)DateTimeOffset.MaxValue.ToUnixTimeSeconds() + 1;
            var ticks = seconds >= first && seconds < end ? seconds * TimeSpan.TicksPerSecond : throw Wrong("must be in the years 1 to 9999");
            return ticks == decimal.Truncate(ticks)
                ? DateTimeOffset.UnixEpoch.AddTicks((long)ticks)
                : throw Wrong("is finer than the 100 ns that the vault keeps");
        }

        private string Text(JsonElement value)
        {
            if (value.ValueKind != JsonValueKind.String)
            {
                throw Wrong("must be a text");
            }

            try
            {
                return value.GetString()!;
            }
            catch (InvalidOperationException)
            {
                throw Wrong("holds half a surrogate pair, which is no UTF-8");
            }
        }

        private void Require(string field)
        {
            if (!_seen.Contains(field))
            {
                throw new HistoryException(line, field, "is missing");
            }
        }

        private HistoryException Wrong(string what) => new(line, _field, what);
    }
}
