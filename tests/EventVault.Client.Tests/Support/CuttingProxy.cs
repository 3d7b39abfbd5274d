using System.Net;
using System.Net.Sockets;

namespace EventVault.Client.Tests.Support;

/// <summary>Stands before a real node and cuts a connection on cue, after so many bytes of the node's answers.</summary>
internal sealed class CuttingProxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly int _nodePort;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _accepting;
    private long _left = long.MaxValue;
    private Func<Task> _meanwhileOf = () => Task.CompletedTask;
    private Task _when = Task.CompletedTask;
    private Task _meanwhile = Task.CompletedTask;
    private int _cuts;

    public CuttingProxy(string nodeAddress)
    {
        _nodePort = new Uri(nodeAddress).Port;
        _listener.Start();
        Address = $"eventvault://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}";
        _accepting = AcceptAsync();
    }

    public string Address { get; }

    /// <summary>How often it has cut.</summary>
    public int Cuts => Volatile.Read(ref _cuts);

    /// <summary>Cuts once, after so many bytes from now on.</summary>
    /// <param name="bytes">At least 1.</param>
    /// <param name="meanwhile">What happens before the client gets through to the node again; null: nothing.</param>
    /// <param name="when">
    /// No bytes more come, and the cut not before this: what the client has not read by then is lost to it. Null: it has a moment.
    /// </param>
    public void CutAfter(int bytes, Func<Task>? meanwhile = null, Task? when = null)
    {
        _meanwhileOf = meanwhile ?? (() => Task.CompletedTask);
        _when = when ?? Task.Delay(TimeSpan.FromMilliseconds(20));
        Interlocked.Exchange(ref _left, bytes);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        await _accepting;
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        var connections = new List<Task>();
        try
        {
            while (true)
            {
                connections.Add(ServeAsync(await _listener.AcceptTcpClientAsync(_stop.Token)));
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException)
        {
            await Task.WhenAll(connections);
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        using TcpClient from = client;
        using var to = new TcpClient();
        using var ends = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        try
        {
            await Volatile.Read(ref _meanwhile);
            await to.ConnectAsync(IPAddress.Loopback, _nodePort, ends.Token);
            Task asking = from.GetStream().CopyToAsync(to.GetStream(), ends.Token);
            await AnswerAsync(to.GetStream(), from.GetStream(), ends.Token);
            await ends.CancelAsync();
            await asking;
        }
        catch (Exception e) when (e is IOException or SocketException or OperationCanceledException)
        {
            // Either side is gone.
        }
    }

    private async Task AnswerAsync(NetworkStream node, NetworkStream client, CancellationToken cancellation)
    {
        byte[] buffer = new byte[16 << 10];
        while (await node.ReadAsync(buffer, cancellation) is > 0 and var read)
        {
            long left = Interlocked.Add(ref _left, -read);
            bool isCut = left <= 0 && left + read > 0;
            await client.WriteAsync(buffer.AsMemory(0, isCut ? (int)(left + read) : read), cancellation);
            if (isCut)
            {
                await _when.WaitAsync(cancellation);
                Interlocked.Exchange(ref _left, long.MaxValue);
                Interlocked.Increment(ref _cuts);
                Volatile.Write(ref _meanwhile, _meanwhileOf());
                return;
            }
        }
    }
}
