using System.Globalization;
using System.Text;

namespace EventVault.Benchmarks;

/// <summary>Collects tables as Markdown; printed as they grow, and written to a file on demand.</summary>
internal sealed class Report
{
    private readonly StringBuilder _text = new();

    public void Section(string title, string how)
    {
        Line($"\n## {title}\n");
        Line(how + "\n");
    }

    public void Head(params string[] columns)
    {
        Row(columns);
        Row(columns.Select(_ => "---").ToArray());
    }

    public void Row(params string[] cells) => Line("| " + string.Join(" | ", cells) + " |");

    public void Line(string text)
    {
        _text.AppendLine(text);
        Console.WriteLine(text);
    }

    public override string ToString() => _text.ToString();

    /// <summary>Three significant digits, thousands apart.</summary>
    public static string Figure(double value) => double.IsNaN(value) ? "–"
        : Math.Abs(value) >= 1000 ? Math.Round(value, 0).ToString("#,0", CultureInfo.InvariantCulture)
        : value.ToString("G3", CultureInfo.InvariantCulture);

    public static string Ratio(double value) => value.ToString("0.00", CultureInfo.InvariantCulture) + " ×";
}
