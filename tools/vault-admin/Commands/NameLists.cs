using System.Text.Json;

namespace EventVault.Admin.Commands;

/// <summary>Lists of names, in the form that was asked for.</summary>
internal static class NameLists
{
    public static string Text(IReadOnlyList<string> names) => names.Count == 0 ? "none" : string.Join(", ", names);

    public static void Write(Utf8JsonWriter w, string property, IReadOnlyList<string> names)
    {
        w.WriteStartArray(property);
        foreach (var name in names)
        {
            w.WriteStringValue(name);
        }

        w.WriteEndArray();
    }
}
