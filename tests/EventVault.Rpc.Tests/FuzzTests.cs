using EventVault.Rpc.Tests.Support;
using EventVault.Rpc.Tests.Wire;
using Google.Protobuf;

namespace EventVault.Rpc.Tests;

/// <summary>
/// Seeded nonsense on every level. A misbehaving peer may lose its call or its connection; the server goes on and
/// logs no fault of a handler. Set EVENTVAULT_FUZZ_ROUNDS for longer runs.
/// </summary>
public class FuzzTests
{
    private static readonly int Rounds = int.TryParse(Environment.GetEnvironmentVariable("EVENTVAULT_FUZZ_ROUNDS"), out var rounds) ? rounds : 150;
    private static readonly string[] Methods = ["Unary", "ServerStream", "ClientStream", "Duplex", "Missing", "Nothing"];
    private static readonly byte[] Valid = FrameReaderTests.Frames([new EchoRequest { Text = "hello", ResponseSizes = { 10 } }.ToByteArray(), new EchoRequest { Payload = ByteString.CopyFrom(new byte[300]) }.ToByteArray()]);

    [Fact]
    public async Task Malformed_message_frames_cost_their_call_alone()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        for (var seed = 0; seed < Rounds; seed++)
        {
            var random = new Random(seed);
            var body = Mutate(random, Valid);
            var status = await ServerProtocolTests.CallAsync(host, $"/eventvault.test.v1.Echo/{Methods[random.Next(Methods.Length)]}", body, random.Next(3) == 0 ? [("grpc-encoding", "gzip")] : []);
            Assert.True(
                status.Code is RpcCode.Ok or RpcCode.Internal or RpcCode.Unimplemented or RpcCode.ResourceExhausted || !Enum.IsDefined(status.Code) || host.Echo.Starts.Count > 0,
                $"seed {seed}: {status}");
            if (seed % 25 == 0)
            {
                Assert.Equal("t", (await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = "t" })).Text);
            }
        }

        Assert.Equal("t", (await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = "t" })).Text);
        await Wait.UntilAsync(() => host.Server.ActiveCalls == 0, "all calls to end");
    }

    [Fact]
    public async Task Malformed_http2_frames_cost_their_connection_alone()
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        for (var seed = 0; seed < Rounds; seed++)
        {
            var random = new Random(seed);
            using var peer = await Http2Peer.ConnectAsync(host.Address);
            try
            {
                await peer.SendRequestAsync(1, $"/eventvault.test.v1.Echo/{Methods[random.Next(4)]}");
                for (var i = random.Next(1, 8); i > 0; i--)
                {
                    var payload = new byte[random.Next(0, 60)];
                    random.NextBytes(payload);
                    switch (random.Next(5))
                    {
                        case 0:
                            await peer.SendBytesAsync(payload);
                            break;
                        case 1:
                            await peer.SendDataAsync(1, Mutate(random, Valid), endStream: random.Next(4) == 0);
                            break;
                        case 2:
                            await peer.SendHeadersAsync(random.Next(1, 9), endStream: random.Next(2) == 0, (":status", "200"), ("x", "y"));
                            break;
                        default:
                            await peer.SendAsync((FrameType)random.Next(0, 12), (byte)random.Next(256), random.Next(0, 8), payload);
                            break;
                    }
                }
            }
            catch (IOException)
            {
                // Kestrel has closed the connection already.
            }

            if (seed % 25 == 0)
            {
                Assert.Equal("t", (await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = "t" })).Text);
            }
        }

        await Wait.UntilAsync(() => host.Server.ActiveCalls == 0, "all calls to end");
        Assert.Equal("t", (await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = "t" })).Text);
        Assert.DoesNotContain(host.Log.Problems, p => p.Contains("The handler of", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_malformed_server_gives_the_client_errors_and_never_a_hang()
    {
        var seed = 0;
        await using var server = new ScriptedServer(async (peer, _) =>
        {
            while (true)
            {
                var request = await peer.ReadUntilAsync(f => f.Type == FrameType.Headers);
                var random = new Random(Volatile.Read(ref seed));
                var id = request.Stream;
                if (random.Next(8) != 0)
                {
                    await peer.SendHeadersAsync(id, endStream: false, (":status", random.Next(6) == 0 ? "500" : "200"), ("content-type", "application/grpc"), ("grpc-encoding", random.Next(3) == 0 ? "gzip" : "identity"));
                }

                for (var i = random.Next(0, 4); i > 0; i--)
                {
                    var payload = new byte[random.Next(0, 40)];
                    random.NextBytes(payload);
                    if (random.Next(3) == 0)
                    {
                        await peer.SendAsync((FrameType)random.Next(0, 12), (byte)random.Next(256), random.Next(2) == 0 ? id : 0, payload);
                    }
                    else
                    {
                        await peer.SendDataAsync(id, Mutate(random, Valid));
                    }
                }

                if (random.Next(2) == 0)
                {
                    await peer.SendHeadersAsync(id, endStream: true, ("grpc-status", random.Next(5) == 0 ? "x" : "0"), ("a-bin", "*"));
                }
                else
                {
                    await peer.SendResetAsync(id, (uint)random.Next(0, 16));
                }
            }
        });
        await using var channel = server.Connect(new RpcChannelOptions { MaxReceiveBytes = 1 << 20 });
        for (; seed < Rounds; seed++)
        {
            await using var call = channel.Start(EchoService.ServerStream, new EchoRequest(), new RpcCallOptions(Timeout: TimeSpan.FromSeconds(2)));
            try
            {
                while (await call.MoveNextAsync().AsTask().WaitAsync(Wait.Limit))
                {
                }
            }
            catch (RpcException)
            {
                // Any status will do; anything else fails the test.
            }
        }

        Assert.Equal(0, channel.Buffers.Rented);
    }

    private static byte[] Mutate(Random random, byte[] valid)
    {
        if (random.Next(10) == 0)
        {
            var noise = new byte[random.Next(0, 100)];
            random.NextBytes(noise);
            return noise;
        }

        var bytes = valid.ToArray();
        for (var i = random.Next(0, 6); i > 0; i--)
        {
            // The first bytes, where the frame headers are, more often than the rest.
            bytes[random.Next(random.Next(2) == 0 ? 20 : bytes.Length)] = (byte)random.Next(256);
        }

        return random.Next(3) == 0 ? bytes[..random.Next(bytes.Length)] : bytes;
    }
}
