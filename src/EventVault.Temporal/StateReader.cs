// States of streams as of any moment: the temporal plane's entry.
//
// A state is the fold of the events of the stream's life at the cut, up to the cut. It is a function of the log alone: of what a
// scavenge removes nothing is told, on a node that has not got so far neither, and where events were truncated only an anchor stands
// in for them, never a state that happens to be kept on this node.
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal;

/// <summary>Reads states. Safe for concurrent use.</summary>
/// <param name="reader">The vault.</param>
/// <param name="kept">States on the way.</param>
/// <param name="limits">What a state may grow to.</param>
public sealed class StateReader(EventReader reader, StateSnapshots kept, FoldLimits limits)
{
    /// <summary>The state of a stream as of a cut.</summary>
    /// <param name="reducer">How events are folded.</param>
    /// <param name="stream">The stream.</param>
    /// <param name="cut">The last position that counts; at most the head.</param>
    /// <param name="options">What else is asked for.</param>
    /// <param name="cancellation">Ends it between events.</param>
    /// <exception cref="StreamNotFoundException">The vault never had such a stream.</exception>
    /// <exception cref="StreamTombstonedException">It is tombstoned.</exception>
    /// <exception cref="HistoryTruncatedException">The events up to there are gone.</exception>
    /// <exception cref="IncompleteHistoryException">Some of them are, and a partial state is not allowed.</exception>
    /// <exception cref="StateTooLargeException">The state grew beyond its limit.</exception>
    /// <exception cref="FoldTooLongException">There are more events to fold.</exception>
    /// <exception cref="FoldTooLargeException">They have more bytes than the options give.</exception>
    /// <exception cref="StreamChangedException">Events were scavenged meanwhile, again and again.</exception>
    /// <exception cref="DamageException">Events are damaged.</exception>
    /// <exception cref="InvalidDataException">An anchor is.</exception>
    public StateAnswer Read(Reducer reducer, in StreamReference stream, Position cut, StateOptions options, CancellationToken cancellation)
    {
        using var walk = Walk(reducer, stream, options);
        return walk.At(cut, options.CutTime, cancellation);
    }

    /// <summary>The state of a stream after a version: as of that event's position.</summary>
    /// <param name="version">0 or higher.</param>
    /// <exception cref="VersionNotReachedException">The stream has no such version yet.</exception>
    /// <inheritdoc cref="Read" path="/param|/exception"/>
    public StateAnswer ReadAtVersion(Reducer reducer, in StreamReference stream, StreamVersion version, StateOptions options, CancellationToken cancellation)
    {
        using var walk = Walk(reducer, stream, options);
        return walk.At(walk.CutOf(version), cancellation);
    }

    /// <summary>The position at which a version of a stream is the last one.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="version">0 or higher.</param>
    /// <param name="reducer">Whose anchors know where the last version stood that was truncated; null: nobody's.</param>
    /// <exception cref="VersionNotReachedException">The stream has no such version yet.</exception>
    /// <exception cref="HistoryTruncatedException">It is gone, and with it where it stood.</exception>
    /// <exception cref="StreamNotFoundException">The vault never had such a stream.</exception>
    /// <exception cref="StreamTombstonedException">It is tombstoned.</exception>
    /// <exception cref="StreamChangedException">It was scavenged meanwhile.</exception>
    public Position CutOf(in StreamReference stream, StreamVersion version, Reducer? reducer) => new StreamCuts(reader, stream).PositionOf(version, reducer);

    /// <summary>
    /// The states of a stream along its events, in one pass, also over deletions: a step that shows one has neither state nor
    /// existence, and the position of the deletion. What is left of the events of before is folded as it is asked for: not faster
    /// than the steps are taken.
    /// </summary>
    /// <param name="range">Which states.</param>
    /// <inheritdoc cref="Read" path="/param|/exception"/>
    public IEnumerable<StateAnswer> ReadHistory(Reducer reducer, StreamReference stream, HistoryRange range, StateOptions options, CancellationToken cancellation)
    {
        using var walk = Walk(reducer, stream, options);
        foreach (var step in StateHistory.Along(walk, range, cancellation))
        {
            yield return step;
        }
    }

    /// <summary>The states of a stream as of ascending times, in one pass.</summary>
    /// <param name="times">100 ns ticks since 1970; all of them closed.</param>
    /// <inheritdoc cref="Read" path="/param|/exception"/>
    public IEnumerable<(long Time, StateAnswer Answer)> ReadAtTimes(
        Reducer reducer, StreamReference stream, IEnumerable<long> times, StateOptions options, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(times);
        using var walk = Walk(reducer, stream, options);
        foreach (var time in times)
        {
            yield return (time, walk.At(reader.LastAtOrBefore(time), time, cancellation));
        }
    }

