using System.Globalization;
using System.Text;
using EventVault.LoadTest.Reports;

namespace EventVault.Benchmarks;

/// <summary>Tables and plots of the growth benchmark, and whether its lines are flat: by a fit, not by eye.</summary>
internal static class GrowthReport
{
    public const string AppendP50 = "append p50, µs";
    public const string AppendP99 = "append p99, µs";
    public const string AppendCpu = "append, ns of processor time";
    public const string ColdAppendP50 = "append p50, cold page cache, µs";
    public const string ReadP50 = "read of 100 interleaved events p50, µs";
    public const string ReadP99 = "read of 100 interleaved events p99, µs";
    public const string SpreadP50 = "read of 100 events over all segments p50, µs";
    public const string StateP50 = "state as of a moment p50, µs";
    public const string StateP99 = "state as of a moment p99, µs";
    public const string StartStopped = "serves after a clean stop, ms";
    public const string StartKilled = "serves after kill −9, ms";
    public const string Memory = "memory at rest, MiB";

    /// <summary>What grows by less than this for ten times as many is called flat: over two powers of ten that is a third.</summary>
    private const double FlatPerTenfold = 1.15;

    private static readonly string[] Measures = [AppendP50, AppendP99, AppendCpu, ColdAppendP50, ReadP50, ReadP99, SpreadP50, StateP50, StateP99, StartStopped, StartKilled, Memory];

    public static void Write(Report report, List<GrowthFigures> cells, uint segmentSizeBytes, int rounds)
    {
        report.Section(
            "Growth",
            $"Vaults of segments of {segmentSizeBytes / 1048576.0:0.#} MiB, events of 16 B; cells of more streams than events are left out. Appends: of 256 B to random streams, 16 in flight, in process, the files of the index read once before; processor time is that of the whole process. With a cold page cache: the first 1,600 of them behind a start, no file of the vault in the page cache before. Reads: streams of 100 events, one in each 100 positions, anywhere in the vault; and streams whose events lie over all of it. States: of the first kind, as of the time of a random event. One thread and a warm page cache. Starts: the node as a process, from exec to the line that it serves; memory after 10 s without a call. Medians of {rounds}.");
        report.Head(["segments", "streams", "events", "load", .. Measures]);
        foreach (var cell in cells)
        {
            report.Row([$"{cell.Segments}", $"{cell.Streams:#,0}", $"{cell.Events:#,0}", cell.Load.Split(' ')[0], .. Measures.Select(m => Report.Figure(cell.Values[m]))]);
        }

        report.Line("");
        report.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"Fit: value = a · segments^b · streams^c by least squares of the logarithms over all cells. Flat: less than {FlatPerTenfold:0.00} times for ten times as many, in both. Range: the largest of the cells to the smallest.\n"));
        report.Head("measure", "for ten times the segments", "for ten times the streams", "range", "");
        foreach (var measure in Measures)
        {
            var (segments, streams) = PerTenfold(cells, measure);
            report.Row(
                measure, Report.Ratio(segments), Report.Ratio(streams), Report.Ratio(cells.Max(c => c.Values[measure]) / cells.Min(c => c.Values[measure])),
                double.IsNaN(segments + streams) ? "too few cells" : segments < FlatPerTenfold && streams < FlatPerTenfold ? "flat" : "**grows**");
        }
    }

    /// <summary>All plots in one file: segments across, a line for each number of streams.</summary>
    public static string Plot(List<GrowthFigures> cells)
    {
        const int Columns = 2;
        const int Width = 540;
        const int Height = 290;
        var rows = (Measures.Length + Columns - 1) / Columns;
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Columns * Width}\" height=\"{rows * Height}\" font-family=\"sans-serif\" font-size=\"11\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
        for (var i = 0; i < Measures.Length; i++)
        {
            var measure = Measures[i];
            var unit = measure[(measure.LastIndexOf(", ", StringComparison.Ordinal) + 2)..].Split(' ')[0];
            var chart = new SvgChart(measure, "segments", unit)
            {
                LogarithmicX = true,
                Lines = [.. cells.GroupBy(c => c.Streams).Select(g => new ChartLine($"{g.Key:#,0} streams", [.. g.Select(c => ((double)c.Segments, c.Values[measure]))]))],
            };
            svg.Append(CultureInfo.InvariantCulture, $"<g transform=\"translate({i % Columns * Width},{i / Columns * Height})\">{chart}</g>\n");
        }

        return svg.Append("</svg>\n").ToString();
    }

    // Normal equations of log v = a + b · log segments + c · log streams, by Cramer's rule; NaN if the cells don't tell the two apart.
    private static (double Segments, double Streams) PerTenfold(List<GrowthFigures> cells, string measure)
    {
        var points = cells.Select(c => (X: Math.Log10(c.Segments), Y: Math.Log10(c.Streams), V: Math.Log10(c.Values[measure]))).ToList();
        double Mean(Func<(double X, double Y, double V), double> of) => points.Average(of);
        var (mx, my, mv) = (Mean(p => p.X), Mean(p => p.Y), Mean(p => p.V));
        var (xx, yy, xy) = (Mean(p => (p.X - mx) * (p.X - mx)), Mean(p => (p.Y - my) * (p.Y - my)), Mean(p => (p.X - mx) * (p.Y - my)));
        var (xv, yv) = (Mean(p => (p.X - mx) * (p.V - mv)), Mean(p => (p.Y - my) * (p.V - mv)));
        var determinant = (xx * yy) - (xy * xy);
        return determinant < 1e-9 ? (double.NaN, double.NaN)
            : (Math.Pow(10, ((xv * yy) - (yv * xy)) / determinant), Math.Pow(10, ((yv * xx) - (xv * xy)) / determinant));
    }
}
