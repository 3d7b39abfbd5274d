// Histograms by OTLP, as they were counted: OpenTelemetry's SDK takes single values only, and the node counts some 100,000 a second. An export is the same
// work however much was recorded since the last one. Where it goes, how often and with what is the SDK's options, which read OpenTelemetry's variables.
// The message: opentelemetry/proto/metrics/v1/metrics.proto; the calls: opentelemetry.io, "OTLP Specification".
using System.Buffers.Binary;
using System.Net;
using System.Net.Http.Headers;
using Google.Protobuf;
using OpenTelemetry.Exporter;
using OpenTelemetry.Resources;

namespace EventVault.Node.Metrics;

/// <summary>Exports the node's histograms now and then, until it is disposed. What is exported are sums from the node's start: one that is lost is in the next.</summary>
internal sealed class HistogramExport : IDisposable
{
    private const string GrpcMethod = "opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

    /// <summary>Bytes before a message of gRPC: whether it is compressed, and its length.</summary>
    private const int GrpcHeaderBytes = 5;

    private readonly OtlpExporterOptions _options;
    private readonly byte[] _resource;
    private readonly List<(string Name, string Value)> _headers;
    private readonly IReadOnlyList<Metric> _metrics;
    private readonly ILogger _log;
    private readonly HttpClient _http;
    private readonly CancellationTokenSource _stopping = new();
    private readonly ulong _begun = Now();
    private readonly Task _running;
    private bool _fails;

    /// <param name="options">Of the SDK's exporter of metrics.</param>
    /// <param name="interval">Between two exports.</param>
    /// <param name="resource">Who exports.</param>
    /// <param name="metrics">The histograms.</param>
    /// <param name="log">Told when exports begin to fail, and when one succeeds again.</param>
    /// <exception cref="ArgumentException">The options' headers are of another form than NAME=VALUE,NAME=VALUE.</exception>
    public HistogramExport(OtlpExporterOptions options, TimeSpan interval, Resource resource, IEnumerable<Metric> metrics, ILogger log)
    {
        (_options, _metrics, _log) = (options, [.. metrics], log);
        _resource = Message(bytes =>
        {
            foreach (var (name, value) in resource.Attributes)
            {
                Put(bytes, 1, Attribute(name, value.ToString() ?? string.Empty));
            }
        });
        _headers = [.. (options.Headers ?? string.Empty).Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(Header)];
        _http = options.HttpClientFactory();
        _running = RunAsync(interval);
    }

    /// <summary>Ends it, behind a last export that may take so long.</summary>
    public async Task StopAsync(TimeSpan limit)
    {
        await _stopping.CancelAsync();
        await _running;
        using var end = new CancellationTokenSource(limit);
        await ExportAsync(end.Token);
    }

    public void Dispose()
    {
        _http.Dispose();
        _stopping.Dispose();
    }

    /// <summary>Exports once. What fails is logged.</summary>
    public async Task ExportAsync(CancellationToken cancellation)
    {
        try
        {
            using var request = Request(Encode());
            using var answer = await _http.SendAsync(request, cancellation);
            await answer.Content.LoadIntoBufferAsync(cancellation); // Behind it stands what became of a call by gRPC.
            answer.EnsureSuccessStatusCode();
            if (_options.Protocol == OtlpExportProtocol.Grpc && StatusOf(answer) is var status && status != "0")
            {
                throw new HttpRequestException($"The collector answered with the gRPC status {status}.");
            }

            if (_fails)
            {
                _fails = false;
                LogMessages.ExportsAgain(_log, _options.Endpoint);
            }
        }
        catch (Exception e)
        {
            // The boundary of a task that nobody waits for before the stop: whatever fails is told, and the next export tried.
            if (!_fails && !_stopping.IsCancellationRequested)
            {
                _fails = true;
                LogMessages.CannotExport(_log, e, _options.Endpoint);
            }
        }
    }

    private async Task RunAsync(TimeSpan interval)
    {
        using var timer = new PeriodicTimer(interval);
        try
        {
            while (await timer.WaitForNextTickAsync(_stopping.Token))
            {
                await ExportAsync(_stopping.Token);
            }
        }
        catch (OperationCanceledException)
        {
            // It is to end.
        }
    }

