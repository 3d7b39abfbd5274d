using System.Globalization;
using System.Text;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary>One event on one line: JSON, or the most telling of it for people.</summary>
internal static class EventLine
{
    /// <summary>What is left of a wide terminal's line behind stream, version and type.</summary>
    private const int MaxDataCharacters = 120;

    /// <summary>Writes the event in the form that was asked for.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="e">The event.</param>
    public static void Write(Output output, RecordedEvent e)
    {
        if (output.Json)
        {
            output.WriteEvent(e);
            return;
        }

        var tags = e.Tags.Count == 0 ? "" : $" [{string.Join(", ", e.Tags)}]";
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{e.Position,9}  {JsonText.Time(e.OccurredAt ?? e.RecordedAt)}  {e.Stream} @{e.Version}  {e.Type}{tags}  {DataOf(e)}"));
    }

    private static string DataOf(RecordedEvent e)
    {
        if (!e.IsJson || !JsonText.IsJson(e.Data.Span))
        {
            return $"({e.ContentType}, {e.Data.Length} bytes)";
        }

        var text = Encoding.UTF8.GetString(JsonText.Compact(e.Data).Span);
        return text.Length <= MaxDataCharacters ? text : string.Concat(text.AsSpan(0, MaxDataCharacters - 1), "…");
    }
}
