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
    private int _refused;

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

    /// <summary>So many connections are ended as soon as they come, as by a node that is about to start.</summary>
    public int Refuses { get; init; }

    /// <summary>How many were.</summary>
    public int Refused => Volatile.Read(ref _refused);

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
                if (_refused < Refuses)
                {
                    Interlocked.Increment(ref _refused);
                    from.Dispose();
                    continue;
                }

                var to = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                try
                {
                    await to.ConnectAsync(IPEndPoint.Parse(_target), _stopping.Token);
                }
                catch (SocketException)
                {
                    // The node is not there just now, and may be again.
                    from.Dispose();
                    to.Dispose();
                    continue;
                }

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
