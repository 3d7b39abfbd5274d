using System.Text;
using System.Text.Json;
using EventVault.LoadTest.Figures;

namespace EventVault.LoadTest.Reports;

/// <summary>The reports that are text: console, Markdown, JSON.</summary>
internal static class TextReports
{
    private static readonly JsonSerializerOptions JsonOptions = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    /// <summary>One scenario as a table of fixed width.</summary>
    public static string Console(ScenarioResult result)
    {
        var rows = result.Steps.Select(s => Figure.Row(result, s)).Prepend(Figure.Columns).ToList();
        var widths = Figure.Columns.Select((_, i) => rows.Max(r => r[i].Length)).ToArray();
        var text = new StringBuilder().AppendLine().AppendLine($"{result.Name}: {result.Description}").AppendLine($"  {string.Join(", then ", result.Loads)}; {Figure.Validity(result)}");
        foreach (var row in rows)
        {
            text.Append("  ").AppendJoin("  ", row.Select((cell, i) => i == 0 ? cell.PadRight(widths[i]) : cell.PadLeft(widths[i]))).AppendLine();
        }

        foreach (var note in Figure.Notes(result))
        {
            text.AppendLine("  " + note);
        }

        return text.ToString();
    }

    public static string Markdown(RunReport report)
    {
        var text = new StringBuilder().AppendLine($"# Load test, {report.Began:yyyy-MM-dd HH:mm} UTC").AppendLine();
        text.AppendLine($"- commit: {(report.Commit.Length > 0 ? report.Commit : "not known")}").AppendLine($"- machine: {report.Machine}");
        text.AppendLine($"- command: `{report.Command}`").AppendLine($"- target: {report.Target}").AppendLine();
        text.AppendLine($"Latencies in microseconds from the intended start, within {LatencyHistogram.RelativeError * 100:0.0} %. A run is invalid if the generator itself fell behind: p99 of its lag above {GeneratorResult.MostLag.TotalMilliseconds:0} ms, or starts left out.");
        foreach (var result in report.Scenarios)
        {
            text.AppendLine().AppendLine($"## {result.Name}").AppendLine().AppendLine(result.Description).AppendLine();
            text.AppendLine($"Load: {string.Join(", then ", result.Loads)}. Run: **{Figure.Validity(result)}**.").AppendLine();
            Row(text, Figure.Columns);
            Row(text, [.. Figure.Columns.Select((_, i) => i == 0 ? "---" : "---:")]);
            foreach (var step in result.Steps)
            {
                Row(text, Figure.Row(result, step));
            }

            text.AppendLine();
            foreach (var note in Figure.Notes(result))
            {
                text.AppendLine("- " + note);
            }
        }

        return text.ToString();
    }

    public static string Json(RunReport report) => JsonSerializer.Serialize(report, JsonOptions);

    private static void Row(StringBuilder text, string[] cells) => text.Append("| ").AppendJoin(" | ", cells.Select(c => c.Replace("|", "\\|", StringComparison.Ordinal))).AppendLine(" |");
}
