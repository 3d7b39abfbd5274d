using System.Diagnostics;
using System.Text;
using EventVault.LoadTest.Reports;

namespace EventVault.Peers;

/// <summary>What a run gave, as Markdown: one table of everything side by side, then all figures of each case.</summary>
internal sealed class PeerReport(IReadOnlyList<IPeer> peers, IReadOnlyDictionary<string, string> skipped, IReadOnlyList<Row> rows, string ours)
{
    private const string NotValid = " (!)";

    // Where it matters whether an acknowledgement is durable.
    private static readonly string[] Appending = ["W1", "W2", "W3", "W6 live"];

    public string ToMarkdown(string began, string machine, string command)
    {
        var text = new StringBuilder($"# EventVault beside its peers, {began}\n\n");
        text.Append($"- commit: {RunReport.ThisCommit()}\n- machine: {machine}\n- command: `{command}`\n\n");
        text.Append("Each peer as its experts would set it up, with the same workloads, in one run, client and server on the same cores; medians, with the\nsmallest and the largest where there are several repetitions. ");
        text.Append($"The ratio is ours to the best peer of that row, of the durable ones where something is appended; better is above 1.\n{NotValid.Trim()}: the generator fell behind in a repetition.\n\n");
        SideBySide(text);
        text.Append("\n## Set-ups\n\n");
        foreach (var peer in peers)
        {
            text.Append($"- {peer.Name}{(peer.IsDurable ? "" : " (not durable)")}: {peer.SetUp}{(peer.Program is { } program ? "; " + VersionOf(program) : "")}\n");
        }

        foreach (var (name, why) in skipped)
        {
            text.Append($"- not measured: {name}, {why}\n");
        }

        foreach (var workload in rows.GroupBy(r => r.Workload).OrderBy(g => g.Key, StringComparer.Ordinal))
        {
            text.Append($"\n## {workload.Key}\n");
            foreach (var one in workload.GroupBy(r => r.Case))
            {
                Details(text, one.Key, [.. one]);
            }
        }

        return text.ToString();
    }

    private void SideBySide(StringBuilder text)
    {
        Line(text, ["case", "unit", .. peers.Select(p => p.Name + (p.IsDurable ? "" : " (not durable)")), "ratio"]);
        Line(text, [.. Enumerable.Repeat("---", peers.Count + 3)]);
        foreach (var one in rows.Where(r => r.Peer != "disk").GroupBy(r => (r.Workload, r.Case)).OrderBy(g => g.Key.Workload, StringComparer.Ordinal))
        {
            var sample = one.First();
            Line(text, [$"{one.Key.Workload}: {one.Key.Case}", sample.Unit, .. peers.Select(p => Cell([.. one.Where(r => r.Peer == p.Name)])), Ratio([.. one], sample.MoreIsBetter)]);
        }

        foreach (var row in rows.Where(r => r.Peer == "disk").GroupBy(r => r.Case))
        {
            text.Append($"\nThe disk: {row.Key}: {Figure.Of(Median([.. row], row.First().Unit))} a second, p50 {Figure.Of(Median([.. row], "p50 µs"))} µs.\n");
        }
    }

    private static string Cell(IReadOnlyList<Row> mine)
    {
        if (mine.Count == 0)
        {
            return "–";
        }

        var values = mine.Select(r => r.Figures[r.Unit]).Order().ToList();
        var range = values.Count > 1 ? $" ({Figure.Of(values[0])} to {Figure.Of(values[^1])})" : "";
        return Figure.Of(Median(mine, mine[0].Unit)) + range + (mine.All(r => r.Valid) ? "" : NotValid);
    }

    private string Ratio(IReadOnlyList<Row> all, bool moreIsBetter)
    {
        var appends = Appending.Any(w => all[0].Workload.StartsWith(w, StringComparison.Ordinal));
        var rivals = peers.Where(p => (p.IsDurable || !appends) && !p.Name.StartsWith(ours, StringComparison.Ordinal)).Select(p => p.Name).ToHashSet();
        var best = all.Where(r => rivals.Contains(r.Peer)).GroupBy(r => r.Peer).Select(g => (Name: g.Key, Value: Median([.. g], g.First().Unit))).OrderBy(p => moreIsBetter ? -p.Value : p.Value).FirstOrDefault();
        var mine = all.Where(r => r.Peer == ours).ToList();
        if (best.Name is null || mine.Count == 0)
        {
            return "–";
        }

        var value = Median(mine, mine[0].Unit);
        return $"**{(moreIsBetter ? value / best.Value : best.Value / value):0.00} ×** {best.Name}";
    }

    private void Details(StringBuilder text, string name, IReadOnlyList<Row> all)
    {
        var figures = all.SelectMany(r => r.Figures.Keys).Distinct().ToList();
        text.Append($"\n{name}\n\n");
        Line(text, ["", "n", .. figures]);
        Line(text, [.. Enumerable.Repeat("---", figures.Count + 2)]);
        foreach (var peer in peers.Select(p => p.Name).Append("disk"))
        {
            var mine = all.Where(r => r.Peer == peer).ToList();
            if (mine.Count > 0)
            {
                Line(text, [peer + (mine.All(r => r.Valid) ? "" : NotValid), $"{mine.Count}", .. figures.Select(f => Figure.Of(Median(mine, f)))]);
            }
        }
    }

    private static double Median(IReadOnlyList<Row> mine, string figure)
    {
        var values = mine.Where(r => r.Figures.ContainsKey(figure)).Select(r => r.Figures[figure]).Order().ToList();
        return values.Count == 0 ? double.NaN : (values[(values.Count - 1) / 2] + values[values.Count / 2]) / 2;
    }

    private static void Line(StringBuilder text, string[] cells) => text.Append("| ").AppendJoin(" | ", cells).Append(" |\n");

    private static string VersionOf(string program)
    {
        using var process = Process.Start(new ProcessStartInfo(program, ["--version"]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var line = process.StandardOutput.ReadLine() ?? "";
        process.WaitForExit();
        return line.Trim();
    }
}
