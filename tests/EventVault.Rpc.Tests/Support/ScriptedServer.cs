using System.Net;
using System.Net.Sockets;

namespace EventVault.Rpc.Tests.Support;

/// <summary>A server that does what a test tells it, right or wrong. The script runs once for each connection.</summary>
public sealed class ScriptedServer : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly List<Task> _connections = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _accepting;

    public ScriptedServer(Func<Http2Peer, int, Task> script, bool handshake = true)
    {
        _listener.Start();
        Address = new Uri($"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}");
        _accepting = AcceptAsync(script, handshake);
    }

    public Uri Address { get; }

    public RpcChannel Connect(RpcChannelOptions? options = null) => new(Address, options);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        await _accepting;
        await Task.WhenAll(_connections).WaitAsync(Wait.Limit);
        _stop.Dispose();
        _listener.Dispose();
    }

    private async Task AcceptAsync(Func<Http2Peer, int, Task> script, bool handshake)
    {
        try
        {
            for (var number = 0; !_stop.IsCancellationRequested; number++)
            {
                var client = await _listener.AcceptTcpClientAsync(_stop.Token);
                _connections.Add(RunAsync(client, script, handshake, number));
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Disposed.
        }
    }

    private async Task RunAsync(TcpClient client, Func<Http2Peer, int, Task> script, bool handshake, int number)
    {
        using (client)
        {
            client.NoDelay = true;
            await using var registration = _stop.Token.Register(client.Dispose);
            try
            {
                using var peer = handshake ? await Http2Peer.AcceptAsync(client.GetStream()) : new Http2Peer(client.GetStream());
                await script(peer, number);
            }
            catch (Exception e) when (e is IOException or ObjectDisposedException or InvalidOperationException or OperationCanceledException)
            {
                // The client has gone; the test says whether it should have.
            }
        }
    }
}
