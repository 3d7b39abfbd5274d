// Unary appends over one HTTP/2 connection at next to no cost of the client's own: what a node can do for clients that are not ours, whatever
// they are written in. No general client: it knows one method, one shape of answer, and takes anything else for a failure of the connection.
//
// One thread reads. It takes all frames that have come, completes their calls on itself, and sends what those asked for next in one write.
// So nothing of a call may block.
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Runtime.ExceptionServices;
using System.Text;
using System.Threading.Tasks.Sources;

namespace EventVault.LoadTest.Scenarios;

/// <summary>One connection to <c>Streams/Append</c> of a node, in clear text. Calls from any threads.</summary>
internal sealed class LeanChannel : IDisposable
{
    // Frame types and flags of RFC 9113, section 6.
    private const byte Data = 0;
    private const byte Headers = 1;
    private const byte Settings = 4;
    private const byte Ping = 6;
    private const byte WindowUpdate = 8;
    private const byte EndStream = 1;
    private const byte Ack = 1;
    private const byte EndHeaders = 4;
    private const int FrameHeaderBytes = 9;

    // What a gRPC message begins with: a flag and its length.
    private const int MessageHeaderBytes = 5;

    // Bytes of a frame that every peer takes (SETTINGS_MAX_FRAME_SIZE at its least).
    private const int MostFrameBytes = 16_384;

    // Bytes read at once: the answers of some thousand appends.
    private const int ReadBytes = 256 * 1024;

    // Bytes that the server may send before it hears of more room; told again when half of it is used.
    private const int WindowBytes = 1 << 30;

    private static readonly byte[] Preface = Encoding.ASCII.GetBytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

    // POST and http of the static table, then what the first request left in the dynamic one (RFC 7541): user-agent, te, content-type, authority, path.
    private static readonly byte[] LaterHeaders = [0x83, 0x86, 0x80 | 66, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62];

    private readonly Socket _socket;
    private readonly byte[] _firstHeaders;
    private readonly Lock _lock = new();
    private readonly Dictionary<int, Call> _calls = [];
    private readonly Thread _reader;
    private byte[] _unsent = new byte[64 * 1024];
    private int _unsentBytes;
    private int _nextStream = 1;
    private long _received;
    private volatile Exception? _failure;
    private volatile bool _disposed;

    /// <exception cref="SocketException">Nobody listens there.</exception>
    public LeanChannel(Uri address)
    {
        _firstHeaders = [0x83, 0x86, .. Literal(0x44, "/eventvault.v1.Streams/Append"), .. Literal(0x41, address.Authority), .. Literal(0x5F, "application/grpc"), 0x40, .. Text("te"), .. Text("trailers"), .. Literal(0x7A, "eventvault-lean")];
        _socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        _socket.Connect(new DnsEndPoint(address.Host, address.Port));
        Begin();
        _reader = new Thread(Run) { Name = "lean channel", IsBackground = true };
        _reader.Start();
    }

    /// <summary>Sends a request and waits for its answer.</summary>
    /// <param name="call">Of the caller, for one request at a time.</param>
    /// <param name="request">An encoded AppendRequest; copied.</param>
    /// <returns>Ends when the append was answered with success.</returns>
    /// <exception cref="IOException">It was refused, or the connection is gone.</exception>
    public ValueTask AppendAsync(Call call, ReadOnlySpan<byte> request)
    {
        var wait = call.Begin();
        lock (_lock)
        {
            if (_failure is { } failure)
            {
                ExceptionDispatchInfo.Throw(failure);
            }

            var headers = _nextStream == 1 ? _firstHeaders : LaterHeaders;
            var stream = _nextStream;
            _nextStream += 2;
            _calls.Add(stream, call);
            Frame(Headers, EndHeaders, stream, headers.Length);
            Write(headers);
            WriteMessage(stream, request);
            if (Thread.CurrentThread != _reader)
            {
                Send();
            }
        }

        return wait;
    }

    public void Dispose()
    {
        _disposed = true;
        _socket.Dispose();
        _reader.Join();
    }

    private static byte[] Literal(byte first, string value) => [first, .. Text(value)];

    // Without Huffman's code.
    private static byte[] Text(string value) => [(byte)value.Length, .. Encoding.ASCII.GetBytes(value)];

    private void Begin()
    {
        Write(Preface);
        Frame(Settings, 0, 0, 6);
        Write([0, 4, 0x40, 0, 0, 0]); // SETTINGS_INITIAL_WINDOW_SIZE, 1 GiB
        TellWindow(WindowBytes - 65_535);
        Send();
    }

    private void Run()
    {
        var bytes = new byte[ReadBytes];
        var held = 0;
        try
        {
            while (true)
            {
                var read = _socket.Receive(bytes.AsSpan(held));
                if (read == 0)
                {
                    throw new IOException("The node closed the connection.");
                }

                held += read;
                var used = 0;
                while (held - used >= FrameHeaderBytes)
                {
                    var length = (bytes[used] << 16) | (bytes[used + 1] << 8) | bytes[used + 2];
                    if (held - used < FrameHeaderBytes + length)
                    {
                        break;
                    }

                    Take(bytes.AsSpan(used, FrameHeaderBytes + length));
                    used += FrameHeaderBytes + length;
                }

                bytes.AsSpan(used, held - used).CopyTo(bytes);
                held -= used;
                lock (_lock)
                {
                    Send();
                }
            }
        }
        catch (Exception e)
        {
            // The boundary of the thread: whoever waits must hear of it.
            Fail(_disposed ? new IOException("The channel was disposed.", e) : e);
        }
    }

