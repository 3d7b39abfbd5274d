using System.Text.Json;

namespace EventVault.Admin;

/// <summary>A place at which two JSON values differ.</summary>
/// <param name="Path">The place, as a JSON pointer (RFC 6901); empty: the whole.</param>
/// <param name="From">What stood there; null: nothing.</param>
/// <param name="To">What stands there now; null: nothing.</param>
internal sealed record JsonChange(string Path, JsonElement? From, JsonElement? To);

/// <summary>Compares canonical JSON, in which equal values have equal texts.</summary>
internal static class JsonDifference
{
    /// <summary>The places that differ, in the order of the members. Objects are compared member by member, all else whole.</summary>
    /// <param name="from">The one before; null: there was none.</param>
    /// <param name="to">The other; null: there is none.</param>
    public static IReadOnlyList<JsonChange> Between(JsonElement? from, JsonElement? to)
    {
        var changes = new List<JsonChange>();
        Compare("", from, to, changes);
        return changes;
    }

    private static void Compare(string path, JsonElement? from, JsonElement? to, List<JsonChange> changes)
    {
        if (from is { ValueKind: JsonValueKind.Object } old && to is { ValueKind: JsonValueKind.Object } now)
        {
            foreach (var name in old.EnumerateObject().Concat(now.EnumerateObject()).Select(p => p.Name).Distinct().Order(StringComparer.Ordinal))
            {
                Compare($"{path}/{name.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal)}", Member(old, name), Member(now, name), changes);
            }
        }
        else if (from?.GetRawText() != to?.GetRawText())
        {
            changes.Add(new JsonChange(path, from, to));
        }
    }

    private static JsonElement? Member(JsonElement element, string name) => element.TryGetProperty(name, out var member) ? member : null;
}
