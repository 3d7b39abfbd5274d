using EventVault.Node.Metrics;
using EventVault.Node.Tests.Support;
using Google.Protobuf;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using OpenTelemetry.Exporter;
using OpenTelemetry.Resources;

namespace EventVault.Node.Tests.Metrics;

public sealed class HistogramExportTests
{
    [Theory]
    [InlineData(OtlpExportProtocol.Grpc, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")]
    [InlineData(OtlpExportProtocol.HttpProtobuf, "/v1/metrics")]
    public async Task A_distribution_arrives_as_it_was_counted_however_much_was_recorded(OtlpExportProtocol protocol, string path)
    {
        var (bodies, isAway) = (new List<(string Path, string Header, byte[] Body)>(), false);
        await using var collector = await StartAsync(protocol, http => isAway, bodies);
        var recorded = new Distribution(unit: 1);
        recorded.Record(1, times: 400_000_000_000);
        recorded.Record(3, times: 7);
        recorded.Record(1L << 40);
        var metric = new Metric("eventvault.append.duration", MetricKind.Histogram, "s", "How long", values => values.Add(recorded, 1, "GET")) { Labels = ["method"] };
        var log = new KeptLog();
        using var logs = LoggerFactory.Create(logging => logging.AddProvider(log));
        var options = new OtlpExporterOptions
        {
            Protocol = protocol,
            Endpoint = new Uri(collector.Urls.Single() + (protocol == OtlpExportProtocol.Grpc ? string.Empty : "/v1/metrics")),
            Headers = "api-key=a%3Db",
        };
        using var export = new HistogramExport(
            options, TimeSpan.FromHours(1), ResourceBuilder.CreateEmpty().AddService("eventvault").Build(), [metric], logs.CreateLogger("test"));

        await export.ExportAsync(CancellationToken.None);

        Assert.Empty(log.All);
        Assert.Equal((path, "a=b"), (bodies.Single().Path, bodies[0].Header));
        var (counts, bounds, count, sum) = Point(bodies[0].Body, "eventvault.append.duration");
        Assert.Equal((400_000_000_008ul, Distribution.Bounds + 1, Distribution.Bounds), (count, counts.Count, bounds.Count));
        Assert.Equal([(1, 400_000_000_000ul), (3, 7ul), (double.PositiveInfinity, 1ul)], counts.Select((c, i) => (i < bounds.Count ? bounds[i] : double.PositiveInfinity, c)).Where(c => c.c > 0));
        Assert.Equal(400_000_000_021d + (1L << 40), sum);

        // A collector that is away is told once, and so is its return. The last export is that of the stop.
        isAway = true;
        await export.ExportAsync(CancellationToken.None);
        await export.ExportAsync(CancellationToken.None);
        Assert.Single(log.All.Split('\n'), line => line.Contains("can't be exported", StringComparison.Ordinal));
        isAway = false;
        recorded.Record(3);
        await export.StopAsync(TimeSpan.FromMinutes(1));
        Assert.Contains("exported to " + options.Endpoint + " again", log.All, StringComparison.Ordinal);
        Assert.Equal(400_000_000_009ul, Point(bodies[^1].Body, "eventvault.append.duration").Count);
    }

    [Fact]
    public async Task Whatever_goes_wrong_in_an_export_is_told_and_the_next_one_is_tried()
    {
        using var goesWrong = new GoesWrongOnce();
        var log = new KeptLog();
        using var logs = LoggerFactory.Create(logging => logging.AddProvider(log));
        var options = new OtlpExporterOptions
        {
            Protocol = OtlpExportProtocol.HttpProtobuf,
            Endpoint = new Uri("http://collector.example/v1/metrics"),
            HttpClientFactory = () => new HttpClient(goesWrong, disposeHandler: false),
        };
        using var export = new HistogramExport(options, TimeSpan.FromMilliseconds(10), ResourceBuilder.CreateEmpty().Build(), [], logs.CreateLogger("test"));

        await Wait.UntilAsync(() => log.All.Contains("again.", StringComparison.Ordinal), "an export that succeeds");

        Assert.Contains("can't be exported", log.All, StringComparison.Ordinal);
        Assert.Contains("It goes wrong on cue.", log.All, StringComparison.Ordinal);
        await export.StopAsync(Wait.Limit);
    }

    private sealed class GoesWrongOnce : HttpMessageHandler
    {
        private int _asked;

        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) => Interlocked.Increment(ref _asked) == 1
            ? throw new NotSupportedException("It goes wrong on cue.")
            : Task.FromResult(new HttpResponseMessage(System.Net.HttpStatusCode.OK));
    }

    private static async Task<WebApplication> StartAsync(OtlpExportProtocol protocol, Func<HttpContext, bool> isAway, List<(string, string, byte[])> bodies)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseUrls("http://127.0.0.1:0")
            .ConfigureKestrel(k => k.ConfigureEndpointDefaults(e => e.Protocols = protocol == OtlpExportProtocol.Grpc ? HttpProtocols.Http2 : HttpProtocols.Http1));
        var app = builder.Build();
        app.Run(async http =>
        {
            using var body = new MemoryStream();
            await http.Request.Body.CopyToAsync(body);
            var isGrpc = protocol == OtlpExportProtocol.Grpc;
            if (!isAway(http))
            {
                bodies.Add((http.Request.Path, http.Request.Headers["api-key"].ToString(), body.ToArray()[(isGrpc ? 5 : 0)..]));
            }

            http.Response.StatusCode = isAway(http) && !isGrpc ? StatusCodes.Status503ServiceUnavailable : StatusCodes.Status200OK;
            if (isGrpc)
            {
                http.Response.ContentType = "application/grpc";
                await http.Response.Body.WriteAsync(new byte[5]);
                http.Response.AppendTrailer("grpc-status", isAway(http) ? "14" : "0");
            }
        });
        await app.StartAsync();
        return app;
    }

