using EventVault.Rpc.Tests.Support;
using EventVault.Rpc.Tests.Wire;
using Google.Protobuf;

namespace EventVault.Rpc.Tests;

/// <summary>The four call kinds end to end, in clear text and over TLS.</summary>
public class CallKindTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_unary_call_returns_what_was_sent(bool tls)
    {
        await using var host = await TestHost.StartAsync(tls);
        await using var channel = host.Connect();
        var response = await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Payload = ByteString.CopyFromUtf8("hello") });
        Assert.Equal("hello", response.Payload.ToStringUtf8());
        Assert.Empty(host.Log.Problems);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_server_stream_gives_all_messages_and_then_ends(bool tls)
    {
        await using var host = await TestHost.StartAsync(tls);
        await using var channel = host.Connect();
        await using var call = channel.Start(EchoService.ServerStream, new EchoRequest { ResponseSizes = { 0, 1, 70_000 }, Repeat = 3 });
        var sizes = new List<int>();
        while (await call.MoveNextAsync())
        {
            sizes.Add(call.Current.Payload.Length);
        }

        Assert.Equal([0, 1, 70_000, 0, 1, 70_000, 0, 1, 70_000], sizes);
        Assert.False(await call.MoveNextAsync());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_client_stream_is_counted(bool tls)
    {
        await using var host = await TestHost.StartAsync(tls);
        await using var channel = host.Connect();
        await using var call = channel.Start(EchoService.ClientStream);
        for (var i = 0; i < 100; i++)
        {
            call.Write(new EchoRequest { Payload = ByteString.CopyFrom(new byte[i]) });
            if (i % 10 == 0)
            {
                await call.FlushAsync();
            }
        }

        var response = await call.SingleAsync();
        Assert.Equal((100, 4950), (response.Messages, response.Bytes));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_duplex_call_answers_each_message_while_it_is_open(bool tls)
    {
        await using var host = await TestHost.StartAsync(tls);
        await using var channel = host.Connect();
        await using var call = channel.Start(EchoService.Duplex);
        foreach (var size in new[] { 27182, 8, 1828, 45904 })
        {
            call.Write(new EchoRequest { ResponseSizes = { size } });
            await call.FlushAsync();
            Assert.True(await call.MoveNextAsync());
            Assert.Equal(size, call.Current.Payload.Length);
        }

        await call.CompleteAsync();
        Assert.False(await call.MoveNextAsync());
    }

    // The HTTP client keeps the headers of a streaming request in its buffer until something is flushed; only on a new
    // connection they leave at once. A client that listens first would wait for ever.
    [Fact]
    public async Task A_duplex_handler_may_speak_first()
    {
        await using var host = await TestHost.StartAsync(configure: server => server.Use(async (context, next) =>
        {
            await context.SendHeadersAsync();
            await next(context);
        }));
        await using var channel = host.Connect();
        for (var i = 0; i < 20; i++)
        {
            await using var call = channel.Start(EchoService.Duplex, new RpcCallOptions(Timeout: Wait.Limit));
            await call.ResponseHeadersAsync();
            await call.CompleteAsync();
            Assert.False(await call.MoveNextAsync());
        }
    }

    [Fact]
    public async Task Two_thousand_concurrent_calls_pass_whatever_the_stream_limit()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        var calls = Enumerable.Range(0, 2000).Select(i => channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = $"{i}", DelayMs = 1 }).AsTask()).ToList();
        var answers = await Task.WhenAll(calls);
        Assert.Equal(Enumerable.Range(0, 2000).Select(i => $"{i}"), answers.Select(a => a.Text));
        Assert.Equal(0, channel.Buffers.Rented);
    }
}
