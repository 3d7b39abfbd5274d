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

    /// <summary>
    /// Says so if what was removed was never there. No error, as a removal may be repeated; but perhaps its name is mistyped, and whoever was to go still gets in.
    /// </summary>
    public static void NoteUnknown(string kind, string name, IReadOnlyList<string> known)
    {
        if (!known.Contains(name))
        {
            Output.Note($"vault-admin: There was no {kind} '{name}', so nothing was changed. Those that there are: {Text(known)}.");
        }
    }
}
