using EventVault.Rpc.Server;
using EventVault.Rpc.Server.Health;
using EventVault.Rpc.Tests.Support;
using EventVault.Rpc.Tests.Wire;

namespace EventVault.Rpc.Tests;

/// <summary>A stop costs nobody a running call, as long as the call ends in time.</summary>
public class DrainTests
{
    [Fact]
    public async Task New_calls_are_refused_while_running_ones_finish()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        await using var running = channel.Start(EchoService.Duplex);
        running.Write(new EchoRequest { Text = "1" });
        await running.FlushAsync();
        Assert.True(await running.MoveNextAsync());

        var drain = host.Server.DrainAsync(Wait.Limit);
        var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest()));
        Assert.Equal(RpcCode.Unavailable, error.Code);
        Assert.False(drain.IsCompleted);

        running.Write(new EchoRequest { Text = "2" });
        await running.CompleteAsync();
        Assert.True(await running.MoveNextAsync());
        Assert.Equal("2", running.Current.Text);
        Assert.False(await running.MoveNextAsync());
        Assert.True(await drain.WaitAsync(Wait.Limit));
        Assert.True(await host.Server.DrainAsync(TimeSpan.Zero));
    }

    [Fact]
    public async Task The_refusal_can_carry_typed_details()
    {
        await using var host = await TestHost.StartAsync(options: log => new RpcServerOptions
        {
            Logger = log,
            DrainRefusal = () => new RpcException(RpcCode.Unavailable, "stopping", new RpcMetadata().Add("why-bin", new byte[] { 7 }.AsMemory())),
        });
        await using var channel = host.Connect();
        host.Server.BeginDrain();
        var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest()));
        Assert.Equal("stopping", error.Message);
        Assert.True(error.Trailers.TryGetBinary("why-bin", out var detail) && detail.Span[0] == 7);
    }

    [Fact]
    public async Task A_streaming_handler_hears_of_the_drain_and_ends_politely()
    {
        await using var host = await TestHost.StartAsync(configure: server => server.ServerStreaming(EchoService.ServerStreamRaw, async (request, writer, context) =>
        {
            await writer.WriteAsync(new EchoResponse { Text = "first" });
            await Task.Delay(Timeout.Infinite, context.Draining).ContinueWith(_ => { }, TaskScheduler.Default);
            await writer.WriteAsync(new EchoResponse { Text = "last" });
            throw new RpcException(RpcCode.Unavailable, "draining");
        }));
        await using var channel = host.Connect();
        await using var call = channel.Start(EchoService.ServerStreamRaw, new EchoRequest());
        Assert.True(await call.MoveNextAsync());
        var drain = host.Server.DrainAsync(Wait.Limit);
        Assert.True(await call.MoveNextAsync());
        Assert.Equal("last", call.Current.Text);
        Assert.Equal("draining", (await Assert.ThrowsAsync<RpcException>(async () => await call.MoveNextAsync())).Message);
        Assert.True(await drain.WaitAsync(Wait.Limit));
    }

    [Fact]
    public async Task Calls_that_do_not_end_are_cut_with_unavailable_when_the_time_is_up()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        var call = channel.UnaryAsync(EchoService.Unary, new EchoRequest { DelayMs = 120_000 }).AsTask();
        await Wait.NextAsync(host.Echo.Starts, "the handler");
        Assert.False(await host.Server.DrainAsync(TimeSpan.FromMilliseconds(50)));
        var error = await Assert.ThrowsAsync<RpcException>(() => call.WaitAsync(Wait.Limit));
        Assert.Equal((RpcCode.Unavailable, false), (error.Code, error.NotProcessed));
        await Wait.UntilAsync(() => host.Server.ActiveCalls == 0, "the call to end");
    }

    [Fact]
    public async Task Stopping_the_host_drains_first_and_tells_clients_to_go_away()
    {
        await using var host = await TestHost.StartAsync(drain: Wait.Limit);
        using var peer = await Http2Peer.ConnectAsync(host.Address);
        await peer.SendRequestAsync(1, "/eventvault.test.v1.Echo/ClientStream");
        await Wait.NextAsync(host.Echo.Starts, "the handler");
        var stop = host.StopAsync(Wait.Limit);
        await Wait.UntilAsync(() => host.Server.Draining.IsCancellationRequested, "the drain to begin");
        await peer.SendDataAsync(1, [], endStream: true);
        Assert.Equal("ok", await Wait.NextAsync(host.Echo.Ends, "the handler to end"));
        var trailers = await peer.ReadUntilAsync(f => f.Stream == 1 && f.EndStream);
        Assert.Equal(FrameType.Headers, trailers.Type);
        var goAway = await peer.ReadUntilAsync(f => f.Type == FrameType.GoAway);
        Assert.Equal(0u, goAway.ErrorCode);
        peer.Dispose();
        await stop.WaitAsync(Wait.Limit);
        Assert.Empty(host.Log.Problems);
    }

    [Fact]
    public async Task Health_answers_while_draining_and_watches_end()
    {
        var health = new HealthService();
        health.SetStatus(string.Empty, HealthStatus.Serving);
        await using var host = await TestHost.StartAsync(configure: health.AddTo);
        await using var channel = host.Connect();
        var check = HealthClient.Check;
        Assert.Equal(HealthCheckResponse.Types.ServingStatus.Serving, (await channel.UnaryAsync(check, new HealthCheckRequest())).Status);

        await using var watch = channel.Start(HealthClient.Watch, new HealthCheckRequest { Service = "a" });
        Assert.True(await watch.MoveNextAsync());
        Assert.Equal(HealthCheckResponse.Types.ServingStatus.ServiceUnknown, watch.Current.Status);
        health.SetStatus("a", HealthStatus.Serving);
        Assert.True(await watch.MoveNextAsync());
        Assert.Equal(HealthCheckResponse.Types.ServingStatus.Serving, watch.Current.Status);
        var unknown = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(check, new HealthCheckRequest { Service = "b" }));
        Assert.Equal(RpcCode.NotFound, unknown.Code);

        host.Server.BeginDrain();
        Assert.True(await watch.MoveNextAsync());
        Assert.Equal(HealthCheckResponse.Types.ServingStatus.NotServing, watch.Current.Status);
        Assert.Equal(RpcCode.Unavailable, (await Assert.ThrowsAsync<RpcException>(async () => await watch.MoveNextAsync())).Code);
        health.SetStatus(string.Empty, HealthStatus.Serving);
        Assert.Equal(HealthCheckResponse.Types.ServingStatus.NotServing, (await channel.UnaryAsync(check, new HealthCheckRequest())).Status);
    }
}
