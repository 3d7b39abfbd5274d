using EventVault.Rpc.Tests.Support;
using EventVault.Rpc.Tests.Wire;
using Google.Protobuf;

namespace EventVault.Rpc.Tests;

/// <summary>Known ways to wear a server out over HTTP/2. Others must not feel it, and nothing may stay behind.</summary>
public class MisbehavingPeerTests
{
    private static readonly byte[] Endless = FrameReaderTests.Frames([new EchoRequest { ResponseSizes = { 1000 }, Repeat = long.MaxValue }.ToByteArray()]);

    [Theory]
    [InlineData("opens calls and resets them at once")]
    [InlineData("floods with pings and never reads")]
    [InlineData("never ends its headers")]
    [InlineData("says nothing")]
    [InlineData("opens endless streams and never reads")]
    [InlineData("shrinks its window to nothing")]
    public async Task Others_do_not_feel_a_peer_that(string does)
    {
        await using var host = await TestHost.StartAsync();
        await using var channel = host.Connect();
        var peers = new List<Http2Peer>();
        for (var i = 0; i < 3; i++)
        {
            var peer = await Http2Peer.ConnectAsync(host.Address);
            peers.Add(peer);
            try
            {
                await MisbehaveAsync(peer, does).WaitAsync(TimeSpan.FromSeconds(3));
            }
            catch (Exception e) when (e is IOException or TimeoutException)
            {
                // Refused: the connection was closed, or the server stopped reading it.
            }

            var answer = await channel.UnaryAsync(EchoService.Unary, new EchoRequest { Text = "t" }, new RpcCallOptions(Timeout: Wait.Limit));
            Assert.Equal("t", answer.Text);
        }

        peers.ForEach(p => p.Dispose());
        await Wait.UntilAsync(() => host.Server.ActiveCalls == 0, "all calls to end");
        Assert.True(!host.Log.Problems.Any(p => p.Contains("The handler of", StringComparison.Ordinal)), string.Join(Environment.NewLine, host.Log.Problems));
    }

    private static async Task MisbehaveAsync(Http2Peer peer, string does)
    {
        switch (does)
        {
            case "opens calls and resets them at once":
                for (var id = 1; id < 4000; id += 2)
                {
                    await peer.SendRequestAsync(id, "/eventvault.test.v1.Echo/Duplex");
                    await peer.SendResetAsync(id, 8);
                }

                break;
            case "floods with pings and never reads":
                for (var i = 0; i < 20_000; i++)
                {
                    await peer.SendAsync(FrameType.Ping, 0, 0, new byte[8]);
                }

                break;
            case "never ends its headers":
                await peer.SendAsync(FrameType.Headers, 0, 1, []);
                for (var i = 0; i < 1000; i++)
                {
                    await peer.SendAsync(FrameType.Continuation, 0, 1, [0, 1, (byte)'a', 100, .. new byte[100]]);
                }

                break;
            case "opens endless streams and never reads":
                for (var id = 1; id < 200; id += 2)
                {
                    await peer.SendRequestAsync(id, "/eventvault.test.v1.Echo/ServerStream");
                    await peer.SendDataAsync(id, Endless, endStream: true);
                }

                break;
            case "shrinks its window to nothing":
                await peer.SendAsync(FrameType.Settings, 0, 0, [0, 4, 0, 0, 0, 0]);
                await peer.SendRequestAsync(1, "/eventvault.test.v1.Echo/ServerStream");
                await peer.SendDataAsync(1, Endless, endStream: true);
                break;
            default:
                break;
        }
    }
}
