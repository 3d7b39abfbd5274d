// Metrics and spans by OTLP, with OpenTelemetry's SDK; histograms beside it (HistogramExport). Only these two files know of it: without an endpoint none of it is
// loaded.
using System.Diagnostics.Metrics;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace EventVault.Node.Metrics;

/// <summary>Exports what a node says of itself, until it is disposed; then what is left is sent.</summary>
internal sealed class OtlpExport : IAsyncDisposable
{
    /// <summary>Name of the node's meter.</summary>
    public const string MeterName = "EventVault.Node";

    /// <summary>Between two exports, as OpenTelemetry's specification has it.</summary>
    private const int DefaultIntervalMs = 60_000;

    /// <summary>How long the last export may take when the node stops: a collector that is away must not hold it up.</summary>
    private const int LastExportMs = 1000;

    private readonly Meter _meter = new(MeterName);
    private readonly HistogramExport _histograms;
    private readonly MeterProvider _metrics;
    private readonly TracerProvider _spans;

    /// <param name="endpoint">Where the collector listens; with <c>OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf</c> without the signal's path.</param>
    /// <param name="instance">Which node of which vault.</param>
    /// <param name="version">Of the program.</param>
    /// <param name="metrics">The node's.</param>
    /// <param name="log">Told when exports fail.</param>
    /// <exception cref="Exception">Of whatever kind: the SDK can't take a variable.</exception>
    public OtlpExport(Uri endpoint, string instance, string version, IReadOnlyList<Metric> metrics, ILogger log)
    {
        AddInstruments(metrics);

        // What the environment says comes last, and so counts.
        var resource = ResourceBuilder.CreateEmpty().AddTelemetrySdk().AddService("eventvault", serviceVersion: version, serviceInstanceId: instance).AddEnvironmentVariableDetector();
        OtlpExporterOptions ofMetrics = null!; // The SDK makes them, from the variables, while it builds.
        MetricReaderOptions reading = null!;
        try
        {
            _spans = Sdk.CreateTracerProviderBuilder().SetResourceBuilder(resource).AddSource(Tracing.SourceName)
                .AddOtlpExporter(options => options.Endpoint = At(endpoint, options, "v1/traces")).Build();
            _metrics = Sdk.CreateMeterProviderBuilder().SetResourceBuilder(resource).AddMeter(MeterName).AddMeter("System.Runtime").AddOtlpExporter((options, reader) =>
            {
                options.Endpoint = At(endpoint, options, "v1/metrics");
                (ofMetrics, reading) = (options, reader);
            }).Build();
            var interval = TimeSpan.FromMilliseconds(reading.PeriodicExportingMetricReaderOptions.ExportIntervalMilliseconds ?? DefaultIntervalMs);
            _histograms = new HistogramExport(ofMetrics, interval, resource.Build(), metrics.Where(static m => m.Kind == MetricKind.Histogram), log);
        }
        catch
        {
            // Half of it would read the node behind its end.
            _metrics?.Dispose();
            _spans?.Dispose();
            _meter.Dispose();
            throw;
        }
    }

    /// <summary>Sends what is left, and ends.</summary>
    public async ValueTask DisposeAsync()
    {
        await _histograms.StopAsync(TimeSpan.FromMilliseconds(LastExportMs));
        _histograms.Dispose();
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
    }

    private static IEnumerable<Measurement<double>> Observe(Metric metric) => MetricValues.Of(metric).Select(value => new Measurement<double>(value.Value, TagsOf(value)));

    private static KeyValuePair<string, object?>[] TagsOf(MetricValue value) => [.. value.Labels.Select(static l => new KeyValuePair<string, object?>(l.Name, l.Value))];
}
