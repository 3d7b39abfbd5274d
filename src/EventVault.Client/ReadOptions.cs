namespace EventVault.Client;

/// <summary>What to read and in which order. The default is everything, forwards.</summary>
public sealed record ReadOptions
{
    /// <summary>
    /// Where to begin (inclusive), in the direction of reading: with <see cref="Direction.Backwards"/> this is
    /// the upper end. Null: at the first event, or the last one when reading backwards.
    /// </summary>
    public ReadBound? From { get; init; }

    /// <summary>Where to end (inclusive), in the direction of reading. Null: at the other end.</summary>
    public ReadBound? Until { get; init; }

    /// <summary>In which direction.</summary>
    public Direction Direction { get; init; }

    /// <summary>At most this many events; 0: no limit.</summary>
    public ulong Limit { get; init; }

    /// <summary>When reading the whole vault: also the events of streams whose names start with <c>$</c>.</summary>
    public bool IncludeSystem { get; init; }

    /// <summary>When reading the whole vault: which events. Null: all.</summary>
    public EventFilter? Filter { get; init; }

    /// <summary>What the read must have seen. The default is what <see cref="VaultClientOptions.ReadFrom"/> says.</summary>
    public Consistency Consistency { get; init; }
}

/// <summary>Direction of a read.</summary>
public enum Direction
{
    /// <summary>Oldest first.</summary>
    Forwards,

    /// <summary>Newest first.</summary>
    Backwards,
}
