// The events of the stream `$streams` that say how long events are kept (those that say what became of a stream:
// StreamLifeEvent).
//
// | type               | meaning                                                                   |
// | $retention-set     | the rule of the stream `stream` or of the category `category`, from now on |
// | $retention-removed | it has no rule any more                                                   |
//
// Data: JSON, {"stream":"order-17","maxAgeSeconds":3600,"maxEvents":5,"maxBytes":100,"legalHold":true}, or "category"
// in place of "stream", or "forever":true in place of the limits. What is not said is left out. Schema version 1. Other
// members are ignored: a version that changes what these mean raises the schema version, and is refused here.
using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace EventVault.Storage.Log;

/// <summary>What an event does to the rule of a stream or category.</summary>
/// <param name="Scope">To what it applies.</param>
/// <param name="Name">Of the stream or category, UTF-8.</param>
/// <param name="Rule">The rule from then on; null: none.</param>
/// <param name="At">Position of the event.</param>
internal sealed record RetentionChange(RetentionScope Scope, byte[] Name, RetentionRule? Rule, Position At);

/// <summary>Writes and reads the events of <c>$streams</c> about retention.</summary>
internal static class RetentionEvent
{
    private const uint Schema = 1;

    /// <summary>Brackets, names, three numbers of 19 digits, two truths.</summary>
    private const int JsonOverhead = 256;

    /// <summary>A character of a name may be escaped: six bytes instead of one.</summary>
    private const int MostEscapedBytes = 6;

    private static readonly JsonWriterOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static ReadOnlySpan<byte> Set => "$retention-set"u8;

    private static ReadOnlySpan<byte> Removed => "$retention-removed"u8;

    /// <summary>Encodes an event.</summary>
    /// <param name="id">Its id.</param>
    /// <param name="scope">To what the rule applies.</param>
    /// <param name="name">Of the stream or category.</param>
    /// <param name="rule">The rule; null takes it back.</param>
    /// <returns>Bytes of <c>EventData</c>.</returns>
    public static byte[] Encode(UInt128 id, RetentionScope scope, ReadOnlySpan<byte> name, RetentionRule? rule)
    {
        Invariant.Check(IsName(scope, name), "The vault's own streams are kept, and a category has no '-'.");
        Invariant.Check(rule is null or { IsValid: true }, "A rule is checked before it gets here.");
        var json = new ArrayBufferWriter<byte>(JsonOverhead + (MostEscapedBytes * name.Length));
        using (var writer = new Utf8JsonWriter(json, Readable))
        {
            writer.WriteStartObject();
            writer.WriteString(scope == RetentionScope.Stream ? "stream"u8 : "category"u8, name);
            WriteNumber(writer, "maxAgeSeconds"u8, rule?.MaxAgeSeconds);
            WriteNumber(writer, "maxEvents"u8, rule?.MaxEvents);
            WriteNumber(writer, "maxBytes"u8, rule?.MaxBytes);
            WriteTrue(writer, "forever"u8, rule is { Forever: true });
            WriteTrue(writer, "legalHold"u8, rule is { LegalHold: true });
            writer.WriteEndObject();
        }

        return EventFields.Encode(id, rule is null ? Removed : Set, json.WrittenSpan, Schema);
    }

    /// <summary>What an event does to a rule; false if it is not one that does anything.</summary>
    /// <exception cref="UnsupportedFormatException">A later version wrote it.</exception>
    public static bool TryRead(in EventView e, out RetentionChange? change)
    {
        change = null;
        if (!e.IsSystem || !e.Stream.SequenceEqual(StreamLifeEvent.Stream))
        {
            return false;
        }

        EventFields.Read(e.EventData, out var type, out var data, out var schema);
        var isSet = type.SequenceEqual(Set);
        if (!isSet && !type.SequenceEqual(Removed))
        {
            return false;
        }

        if (schema != Schema)
        {
            // To overlook it could delete what is under a legal hold.
            throw new UnsupportedFormatException(
                $"event {e.Position}", $"schema version {schema} of the events of the stream $streams about retention");
        }

        // Clients can't write here and the checksum held: we wrote it so.
        Invariant.Check(TryReadData(data, out var scope, out var name, out var rule), "An event about retention names a stream or a category, and a rule.");
        Invariant.Check(isSet ? rule.IsValid : rule == new RetentionRule(), "A rule says something, and nothing impossible.");
        change = new RetentionChange(scope, name, isSet ? rule : null, e.Position);
        return true;
    }

    /// <summary>Whether a stream or category of this name can have a rule.</summary>
    public static bool IsName(RetentionScope scope, ReadOnlySpan<byte> name) =>
        name.Length is > 0 and <= RecordFormat.MaxNameBytes && name[0] != (byte)'$'
        && (scope == RetentionScope.Stream || (scope == RetentionScope.Category && !name.Contains((byte)'-')));

    private static void WriteNumber(Utf8JsonWriter writer, ReadOnlySpan<byte> name, long? number)
    {
        if (number is { } some)
        {
            writer.WriteNumber(name, some);
        }
    }

    private static void WriteTrue(Utf8JsonWriter writer, ReadOnlySpan<byte> name, bool isTrue)
    {
        if (isTrue)
        {
            writer.WriteBoolean(name, isTrue);
        }
    }

    private static bool TryReadData(ReadOnlySpan<byte> data, out RetentionScope scope, out byte[] name, out RetentionRule rule)
    {
        (scope, name, rule) = (default, [], new RetentionRule());
        try
        {
            var reader = new Utf8JsonReader(data);
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            {
                return false;
            }

            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var member = reader.ValueSpan; // We write none of them escaped.
                if (!reader.Read() || !TryReadMember(member, ref reader, ref scope, ref name, ref rule))
                {
                    return false;
                }
            }

            return IsName(scope, name);
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static bool TryReadMember(
        ReadOnlySpan<byte> member, ref Utf8JsonReader reader, ref RetentionScope scope, ref byte[] name, ref RetentionRule rule)
    {
        if (member.SequenceEqual("stream"u8) || member.SequenceEqual("category"u8))
        {
            scope = member[0] == (byte)'s' ? RetentionScope.Stream : RetentionScope.Category;
            return reader.TokenType == JsonTokenType.String && TryCopy(ref reader, ref name);
        }

        var isAge = member.SequenceEqual("maxAgeSeconds"u8);
        var isEvents = member.SequenceEqual("maxEvents"u8);
        if (isAge || isEvents || member.SequenceEqual("maxBytes"u8))
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out var number))
            {
                return false;
            }

            rule = isAge ? rule with { MaxAgeSeconds = number } : isEvents ? rule with { MaxEvents = number } : rule with { MaxBytes = number };
            return true;
        }

        var isForever = member.SequenceEqual("forever"u8);
        if (isForever || member.SequenceEqual("legalHold"u8))
        {
            var isTrue = reader.TokenType == JsonTokenType.True;
            rule = isForever ? rule with { Forever = isTrue } : rule with { LegalHold = isTrue };
            return isTrue || reader.TokenType == JsonTokenType.False;
        }

        reader.Skip();
        return true;
    }

    // Two names would leave open which one is meant.
    private static bool TryCopy(ref Utf8JsonReader reader, ref byte[] name)
    {
        if (name.Length > 0)
        {
            return false;
        }

        var copy = new byte[reader.ValueSpan.Length];
        name = copy[..reader.CopyString(copy)];
        return true;
    }
}
