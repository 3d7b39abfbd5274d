using System.Collections.Concurrent;
using System.Net;
using System.Text;
using Google.Protobuf;

namespace EventVault.Client.Tests.Support;

/// <summary>A span as it came over OTLP; its service is who sent it.</summary>
internal sealed record CollectedSpan(string Service, string TraceId, string SpanId, string ParentId, string Name, ulong Start, ulong End, IReadOnlyList<string> Links);

/// <summary>A collector that takes OTLP by HTTP and protobuf, and keeps it. Field numbers as in opentelemetry/proto: trace/v1/trace.proto, resource/v1, common/v1.</summary>
internal sealed class OtlpCollector : IAsyncDisposable
{
    private readonly HttpListener _listener = new();
    private readonly Task _running;
    private readonly ConcurrentQueue<CollectedSpan> _spans = new();
    private readonly ConcurrentQueue<byte[]> _metrics = new();

    public OtlpCollector()
    {
        Address = new Uri($"http://127.0.0.1:{NodeProcess.FreePort()}/");
        _listener.Prefixes.Add(Address.AbsoluteUri);
        _listener.Start();
        _running = RunAsync();
    }

    public Uri Address { get; }

    public IReadOnlyCollection<CollectedSpan> Spans => _spans;

    /// <summary>Whether an export of metrics holds a text, such as a name.</summary>
    public bool HasMetric(string text) => _metrics.Any(m => m.AsSpan().IndexOf(Encoding.UTF8.GetBytes(text)) >= 0);

    public async ValueTask DisposeAsync()
    {
        _listener.Close();
        await _running;
    }

    private async Task RunAsync()
    {
        while (true)
        {
            HttpListenerContext context;
            try
            {
                context = await _listener.GetContextAsync();
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
            {
                return;
            }

            using var body = new MemoryStream();
            await context.Request.InputStream.CopyToAsync(body);
            if (context.Request.Url!.AbsolutePath == "/v1/traces")
            {
                Each(body.ToArray(), 1, sent => Each(sent, 2, scope => Each(scope, 2, span => _spans.Enqueue(Span(span, ServiceOf(sent))))));
            }
            else if (context.Request.Url.AbsolutePath == "/v1/metrics")
            {
                _metrics.Enqueue(body.ToArray());
            }

            context.Response.ContentType = "application/x-protobuf";
            context.Response.Close();
        }
    }

    private static string ServiceOf(byte[] sent)
    {
        string service = string.Empty;
        Each(sent, 1, resource => Each(resource, 1, attribute =>
        {
            var (key, text) = (string.Empty, string.Empty);
            Each(attribute, 1, name => key = Encoding.UTF8.GetString(name));
            Each(attribute, 2, value => Each(value, 1, bytes => text = Encoding.UTF8.GetString(bytes)));
            service = key == "service.name" ? text : service;
        }));
        return service;
    }

    private static CollectedSpan Span(byte[] bytes, string service)
    {
        var (trace, id, parent, name) = (string.Empty, string.Empty, string.Empty, string.Empty);
        var (start, end) = (0ul, 0ul);
        var links = new List<string>();
        Each(bytes, 1, value => trace = Hex(value));
        Each(bytes, 2, value => id = Hex(value));
        Each(bytes, 4, value => parent = Hex(value));
        Each(bytes, 5, value => name = Encoding.UTF8.GetString(value));
        Each(bytes, 13, link => Each(link, 2, value => links.Add(Hex(value))));
        var input = new CodedInputStream(bytes);
        while (input.ReadTag() is var tag and > 0)
        {
            switch (WireFormat.GetTagFieldNumber(tag))
            {
                case 7:
                    start = input.ReadFixed64();
                    break;
                case 8:
                    end = input.ReadFixed64();
                    break;
                default:
                    input.SkipLastField();
                    break;
            }
        }

        return new CollectedSpan(service, trace, id, parent, name, start, end, links);
    }

    private static string Hex(byte[] bytes) => Convert.ToHexStringLower(bytes);

    private static void Each(byte[] message, int field, Action<byte[]> take)
    {
        var input = new CodedInputStream(message);
        while (input.ReadTag() is var tag and > 0)
        {
            if (WireFormat.GetTagFieldNumber(tag) == field && WireFormat.GetTagWireType(tag) == WireFormat.WireType.LengthDelimited)
            {
                take(input.ReadBytes().ToByteArray());
            }
            else
            {
                input.SkipLastField();
            }
        }
    }
}
