using System.Buffers.Text;
using System.Text.Json;

namespace EventVault.Client;

/// <summary>The state of a stream as of a moment. Immutable.</summary>
public sealed record StreamState
{
    // An event's JSON has at most 64 levels, and a state's slots stand around values of it.
    private static readonly JsonSerializerOptions Deep = new() { MaxDepth = 128 };

    /// <summary>Name of the stream.</summary>
    public required string Stream { get; init; }

    /// <summary>Whether it has events at the cut.</summary>
    public required bool Exists { get; init; }

    /// <summary>Whether it had some, which were deleted by then.</summary>
    public required bool Deleted { get; init; }

    /// <summary>The last event inside the cut, by its version; null if the stream does not exist there.</summary>
    public required ulong? Version { get; init; }

    /// <summary>The same event's position.</summary>
    public required ulong? Position { get; init; }

    /// <summary>When it was recorded.</summary>
    public required DateTimeOffset? RecordedAt { get; init; }

    /// <summary>When it occurred: what its writer said, or else when it was recorded.</summary>
    public required DateTimeOffset? OccurredAt { get; init; }

    /// <summary>
    /// The state as canonical JSON, UTF-8: members in the order of their names' bytes, numbers in one form. Empty if the stream does
    /// not exist at the cut.
    /// </summary>
    public required ReadOnlyMemory<byte> Json { get; init; }

    /// <summary>SHA-256 over <see cref="Json"/> as hexadecimal digits; empty if the stream does not exist at the cut.</summary>
    public required string StateHash { get; init; }

    /// <summary>What the moment stands for; in the steps of a history what the end of the range stands for.</summary>
    public required Cut Cut { get; init; }

    /// <summary>Names this moment and reducer, for <see cref="AsOf.Token"/>; null where many states are told at once.</summary>
    public required string? Token { get; init; }

    /// <summary>Names the reducer's definition and the engine, as hexadecimal digits.</summary>
    public required string ReducerHash { get; init; }

    /// <summary>The state lacks the events before this version; null: it is whole.</summary>
    public required ulong? PartialFromVersion { get; init; }

    /// <summary>What went into it beside what it shows.</summary>
    public required FoldCounts Counts { get; init; }

    /// <summary>What it took. Differs from call to call.</summary>
    public required FoldCost Cost { get; init; }

    /// <summary>The state as an object.</summary>
    /// <typeparam name="T">Type of the object.</typeparam>
    /// <param name="options">How to read it; null: the serializer's defaults, and levels enough for every state.</param>
    /// <returns>Null if the stream does not exist at the cut, or its state is JSON's <c>null</c>.</returns>
    /// <exception cref="JsonException">The state is not of that form.</exception>
    public T? As<T>(JsonSerializerOptions? options = null) => Json.IsEmpty ? default : JsonSerializer.Deserialize<T>(Json.Span, options ?? Deep);

    internal static StreamState From(Protocol.State state, Cut cut) => new()
    {
        Stream = state.Stream,
        Exists = state.Exists,
        Deleted = state.Deleted,
        Version = state.HasVersion ? state.Version : null,
        Position = state.HasPosition ? state.Position : null,
        RecordedAt = state.HasVersion ? VaultTime.FromTicks(state.RecordedAt) : null,
        OccurredAt = state.HasVersion ? VaultTime.FromTicks(state.OccurredAt) : null,
        Json = state.Json.Memory,
        StateHash = Convert.ToHexStringLower(state.StateHash.Span),
        Cut = cut,
        Token = state.Token.IsEmpty ? null : Base64Url.EncodeToString(state.Token.Span),
        ReducerHash = Convert.ToHexStringLower(state.ReducerHash.Span),
        PartialFromVersion = state.HasPartialFromVersion ? state.PartialFromVersion : null,
        Counts = new FoldCounts(
            state.Counts?.Events ?? 0, state.Counts?.Skipped ?? 0, state.Counts?.TypeMismatches ?? 0, state.Counts?.Errors ?? 0),
        Cost = new FoldCost(
            state.Cost?.EventsFolded ?? 0,
            state.Cost is { HasKeptVersion: true } ? state.Cost.KeptVersion : null,
            TimeSpan.FromMicroseconds(state.Cost?.Microseconds ?? 0)),
    };
}

/// <summary>What went into a state beside what it shows.</summary>
/// <param name="Events">Events folded.</param>
/// <param name="Skipped">Of those, the ones that are no JSON, or lack what is needed, and changed nothing.</param>
/// <param name="TypeMismatches">Values of another type than was needed; they counted as null.</param>
/// <param name="Errors">Values that could not be calculated (overflow, division by zero); they counted as null.</param>
public readonly record struct FoldCounts(ulong Events, ulong Skipped, ulong TypeMismatches, ulong Errors);

/// <summary>What a state took.</summary>
/// <param name="EventsFolded">Events that were read and folded for it.</param>
/// <param name="KeptVersion">The fold went on from a state that was kept at this version; null: from the first event.</param>
/// <param name="Duration">In the node.</param>
public readonly record struct FoldCost(ulong EventsFolded, ulong? KeptVersion, TimeSpan Duration);

/// <summary>One of many states that were asked for at once.</summary>
/// <param name="Stream">Name of the stream.</param>
/// <param name="State">Its state; null: it can't be told.</param>
/// <param name="Failure">Why it can't be told; null: it can.</param>
public sealed record StateResult(string Stream, StreamState? State, VaultException? Failure)
{
    /// <summary>The state.</summary>
    /// <exception cref="VaultException">It can't be told: <see cref="Failure"/>.</exception>
    public StreamState Value => State ?? throw Failure!;
}

/// <summary>A state on the way through a stream's history.</summary>
/// <param name="State">The state.</param>
/// <param name="Time">With steps by time: the instant for which it is the state. Null otherwise.</param>
public sealed record StateStep(StreamState State, DateTimeOffset? Time);
