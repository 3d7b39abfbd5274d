namespace EventVault.Client;

/// <summary>An event as it stands in the log. Immutable.</summary>
public sealed class RecordedEvent
{
    /// <summary>What an empty content type means.</summary>
    public const string JsonContentType = "application/json";

    internal RecordedEvent()
    {
    }

    /// <summary>Name of the stream.</summary>
    public required string Stream { get; init; }

    /// <summary>0-based place in the stream.</summary>
    public required ulong Version { get; init; }

    /// <summary>0-based place in the vault.</summary>
    public required ulong Position { get; init; }

    /// <summary>When it was recorded; the same for all events of an append. Precise to 100 ns.</summary>
    public required DateTimeOffset RecordedAt { get; init; }

    /// <summary>The id that its client gave it.</summary>
    public required Guid Id { get; init; }

    /// <summary>What kind of fact this is.</summary>
    public required string Type { get; init; }

    /// <summary>The fact itself.</summary>
    public required ReadOnlyMemory<byte> Data { get; init; }

    /// <summary>Media type of <see cref="Data"/>; <see cref="JsonContentType"/> if the client named none.</summary>
    public required string ContentType { get; init; }

    /// <summary>Version of the schema that <see cref="Data"/> follows; 0 if unversioned.</summary>
    public required uint SchemaVersion { get; init; }

    /// <summary>Labels.</summary>
    public required IReadOnlyList<string> Tags { get; init; }

    /// <summary>Correlation id, trace parent and the like.</summary>
    public required IReadOnlyDictionary<string, string> Metadata { get; init; }

    /// <summary>
    /// When it happened in the business, in 100 ns ticks since 1970; null if its client did not say. Exact also
    /// outside the years 1 to 9999, where <see cref="OccurredAt"/> is the nearest time there is.
    /// </summary>
    public required long? OccurredAtTicks { get; init; }

    /// <summary>When it happened in the business; null if its client did not say.</summary>
    public DateTimeOffset? OccurredAt => OccurredAtTicks is { } ticks ? VaultTime.FromTicks(ticks) : null;

    /// <summary>Whether the client declared the data as JSON, as <see cref="EventData.IsJson"/> says.</summary>
    public bool IsJson => MediaType.IsJson(ContentType);
}
