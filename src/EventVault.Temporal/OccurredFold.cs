// States on the second axis: the events of a life that occurred up to a time, in the order in which they occurred, of those of one
// time in the order of the log. State snapshots don't help here: a late event may belong anywhere. So it is a bounded full fold.
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Temporal.Reducers;

namespace EventVault.Temporal;

/// <summary>Folds in the order of occurrence.</summary>
internal static class OccurredFold
{
    /// <summary>The state of the versions from <paramref name="first"/> to <paramref name="last"/> that occurred in time.</summary>
    /// <param name="until">Up to and including, 100 ns ticks since 1970.</param>
    /// <param name="mostBytes">Bytes that these events may have.</param>
    /// <param name="bytes">Bytes that they had.</param>
    /// <returns>The last event folded, and the state; null if none occurred in time.</returns>
    /// <exception cref="StreamChangedException">Events are gone.</exception>
    /// <exception cref="FoldTooLargeException">They have more bytes.</exception>
    public static (FoldedEvent Last, FoldState State)? Fold(
        EventReader reader, Reducer reducer, FoldLimits limits, in StreamReference stream, long first, long last, long until,
        long mostBytes, out long bytes, CancellationToken cancellation)
    {
        var times = new TimeSink(first, until, mostBytes);
        Read(reader, stream, last, ref times, cancellation);
        bytes = mostBytes - times.BytesLeft;
        if (times.Found.Count == 0)
        {
            return null;
        }

        var fold = new FoldSink(reducer.Start(limits), first, until, cancellation);
        if (times.IsInOrder)
        {
            Read(reader, stream, last, ref fold, cancellation);
        }
        else
        {
            times.Found.Sort();
            foreach (var (_, version) in times.Found)
            {
                fold.Next = version;
                Read(reader, stream, version, ref fold, cancellation);
            }
        }

        return (fold.Last, fold.State);
    }

    private static void Read<TSink>(EventReader reader, in StreamReference stream, long last, ref TSink sink, CancellationToken cancellation)
        where TSink : struct, IVersionSink
    {
        while (sink.Next <= last)
        {
            cancellation.ThrowIfCancellationRequested();
            VersionReader.ReadPage(reader, stream, sink.Next, last, ref sink);
        }
    }

    private struct TimeSink(long next, long until, long mostBytes) : IVersionSink
    {
        private long _last = long.MinValue;

        public long Next { get; private set; } = next;

        public bool IsInOrder { get; private set; } = true;

        public List<(long Occurred, long Version)> Found { get; } = [];

        public long BytesLeft { get; private set; } = mostBytes;

        public bool Take(in EventView e)
        {
            Next++;
            BytesLeft -= e.EventData.Length;
            if (BytesLeft < 0)
            {
                throw new FoldTooLargeException();
            }

            var occurred = EventContent.Read(e).OccurredAt;
            if (occurred <= until)
            {
                IsInOrder &= occurred >= _last;
                _last = occurred;
                Found.Add((occurred, e.Version.Value));
            }

            return true;
        }
    }

    private struct FoldSink(FoldState state, long next, long until, CancellationToken cancellation) : IVersionSink
    {
        public FoldState State { get; } = state;

        public long Next { get; set; } = next;

        public FoldedEvent Last { get; private set; } = FoldedEvent.None;

        public bool Take(in EventView e)
        {
            Next++;
            var content = EventContent.Read(e);
            if (content.OccurredAt <= until)
            {
                State.Apply(content);
                Last = new FoldedEvent(e.Version, e.Position, e.RecordedAt, content.OccurredAt);
            }

            return !cancellation.IsCancellationRequested;
        }
    }
}
