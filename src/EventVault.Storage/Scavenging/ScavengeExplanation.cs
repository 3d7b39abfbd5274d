using EventVault.Storage.Index;
using EventVault.Storage.Log;

namespace EventVault.Storage.Scavenging;

/// <summary>Explains what a scavenge that started now would do, segment by segment. One thread, one page.</summary>
internal sealed class ScavengeExplanation
{
    /// <summary>Streams of the vault's own that are told apart. There are a handful.</summary>
    private const int MostSystemStreams = 1000;

    private readonly VaultStorage _storage;
    private readonly Position _head;
    private readonly LogView _view;
    private readonly ScavengeRules _rules;
    private readonly List<UInt128> _system = [];

    public ScavengeExplanation(VaultStorage storage)
    {
        _storage = storage;
        _head = storage.Head;
        _view = storage.View;
        _rules = new ScavengeRules(storage, _head);
        while (!_rules.IsComplete)
        {
            _rules.ReadPage();
        }

        foreach (var stream in storage.Streams.List("$"u8, default, MostSystemStreams))
        {
            _system.Add(StreamKey.Compute(stream.Name, storage.Meta.SipKey));
        }
    }

    /// <summary>Segments there are, sealed or not.</summary>
    public uint SegmentCount => (uint)(_view.Sealed.Length + _view.Unsealed.Length);

    /// <summary>Explains a segment.</summary>
    public SegmentExplanation Of(uint segment) =>
        segment < _view.Sealed.Length ? Of(_view.Sealed[segment]) : Of(_view.Unsealed[(int)segment - _view.Sealed.Length]);

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
        var plan = SegmentPlan.Make(segment, _rules, footer?.Appends ?? 0, _storage.OperationFloor);
        var system = 0L;
        foreach (var stream in _system)
        {
            system += index.Find(stream) is var entry and >= 0 ? index.Run(entry).Kept : 0;
        }

        var visible = index.KeptCount - plan.RemovableEvents - plan.HeldEvents - system;
        Invariant.Check(visible >= 0, "An event is of one kind only.");
        var freed = plan.Why is null ? Math.Max(0, segment.FileLength - plan.EstimatedLength) : plan.RemovableBytes;
        return new SegmentExplanation(
            record.Segment, record.FirstPosition, record.LastPosition, bytes, index.KeptCount, plan.RemovableEvents, freed, visible, system,
            plan.HeldEvents, plan.Why is null, plan.Why, at);
    }

    private SegmentExplanation Of(UnsealedSegment segment)
    {
        var index = segment.Index;
        var next = (int)(index.Segment - _view.Unsealed[0].Index.Segment) + 1;
        var last = next < _view.Unsealed.Length ? Math.Min(_head.Value, _view.Unsealed[next].Index.FirstPosition.Value - 1) : _head.Value;
        var events = (int)Math.Max(0, last - index.FirstPosition.Value + 1);
        long system = 0, hidden = 0;
        foreach (var stream in _system)
        {
            system += index.FindStream(stream) is var number and >= 0 ? index.Run(number, events, out _).Count : 0;
        }

        foreach (var stream in _rules.Streams)
        {
            if (index.FindStream(stream) is var number and >= 0)
            {
                var (first, count) = index.Run(number, events, out _);
                hidden += Math.Clamp(_rules.FirstVisible(stream).Value - first.Value, 0, count);
            }
        }

        var why = hidden > 0 ? $"it is still being written, or not sealed yet; {hidden} hidden events in it wait for that" : "it is still being written, or not sealed yet";
        return new SegmentExplanation(
            index.Segment, index.FirstPosition, events > 0 ? index.FirstPosition + (events - 1) : Position.None, _storage.SegmentSizeBytes, events,
            0, 0, events - system - hidden, system, 0, Rewrites: false, why, Position.None);
    }
}
