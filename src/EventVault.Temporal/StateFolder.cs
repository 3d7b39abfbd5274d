// The state of a stream: its events from the first one that counts up to a version, folded. A state snapshot on the way
// shortens the fold and never changes what it gives; whatever is missing or damaged there costs time alone.
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal;

/// <summary>A state, and what it took.</summary>
/// <param name="State">The state.</param>
/// <param name="KeptVersion">The version from which the fold went on; null: from the first one.</param>
/// <param name="EventsFolded">Events behind it.</param>
public sealed record FoldedState(FoldState State, StreamVersion? KeptVersion, long EventsFolded);

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
/// <param name="kept">States on the way.</param>
/// <param name="limits">What a state may grow to.</param>
public sealed class StateFolder(EventReader reader, StateSnapshots kept, FoldLimits limits)
{
    /// <summary>The state of a stream after a version.</summary>
    /// <param name="reducer">How events are folded.</param>
    /// <param name="stream">The stream.</param>
    /// <param name="first">First version that counts. It can be read, as can all up to <paramref name="last"/>.</param>
    /// <param name="last">Last version that counts; one before <paramref name="first"/>: none does.</param>
    /// <param name="mostEvents">Events that may be folded.</param>
    /// <param name="cancellation">Ends it between pages of events.</param>
    /// <exception cref="StateTooLargeException">The state grew beyond its limit.</exception>
    /// <exception cref="FoldTooLongException">There are more events to fold.</exception>
    /// <exception cref="StreamChangedException">Events were taken away meanwhile.</exception>
    /// <exception cref="DamageException">Events are damaged.</exception>
    public FoldedState Fold(
        Reducer reducer, in StreamReference stream, StreamVersion first, StreamVersion last, long mostEvents, CancellationToken cancellation)
    {
        FoldedState? folded = null;
        FoldEach(reducer, stream, first, [last], (_, state) => folded = state, mostEvents, cancellation);
        return folded!;
    }

    /// <summary>The states of a stream after some versions, in one pass.</summary>
    /// <param name="versions">Ascending; each as <c>last</c> of <see cref="Fold"/>.</param>
    /// <param name="take">
    /// Gets each version with its state, which is the same object each time: it changes once the call returns. What it took is
    /// that of all so far.
    /// </param>
    /// <inheritdoc cref="Fold" path="/param|/exception"/>
    public void FoldEach(
        Reducer reducer, in StreamReference stream, StreamVersion first, IReadOnlyList<StreamVersion> versions, Action<StreamVersion, FoldedState> take,
        long mostEvents, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(reducer);
        ArgumentNullException.ThrowIfNull(versions);
        ArgumentNullException.ThrowIfNull(take);
        var log = kept.Rent(reducer);
        try
        {
            FoldEach(reducer, stream, first, versions, take, mostEvents, log, cancellation);
        }
        finally
        {
            if (log is not null)
            {
                kept.Return(reducer);
            }
        }
    }

    /// <summary>
    /// The state of a stream on the second axis: its events that occurred up to a time, in the order in which they occurred, of
    /// those of one time in the order of the log. State snapshots don't help here: a late event may belong anywhere.
    /// </summary>
    /// <param name="occurredUntil">Up to and including, 100 ns ticks since 1970.</param>
    /// <returns>The state, and how many events were looked at.</returns>
    /// <inheritdoc cref="Fold" path="/param|/exception"/>
    public FoldedState FoldOccurred(
        Reducer reducer, in StreamReference stream, StreamVersion first, StreamVersion last, long occurredUntil, long mostEvents, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(reducer);
        var events = last.Value - first.Value + 1;
        if (events > mostEvents)
        {
            throw new FoldTooLongException(events, mostEvents);
        }

        var times = new TimeSink(first.Value, occurredUntil);
        Read(stream, last.Value, ref times, cancellation);
        var state = reducer.Start(limits);
        if (times.IsInOrder)
        {
            var all = new OccurredSink(state, first.Value, occurredUntil);
            Read(stream, last.Value, ref all, cancellation);
        }
        else
        {
            times.Found.Sort();
            foreach (var (_, version) in times.Found)
            {
                var one = new OccurredSink(state, version, occurredUntil);
                Read(stream, version, ref one, cancellation);
            }
        }

        return new FoldedState(state, null, events);
    }

