// The state of a stream: its events from the first one that counts up to a version, folded. A snapshot on the way shortens
// the fold and never changes what it gives; whatever is missing or damaged there costs time alone.
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Temporal.Reducers;
using EventVault.Temporal.Snapshots;

namespace EventVault.Temporal;

/// <summary>A state, and what it took.</summary>
/// <param name="State">The state.</param>
/// <param name="SnapshotVersion">The version from which the fold went on; null: from the first one.</param>
/// <param name="EventsFolded">Events behind it.</param>
public sealed record FoldedState(FoldState State, StreamVersion? SnapshotVersion, long EventsFolded);

/// <summary>A fold can't be finished as it was begun: events of the stream were deleted or truncated meanwhile. Look again.</summary>
public sealed class StreamChangedException() : Exception("Events of the stream were deleted or truncated while they were folded. Ask again.");

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

/// <summary>Folds streams into states. Safe for concurrent use.</summary>
/// <param name="reader">The vault.</param>
/// <param name="snapshots">States on the way.</param>
/// <param name="limits">What a state may grow to.</param>
public sealed class StateFolder(EventReader reader, StateSnapshots snapshots, FoldLimits limits)
{
    /// <summary>The state of a stream after a version.</summary>
    /// <param name="reducer">How events are folded.</param>
    /// <param name="stream">The stream.</param>
    /// <param name="first">First version that counts. It can be read, as can all up to <paramref name="last"/>.</param>
    /// <param name="last">Last version that counts.</param>
    /// <param name="mostEvents">Events that may be folded.</param>
    /// <param name="cancellation">Ends it between pages of events.</param>
    /// <exception cref="StateTooLargeException">The state grew beyond its limit.</exception>
    /// <exception cref="FoldTooLongException">There are more events to fold.</exception>
    /// <exception cref="StreamChangedException">Events were taken away meanwhile.</exception>
    /// <exception cref="DamageException">Events are damaged.</exception>
    public FoldedState Fold(
        Reducer reducer, in StreamReference stream, StreamVersion first, StreamVersion last, long mostEvents, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(reducer);
        Invariant.Check(first.Value >= 0 && last.Value >= first.Value - 1);
        var log = snapshots.Rent(reducer);
        try
        {
            return Fold(reducer, stream, first, last, mostEvents, log, cancellation);
        }
        finally
        {
            if (log is not null)
            {
                snapshots.Return(reducer);
            }
        }
    }

    private FoldedState Fold(
        Reducer reducer, in StreamReference stream, StreamVersion first, StreamVersion last, long mostEvents, SnapshotLog? log, CancellationToken cancellation)
    {
        var key = SnapshotLog.KeyOf(stream.Name);
        long at = 0;
        var state = log?.Find(key, first.Value, last.Value, limits, out at);
        var next = state is null ? first.Value : at + 1;
        if (last.Value - next + 1 is var events && events > mostEvents)
        {
            throw new FoldTooLongException(events, mostEvents);
        }

        var sink = new Sink(state ?? reducer.Start(limits), log, key, snapshots.Rule, first.Value, next);
        while (sink.Next <= last.Value)
        {
            cancellation.ThrowIfCancellationRequested();
            var looked = sink.Next;
            reader.ReadStream(stream, new StreamVersion(looked), last, backwards: false, ref sink);
            if (sink.Next == looked || sink.HasGap)
            {
                throw new StreamChangedException();
            }
        }

        return new FoldedState(sink.State, state is null ? null : new StreamVersion(at), events);
    }

    private struct Sink(FoldState state, SnapshotLog? log, UInt128 key, SnapshotRule rule, long first, long next) : IEventSink
    {
        private long _events;
        private long _eventBytes;

        public FoldState State { get; } = state;

        public long Next { get; private set; } = next;

        public bool HasGap { get; private set; }

        public bool Accept(in EventView e)
        {
            if (e.Version.Value != Next)
            {
                HasGap = true;
                return false;
            }

            State.Apply(EventContent.Read(e));
            Next++;
            _events++;
            _eventBytes += e.EventData.Length;
            if (rule.IsDue(_events, _eventBytes, State.Bytes))
            {
                log?.Add(key, first, e.Version.Value, State);
                (_events, _eventBytes) = (0, 0);
            }

            return true;
        }
    }
}
