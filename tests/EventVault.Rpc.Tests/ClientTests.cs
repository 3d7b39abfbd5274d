using System.Net;
using System.Net.Sockets;
using EventVault.Rpc.Tests.Support;
using EventVault.Rpc.Tests.Wire;
using Google.Protobuf;

namespace EventVault.Rpc.Tests;

/// <summary>The client against servers that answer wrongly, stop in the middle or refuse.</summary>
public class ClientTests
{
    private static readonly (string, string)[] Ok = [(":status", "200"), ("content-type", "application/grpc")];
    private static readonly (string, string)[] StatusOk = [("grpc-status", "0")];
    private static readonly byte[] Message = FrameReaderTests.Frames([new EchoResponse { Text = "hello" }.ToByteArray()]);

    [Theory]
    [InlineData("400", RpcCode.Internal)]
    [InlineData("401", RpcCode.Unauthenticated)]
    [InlineData("403", RpcCode.PermissionDenied)]
    [InlineData("404", RpcCode.Unimplemented)]
    [InlineData("429", RpcCode.Unavailable)]
    [InlineData("502", RpcCode.Unavailable)]
    [InlineData("503", RpcCode.Unavailable)]
    [InlineData("504", RpcCode.Unavailable)]
    [InlineData("500", RpcCode.Unknown)]
    [InlineData("200", RpcCode.Unknown)]
    public async Task An_answer_without_status_is_mapped_from_http(string http, RpcCode code)
    {
        await using var server = Answering((peer, id) => peer.SendHeadersAsync(id, endStream: true, (":status", http), ("content-type", "text/html")));
        Assert.Equal(code, (await FailAsync(server)).Code);
    }

    [Fact]
    public async Task A_status_counts_more_than_the_http_code()
    {
        await using var server = Answering((peer, id) => peer.SendHeadersAsync(id, endStream: true, (":status", "503"), ("grpc-status", "9"), ("grpc-message", "no%20way")));
        var error = await FailAsync(server);
        Assert.Equal((RpcCode.FailedPrecondition, "no way"), (error.Code, error.Message));
    }

    [Theory]
    [InlineData("text/html")]
    [InlineData("application/grpc-web")]
    public async Task Another_content_type_is_unknown(string contentType)
    {
        await using var server = Answering((peer, id) => peer.SendHeadersAsync(id, endStream: true, (":status", "200"), ("content-type", contentType)));
        Assert.Equal(RpcCode.Unknown, (await FailAsync(server)).Code);
    }

    [Fact]
    public async Task An_answer_that_ends_without_status_is_unknown()
    {
        await using var server = Answering(async (peer, id) =>
        {
            await peer.SendHeadersAsync(id, endStream: false, Ok);
            await peer.SendDataAsync(id, Message, endStream: true);
        });
        Assert.Equal(RpcCode.Unknown, (await FailAsync(server)).Code);
    }

    [Theory]
    [InlineData(1, RpcCode.Internal, false)]
    [InlineData(2, RpcCode.Internal, false)]
    [InlineData(7, RpcCode.Unavailable, true)]
    [InlineData(8, RpcCode.Cancelled, false)]
    [InlineData(11, RpcCode.ResourceExhausted, false)]
    [InlineData(12, RpcCode.PermissionDenied, false)]
    [InlineData(13, RpcCode.Unavailable, false)]
    public async Task A_reset_is_mapped_from_its_code(uint http2Code, RpcCode code, bool notProcessed)
    {
        await using var server = Answering((peer, id) => peer.SendResetAsync(id, http2Code));
        var error = await FailAsync(server);
        Assert.Equal((code, notProcessed), (error.Code, error.NotProcessed));
    }

    // The HTTP client cancels the body of a stream that was reset; taken as the cause, that would look like a call that
    // was never sent, and a retry could append twice.
    [Theory]
    [InlineData(2, RpcCode.Internal)]
    [InlineData(8, RpcCode.Cancelled)]
    public async Task A_reset_before_the_headers_of_a_streaming_call_keeps_its_cause(uint http2Code, RpcCode code)
    {
        await using var server = Answering(async (peer, id) =>
        {
            await peer.ReadUntilAsync(f => f.Type == FrameType.Data && f.Payload.Length > 0);
            await peer.SendResetAsync(id, http2Code);
        });
        await using var channel = server.Connect();
        for (var i = 0; i < 10; i++)
        {
            await using var call = channel.Start(EchoService.Duplex);
            call.Write(new EchoRequest { Text = "x" });
            var error = await Assert.ThrowsAsync<RpcException>(async () =>
            {
                await call.FlushAsync(); // may see the reset first
                await call.MoveNextAsync().AsTask().WaitAsync(Wait.Limit);
            });
            Assert.Equal((code, false), (error.Code, error.NotProcessed));
        }
    }