    private void FoldEach(
        Reducer reducer, in StreamReference stream, StreamVersion first, IReadOnlyList<StreamVersion> versions, Action<StreamVersion, FoldedState> take,
        long mostEvents, StateSnapshotLog? log, CancellationToken cancellation)
    {
        Invariant.Check(versions.Count > 0 && first.Value >= 0 && versions[0].Value >= first.Value - 1);
        var key = StateSnapshotLog.KeyOf(stream.Name);
        long at = 0;
        var state = log?.Find(key, first.Value, versions[0].Value, limits, out at);
        var begin = state is null ? first.Value : at + 1;
        if (versions[^1].Value - begin + 1 is var events && events > mostEvents)
        {
            throw new FoldTooLongException(events, mostEvents);
        }

        var sink = new Sink(state ?? reducer.Start(limits), log, key, kept.Rule, first.Value, begin);
        foreach (var version in versions)
        {
            Invariant.Check(version.Value >= sink.Next - 1, "Versions ascend.");
            Read(stream, version.Value, ref sink, cancellation);
            take(version, new FoldedState(sink.State, state is null ? null : new StreamVersion(at), sink.Next - begin));
        }
    }

    // Hands all versions up to the last one to the sink, none left out.
    private void Read<TSink>(in StreamReference stream, long last, ref TSink sink, CancellationToken cancellation)
        where TSink : struct, IVersionSink
    {
        while (sink.Next <= last)
        {
            cancellation.ThrowIfCancellationRequested();
            var looked = sink.Next;
            var checkedSink = new Checked<TSink>(sink);
            reader.ReadStream(stream, new StreamVersion(looked), new StreamVersion(last), backwards: false, ref checkedSink);
            sink = checkedSink.Inner;
            if (sink.Next == looked || checkedSink.HasGap)
            {
                throw new StreamChangedException();
            }
        }
    }

    private interface IVersionSink
    {
        long Next { get; }

        void Take(in EventView e);
    }

    // What was deleted or truncated is left out by the reader: a state without it would be wrong, and nobody would know.
    private struct Checked<TSink>(TSink inner) : IEventSink
        where TSink : struct, IVersionSink
    {
        public TSink Inner = inner;

        public bool HasGap { get; private set; }

        public bool Accept(in EventView e)
        {
            HasGap = e.Version.Value != Inner.Next;
            if (!HasGap)
            {
                Inner.Take(e);
            }

            return !HasGap;
        }
    }

    private struct TimeSink(long next, long until) : IVersionSink
    {
        private long _last = long.MinValue;

        public long Next { get; private set; } = next;

        public bool IsInOrder { get; private set; } = true;

        public List<(long Occurred, long Version)> Found { get; } = [];

        public void Take(in EventView e)
        {
            Next++;
            var occurred = EventContent.Read(e).OccurredAt;
            if (occurred <= until)
            {
                IsInOrder &= occurred >= _last;
                _last = occurred;
                Found.Add((occurred, e.Version.Value));
            }
        }
    }

    private struct OccurredSink(FoldState state, long next, long until) : IVersionSink
    {
        public long Next { get; private set; } = next;

        public void Take(in EventView e)
        {
            Next++;
            var content = EventContent.Read(e);
            if (content.OccurredAt <= until)
            {
                state.Apply(content);
            }
        }
    }

    private struct Sink(FoldState state, StateSnapshotLog? log, UInt128 key, StateSnapshotRule rule, long first, long next) : IVersionSink
    {
        private long _events;
        private long _eventBytes;

        public FoldState State { get; } = state;

        public long Next { get; private set; } = next;

        public void Take(in EventView e)
        {
            State.Apply(EventContent.Read(e));
            Next++;
            _events++;
            _eventBytes += e.EventData.Length;
            if (rule.IsDue(_events, _eventBytes, State.Bytes))
            {
                log?.Add(key, first, e.Version.Value, State);
                (_events, _eventBytes) = (0, 0);
            }
        }
    }
}
