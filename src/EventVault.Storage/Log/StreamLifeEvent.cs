// The events of the stream `$streams`, in which the vault records what becomes of streams. They are events like all
// others: with a position, replicated, readable by whoever asks for them.
//
// | type                | effect on the stream `stream`                                          |
// | $stream-deleted     | versions before `before` are no longer read; it can be written again   |
// | $stream-tombstoned  | the same, and it is never written again                                |
// | $stream-truncated   | the same as deleted; some events may be left                           |
//
// Data: JSON, {"stream":"order-17","before":5}. Schema version 1. `before` is at most the stream's last version + 1, as it
// was at this place of the log. Other members are ignored, and so are events of other types: a version that changes what
// these mean raises the schema version, and is refused here.
using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using EventVault.Storage.Index;

namespace EventVault.Storage.Log;

/// <summary>Writes and reads the events of <c>$streams</c>.</summary>
internal static class StreamLifeEvent
{
    private const uint Schema = 1;

    /// <summary>Brackets, names, a number of 19 digits.</summary>
    private const int JsonOverhead = 64;

    /// <summary>A character of a name may be escaped: six bytes instead of one.</summary>
    private const int MostEscapedBytes = 6;

    private static readonly JsonWriterOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Name of the stream.</summary>
    public static ReadOnlySpan<byte> Stream => "$streams"u8;

    private static ReadOnlySpan<byte> Deleted => "$stream-deleted"u8;

    private static ReadOnlySpan<byte> Tombstoned => "$stream-tombstoned"u8;

    private static ReadOnlySpan<byte> Truncated => "$stream-truncated"u8;

    /// <summary>Encodes an event.</summary>
    /// <param name="id">Its id.</param>
    /// <param name="kind">What happens.</param>
    /// <param name="stream">Name of the stream to which it happens.</param>
    /// <param name="before">First version that is kept.</param>
    /// <returns>Bytes of <c>EventData</c>.</returns>
    public static byte[] Encode(UInt128 id, StreamChangeKind kind, ReadOnlySpan<byte> stream, StreamVersion before)
    {
        Invariant.Check(before.Value >= 0 && !stream.IsEmpty && stream[0] != (byte)'$', "The vault's own streams are never truncated.");
        var json = new ArrayBufferWriter<byte>(JsonOverhead + (MostEscapedBytes * stream.Length));
        using (var writer = new Utf8JsonWriter(json, Readable))
        {
            writer.WriteStartObject();
            writer.WriteString("stream"u8, stream);
            writer.WriteNumber("before"u8, before.Value);
            writer.WriteEndObject();
        }

        var type = kind switch
        {
            StreamChangeKind.Delete => Deleted,
            StreamChangeKind.Tombstone => Tombstoned,
            StreamChangeKind.Truncate => Truncated,
            _ => throw new InvariantException($"Unknown change {kind}."),
        };
        return EventFields.Encode(id, type, json.WrittenSpan, Schema);
    }

    /// <summary>What an event does to a stream; false if it is not one that does anything.</summary>
    /// <exception cref="UnsupportedFormatException">A later version wrote it.</exception>
    public static bool TryRead(in EventView e, in SipKey key, out LifeChange change) => TryRead(e, key, out _, out change);

    /// <summary>As the other one, with the kind of the change.</summary>
    /// <exception cref="UnsupportedFormatException">A later version wrote it.</exception>
    public static bool TryRead(in EventView e, in SipKey key, out StreamChangeKind kind, out LifeChange change)
    {
        change = default;
        if (!TryReadKind(e, out kind, out var data, out var schema))
        {
            return false;
        }

        if (schema != Schema)
        {
            // To overlook it would show what was deleted.
            throw new UnsupportedFormatException(
                $"event {e.Position}", $"schema version {schema} of the events of the stream $streams");
        }

        // Clients can't write here and the checksum held: we wrote it so.
        var isIntact = TryReadData(data, out var name, out var before);
        Invariant.Check(isIntact, "An event of $streams names a stream and a version.");
        change = new LifeChange(StreamKey.Compute(name, key), new StreamLife(new StreamVersion(before), kind == StreamChangeKind.Tombstone), e.Position);
        return true;
    }

    /// <summary>
    /// To which stream an event does something, and what: for its keys, so also before it has a position, and never with an error:
    /// an event of a later version has none of these keys, and is refused where it counts.
    /// </summary>
    public static bool TryReadSubject(in EventView e, out StreamChangeKind kind, out ReadOnlySpan<byte> stream)
    {
        stream = default;
        return TryReadKind(e, out kind, out var data, out var schema) && schema == Schema && TryReadData(data, out stream, out _);
    }

    private static bool TryReadKind(in EventView e, out StreamChangeKind kind, out ReadOnlySpan<byte> data, out uint schema)
    {
        kind = default;
        data = default;
        schema = 0;
        if (!e.IsSystem || !e.Stream.SequenceEqual(Stream))
        {
            return false;
        }

        EventFields.Read(e.EventData, out var type, out data, out schema);
        kind = type.SequenceEqual(Deleted) ? StreamChangeKind.Delete
            : type.SequenceEqual(Tombstoned) ? StreamChangeKind.Tombstone
            : type.SequenceEqual(Truncated) ? StreamChangeKind.Truncate
            : default;
        return kind != default;
    }

    private static bool TryReadData(ReadOnlySpan<byte> data, out ReadOnlySpan<byte> stream, out long before)
    {
        stream = default;
        before = -1;
        try
        {
            var reader = new Utf8JsonReader(data);
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            {
                return false;
            }

            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var isStream = reader.ValueTextEquals("stream"u8);
                var isBefore = reader.ValueTextEquals("before"u8);
                if (!reader.Read())
                {
                    return false;
                }

                if (isStream && reader.TokenType == JsonTokenType.String)
                {
                    var name = new byte[reader.ValueSpan.Length];
                    stream = name.AsSpan(0, reader.CopyString(name));
                }
                else if (isBefore && reader.TokenType == JsonTokenType.Number)
                {
                    if (!reader.TryGetInt64(out before))
                    {
                        return false;
                    }
                }
                else
                {
                    reader.Skip();
                }
            }

            return stream.Length is > 0 and <= RecordFormat.MaxNameBytes && before is >= 0 and <= StreamChange.MostBefore;
        }
        catch (JsonException)
        {
            return false;
        }
    }
}
