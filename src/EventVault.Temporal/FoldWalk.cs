// A fold over a stream, on its way from version to version. A state snapshot shortens the way and never changes where it leads;
// whatever is missing or damaged there costs time alone.
using System.Buffers;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal;

/// <summary>Where a fold begins.</summary>
/// <param name="First">The version at which it begins, by which its state snapshots are known: all they stand on are the events from there on.</param>
/// <param name="Anchor">Not null: events from there on are gone, and this stands in for them.</param>
/// <param name="IsPartial">Events before are missing.</param>
internal sealed record FoldOrigin(StreamVersion First, Anchor? Anchor, bool IsPartial)
{
    /// <summary>First version that is read.</summary>
    public long Next => Anchor is null ? First.Value : Anchor.Version.Value + 1;
}

/// <summary>An event that was folded, without its content.</summary>
internal readonly record struct FoldedEvent(StreamVersion Version, Position Position, long RecordedAt, long OccurredAt)
{
    public static FoldedEvent None => new(StreamVersion.None, Position.None, 0, 0);
}

/// <summary>One fold. One thread at a time.</summary>
internal sealed class FoldWalk : IDisposable
{
    private readonly EventReader _reader;
    private readonly StateSnapshots _kept;
    private readonly FoldLimits _limits;
    private readonly Reducer _reducer;
    private readonly StreamReference _stream;
    private readonly FoldOrigin _origin;
    private readonly long _mostEvents;
    private readonly long _mostBytes;
    private readonly UInt128 _key;
    private readonly StateSnapshotLog? _log;
    private Sink _sink;

    /// <param name="origin">Where it begins.</param>
    /// <param name="mostEvents">Events that may be folded.</param>
    /// <param name="mostBytes">Bytes of events that may be folded.</param>
    public FoldWalk(
        EventReader reader, StateSnapshots kept, FoldLimits limits, Reducer reducer, in StreamReference stream, FoldOrigin origin, long mostEvents, long mostBytes)
    {
        (_reader, _kept, _limits, _reducer, _stream, _origin, _mostEvents, _mostBytes) = (reader, kept, limits, reducer, stream, origin, mostEvents, mostBytes);
        _key = StateSnapshotLog.KeyOf(stream.Name);
        Begin();
        _log = kept.Rent(reducer.Hash); // Last: what throws in a constructor is never disposed of.
    }

    /// <summary>The state; the same object until a call of <see cref="AdvanceTo"/> finds one on the way.</summary>
    public FoldState State => _sink.State;

    /// <summary>Next version to fold.</summary>
    public long Next => _sink.Next;

    /// <summary>The newest state that the fold went on from; null: the first event.</summary>
    public StreamVersion? KeptVersion { get; private set; }

    /// <summary>Events folded.</summary>
    public long EventsFolded => _sink.EventsFolded;

    /// <summary>Bytes of the events folded.</summary>
    public long BytesFolded => _sink.BytesFolded;

    /// <summary>The last event of the state.</summary>
    public FoldedEvent Last => _sink.Last;

    /// <summary>Folds up to a version, which is <see cref="Next"/> − 1 at least.</summary>
    /// <exception cref="StreamChangedException">Events are gone.</exception>
    /// <exception cref="FoldTooLongException">There are more events to fold.</exception>
    /// <exception cref="FoldTooLargeException">They have more bytes.</exception>
    /// <exception cref="StateTooLargeException">The state grew beyond its limit.</exception>
    public void AdvanceTo(StreamVersion last, CancellationToken cancellation)
    {
        Invariant.Check(last.Value >= Next - 1, "A fold goes forwards.");
        if (last.Value - Next + 1 >= _kept.Rule.Events)
        {
            SkipTo(last.Value);
        }

        Read(last, onlyOneChange: false, cancellation);
    }

    /// <summary>Folds up to the next event that changes the state's JSON, or up to a version if none does.</summary>
    /// <param name="hash">Hash of the state as it is; then as it became.</param>
    /// <returns>Whether it changed.</returns>
    /// <inheritdoc cref="AdvanceTo" path="/exception"/>
    public bool AdvanceToChange(StreamVersion last, ref byte[] hash, CancellationToken cancellation)
    {
        _sink.Hash = hash;
        Read(last, onlyOneChange: true, cancellation);
        var isChanged = _sink.IsChanged;
        hash = _sink.Hash;
        return isChanged;
    }

