using System.Text;
using EventVault.Storage.Log;

namespace EventVault.Temporal;

/// <summary>Takes an event of the log apart for reducers. The field numbers are those of <c>EventData</c>, in FORMAT.md.</summary>
internal static class EventContent
{
    private const int Type = 2;
    private const int Data = 3;
    private const int ContentType = 4;
    private const int OccurredAt = 8;

    /// <summary>Content types of JSON end so (RFC 6839), as in <c>application/problem+json</c>.</summary>
    private static ReadOnlySpan<byte> JsonSuffix => "+json"u8;

    private static ReadOnlySpan<byte> Json => "application/json"u8;

    /// <summary>The event as reducers see it. It was checked when it was appended.</summary>
    public static FoldEvent Read(in EventView e)
    {
        ReadOnlySpan<byte> type = default, data = default, contentType = default;
        var occurredAt = e.RecordedAt;
        var reader = new WireReader(e.EventData);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case Type:
                    type = reader.Bytes;
                    break;
                case Data:
                    data = reader.Bytes;
                    break;
                case ContentType:
                    contentType = reader.Bytes;
                    break;
                case OccurredAt:
                    occurredAt = (long)reader.Number;
                    break;
                default:
                    break;
            }
        }

        return new FoldEvent
        {
            Stream = e.Stream,
            Type = type,
            Data = data,
            IsJson = IsJson(contentType),
            Version = e.Version.Value,
            Position = e.Position.Value,
            RecordedAt = e.RecordedAt,
            OccurredAt = occurredAt,
        };
    }

    // Parameters behind a semicolon don't matter; letters don't either (RFC 2045).
    private static bool IsJson(ReadOnlySpan<byte> contentType)
    {
        if (contentType.IsEmpty)
        {
            return true;
        }

        var end = contentType.IndexOf((byte)';');
        contentType = contentType[..(end < 0 ? contentType.Length : end)];
        contentType = contentType[Ascii.Trim(contentType)];
        return Ascii.EqualsIgnoreCase(contentType, Json)
            || (contentType.Length > JsonSuffix.Length && Ascii.EqualsIgnoreCase(contentType[^JsonSuffix.Length..], JsonSuffix));
    }
}
