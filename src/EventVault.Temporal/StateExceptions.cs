// Why a state can't be told. Each is an answer for whoever asked, not a fault.
using EventVault.Storage;

namespace EventVault.Temporal;

/// <summary>The earliest moment of a stream that can still be told.</summary>
/// <param name="Version">The first version there is then, or will be.</param>
/// <param name="Position">The first position; None: the stream must be written again first.</param>
/// <param name="Time">When that was recorded, 100 ns ticks since 1970; 0 if it was not yet.</param>
public readonly record struct EarliestMoment(StreamVersion Version, Position Position, long Time);

/// <summary>The vault never had such a stream.</summary>
public sealed class StreamNotFoundException() : Exception("The vault never had this stream.");

/// <summary>The stream is tombstoned: nothing of it is told any more, as of no moment.</summary>
public sealed class StreamTombstonedException() : Exception("The stream is tombstoned: its states are gone, as of any moment.");

/// <summary>A version is not there yet.</summary>
/// <param name="last">The stream's last one.</param>
public sealed class VersionNotReachedException(StreamVersion last) : Exception($"The stream's last version is {last}.")
{
    /// <summary>The stream's last version.</summary>
    public StreamVersion Last { get; } = last;
}

/// <summary>The events that make the state up were truncated, or deleted and scavenged.</summary>
/// <param name="earliest">What can still be told.</param>
public sealed class HistoryTruncatedException(EarliestMoment earliest)
    : Exception($"The events up to there are gone. The earliest moment that can still be told is version {earliest.Version} at position {earliest.Position}.")
{
    /// <summary>What can still be told.</summary>
    public EarliestMoment Earliest { get; } = earliest;
}

/// <summary>Some events of the state were truncated before its reducer was registered for them, so no anchor stands in.</summary>
/// <param name="earliest">The first event that is left, from which a partial state is folded.</param>
public sealed class IncompleteHistoryException(EarliestMoment earliest)
    : Exception($"The events before version {earliest.Version} were truncated, and no anchor of this reducer stands in for them. Allow a partial state to fold what is left.")
{
    /// <summary>The first event that is left.</summary>
    public EarliestMoment Earliest { get; } = earliest;
}

/// <summary>Events that a fold needs were scavenged while it ran, again and again. Asking again helps.</summary>
public sealed class StreamChangedException() : Exception("Events of the stream were scavenged while they were folded. Ask again.");

/// <summary>A fold would take more events than it may.</summary>
/// <param name="events">How many it would take.</param>
/// <param name="allowed">How many it may take.</param>
public sealed class FoldTooLongException(long events, long allowed)
    : Exception($"The state would take {events} events to fold, more than the {allowed} that are allowed. Ask for an earlier moment first: state snapshots on the way shorten the rest.")
{
    /// <summary>How many it would take.</summary>
    public long Events { get; } = events;

    /// <summary>How many it may take.</summary>
    public long Allowed { get; } = allowed;
}

/// <summary>The events of a fold have more bytes than <see cref="StateOptions.MostBytes"/>. Only who set that meets it.</summary>
public sealed class FoldTooLargeException() : Exception("The events to fold have more bytes than were given for it.");
