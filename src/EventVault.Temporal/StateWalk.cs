using System.Buffers;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal;

/// <summary>
/// The states of a stream as of ascending cuts: goes on with the fold of before as long as the life is the same. One thread at a
/// time; not to be used on once a call threw.
/// </summary>
internal sealed class StateWalk(EventReader reader, StateSnapshots kept, FoldLimits limits, Reducer reducer, StreamReference stream, StateOptions options) : IDisposable
{
    /// <summary>Each time another truncation and the scavenge behind it must have come by within one fold.</summary>
    private const int MostAttempts = 8;

    private readonly Reducer? _anchored = options.Occurred is null ? reducer : null;
    private FoldWalk? _fold;
    private FoldOrigin? _origin;
    private readonly long _mostBytes = options.MostBytes ?? long.MaxValue;
    private long _spent;
    private long _spentBytes;
    private byte[]? _hash;

    /// <summary>The stream as of cuts.</summary>
    public StreamCuts Cuts { get; } = new(reader, stream);

    /// <summary>Its events.</summary>
    public EventReader Reader => reader;

    /// <summary>The stream.</summary>
    public StreamReference Stream => stream;

    /// <summary>The cut right behind a version.</summary>
    /// <exception cref="VersionNotReachedException">The stream has no such version yet.</exception>
    /// <inheritdoc cref="StreamCuts.At" path="/exception"/>
    public Position CutOf(StreamVersion version) => Retry(version, static (walk, version, _) => walk.Cuts.PositionOf(version, walk._anchored), default);

    /// <summary>The state as of a cut.</summary>
    /// <param name="cut">At or behind the one before, unless all of it is to be folded anew.</param>
    /// <param name="time">As <see cref="StateOptions.CutTime"/>.</param>
    /// <param name="cancellation">Ends it between events.</param>
    public StateAnswer At(Position cut, long? time, CancellationToken cancellation) =>
        Retry((Cut: cut, Time: time), static (walk, at, c) => walk.AtOnce(at.Cut, at.Time, c), cancellation);

    /// <inheritdoc cref="At(Position, long?, CancellationToken)"/>
    public StateAnswer At(Position cut, CancellationToken cancellation) => At(cut, null, cancellation);

    /// <summary>The next state of this life that differs, up to a version; null if none does.</summary>
    public StateAnswer? NextChange(StreamVersion last, CancellationToken cancellation)
    {
        Invariant.Check(_fold is not null && _origin is not null);
        _hash ??= _fold.State.JsonHash();
        try
        {
            return _fold.AdvanceToChange(last, ref _hash, cancellation) ? Answer(_fold, _origin) : null;
        }
        catch (StreamChangedException)
        {
            // What comes next was taken away: an anchor may stand in, or the reader is told what is left.
            var next = new StreamVersion(_fold.Next);
            return At(CutOf(next), cancellation);
        }
    }

    /// <summary>Last version of a history. Throws if the state at its end can't be told: then the history can't either.</summary>
    /// <inheritdoc cref="StreamCuts.At" path="/exception"/>
    public StreamVersion LastOf(Position until) => Cuts.At(until, reducer, options.AllowPartial, options.CutTime).Last;

    /// <summary>The life that a version lies in, which a history comes to; it is told from there on, or not at all.</summary>
    /// <inheritdoc cref="StreamCuts.At" path="/exception"/>
    public StreamLifeAt LifeOf(StreamVersion version) => Cuts.At(CutOf(version), reducer, options.AllowPartial).Life;

    /// <summary>First version at which a history begins.</summary>
    /// <param name="range">Where it begins.</param>
    /// <inheritdoc cref="StreamCuts.At" path="/exception"/>
    public StreamVersion FirstOf(HistoryRange range) =>
        range.From is { } position ? Cuts.FirstFrom(position, reducer, options.AllowPartial)
        : range.FromTime is { } time ? Cuts.FirstSince(time, reducer, options.AllowPartial)
        : Cuts.FirstTold();

