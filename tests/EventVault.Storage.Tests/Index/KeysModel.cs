using EventVault.Storage.Index;
using EventVault.Storage.Io;

namespace EventVault.Storage.Tests.Index;

/// <summary>The keys of one segment as a naive dictionary, to compare a key file with.</summary>
internal sealed class KeysModel(KeyedSegment segment)
{
    private readonly List<(uint Ordinal, ulong[] Keys)> _events = [];

    public KeyedSegment Segment => segment;

    public SortedDictionary<ulong, SortedSet<uint>> Postings { get; } = [];

    /// <summary>A segment drawn from the seed: single, short and long lists, keys that are spread well or badly.</summary>
    public static KeysModel Random(int seed)
    {
        var random = new Random(seed);
        int events = random.Next(8) switch { 0 => 0, 1 => random.Next(1, 4), < 5 => random.Next(4, 400), _ => random.Next(400, 3000) };
        Func<ulong> key = random.Next(3) switch
        {
            0 => () => (ulong)random.NextInt64(long.MinValue, long.MaxValue),
            1 => () => ulong.MaxValue - (ulong)random.Next(5000),
            _ => () => ((ulong)random.Next(4) << 62) + (ulong)random.Next(1000),
        };
        var model = new KeysModel(new KeyedSegment(7, events, new Position(1000), (UInt128)seed));
        ulong[] heavy = [0, ulong.MaxValue, .. Enumerable.Range(0, 6).Select(_ => key())];
        int[] every = [1, 2, .. Enumerable.Range(0, 6).Select(_ => random.Next(1, 200))];
        ulong burst = key();
        int burstAt = random.Next(events + 1);
        for (uint ordinal = 0; ordinal < events; ordinal++)
        {
            List<ulong> keys = [key(), key()];
            keys.AddRange(heavy.Where((_, i) => ordinal % every[i] == 0));
            if (ordinal >= burstAt && ordinal < burstAt + 130)
            {
                keys.AddRange([burst, burst]); // twice: two keys of an event may be equal
            }

            model.Add(ordinal, [.. keys]);
        }

        return model;
    }

    public void Add(uint ordinal, params ulong[] keys)
    {
        _events.Add((ordinal, keys));
        foreach (ulong key in keys)
        {
            if (!Postings.TryGetValue(key, out SortedSet<uint>? ordinals))
            {
                Postings.Add(key, ordinals = []);
            }

            ordinals.Add(ordinal);
        }
    }

    public SealedKeysShape Write(IFileSystem disk, string path)
    {
        var content = new SealedKeysContent();
        foreach ((uint ordinal, ulong[] keys) in _events)
        {
            content.Add(ordinal, keys);
        }

        content.Sort();
        SealedKeysShape shape = SealedKeys.Measure(content, segment.Events);
        SealedKeys.Write(disk, path, segment, content, shape);
        return shape;
    }

    /// <summary>Writes the file as a seal does, from the index of the segment in memory.</summary>
    public SealedKeysShape WriteFromMemory(IFileSystem disk, string path)
    {
        var active = new ActiveKeys();
        foreach ((uint ordinal, ulong[] keys) in _events)
        {
            active.Add(keys, ordinal);
        }

        using var content = new SealedKeysContent(active);
        SealedKeysShape shape = SealedKeys.Measure(content, segment.Events);
        SealedKeys.Write(disk, path, segment, content, shape);
        return shape;
    }

    /// <summary>Compares every key, every posting, pages from bounds, and absent keys.</summary>
    public void CheckEqual(SealedKeys keys, int seed = 1)
    {
        var random = new Random(seed);
        Assert.Equal(segment, keys.Segment);
        Assert.Equal(Postings.Count, keys.KeyCount);
        Assert.Equal(Postings.Values.Sum(p => (long)p.Count), keys.PostingCount);
        keys.CheckAll();
        int every = 1 + (Postings.Count / 10_000); // CheckAll has seen all of them
        foreach ((ulong key, SortedSet<uint> ordinals) in Postings.Where((_, i) => i % every == 0))
        {
            Assert.True(keys.MayContain(key));
            Assert.True(keys.TryFind(key, out KeyPostings found), $"key {key:X16} is not found");
            Check([.. ordinals], found, random);
            foreach (ulong other in (ulong[])[key - 1, key + 1, key ^ (1UL << random.Next(64))])
            {
                bool isThere = Postings.TryGetValue(other, out SortedSet<uint>? wanted);
                Assert.Equal(isThere, keys.TryFind(other, out found));
                Assert.Equal(wanted?.Count ?? 0, found.Count);
            }
        }
    }

    private static void Check(uint[] wanted, in KeyPostings found, Random random)
    {
        Assert.Equal((wanted.Length, wanted[^1]), (found.Count, found.LastOrdinal));
        var all = new uint[wanted.Length];
        found.Copy(0, all);
        Assert.Equal(wanted, all);
        uint[] bounds = [0, uint.MaxValue, wanted[0], wanted[^1], wanted[^1] + 1, wanted[random.Next(wanted.Length)], wanted[random.Next(wanted.Length)] + 1, (uint)random.Next((int)wanted[^1] + 2)];
        foreach (uint bound in bounds)
        {
            int below = Array.FindIndex(wanted, o => o >= bound) is >= 0 and var index ? index : wanted.Length;
            Assert.Equal(below, found.CountBelow(bound));
            Assert.Equal(wanted.AsSpan().Contains(bound), found.Contains(bound));
            var page = new uint[random.Next(1, 300)];
            int count = found.Ascending(bound, page);
            Assert.Equal(wanted.Where(o => o >= bound).Take(page.Length), page[..count]);
            count = found.Descending(bound, page);
            Assert.Equal(wanted.Reverse().Where(o => o <= bound).Take(page.Length), page[..count]);
        }

        int i = random.Next(wanted.Length);
        Assert.Equal(wanted[i], found[i]);
        Assert.Equal(wanted[^1], found[wanted.Length - 1]);
    }
}
