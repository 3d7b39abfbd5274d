using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using EventVault.Storage.Log;

namespace EventVault.Temporal;

/// <summary>Takes an event of the log apart for reducers, and makes those of anchors. The field numbers are those of <c>EventData</c>, in FORMAT.md.</summary>
internal static class EventContent
{
    private const int Id = 1;
    private const int Type = 2;
    private const int Data = 3;
    private const int ContentType = 4;
    private const int SchemaVersion = 5;
    private const int OccurredAt = 8;
    private const int IdBytes = 16;

    /// <summary>Tags and lengths of five fields, id and schema version.</summary>
    private const int EncodedOverhead = 64;

    // Wire types: a varint, and bytes behind their length.
    private const int Varint = 0;
    private const int Delimited = 2;

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

    /// <summary>Bytes of <c>EventData</c>. Its id follows from its data: equal events have equal ids.</summary>
    public static byte[] Encode(ReadOnlySpan<byte> type, ReadOnlySpan<byte> data, ReadOnlySpan<byte> contentType, uint schemaVersion)
    {
        var to = new ArrayBufferWriter<byte>(data.Length + type.Length + contentType.Length + EncodedOverhead);
        Write(to, Id, SHA256.HashData(data).AsSpan(0, IdBytes));
        Write(to, Type, type);
        Write(to, Data, data);
        Write(to, ContentType, contentType);
        WriteNumber(to, (SchemaVersion << 3) | Varint);
        WriteNumber(to, schemaVersion);
        return to.WrittenSpan.ToArray();
    }

    private static void Write(ArrayBufferWriter<byte> to, int field, ReadOnlySpan<byte> value)
    {
        WriteNumber(to, (uint)((field << 3) | Delimited));
        WriteNumber(to, (uint)value.Length);
        to.Write(value);
    }

    private static void WriteNumber(ArrayBufferWriter<byte> to, uint value)
    {
        for (; value >= 0x80; value >>= 7)
        {
            to.Write([(byte)(value | 0x80)]);
        }

        to.Write([(byte)value]);
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
