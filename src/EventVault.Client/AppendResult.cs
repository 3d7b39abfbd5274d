namespace EventVault.Client;

/// <summary>The answer to an append: it is on disk.</summary>
public sealed class AppendResult
{
    private readonly string _firstStream;
    private readonly StreamVersion[]? _streams;

    internal AppendResult(string firstStream, ulong lastVersion, StreamVersion[]? streams)
    {
        _firstStream = firstStream;
        LastVersion = lastVersion;
        _streams = streams;
    }

    /// <summary>Position of the append's first event; the others follow without gaps.</summary>
    public required ulong FirstPosition { get; init; }

    /// <summary>Position of the append's last event.</summary>
    public required ulong LastPosition { get; init; }

    /// <summary>When it was recorded; one time for all its events, later than that of every append before.</summary>
    public required DateTimeOffset RecordedAt { get; init; }

    /// <summary>True if an earlier attempt with this operation id had already written it.</summary>
    public required bool Deduplicated { get; init; }

    /// <summary>Last version of the append's first stream after it.</summary>
    public ulong LastVersion { get; }

    /// <summary>Last version of each stream after the append, in the append's order.</summary>
    public IReadOnlyList<StreamVersion> Streams => _streams ?? [new StreamVersion(_firstStream, LastVersion)];
}

/// <summary>A stream and its last version.</summary>
/// <param name="Stream">Name of the stream.</param>
/// <param name="Version">Its last version.</param>
public readonly record struct StreamVersion(string Stream, ulong Version);