    [Fact]
    public async Task A_connection_cut_under_a_streaming_call_may_have_been_processed()
    {
        await using var server = Answering(async (peer, id) =>
        {
            await peer.ReadUntilAsync(f => f.Type == FrameType.Data && f.Payload.Length > 0);
            peer.Dispose();
        });
        await using var channel = server.Connect();
        for (var i = 0; i < 10; i++)
        {
            await using var call = channel.Start(EchoService.Duplex);
            call.Write(new EchoRequest { Text = "x" });
            var error = await Assert.ThrowsAsync<RpcException>(async () =>
            {
                await call.FlushAsync(); // may see the cut first
                await call.MoveNextAsync().AsTask().WaitAsync(Wait.Limit);
            });
            Assert.Equal((RpcCode.Unavailable, false), (error.Code, error.NotProcessed));
        }
    }

    [Fact]
    public async Task A_connection_that_is_never_established_is_unavailable_and_not_processed()
    {
        await using var server = new ScriptedServer((peer, _) => DrainAsync(peer), handshake: false);
        var silent = new UriBuilder(server.Address) { Scheme = "https" }.Uri;
        await using var channel = new RpcChannel(silent, new RpcChannelOptions { ConnectTimeout = TimeSpan.FromMilliseconds(200) });
        var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest()));
        Assert.Equal((RpcCode.Unavailable, true), (error.Code, error.NotProcessed));
    }

    [Fact]
    public async Task Who_writes_without_a_connection_is_told_so()
    {
        Uri gone;
        await using (var server = new ScriptedServer((peer, _) => DrainAsync(peer)))
        {
            gone = server.Address;
        }

        await using var channel = new RpcChannel(gone);
        await using var call = channel.Start(EchoService.Duplex);
        call.Write(new EchoRequest { Text = "x" });
        var error = await Assert.ThrowsAsync<RpcException>(() => call.FlushAsync().AsTask().WaitAsync(Wait.Limit));
        Assert.Equal((RpcCode.Unavailable, true), (error.Code, error.NotProcessed));
    }

    [Fact]
    public async Task A_reset_in_the_middle_of_a_stream_is_mapped_too()
    {
        await using var server = Answering(async (peer, id) =>
        {
            await peer.SendHeadersAsync(id, endStream: false, Ok);
            await peer.SendDataAsync(id, Message[..4]);
            await peer.SendResetAsync(id, 11);
        });
        Assert.Equal(RpcCode.ResourceExhausted, (await FailAsync(server)).Code);
    }

    // Same as fault 1 on the server: INTERNAL, or a retry policy would repeat a poison message for ever.
    [Fact]
    public async Task An_unparseable_answer_is_internal_and_not_a_lost_connection()
    {
        await using var server = Answering(async (peer, id) =>
        {
            await peer.SendHeadersAsync(id, endStream: false, Ok);
            await peer.SendDataAsync(id, FrameReaderTests.Frames([[0xFF, 0xFF, 0xFF]]));
            await peer.SendHeadersAsync(id, endStream: true, StatusOk);
        });
        var error = await FailAsync(server);
        Assert.Equal((RpcCode.Internal, false), (error.Code, error.NotProcessed));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task None_or_two_messages_for_unary_are_unimplemented(int count)
    {
        await using var server = Answering(async (peer, id) =>
        {
            await peer.SendHeadersAsync(id, endStream: false, Ok);
            for (var i = 0; i < count; i++)
            {
                await peer.SendDataAsync(id, Message);
            }

            await peer.SendHeadersAsync(id, endStream: true, StatusOk);
        });
        Assert.Equal(RpcCode.Unimplemented, (await FailAsync(server)).Code);
    }

    [Theory]
    [InlineData("deflate")]
    [InlineData("zstd")]
    public async Task An_encoding_that_was_not_offered_is_internal(string encoding)
    {
        await using var server = Answering((peer, id) => peer.SendHeadersAsync(id, endStream: false, [.. Ok, ("grpc-encoding", encoding)]));
        Assert.Equal(RpcCode.Internal, (await FailAsync(server)).Code);
    }

    [Theory]
    [InlineData(new byte[] { 3, 0, 0, 0, 0 }, RpcCode.Internal)]
    [InlineData(new byte[] { 1, 0, 0, 0, 0 }, RpcCode.Internal)]
    [InlineData(new byte[] { 0, 0xFF, 0, 0, 0 }, RpcCode.ResourceExhausted)]
    public async Task A_malformed_frame_ends_the_call(byte[] frame, RpcCode code)
    {
        await using var server = Answering(async (peer, id) =>
        {
            await peer.SendHeadersAsync(id, endStream: false, Ok);
            await peer.SendDataAsync(id, frame);
        });
        Assert.Equal(code, (await FailAsync(server)).Code);
    }

    [Fact]
    public async Task An_end_inside_a_message_is_internal_even_with_an_ok_status()
    {
        await using var server = Answering(async (peer, id) =>
        {
            await peer.SendHeadersAsync(id, endStream: false, Ok);
            await peer.SendDataAsync(id, Message[..^1]);
            await peer.SendHeadersAsync(id, endStream: true, StatusOk);
        });
        Assert.Equal(RpcCode.Internal, (await FailAsync(server)).Code);
    }

    [Fact]
    public async Task Trailers_survive_values_that_are_not_base64()
    {
        await using var server = Answering((peer, id) =>
            peer.SendHeadersAsync(id, endStream: true, [.. Ok, ("grpc-status", "10"), ("bad-bin", "*"), ("good-bin", "AQI,Aw"), ("text", "t"), ("grpc-message", "%zz%41")]));
        var error = await FailAsync(server);
        Assert.Equal((RpcCode.Aborted, "%zzA"), (error.Code, error.Message));
        Assert.Equal(["good-bin", "good-bin", "text"], error.Trailers.Select(e => e.Key));
    }

    [Theory]
    [InlineData("headers")]
    [InlineData("message")]
    [InlineData("trailers")]
    [InlineData("nothing")]
    public async Task A_cut_connection_is_unavailable_and_may_have_been_processed(string where)
    {
        await using var server = Answering(async (peer, id) =>
        {
            if (where != "nothing")
            {
                await peer.SendHeadersAsync(id, endStream: false, Ok);
            }

            if (where is "message" or "trailers")
            {
                await peer.SendDataAsync(id, where == "message" ? Message[..7] : Message);
            }

            peer.Dispose();
        });
        var error = await FailAsync(server);
        Assert.Equal((RpcCode.Unavailable, false), (error.Code, error.NotProcessed));
    }

    [Fact]
    public async Task A_goaway_that_leaves_our_call_out_moves_it_to_a_new_connection()
    {
        await using var server = new ScriptedServer(async (peer, number) =>
        {
            var request = await peer.ReadUntilAsync(f => f.Type == FrameType.Headers);
            if (number == 0)
            {
                await peer.SendGoAwayAsync(0, 0);
                return;
            }

            await AnswerAsync(peer, request.Stream);
            await DrainAsync(peer);
        });
        await using var channel = server.Connect();
        Assert.Equal("hello", (await channel.UnaryAsync(EchoService.Unary, new EchoRequest())).Text);

        var moved = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var second = new ScriptedServer(async (peer, number) =>
        {
            var request = await peer.ReadUntilAsync(f => f.Type == FrameType.Headers);
            if (number == 0)
            {
                // Left open: were the old connection's end seen before GOAWAY, nobody could be sure any more.
                await peer.SendGoAwayAsync(0, 0);
                await DrainAsync(peer);
                return;
            }

            moved.SetResult();
            await peer.ReadUntilAsync(f => f.Type == FrameType.Data && f.Payload.Length > 0);
            await AnswerAsync(peer, request.Stream);
            await DrainAsync(peer);
        });
        await using var secondChannel = second.Connect();
        await using var call = secondChannel.Start(EchoService.ClientStream);
        // Where our opening flush was already on its way to the old connection, the call can't move: it ends at once.
        var answered = call.ResponseHeadersAsync().AsTask();
        var first = await Task.WhenAny(moved.Task, answered).WaitAsync(Wait.Limit);
        try
        {
            if (first == answered)
            {
                await answered;
            }

            call.Write(new EchoRequest { Text = "x" });
            Assert.Equal("hello", (await call.SingleAsync()).Text);
        }
        catch (RpcException e)
        {
            // The call could not move: it had written to the old connection already. GOAWAY says that it was not processed.
            Assert.Equal((RpcCode.Unavailable, true), (e.Code, e.NotProcessed));
        }
    }

    [Fact]
    public async Task A_goaway_after_messages_were_written_fails_as_not_processed()
    {
        await using var server = new ScriptedServer(async (peer, number) =>
        {
            await peer.ReadUntilAsync(f => f.Type == FrameType.Data && f.Payload.Length > 0);
            await peer.SendGoAwayAsync(0, 0);
        });
        await using var channel = server.Connect();
        await using var call = channel.Start(EchoService.Duplex);
        call.Write(new EchoRequest { Text = "x" });
        var error = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            await call.FlushAsync(); // may see the refusal first
            await call.MoveNextAsync().AsTask().WaitAsync(Wait.Limit);
        });
        Assert.Equal((RpcCode.Unavailable, true), (error.Code, error.NotProcessed));
    }

    [Fact]
    public async Task A_goaway_that_counts_our_call_lets_it_finish()
    {
        await using var server = new ScriptedServer(async (peer, number) =>
        {
            var request = await peer.ReadUntilAsync(f => f.Type == FrameType.Headers);
            await peer.SendGoAwayAsync(request.Stream, 0);
            await AnswerAsync(peer, request.Stream);
            await DrainAsync(peer);
        });
        await using var channel = server.Connect();
        Assert.Equal("hello", (await channel.UnaryAsync(EchoService.Unary, new EchoRequest())).Text);
        Assert.Equal("hello", (await channel.UnaryAsync(EchoService.Unary, new EchoRequest())).Text);
    }

    [Fact]
    public async Task A_server_that_always_goes_away_is_unavailable()
    {
        await using var server = new ScriptedServer(async (peer, number) =>
        {
            await peer.ReadUntilAsync(f => f.Type == FrameType.Headers);
            await peer.SendGoAwayAsync(0, 0);
        });
        Assert.Equal(RpcCode.Unavailable, (await FailAsync(server)).Code);
    }

    [Fact]
    public async Task Nobody_listening_is_unavailable_and_not_processed()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var address = new Uri($"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}");
        listener.Stop();
        await using var channel = new RpcChannel(address);
        var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest()));
        Assert.Equal((RpcCode.Unavailable, true), (error.Code, error.NotProcessed));
        Assert.Contains(address.ToString(), error.Message, StringComparison.Ordinal);
        Assert.Equal(0, channel.Buffers.Rented);
    }

    [Fact]
    public async Task A_peer_that_does_not_speak_http2_is_unavailable()
    {
        await using var server = new ScriptedServer((peer, _) => peer.SendBytesAsync("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"u8.ToArray()), handshake: false);
        await using var channel = server.Connect();
        var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest(), new RpcCallOptions(Timeout: Wait.Limit)));
        Assert.True(error.Code is RpcCode.Unavailable or RpcCode.Internal, error.ToString());
    }

    [Fact]
    public async Task An_untrusted_certificate_is_unavailable_and_not_processed()
    {
        await using var host = await TestHost.StartAsync(tls: true);
        await using var channel = new RpcChannel(host.Address);
        var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest()));
        Assert.Equal((RpcCode.Unavailable, true), (error.Code, error.NotProcessed));
        Assert.Contains("TLS", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("connecting")]
    [InlineData("headers")]
    [InlineData("messages")]
    public async Task The_deadline_counts_wherever_the_call_stands(string where)
    {
        var resets = 0;
        await using var server = new ScriptedServer(
            async (peer, _) =>
            {
                if (where == "connecting")
                {
                    await DrainAsync(peer);
                }

                var request = await peer.ReadUntilAsync(f => f.Type == FrameType.Headers);
                if (where == "messages")
                {
                    await peer.SendHeadersAsync(request.Stream, endStream: false, Ok);
                    await peer.SendDataAsync(request.Stream, Message);
                }

                var reset = await peer.ReadUntilAsync(f => f.Type == FrameType.RstStream);
                Assert.Equal(8u, reset.ErrorCode);
                Interlocked.Increment(ref resets);
            },
            handshake: where != "connecting");
        await using var channel = server.Connect();
        var timeout = TimeSpan.FromSeconds(where == "connecting" ? 0.3 : 2); // long enough to get there on a busy machine
        await using var call = channel.Start(EchoService.ServerStream, new EchoRequest(), new RpcCallOptions(Timeout: timeout));
        if (where == "messages")
        {
            Assert.True(await call.MoveNextAsync());
        }

        Assert.Equal(RpcCode.DeadlineExceeded, (await Assert.ThrowsAsync<RpcException>(() => call.MoveNextAsync().AsTask().WaitAsync(Wait.Limit))).Code);
        if (where != "connecting")
        {
            await Wait.UntilAsync(() => Volatile.Read(ref resets) == 1, "the reset to reach the server");
        }
    }

    [Fact]
    public async Task Cancelling_before_the_headers_resets_the_stream()
    {
        var reset = new TaskCompletionSource<uint>(TaskCreationOptions.RunContinuationsAsynchronously);
        var arrived = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = new ScriptedServer(async (peer, _) =>
        {
            await peer.ReadUntilAsync(f => f.Type == FrameType.Headers);
            arrived.SetResult();
            reset.SetResult((await peer.ReadUntilAsync(f => f.Type == FrameType.RstStream)).ErrorCode);
        });
        await using var channel = server.Connect();
        await using var call = channel.Start(EchoService.Duplex);
        await arrived.Task.WaitAsync(Wait.Limit);
        call.Cancel();
        Assert.Equal(RpcCode.Cancelled, (await Assert.ThrowsAsync<RpcException>(() => call.MoveNextAsync().AsTask().WaitAsync(Wait.Limit))).Code);
        Assert.Equal(8u, await reset.Task.WaitAsync(Wait.Limit));
    }

    [Theory]
    [InlineData("refused")]
    [InlineData("cancelled")]
    public async Task Nothing_of_a_request_comes_behind_its_reset(string end)
    {
        var arrived = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var reset = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var behindReset = -1;
        await using var server = new ScriptedServer(async (peer, _) =>
        {
            var request = await peer.ReadUntilAsync(f => f.Type == FrameType.Headers);
            await peer.SendWindowUpdateAsync(0, 1 << 30);
            await peer.SendWindowUpdateAsync(request.Stream, 1 << 30);

            // More than the streams' first window: now nothing but the socket holds the request up.
            for (var length = 0; length < 128 << 10;)
            {
                length += (await peer.ReadUntilAsync(f => f.Type == FrameType.Data)).Payload.Length;
            }

            if (end == "refused")
            {
                await peer.SendHeadersAsync(request.Stream, endStream: true, [.. Ok, ("grpc-status", "3")]);
            }

            arrived.SetResult();
            await ended.Task;
            while (await peer.ReadAsync() is { } frame)
            {
                if (frame.Type == FrameType.Headers)
                {
                    await AnswerAsync(peer, frame.Stream);
                    await DrainAsync(peer);
                    return;
                }

                if (frame.Stream == request.Stream && frame.Type == FrameType.RstStream)
                {
                    behindReset = 0;
                    reset.SetResult();
                }
                else if (frame.Stream == request.Stream && behindReset >= 0)
                {
                    behindReset++;
                }
            }
        });
        await using var channel = server.Connect();
        using var cancel = new CancellationTokenSource();
        var large = channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = new string('x', 48 << 20) }, cancellation: cancel.Token).AsTask();
        await arrived.Task.WaitAsync(Wait.Limit);
        if (end == "refused")
        {
            Assert.Equal(RpcCode.InvalidArgument, (await Assert.ThrowsAsync<RpcException>(() => large.WaitAsync(Wait.Limit))).Code);
        }
        else
        {
            await cancel.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => large.WaitAsync(Wait.Limit));
        }

        ended.SetResult();
        await reset.Task.WaitAsync(Wait.Limit);
        Assert.Equal("hello", (await channel.UnaryAsync(EchoService.Unary, new EchoRequest())).Text);
        Assert.Equal(0, behindReset);
    }

    [Fact]
    public async Task Misuse_is_told_apart_from_failure()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        Assert.Throws<ArgumentException>(() => channel.Start(EchoService.Duplex, new EchoRequest()));
        Assert.Throws<ArgumentException>(() => channel.Start(EchoService.Unary));
        Assert.Throws<ArgumentException>(() => new RpcChannel(new Uri("http://a/path")));
        Assert.Throws<ArgumentException>(() => new RpcChannel(new Uri("eventvault://a")));
        Assert.Throws<ArgumentException>(() => new RpcChannel(host.Address, new RpcChannelOptions { Connections = 0 }));
        var call = channel.Start(EchoService.Duplex);
        Assert.Throws<InvalidOperationException>(() => call.Current);
        await call.CompleteAsync();
        await call.CompleteAsync();
        Assert.Throws<InvalidOperationException>(() => call.Write(new EchoRequest()));
        await call.DisposeAsync();
        await call.DisposeAsync();
        await Assert.ThrowsAnyAsync<Exception>(async () => await call.MoveNextAsync());
    }

    [Fact]
    public async Task A_disposed_channel_lets_its_calls_finish_and_takes_no_more()
    {
        await using var host = await TestHost.StartAsync();
        var channel = host.Connect();
        await using var call = channel.Start(EchoService.Duplex);
        call.Write(new EchoRequest { Text = "1" });
        await call.FlushAsync();
        Assert.True(await call.MoveNextAsync());
        await channel.DisposeAsync();
        await channel.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest()));
        call.Write(new EchoRequest { Text = "2" });
        await call.CompleteAsync();
        Assert.True(await call.MoveNextAsync());
        Assert.Equal("2", call.Current.Text);
        Assert.False(await call.MoveNextAsync());
    }

    [Fact]
    public async Task Several_connections_share_the_calls_and_come_back_after_a_loss()
    {
        var connections = 0;
        var allAnswered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = new ScriptedServer(async (peer, _) =>
        {
            Interlocked.Increment(ref connections);
            for (var i = 0; i < 3; i++)
            {
                var request = await peer.ReadUntilAsync(f => f.Type == FrameType.Headers);
                await AnswerAsync(peer, request.Stream);
            }

            // A connection that is closed while its answer is still being read takes the answer with it.
            await allAnswered.Task;
        });
        await using var channel = server.Connect(new RpcChannelOptions { Connections = 2 });
        for (var i = 0; i < 6; i++)
        {
            await channel.UnaryAsync(EchoService.Unary, new EchoRequest());
        }

        Assert.Equal(2, connections);
        allAnswered.SetResult();
        await Wait.UntilAsync(
            () =>
            {
                try
                {
                    return channel.UnaryAsync(EchoService.Unary, new EchoRequest()).AsTask().GetAwaiter().GetResult().Text == "hello";
                }
                catch (RpcException)
                {
                    return false;
                }
            },
            "a new connection");
        Assert.True(connections > 2);
    }

    private static async Task AnswerAsync(Http2Peer peer, int id)
    {
        await peer.SendHeadersAsync(id, endStream: false, Ok);
        await peer.SendDataAsync(id, Message);
        await peer.SendHeadersAsync(id, endStream: true, StatusOk);
    }

    private static async Task DrainAsync(Http2Peer peer)
    {
        while (await peer.ReadAsync() is not null)
        {
        }
    }

    /// <summary>A server that answers every request in the same way.</summary>
    private static ScriptedServer Answering(Func<Http2Peer, int, Task> answer) => new(async (peer, _) =>
    {
        while (true)
        {
            var request = await peer.ReadUntilAsync(f => f.Type == FrameType.Headers);
            await answer(peer, request.Stream);
        }
    });

    private static async Task<RpcException> FailAsync(ScriptedServer server)
    {
        await using var channel = server.Connect();
        var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = "x" }, new RpcCallOptions(Timeout: Wait.Limit)));
        Assert.Equal(0, channel.Buffers.Rented);
        return error;
    }
}