    private HttpRequestMessage Request(byte[] message)
    {
        var isGrpc = _options.Protocol == OtlpExportProtocol.Grpc;
        var content = message;
        if (isGrpc)
        {
            content = new byte[GrpcHeaderBytes + message.Length];
            BinaryPrimitives.WriteInt32BigEndian(content.AsSpan(1), message.Length);
            message.CopyTo(content, GrpcHeaderBytes);
        }

        var request = new HttpRequestMessage(HttpMethod.Post, isGrpc ? new Uri(_options.Endpoint.AbsoluteUri.TrimEnd('/') + "/" + GrpcMethod) : _options.Endpoint)
        {
            Version = isGrpc ? HttpVersion.Version20 : HttpVersion.Version11,
            VersionPolicy = isGrpc ? HttpVersionPolicy.RequestVersionExact : HttpVersionPolicy.RequestVersionOrHigher,
            Content = new ByteArrayContent(content) { Headers = { ContentType = new MediaTypeHeaderValue(isGrpc ? "application/grpc" : "application/x-protobuf") } },
        };
        if (isGrpc)
        {
            request.Headers.TE.Add(new TransferCodingWithQualityHeaderValue("trailers"));
        }

        _headers.ForEach(h => request.Headers.TryAddWithoutValidation(h.Name, h.Value));
        return request;
    }

    // As OTEL_EXPORTER_OTLP_HEADERS has them, with % and two digits for what has a meaning there.
    private static (string Name, string Value) Header(string text) => text.IndexOf('=', StringComparison.Ordinal) is > 0 and var end
        ? (Uri.UnescapeDataString(text[..end].Trim()), Uri.UnescapeDataString(text[(end + 1)..].Trim()))
        : throw new ArgumentException("A header is not NAME=VALUE.");

    private static string StatusOf(HttpResponseMessage answer) =>
        answer.TrailingHeaders.TryGetValues("grpc-status", out var values) || answer.Headers.TryGetValues("grpc-status", out values) ? values.First() : "none";

    private byte[] Encode()
    {
        var now = Now();
        return Message(request => Put(request, 1, Message(all =>
        {
            Put(all, 1, _resource);
            Put(all, 2, Message(ofMeter =>
            {
                Put(ofMeter, 1, Message(scope => Put(scope, 1, ByteString.CopyFromUtf8(OtlpExport.MeterName).ToByteArray())));
                foreach (var metric in _metrics)
                {
                    Put(ofMeter, 2, Message(bytes =>
                    {
                        bytes.WriteTag(1, WireFormat.WireType.LengthDelimited);
                        bytes.WriteString(metric.Name);
                        bytes.WriteTag(2, WireFormat.WireType.LengthDelimited);
                        bytes.WriteString(metric.Help);
                        bytes.WriteTag(3, WireFormat.WireType.LengthDelimited);
                        bytes.WriteString(metric.Unit);
                        Put(bytes, 9, Histogram(metric, now));
                    }));
                }
            }));
        })));
    }

    private byte[] Histogram(Metric metric, ulong now) => Message(bytes =>
    {
        const int Cumulative = 2;
        foreach (var value in MetricValues.Of(metric))
        {
            Put(bytes, 1, Point(value, now));
        }

        bytes.WriteTag(2, WireFormat.WireType.Varint);
        bytes.WriteInt32(Cumulative);
    });

    // Bounds are inclusive, here and there; and the last count is of what is above them all.
    private byte[] Point(MetricValue value, ulong now) => Message(bytes =>
    {
        Put(bytes, 2, _begun);
        Put(bytes, 3, now);
        Put(bytes, 4, (ulong)value.Counts!.Sum());
        Put(bytes, 5, BitConverter.DoubleToUInt64Bits(value.Value));
        Put(bytes, 6, Message(counts => Array.ForEach(value.Counts!, count => counts.WriteFixed64((ulong)count))));
        Put(bytes, 7, Message(bounds => Array.ForEach(value.Bounds!, bounds.WriteDouble)));
        foreach (var label in value.Labels)
        {
            Put(bytes, 9, Attribute(label.Name, label.Value));
        }
    });

    private static byte[] Attribute(string name, string value) => Message(bytes =>
    {
        bytes.WriteTag(1, WireFormat.WireType.LengthDelimited);
        bytes.WriteString(name);
        Put(bytes, 2, Message(any =>
        {
            any.WriteTag(1, WireFormat.WireType.LengthDelimited);
            any.WriteString(value);
        }));
    });

    private static byte[] Message(Action<CodedOutputStream> write)
    {
        using var bytes = new MemoryStream();
        using (var output = new CodedOutputStream(bytes, leaveOpen: true))
        {
            write(output);
        }

        return bytes.ToArray();
    }

    private static void Put(CodedOutputStream bytes, int field, byte[] content)
    {
        bytes.WriteTag(field, WireFormat.WireType.LengthDelimited);
        bytes.WriteBytes(ByteString.CopyFrom(content));
    }

    private static void Put(CodedOutputStream bytes, int field, ulong value)
    {
        bytes.WriteTag(field, WireFormat.WireType.Fixed64);
        bytes.WriteFixed64(value);
    }

    // Nanoseconds of Unix time.
    private static ulong Now() => (ulong)(DateTimeOffset.UtcNow - DateTimeOffset.UnixEpoch).Ticks * 100;
}