    private void Take(ReadOnlySpan<byte> frame)
    {
        var (type, flags, stream) = (frame[3], frame[4], BinaryPrimitives.ReadInt32BigEndian(frame[5..]));
        switch (type)
        {
            case Data:
                Count(frame.Length - FrameHeaderBytes);
                CallOf(stream).HasMessage = true;
                break;
            case Headers when (flags & EndHeaders) == 0:
                throw new IOException("The node sent headers in several frames, which this client does not read.");
            case Headers when (flags & EndStream) != 0:
                End(stream);
                break;
            case Headers:
                break;
            case Settings when (flags & Ack) == 0:
                Answer(Settings, []);
                break;
            case Ping when (flags & Ack) == 0:
                Answer(Ping, frame[FrameHeaderBytes..]);
                break;
            case Settings or Ping or WindowUpdate:
                // The server's windows are far larger than what is in flight.
                break;
            default:
                throw new IOException($"The node sent a frame of type {type} on stream {stream}.");
        }
    }

    // A refused append has no message: its status stands in headers that are its trailers, too.
    private void End(int stream)
    {
        var call = CallOf(stream);
        lock (_lock)
        {
            _calls.Remove(stream);
        }

        call.End(call.HasMessage ? null : new IOException("The node refused an append."));
    }

    private Call CallOf(int stream)
    {
        lock (_lock)
        {
            return _calls[stream];
        }
    }

    private void Answer(byte type, ReadOnlySpan<byte> payload)
    {
        lock (_lock)
        {
            Frame(type, Ack, 0, payload.Length);
            Write(payload);
        }
    }

    private void Count(int bytes)
    {
        _received += bytes;
        if (_received >= WindowBytes / 2)
        {
            lock (_lock)
            {
                TellWindow((int)_received);
            }

            _received = 0;
        }
    }

    private void TellWindow(int bytes)
    {
        Frame(WindowUpdate, 0, 0, sizeof(int));
        Span<byte> increment = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32BigEndian(increment, bytes);
        Write(increment);
    }

    private void WriteMessage(int stream, ReadOnlySpan<byte> message)
    {
        var left = MessageHeaderBytes + message.Length;
        Span<byte> header = stackalloc byte[MessageHeaderBytes];
        header[0] = 0;
        BinaryPrimitives.WriteInt32BigEndian(header[1..], message.Length);
        for (var taken = 0; left > 0;)
        {
            var length = Math.Min(left, MostFrameBytes);
            left -= length;
            Frame(Data, left == 0 ? EndStream : (byte)0, stream, length);
            if (taken == 0)
            {
                Write(header);
                length -= MessageHeaderBytes;
            }

            Write(message.Slice(taken, length));
            taken += length;
        }
    }

    private void Frame(byte type, byte flags, int stream, int length)
    {
        Span<byte> header = [(byte)(length >> 16), (byte)(length >> 8), (byte)length, type, flags, 0, 0, 0, 0];
        BinaryPrimitives.WriteInt32BigEndian(header[5..], stream);
        Write(header);
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        if (_unsent.Length - _unsentBytes < bytes.Length)
        {
            Array.Resize(ref _unsent, Math.Max(2 * _unsent.Length, _unsentBytes + bytes.Length));
        }

        bytes.CopyTo(_unsent.AsSpan(_unsentBytes));
        _unsentBytes += bytes.Length;
    }

    private void Send()
    {
        var sent = 0;
        while (sent < _unsentBytes)
        {
            sent += _socket.Send(_unsent.AsSpan(sent, _unsentBytes - sent));
        }

        _unsentBytes = 0;
    }

    private void Fail(Exception failure)
    {
        List<Call> calls;
        lock (_lock)
        {
            _failure = failure;
            calls = [.. _calls.Values];
            _calls.Clear();
        }

        foreach (var call in calls)
        {
            call.End(new IOException("The connection is gone.", failure));
        }
    }

    /// <summary>A caller's place for one request after the other. Goes on on the channel's thread.</summary>
    public sealed class Call : IValueTaskSource
    {
        private ManualResetValueTaskSourceCore<bool> _source;

        internal bool HasMessage { get; set; }

        internal ValueTask Begin()
        {
            HasMessage = false;
            _source.Reset();
            return new ValueTask(this, _source.Version);
        }

        internal void End(Exception? failure)
        {
            if (failure is null)
            {
                _source.SetResult(true);
            }
            else
            {
                _source.SetException(failure);
            }
        }

        void IValueTaskSource.GetResult(short token) => _source.GetResult(token);

        ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _source.GetStatus(token);

        void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            _source.OnCompleted(continuation, state, token, flags);
    }
}
