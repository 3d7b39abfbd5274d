using System.Globalization;
using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using EventVault.Node.Metrics;
using EventVault.Node.Tests.Cluster;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.Node.Tests.Metrics;

public sealed partial class MetricsTests
{
    /// <summary>Of Prometheus itself.</summary>
    private const string Up = "up";

    private static readonly string Root = RepositoryRoot();

    [Fact]
    public async Task What_a_node_did_is_what_its_metrics_count()
    {
        await using var node = await TestNode.StartAsync();
        var request = Make.Append(Make.Stream("a-1", Make.NoStream, Make.Events(3)));
        await node.AppendAsync(request);
        Assert.True((await node.AppendAsync(request)).Deduplicated);
        await Fails.WithAsync(RpcCode.Aborted, Reason.WrongExpectedVersion, () => node.AppendAsync("a-1", Make.NoStream).AsTask());
        await using (var call = node.Channel.Start(Methods.AppendSession))
        {
            await SessionTests.SendAsync(call, SessionTests.Request(1, Make.Stream("a-1", Make.Any, Make.Events(2))));
            await SessionTests.SendAsync(call, SessionTests.Request(2, Make.Stream("a-1", Make.NoStream)));
            await call.CompleteAsync();
            while (await call.MoveNextAsync())
            {
            }
        }

        Assert.Equal(5, (await node.ReadAllAsync()).Count);
        Assert.Equal(2, (await node.ReadStreamAsync(new ReadStreamRequest { Stream = "a-1", Limit = 2 })).Count);
        await using var subscription = node.Channel.Start(Methods.Subscribe, new SubscribeRequest { All = new Empty() });
        do
        {
            Assert.True(await subscription.MoveNextAsync());
        }
        while (subscription.Current.ContentCase != ReadResponse.ContentOneofCase.CaughtUp);

        var said = await SaidAsync(node);

        Assert.Equal(2, said["""eventvault_appends_total{outcome="appended"}"""]);
        Assert.Equal(1, said["""eventvault_appends_total{outcome="deduplicated"}"""]);
        Assert.Equal(2, said["""eventvault_appends_total{outcome="wrong_expected_version"}"""]);
        Assert.Equal((5, 2), (said["eventvault_append_events_total"], said["eventvault_append_duration_seconds_count"]));
        Assert.Equal((4, 5, 2), (said["eventvault_log_head"], said["eventvault_log_events_total"], said["eventvault_log_appends_total"]));
        Assert.Equal((5, 2, 5), (said["""eventvault_read_events_total{kind="all"}"""], said["""eventvault_read_events_total{kind="stream"}"""], said["""eventvault_read_events_total{kind="subscription"}"""]));
        Assert.Equal((1, 0), (said["eventvault_subscriptions"], said["eventvault_subscription_lag_events"]));
        Assert.Equal(2, said["""rpc_server_call_duration_seconds_count{rpc_method="eventvault.v1.Streams/Append",rpc_response_status_code="ok"}"""]);
        Assert.Equal(1, said["""rpc_server_call_duration_seconds_count{rpc_method="eventvault.v1.Streams/Append",rpc_response_status_code="aborted"}"""]);
        Assert.Equal((1, 1), (said["eventvault_node_ready"], said["""eventvault_raft_role{role="leader"}"""]));
        Assert.True(said["eventvault_log_flush_duration_seconds_count"] >= 2 && said["eventvault_log_written_bytes_total"] > 0 && said["eventvault_append_duration_seconds_sum"] > 0);
        Assert.True(said["eventvault_connections"] >= 2, "The channel's connection and the one that asks.");
    }

    [NeedsPromtool]
    public async Task Promtool_accepts_what_three_nodes_under_work_say()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        for (var i = 0; i < 10; i++)
        {
            await cluster.AppendAsync("s", Make.Event());
        }

        await cluster.UntilEqualAsync();
        foreach (var node in cluster.Nodes)
        {
            await Wait.UntilAsync(() => node.Node!.Pulse.Status is { Leader: not null }, "a beat");
            var (ok, said) = await Promtool.RunAsync(Text(node.Node!), "check", "metrics");
            Assert.True(ok && said.Length == 0, said);
        }

