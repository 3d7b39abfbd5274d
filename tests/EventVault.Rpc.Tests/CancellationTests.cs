using System.Buffers;
using System.Runtime.InteropServices;
using EventVault.Rpc.Tests.Support;
using EventVault.Rpc.Tests.Wire;

namespace EventVault.Rpc.Tests;

/// <summary>Either side may end a call at any moment; the other learns of it, and nothing is logged as a fault.</summary>
public class CancellationTests
{
    private static readonly EchoRequest Endless = new() { ResponseSizes = { 1000 }, Repeat = long.MaxValue };

    // The prototype had no token source for a call without a deadline, so that cancelling did nothing.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Cancelling_a_server_stream_without_a_deadline_ends_it_on_both_sides(bool byToken)
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        using var source = new CancellationTokenSource();
        await using var call = channel.Start(EchoService.ServerStream, Endless, default, source.Token);
        Assert.True(await call.MoveNextAsync());
        if (byToken)
        {
            await source.CancelAsync();
            var error = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => ReadToEndAsync(call));
            Assert.Equal(source.Token, error.CancellationToken);
        }
        else
        {
            call.Cancel();
            Assert.Equal(RpcCode.Cancelled, (await Assert.ThrowsAsync<RpcException>(() => ReadToEndAsync(call))).Code);
        }

        Assert.Equal(nameof(OperationCanceledException), await EndOfHandlerAsync(host));
        await call.DisposeAsync();
        Assert.Equal(0, channel.Buffers.Rented);
        Assert.Empty(host.Log.Problems);
    }

    [Fact]
    public async Task A_pending_read_wakes_on_cancel()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        await using var call = channel.Start(EchoService.Duplex);
        call.Write(new EchoRequest { Text = "x" });
        await call.FlushAsync();
        Assert.True(await call.MoveNextAsync());
        var read = call.MoveNextAsync().AsTask();
        Assert.False(read.IsCompleted);
        call.Cancel();
        Assert.Equal(RpcCode.Cancelled, (await Assert.ThrowsAsync<RpcException>(() => read.WaitAsync(Wait.Limit))).Code);
        Assert.Equal(nameof(OperationCanceledException), await EndOfHandlerAsync(host));
    }

    [Fact]
    public async Task Cancelling_before_the_first_answer_reaches_the_handler()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        using var source = new CancellationTokenSource();
        var call = channel.UnaryAsync(EchoService.Unary, new EchoRequest { DelayMs = 60_000 }, default, source.Token).AsTask();
        await Wait.NextAsync(host.Echo.Starts, "the handler to start");
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call.WaitAsync(Wait.Limit));
        Assert.Equal(nameof(TaskCanceledException), await EndOfHandlerAsync(host));
        Assert.Empty(host.Log.Problems);
    }

    [Fact]
    public async Task A_token_cancelled_before_the_start_sends_nothing()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest(), default, new CancellationToken(canceled: true)));
        await channel.UnaryAsync(EchoService.Unary, new EchoRequest());
        Assert.Single(host.Echo.Starts);
    }

    [Fact]
    public async Task Cancelling_after_the_end_changes_nothing()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        await using var call = channel.Start(EchoService.Unary, new EchoRequest { Text = "t" });
        Assert.Equal("t", (await call.SingleAsync()).Text);
        call.Cancel();
        Assert.False(await call.MoveNextAsync());
        await call.DisposeAsync();
        call.Cancel();
        Assert.Equal(0, channel.Buffers.Rented);
    }

    [Fact]
    public async Task Disposing_without_reading_to_the_end_resets_the_stream_and_keeps_the_connection()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        for (var i = 0; i < 20; i++)
        {
            var call = channel.Start(EchoService.ServerStream, Endless);
            Assert.True(await call.MoveNextAsync());
            await call.DisposeAsync();
            Assert.Equal(nameof(OperationCanceledException), await EndOfHandlerAsync(host));
        }

        Assert.Equal("t", (await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = "t" })).Text);
        Assert.Equal(0, channel.Buffers.Rented);
        Assert.Empty(host.Log.Problems);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Disposing_beside_the_reader_leaves_it_its_message(bool gzip)
    {
        await using var host = await TestHost.StartAsync(configure: server => server.Use((context, next) =>
        {
            context.CompressResponses = gzip;
            return next(context);
        }));
        await using var channel = host.Connect();
        var call = channel.Start(EchoService.ServerStream, Endless);
        Assert.True(await call.MoveNextRawAsync());
        var message = call.RawMessage;
        var before = message.ToArray();
        await call.DisposeBesideReaderAsync();
        Assert.Equal(before, call.RawMessage.ToArray());
        Assert.True(MemoryMarshal.TryGetArray(message, out var segment));

        // The array itself: another call's may hold the same bytes.
        Assert.DoesNotContain(Enumerable.Range(0, 100).Select(_ => ArrayPool<byte>.Shared.Rent(segment.Array!.Length)), rented => ReferenceEquals(rented, segment.Array));
        Assert.Equal(0, channel.Buffers.Rented);
        Assert.Equal(nameof(OperationCanceledException), await EndOfHandlerAsync(host));
    }

    // Fault 2 of the prototype: after a reset the body read throws an I/O error before the abort token fires.
    [Theory]
    [InlineData("reading")]
    [InlineData("writing")]
    [InlineData("idle")]
    public async Task A_reset_by_the_client_is_a_cancellation_and_no_fault(string doing)
    {
        await using var host = await TestHost.StartAsync();
        for (var i = 0; i < 10; i++)
        {
            using var peer = await Http2Peer.ConnectAsync(host.Address);
            await peer.SendRequestAsync(1, "/eventvault.test.v1.Echo/" + (doing == "reading" ? "ClientStream" : doing == "writing" ? "ServerStream" : "Unary"));
            var request = doing == "writing" ? Endless : new EchoRequest { DelayMs = doing == "idle" ? 60_000 : 0 };
            await peer.SendDataAsync(1, FrameReaderTests.Frames([Google.Protobuf.MessageExtensions.ToByteArray(request)]), endStream: doing != "reading");
            await Wait.NextAsync(host.Echo.Starts, "the handler to start");
            if (i % 2 == 0)
            {
                await Task.Delay(10);
            }

            await peer.SendResetAsync(1, 8);
            Assert.EndsWith("CanceledException", await EndOfHandlerAsync(host), StringComparison.Ordinal);
        }

        await Wait.UntilAsync(() => host.Server.ActiveCalls == 0, "all calls to end");
        Assert.Empty(host.Log.Problems);
    }

    [Fact]
    public async Task A_connection_that_vanishes_cancels_its_calls()
    {
        await using var host = await TestHost.StartAsync();
        using (var peer = await Http2Peer.ConnectAsync(host.Address))
        {
            await peer.SendRequestAsync(1, "/eventvault.test.v1.Echo/Duplex");
            await peer.SendRequestAsync(3, "/eventvault.test.v1.Echo/ClientStream");
            await Wait.NextAsync(host.Echo.Starts, "the first handler");
            await Wait.NextAsync(host.Echo.Starts, "the second handler");
        }

        Assert.EndsWith("CanceledException", await EndOfHandlerAsync(host), StringComparison.Ordinal);
        Assert.EndsWith("CanceledException", await EndOfHandlerAsync(host), StringComparison.Ordinal);
        Assert.Empty(host.Log.Problems);
    }

    [Fact]
    public async Task A_handler_may_end_before_it_has_read_all_and_the_connection_stays_usable()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        await using var call = channel.Start(EchoService.ClientStream);
        call.Write(new EchoRequest { Fail = new EchoFailure { Code = (int)RpcCode.FailedPrecondition, Message = "enough" } });
        await call.FlushAsync();
        Assert.Equal("enough", (await Assert.ThrowsAsync<RpcException>(async () => await call.MoveNextAsync())).Message);
        var error = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            for (var i = 0; i < 1000; i++)
            {
                call.Write(new EchoRequest { Payload = Google.Protobuf.ByteString.CopyFrom(new byte[10_000]) });
                await call.FlushAsync();
            }
        });
        Assert.Equal((RpcCode.FailedPrecondition, "enough"), (error.Code, error.Message));
        Assert.Equal("t", (await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = "t" })).Text);
    }

    [Theory]
    [InlineData("Unary")]
    [InlineData("Duplex")]
    [InlineData("ServerStream")]
    public async Task The_deadline_ends_a_waiting_handler_on_both_sides(string kind)
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        var request = new EchoRequest { DelayMs = 60_000, ResponseSizes = { 1 } };

        // On a busy machine a short deadline may pass before the handler has started: then once more with a longer one.
        for (var timeout = TimeSpan.FromMilliseconds(200); host.Echo.Starts.Count == 0; timeout *= 2)
        {
            var options = new RpcCallOptions(Timeout: timeout);
            await using var call = kind == "Duplex" ? channel.Start(EchoService.Duplex, options) : channel.Start(kind == "Unary" ? EchoService.Unary : EchoService.ServerStream, request, options);
            var error = await Assert.ThrowsAsync<RpcException>(async () =>
            {
                if (kind == "Duplex")
                {
                    call.Write(request);
                    await call.FlushAsync();
                }

                await call.MoveNextAsync();
            });
            Assert.Equal(RpcCode.DeadlineExceeded, error.Code);
        }

        Assert.EndsWith("CanceledException", await EndOfHandlerAsync(host), StringComparison.Ordinal);
        Assert.Empty(host.Log.Problems);
    }

    // Fault 3: the timer may fire a moment before the clock says so. Many short deadlines, from a client that does not
    // watch its own: every status must be the server's DEADLINE_EXCEEDED.
    [Fact]
    public async Task A_deadline_seen_by_the_server_alone_is_always_deadline_exceeded()
    {
        await using var host = await TestHost.StartAsync();
        var body = FrameReaderTests.Frames([Google.Protobuf.MessageExtensions.ToByteArray(new EchoRequest { DelayMs = 60_000 })]);
        for (var i = 1; i <= 40; i++)
        {
            var status = await ServerProtocolTests.CallAsync(host, "/eventvault.test.v1.Echo/Unary", body, ("grpc-timeout", $"{i * 500}u"));
            Assert.Equal(RpcCode.DeadlineExceeded, status.Code);
        }
    }

    [Fact]
    public async Task The_deadline_wakes_a_write_that_the_client_does_not_take()
    {
        await using var host = await TestHost.StartAsync();
        using var peer = await Http2Peer.ConnectAsync(host.Address);
        await peer.SendRequestAsync(1, "/eventvault.test.v1.Echo/ServerStream", endStream: false, ("grpc-timeout", "500m"));
        await peer.SendDataAsync(1, FrameReaderTests.Frames([Google.Protobuf.MessageExtensions.ToByteArray(Endless)]), endStream: true);
        Assert.Equal(nameof(OperationCanceledException), (await EndOfHandlerAsync(host)).Replace("TaskC", "OperationC", StringComparison.Ordinal));
        Assert.InRange(host.Echo.BytesWritten, 1, 1 << 20);
    }

    [Fact]
    public async Task A_timeout_of_nothing_is_not_even_sent()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest(), new RpcCallOptions(Timeout: TimeSpan.Zero)));
        Assert.Equal((RpcCode.DeadlineExceeded, true), (error.Code, error.NotProcessed));
        Assert.Empty(host.Echo.Starts);
        Assert.Equal(0, channel.Buffers.Rented);
    }

    [Fact]
    public async Task The_handler_sees_its_deadline()
    {
        TimeSpan? left = null;
        DateTimeOffset? deadline = null;
        await using var host = await TestHost.StartAsync(configure: server => server.Use((context, next) =>
        {
            (left, deadline) = (context.TimeLeft, context.Deadline);
            return next(context);
        }));
        await using var channel = host.Connect();
        await channel.UnaryAsync(EchoService.Unary, new EchoRequest());
        Assert.Null(left);
        Assert.Null(deadline);
        await channel.UnaryAsync(EchoService.Unary, new EchoRequest(), new RpcCallOptions(Timeout: TimeSpan.FromHours(1)));
        Assert.InRange(left!.Value, TimeSpan.FromMinutes(59), TimeSpan.FromHours(1));
        Assert.InRange(deadline!.Value - DateTimeOffset.UtcNow, TimeSpan.FromMinutes(59), TimeSpan.FromHours(1));
        await channel.UnaryAsync(EchoService.Unary, new EchoRequest(), new RpcCallOptions(Timeout: TimeSpan.MaxValue));
        Assert.True(left > TimeSpan.FromDays(365));
    }

    private static async Task ReadToEndAsync(RpcCall<EchoRequest, EchoResponse> call)
    {
        while (await call.MoveNextAsync())
        {
        }
    }

    private static Task<string> EndOfHandlerAsync(TestHost host) => Wait.NextAsync(host.Echo.Ends, "the handler to end");
}
