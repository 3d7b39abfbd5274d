// Metrics and spans by OTLP, with OpenTelemetry's SDK. The only file that knows of it: without an endpoint none of it is loaded.
using System.Diagnostics.Metrics;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace EventVault.Node.Metrics;

/// <summary>Exports what a node says of itself, until it is disposed; then what is left is sent.</summary>
internal sealed class OtlpExport : IDisposable
{
    /// <summary>Name of the node's meter.</summary>
    public const string MeterName = "EventVault.Node";

    /// <summary>How long the last export may take when the node stops: a collector that is away must not hold it up.</summary>
    private const int LastExportMs = 1000;

    private readonly Meter _meter = new(MeterName);
    private readonly List<Replay> _replays = [];
    private readonly MeterProvider _metrics;
    private readonly TracerProvider _spans;

    /// <param name="endpoint">Where the collector listens; with <c>OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf</c> without the signal's path.</param>
    /// <param name="instance">Which node of which vault.</param>
    /// <param name="version">Of the program.</param>
    /// <param name="metrics">The node's.</param>
    public OtlpExport(Uri endpoint, string instance, string version, IReadOnlyList<Metric> metrics)
    {
        AddInstruments(metrics);

        // What the environment says comes last, and so counts.
        var resource = ResourceBuilder.CreateEmpty().AddTelemetrySdk().AddService("eventvault", serviceVersion: version, serviceInstanceId: instance).AddEnvironmentVariableDetector();
        _metrics = Sdk.CreateMeterProviderBuilder().SetResourceBuilder(resource).AddMeter(MeterName).AddMeter("System.Runtime")
            .AddOtlpExporter(options => options.Endpoint = At(endpoint, options, "v1/metrics")).Build();
        _spans = Sdk.CreateTracerProviderBuilder().SetResourceBuilder(resource).AddSource(Tracing.SourceName)
            .AddOtlpExporter(options => options.Endpoint = At(endpoint, options, "v1/traces")).Build();
    }

    /// <summary>Sends what is left, and ends.</summary>
    public void Dispose()
    {
        _metrics.Shutdown(LastExportMs);
        _spans.Shutdown(LastExportMs);
        _metrics.Dispose();
        _spans.Dispose();
        _meter.Dispose();
    }

    private static Uri At(Uri endpoint, OtlpExporterOptions options, string path) =>
        options.Protocol == OtlpExportProtocol.HttpProtobuf ? new Uri(endpoint.AbsoluteUri.TrimEnd('/') + "/" + path) : endpoint;

    private void AddInstruments(IReadOnlyList<Metric> metrics)
    {
        foreach (var metric in metrics.Where(m => m.Kind == MetricKind.Histogram))
        {
            _replays.Add(new Replay(_meter, metric));
        }

        foreach (var metric in metrics.Where(m => m.Kind != MetricKind.Histogram && !m.IsOfRuntime))
        {
            if (metric.Kind == MetricKind.Counter)
            {
                _meter.CreateObservableCounter<double>(metric.Name, () => Observe(metric), metric.Unit, metric.Help);
            }
            else
            {
                _meter.CreateObservableGauge<double>(metric.Name, () => Observe(metric), metric.Unit, metric.Help);
            }
        }

        // All that is observed is asked for before anything is exported: so this brings the histograms up to date.
        _meter.CreateObservableGauge<int>("eventvault.export.histograms", ReplayAll, string.Empty, "Histograms that are exported");
    }

    private int ReplayAll()
    {
        foreach (var replay in _replays)
        {
            replay.Run();
        }

        return _replays.Count;
    }

    private static IEnumerable<Measurement<double>> Observe(Metric metric) => MetricValues.Of(metric).Select(value => new Measurement<double>(value.Value, TagsOf(value)));

    private static KeyValuePair<string, object?>[] TagsOf(MetricValue value) => [.. value.Labels.Select(static l => new KeyValuePair<string, object?>(l.Name, l.Value))];

    /// <summary>Records what a distribution has got since the last time once more, into an instrument of the SDK: that has no other way to take it.</summary>
    private sealed class Replay(Meter meter, Metric metric)
    {
        private readonly Dictionary<string, long[]> _seen = new(StringComparer.Ordinal);
        private Histogram<double>? _instrument;

        /// <summary>One thread at a time: the one that exports.</summary>
        public void Run()
        {
            foreach (var value in MetricValues.Of(metric))
            {
                var (counts, bounds) = (value.Counts!, value.Bounds!);
                _instrument ??= meter.CreateHistogram(metric.Name, metric.Unit, metric.Help, null, new InstrumentAdvice<double> { HistogramBucketBoundaries = bounds });
                var key = string.Join('\n', value.Labels.Select(static l => l.Value));
                if (!_seen.TryGetValue(key, out var seen))
                {
                    _seen.Add(key, seen = new long[counts.Length]);
                }

                var tags = TagsOf(value);
                for (var place = 0; place < counts.Length; place++)
                {
                    // The middle of the place; what is above all bounds has none.
                    var like = place == 0 ? bounds[0] / 2 : place < bounds.Length ? (bounds[place - 1] + bounds[place]) / 2 : 2 * bounds[^1];
                    for (; seen[place] < counts[place]; seen[place]++)
                    {
                        _instrument.Record(like, tags);
                    }
                }
            }
        }
    }
}
