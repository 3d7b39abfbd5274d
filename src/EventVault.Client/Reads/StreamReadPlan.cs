namespace EventVault.Client;

/// <summary>A read of one stream.</summary>
internal sealed class StreamReadPlan(string stream, ReadOptions options, SeenPosition seen) : ReadPlan<Protocol.ReadStreamRequest>
{
    private readonly ReadRange _range = new(options, byVersion: true);
    private ReadHead? _head;

    public override bool IsComplete => _range.IsComplete;

    public override Protocol.ReadStreamRequest NextRequest() => new()
    {
        Stream = stream,
        From = _range.From,
        Until = _range.Until,
        Direction = _range.WireDirection,
        Limit = _range.RemainingLimit,
        Consistency = ConsistencyOf(options.Consistency, _head, seen),
    };

    public override ReadHead Begin(ReadHead head)
    {
        _head = head;
        _range.Begin(head);
        return head;
    }

    public override void Accept(EventPage page) => _range.Accept(page);
}
