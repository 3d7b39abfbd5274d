using System.Text;
using System.Text.Json;

namespace EventVault.Admin;

/// <summary>A place at which two JSON values differ.</summary>
/// <param name="Path">The place, as a JSON pointer (RFC 6901); empty: the whole.</param>
/// <param name="From">What stood there; null: nothing.</param>
/// <param name="To">What stands there now; null: nothing.</param>
internal sealed record JsonChange(string Path, JsonElement? From, JsonElement? To);

/// <summary>Compares canonical JSON, in which equal values have equal texts and members come in the order of their names' bytes.</summary>
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
            Merge(path, [.. old.EnumerateObject()], [.. now.EnumerateObject()], changes);
        }
        else if (from?.GetRawText() != to?.GetRawText())
        {
            changes.Add(new JsonChange(path, from, to));
        }
    }

    // Both are in one order: a state may have tens of thousands of members, too many to look each one up.
    private static void Merge(string path, List<JsonProperty> old, List<JsonProperty> now, List<JsonChange> changes)
    {
        for (var (i, j) = (0, 0); i < old.Count || j < now.Count;)
        {
            var order = i == old.Count ? 1 : j == now.Count ? -1 : CompareNames(old[i].Name, now[j].Name);
            var name = (order <= 0 ? old[i] : now[j]).Name.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal);
            Compare($"{path}/{name}", order <= 0 ? old[i++].Value : null, order >= 0 ? now[j++].Value : null, changes);
        }
    }

    private static int CompareNames(string a, string b) => Encoding.UTF8.GetBytes(a).AsSpan().SequenceCompareTo(Encoding.UTF8.GetBytes(b));
}
