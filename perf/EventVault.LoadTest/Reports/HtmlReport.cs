using System.Net;
using System.Text;
using EventVault.LoadTest.Figures;

namespace EventVault.LoadTest.Reports;

/// <summary>A page that needs nothing but itself: styles and charts are in it, scripts there are none.</summary>
internal static class HtmlReport
{
    private const string Style = """
        body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #1c2330; background: #fff; }
        h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; border-top: 1px solid #d8dde6; padding-top: 1rem; }
        table { border-collapse: collapse; font-variant-numeric: tabular-nums; } td, th { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #e6e9ef; }
        td:first-child, th:first-child { text-align: left; } .meta, .notes { color: #5a6475; } .charts { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1rem 0; }
        .bad { color: #b3261e; font-weight: 600; } .good { color: #1b7f4b; } svg { border: 1px solid #e6e9ef; } svg text { font: 11px system-ui, sans-serif; fill: #5a6475; }
        """;

    public static string Of(RunReport report)
    {
        var html = new StringBuilder("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>EventVault load test</title>\n<style>\n");
        html.Append(Style).Append("\n</style></head><body>\n<h1>EventVault load test, ").Append($"{report.Began:yyyy-MM-dd HH:mm} UTC</h1>\n<p class=\"meta\">");
        html.Append($"commit {Text(report.Commit)}<br>{Text(report.Machine)}<br>command: {Text(report.Command)}<br>target: {Text(report.Target)}</p>\n");
        html.Append("<p class=\"meta\">Latencies count from the intended start of each iteration.</p>\n");
        foreach (var result in report.Scenarios)
        {
            Scenario(html, result);
        }

        return html.Append("</body></html>\n").ToString();
    }

    private static void Scenario(StringBuilder html, ScenarioResult result)
    {
        html.Append($"<h2>{Text(result.Name)}</h2>\n<p>{Text(result.Description)}</p>\n<p class=\"meta\">{Text(string.Join(", then ", result.Loads))} · ");
        html.Append($"<span class=\"{(result.Generator.Valid ? "good" : "bad")}\">{Text(Figure.Validity(result))}</span></p>\n<table><tr>");
        foreach (var column in Figure.Columns)
        {
            html.Append($"<th>{Text(column)}</th>");
        }

        html.Append("</tr>\n");
        foreach (var step in result.Steps)
        {
            html.Append("<tr>").AppendJoin("", Figure.Row(result, step).Select(c => $"<td>{Text(c)}</td>")).Append("</tr>\n");
        }

        html.Append("</table>\n<div class=\"charts\">\n");
        var steps = result.Steps.Where(s => s.Ok + s.Failed > 0).ToList();
        html.Append(new SvgChart("answers a second", "s", "/s")
        {
            Lines = [.. steps.Select(s => new ChartLine(s.Name, Points(s, p => p.OkPerSecond))), .. steps.Where(s => s.Failed > 0).Select(s => new ChartLine(s.Name + ", failed", Points(s, p => p.FailedPerSecond)))],
        });
        html.Append(new SvgChart("latency over time", "s", "µs")
        {
            LogarithmicY = true,
            Lines = [.. steps.SelectMany(s => new[] { new ChartLine(s.Name + " p50", Points(s, p => p.P50)), new ChartLine(s.Name + " p99", Points(s, p => p.P99)) })],
        });
        html.Append(new SvgChart("latency by percentile", "", "µs")
        {
            LogarithmicY = true,
            Percentiles = true,
            Lines = [.. steps.Select(s => new ChartLine(s.Name, [.. s.Distribution.Select(d => (d.Percent, d.Microseconds))]))],
        });
        html.Append("</div>\n<ul class=\"notes\">\n");
        foreach (var note in Figure.Notes(result))
        {
            html.Append($"<li>{(note.StartsWith("BROKEN", StringComparison.Ordinal) ? $"<span class=\"bad\">{Text(note)}</span>" : Text(note))}</li>\n");
        }

        html.Append("</ul>\n");
    }

    private static IReadOnlyList<(double X, double Y)> Points(StepResult step, Func<SeriesPoint, double> value) => [.. step.Series.Select(p => (p.AtSeconds, value(p)))];

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}
