using System.Diagnostics;
using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

/// <summary>One trace over two processes: the client here, and a node that exports to a collector.</summary>
public sealed class TracingTests
{
    [Fact]
    public async Task One_trace_shows_an_event_from_its_append_to_its_delivery()
    {
        await using var collector = new OtlpCollector();
        await using NodeProcess node = await NodeProcess.StartWithAsync(
            new Dictionary<string, string> { ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf", ["OTEL_BSP_SCHEDULE_DELAY"] = "50", ["OTEL_METRIC_EXPORT_INTERVAL"] = "200" },
            "--otlp-endpoint",
            collector.Address.AbsoluteUri);
        using var traced = new TracedHere();
        await using VaultClient writer = VaultClient.Connect(node.Address);
        await using VaultClient reader = VaultClient.Connect(node.Address);
        await Wait.UntilAsync(() => collector.HasMetric("eventvault.node.ready"), "the node to export");

        await writer.AppendAsync("order-1", ExpectedVersion.NoStream, EventData.JsonText("placed", "{}"));
        Activity append = traced.Ended("append order");
        Activity.Current = null; // Whoever is told of it is in the midst of nothing.
        RecordedEvent? delivered = null;
        await foreach (RecordedEvent e in reader.SubscribeToAllAsync().EventsAsync())
        {
            delivered = e;
            using Activity? process = VaultTracing.StartProcessing(e);
            Assert.Equal(append.TraceId, Activity.Current?.TraceId);
            break;
        }

        // Here: the delivery is linked to the append.
        Assert.Equal(append.Context.SpanId, VaultTracing.ContextOf(delivered!)?.SpanId);
        foreach (Activity received in new[] { traced.Ended("receive order"), traced.Ended("process order") })
        {
            Assert.Equal((append.TraceId, append.SpanId), (received.TraceId, received.ParentSpanId));
            Assert.Equal(append.SpanId, Assert.Single(received.Links).Context.SpanId);
        }

        // There: the node's part of the same trace.
        List<CollectedSpan> Spans() => [.. collector.Spans.Where(s => s.TraceId == append.TraceId.ToHexString())];
        string[] names = ["append order", "commit", "deliver order"];
        await Wait.UntilAsync(() => names.All(name => Spans().Exists(s => s.Name == name)), "the node's spans");
        CollectedSpan appended = Spans().Single(s => s.Name == "append order");
        CollectedSpan committed = Spans().Single(s => s.Name == "commit");
        CollectedSpan handedOut = Spans().Single(s => s.Name == "deliver order");
        Assert.Equal(append.SpanId.ToHexString(), appended.ParentId);
        Assert.Equal(appended.SpanId, committed.ParentId);
        Assert.Equal((append.SpanId.ToHexString(), append.SpanId.ToHexString()), (handedOut.ParentId, Assert.Single(handedOut.Links)));
        Assert.True(appended.Start <= appended.End && committed.End <= appended.End && committed.End <= handedOut.Start);
        await Wait.UntilAsync(() => collector.HasMetric("eventvault.append.duration") && collector.HasMetric("dotnet.gc.collections"), "metrics of both meters");
    }

    [Fact]
    public async Task One_trace_goes_from_the_process_that_appends_through_the_node_to_the_process_that_is_told()
    {
        await using var collector = new OtlpCollector();
        await using NodeProcess node = await NodeProcess.StartWithAsync(
            new Dictionary<string, string> { ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf", ["OTEL_BSP_SCHEDULE_DELAY"] = "50", ["OTEL_METRIC_EXPORT_INTERVAL"] = "200" },
            "--otlp-endpoint",
            collector.Address.AbsoluteUri);
        await Wait.UntilAsync(() => collector.HasMetric("eventvault.node.ready"), "the node to export");
        Task reader = await TracedProcess.SubscribeAsync("reader", node.Address, collector.Address);
        await TracedProcess.AppendAsync("writer", node.Address, collector.Address);
        await reader;

        (string Service, string Name)[] expected =
        [
            ("writer", "append order"), ("eventvault", "append order"), ("eventvault", "commit"), ("eventvault", "deliver order"),
            ("reader", "receive order"), ("reader", "process order"),
        ];
        await Wait.UntilAsync(() => expected.All(e => collector.Spans.Any(s => (s.Service, s.Name) == e)), "the spans of three processes");
        List<CollectedSpan> spans = [.. collector.Spans];
        CollectedSpan Span(int i) => Assert.Single(spans, s => (s.Service, s.Name) == expected[i]);

        // Nobody was in the midst of anything: the trace begins with the writer's append, and has all that the others did because of it.
        CollectedSpan begun = Span(0);
        Assert.Equal(string.Empty, begun.ParentId);
        Assert.Equal(expected.Order(), spans.Where(s => s.TraceId == begun.TraceId).Select(s => (s.Service, s.Name)).Order());
        Assert.Equal((begun.SpanId, Span(1).SpanId), (Span(1).ParentId, Span(2).ParentId));
        foreach (CollectedSpan told in new[] { Span(3), Span(4), Span(5) })
        {
            Assert.Equal((begun.SpanId, begun.SpanId), (told.ParentId, Assert.Single(told.Links)));
        }
    }

    [Fact]
    public async Task A_call_is_below_whatever_its_caller_does()
    {
        await using var collector = new OtlpCollector();
        await using NodeProcess node = await NodeProcess.StartWithAsync(
            new Dictionary<string, string>
            {
                ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.Address.AbsoluteUri,
                ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
                ["OTEL_BSP_SCHEDULE_DELAY"] = "50",
                ["OTEL_METRIC_EXPORT_INTERVAL"] = "200",
            });
        using var traced = new TracedHere();
        await using VaultClient client = VaultClient.Connect(node.Address);
        await Wait.UntilAsync(() => collector.HasMetric("eventvault.node.ready"), "the node to export");

        await Assert.ThrowsAsync<StreamNotFoundException>(() => client.GetStreamAsync("none"));

        CollectedSpan? call = null;
        await Wait.UntilAsync(() => (call = collector.Spans.FirstOrDefault(s => s.Name == "eventvault.v1.Streams/GetStream")) is not null, "the node's span");
        Assert.Equal((traced.Root.TraceId.ToHexString(), traced.Root.SpanId.ToHexString()), (call!.TraceId, call.ParentId));
    }

    [Fact]
    public async Task A_node_whose_export_can_not_begin_serves_and_stops_in_order()
    {
        await using NodeProcess node = await NodeProcess.StartWithAsync(
            new Dictionary<string, string> { ["OTEL_EXPORTER_OTLP_HEADERS"] = "nonsense" }, "--otlp-endpoint", "http://127.0.0.1:9");
        await Wait.UntilAsync(() => node.Output.Contains("can't be exported by OTLP", StringComparison.Ordinal), "it to be told");
        await using (VaultClient client = VaultClient.Connect(node.Address))
        {
            await client.AppendAsync("order-1", ExpectedVersion.NoStream, EventData.JsonText("placed", "{}"));
        }

        Assert.Equal(0, await node.StopAsync());
    }

    [Fact]
    public async Task A_repeat_keeps_its_content_though_it_belongs_to_another_trace()
    {
        await using NodeProcess node = await NodeProcess.StartAsync();
        using var traced = new TracedHere();
        await using VaultClient client = VaultClient.Connect(node.Address);
        var options = new AppendOptions { OperationId = Guid.NewGuid() };
        var e = EventData.JsonText("placed", "{}");
        Assert.False((await client.AppendAsync("order-1", ExpectedVersion.Any, e, options)).Deduplicated);
        Assert.True((await client.AppendAsync("order-1", ExpectedVersion.Any, e, options)).Deduplicated);
        Assert.Equal(2, traced.All("append order").Count);

        // The application may add a context itself; one that is there stays.
        EventData stamped = VaultTracing.Stamp(e);
        Assert.Equal((e.Id, traced.Root.Id), (stamped.Id, stamped.Metadata["traceparent"]));
        Assert.Same(stamped, VaultTracing.Stamp(stamped));
        await client.AppendAsync("order-1", ExpectedVersion.Any, stamped);
        List<RecordedEvent> read = await client.ReadAllAsync().ToListAsync();
        Assert.Equal([false, true], read.Select(r => r.Metadata.ContainsKey("traceparent")));
        Assert.Equal(traced.Root.SpanId, VaultTracing.ContextOf(read[1])?.SpanId);
    }

    /// <summary>Listens to the client's spans of one trace of its own: other tests run beside it, and their events must stay as they are.</summary>
    private sealed class TracedHere : IDisposable
    {
        private readonly ActivityListener _listener;
        private readonly List<Activity> _ended = [];

        public TracedHere()
        {
            Root = new Activity("test") { ActivityTraceFlags = ActivityTraceFlags.Recorded }.SetIdFormat(ActivityIdFormat.W3C).Start();
            _listener = new ActivityListener
            {
                ShouldListenTo = static source => source.Name == VaultTracing.SourceName,
                Sample = (ref ActivityCreationOptions<ActivityContext> options) =>
                    options.Parent.TraceId == Root.TraceId ? ActivitySamplingResult.AllDataAndRecorded : ActivitySamplingResult.None,
                ActivityStopped = activity =>
                {
                    lock (_ended)
                    {
                        _ended.Add(activity);
                    }
                },
            };
            ActivitySource.AddActivityListener(_listener);
        }

        public Activity Root { get; }

        public Activity Ended(string name) => Assert.Single(All(name));

        public IReadOnlyList<Activity> All(string name)
        {
            lock (_ended)
            {
                return [.. _ended.Where(a => a.DisplayName == name)];
            }
        }

        public void Dispose()
        {
            _listener.Dispose();
            Root.Dispose();
        }
    }
}
