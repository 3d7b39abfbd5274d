using EventVault.Rpc.Tests.Support;
using EventVault.Rpc.Tests.Wire;
using Google.Protobuf;

namespace EventVault.Rpc.Tests;

/// <summary>What a handler throws is what its caller sees, with metadata and typed details.</summary>
public class StatusTests
{
    private const string Whitespace = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";

    [Theory]
    [InlineData("Unary")]
    [InlineData("ServerStream")]
    [InlineData("ClientStream")]
    [InlineData("Duplex")]
    public async Task Code_message_and_binary_detail_arrive(string kind)
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        var detail = Enumerable.Range(0, 256).Select(i => (byte)i).ToArray();
        var request = new EchoRequest { Fail = new EchoFailure { Code = (int)RpcCode.Aborted, Message = Whitespace, Detail = ByteString.CopyFrom(detail) } };
        var error = await Assert.ThrowsAsync<RpcException>(() => RunAsync(channel, kind, request));
        Assert.Equal(RpcCode.Aborted, error.Code);
        Assert.Equal(Whitespace, error.Message);
        Assert.True(error.Trailers.TryGetBinary("echo-detail-bin", out var received));
        Assert.Equal(detail, received.ToArray());
        Assert.False(error.NotProcessed);
        Assert.Empty(host.Log.Problems);
    }

    [Fact]
    public async Task Every_code_arrives()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        for (var code = 1; code <= 16; code++)
        {
            var error = await Assert.ThrowsAsync<RpcException>(() => RunAsync(channel, "Unary", new EchoRequest { Fail = new EchoFailure { Code = code } }));
            Assert.Equal((RpcCode)code, error.Code);
        }
    }

    [Fact]
    public async Task A_failure_after_the_first_message_comes_behind_it()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        await using var call = channel.Start(EchoService.ServerStream, new EchoRequest
        {
            ResponseSizes = { 3 },
            Fail = new EchoFailure { Code = (int)RpcCode.DataLoss, Message = "damaged", Detail = ByteString.CopyFromUtf8("where") },
        });
        Assert.True(await call.MoveNextAsync());
        Assert.Equal(3, call.Current.Payload.Length);
        var error = await Assert.ThrowsAsync<RpcException>(async () => await call.MoveNextAsync());
        Assert.Equal((RpcCode.DataLoss, "damaged"), (error.Code, error.Message));
        Assert.True(call.Trailers.TryGetBinary("echo-detail-bin", out var detail));
        Assert.Equal("where"u8.ToArray(), detail.ToArray());
        Assert.Equal(RpcCode.DataLoss, (await Assert.ThrowsAsync<RpcException>(async () => await call.MoveNextAsync())).Code);
    }

    [Theory]
    [InlineData("Unary")]
    [InlineData("ServerStream")]
    [InlineData("ClientStream")]
    [InlineData("Duplex")]
    public async Task An_unexpected_exception_is_unknown_logged_and_its_text_stays_here(string kind)
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        var error = await Assert.ThrowsAsync<RpcException>(() => RunAsync(channel, kind, new EchoRequest { Fail = new EchoFailure { Code = 100, Message = "the secret" } }));
        Assert.Equal(RpcCode.Unknown, error.Code);
        Assert.DoesNotContain("secret", error.Message, StringComparison.Ordinal);
        Assert.Contains("the secret", Assert.Single(host.Log.Problems), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_handler_that_cancels_by_itself_is_cancelled()
    {
        await using var host = await TestHost.StartAsync(configure: server =>
            server.Unary(EchoService.Missing, (_, _) => throw new OperationCanceledException("mine")));
        await using var channel = host.Connect();
        var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Missing, new EchoRequest()));
        Assert.Equal(RpcCode.Cancelled, error.Code);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Metadata_goes_both_ways_text_and_binary(bool withMessage)
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        var headers = new RpcMetadata().Add("x-echo-initial", "test initial").Add("x-echo-trailing-bin", new byte[] { 0xAB, 0xAB, 0xAB }.AsMemory());
        await using var call = channel.Start(EchoService.ServerStream, withMessage ? new EchoRequest { ResponseSizes = { 1 } } : new EchoRequest(), new RpcCallOptions(Headers: headers));
        Assert.True((await call.ResponseHeadersAsync()).TryGet("x-echo-initial", out var initial));
        Assert.Equal("test initial", initial);
        Assert.Empty(call.Trailers);
        Assert.Equal(withMessage, await call.MoveNextAsync());
        if (withMessage)
        {
            Assert.False(await call.MoveNextAsync());
        }

        Assert.True(call.Trailers.TryGetBinary("x-echo-trailing-bin", out var trailing));
        Assert.Equal([0xAB, 0xAB, 0xAB], trailing.ToArray());
    }

    // A flush without a message starts the response too: the status must then go into the trailers.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Headers_sent_early_do_not_lose_the_status(bool byFlush)
    {
        await using var host = await TestHost.StartAsync(configure: server => server.ServerStreaming(EchoService.ServerStreamRaw, async (request, writer, context) =>
        {
            await (byFlush ? writer.FlushAsync() : context.SendHeadersAsync());
            throw new RpcException(RpcCode.NotFound, "nothing here");
        }));
        await using var channel = host.Connect();
        await using var call = channel.Start(EchoService.ServerStreamRaw, new EchoRequest());
        await call.ResponseHeadersAsync();
        var error = await Assert.ThrowsAsync<RpcException>(async () => await call.MoveNextAsync());
        Assert.Equal((RpcCode.NotFound, "nothing here"), (error.Code, error.Message));
    }

    [Fact]
    public async Task Gzip_works_in_both_directions()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        var payload = ByteString.CopyFrom(new byte[300_000]);
        await using var call = channel.Start(EchoService.Duplex, new RpcCallOptions(Gzip: true));
        call.Write(new EchoRequest { Payload = payload, Compress = true });
        Assert.InRange(call.PendingBytes, 6, 10_000);
        call.WriteRaw(new EchoRequest { Payload = payload, Compress = true }.ToByteArray());
        await call.CompleteAsync();
        Assert.True(await call.MoveNextAsync());
        Assert.Equal(payload, call.Current.Payload);
        Assert.True(await call.MoveNextRawAsync());
        Assert.Equal(payload, EchoResponse.Parser.ParseFrom(call.RawMessage.Span).Payload);
        Assert.False(await call.MoveNextAsync());
    }

    [Fact]
    public async Task A_server_without_gzip_refuses_it()
    {
        await using var host = await TestHost.StartAsync(options: log => new Server.RpcServerOptions { AllowGzip = false, Logger = log });
        await using var channel = host.Connect();
        var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest(), new RpcCallOptions(Gzip: true)));
        Assert.Equal(RpcCode.Unimplemented, error.Code);
        var plain = await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = "t", Compress = true });
        Assert.Equal("t", plain.Text);
    }

    private static async Task RunAsync(RpcChannel channel, string kind, EchoRequest request)
    {
        switch (kind)
        {
            case "Unary":
                await channel.UnaryAsync(EchoService.Unary, request);
                break;
            case "ServerStream":
                await using (var call = channel.Start(EchoService.ServerStream, request))
                {
                    await call.MoveNextAsync();
                }

                break;
            default:
                await using (var call = channel.Start(kind == "Duplex" ? EchoService.Duplex : EchoService.ClientStream))
                {
                    call.Write(request);
                    await call.FlushAsync();
                    await call.MoveNextAsync();
                }

                break;
        }
    }
}
