// Reads of an event's bytes what the checkers need, as docs/FORMAT.md has them, without help of the code that is under test.
using System.Globalization;
using System.Text;
using System.Text.Json;
using EventVault.Storage.Scavenging;

namespace EventVault.Simulation.Checkers;

/// <summary>Reads events as clients here write them, and those of <c>$streams</c>.</summary>
internal static class EventDecoder
{
    private const int FieldType = 2;
    private const int FieldData = 3;
    private const int FieldTag = 6;

    /// <summary>Types of events, by their numbers.</summary>
    public static readonly string[] Types = ["Happened", "Repeated"];

    private static readonly byte[][] TypeBytes = [.. Types.Select(Encoding.UTF8.GetBytes)];

    /// <summary>The name of a tag.</summary>
    public static string Tag(int number) => string.Create(CultureInfo.InvariantCulture, $"k:{number}");

    public static EventLabel Label(ReadOnlySpan<byte> e)
    {
        var (type, tag) = (-1, -1);
        while (Next(ref e, out var field, out var value))
        {
            if (field == FieldType)
            {
                type = value.SequenceEqual(TypeBytes[0]) ? 0 : value.SequenceEqual(TypeBytes[1]) ? 1 : -1;
            }
            else if (field == FieldTag && value.StartsWith("k:"u8))
            {
                tag = int.Parse(value[2..], CultureInfo.InvariantCulture);
            }
        }

        return new EventLabel(type, tag);
    }

    /// <summary>What an event of <c>$streams</c> does: to a stream, to the rules, or to what was deleted.</summary>
    public static (CommittedChange? Change, SentRule? Rule, ScavengeChange? Scavenge) OfSystem(ReadOnlySpan<byte> e)
    {
        var type = "";
        byte[] data = [];
        while (Next(ref e, out var field, out var value))
        {
            type = field == FieldType ? Encoding.UTF8.GetString(value) : type;
            data = field == FieldData ? value.ToArray() : data;
        }

        using var json = JsonDocument.Parse(data);
        if (type is "$retention-set" or "$retention-removed")
        {
            return (null, Rule(json.RootElement), null);
        }

        if (type is "$scavenge-started" or "$scavenge-stopped")
        {
            return (null, null, type == "$scavenge-started" ? ScavengeChange.Start : ScavengeChange.Stop);
        }

        var kind = type switch
        {
            "$stream-deleted" => ChangeKind.Delete,
            "$stream-tombstoned" => ChangeKind.Tombstone,
            "$stream-truncated" => ChangeKind.Truncate,
            _ => throw new ViolationException(Rules.OnlyWhatWasSent, $"an event of $streams has the type {type}."),
        };
        return (new CommittedChange(kind, json.RootElement.GetProperty("stream").GetString()!, json.RootElement.GetProperty("before").GetInt64()), null, null);
    }

    private static SentRule Rule(JsonElement rule)
    {
        var isCategory = rule.TryGetProperty("category", out var category);
        return new SentRule(
            isCategory, isCategory ? category.GetString()! : rule.GetProperty("stream").GetString()!,
            rule.TryGetProperty("maxAgeSeconds", out var age) ? age.GetInt64() : null,
            rule.TryGetProperty("maxEvents", out var events) ? events.GetInt64() : null,
            rule.TryGetProperty("forever", out var forever) && forever.GetBoolean(),
            rule.TryGetProperty("legalHold", out var hold) && hold.GetBoolean());
    }

    // The next field that has a length; those without are passed over.
    private static bool Next(ref ReadOnlySpan<byte> e, out int field, out ReadOnlySpan<byte> value)
    {
        while (!e.IsEmpty)
        {
            var tag = Varint(ref e);
            field = (int)(tag >> 3);
            switch (tag & 7)
            {
                case 0:
                    Varint(ref e);
                    break;
                case 1:
                    e = e[sizeof(ulong)..];
                    break;
                default:
                    var length = (int)Varint(ref e);
                    value = e[..length];
                    e = e[length..];
                    return true;
            }
        }

        field = 0;
        value = default;
        return false;
    }

    private static uint Varint(ref ReadOnlySpan<byte> bytes)
    {
        var value = 0u;
        for (var shift = 0; ; shift += 7)
        {
            var b = bytes[0];
            bytes = bytes[1..];
            value |= (uint)(b & 0x7f) << shift;
            if (b < 0x80)
            {
                return value;
            }
        }
    }
}
