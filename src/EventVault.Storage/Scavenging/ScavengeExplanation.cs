using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Storage.Scavenging;

/// <summary>
/// Explains what a scavenge that started now would do, segment by segment. One thread, one page. What is hidden and held it
/// takes from memory: nothing of <c>$streams</c> is read.
/// </summary>
internal sealed class ScavengeExplanation : IScavengeRules
{
    private readonly VaultStorage _storage;
    private readonly Position _head;
    private readonly LogView _view;
    private readonly RetentionRules _retention;
    private readonly UInt128 _system;

    public ScavengeExplanation(VaultStorage storage)
    {
        _storage = storage;
        _head = storage.Head;
        _view = storage.View;
        _retention = storage.Retention;
        _system = StreamKey.Compute(StreamLifeEvent.Stream, storage.Meta.SipKey);
        Count = storage.Lives.Count;
    }

    /// <inheritdoc/>
    public int Count { get; }

    /// <inheritdoc/>
    public IEnumerable<UInt128> Streams => Enumerable.Range(0, Count).Select(_storage.Lives.StreamAt);

    /// <inheritdoc/>
    public StreamVersion FirstVisible(UInt128 stream) => _storage.Lives.Of(stream).FirstVisible;

    /// <inheritdoc/>
    public bool IsHeld(ReadOnlySpan<byte> name) => _retention.IsHeld(name);

    /// <summary>Segments there are, sealed or not.</summary>
    public uint SegmentCount => (uint)(_view.Sealed.Length + _view.Unsealed.Length);

    /// <summary>Explains a segment.</summary>
    public SegmentExplanation Of(uint segment)
    {
        SealedSegment isSealed;
        using (var lease = _storage.LeaseView())
        {
            if (segment >= lease.View.Sealed.Length)
            {
                return Of(_view.Unsealed[(int)segment - _view.Sealed.Length].Index(lease));
            }

            // As it was at the beginning, unless it was sealed since: its index in memory is gone then.
            isSealed = segment < _view.Sealed.Length ? _view.Sealed[segment] : lease.View.Sealed[segment];
        }

        try
        {
            return Of(isSealed);
        }
        catch (Exception e) when (e is DamageException or IndexDamageException)
        {
            // A scavenge would pass it over, too.
            return new SegmentExplanation(
                segment, isSealed.FirstPosition, isSealed.Record.LastPosition, isSealed.FileLength, isSealed.Record.EventCount, 0, 0, 0, 0, 0,
                Rewrites: false, $"it is damaged: {e.Message}", isSealed.Scavenged?.Point ?? Position.None);
        }
    }

    private SegmentExplanation Of(SealedSegment segment)
    {
        var record = segment.Record;
        var index = segment.Index;
        var bytes = segment.FileLength + index.Mark.LengthBytes + segment.Keys.LengthBytes;
        var at = segment.Scavenged?.Point ?? Position.None;
        if (record.EventCount == 0)
        {
            return new SegmentExplanation(record.Segment, record.FirstPosition, Position.None, bytes, 0, 0, 0, 0, 0, 0, Rewrites: false, "it has no events", at);
        }

        var footer = Sealer.ReadFooter(_storage, record.Segment);
        var plan = SegmentPlan.Make(segment, this, footer?.Appends ?? 0, _storage.OperationFloor);
        long system = index.Find(_system) is var entry and >= 0 ? index.Run(entry).Kept : 0;
        var visible = index.KeptCount - plan.RemovableEvents - plan.HeldEvents - system;
        Invariant.Check(visible >= 0, "An event is of one kind only.");
        var freed = plan.Why is null ? Math.Max(0, segment.FileLength - plan.EstimatedLength) : plan.RemovableBytes + plan.RemovableAppendBytes;
        return new SegmentExplanation(
            record.Segment, record.FirstPosition, record.LastPosition, bytes, index.KeptCount, plan.RemovableEvents, freed, visible, system,
            plan.HeldEvents, plan.Why is null, plan.Why, at);
    }

    private SegmentExplanation Of(ActiveIndex index)
    {
        var next = (int)(index.Segment - _view.Unsealed[0].Number) + 1;
        var last = next < _view.Unsealed.Length ? Math.Min(_head.Value, _view.Unsealed[next].FirstPosition.Value - 1) : _head.Value;
        var events = (int)Math.Max(0, last - index.FirstPosition.Value + 1);
        long system = index.FindStream(_system) is var own and >= 0 ? index.Run(own, events, out _).Count : 0;
        var hidden = HiddenIn(index, events);
        var why = hidden > 0 ? $"it is still being written, or not sealed yet; {hidden} hidden events in it wait for that" : "it is still being written, or not sealed yet";
        return new SegmentExplanation(
            index.Segment, index.FirstPosition, events > 0 ? index.FirstPosition + (events - 1) : Position.None, _storage.SegmentSizeBytes, events,
            0, 0, events - system - hidden, system, 0, Rewrites: false, why, Position.None);
    }

    // Over the streams of the one that has fewer of them.
    private long HiddenIn(ActiveIndex index, int events)
    {
        var hidden = 0L;
        var bySegment = index.StreamCount < Count;
        for (var i = 0; i < (bySegment ? index.StreamCount : Count); i++)
        {
            var stream = bySegment ? index.StreamKeyOf(i) : _storage.Lives.StreamAt(i);
            if (index.FindStream(stream) is var number and >= 0)
            {
                var (first, count) = index.Run(number, events, out _);
                hidden += Math.Clamp(FirstVisible(stream).Value - first.Value, 0, count);
            }
        }

        return hidden;
    }
}