    /// <summary>What a client needs to fold a stream by itself, up to a cut.</summary>
    /// <param name="fold">The name of its fold; empty: it wants no kept state.</param>
    /// <param name="stream">The stream.</param>
    /// <param name="cut">The last position that counts; at most the head.</param>
    /// <param name="allowPartial">If events are truncated, begin behind them.</param>
    /// <inheritdoc cref="Read" path="/exception"/>
    public FoldStart StartFold(string fold, in StreamReference stream, Position cut, bool allowPartial)
    {
        ArgumentNullException.ThrowIfNull(fold);
        var lives = new StreamCuts(reader, stream);
        var at = lives.At(cut, reducer: null, allowPartial);
        if (!at.Exists)
        {
            return new FoldStart(false, at.IsDeleted, at.Life.First, StreamVersion.None, null, null, StreamVersion.None);
        }

        var partialFrom = at.IsPartial ? at.Life.FirstKept : (StreamVersion?)null;
        var hash = StateSnapshots.HashOfFold(fold);
        if (fold.Length == 0 || at.IsPartial || kept.Rent(hash) is not { } log)
        {
            return new FoldStart(true, false, at.Life.First, at.Last, partialFrom, null, StreamVersion.None);
        }

        try
        {
            var state = log.Find<byte[]>(StateSnapshotLog.KeyOf(stream.Name), at.Life.First.Value, at.Life.First.Value, at.Last.Value, ClientState.Restore, out var version);

            // Truncated and scavenged while this looked, the last version may lie behind the cut, and so may the state.
            if (lives.IsRemoved(at.Last))
            {
                throw new StreamChangedException();
            }

            return new FoldStart(true, false, at.Life.First, at.Last, null, state, state is null ? StreamVersion.None : new StreamVersion(version));
        }
        finally
        {
            kept.Return(hash);
        }
    }

    /// <summary>
    /// Keeps a client's own state. Only a cache: it may be gone at any time. Not kept are states that stand near the one before, that
    /// began elsewhere than the life of their last event, or whose life is truncated.
    /// </summary>
    /// <param name="fold">The name of its fold, not empty.</param>
    /// <param name="stream">The stream.</param>
    /// <param name="first">Where the fold began.</param>
    /// <param name="version">The last event folded.</param>
    /// <param name="state">The state. Whoever calls bounds its size.</param>
    /// <returns>Whether it was kept.</returns>
    public bool KeepFold(string fold, in StreamReference stream, StreamVersion first, StreamVersion version, ReadOnlySpan<byte> state)
    {
        ArgumentException.ThrowIfNullOrEmpty(fold);
        if (version < first || first < new StreamVersion(0) || version > reader.LastVersion(stream) || !new StreamCuts(reader, stream).IsWhole(first, version))
        {
            return false;
        }

        var hash = StateSnapshots.HashOfFold(fold);
        if (kept.Rent(hash) is not { } log)
        {
            return false;
        }

        try
        {
            var key = StateSnapshotLog.KeyOf(stream.Name);
            return version.Value - first.Value + 1 >= ClientState.LeastEvents
                && log.Find<byte[]>(key, first.Value, version.Value - ClientState.LeastEvents + 1, version.Value, ClientState.Restore, out _) is null
                && log.Add(key, first.Value, version.Value, state, ClientState.HashOf(state));
        }
        finally
        {
            kept.Return(hash);
        }
    }

    /// <summary>
    /// The anchor that is to be written in the same append as a truncation. Long folds keep states on the way: who cancels one and
    /// asks again goes on where it was.
    /// </summary>
    /// <param name="reducer">Whose states are to stay.</param>
    /// <param name="stream">The stream.</param>
    /// <param name="before">The first version that will be kept. Those before are committed: else there is nothing to fold yet.</param>
    /// <param name="cancellation">Ends it between events.</param>
    /// <returns>Null: none is needed, as the truncation takes nothing away, or none can be made, as something is missing already.</returns>
    /// <exception cref="VersionNotReachedException">There is no version before it yet.</exception>
    /// <exception cref="StateTooLargeException">The state grew beyond its limit.</exception>
    /// <exception cref="StreamChangedException">Events were scavenged meanwhile, again and again.</exception>
    /// <exception cref="DamageException">Events are damaged.</exception>
    public AnchorEvent? MakeAnchor(Reducer reducer, in StreamReference stream, StreamVersion before, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(reducer);
        using var walk = Walk(reducer, stream, new StateOptions(null, false, long.MaxValue));
        try
        {
            return walk.AnchorBefore(before, cancellation);
        }
        catch (Exception e) when (e is IncompleteHistoryException or HistoryTruncatedException or StreamTombstonedException or StreamNotFoundException)
        {
            return null;
        }
    }

    private StateWalk Walk(Reducer reducer, in StreamReference stream, StateOptions options)
    {
        ArgumentNullException.ThrowIfNull(reducer);
        return new StateWalk(reader, kept, limits, reducer, stream, options);
    }
}
