namespace EventVault.Simulation.Checkers;

/// <summary>What a read is entitled to see.</summary>
internal enum Consistency
{
    /// <summary>Everything committed when it was sent.</summary>
    Linearizable,

    /// <summary>Everything up to a position.</summary>
    AtLeast,

    /// <summary>What the node has; never less than it has shown before.</summary>
    Local,
}

/// <summary>What is read.</summary>
internal enum ReadKind
{
    /// <summary>Events of a stream.</summary>
    Events,

    /// <summary>Events of the whole vault.</summary>
    All,

    /// <summary>A stream's last event.</summary>
    StreamHead,

    /// <summary>The vault's last event.</summary>
    Head,

    /// <summary>Streams by name.</summary>
    List,

    /// <summary>The first event at or after a time.</summary>
    Time,
}

/// <summary>What a reader asks for.</summary>
/// <param name="Kind">What is read.</param>
/// <param name="Consistency">What it must see.</param>
/// <param name="AtLeast">With <see cref="Consistency.AtLeast"/>: up to this position.</param>
/// <param name="Stream">Events, StreamHead: the stream. List: names behind this one.</param>
/// <param name="From">Events, All: the first version or position; backwards it may be behind the end. Time: the time.</param>
/// <param name="Most">At most so many events or streams.</param>
/// <param name="Backwards">Newest first.</param>
internal sealed record ReadRequest(
    ReadKind Kind, Consistency Consistency, long AtLeast = -1, string Stream = "", long From = 0, int Most = 100, bool Backwards = false)
{
    public override string ToString()
    {
        var consistency = Consistency == Consistency.AtLeast ? $"at least {AtLeast}" : $"{Consistency}";
        return $"read {Kind} {Stream} from {From}, most {Most}{(Backwards ? ", backwards" : "")}, {consistency}";
    }
}

/// <summary>One read of a client.</summary>
internal sealed class ReadOperation(int client, uint node, ReadRequest request) : Operation(client, node)
{
    public ReadRequest Request => request;

    protected override string What => request.ToString();
}

/// <summary>An event as a client saw it.</summary>
internal readonly record struct SeenEvent(string Stream, long Version, long Position, long RecordedAt, ulong Digest);

/// <summary>What a node answered to a read.</summary>
internal sealed class ReadAnswer
{
    /// <summary>The node's head when it read.</summary>
    public long Head { get; init; } = -1;

    /// <summary>Events, StreamHead (none or one), Time (none or one).</summary>
    public List<SeenEvent> Events { get; } = [];

    /// <summary>List: streams with their last version and its position.</summary>
    public List<(string Stream, long LastVersion, long LastPosition)> Streams { get; } = [];

    /// <summary>Time: the position found.</summary>
    public long Position { get; set; } = -1;

    public override string ToString() =>
        $"head {Head}, {Events.Count} events{(Events.Count > 0 ? $" {Events[0].Position}…{Events[^1].Position}" : "")}{(Streams.Count > 0 ? $", {Streams.Count} streams" : "")}";
}
