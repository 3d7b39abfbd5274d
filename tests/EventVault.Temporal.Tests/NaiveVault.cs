using EventVault.Storage.Log;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal.Tests;

/// <summary>An event as the lists know it.</summary>
internal sealed record NaiveEvent(string Data, long Version, long Position, long RecordedAt, long OccurredAt);

/// <summary>What an answer must be.</summary>
internal sealed record NaiveAnswer(
    Type? Error, bool Exists = false, bool Deleted = false, long Version = -1, long Position = -1, long RecordedAt = 0, long OccurredAt = 0, string Json = "", long? PartialFrom = null);

/// <summary>A stream as plain lists, and its states by the words of the contract alone.</summary>
internal sealed class NaiveStream(string name)
{
    private readonly List<(long Position, StreamChangeKind Kind, long Before, bool HasAnchors)> _changes = [];

    public string Name { get; } = name;

    public List<NaiveEvent> Events { get; } = [];

    public bool IsTombstoned => _changes.Any(c => c.Kind == StreamChangeKind.Tombstone);

    /// <summary>Whether it has events that can be read.</summary>
    public bool IsAlive => Events.Count > FirstVisible && !IsTombstoned;

    /// <summary>First version that can be read now.</summary>
    public long FirstVisible => _changes.Count == 0 ? 0 : _changes.Max(c => c.Before);

    public void Change(long position, StreamChangeKind kind, long before, bool hasAnchors) => _changes.Add((position, kind, before, hasAnchors));

    public bool IsDeletedBetween(long after, long until) => _changes.Any(c => c.Kind == StreamChangeKind.Delete && c.Position > after && c.Position <= until);

    public NaiveAnswer StateAt(Reducer reducer, bool isAnchored, long cut, long? occurred, bool allowPartial, long newestScavenge)
    {
        if (Events.Count == 0)
        {
            return new NaiveAnswer(typeof(StreamNotFoundException));
        }

        if (IsTombstoned)
        {
            return new NaiveAnswer(typeof(StreamTombstonedException));
        }

        var begin = _changes.LastOrDefault(c => c.Kind == StreamChangeKind.Delete && c.Position <= cut, (-1, default, 0, false));
        var end = _changes.FirstOrDefault(c => c.Kind == StreamChangeKind.Delete && c.Position > cut, (long.MaxValue, default, long.MaxValue, false));
        if (newestScavenge > end.Position)
        {
            return new NaiveAnswer(typeof(HistoryTruncatedException));
        }

        // Whether the state is known without what each truncation takes.
        var (kept, isKnown) = (begin.Before, true);
        foreach (var change in _changes.Where(c => c.Kind == StreamChangeKind.Truncate && c.Position > begin.Position && c.Position < end.Position && c.Before > begin.Before))
        {
            if (change.Before > kept)
            {
                kept = change.Before;
                isKnown &= change.HasAnchors;
            }
        }

        isKnown &= isAnchored && occurred is null;
        var events = Events.Where(e => e.Version >= begin.Before && e.Version < end.Before && e.Position <= cut).ToList();
        if (kept > begin.Before)
        {
            if (events.Count == 0 || events[^1].Version < (isKnown ? kept - 1 : kept))
            {
                return new NaiveAnswer(typeof(HistoryTruncatedException));
            }

            if (!isKnown && !allowPartial)
            {
                return new NaiveAnswer(typeof(IncompleteHistoryException));
            }
        }

        var isPartial = kept > begin.Before && !isKnown;
        events = [.. events.Where(e => (!isPartial || e.Version >= kept) && !(e.OccurredAt > occurred))];
        events = occurred is null ? events : [.. events.OrderBy(e => e.OccurredAt)];
        return events.Count == 0
            ? new NaiveAnswer(null, Deleted: begin.Before > 0 && !Events.Any(e => e.Version >= begin.Before && e.Position <= cut))
            : new NaiveAnswer(
                null, true, false, events[^1].Version, events[^1].Position, events[^1].RecordedAt, events[^1].OccurredAt,
                Some.Fold(reducer, events.Select(e => new SomeEvent(e.Data))).Json(), isPartial ? kept : null);
    }
}