        var leader = cluster.Nodes.Single(n => n.Node!.Loop.Leads).Node!;
        var lags = Values(Text(leader)).Where(v => v.Key.StartsWith("eventvault_raft_follower_lag{", StringComparison.Ordinal)).ToList();
        Assert.Equal(2, lags.Count);
        Assert.All(cluster.Nodes, n => Assert.All(n.Node!.Metrics.Where(m => m.Name.StartsWith("eventvault.peer", StringComparison.Ordinal)), m => Assert.NotEmpty(MetricValues.Of(m))));
    }

    [NeedsPromtool]
    public async Task Promtool_accepts_the_alerts_and_each_fires_when_it_should_and_only_then()
    {
        var folder = Path.Combine(Root, "tools", "observability");
        var (ok, said) = await Promtool.RunAsync(string.Empty, "check", "rules", Path.Combine(folder, "alerts.yml"));
        Assert.True(ok, said);
        (ok, said) = await Promtool.RunAsync(string.Empty, "test", "rules", Path.Combine(folder, "alerts.test.yml"));
        Assert.True(ok, said);
        var cases = File.ReadAllLines(Path.Combine(folder, "alerts.test.yml"));
        var documented = await File.ReadAllTextAsync(Path.Combine(Root, "docs", "OBSERVABILITY.md"));
        var alerts = File.ReadAllLines(Path.Combine(folder, "alerts.yml")).Where(l => l.Contains("- alert: ", StringComparison.Ordinal)).Select(l => l.Split(": ")[1]).ToList();
        Assert.NotEmpty(alerts);
        foreach (var alert in alerts)
        {
            Assert.Contains($"  - name: {alert} fires", cases);
            Assert.Contains($"  - name: {alert} is silent", cases);
            Assert.Contains($"`{alert}`", documented, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Documentation_dashboard_and_alerts_name_what_a_node_says_and_all_of_it()
    {
        await using var node = await TestNode.StartAsync();
        var metrics = node.Node.Metrics;
        var names = metrics.Select(m => m.PrometheusName).ToList();
        Assert.Equal(names.Distinct(), names);
        var rows = File.ReadAllLines(Path.Combine(Root, "docs", "OBSERVABILITY.md")).Where(l => TableRow().IsMatch(l)).ToList();
        var expected = metrics.Select(m => $"| `{m.PrometheusName}` | {MetricValues.LabelOf(m.Kind)} | {string.Join(", ", m.Labels.Select(l => $"`{l}`"))} | {m.Help.Replace("|", "\\|", StringComparison.Ordinal)} |").ToList();
        Assert.True(expected.SequenceEqual(rows), $"docs/OBSERVABILITY.md should have this table:\n{string.Join('\n', expected)}");

        var known = metrics.SelectMany(m => m.Kind == MetricKind.Histogram ? new[] { "_bucket", "_sum", "_count" }.Select(s => m.PrometheusName + s) : [m.PrometheusName]).Append(Up).ToHashSet(StringComparer.Ordinal);
        var folder = Path.Combine(Root, "tools", "observability");
        using var dashboard = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(folder, "dashboard.json")));
        var asked = dashboard.RootElement.GetProperty("panels").EnumerateArray().Where(p => p.TryGetProperty("targets", out _))
            .SelectMany(p => p.GetProperty("targets").EnumerateArray()).Select(t => t.GetProperty("expr").GetString()!)
            .Append(await File.ReadAllTextAsync(Path.Combine(folder, "alerts.yml"))).ToList();
        var unknown = asked.SelectMany(text => MetricName().Matches(text).Select(m => m.Value)).Distinct().Where(name => !known.Contains(name)).ToList();
        Assert.Empty(unknown);
        Assert.True(asked.Count > 40, "The expressions were found.");
    }

    [Fact]
    public async Task Who_asks_for_openmetrics_gets_it_and_nobody_writes_there()
    {
        await using var node = await TestNode.StartAsync();
        using var http = Client(node.Node);
        using var request = new HttpRequestMessage(HttpMethod.Get, "/metrics");
        request.Headers.TryAddWithoutValidation("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
        using var answer = await http.SendAsync(request);
        Assert.Equal("application/openmetrics-text", answer.Content.Headers.ContentType!.MediaType);
        Assert.EndsWith("# EOF\n", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        using var refused = await http.PostAsync("/metrics", null);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, refused.StatusCode);
    }

    private static HttpClient Client(Node node) => new(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new Uri($"http://{node.HttpEndPoint}") };

    private static async Task<Dictionary<string, double>> SaidAsync(TestNode node)
    {
        using var http = Client(node.Node);
        return Values(await http.GetStringAsync("/metrics"));
    }

    private static string Text(Node node) => PrometheusText.Write(node.Metrics, openMetrics: false);

    private static Dictionary<string, double> Values(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(l => l[0] != '#')
        .ToDictionary(l => l[..l.LastIndexOf(' ')], l => l.EndsWith("+Inf", StringComparison.Ordinal) ? double.PositiveInfinity : double.Parse(l[(l.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture));

    private static string RepositoryRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder!.FullName, "EventVault.sln")))
        {
            folder = folder.Parent;
        }

        return folder.FullName;
    }

    [GeneratedRegex(@"^\| `(eventvault|rpc|process|dotnet)_\w+` \| (counter|gauge|histogram) \|")]
    private static partial Regex TableRow();

    // A name stands before a selector, an operator, a bracket or the end; labels stand before = and so are none.
    [GeneratedRegex(@"\b(eventvault|rpc_server|process|dotnet)_[a-z0-9_]+\b(?!\s*(=|!=|=~))|\bup(?=\{)")]
    private static partial Regex MetricName();
}
