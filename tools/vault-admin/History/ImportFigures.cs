using System.Text.Json;

namespace EventVault.Admin.History;

/// <summary>How far an import has come: what is known to be in the vault.</summary>
internal sealed class ImportFigures
{
    /// <summary>Batches that are in the vault, those of earlier imports included.</summary>
    public long Appends { get; set; }

    /// <summary>Their events.</summary>
    public long Events { get; set; }

    /// <summary>Batches found written already: by an earlier import, or by an attempt whose answer was lost.</summary>
    public long Deduplicated { get; set; }

    /// <summary>Highest position among them; null: none.</summary>
    public ulong? LastPosition { get; set; }

    /// <summary>Writes the fields of the result.</summary>
    /// <param name="w">Where to.</param>
    public void Write(Utf8JsonWriter w)
    {
        w.WriteNumber("appends", Appends);
        w.WriteNumber("events", Events);
        w.WriteNumber("deduplicated", Deduplicated);
        w.WriteNumberOrNull("lastPosition", LastPosition);
    }
}
