using EventVault.Storage.Index;

namespace EventVault.Storage.Tests.Index;

/// <summary>Streams and segments as plain lists and dictionaries: what the files must agree with.</summary>
internal sealed class ChainModel
{
    public Dictionary<UInt128, StreamHead> Heads { get; } = [];

    public Dictionary<ChainNode, StreamRun> Runs { get; } = [];

    /// <summary>Per segment, the heads after it of the streams it has events of; ascending by key.</summary>
    public List<KeyValuePair<UInt128, StreamHead>[]> Segments { get; } = [];

    public long NextPosition { get; private set; }

    /// <summary>Seals the next segment with so many events of each stream.</summary>
    public StreamRun[] Seal(IEnumerable<KeyValuePair<UInt128, int>> streams)
    {
        var segment = (uint)Segments.Count;
        var sealedHeads = new List<KeyValuePair<UInt128, StreamHead>>();
        var runs = new List<StreamRun>();
        int ordinals = 0;
        foreach ((UInt128 key, int count) in streams.OrderBy(s => s.Key))
        {
            StreamHead before = Heads.GetValueOrDefault(key, StreamHead.None);
            var entry = (uint)runs.Count;
            NextPosition += count;
            StreamHead head = StreamChain.Next(
                before, segment, entry, before.LastVersion + count, NextPosition - 1, node => Runs[node].Jump);
            var run = new StreamRun
            {
                Key = key,
                FirstVersion = before.LastVersion + 1,
                Count = count,
                FirstOrdinalIndex = ordinals,
                Previous = before.Latest,
                Jump = head.Jump,
                Flags = before.Latest.Exists ? 0 : StreamRun.NewStream,
            };
            ordinals += count;
            runs.Add(run);
            Runs.Add(head.Latest, run);
            Heads[key] = head;
            sealedHeads.Add(new(key, head));
        }

        Segments.Add([.. sealedHeads]);
        return [.. runs];
    }

    /// <summary>Segments with random streams out of <paramref name="keys"/>.</summary>
    public static ChainModel Random(Random random, int segments, int streamsPerSegment, IReadOnlyList<UInt128> keys)
    {
        var model = new ChainModel();
        for (int s = 0; s < segments; s++)
        {
            var streams = new Dictionary<UInt128, int>();
            for (int i = 0; i < streamsPerSegment; i++)
            {
                streams[keys[random.Next(keys.Count)]] = random.Next(1, 4);
            }

            model.Seal(streams);
        }

        return model;
    }

    public static UInt128 RandomKey(Random random) =>
        new((ulong)random.NextInt64(long.MinValue, long.MaxValue), (ulong)random.NextInt64(long.MinValue, long.MaxValue));
}
