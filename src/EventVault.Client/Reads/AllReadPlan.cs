namespace EventVault.Client;

/// <summary>A read of the whole vault.</summary>
internal sealed class AllReadPlan(ReadOptions options) : ReadPlan<Protocol.ReadAllRequest>
{
    private readonly ReadRange _range = new(options, byVersion: false);

    public override bool IsComplete => _range.IsComplete;

    public override Protocol.ReadAllRequest NextRequest() => new()
    {
        From = _range.From,
        Until = _range.Until,
        Direction = _range.WireDirection,
        Limit = _range.RemainingLimit,
        IncludeSystem = options.IncludeSystem,
    };

    public override void Begin(ReadHead head) => _range.Begin(head);

    public override void Accept(EventPage page) => _range.Accept(page);
}
