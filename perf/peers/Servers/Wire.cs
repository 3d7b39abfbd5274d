using System.Net.Sockets;
using System.Text;

namespace EventVault.Peers.Servers;

/// <summary>
/// One TCP connection to a server with a text protocol. Senders write into a buffer that one loop sends, so that requests made at
/// the same time leave together; one loop receives and hands the bytes to <see cref="Consume"/>.
/// </summary>
internal abstract class Wire : IAsyncDisposable
{
    private readonly Socket _socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly SemaphoreSlim _wake = new(0);
    private readonly Lock _lock = new();
    private WireBuffer _filling = new();
    private WireBuffer _sending = new();
    private bool _awake;
    private volatile bool _closed;
    private Task _loops = Task.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        _closed = true;
        _wake.Release();
        _socket.Dispose();
        await _loops;
        _wake.Dispose();
        GC.SuppressFinalize(this);
    }

    protected async Task DialAsync(int port)
    {
        await _socket.ConnectAsync("127.0.0.1", port);
        _loops = Task.WhenAll(Task.Run(SendAsync), Task.Run(ReceiveAsync));
    }

    /// <summary>Writes one request, alone.</summary>
    protected void Send<T>(T state, Action<WireBuffer, T> write)
    {
        if (_closed)
        {
            throw new IOException("The connection is closed.");
        }

        bool wake;
        lock (_lock)
        {
            write(_filling, state);
            wake = !_awake;
            _awake = true;
        }

        if (wake)
        {
            _wake.Release();
        }
    }

    /// <summary>Handles every complete message at the start of the bytes; returns how many bytes that was.</summary>
    protected abstract int Consume(ReadOnlySpan<byte> bytes);

    /// <summary>Fails what waits for an answer.</summary>
    protected abstract void OnClosed(Exception e);

    private async Task SendAsync()
    {
        try
        {
            while (!_closed)
            {
                await _wake.WaitAsync();
                while (TakeFilled())
                {
                    for (var sent = 0; sent < _sending.Length;)
                    {
                        sent += await _socket.SendAsync(_sending.Bytes.AsMemory(sent, _sending.Length - sent));
                    }

                    _sending.Clear();
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            Close(e);
        }
    }

    private bool TakeFilled()
    {
        lock (_lock)
        {
            if (_filling.Length == 0)
            {
                _awake = false;
                return false;
            }

            (_filling, _sending) = (_sending, _filling);
            return true;
        }
    }

    private async Task ReceiveAsync()
    {
        var buffer = new byte[1 << 18];
        var length = 0;
        try
        {
            while (true)
            {
                if (length == buffer.Length)
                {
                    Array.Resize(ref buffer, length * 2);
                }

                var received = await _socket.ReceiveAsync(buffer.AsMemory(length));
                if (received == 0)
                {
                    throw new IOException("The server closed the connection.");
                }

                length += received;
                var used = Consume(buffer.AsSpan(0, length));
                buffer.AsSpan(used, length - used).CopyTo(buffer);
                length -= used;
            }
        }
        catch (Exception e)
        {
            // The boundary of the loop: a message that can't be read ends the connection like one that is lost.
            Close(e);
        }
    }

    private void Close(Exception e)
    {
        if (!_closed)
        {
            _closed = true;
            _wake.Release();
        }

        OnClosed(e);
    }
}

/// <summary>Bytes to send.</summary>
internal sealed class WireBuffer
{
    public byte[] Bytes { get; private set; } = new byte[1 << 16];

    public int Length { get; private set; }

    public void Clear() => Length = 0;

    public void Add(ReadOnlySpan<byte> bytes) => bytes.CopyTo(Take(bytes.Length));

    public void Add(string ascii) => Encoding.ASCII.GetBytes(ascii, Take(ascii.Length));

    public void Add(long number)
    {
        Span<byte> digits = stackalloc byte[20];
        number.TryFormat(digits, out var count);
        Add(digits[..count]);
    }

    private Span<byte> Take(int count)
    {
        if (Length + count > Bytes.Length)
        {
            var larger = new byte[Math.Max(Bytes.Length * 2, Length + count)];
            Bytes.AsSpan(0, Length).CopyTo(larger);
            Bytes = larger;
        }

        Length += count;
        return Bytes.AsSpan(Length - count, count);
    }
}