    // Field numbers as in opentelemetry/proto/metrics/v1/metrics.proto.
    private static (List<ulong> Counts, List<double> Bounds, ulong Count, double Sum) Point(byte[] request, string name)
    {
        var metrics = In(request, 1).SelectMany(all => In(all, 2)).SelectMany(scope => In(scope, 2));
        var metric = metrics.Single(m => System.Text.Encoding.UTF8.GetString(In(m, 1).Single()) == name);
        var point = In(In(metric, 9).Single(), 1).Single();
        var (counts, bounds, count, sum) = (new List<ulong>(), new List<double>(), 0ul, 0d);
        var input = new CodedInputStream(point);
        while (input.ReadTag() is var tag and > 0)
        {
            switch (WireFormat.GetTagFieldNumber(tag))
            {
                case 4:
                    count = input.ReadFixed64();
                    break;
                case 5:
                    sum = input.ReadDouble();
                    break;
                case 6:
                    counts = [.. Packed(input.ReadBytes().ToByteArray(), static i => i.ReadFixed64())];
                    break;
                case 7:
                    bounds = [.. Packed(input.ReadBytes().ToByteArray(), static i => i.ReadDouble())];
                    break;
                default:
                    input.SkipLastField();
                    break;
            }
        }

        return (counts, bounds, count, sum);
    }

    private static IEnumerable<T> Packed<T>(byte[] bytes, Func<CodedInputStream, T> read)
    {
        var input = new CodedInputStream(bytes);
        while (!input.IsAtEnd)
        {
            yield return read(input);
        }
    }

    private static List<byte[]> In(byte[] message, int field)
    {
        var found = new List<byte[]>();
        var input = new CodedInputStream(message);
        while (input.ReadTag() is var tag and > 0)
        {
            if (WireFormat.GetTagFieldNumber(tag) == field && WireFormat.GetTagWireType(tag) == WireFormat.WireType.LengthDelimited)
            {
                found.Add(input.ReadBytes().ToByteArray());
            }
            else
            {
                input.SkipLastField();
            }
        }

        return found;
    }
}
