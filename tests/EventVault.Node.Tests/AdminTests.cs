using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using EventVault.Node.Security;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.Node.Tests;

public sealed class AdminTests
{
    [Fact]
    public async Task Info_and_status_tell_what_the_node_is_and_how_it_does()
    {
        var node = await TestNode.StartAsync();
        try
        {
            var info = await node.Channel.UnaryAsync(Methods.GetInfo, new GetInfoRequest());
            Assert.False(info.HasHead);
            Assert.Equal("0.1.0", info.Version);
            Assert.Equal(node.Node.Storage.VaultId.ToByteArray(bigEndian: true), info.VaultId.ToByteArray());
            Assert.Equal(TestNode.SegmentSizeBytes, info.SegmentSizeBytes);
            Assert.Equal(1024ul, info.Limits.Single(l => l.Name == "stream_name_bytes").Allowed);
            Assert.Equal("event-bytes", info.Limits.Single(l => l.Name == "event_bytes").Setting);

            var answer = await node.AppendAsync("a", Make.NoStream, Make.Events(3));
            var status = await node.Channel.UnaryAsync(Methods.GetStatus, new GetStatusRequest());
            Assert.Equal(("serving", 2ul, answer.RecordedAt), (status.State, status.Head, status.HeadRecordedAt));
            Assert.Equal((1u, 2ul, 2ul), (status.StartNumber, status.Term, status.CommitIndex)); // The no-op of its election comes first.
            Assert.Equal((1ul, 3ul, 2ul), (status.Appends, status.EventsAppended, status.GroupsFlushed));
            Assert.True(status.MemoryBytes > 0 && status.FreeBytes > 0 && status.LogBytes > 0 && status.StartedAt > 0);

            node = await node.RestartAsync();
            info = await node.Channel.UnaryAsync(Methods.GetInfo, new GetInfoRequest());
            Assert.Equal((2ul, answer.RecordedAt), (info.Head, info.HeadRecordedAt));
            status = await node.Channel.UnaryAsync(Methods.GetStatus, new GetStatusRequest());
            Assert.Equal((2u, 3ul, 3ul), (status.StartNumber, status.Term, status.CommitIndex));
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task The_http_port_serves_health_and_nothing_else()
    {
        await using var node = await TestNode.StartAsync();
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new Uri($"http://{node.Node.HttpEndPoint}") };
        Assert.Equal("""{"status":"serving"}""", await http.GetStringAsync("/health/ready"));
        Assert.Equal("""{"status":"serving"}""", await http.GetStringAsync("/health/live"));
        Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync("/")).StatusCode);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, (await http.PostAsync("/health/ready", null)).StatusCode);
    }

    [Fact]
    public async Task The_same_commit_time_never_comes_twice_even_if_the_clock_stands_still()
    {
        await using var node = await TestNode.StartAsync(o => o with { Clock = new StoppedClock() });
        var times = new List<long>();
        for (var i = 0; i < 5; i++)
        {
            times.Add((await node.AppendAsync("a", Make.Any)).RecordedAt);
        }

        var first = (StoppedClock.Now - DateTimeOffset.UnixEpoch).Ticks + 1; // The no-op of the node's election has the first time.
        Assert.Equal(Enumerable.Range(0, 5).Select(i => first + i), times);
    }

    [Fact]
    public async Task With_a_certificate_grpc_is_served_over_tls()
    {
        var folder = Directory.CreateTempSubdirectory("eventvault-tls-").FullName;
        using var authority = new TestAuthority();
        var serial = authority.Issue("node", folder, "localhost");
        await using var node = await TestNode.StartAsync(o => o with { Tls = new TlsFiles(Path.Combine(folder, "node.pem"), Path.Combine(folder, "node.key"), null) });
        await using var channel = new RpcChannel(new Uri($"https://{node.Node.RpcEndPoint}"), new RpcChannelOptions
        {
            Tls = new SslClientAuthenticationOptions { RemoteCertificateValidationCallback = (_, other, _, _) => other?.GetSerialNumberString() == serial },
        });
        Assert.Equal("0.1.0", (await channel.UnaryAsync(Methods.GetInfo, new GetInfoRequest())).Version);
        await Assert.ThrowsAsync<RpcException>(() => node.Channel.UnaryAsync(Methods.GetInfo, new GetInfoRequest()).AsTask());
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task Calls_after_the_stop_are_refused_or_find_nobody()
    {
        var node = await TestNode.StartAsync();
        await node.Node.StopAsync();
        var end = await Assert.ThrowsAsync<RpcException>(() => node.AppendAsync("a", Make.Any).AsTask());
        Assert.Equal(RpcCode.Unavailable, end.Code);
        await node.DisposeAsync();
    }

    private sealed class StoppedClock : TimeProvider
    {
        public static readonly DateTimeOffset Now = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);

        public override DateTimeOffset GetUtcNow() => Now;
    }
}