    public void Dispose()
    {
        if (_log is not null)
        {
            _kept.Return(_reducer.Hash);
        }
    }

    private void Begin()
    {
        var anchor = _origin.Anchor;
        var state = anchor is null ? _reducer.Start(_limits) : anchor.Restore(_reducer, _limits);
        _sink = new Sink(state, _origin.Next, this);
        if (anchor is not null)
        {
            KeptVersion = anchor.Version;
            _sink.Last = anchor.Event;
        }
    }

    // What is kept in front of an anchor is of no use: the answer must not depend on whether it is there.
    private void SkipTo(long last)
    {
        if (_log?.Find(_key, _origin.First.Value, Next, last, Restore, out var at) is { } state)
        {
            _sink = new Sink(state, at + 1, this) { EventsFolded = EventsFolded, BytesFolded = BytesFolded };
            KeptVersion = new StreamVersion(at);
        }
    }

    private FoldState? Restore(ReadOnlySpan<byte> saved, ReadOnlySpan<byte> hash)
    {
        try
        {
            var state = _reducer.Restore(saved, _limits);
            return state.JsonHash().AsSpan().SequenceEqual(hash) && state.Bytes <= _limits.StateBytes ? state : null;
        }
        catch (InvalidDataException)
        {
            return null;
        }
    }

    private void Read(StreamVersion last, bool onlyOneChange, CancellationToken cancellation)
    {
        _sink.StopsAtChange = onlyOneChange;
        _sink.IsChanged = false;
        _sink.Cancellation = cancellation;
        if (EventsFolded + last.Value - Next + 1 is var events && events > _mostEvents && last.Value >= Next)
        {
            throw new FoldTooLongException(events, _mostEvents);
        }

        while (Next <= last.Value && !_sink.IsChanged)
        {
            cancellation.ThrowIfCancellationRequested();
            VersionReader.ReadPage(_reader, _stream, Next, last.Value, ref _sink);
        }

        if (Last.Version.Value != Next - 1 && Next > _origin.First.Value)
        {
            // A state snapshot stands here, which knows nothing but its version.
            var sink = new LastSink { Next = Next - 1 };
            VersionReader.ReadPage(_reader, _stream, Next - 1, Next - 1, ref sink);
            _sink.Last = sink.Last;
        }
    }

    private void Keep(long version, FoldState state)
    {
        if (_log is not null)
        {
            var saved = new ArrayBufferWriter<byte>();
            state.Save(saved);
            _log.Add(_key, _origin.First.Value, version, saved.WrittenSpan, state.JsonHash());
        }
    }

    private struct LastSink : IVersionSink
    {
        public FoldedEvent Last;

        public long Next { get; set; }

        public bool Take(in EventView e)
        {
            Last = new FoldedEvent(e.Version, e.Position, e.RecordedAt, EventContent.Read(e).OccurredAt);
            Next++;
            return true;
        }
    }

    private struct Sink(FoldState state, long next, FoldWalk walk) : IVersionSink
    {
        private long _events;
        private long _eventBytes;

        public FoldState State { get; } = state;

        public long Next { get; private set; } = next;

        public long EventsFolded { get; set; }

        public long BytesFolded { get; set; }

        public FoldedEvent Last { get; set; } = FoldedEvent.None;

        public bool StopsAtChange { get; set; }

        public bool IsChanged { get; set; }

        public byte[] Hash { get; set; } = [];

        public CancellationToken Cancellation { get; set; }

        public bool Take(in EventView e)
        {
            BytesFolded += e.EventData.Length;
            if (BytesFolded > walk._mostBytes)
            {
                throw new FoldTooLargeException();
            }

            var content = EventContent.Read(e);
            State.Apply(content);
            Last = new FoldedEvent(e.Version, e.Position, e.RecordedAt, content.OccurredAt);
            Next++;
            EventsFolded++;
            _events++;
            _eventBytes += e.EventData.Length;
            if (walk._kept.Rule.IsDue(_events, _eventBytes, State.Bytes))
            {
                walk.Keep(e.Version.Value, State);
                (_events, _eventBytes) = (0, 0);
            }

            if (StopsAtChange && State.JsonHash() is var hash && !hash.AsSpan().SequenceEqual(Hash))
            {
                (Hash, IsChanged) = (hash, true);
            }

            // Large events take long, and a page has many.
            return !IsChanged && !Cancellation.IsCancellationRequested;
        }
    }
}
