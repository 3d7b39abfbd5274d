// What a cut finds of a stream, by the events of `$streams`: which life, how far, and what of it is gone.
//
// Positions and versions are exact only of events that are still there, and a scavenge removes them on one node earlier than on the
// other. So whatever was truncated, or deleted and scavenged, is refused by what the log says, before anything is looked at that a
// scavenge changes: all nodes answer alike.
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal;

/// <summary>What a cut finds.</summary>
/// <param name="Life">The life that it lies in.</param>
/// <param name="Last">Its last version inside the cut; before its first one if there is none.</param>
/// <param name="Anchor">Stands in for what was truncated; null: nothing was, or nothing does.</param>
internal readonly record struct StreamCut(StreamLifeAt Life, StreamVersion Last, Anchor? Anchor)
{
    /// <summary>Whether the life has events inside the cut.</summary>
    public bool Exists => Last >= Life.First;

    /// <summary>Whether there were events, none of which is left.</summary>
    public bool IsDeleted => !Exists && Life.First > new StreamVersion(0);

    /// <summary>Whether the first ones are missing.</summary>
    public bool IsPartial => Anchor is null && Life.FirstKept > Life.First;

    /// <summary>Where to begin.</summary>
    public FoldOrigin Origin => new(IsPartial ? Life.FirstKept : Life.First, Anchor, IsPartial);
}

/// <summary>Looks at one stream as of cuts.</summary>
internal sealed class StreamCuts(EventReader reader, StreamReference stream)
{
    /// <summary>What a cut finds.</summary>
    /// <param name="cut">At most the head.</param>
    /// <param name="reducer">Whose anchors may stand in; null: nobody's.</param>
    /// <param name="allowPartial">Whether the first events may be missing.</param>
    /// <param name="time">As <see cref="StateOptions.CutTime"/>.</param>
    /// <exception cref="StreamNotFoundException">There never was such a stream.</exception>
    /// <exception cref="StreamTombstonedException">It is tombstoned.</exception>
    /// <exception cref="HistoryTruncatedException">The events up to there are gone.</exception>
    /// <exception cref="IncompleteHistoryException">The first ones are, and must not be.</exception>
    public StreamCut At(Position cut, Reducer? reducer, bool allowPartial, long? time = null)
    {
        var life = LifeAt(cut, reducer);
        var last = reader.LastVersionAt(stream, cut);
        if (life.FirstKept == life.First)
        {
            return new StreamCut(life, last < life.First ? life.First + -1 : last, null);
        }

        var anchor = AnchorOf(life, reducer);
        if (anchor is null ? last < life.FirstKept : cut < anchor.Event.Position && !(time >= anchor.Event.RecordedAt))
        {
            throw new HistoryTruncatedException(EarliestOf(life, reducer));
        }

        if (anchor is null && !allowPartial)
        {
            throw new IncompleteHistoryException(EarliestOf(life, null));
        }

        return new StreamCut(life, last < life.FirstKept ? life.FirstKept + -1 : last, anchor);
    }

    /// <summary>The life that a cut lies in, if anything of it can be told.</summary>
    /// <inheritdoc cref="At" path="/param|/exception"/>
    public StreamLifeAt LifeAt(Position cut, Reducer? reducer)
    {
        if (reader.LastVersion(stream) == StreamVersion.None)
        {
            throw new StreamNotFoundException();
        }

        var life = reader.LifeAt(stream, cut);
        if (life.IsTombstoned)
        {
            throw new StreamTombstonedException();
        }

        return life.IsScavenged ? throw new HistoryTruncatedException(EarliestAfter(cut, reducer)) : life;
    }

    /// <summary>Position of a version; of the last one that was truncated it is known by the anchor.</summary>
    /// <exception cref="VersionNotReachedException">There is none yet.</exception>
    /// <exception cref="StreamChangedException">It was removed meanwhile.</exception>
    /// <inheritdoc cref="At" path="/exception"/>
    public Position PositionOf(StreamVersion version, Reducer? reducer)
    {
        var last = reader.LastVersion(stream);
        if (last != StreamVersion.None && version > last)
        {
            throw new VersionNotReachedException(last);
        }

        if (last != StreamVersion.None && Find(version) is var found && found > Position.None)
        {
            return found;
        }

        // A scavenge removed it: where it stood is not known, in which life it was is.
        var life = LifeAt(LastWithin(version), reducer);
        if (life.FirstKept <= version)
        {
            throw new StreamChangedException();
        }

        return AnchorOf(life, reducer) is { } anchor && anchor.Version == version
            ? anchor.Event.Position : throw new HistoryTruncatedException(EarliestOf(life, reducer));
    }

    /// <summary>First version that can be told.</summary>
    /// <inheritdoc cref="At" path="/exception"/>
    public StreamVersion FirstTold()
    {
        var life = reader.LifeAt(stream, Position.None);
        return (life.IsScavenged ? reader.LifeAt(stream, FirstUnscavenged(Position.None)) : life).FirstKept;
    }

