// What may go as of a point of the log: pure, from the events of `$streams` up to there, so that all nodes agree whatever
// happened since.
using EventVault.Storage.Log;

namespace EventVault.Storage.Scavenging;

/// <summary>Gathers the rules, piece by piece. One thread; once complete for every thread.</summary>
/// <remarks>
/// A restart begins with the first event again. A piece is as large as any other step of a scavenge: ten million events of 200
/// bytes are 2,000 of them, a minute or two at the usual rate.
/// </remarks>
/// <param name="storage">The vault.</param>
/// <param name="point">Events of <c>$streams</c> up to here count.</param>
internal sealed class ScavengeRules(VaultStorage storage, Position point) : IScavengeRules
{
    /// <summary>Read in one piece, as much as a rewrite reads. Bytes of records.</summary>
    internal const int PieceBytes = 1024 * 1024;

    private readonly StreamReference _streams = storage.Reader.Reference(StreamLifeEvent.Stream);
    private readonly LifeHistory _lives = new();
    private StreamVersion _next = new(0);

    /// <summary>Up to where events count.</summary>
    public Position Point => point;

    /// <summary>Whether all of it was read.</summary>
    public bool IsComplete { get; private set; }

    /// <inheritdoc/>
    public int Count => _lives.Streams.Count;

    /// <inheritdoc/>
    public IEnumerable<UInt128> Streams => _lives.Streams;

    /// <summary>Operation ids of appends in segments that end before it may go.</summary>
    public Position Floor => _lives.Scavenge.Floor;

    /// <inheritdoc/>
    public StreamVersion FirstVisible(UInt128 stream) => _lives.Of(stream).FirstVisible;

    /// <inheritdoc/>
    public bool IsHeld(ReadOnlySpan<byte> name) => _lives.Retention.IsHeld(name);

    /// <summary>Reads a piece.</summary>
    public void ReadPiece()
    {
        var last = storage.Reader.LastVersion(_streams);
        var sink = new Sink { Rules = this };
        while (!IsComplete && sink.Bytes < PieceBytes)
        {
            if (_next > last)
            {
                IsComplete = true;
                return;
            }

            _next += storage.Reader.ReadWritten(_streams, _next, last, ref sink);
        }
    }

    private bool Add(in EventView e)
    {
        if (e.Position > point && !Canary.Is(Canary.ScavengedByNow))
        {
            IsComplete = true;
            return false;
        }

        _lives.Add(e, storage.Meta.SipKey);
        return true;
    }

    private struct Sink : IEventSink
    {
        public ScavengeRules Rules;
        public long Bytes;

        public bool Accept(in EventView e)
        {
            Bytes += e.RecordLength;
            return Rules.Add(e);
        }
    }
}
