// Events on their way to a reader: copied straight from the log into one encoded ReadResponse, without objects.
using System.Buffers;
using EventVault.Node.Metrics;
using EventVault.Storage;
using EventVault.Storage.Log;

namespace EventVault.Node.Services;

/// <summary>One message of events, and what is left out of it. For one call at a time; give it back by Dispose.</summary>
internal sealed class EventPage : IDisposable
{
    /// <summary>A message is full from here on, or before. Smaller ones gained nothing, larger ones only latency.</summary>
    public const int MostBytes = 64 * 1024;

    /// <summary>Room for the tags and lengths around the events, which are known only at the end.</summary>
    private const int Headroom = 2 * (1 + WireWriter.MaxVarintBytes);

    /// <summary>Tags, lengths and numbers of an event.</summary>
    private const int EventOverhead = 64;

    /// <summary>Room behind a full page for a last event that is not large.</summary>
    public const int RoomBytes = 16 * 1024;

    private readonly PageShare _share;
    private byte[] _bytes = []; // Rented while there is something in it: most pages wait for events, or for their client.
    private int _fullBytes = MostBytes;
    private int _end = Headroom;
    private bool _disposed;

    /// <summary>Begins a call's pages.</summary>
    /// <param name="share">Tells how large they may get.</param>
    public EventPage(PageShare share)
    {
        _share = share;
        share.Enter();
    }

    /// <summary>Whether events of the vault's own streams are taken.</summary>
    public bool IncludeSystem { get; init; } = true;

    /// <summary>Events before it are left out.</summary>
    public Position MinPosition { get; init; } = Position.None;

    /// <summary>Events recorded before it are left out.</summary>
    public long MinTime { get; init; } = long.MinValue;

    /// <summary>How many more events may be taken, over all messages.</summary>
    public long Remaining { get; set; } = long.MaxValue;

    /// <summary>At most this many events; 0: no limit.</summary>
    public ulong Limit
    {
        init => Remaining = value == 0 ? long.MaxValue : (long)Math.Min(value, long.MaxValue);
    }

    /// <summary>Told of what was handed out; null: nobody counts.</summary>
    public ReadFigures? Figures { get; init; }

    /// <summary>Whether the traces of its events are told that they were delivered.</summary>
    public bool IsDelivery { get; init; }

    /// <summary>Events in it.</summary>
    public int Count { get; private set; }

    /// <summary>Bytes of its events.</summary>
    public int Length => _end - Headroom;

    /// <summary>Whether its last event made it larger than a page is meant to be.</summary>
    public bool IsLarge => Length > _fullBytes + RoomBytes;

    public bool IsEmpty => _end == Headroom;

    public bool IsFull => _end >= _fullBytes || Remaining == 0;

    /// <summary>Empties the page, once it is written, and gives its memory back: the reader may be slow.</summary>
    public void Clear()
    {
        _end = Headroom;
        Count = 0;
        if (_bytes.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_bytes);
            _bytes = [];
        }
    }

    /// <summary>The encoded <c>ReadResponse</c>. Valid until the page is cleared.</summary>
    public ReadOnlySpan<byte> Encode()
    {
        // ReadResponse.events (2) holds the EventList, whose events (1) are all there already.
        var length = _end - Headroom;
        Span<byte> header = stackalloc byte[Headroom];
        var headerLength = WireWriter.DelimitedHeader(header, 0, 2, length);
        var start = Headroom - headerLength;
        header[..headerLength].CopyTo(_bytes.AsSpan(start));
        return _bytes.AsSpan(start, _end - start);
    }

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            Clear();
            _share.Leave();
        }
    }

    private bool Add(in EventView e)
    {
        if ((!IncludeSystem && e.IsSystem) || e.Position < MinPosition || e.RecordedAt < MinTime)
        {
            return true;
        }

        var most = e.Stream.Length + e.EventData.Length + EventOverhead;
        if (_end + most > _bytes.Length)
        {
            Grow(_end + most);
        }

        var version = (ulong)e.Version.Value;
        var position = (ulong)e.Position.Value;
        var length = WireWriter.DelimitedFieldBytes(e.Stream.Length) + WireWriter.VarintFieldBytes(version) + WireWriter.VarintFieldBytes(position)
            + WireWriter.Fixed64FieldBytes + WireWriter.DelimitedFieldBytes(e.EventData.Length);
        var bytes = _bytes.AsSpan();
        var at = WireWriter.DelimitedHeader(bytes, _end, 1, length);
        at = WireWriter.DelimitedField(bytes, at, 1, e.Stream);
        at = WireWriter.VarintField(bytes, at, 2, version);
        at = WireWriter.VarintField(bytes, at, 3, position);
        at = WireWriter.Fixed64Field(bytes, at, 4, e.RecordedAt);
        _end = WireWriter.DelimitedField(bytes, at, 5, e.EventData);
        Count++;
        Remaining--;
        if (IsDelivery && Tracing.ContextOf(e.EventData) is { } trace)
        {
            Tracing.Delivered(trace, Errors.Name(e.Stream), e.Position.Value);
        }

        return !IsFull;
    }

    private void Grow(int needed)
    {
        if (_bytes.Length == 0)
        {
            _fullBytes = _share.FullBytes;
            _bytes = ArrayPool<byte>.Shared.Rent(Math.Max(needed, _fullBytes + RoomBytes));
            return;
        }

        var larger = ArrayPool<byte>.Shared.Rent(Math.Max(needed, 2 * _bytes.Length));
        _bytes.AsSpan(0, _end).CopyTo(larger);
        ArrayPool<byte>.Shared.Return(_bytes);
        _bytes = larger;
    }

    /// <summary>Takes events into a page. A struct, so that the reader's loop is compiled for it.</summary>
    public readonly struct Sink(EventPage page) : IEventSink
    {
        public bool Accept(in EventView e) => page.Add(e);
    }
}