    /// <summary>First version at or behind a position, from which on something is to be told.</summary>
    /// <inheritdoc cref="At" path="/exception"/>
    public StreamVersion FirstFrom(Position from, Reducer reducer, bool allowPartial)
    {
        var at = At(from, reducer, allowPartial);
        return at.Anchor is { } anchor && anchor.Event.Position == from ? anchor.Version : FirstKeptFrom(from, at.Life);
    }

    /// <summary>
    /// First version recorded at or after a time, from which on something is to be told. Of what a scavenge removed nobody knows the
    /// times any more: so whether something is missing follows from the state as of that time, as <see cref="At"/> tells it.
    /// </summary>
    /// <inheritdoc cref="At" path="/exception"/>
    public StreamVersion FirstSince(long time, Reducer reducer, bool allowPartial)
    {
        var at = At(reader.LastAtOrBefore(time), reducer, allowPartial, time);
        if (at.Anchor is { } anchor && anchor.Event.RecordedAt == time)
        {
            return anchor.Version;
        }

        return FirstKeptFrom(reader.FirstAtOrAfter(time), at.Life);
    }

    /// <summary>Whether a scavenge removed a version that there was.</summary>
    public bool IsRemoved(StreamVersion version) => Find(version) == Position.None;

    /// <summary>Whether versions are a whole life, or the first ones of it, and all there.</summary>
    public bool IsWhole(StreamVersion first, StreamVersion version)
    {
        var life = reader.LifeAt(stream, reader.PositionOf(stream, version));
        return life.First == first && life.FirstKept == first && !life.IsScavenged && !life.IsTombstoned;
    }

    // Removed versions stand where their segment begins, or before.
    private StreamVersion FirstKeptFrom(Position from, in StreamLifeAt life)
    {
        var first = reader.FirstVersionAtOrAfter(stream, from, reader.LastVersion(stream));
        return first < life.FirstKept ? life.FirstKept : first;
    }

    // Where a version stands; None: a scavenge removed it.
    private Position Find(StreamVersion version)
    {
        var sink = new PositionSink { Found = Position.None };
        reader.ReadWritten(stream, version, version, ref sink);
        return sink.Found;
    }

    private Anchor? AnchorOf(in StreamLifeAt life, Reducer? reducer) =>
        reducer is null || life.FirstKept == life.First ? null : Anchor.Find(reader, reducer, stream.Name, life.First, life.FirstKept + -1);

    private EarliestMoment EarliestAfter(Position cut, Reducer? reducer)
    {
        var position = FirstUnscavenged(cut);
        return Earliest(position, reader.LifeAt(stream, position), reducer);
    }

    // Of a life that is there from its first version on, the deletion before it is the earliest moment: nothing exists then.
    private EarliestMoment Earliest(Position begin, in StreamLifeAt life, Reducer? reducer) =>
        life.FirstKept == life.First ? new EarliestMoment(life.First, begin, reader.RecordedAt(begin)) : EarliestOf(life, reducer);

    private EarliestMoment EarliestOf(in StreamLifeAt life, Reducer? reducer)
    {
        if (AnchorOf(life, reducer) is { } anchor)
        {
            return new EarliestMoment(anchor.Version, anchor.Event.Position, anchor.Event.RecordedAt);
        }

        if (life.FirstKept > reader.LastVersion(stream))
        {
            return new EarliestMoment(life.FirstKept, Position.None, 0);
        }

        // If all of a life was truncated, the version stands in the next one.
        if (life.EndedAt > Position.None && reader.LifeAt(stream, life.EndedAt) is var next && next.First <= life.FirstKept)
        {
            return Earliest(life.EndedAt, next, reducer);
        }

        var position = reader.PositionOf(stream, life.FirstKept);
        return new EarliestMoment(life.FirstKept, position, reader.RecordedAt(position));
    }

    // A scavenge takes all lives that ended before it, so what is behind the last of them is not taken.
    private Position FirstUnscavenged(Position cut)
    {
        long low = cut.Value + 1, high = reader.Head.Value;
        while (low < high)
        {
            var middle = low + ((high - low) / 2);
            (low, high) = reader.LifeAt(stream, new Position(middle)).IsScavenged ? (middle + 1, high) : (low, middle);
        }

        return new Position(low);
    }

    // The last position at which a version's life, or what is left of it, goes on: lives begin with higher and higher versions.
    private Position LastWithin(StreamVersion version)
    {
        long low = 0, high = reader.Head.Value;
        while (low < high)
        {
            var middle = high - ((high - low) / 2);
            (low, high) = reader.LifeAt(stream, new Position(middle)).First <= version ? (middle, high) : (low, middle - 1);
        }

        return new Position(low);
    }

    private struct PositionSink : IEventSink
    {
        public Position Found;

        public bool Accept(in EventView e)
        {
            Found = e.Position;
            return true;
        }
    }
}
