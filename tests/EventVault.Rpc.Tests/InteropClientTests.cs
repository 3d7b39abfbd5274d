using System.Diagnostics;
using EventVault.Rpc.Tests.Support;
using EventVault.Rpc.Tests.Wire;
using Google.Protobuf;

namespace EventVault.Rpc.Tests;

/// <summary>Our client against a server nobody here wrote: the official cases on grpcio (tests/interop/python/server.py).</summary>
public class InteropClientTests
{
    private const string Whitespace = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";

    [InteropTheory("python")]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Our_client_passes_all_cases_on_grpcio(bool gzip)
    {
        using var process = Process.Start(new ProcessStartInfo("/usr/bin/python3", [Path.Combine(InteropTheoryAttribute.Folder, "python", "server.py")]) { RedirectStandardInput = true, RedirectStandardOutput = true })!;
        try
        {
            var port = await process.StandardOutput.ReadLineAsync().WaitAsync(Wait.Limit);
            await using var channel = new RpcChannel(new Uri($"http://127.0.0.1:{port}"));
            await RunAsync(channel, gzip);
        }
        finally
        {
            process.StandardInput.Close();
            using var timeout = new CancellationTokenSource(Wait.Limit);
            await process.WaitForExitAsync(timeout.Token);
        }
    }

    private static async Task RunAsync(RpcChannel channel, bool gzip)
    {
        var options = new RpcCallOptions(Timeout: Wait.Limit, Gzip: gzip);
        Assert.Empty((await channel.UnaryAsync(EchoService.Unary, new EchoRequest(), options)).Payload);
        var large = new EchoRequest { Payload = ByteString.CopyFrom(new byte[271828]), ResponseSizes = { 314159 }, Compress = gzip };
        Assert.Equal(314159, (await channel.UnaryAsync(EchoService.Unary, large, options)).Payload.Length);

        await StreamsAsync(channel, options);
        await StatusesAsync(channel, options);
        await MetadataAsync(channel, options);

        await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Payload = ByteString.CopyFrom(RandomBytes(17 << 20)) }, options));
        Assert.Equal("alive", (await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = "alive" }, options)).Text);
        var many = await Task.WhenAll(Enumerable.Range(0, 300).Select(i => channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = $"{i}" }, options).AsTask()));
        Assert.Equal(Enumerable.Range(0, 300).Select(i => $"{i}"), many.Select(a => a.Text));
        Assert.Equal(0, channel.Buffers.Rented);
    }

    private static async Task StreamsAsync(RpcChannel channel, RpcCallOptions options)
    {
        await using (var call = channel.Start(EchoService.ClientStream, options))
        {
            foreach (var size in new[] { 27182, 8, 1828, 45904 })
            {
                call.Write(new EchoRequest { Payload = ByteString.CopyFrom(new byte[size]) });
                await call.FlushAsync();
            }

            Assert.Equal(74922, (await call.SingleAsync()).Bytes);
        }

        int[] sizes = [31415, 9, 2653, 58979];
        await using (var call = channel.Start(EchoService.ServerStream, new EchoRequest { ResponseSizes = { sizes } }, options))
        {
            foreach (var size in sizes)
            {
                Assert.True(await call.MoveNextAsync());
                Assert.Equal(size, call.Current.Payload.Length);
            }

            Assert.False(await call.MoveNextAsync());
        }

        await using (var call = channel.Start(EchoService.Duplex, options))
        {
            foreach (var size in sizes)
            {
                call.Write(new EchoRequest { ResponseSizes = { size } });
                await call.FlushAsync();
                Assert.True(await call.MoveNextAsync());
                Assert.Equal(size, call.Current.Payload.Length);
            }

            await call.CompleteAsync();
            Assert.False(await call.MoveNextAsync());
        }

        await using (var call = channel.Start(EchoService.Duplex, options))
        {
            await call.CompleteAsync();
            Assert.False(await call.MoveNextAsync());
        }

        await using (var call = channel.Start(EchoService.ClientStream, options))
        {
            call.Cancel();
            Assert.Equal(RpcCode.Cancelled, (await Assert.ThrowsAsync<RpcException>(async () => await call.SingleAsync())).Code);
        }

        await using (var call = channel.Start(EchoService.ServerStream, new EchoRequest { ResponseSizes = { 1000 }, Repeat = 1_000_000 }, options))
        {
            Assert.True(await call.MoveNextAsync());
            call.Cancel();
            var error = await Assert.ThrowsAsync<RpcException>(async () =>
            {
                while (await call.MoveNextAsync())
                {
                }
            });
            Assert.Equal(RpcCode.Cancelled, error.Code);
        }
    }

    private static async Task StatusesAsync(RpcChannel channel, RpcCallOptions options)
    {
        var slow = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, new EchoRequest { DelayMs = 1000 }, options with { Timeout = TimeSpan.FromMilliseconds(200) }));
        Assert.Equal(RpcCode.DeadlineExceeded, slow.Code);
        for (var code = 1; code <= 16; code++)
        {
            var request = new EchoRequest { Fail = new EchoFailure { Code = code, Message = Whitespace, Detail = ByteString.CopyFrom(0, 1, 255) } };
            var error = await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Unary, request, options));
            Assert.Equal(((RpcCode)code, Whitespace), (error.Code, error.Message));
            Assert.True(error.Trailers.TryGetBinary("echo-detail-bin", out var detail));
            Assert.Equal([0, 1, 255], detail.ToArray());
        }

        Assert.Equal(RpcCode.Unimplemented, (await Assert.ThrowsAsync<RpcException>(async () => await channel.UnaryAsync(EchoService.Missing, new EchoRequest(), options))).Code);
    }

    private static async Task MetadataAsync(RpcChannel channel, RpcCallOptions options)
    {
        var headers = new RpcMetadata().Add("x-echo-initial", "test_initial_metadata_value").Add("x-echo-trailing-bin", new byte[] { 0xAB, 0xAB, 0xAB }.AsMemory());
        await using var call = channel.Start(EchoService.Unary, new EchoRequest { Text = "x" }, options with { Headers = headers });
        Assert.Equal("x", (await call.SingleAsync()).Text);
        Assert.True((await call.ResponseHeadersAsync()).TryGet("x-echo-initial", out var initial) && initial == "test_initial_metadata_value");
        Assert.True(call.Trailers.TryGetBinary("x-echo-trailing-bin", out var trailing));
        Assert.Equal([0xAB, 0xAB, 0xAB], trailing.ToArray());
    }

    private static byte[] RandomBytes(int length)
    {
        var bytes = new byte[length];
        new Random(1).NextBytes(bytes);
        return bytes;
    }
}
