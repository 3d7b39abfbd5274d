using System.Globalization;

namespace EventVault.Node.Metrics;

/// <summary>What a metric's values mean.</summary>
internal enum MetricKind
{
    /// <summary>Only rises, from 0 at the node's start.</summary>
    Counter,

    /// <summary>Rises and falls.</summary>
    Gauge,

    /// <summary>A distribution, from the node's start.</summary>
    Histogram,
}

/// <summary>A metric of the node: its name by OpenTelemetry's conventions, and how to read it.</summary>
/// <param name="Name">With dots, without unit.</param>
/// <param name="Kind">What its values mean.</param>
/// <param name="Unit">By UCUM: <c>s</c>, <c>By</c>, or what is counted, in braces; <c>1</c> is a share.</param>
/// <param name="Help">A sentence without a full stop.</param>
/// <param name="Read">Adds what it is now. For any thread, at any time until the node is stopped; must not wait.</param>
internal sealed record Metric(string Name, MetricKind Kind, string Unit, string Help, Action<MetricValues> Read)
{
    /// <summary>Labels that its values may have; all of them have few values.</summary>
    public string[] Labels { get; init; } = [];

    /// <summary>Whether .NET says it of the process too, to whoever exports its meter <c>System.Runtime</c>.</summary>
    public bool IsOfRuntime { get; init; }

    /// <summary>As Prometheus knows it: with its unit, and <c>_total</c> if it counts.</summary>
    public string PrometheusName { get; } = PrometheusNameOf(Name, Kind, Unit);

    private static string PrometheusNameOf(string name, MetricKind kind, string unit)
    {
        var suffix = unit switch
        {
            "s" => "_seconds",
            "By" => "_bytes",
            "1" => "_ratio",
            _ => string.Empty,
        };
        var text = name.Replace('.', '_');
        return text + (text.EndsWith(suffix, StringComparison.Ordinal) ? string.Empty : suffix) + (kind == MetricKind.Counter ? "_total" : string.Empty);
    }
}

/// <summary>A label and its value.</summary>
internal readonly record struct MetricLabel(string Name, string Value);

/// <summary>A value of a metric.</summary>
/// <param name="Labels">Those of the metric, in its order.</param>
/// <param name="Value">A number; of a histogram the sum.</param>
/// <param name="Counts">Of a histogram: how many values at each bound and above all, see <see cref="Distribution.Read"/>.</param>
/// <param name="Bounds">Of a histogram: its bounds, in the metric's unit.</param>
internal sealed record MetricValue(MetricLabel[] Labels, double Value, long[]? Counts = null, double[]? Bounds = null);

/// <summary>Takes what a metric is now.</summary>
/// <param name="metric">The metric.</param>
internal sealed class MetricValues(Metric metric)
{
    private readonly List<MetricValue> _values = [];

    /// <summary>What was added.</summary>
    public IReadOnlyList<MetricValue> All => _values;

    /// <summary>Reads a metric.</summary>
    public static IReadOnlyList<MetricValue> Of(Metric metric)
    {
        var values = new MetricValues(metric);
        metric.Read(values);
        return values.All;
    }

    /// <summary>Adds a number.</summary>
    /// <param name="value">The number.</param>
    /// <param name="labels">Values of the metric's labels, in their order.</param>
    public void Add(double value, params ReadOnlySpan<string> labels) => _values.Add(new MetricValue(With(labels), value));

    /// <summary>Adds a distribution.</summary>
    /// <param name="distribution">What was recorded.</param>
    /// <param name="perUnit">How many of what was recorded make one of the metric's unit.</param>
    /// <param name="labels">Values of the metric's labels, in their order.</param>
    public void Add(Distribution distribution, double perUnit, params ReadOnlySpan<string> labels)
    {
        var (counts, sum) = distribution.Read();
        var bounds = new double[Distribution.Bounds];
        for (var i = 0; i < bounds.Length; i++)
        {
            bounds[i] = distribution.BoundOf(i) / perUnit;
        }

        _values.Add(new MetricValue(With(labels), sum / perUnit, counts, bounds));
    }

    private MetricLabel[] With(ReadOnlySpan<string> values)
    {
        Invariant.Check(values.Length == metric.Labels.Length, "A metric has the labels that its documentation names.");
        var labels = new MetricLabel[values.Length];
        for (var i = 0; i < labels.Length; i++)
        {
            labels[i] = new MetricLabel(metric.Labels[i], values[i]);
        }

        return labels;
    }

    /// <summary>Words of an enumeration as labels have them: <c>WrongExpectedVersion</c> is <c>wrong_expected_version</c>.</summary>
    public static string LabelOf(Enum value)
    {
        var text = value.ToString();
        return string.Concat(text.Select((c, i) => char.IsUpper(c) ? (i > 0 ? "_" : string.Empty) + char.ToLower(c, CultureInfo.InvariantCulture) : c.ToString()));
    }
}
