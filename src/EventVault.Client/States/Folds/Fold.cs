using System.Globalization;
using System.Text.Json;

namespace EventVault.Client;

/// <summary>A type that knows how it is made of events, so that <see cref="VaultClient.StateAsOfAsync"/> can be asked for it.</summary>
/// <typeparam name="TSelf">The type itself.</typeparam>
public interface IFolded<TSelf>
    where TSelf : IFolded<TSelf>
{
    /// <summary>How it is made.</summary>
    static abstract Fold<TSelf> Fold { get; }
}

/// <summary>
/// A fold that the application runs by itself: code of its own makes the state, event by event. The vault brings the events, and
/// keeps states on the way, so that next time fewer events have to be read.
/// </summary>
/// <remarks>
/// <c>apply</c> must depend on its arguments alone: no clock, no chance, no look-ups. Whoever changes what it gives, or how states
/// are saved, raises <see cref="Version"/>; otherwise states of before are taken for the new code's.
/// </remarks>
/// <typeparam name="TState">Type of the state.</typeparam>
public sealed class Fold<TState>
{
    /// <summary>Bytes of name and version together, the contract's limit.</summary>
    private const int MostNameBytes = 256;

    private readonly Func<TState> _initial;
    private readonly Func<TState, RecordedEvent, TState> _apply;

    /// <summary>Makes a fold.</summary>
    /// <param name="name">Names it among all folds over the same streams.</param>
    /// <param name="version">1 or higher; raised with every change.</param>
    /// <param name="initial">Makes the state before any event.</param>
    /// <param name="apply">Makes the next state. May change and return the one it is given.</param>
    /// <exception cref="ArgumentException">The name is empty or too long.</exception>
    public Fold(string name, int version, Func<TState> initial, Func<TState, RecordedEvent, TState> apply)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfLessThan(version, 1);
        ArgumentNullException.ThrowIfNull(initial);
        ArgumentNullException.ThrowIfNull(apply);
        (Name, Version, _initial, _apply) = (name, version, initial, apply);
        WireName = string.Create(CultureInfo.InvariantCulture, $"{name}@{version}");
        if (WireWriter.Utf8.GetByteCount(WireName) > MostNameBytes)
        {
            throw new ArgumentException($"The fold's name and version have more than {MostNameBytes} bytes.", nameof(name));
        }
    }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>Its version.</summary>
    public int Version { get; }

    /// <summary>Makes bytes of a state, to be kept by the vault. The default is JSON.</summary>
    public Func<TState, byte[]> Save { get; init; } = static state => JsonSerializer.SerializeToUtf8Bytes(state);

    /// <summary>Makes a state of those bytes. What it throws ends the call: raise <see cref="Version"/> when the form changes.</summary>
    public Func<ReadOnlyMemory<byte>, TState> Restore { get; init; } = static bytes => JsonSerializer.Deserialize<TState>(bytes.Span)!;

    /// <summary>What kept states go by.</summary>
    internal string WireName { get; }

    internal TState Initial() => _initial();

    internal TState Apply(TState state, RecordedEvent e) => _apply(state, e);
}

/// <summary>What a fold gave.</summary>
/// <typeparam name="TState">Type of the state.</typeparam>
public sealed record FoldedState<TState>
{
    /// <summary>Name of the stream.</summary>
    public required string Stream { get; init; }

    /// <summary>Whether it has events at the cut.</summary>
    public required bool Exists { get; init; }

    /// <summary>Whether it had some, which were deleted by then.</summary>
    public required bool Deleted { get; init; }

    /// <summary>The last event inside the cut, by its version, such as an append expects it; null if the stream does not exist there.</summary>
    public required ulong? Version { get; init; }

    /// <summary>The state; that before any event if the stream does not exist at the cut.</summary>
    public required TState State { get; init; }

    /// <summary>What the moment stands for.</summary>
    public required Cut Cut { get; init; }

    /// <summary>The state lacks the events before this version; null: it is whole.</summary>
    public required ulong? PartialFromVersion { get; init; }

    /// <summary>Events that were read and folded for it.</summary>
    public required ulong EventsFolded { get; init; }

    /// <summary>The fold went on from a state that was kept at this version; null: from the first event.</summary>
    public required ulong? KeptVersion { get; init; }
}

/// <summary>A state right behind an event.</summary>
/// <typeparam name="TState">Type of the state.</typeparam>
/// <param name="State">The state. One that its fold changes in place is this one until the next step.</param>
/// <param name="Event">The event.</param>
public readonly record struct FoldStep<TState>(TState State, RecordedEvent Event);
