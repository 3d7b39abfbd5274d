using EventVault.Storage.Index;
using EventVault.Storage.Io;

namespace EventVault.Storage.Tests.Index;

/// <summary>The content of one segment's index, as arrays.</summary>
internal sealed class SegmentModel
{
    public uint Segment { get; init; } = 7;

    public long FirstPosition { get; init; } = 1_000;

    public required StreamRun[] Runs { get; init; }

    public required uint[] Ordinals { get; init; }

    public required uint[] Offsets { get; init; }

    public required SparseMark[] Marks { get; init; }

    public required uint[] NewStreams { get; init; }

    public static SegmentModel Random(int seed, int? streams = null)
    {
        var random = new Random(seed);
        var counts = new Dictionary<UInt128, int>();
        int wanted = streams ?? random.Next(0, 40);
        while (counts.Count < wanted)
        {
            counts[ChainModel.RandomKey(random)] = random.Next(1, 5);
        }

        return Of([.. counts], seed);
    }

    /// <summary>A segment with so many events of each stream, in an order drawn from the seed.</summary>
    public static SegmentModel Of(KeyValuePair<UInt128, int>[] streams, int seed = 0)
    {
        var random = new Random(seed);
        Array.Sort(streams, (a, b) => a.Key.CompareTo(b.Key));
        int events = streams.Sum(s => s.Value);
        uint[] order = [.. Enumerable.Range(0, events).Select(i => (uint)i)];
        random.Shuffle(order);
        var runs = new StreamRun[streams.Length];
        int at = 0;
        for (int i = 0; i < streams.Length; i++)
        {
            (UInt128 key, int count) = streams[i];
            Array.Sort(order, at, count);
            bool isNew = random.Next(2) == 0;
            runs[i] = new StreamRun
            {
                Key = key,
                FirstVersion = isNew ? 0 : random.Next(1, 1_000),
                Count = count,
                FirstOrdinalIndex = at,
                Previous = isNew ? ChainNode.None : new ChainNode((uint)random.Next(0, 7), (uint)random.Next(), 6),
                Jump = ChainNode.None, // depth 7 jumps to none, depth 1 too
                Flags = isNew ? StreamRun.NewStream : 0,
            };
            at += count;
        }

        uint[] newStreams = [.. Enumerable.Range(0, runs.Length).Where(i => runs[i].IsNewStream).Select(i => (uint)i)];
        random.Shuffle(newStreams);
        return new SegmentModel
        {
            Runs = runs,
            Ordinals = order,
            Offsets = [.. Enumerable.Range(0, events).Select(i => (uint)(512 + (i * 40) + random.Next(20)))],
            Marks = [.. Enumerable.Range(0, Math.Min(events / 7, 1_000)).Select(i => new SparseMark((ulong)(100 + (i * 3)), 5_000 + (i * 10L), (uint)(i * 7), (uint)(4096 + (i * 65_536))))],
            NewStreams = newStreams,
        };
    }

    public SealedIndexMark Write(IFileSystem disk, string path) => SealedIndex.Write(disk, path, new SealedIndexContent
    {
        Segment = Segment,
        FirstPosition = new Position(FirstPosition),
        Events = Offsets.Length,
        Offsets = Offsets,
        Streams = Runs,
        Ordinals = Ordinals,
        Marks = Marks,
        NewStreamsByName = NewStreams,
    });

    public void CheckEqual(SealedIndex index)
    {
        var absent = new Random(987_654_321); // a seed that no model is drawn from
        Assert.Equal(Segment, index.Segment);
        Assert.Equal(FirstPosition, index.FirstPosition.Value);
        Assert.Equal(Offsets.Length, index.EventCount);
        Assert.Equal(Runs.Length, index.StreamCount);
        for (int e = 0; e < Runs.Length; e++)
        {
            Assert.Equal(Runs[e], index.Run(e));
            Assert.Equal(e, index.Find(Runs[e].Key));
            for (int i = 0; i < Runs[e].Count; i++)
            {
                Assert.Equal(Ordinals[Runs[e].FirstOrdinalIndex + i], index.OrdinalOf(e, i));
            }
        }

        for (uint ordinal = 0; ordinal < Offsets.Length; ordinal++)
        {
            Assert.Equal(Offsets[ordinal] << 3, index.OffsetOf(ordinal));
        }

        for (int i = 0; i < 100; i++)
        {
            Assert.Equal(-1, index.Find(ChainModel.RandomKey(absent)));
        }

        Assert.Equal(NewStreams.Select(e => (int)e), Enumerable.Range(0, index.NewStreamCount).Select(index.NewStreamEntry));
        Assert.Equal(Marks, Enumerable.Range(0, index.MarkCount).Select(index.MarkAt));
        CheckMarks(index);
    }

    private void CheckMarks(SealedIndex index)
    {
        // The naive searches are quadratic: of a large segment the first marks will do.
        SparseMark end = Marks.Length == 0 ? default : Marks[Math.Min(Marks.Length, 50) - 1];
        for (long time = Marks.FirstOrDefault().Time - 10; time < end.Time + 20; time += 3)
        {
            CheckMark(Marks.LastOrDefault(m => m.Time <= time), index.TryMarkAtTime(time, out SparseMark mark), mark);
        }

        for (ulong logIndex = 98; logIndex < end.LogIndex + 5; logIndex++)
        {
            CheckMark(Marks.LastOrDefault(m => m.LogIndex <= logIndex), index.TryMarkAtLogIndex(logIndex, out SparseMark mark), mark);
        }

        for (uint ordinal = 0; ordinal < end.Ordinal + 10; ordinal++)
        {
            CheckMark(Marks.LastOrDefault(m => m.Ordinal <= ordinal), index.TryMarkAtOrdinal(ordinal, out SparseMark mark), mark);
        }
    }

    private static void CheckMark(SparseMark expected, bool found, SparseMark mark)
    {
        Assert.Equal(expected, mark);
        Assert.Equal(expected != default, found);
    }
}
