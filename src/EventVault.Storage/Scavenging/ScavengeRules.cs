// What may go as of a point of the log: pure, from the events of `$streams` up to there, so that all nodes agree whatever
// happened since.
using EventVault.Storage.Log;

namespace EventVault.Storage.Scavenging;

/// <summary>Gathers the rules, page by page. One thread; once complete for every thread.</summary>
/// <param name="storage">The vault.</param>
/// <param name="point">Events of <c>$streams</c> up to here count.</param>
internal sealed class ScavengeRules(VaultStorage storage, Position point)
{
    private readonly StreamReference _streams = storage.Reader.Reference(StreamLifeEvent.Stream);
    private readonly LifeHistory _lives = new();
    private readonly RetentionRules _retention = new();
    private StreamVersion _next = new(0);

    /// <summary>Up to where events count.</summary>
    public Position Point => point;

    /// <summary>Whether all of it was read.</summary>
    public bool IsComplete { get; private set; }

    /// <summary>Streams that are not whole.</summary>
    public IReadOnlyCollection<UInt128> Streams => _lives.Streams;

    /// <summary>Operation ids of appends in segments that end before it may go.</summary>
    public Position Floor => _lives.Scavenge.Floor;

    /// <summary>First version of a stream that can be read.</summary>
    public StreamVersion FirstVisible(UInt128 stream) => _lives.Of(stream).FirstVisible;

    /// <summary>Whether nothing of a stream may go.</summary>
    public bool IsHeld(ReadOnlySpan<byte> name) => _retention.IsHeld(name);

    /// <summary>Reads a page.</summary>
    public void ReadPage()
    {
        var last = storage.Reader.LastVersion(_streams);
        if (_next > last)
        {
            IsComplete = true;
            return;
        }

        var sink = new Sink { Rules = this };
        _next += storage.Reader.ReadWritten(_streams, _next, last, ref sink);
        IsComplete |= _next > last;
    }

    private bool Add(in EventView e)
    {
        if (e.Position > point)
        {
            IsComplete = true;
            return false;
        }

        _lives.Add(e, storage.Meta.SipKey);
        _retention.Add(e);
        return true;
    }

    private struct Sink : IEventSink
    {
        public ScavengeRules Rules;

        public readonly bool Accept(in EventView e) => Rules.Add(e);
    }
}
