using System.Text.Json;

namespace EventVault.Admin.History;

/// <summary>An import that stopped on its way. What it had written stays, and a repeat goes on behind it.</summary>
internal sealed class ImportException : Exception
{
    /// <param name="message">What stopped it.</param>
    /// <param name="cause">How that showed.</param>
    /// <param name="done">How far it came.</param>
    /// <param name="line">The line concerned; null: unknown.</param>
    /// <param name="field">The field concerned; null: unknown.</param>
    public ImportException(string message, Exception cause, ImportFigures done, long? line, string? field)
        : base($"{message} In the vault so far, at least: {Commands.Rows.Count(done.Appends, "append")} with {Commands.Rows.Count(done.Events, "event")}. Once this is put right, import the same file again: nothing is added twice.", cause)
    {
        Done = done;
        Line = line;
        Field = field;
    }

    /// <summary>How far it came.</summary>
    public ImportFigures Done { get; }

    /// <summary>The line concerned; null: unknown.</summary>
    public long? Line { get; }

    /// <summary>The field concerned; null: unknown.</summary>
    public string? Field { get; }

    /// <summary>Writes what a script may want to know.</summary>
    /// <param name="w">Where to.</param>
    public void WriteDetails(Utf8JsonWriter w)
    {
        if (Line is { } line)
        {
            w.WriteNumber("line", line);
        }

        if (Field is { } field)
        {
            w.WriteString("field", field);
        }

        Done.Write(w);
    }
}
