namespace EventVault.Temporal;

/// <summary>An event as reducers see it. Valid only while the reader that handed it out says so.</summary>
public readonly ref struct FoldEvent
{
    /// <summary>Name of its stream, UTF-8.</summary>
    public required ReadOnlySpan<byte> Stream { get; init; }

    /// <summary>Its type, UTF-8.</summary>
    public required ReadOnlySpan<byte> Type { get; init; }

    /// <summary>Its data, which is JSON if <see cref="IsJson"/> says so and it turns out to be.</summary>
    public required ReadOnlySpan<byte> Data { get; init; }

    /// <summary>Whether its content type is JSON, which an empty one is.</summary>
    public required bool IsJson { get; init; }

    /// <summary>Its place in its stream.</summary>
    public required long Version { get; init; }

    /// <summary>Its place in the vault.</summary>
    public required long Position { get; init; }

    /// <summary>When it was recorded, 100 ns ticks since 1970.</summary>
    public required long RecordedAt { get; init; }

    /// <summary>When it happened, 100 ns ticks since 1970: what its writer said, or else when it was recorded.</summary>
    public required long OccurredAt { get; init; }
}
