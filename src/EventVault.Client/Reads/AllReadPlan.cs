namespace EventVault.Client;

/// <summary>A read of the whole vault.</summary>
internal sealed class AllReadPlan(ReadOptions options, SeenPosition seen) : ReadPlan<Protocol.ReadAllRequest>
{
    private readonly ReadRange _range = new(options, byVersion: false);
    private ReadHead? _head;

    public override bool IsComplete => _range.IsComplete;

    public override Protocol.ReadAllRequest NextRequest() => new()
    {
        From = _range.From,
        Until = _range.Until,
        Direction = _range.WireDirection,
        Limit = _range.RemainingLimit,
        IncludeSystem = options.IncludeSystem,
        Filter = options.Filter?.ToMessage(),
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
