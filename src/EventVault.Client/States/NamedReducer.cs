namespace EventVault.Client;

/// <summary>A reducer that has a name, recorded in the vault's stream <c>$reducers</c>.</summary>
public sealed record NamedReducer
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>1, 2, 3 … Each definition of a name that differs from the one before is a version.</summary>
    public required uint Version { get; init; }

    /// <summary>What it does.</summary>
    public required Reducer Definition { get; init; }

    /// <summary>Categories for whose streams anchors are recorded; see <see cref="DefineReducerOptions.Categories"/>.</summary>
    public required IReadOnlyList<string> Categories { get; init; }

    /// <summary>Whether nodes keep states on the way as events come.</summary>
    public required bool Eager { get; init; }

    /// <summary>Names definition and engine, as hexadecimal digits: equal hashes, equal states.</summary>
    public required string Hash { get; init; }

    /// <summary>The event that defined it.</summary>
    public required ulong Position { get; init; }

    /// <summary>When that was recorded.</summary>
    public required DateTimeOffset RecordedAt { get; init; }

    internal static NamedReducer From(Protocol.NamedReducer reducer) => new()
    {
        Name = reducer.Name,
        Version = reducer.Version,
        Definition = Reducer.From(reducer.Definition),
        Categories = [.. reducer.Categories],
        Eager = reducer.Eager,
        Hash = Convert.ToHexStringLower(reducer.Hash.Span),
        Position = reducer.Position,
        RecordedAt = VaultTime.FromTicks(reducer.RecordedAt),
    };
}

/// <summary>What a reducer is defined with beside its name and definition.</summary>
public sealed record DefineReducerOptions
{
    /// <summary>
    /// Up to 64. Before events of the streams of these categories are truncated, by hand or by retention, the state up to there is
    /// recorded (an anchor), so that states at and behind it stay what they were.
    /// </summary>
    public IReadOnlyList<string> Categories { get; init; } = [];

    /// <summary>Whether nodes also keep states on the way as events come, instead of when they are asked for.</summary>
    public bool Eager { get; init; }

    /// <summary>The newest version must be this one, 0: the name must be new. Null: whatever it is.</summary>
    public uint? ExpectedVersion { get; init; }

    /// <summary>Operation id of the definition; null: a new one.</summary>
    public ChangeOptions? Change { get; init; }
}

/// <summary>What became of a definition.</summary>
/// <param name="Reducer">The newest version of that name, as it is now.</param>
/// <param name="Changed">False: it already was so, and nothing was recorded.</param>
public sealed record DefineReducerResult(NamedReducer Reducer, bool Changed);
