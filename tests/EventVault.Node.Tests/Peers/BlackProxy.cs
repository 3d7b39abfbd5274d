using System.Net;
using System.Net.Sockets;

namespace EventVault.Node.Tests.Peers;

/// <summary>Stands between two nodes, and can swallow everything: connections stand, and nothing comes through.</summary>
internal sealed class BlackProxy : IAsyncDisposable
{
    private readonly string _target;
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stopping = new();
    private readonly List<Task> _pumps = [];
    private volatile bool _isBlack;

    public BlackProxy(string target)
    {
        _target = target;
        _listener.Start();
        _pumps.Add(AcceptAsync());
    }

    public string Address => _listener.LocalEndpoint.ToString()!;

    public bool IsBlack
    {
        get => _isBlack;
        set => _isBlack = value;
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        _listener.Stop();
        Task[] pumps;
        lock (_pumps)
        {
            pumps = [.. _pumps];
        }

        await Task.WhenAll(pumps);
        _stopping.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                var from = await _listener.AcceptSocketAsync(_stopping.Token);
                var to = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                await to.ConnectAsync(IPEndPoint.Parse(_target), _stopping.Token);
                lock (_pumps)
                {
                    _pumps.Add(PumpAsync(from, to));
                    _pumps.Add(PumpAsync(to, from));
                }
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException)
        {
        }
    }

    private async Task PumpAsync(Socket from, Socket to)
    {
        try
        {
            var buffer = new byte[64 * 1024];
            while (await from.ReceiveAsync(buffer, _stopping.Token) is > 0 and var read)
            {
                // What comes while it is black is lost for good, like the connection.
                if (!_isBlack)
                {
                    await to.SendAsync(buffer.AsMemory(0, read), _stopping.Token);
                }
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
        }

        if (!_isBlack)
        {
            from.Dispose();
            to.Dispose();
        }
    }
}
