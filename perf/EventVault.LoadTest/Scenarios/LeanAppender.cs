using System.Buffers.Binary;
using System.Text;
using EventVault.LoadTest.Running;
using EventVault.Protocol;
using Google.Protobuf;

namespace EventVault.LoadTest.Scenarios;

/// <summary>Encodes the appends of one copy without objects, each at the version behind the one before, and sends them. For one append at a time.</summary>
/// <param name="channel">Where they go.</param>
/// <param name="stream">The copy's own, of fewer than 128 bytes.</param>
/// <param name="events">In each append.</param>
/// <param name="data">Of the events.</param>
internal sealed class LeanAppender(LeanChannel channel, string stream, int events, Values<byte[]> data)
{
    private const int IdBytes = 16;

    // Tags of delimited fields, as in streams.proto. An operation's id and an event's have the same.
    private const byte Id = (1 << 3) | 2;
    private const byte Streams = (2 << 3) | 2;
    private const byte Stream = (1 << 3) | 2;
    private const byte Expected = (2 << 3) | 2;
    private const byte Events = (3 << 3) | 2;

    private readonly LeanChannel.Call _call = new();
    private readonly byte[] _stream = Encoding.UTF8.GetBytes(stream);
    private readonly long _run = Random.Shared.NextInt64();
    private byte[] _request = new byte[1024];
    private byte[] _inner = new byte[1024];
    private long _ids;
    private int _length;

    /// <summary>Appends at a version and waits for the answer.</summary>
    /// <param name="last">The stream's last version; below 0: it must not exist.</param>
    /// <exception cref="IOException">It was refused, or the connection is gone.</exception>
    public ValueTask AppendAsync(long last)
    {
        _length = 0;
        Delimited(Stream, _stream);
        var expected = last < 0 ? new ExpectedVersion { NoStream = new Empty() } : new ExpectedVersion { Version = (ulong)last };
        Delimited(Expected, expected.ToByteArray());
        for (var i = 0; i < events; i++)
        {
            var rest = new EventData { Type = EventBytes.Type, Data = UnsafeByteOperations.UnsafeWrap(data.Next()) };
            var size = rest.CalculateSize();
            Begin(Events, 2 + IdBytes + size);
            NewId();
            Reserve(size);
            rest.WriteTo(_request.AsSpan(_length, size));
            _length += size;
        }

        (_request, _inner) = (_inner, _request);
        var inner = _inner.AsSpan(0, _length);
        _length = 0;
        NewId();
        Delimited(Streams, inner);
        return channel.AppendAsync(_call, _request.AsSpan(0, _length));
    }

    private void NewId()
    {
        Begin(Id, IdBytes);
        Reserve(IdBytes);
        BinaryPrimitives.WriteInt64BigEndian(_request.AsSpan(_length), _run);
        BinaryPrimitives.WriteInt64BigEndian(_request.AsSpan(_length + sizeof(long)), ++_ids);
        _length += IdBytes;
    }

    private void Delimited(byte tag, ReadOnlySpan<byte> bytes)
    {
        Begin(tag, bytes.Length);
        Reserve(bytes.Length);
        bytes.CopyTo(_request.AsSpan(_length));
        _length += bytes.Length;
    }

    private void Begin(byte tag, int length)
    {
        const int MostVarintBytes = 5;
        Reserve(1 + MostVarintBytes);
        _request[_length++] = tag;
        for (var left = (uint)length; ; left >>= 7)
        {
            _request[_length++] = left < 0x80 ? (byte)left : (byte)(left | 0x80);
            if (left < 0x80)
            {
                return;
            }
        }
    }

    private void Reserve(int bytes)
    {
        if (_request.Length - _length < bytes)
        {
            Array.Resize(ref _request, Math.Max(2 * _request.Length, _length + bytes));
        }
    }
}
