using System.Globalization;
using System.Net;
using System.Text;

namespace EventVault.LoadTest.Reports;

/// <summary>A line and its name. Points with a y of zero or less are left out where y is logarithmic.</summary>
internal sealed record ChartLine(string Name, IReadOnlyList<(double X, double Y)> Points);

/// <summary>Lines in a frame with axes, as one SVG element.</summary>
/// <param name="title">What it shows.</param>
/// <param name="unitX">Behind the numbers of the x axis.</param>
/// <param name="unitY">Behind the numbers of the y axis.</param>
internal sealed class SvgChart(string title, string unitX, string unitY)
{
    private const int Width = 520;
    private const int Left = 76;
    private const int Right = 16;
    private const int Top = 30;
    private const int FrameBottom = 200;
    private static readonly string[] Colours = ["#3056d3", "#d9480f", "#1b7f4b", "#8a3ffc", "#b3261e", "#0b7285", "#9c6f00", "#5a6475"];
    private static readonly double[] PercentileMarks = [1, 50, 90, 99, 99.9, 99.99, 99.999];

    public required IReadOnlyList<ChartLine> Lines { get; init; }

    public bool LogarithmicY { get; init; }

    /// <summary>Marks at powers of ten; every x is above zero.</summary>
    public bool LogarithmicX { get; init; }

    /// <summary>Whether x is a percentile, drawn by the nines: 90, 99, 99.9 equally far apart.</summary>
    public bool Percentiles { get; init; }

    private int Height => FrameBottom + 44 + ((Lines.Count + 1) / 2 * 14);

    public override string ToString()
    {
        var points = Lines.SelectMany(l => l.Points).Where(Drawn).ToList();
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg width=\"{Width}\" height=\"{Height}\" viewBox=\"0 0 {Width} {Height}\" role=\"img\"><title>{Text(title)}</title><text x=\"{Left}\" y=\"18\" style=\"font-weight:600\">{Text(title)}</text>\n");
        if (points.Count == 0)
        {
            return svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left}\" y=\"{FrameBottom / 2}\">nothing to show</text></svg>\n").ToString();
        }

        var (lowX, highX) = Range(points.Select(p => AcrossOf(p.X)));
        var (lowY, highY) = LogarithmicY
            ? Range([Math.Floor(points.Min(p => Math.Log10(p.Y))), Math.Ceiling(points.Max(p => Math.Log10(p.Y)))])
            : Range([0, points.Max(p => p.Y) * 1.05]);
        double X(double x) => Left + ((AcrossOf(x) - lowX) / (highX - lowX) * (Width - Left - Right));
        double Y(double y) => FrameBottom - (((LogarithmicY ? Math.Log10(y) : y) - lowY) / (highY - lowY) * (FrameBottom - Top));

        foreach (var y in LogarithmicY ? Powers(lowY, highY) : Even(highY))
        {
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Y(y):0.#}\" y2=\"{Y(y):0.#}\" stroke=\"#e6e9ef\"/><text x=\"{Left - 6}\" y=\"{Y(y) + 4:0.#}\" text-anchor=\"end\">{Text(Figure.Of(y))} {Text(unitY)}</text>\n");
        }

        foreach (var x in Percentiles ? PercentileMarks.Where(p => AcrossOf(p) <= highX) : LogarithmicX ? Powers(Math.Ceiling(lowX), highX) : Even(highX))
        {
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{X(x):0.#}\" y=\"{FrameBottom + 16}\" text-anchor=\"middle\">{Text(MarkOf(x))}</text>\n");
        }

        for (var i = 0; i < Lines.Count; i++)
        {
            Line(svg, i, X, Y);
        }

        return svg.Append("</svg>\n").ToString();
    }

    private void Line(StringBuilder svg, int index, Func<double, double> x, Func<double, double> y)
    {
        var (line, colour) = (Lines[index], Colours[index % Colours.Length]);
        var drawn = line.Points.Where(Drawn).ToList();
        svg.Append(CultureInfo.InvariantCulture, $"<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" points=\"");
        svg.AppendJoin(' ', drawn.Select(p => string.Create(CultureInfo.InvariantCulture, $"{x(p.X):0.#},{y(p.Y):0.#}"))).Append("\"/>\n");
        foreach (var p in drawn)
        {
            var at = MarkOf(p.X);
            svg.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{x(p.X):0.#}\" cy=\"{y(p.Y):0.#}\" r=\"2\" fill=\"{colour}\"><title>{Text($"{line.Name}, {at}: {Figure.Of(p.Y)} {unitY}")}</title></circle>\n");
        }

        // The key: two columns below the frame.
        var (keyX, keyY) = (Left + (index % 2 * 220), FrameBottom + 36 + (index / 2 * 14));
        svg.Append(CultureInfo.InvariantCulture, $"<rect x=\"{keyX}\" y=\"{keyY - 8}\" width=\"10\" height=\"8\" fill=\"{colour}\"/><text x=\"{keyX + 15}\" y=\"{keyY}\">{Text(line.Name)}</text>\n");
    }

    private string MarkOf(double x) => Percentiles ? "p" + x.ToString(CultureInfo.InvariantCulture)
        : $"{(LogarithmicX ? x.ToString("#,0.###", CultureInfo.InvariantCulture) : Figure.Of(x))} {unitX}";

    private bool Drawn((double X, double Y) point) => !LogarithmicY || point.Y > 0;

    private double AcrossOf(double x) => Percentiles ? -Math.Log10(1 - (x / 100)) : LogarithmicX ? Math.Log10(x) : x;

    private static (double Low, double High) Range(IEnumerable<double> values)
    {
        var (low, high) = (values.Min(), values.Max());
        return high > low ? (low, high) : (low, low + 1);
    }

    // 1, 2 or 5 times a power of ten, so that there are about five.
    private static IEnumerable<double> Even(double high)
    {
        var power = Math.Pow(10, Math.Floor(Math.Log10(high / 5)));
        var step = high / 5 / power > 5 ? 10 * power : high / 5 / power > 2 ? 5 * power : high / 5 / power > 1 ? 2 * power : power;
        for (var i = 0; i * step <= high; i++)
        {
            yield return i * step;
        }
    }

    private static IEnumerable<double> Powers(double low, double high)
    {
        for (var power = low; power <= high; power++)
        {
            yield return Math.Pow(10, power);
        }
    }

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}