    /// <summary>The anchor for a truncation; null if it takes nothing away.</summary>
    /// <inheritdoc cref="StateReader.MakeAnchor" path="/param|/exception"/>
    public AnchorEvent? AnchorBefore(StreamVersion before, CancellationToken cancellation)
    {
        var now = Cuts.At(reader.Head, reducer, allowPartial: false);
        if (!now.Exists || before <= now.Life.FirstKept)
        {
            return null;
        }

        var answer = before > now.Last + 1 ? throw new VersionNotReachedException(now.Last) : At(CutOf(before + -1), cancellation);
        Invariant.Check(answer.State is not null && answer.Version == before + -1 && answer.PartialFrom is null);
        var saved = new ArrayBufferWriter<byte>();
        answer.State.Save(saved);
        var last = new FoldedEvent(answer.Version, answer.Position, answer.RecordedAt, answer.OccurredAt);
        return new Anchor(reducer.Hash, stream.Name, now.Life.First, last, answer.State.JsonHash(), saved.WrittenSpan.ToArray()).ToEvent();
    }

    public void Dispose() => _fold?.Dispose();

    private T Retry<TArgument, T>(TArgument argument, Func<StateWalk, TArgument, CancellationToken, T> act, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return act(this, argument, cancellation);
            }
            catch (StreamChangedException) when (attempt < MostAttempts)
            {
                Forget();
            }
        }
    }

    private StateAnswer AtOnce(Position cut, long? time, CancellationToken cancellation)
    {
        var at = Cuts.At(cut, _anchored, options.AllowPartial, time);
        _hash = null;
        if (!at.Exists)
        {
            return StateAnswer.Nothing(at.IsDeleted);
        }

        if (options.Occurred is { } until)
        {
            return Occurred(at, until, cancellation);
        }

        if (_fold is null || _origin is null || _origin.First != at.Origin.First || at.Last.Value < _fold.Next - 1)
        {
            Forget();
            _origin = at.Origin;
            _fold = new FoldWalk(reader, kept, limits, reducer, stream, _origin, options.MostEvents - _spent, _mostBytes - _spentBytes);
        }

        _fold.AdvanceTo(at.Last, cancellation);
        return Answer(_fold, _origin);
    }

    private StateAnswer Answer(FoldWalk fold, FoldOrigin origin)
    {
        var last = fold.Last;
        var partialFrom = origin.IsPartial ? origin.First : (StreamVersion?)null;
        return new StateAnswer(
            true, false, last.Version, last.Position, last.RecordedAt, last.OccurredAt, fold.State, partialFrom, fold.KeptVersion, _spent + fold.EventsFolded)
        {
            BytesFolded = _spentBytes + fold.BytesFolded,
        };
    }

    private StateAnswer Occurred(in StreamCut at, long until, CancellationToken cancellation)
    {
        var first = at.Origin.First.Value;
        _spent += at.Last.Value - first + 1;
        if (_spent > options.MostEvents)
        {
            throw new FoldTooLongException(_spent, options.MostEvents);
        }

        var partialFrom = at.IsPartial ? at.Origin.First : (StreamVersion?)null;
        var folded = OccurredFold.Fold(reader, reducer, limits, stream, first, at.Last.Value, until, _mostBytes - _spentBytes, out var bytes, cancellation);
        _spentBytes += bytes;
        var answer = folded is var (last, state)
            ? new StateAnswer(true, false, last.Version, last.Position, last.RecordedAt, last.OccurredAt, state, partialFrom, null, _spent)
            : StateAnswer.Nothing(isDeleted: false) with { EventsFolded = _spent };
        return answer with { BytesFolded = _spentBytes };
    }

    private void Forget()
    {
        _spent += _fold?.EventsFolded ?? 0;
        _spentBytes += _fold?.BytesFolded ?? 0;
        _fold?.Dispose();
        _fold = null;
    }
}
