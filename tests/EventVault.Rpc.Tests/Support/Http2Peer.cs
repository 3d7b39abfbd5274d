using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;

namespace EventVault.Rpc.Tests.Support;

public enum FrameType : byte
{
    Data = 0,
    Headers = 1,
    Priority = 2,
    RstStream = 3,
    Settings = 4,
    PushPromise = 5,
    Ping = 6,
    GoAway = 7,
    WindowUpdate = 8,
    Continuation = 9,
}

public readonly record struct Http2Frame(FrameType Type, byte Flags, int Stream, byte[] Payload)
{
    public bool EndStream => Type is FrameType.Data or FrameType.Headers && (Flags & Http2Peer.EndStreamFlag) != 0;

    public uint ErrorCode => BinaryPrimitives.ReadUInt32BigEndian(Payload.AsSpan(Type == FrameType.GoAway ? 4 : 0));
}

/// <summary>HTTP/2 frame by frame, to say on purpose what no well-behaved peer would. Headers are sent uncompressed.</summary>
public sealed class Http2Peer(Stream stream) : IDisposable
{
    public const byte EndStreamFlag = 1;
    public const byte AckFlag = 1;
    public const byte EndHeadersFlag = 4;

    private static readonly byte[] Preface = Encoding.ASCII.GetBytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

    public static async Task<Http2Peer> ConnectAsync(Uri address, params (ushort Id, uint Value)[] settings)
    {
        var client = new TcpClient();
        await client.ConnectAsync(address.Host, address.Port);
        client.NoDelay = true;
        var peer = new Http2Peer(client.GetStream());
        await peer.SendBytesAsync(Preface);
        await peer.SendAsync(FrameType.Settings, 0, 0, [.. settings.SelectMany(Setting)]);
        return peer;
    }

    /// <summary>The server's side: takes the client's preface and says hello.</summary>
    public static async Task<Http2Peer> AcceptAsync(Stream stream, params (ushort Id, uint Value)[] settings)
    {
        var peer = new Http2Peer(stream);
        await stream.ReadExactlyAsync(new byte[Preface.Length]);
        await peer.SendAsync(FrameType.Settings, 0, 0, [.. settings.SelectMany(Setting)]);
        return peer;
    }

    public async Task SendBytesAsync(byte[] bytes)
    {
        await stream.WriteAsync(bytes);
        await stream.FlushAsync();
    }

    public Task SendAsync(FrameType type, byte flags, int streamId, byte[] payload) => SendBytesAsync(Frame(type, flags, streamId, payload));

