// Answers what other nodes ask of this one's segments. For every thread; answers few at a time and no faster than the rate that all who ask share,
// so that appends keep the disk and the network.
using EventVault.Storage;

namespace EventVault.Node.Peers.Shipping;

/// <summary>Hands out this node's segments.</summary>
internal sealed class SegmentShelf : IDisposable
{
    /// <summary>Pieces that are read at once: two of 1 MiB are what this takes of memory, beside what the network holds.</summary>
    private const int MostAtOnce = 2;

    /// <summary>What may go at once behind a rest, as a part of a second: a few pieces.</summary>
    private static readonly TimeSpan Burst = TimeSpan.FromMilliseconds(50);

    private readonly VaultStorage _storage;
    private readonly long _bytesPerSecond;
    private readonly TimeProvider _clock;
    private readonly SemaphoreSlim _turns = new(MostAtOnce, MostAtOnce);
    private long _freeAt; // Of the clock, in its ticks: when what was given out has been paid for.

    /// <param name="storage">Whose segments.</param>
    /// <param name="bytesPerSecond">For all who ask together; 0: no bound.</param>
    /// <param name="clock">Measures it.</param>
    public SegmentShelf(VaultStorage storage, long bytesPerSecond, TimeProvider clock)
    {
        Invariant.Check(bytesPerSecond >= 0);
        _storage = storage;
        _bytesPerSecond = bytesPerSecond;
        _clock = clock;
    }

    /// <summary>Which segments there are. Costs little.</summary>
    /// <exception cref="PeerRequestException">Refused.</exception>
    public byte[] Segments(ReadOnlySpan<byte> content)
    {
        try
        {
            return ShipMessages.SegmentsAnswer(_storage.Source.List(ShipMessages.ReadSegments(content), ShipMessages.MostSegments));
        }
        catch (DamageException e)
        {
            throw new PeerRequestException(e.Message, e);
        }
    }

    /// <summary>Bytes of one, without waiting: for whoever has other ways to keep the rate.</summary>
    /// <exception cref="PeerRequestException">Refused: it has another form now or is damaged, or the request is none.</exception>
    public byte[] SegmentBytes(ReadOnlySpan<byte> content)
    {
        var (segment, offset, length) = ShipMessages.ReadSegmentBytes(content, _storage.SegmentSizeBytes);
        length = (int)Math.Min(length, segment.LengthBytes - offset);
        var answer = ShipMessages.BytesAnswer(length, out var bytes);
        try
        {
            return _storage.Source.Read(segment, offset, bytes) == length
                ? ShipMessages.Seal(answer)
                : throw new PeerRequestException($"Segment {segment.Segment} has another form here now. Ask for the list again.");
        }
        catch (DamageException e)
        {
            throw new PeerRequestException(e.Message, e);
        }
    }

    /// <summary>Bytes of one, when the rate allows it and others have had theirs.</summary>
    /// <exception cref="PeerRequestException">Refused: it has another form now, or the request is none.</exception>
    public async Task<byte[]> SegmentBytesAsync(ReadOnlyMemory<byte> content, CancellationToken cancellation)
    {
        await _turns.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            var answer = SegmentBytes(content.Span);
            var wait = Charge(answer.Length);
            if (wait > TimeSpan.Zero)
            {
                await Task.Delay(wait, _clock, cancellation).ConfigureAwait(false);
            }

            return answer;
        }
        finally
        {
            _turns.Release();
        }
    }

    public void Dispose() => _turns.Dispose();

    /// <summary>How long whoever takes so many bytes now has to wait for them.</summary>
    internal TimeSpan Charge(int bytes)
    {
        if (_bytesPerSecond == 0)
        {
            return TimeSpan.Zero;
        }

        var now = _clock.GetTimestamp();
        var perSecond = _clock.TimestampFrequency;
        var burst = (long)(Burst.TotalSeconds * perSecond);
        var cost = (long)((double)bytes / _bytesPerSecond * perSecond);
        while (true)
        {
            var freeAt = Volatile.Read(ref _freeAt);
            var after = Math.Max(freeAt, now - burst) + cost;
            if (Interlocked.CompareExchange(ref _freeAt, after, freeAt) == freeAt)
            {
                return after <= now ? TimeSpan.Zero : _clock.GetElapsedTime(now, after);
            }
        }
    }
}
