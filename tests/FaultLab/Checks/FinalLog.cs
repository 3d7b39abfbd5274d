namespace EventVault.FaultLab.Checks;

/// <summary>An event as it stands in the log of a stopped node.</summary>
internal sealed record LogEvent
{
    public required long Position { get; init; }

    public required string Stream { get; init; }

    public required long Version { get; init; }

    public required long RecordedAt { get; init; }

    public required ulong Digest { get; init; }

    public required Guid OperationId { get; init; }

    public IReadOnlyList<string> Tags { get; init; } = [];
}

/// <summary>A group of a node's log: equal digests are equal bytes, without what FORMAT.md calls node-local.</summary>
/// <param name="Index">Its log index.</param>
/// <param name="Term">Its term.</param>
/// <param name="Digest">Of its shared header and its body.</param>
internal readonly record struct LogGroup(ulong Index, ulong Term, ulong Digest);

/// <summary>The log of one node, after it was stopped.</summary>
/// <param name="Node">Its number.</param>
/// <param name="Groups">All groups, from index 1, committed or not.</param>
/// <param name="Events">All events of those groups.</param>
internal sealed record NodeLog(int Node, IReadOnlyList<LogGroup> Groups, IReadOnlyList<LogEvent> Events);

/// <summary>
/// What is committed at the end of a run: the truth that every operation is held against. Finds places in it by position, and by
/// stream and version.
/// </summary>
internal sealed class FinalLog
{
    private readonly Dictionary<string, List<long>> _streams = new(StringComparer.Ordinal);
    private readonly Dictionary<Guid, (long First, long Last)> _appends = [];

    public FinalLog(IReadOnlyList<LogEvent> events)
    {
        Events = events;
        for (var i = 0; i < events.Count; i++)
        {
            var e = events[i];
            if (!_streams.TryGetValue(e.Stream, out var positions))
            {
                _streams.Add(e.Stream, positions = []);
            }

            positions.Add(e.Position);
            _appends[e.OperationId] = _appends.TryGetValue(e.OperationId, out var range) ? (range.First, e.Position) : (e.Position, e.Position);
        }
    }

    /// <summary>By position.</summary>
    public IReadOnlyList<LogEvent> Events { get; }

    /// <summary>Position of the last event; -1: there is none.</summary>
    public long Head => Events.Count - 1;

    public IEnumerable<string> Streams => _streams.Keys;

    /// <summary>The positions of a stream's events, by version.</summary>
    public IReadOnlyList<long> Positions(string stream) => _streams.TryGetValue(stream, out var positions) ? positions : [];

    /// <summary>Where an append stands: its first and last position; null: nowhere.</summary>
    public (long First, long Last)? Append(Guid operationId) => _appends.TryGetValue(operationId, out var range) ? range : null;

    /// <summary>
    /// The places of the log after which a stream's last version was this one: from the event that made it, up to the one before
    /// the next. -1 is before the first event. Null: the stream never had that version.
    /// </summary>
    public (long Low, long High)? When(string stream, long lastVersion)
    {
        var positions = Positions(stream);
        if (lastVersion >= positions.Count)
        {
            return null;
        }

        return (lastVersion < 0 ? -1 : positions[(int)lastVersion], lastVersion + 1 < positions.Count ? positions[(int)lastVersion + 1] : long.MaxValue);
    }

    /// <summary>A stream's last version at or before a position; -1: it had none.</summary>
    public long VersionAt(string stream, long position)
    {
        var positions = Positions(stream);
        int low = 0, high = positions.Count;
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = positions[middle] <= position ? (middle + 1, high) : (low, middle);
        }

        return low - 1;
    }
}