    private static byte[] Frame(FrameType type, byte flags, int streamId, byte[] payload)
    {
        var frame = new byte[9 + payload.Length];
        frame[0] = (byte)(payload.Length >> 16);
        frame[1] = (byte)(payload.Length >> 8);
        frame[2] = (byte)payload.Length;
        frame[3] = (byte)type;
        frame[4] = flags;
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(5), streamId);
        payload.CopyTo(frame, 9);
        return frame;
    }

    public Task SendHeadersAsync(int streamId, bool endStream, params (string Name, string Value)[] headers) =>
        SendAsync(FrameType.Headers, (byte)(EndHeadersFlag | (endStream ? EndStreamFlag : 0)), streamId, Encode(headers));

    public Task SendDataAsync(int streamId, byte[] payload, bool endStream = false) =>
        SendAsync(FrameType.Data, endStream ? EndStreamFlag : (byte)0, streamId, payload);

    public Task SendResetAsync(int streamId, uint errorCode) => SendAsync(FrameType.RstStream, 0, streamId, BigEndian(errorCode));

    public Task SendWindowUpdateAsync(int streamId, uint bytes) => SendAsync(FrameType.WindowUpdate, 0, streamId, BigEndian(bytes));

    public Task SendGoAwayAsync(int lastStream, uint errorCode) => SendAsync(FrameType.GoAway, 0, 0, [.. BigEndian((uint)lastStream), .. BigEndian(errorCode)]);

    /// <summary>A gRPC request of one path, as the server wants it.</summary>
    public Task SendRequestAsync(int streamId, string path, bool endStream = false, params (string Name, string Value)[] more) =>
        SendHeadersAsync(
            streamId,
            endStream,
            [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"), ("content-type", "application/grpc"), ("te", "trailers"), .. more]);

    /// <summary>The bytes of many whole requests, on odd streams from the first one on.</summary>
    public static byte[] Requests(int firstStream, int count, string path, byte[] body)
    {
        using var bytes = new MemoryStream();
        var headers = Encode([(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"), ("content-type", "application/grpc"), ("te", "trailers")]);
        for (var i = 0; i < count; i++)
        {
            bytes.Write(Frame(FrameType.Headers, EndHeadersFlag, firstStream + (2 * i), headers));
            bytes.Write(Frame(FrameType.Data, EndStreamFlag, firstStream + (2 * i), body));
        }

        return bytes.ToArray();
    }

    /// <summary>Reads until so many streams have ended, without keeping anything.</summary>
    public async Task SkipStreamsAsync(int count, byte[] buffer)
    {
        using var timeout = new CancellationTokenSource(Wait.Limit);
        while (count > 0)
        {
            await stream.ReadExactlyAsync(buffer.AsMemory(0, 9), timeout.Token);
            var length = (buffer[0] << 16) | (buffer[1] << 8) | buffer[2];
            if ((FrameType)buffer[3] is FrameType.Data or FrameType.Headers && (buffer[4] & EndStreamFlag) != 0)
            {
                count--;
            }

            await stream.ReadExactlyAsync(buffer.AsMemory(0, length), timeout.Token);
        }
    }

    /// <summary>The next frame; null at the end of the connection. Settings and pings are acknowledged on the way.</summary>
    public async Task<Http2Frame?> ReadAsync()
    {
        using var timeout = new CancellationTokenSource(Wait.Limit);
        while (true)
        {
            var header = new byte[9];
            try
            {
                if (await stream.ReadAtLeastAsync(header, 9, throwOnEndOfStream: false, timeout.Token) < 9)
                {
                    return null;
                }

                var payload = new byte[(header[0] << 16) | (header[1] << 8) | header[2]];
                await stream.ReadExactlyAsync(payload, timeout.Token);
                var frame = new Http2Frame((FrameType)header[3], header[4], BinaryPrimitives.ReadInt32BigEndian(header.AsSpan(5)), payload);
                if (frame.Type is FrameType.Settings or FrameType.Ping)
                {
                    if ((frame.Flags & AckFlag) == 0)
                    {
                        await SendAsync(frame.Type, AckFlag, 0, frame.Type == FrameType.Ping ? payload : []);
                    }

                    continue;
                }

                return frame;
            }
            catch (IOException)
            {
                return null;
            }
        }
    }

    /// <summary>Reads on to the first frame that is asked for; fails if the connection ends before.</summary>
    public async Task<Http2Frame> ReadUntilAsync(Func<Http2Frame, bool> wanted)
    {
        while (await ReadAsync() is { } frame)
        {
            if (wanted(frame))
            {
                return frame;
            }
        }

        throw new InvalidOperationException("The connection ended before the frame that was waited for.");
    }

    public void Dispose() => stream.Dispose();

    private static byte[] Encode((string Name, string Value)[] headers)
    {
        var block = new List<byte>();
        foreach (var (name, value) in headers)
        {
            block.Add(0); // literal, without indexing, new name
            AddText(block, name);
            AddText(block, value);
        }

        return [.. block];
    }

    private static void AddText(List<byte> block, string text)
    {
        var bytes = Encoding.Latin1.GetBytes(text);
        if (bytes.Length < 127)
        {
            block.Add((byte)bytes.Length);
        }
        else
        {
            block.Add(127);
            var rest = bytes.Length - 127;
            for (; rest >= 128; rest >>= 7)
            {
                block.Add((byte)(rest | 128));
            }

            block.Add((byte)rest);
        }

        block.AddRange(bytes);
    }

    private static byte[] Setting((ushort Id, uint Value) setting) => [(byte)(setting.Id >> 8), (byte)setting.Id, .. BigEndian(setting.Value)];

    private static byte[] BigEndian(uint value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        return bytes;
    }
}
