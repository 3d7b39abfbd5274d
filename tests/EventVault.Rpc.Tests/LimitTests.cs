using System.Buffers;
using System.Buffers.Binary;
using EventVault.Rpc.Server;
using EventVault.Rpc.Tests.Support;
using EventVault.Rpc.Tests.Wire;
using Google.Protobuf;

namespace EventVault.Rpc.Tests;

/// <summary>Sizes, back-pressure, idle streams.</summary>
public class LimitTests
{
    [Fact]
    public async Task A_request_of_the_limit_passes_and_a_larger_one_leaves_the_connection_usable()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect(new RpcChannelOptions { MaxReceiveBytes = 20 << 20 });
        var overhead = new EchoRequest { Payload = ByteString.CopyFrom(new byte[16 << 20]) }.CalculateSize() - (16 << 20);
        var largest = new byte[(16 << 20) - overhead];
        largest[^1] = 42;
        var response = await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Payload = UnsafeByteOperations.UnsafeWrap(largest) });
        Assert.True(response.Payload.Span.SequenceEqual(largest));

        foreach (var size in new[] { (16 << 20) - overhead + 1, 17 << 20, 40 << 20 })
        {
            var error = await Assert.ThrowsAsync<RpcException>(async () =>
                await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Payload = UnsafeByteOperations.UnsafeWrap(new byte[size]) }));
            Assert.Equal(RpcCode.ResourceExhausted, error.Code);
        }

        Assert.Equal("t", (await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = "t" })).Text);
        Assert.Equal(2, host.Echo.Starts.Count);
    }

    [Fact]
    public async Task The_client_refuses_an_answer_above_its_limit_and_the_server_one_above_its_own()
    {
        await using var host = await TestHost.StartAsync(options: log => new RpcServerOptions { MaxSendBytes = 100_000, Logger = log });
        await using var channel = host.Connect(new RpcChannelOptions { MaxReceiveBytes = 50_000 });
        foreach (var (size, limit) in new[] { (60_000, "receive limit of 50000"), (200_000, "send limit of 100000") })
        {
            var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest { ResponseSizes = { size } }));
            Assert.Equal(RpcCode.ResourceExhausted, error.Code);
            Assert.Contains(limit, error.Message, StringComparison.Ordinal);
        }

        Assert.Equal(40_000, (await channel.UnaryAsync(EchoService.Unary, new EchoRequest { ResponseSizes = { 40_000 } })).Payload.Length);
        Assert.Empty(host.Log.Problems);
    }

    [Fact]
    public async Task A_compressed_bomb_is_refused_on_both_sides()
    {
        await using var host = await TestHost.StartAsync(options: log => new RpcServerOptions { MaxReceiveBytes = 1 << 20, Logger = log });
        await using var channel = host.Connect(new RpcChannelOptions { MaxReceiveBytes = 1 << 20 });
        var big = new EchoRequest { Payload = ByteString.CopyFrom(new byte[2 << 20]) };
        var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, big, new RpcCallOptions(Gzip: true)));
        Assert.Equal(RpcCode.ResourceExhausted, error.Code);
        error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest { ResponseSizes = { 2 << 20 }, Compress = true }));
        Assert.Equal(RpcCode.ResourceExhausted, error.Code);
    }

    [Fact]
    public async Task Large_requests_are_refused_when_others_hold_all_there_is()
    {
        const int Length = 1 << 20;
        await using var host = await TestHost.StartAsync(options: log => new RpcServerOptions { MaxReceivingBytes = Length + (Length / 2), Logger = log });
        var receiving = host.Server.Receiving;
        await using var channel = host.Connect();
        var large = new EchoRequest { Payload = ByteString.CopyFrom(new byte[Length - 100]) };
        using var peer = await Http2Peer.ConnectAsync(host.Address);
        await SendPartAsync(peer, 1, Length, Length - 100);
        await Wait.UntilAsync(() => receiving.Taken == Length - 100, "what has arrived to be counted");

        var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, large));
        Assert.Equal(RpcCode.ResourceExhausted, error.Code);
        Assert.Equal("small", (await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = "small" })).Text);
        await Wait.UntilAsync(() => receiving.Taken == Length - 100, "what was refused to be given back");

        peer.Dispose();
        await Wait.UntilAsync(() => receiving.Taken == 0, "what the lost client sent to be given back");
        Assert.Equal(large.Payload.Length, (await channel.UnaryAsync(EchoService.Unary, large)).Payload.Length);
        await Wait.UntilAsync(() => receiving.Taken == 0, "what was answered to be given back");
    }

    [Fact]
    public async Task What_is_only_announced_keeps_nobody_out()
    {
        const int Length = 1 << 20;
        await using var host = await TestHost.StartAsync(options: log => new RpcServerOptions { MaxReceivingBytes = 2 * Length, Logger = log });
        await using var channel = host.Connect();
        using var peer = await Http2Peer.ConnectAsync(host.Address);
        for (var stream = 1; stream < 32; stream += 2)
        {
            await SendPartAsync(peer, stream, Length, 1000);
        }

        await Wait.UntilAsync(() => host.Server.Receiving.Taken == 16 * 1000, "all that has arrived to be counted");
        var large = new EchoRequest { Payload = ByteString.CopyFrom(new byte[Length - 100]) };
        Assert.Equal(large.Payload.Length, (await channel.UnaryAsync(EchoService.Unary, large)).Payload.Length);
    }

    [Fact]
    public async Task One_connection_takes_half_of_what_there_is()
    {
        const int Length = 512 << 10;
        await using var host = await TestHost.StartAsync(options: log => new RpcServerOptions { MaxReceivingBytes = 4 * Length, Logger = log });
        var receiving = host.Server.Receiving;
        await using var channel = host.Connect();
        using var peer = await Http2Peer.ConnectAsync(host.Address);
        for (var stream = 1; stream < 8; stream += 2)
        {
            await SendPartAsync(peer, stream, Length, Length - 100);
        }

        // Of four only as many stay as fit into the half; whatever was refused has been given back.
        await Wait.UntilAsync(() => host.Server.ActiveCalls == 2 && receiving.Taken == 2 * (Length - 100), "two of four to be refused");
        var large = new EchoRequest { Payload = ByteString.CopyFrom(new byte[(2 * Length) - 100]) };
        Assert.Equal(large.Payload.Length, (await channel.UnaryAsync(EchoService.Unary, large)).Payload.Length);
    }

    [Fact]
    public async Task A_large_message_that_no_longer_comes_is_given_up_when_its_room_is_wanted()
    {
        const int Length = 1 << 20;
        await using var host = await TestHost.StartAsync(options: log => new RpcServerOptions
        {
            MaxReceivingBytes = Length,
            ReceivePatience = TimeSpan.FromMilliseconds(20),
            Logger = log,
        });
        var receiving = host.Server.Receiving;
        using var peer = await Http2Peer.ConnectAsync(host.Address);
        await SendPartAsync(peer, 1, Length, 100_000);
        await Wait.UntilAsync(() => receiving.Taken == 100_000, "what has arrived to be counted");
        using var other = await Http2Peer.ConnectAsync(host.Address);
        await SendPartAsync(other, 1, Length, 500_000);

        // Once one of the two is gone there is room again, and the other one is not asked any more.
        await Wait.UntilAsync(() => host.Server.ActiveCalls <= 1 && !receiving.IsTight, "one of the two to be given up");
    }

    // A frame's header, which says how long it is, and the first so many bytes of it all.
    private static async Task SendPartAsync(Http2Peer peer, int stream, int announced, int bytes)
    {
        const int MostFrame = 16 << 10;
        await peer.SendRequestAsync(stream, "/eventvault.test.v1.Echo/Unary");
        var part = new byte[bytes];
        BinaryPrimitives.WriteInt32BigEndian(part.AsSpan(1), announced);
        for (var sent = 0; sent < bytes; sent += MostFrame)
        {
            await peer.SendDataAsync(stream, part[sent..Math.Min(bytes, sent + MostFrame)], endStream: false);
        }
    }

    [Fact]
    public async Task Room_for_a_large_answer_is_held_until_its_client_has_taken_it()
    {
        const int InitialWindowSize = 4; // RFC 9113, section 6.5.2.
        const int Length = 1 << 20;
        long held = 0;
        await using var host = await TestHost.StartAsync(options: log => new RpcServerOptions
        {
            Logger = log,
            HoldAnswer = (bytes, _) =>
            {
                Interlocked.Add(ref held, bytes);
                return ValueTask.FromResult<IDisposable>(new Then(() => Interlocked.Add(ref held, -bytes)));
            },
        });
        using var peer = await Http2Peer.ConnectAsync(host.Address, (InitialWindowSize, 0));
        var request = new EchoRequest { ResponseSizes = { Length } }.ToByteArray();
        await peer.SendRequestAsync(1, EchoService.Unary.Path);
        await peer.SendDataAsync(1, [0, 0, 0, 0, (byte)request.Length, .. request], endStream: true);
        await Wait.UntilAsync(() => Volatile.Read(ref held) >= Length, "room to be taken for the answer");
        Assert.Equal(1, host.Server.ActiveCalls);
        await peer.SendWindowUpdateAsync(0, 2 * Length);
        await peer.SendWindowUpdateAsync(1, 2 * Length);
        await Wait.UntilAsync(() => Volatile.Read(ref held) == 0, "room to be given back");

        // Who goes away gives it back, too.
        await peer.SendRequestAsync(3, EchoService.Unary.Path);
        await peer.SendDataAsync(3, [0, 0, 0, 0, (byte)request.Length, .. request], endStream: true);
        await Wait.UntilAsync(() => Volatile.Read(ref held) >= Length, "room to be taken for the answer");
        peer.Dispose();
        await Wait.UntilAsync(() => Volatile.Read(ref held) == 0, "room to be given back");
        await Wait.UntilAsync(() => host.Server.ActiveCalls == 0, "the calls to end");
    }

    [Fact]
    public async Task A_request_that_its_handler_has_dropped_takes_no_room_any_more()
    {
        var go = new TaskCompletionSource();
        await using var host = await TestHost.StartAsync(configure: server => server.ServerStreamingRaw(EchoService.ServerStreamRaw, async (request, writer, context) =>
        {
            var text = EchoRequest.Parser.ParseFrom(request).Payload.Length;
            context.DropRequest();
            writer.Write(new EchoResponse { Bytes = text });
            await writer.FlushAsync();
            await go.Task;
        }));
        await using var channel = host.Connect();
        foreach (var gzip in (bool[])[false, true])
        {
            await using var call = channel.Start(EchoService.ServerStreamRaw, new EchoRequest { Payload = ByteString.CopyFrom(new byte[1 << 20]) }, new RpcCallOptions(Gzip: gzip));
            Assert.True(await call.MoveNextAsync());
            Assert.Equal(1 << 20, call.Current.Bytes);
            Assert.NotEqual(0, host.Server.ActiveCalls);
            Assert.Equal(0, host.Server.Receiving.Taken);
        }

        go.SetResult();
    }

    [Fact]
    public async Task A_method_may_have_a_smaller_limit_and_health_has_one()
    {
        await using var host = await TestHost.StartAsync(configure: server =>
        {
            new Server.Health.HealthService().AddTo(server);
            server.LimitRequests(1000, path => path == EchoService.Unary.Path);
        });
        await using var channel = host.Connect();
        var text = new string('a', 2000);
        foreach (var gzip in (bool[])[false, true])
        {
            var options = new RpcCallOptions(Gzip: gzip);
            var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = text }, options));
            Assert.Equal(RpcCode.ResourceExhausted, error.Code);
            error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(HealthClient.Check, new Server.Health.HealthCheckRequest { Service = text }, options));
            Assert.Equal(RpcCode.ResourceExhausted, error.Code);
            await using var watch = channel.Start(HealthClient.Watch, new Server.Health.HealthCheckRequest { Service = text }, options);
            error = await Assert.ThrowsAsync<RpcException>(async () => await watch.MoveNextAsync());
            Assert.Equal(RpcCode.ResourceExhausted, error.Code);
        }

        Assert.Equal("short", (await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = "short" })).Text);
        await using var stream = channel.Start(EchoService.ServerStream, new EchoRequest { Text = text });
        Assert.True(await stream.MoveNextAsync());
        Assert.Equal(text, stream.Current.Text);
    }

    private sealed class Then(Action action) : IDisposable
    {
        public void Dispose() => action();
    }

    [Fact]
    public async Task A_call_that_has_ended_is_not_cut_short_any_more_nor_is_the_next_one()
    {
        RpcContext? ended = null;
        await using var host = await TestHost.StartAsync(configure: server => server.Use(async (context, next) =>
        {
            ended?.CutShort();
            ended = context;
            await next(context);
        }));
        await using var channel = host.Connect();
        for (var i = 0; i < 5; i++)
        {
            Assert.Equal("t", (await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = "t" })).Text);
        }

        await Wait.UntilAsync(() => host.Server.ActiveCalls == 0, "the last call to end");
        ended!.CutShort();
        Assert.Empty(host.Log.Problems);
    }

    // Kestrel ends bodies of more than 30 MB by default; only single messages are limited here.
    [Fact]
    public async Task A_client_stream_may_be_longer_than_any_message()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        await using var call = channel.Start(EchoService.ClientStream);
        var message = new EchoRequest { Payload = ByteString.CopyFrom(new byte[1 << 20]) }.ToByteArray();
        for (var i = 0; i < 64; i++)
        {
            call.WriteRaw(message);
            await call.FlushAsync();
        }

        var response = await call.SingleAsync();
        Assert.Equal((64, 64L << 20), (response.Messages, response.Bytes));
    }

    // With Kestrel's default data rates an idle stream loses its whole connection after some seconds. The default grace
    // period is 5 s; waiting it out is the only way to see that it does not apply.
    [Fact]
    public async Task An_idle_duplex_call_stays_open()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        await using var call = channel.Start(EchoService.Duplex);
        for (var i = 0; i < 2; i++)
        {
            call.Write(new EchoRequest { Payload = ByteString.CopyFrom(new byte[100]) });
            await call.FlushAsync();
            Assert.True(await call.MoveNextAsync());
            if (i == 0)
            {
                await Task.Delay(TimeSpan.FromSeconds(8));
            }
        }

        await call.CompleteAsync();
        Assert.False(await call.MoveNextAsync());
    }

    [Fact]
    public void Hosting_sets_the_limits_that_streams_need()
    {
        var options = new Microsoft.AspNetCore.Server.Kestrel.Core.KestrelServerOptions();
        options.ConfigureForRpc();
        Assert.Null(options.Limits.MinRequestBodyDataRate);
        Assert.Null(options.Limits.MinResponseDataRate);
        Assert.Equal(1000, options.Limits.Http2.MaxStreamsPerConnection);
        Assert.True(options.Limits.Http2.KeepAlivePingDelay < TimeSpan.MaxValue);
    }

    [Fact]
    public async Task A_slow_reader_stops_the_server_within_window_and_buffer()
    {
        await using var host = await TestHost.StartAsync();
        using var peer = await Http2Peer.ConnectAsync(host.Address);
        await peer.SendRequestAsync(1, "/eventvault.test.v1.Echo/ServerStream");
        await peer.SendDataAsync(1, FrameReaderTests.Frames([new EchoRequest { ResponseSizes = { 1000 }, Repeat = 100_000 }.ToByteArray()]), endStream: true);
        await Wait.NextAsync(host.Echo.Starts, "the handler");
        var before = -1L;
        await Wait.UntilAsync(
            () =>
            {
                Thread.Sleep(200);
                var now = host.Echo.BytesWritten;
                (before, var still) = (now, now == before && now >= 60_000);
                return still;
            },
            "the server to stop writing");

        // Window 64 KiB, Kestrel's buffer 64 KiB, our threshold 32 KiB; 1 MiB leaves room for changes there.
        Assert.InRange(host.Echo.BytesWritten, 1, 1 << 20);
        Assert.Empty(host.Echo.Ends);
    }

    [Fact]
    public async Task A_server_that_does_not_read_stops_the_client_and_cancel_wakes_it()
    {
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var host = await TestHost.StartAsync(configure: server => server.Use(async (context, next) =>
        {
            await release.Task.WaitAsync(context.Cancellation);
            await next(context);
        }));
        await using var channel = host.Connect();
        await using var call = channel.Start(EchoService.ClientStream);
        var message = new EchoRequest { Payload = ByteString.CopyFrom(new byte[1 << 20]) }.ToByteArray();
        Task flush;
        var sent = 0;
        do
        {
            Assert.True(sent++ < 64, "64 MiB went out although nobody reads");
            call.WriteRaw(message);
            flush = call.FlushAsync().AsTask();
        }
        while (await Task.WhenAny(flush, Task.Delay(3000)) == flush);
        Assert.Throws<InvalidOperationException>(() => call.FlushAsync().AsTask().GetAwaiter().GetResult());
        call.Cancel();
        Assert.Equal(RpcCode.Cancelled, (await Assert.ThrowsAsync<RpcException>(() => flush.WaitAsync(Wait.Limit))).Code);
        await call.DisposeAsync();
        Assert.Equal(0, channel.Buffers.Rented);
        await Wait.UntilAsync(() => host.Server.ActiveCalls == 0, "the server to notice");
        Assert.Empty(host.Log.Problems);
    }

    [Fact]
    public async Task Raw_messages_pass_through_both_sides_unparsed()
    {
        var seen = new List<byte[]>();
        await using var host = await TestHost.StartAsync(configure: server => server.UnaryRaw(EchoService.Missing, (request, context) =>
        {
            seen.Add(request.ToArray());
            return ValueTask.FromResult(new EchoResponse { Bytes = request.Length });
        }));
        await using var channel = host.Connect();
        var request = new EchoRequest { Payload = ByteString.CopyFrom(new byte[100_000]) };
        var response = await channel.UnaryAsync(EchoService.Missing, request);
        Assert.Equal(request.CalculateSize(), response.Bytes);
        Assert.Equal(request.ToByteArray(), Assert.Single(seen));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_unary_handler_that_writes_its_answer_itself_answers_exactly_once(int messages)
    {
        await using var host = await TestHost.StartAsync(configure: server => server.UnaryRaw(EchoService.Missing, (request, writer, context) =>
        {
            for (var i = 0; i < messages; i++)
            {
                writer.Write(new EchoResponse { Bytes = request.Length });
            }

            return ValueTask.CompletedTask;
        }));
        await using var channel = host.Connect();

        // The small one is there when the call is; the large one comes piece by piece.
        foreach (var bytes in new[] { 10, 200_000 })
        {
            var request = new EchoRequest { Payload = ByteString.CopyFrom(new byte[bytes]) };
            await using var call = channel.Start(EchoService.Missing, request);
            for (var i = 0; i < messages; i++)
            {
                Assert.True(await call.MoveNextAsync());
                Assert.Equal(request.CalculateSize(), call.Current.Bytes);
            }

            if (messages == 1)
            {
                Assert.False(await call.MoveNextAsync());
                continue;
            }

            Assert.Equal(RpcCode.Unknown, (await Assert.ThrowsAsync<RpcException>(() => call.MoveNextAsync().AsTask())).Code);
            Assert.Contains("exactly one", host.Log.Problems.Last(), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Requests_are_inspected_before_a_handler_that_writes_its_answer_itself_gets_them(bool takesLonger)
    {
        var handled = 0;
        await using var host = await TestHost.StartAsync(
            options: log => new RpcServerOptions
            {
                Logger = log,
                Inspect = async (request, _) =>
                {
                    var refused = EchoRequest.Parser.ParseFrom(request).Text == "refused";
                    if (takesLonger)
                    {
                        await Task.Yield();
                    }

                    if (refused)
                    {
                        throw new RpcException(RpcCode.PermissionDenied, "No.");
                    }
                },
            },
            configure: server => server.UnaryRaw(EchoService.Missing, (request, writer, context) =>
            {
                Interlocked.Increment(ref handled);
                writer.Write(new EchoResponse { Bytes = request.Length });
                return ValueTask.CompletedTask;
            }));
        await using var channel = host.Connect();
        foreach (var bytes in new[] { 10, 200_000 })
        {
            var payload = ByteString.CopyFrom(new byte[bytes]);
            var allowed = new EchoRequest { Payload = payload };
            Assert.Equal(allowed.CalculateSize(), (await channel.UnaryAsync(EchoService.Missing, allowed)).Bytes);
            var refused = await Assert.ThrowsAsync<RpcException>(() => channel.UnaryAsync(EchoService.Missing, new EchoRequest { Text = "refused", Payload = payload }).AsTask());
            Assert.Equal(RpcCode.PermissionDenied, refused.Code);
        }

        Assert.Equal(2, handled);
    }

    [Fact]
    public async Task A_frame_is_written_in_pieces_and_a_wrong_length_never_reaches_a_client_as_a_whole_message()
    {
        var read = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var host = await TestHost.StartAsync(configure: server => server.ServerStreamingRaw(EchoService.ServerStreamRaw, async (request, writer, context) =>
        {
            var good = new EchoResponse { Text = "good" }.ToByteArray();
            var frame = writer.BeginFrame(good.Length);
            frame.Write(good.AsSpan(0, 3));
            frame.Write(good.AsSpan(3));
            writer.WriteFrame(good);
            await writer.FlushAsync();
            Assert.Equal(2, writer.Messages);
            await read.Task.WaitAsync(context.Cancellation); // a reset may overtake what was sent before it
            frame = writer.BeginFrame(10);
            frame.Write(good.AsSpan(0, 3));
        }));
        await using var channel = host.Connect();
        await using var call = channel.Start(EchoService.ServerStreamRaw, new EchoRequest());
        Assert.True(await call.MoveNextAsync());
        Assert.Equal("good", call.Current.Text);
        Assert.True(await call.MoveNextRawAsync());
        Assert.Equal("good", EchoResponse.Parser.ParseFrom(call.RawMessage.Span).Text);
        read.SetResult();
        await Assert.ThrowsAsync<RpcException>(async () => await call.MoveNextAsync());
        Assert.Contains("lacks 7", Assert.Single(host.Log.Problems), StringComparison.Ordinal);
    }
}
