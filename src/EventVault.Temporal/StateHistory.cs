using EventVault.Storage;

namespace EventVault.Temporal;

/// <summary>Walks along a range of a stream, life by life.</summary>
internal static class StateHistory
{
    /// <summary>No stream is so long: any more, and versions would overflow.</summary>
    private const long MostEvery = 1L << 61;

    /// <summary>The steps of <see cref="StateReader.ReadHistory"/>.</summary>
    public static IEnumerable<StateAnswer> Along(StateWalk walk, HistoryRange range, CancellationToken cancellation)
    {
        var last = walk.LastOf(range.Until);
        var first = walk.FirstOf(range);
        var every = Math.Min(range.EveryEvents, MostEvery);
        for (var next = first; next <= last;)
        {
            var life = walk.LifeOf(next);
            var isEnded = life.EndedAt > Position.None && life.EndedAt <= range.Until;
            var end = isEnded ? walk.Reader.LifeAt(walk.Stream, life.EndedAt).First + -1 : last;
            var steps = every == 0 ? Changes(walk, walk.CutOf(next), end, cancellation) : Events(walk, first, next, end, isLast: end == last, every, cancellation);
            foreach (var step in steps)
            {
                yield return step;
            }

            if (isEnded)
            {
                yield return StateAnswer.Nothing(isDeleted: true) with { Position = life.EndedAt, RecordedAt = walk.Reader.RecordedAt(life.EndedAt) };
            }

            next = end + 1;
        }
    }

    private static IEnumerable<StateAnswer> Changes(StateWalk walk, Position begin, StreamVersion end, CancellationToken cancellation)
    {
        for (var step = walk.At(begin, cancellation); step is not null; step = walk.NextChange(end, cancellation))
        {
            yield return step;
        }
    }

    // Counted from the range's first event on, over all lives.
    private static IEnumerable<StateAnswer> Events(
        StateWalk walk, StreamVersion first, StreamVersion next, StreamVersion end, bool isLast, long every, CancellationToken cancellation)
    {
        var missing = every - 1 - ((next.Value - first.Value) % every);
        for (var at = next + missing; at <= end; at += every)
        {
            yield return walk.At(walk.CutOf(at), cancellation);
            next = at + 1;
        }

        if (isLast && next <= end)
        {
            yield return walk.At(walk.CutOf(end), cancellation);
        }
    }
}
