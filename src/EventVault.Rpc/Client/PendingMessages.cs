using EventVault.Rpc.Wire;
using Google.Protobuf;

namespace EventVault.Rpc.Client;

// The frames that wait for the next flush, in one rented buffer, so that many messages leave in one write. One
// owner: the call's writing side.
internal sealed class PendingMessages(BufferPool pool, bool gzip)
{
    private byte[]? _buffer;

    public int Length { get; private set; }

    public ReadOnlyMemory<byte> Memory => _buffer.AsMemory(0, Length);

    public void Add(IMessage message)
    {
        if (gzip)
        {
            AddCompressed(message.ToByteArray());
            return;
        }

        var size = message.CalculateSize();
        var frame = Reserve(Framing.HeaderBytes + size);
        Framing.WriteHeader(frame, compressed: false, size);
        message.WriteTo(frame.Slice(Framing.HeaderBytes, size));
        Length += Framing.HeaderBytes + size;
    }

    public void AddRaw(ReadOnlySpan<byte> encoded)
    {
        if (gzip)
        {
            AddCompressed(encoded);
            return;
        }

        AddFrame(encoded, compressed: false);
    }

    public void Clear() => Length = 0;

    public void Return()
    {
        if (_buffer is { } buffer)
        {
            _buffer = null;
            Length = 0;
            pool.Return(buffer);
        }
    }

    public void Abandon()
    {
        if (_buffer is { } buffer)
        {
            _buffer = null;
            Length = 0;
            pool.Abandon(buffer);
        }
    }

    private void AddCompressed(ReadOnlySpan<byte> encoded) => AddFrame(GzipCodec.Compress(encoded), compressed: true);

    private void AddFrame(ReadOnlySpan<byte> message, bool compressed)
    {
        var frame = Reserve(Framing.HeaderBytes + message.Length);
        Framing.WriteHeader(frame, compressed, message.Length);
        message.CopyTo(frame[Framing.HeaderBytes..]);
        Length += Framing.HeaderBytes + message.Length;
    }

    private Span<byte> Reserve(int bytes)
    {
        if (_buffer is null)
        {
            _buffer = pool.Rent(bytes);
        }
        else if (_buffer.Length - Length < bytes)
        {
            var larger = pool.Rent((int)Math.Min(Array.MaxLength, Math.Max(_buffer.Length * 2L, (long)Length + bytes)));
            _buffer.AsSpan(0, Length).CopyTo(larger);
            pool.Return(_buffer);
            _buffer = larger;
        }

        return _buffer.AsSpan(Length);
    }
}
