// The events of the stream `$streams` that say from when on space is given back (those that say what became of a stream:
// StreamLifeEvent).
//
// | type              | meaning                                                                                        |
// | $scavenge-started | what is hidden at this place of the log may be removed from the segments that lie wholly before |
// | $scavenge-stopped | the one before this goes no further                                                            |
//
// Data: JSON, {"floor":1234}: operation ids of appends in segments that end before this position may go, too; −1: none. It
// is the leader's operation floor, told here so that all nodes remove the same. Empty object when stopped. Schema version 1.
// Other members are ignored: a version that changes what these mean raises the schema version, and is refused here.
using System.Buffers;
using System.Text.Json;
using EventVault.Storage.Log;

namespace EventVault.Storage.Scavenging;

/// <summary>Writes and reads the events of <c>$streams</c> about scavenging.</summary>
internal static class ScavengeEvent
{
    private const uint Schema = 1;

    /// <summary>Brackets, a name, a number of 19 digits.</summary>
    private const int JsonBytes = 64;

    private static ReadOnlySpan<byte> Started => "$scavenge-started"u8;

    private static ReadOnlySpan<byte> Stopped => "$scavenge-stopped"u8;

    /// <summary>Encodes an event.</summary>
    /// <param name="id">Its id.</param>
    /// <param name="kind">What happens.</param>
    /// <param name="floor">When one starts: the operation floor; <see cref="Position.None"/>: all operation ids are kept.</param>
    /// <returns>Bytes of <c>EventData</c>.</returns>
    public static byte[] Encode(UInt128 id, ScavengeChange kind, Position floor)
    {
        Invariant.Check(floor >= Position.None);
        var json = new ArrayBufferWriter<byte>(JsonBytes);
        using (var writer = new Utf8JsonWriter(json))
        {
            writer.WriteStartObject();
            if (kind == ScavengeChange.Start)
            {
                writer.WriteNumber("floor"u8, floor.Value);
            }

            writer.WriteEndObject();
        }

        return EventFields.Encode(id, kind == ScavengeChange.Start ? Started : Stopped, json.WrittenSpan, Schema);
    }

    /// <summary>What an event says about scavenging; false if it says nothing about it.</summary>
    /// <exception cref="UnsupportedFormatException">A later version wrote it.</exception>
    public static bool TryRead(in EventView e, out ScavengeMark mark)
    {
        mark = ScavengeMark.None;
        if (!e.IsSystem || !e.Stream.SequenceEqual(StreamLifeEvent.Stream))
        {
            return false;
        }

        EventFields.Read(e.EventData, out var type, out var data, out var schema);
        var starts = type.SequenceEqual(Started);
        if (!starts && !type.SequenceEqual(Stopped))
        {
            return false;
        }

        if (schema != Schema)
        {
            throw new UnsupportedFormatException($"event {e.Position}", $"schema version {schema} of the events of the stream $streams");
        }

        var floor = Position.None.Value;
        Invariant.Check(!starts || TryReadFloor(data, out floor), "A scavenge that starts names the operation floor.");
        mark = starts
            ? new ScavengeMark(e.Position, e.RecordedAt, new Position(floor), IsStopped: false, e.Position)
            : ScavengeMark.None with { IsStopped = true, At = e.Position };
        return true;
    }

    private static bool TryReadFloor(ReadOnlySpan<byte> data, out long floor)
    {
        floor = long.MinValue;
        try
        {
            var reader = new Utf8JsonReader(data);
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            {
                return false;
            }

            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var isFloor = reader.ValueTextEquals("floor"u8);
                if (!reader.Read())
                {
                    return false;
                }

                if (isFloor && (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out floor)))
                {
                    return false;
                }

                if (!isFloor)
                {
                    reader.Skip();
                }
            }

            return floor >= Position.None.Value;
        }
        catch (JsonException)
        {
            return false;
        }
    }
}
