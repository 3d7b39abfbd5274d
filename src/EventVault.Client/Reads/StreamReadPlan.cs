namespace EventVault.Client;

/// <summary>A read of one stream.</summary>
internal sealed class StreamReadPlan(string stream, ReadOptions options) : ReadPlan<Protocol.ReadStreamRequest>
{
    private readonly ReadRange _range = new(options, byVersion: true);

    public override bool IsComplete => _range.IsComplete;

    public override Protocol.ReadStreamRequest NextRequest() => new()
    {
        Stream = stream,
        From = _range.From,
        Until = _range.Until,
        Direction = _range.WireDirection,
        Limit = _range.RemainingLimit,
    };

    public override void Begin(ReadHead head) => _range.Begin(head);

    public override void Accept(EventPage page) => _range.Accept(page);
}
