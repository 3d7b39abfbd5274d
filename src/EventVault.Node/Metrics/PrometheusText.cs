// The text that Prometheus scrapes: its own form 0.0.4, and OpenMetrics 1.0 for whoever asks for that.
// https://prometheus.io/docs/instrumenting/exposition_formats/ and https://prometheus.io/docs/specs/om/open_metrics_spec/
using System.Globalization;
using System.Text;

namespace EventVault.Node.Metrics;

/// <summary>Writes metrics as text.</summary>
internal static class PrometheusText
{
    /// <summary>Content type of Prometheus' own form.</summary>
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    /// <summary>Content type of OpenMetrics.</summary>
    public const string OpenMetricsContentType = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    private const string Total = "_total";

    /// <summary>Writes metrics that have values now.</summary>
    /// <param name="metrics">The metrics.</param>
    /// <param name="openMetrics">In OpenMetrics' form, where counters are named without <c>_total</c> above their values.</param>
    public static string Write(IEnumerable<Metric> metrics, bool openMetrics)
    {
        var text = new StringBuilder();
        foreach (var metric in metrics)
        {
            var values = MetricValues.Of(metric);
            if (values.Count == 0)
            {
                continue;
            }

            var name = metric.PrometheusName;
            var family = openMetrics && metric.Kind == MetricKind.Counter ? name[..^Total.Length] : name;
            text.Append("# HELP ").Append(family).Append(' ').Append(Escape(metric.Help, quotes: openMetrics)).Append('\n');
            text.Append("# TYPE ").Append(family).Append(' ').Append(TypeOf(metric.Kind)).Append('\n');
            if (openMetrics && UnitOf(metric.Unit) is { } unit && family.EndsWith(unit, StringComparison.Ordinal))
            {
                text.Append("# UNIT ").Append(family).Append(' ').Append(unit).Append('\n');
            }

            foreach (var value in values)
            {
                Write(text, name, value);
            }
        }

        return openMetrics ? text.Append("# EOF\n").ToString() : text.ToString();
    }

    private static void Write(StringBuilder text, string name, MetricValue value)
    {
        if (value.Counts is not { } counts)
        {
            Write(text, name, value.Labels, bound: null, value.Value);
            return;
        }

        var upTo = 0L;
        for (var i = 0; i < value.Bounds!.Length; i++)
        {
            upTo += counts[i];
            Write(text, name + "_bucket", value.Labels, Number(value.Bounds[i]), upTo);
        }

        upTo += counts[^1];
        Write(text, name + "_bucket", value.Labels, "+Inf", upTo);
        Write(text, name + "_sum", value.Labels, bound: null, value.Value);
        Write(text, name + "_count", value.Labels, bound: null, upTo);
    }

    private static void Write(StringBuilder text, string name, MetricLabel[] labels, string? bound, double value)
    {
        text.Append(name);
        if (labels.Length > 0 || bound is not null)
        {
            var separator = '{';
            foreach (var label in labels)
            {
                text.Append(separator).Append(label.Name).Append("=\"").Append(Escape(label.Value, quotes: true)).Append('"');
                separator = ',';
            }

            if (bound is not null)
            {
                text.Append(separator).Append("le=\"").Append(bound).Append('"');
            }

            text.Append('}');
        }

        text.Append(' ').Append(Number(value)).Append('\n');
    }

    private static string Number(double value) =>
        double.IsPositiveInfinity(value) ? "+Inf" : double.IsNegativeInfinity(value) ? "-Inf" : value.ToString("R", CultureInfo.InvariantCulture);

    private static string Escape(string text, bool quotes)
    {
        text = text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);
        return quotes ? text.Replace("\"", "\\\"", StringComparison.Ordinal) : text;
    }

    private static string TypeOf(MetricKind kind) => kind switch
    {
        MetricKind.Counter => "counter",
        MetricKind.Gauge => "gauge",
        _ => "histogram",
    };

    private static string? UnitOf(string unit) => unit switch
    {
        "s" => "seconds",
        "By" => "bytes",
        "1" => "ratio",
        _ => null,
    };
}
