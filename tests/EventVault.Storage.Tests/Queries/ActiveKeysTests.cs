using EventVault.Storage.Index;

namespace EventVault.Storage.Tests.Queries;

public sealed class ActiveKeysTests
{
    [Fact]
    public void Postings_equal_plain_lists_for_every_committed_bound()
    {
        var random = new Random(5);
        for (var round = 0; round < 25; round++)
        {
            var keys = new ActiveKeys();
            var lists = new Dictionary<ulong, List<uint>>();
            var events = random.Next(1, round == 0 ? 30_000 : 600);
            Fill(keys, lists, events, random);
            Assert.Equal(lists.Count, keys.Count);
            Compare(keys, lists, events, random);

            // The copy has what is committed, and goes on by itself; the one it was made of stays as it is.
            var committed = random.Next(events + 1);
            var copy = keys.Copy(committed);
            var kept = lists.ToDictionary(l => l.Key, l => l.Value.Where(o => o < committed).ToList()).Where(l => l.Value.Count > 0).ToDictionary();
            Assert.Equal(kept.Count, copy.Count);
            for (var ordinal = (uint)committed; ordinal < committed + 40; ordinal++)
            {
                var key = KeyOf(random.Next(50));
                copy.Add([key], ordinal);
                kept.TryAdd(key, []);
                kept[key].Add(ordinal);
            }

            Compare(copy, kept, committed + 40, random);
            CompareSealed(copy, kept);
            Assert.Equal(kept.Count, copy.Count);
            Compare(keys, lists, events, random);
        }
    }

    [Fact]
    public void A_key_of_one_event_costs_its_row_and_its_slot()
    {
        const int Events = 100_000;
        var keys = new ActiveKeys();
        var random = new Random(1);
        for (var i = 0u; i < Events; i++)
        {
            keys.Add([(ulong)random.NextInt64() | ((ulong)random.Next() << 62), 1, 2], i);
        }

        // An id (16 bytes and the slot, 5 to 11), and two words of common lists with their links.
        Assert.InRange((double)keys.Bytes / Events, 28, 40);
    }

    [Fact]
    public void Two_equal_keys_of_one_event_count_once()
    {
        var keys = new ActiveKeys();
        keys.Add([7, 7], 0);
        keys.Add([7, 7, 7], 3);
        Assert.True(keys.TryFind(7, int.MaxValue, out var postings));
        Assert.Equal((2, 3u), (postings.Count, postings.Last));
    }

    [Fact]
    public async Task Readers_see_every_committed_event_of_a_key_while_others_are_added()
    {
        const int Events = 200_000;
        var keys = new ActiveKeys();
        var committed = 0;
        using var stop = new CancellationTokenSource();
        var reads = 0L;
        var readers = Enumerable.Range(0, 2).Select(r => Task.Run(() =>
        {
            var random = new Random(r);
            var some = new uint[64];
            while (!stop.IsCancellationRequested)
            {
                var known = Volatile.Read(ref committed);
                var key = random.Next(1, 40);
                var expected = known <= 0 ? 0 : ((known - 1) / key) + 1;
                Assert.Equal(expected > 0, keys.TryFind(KeyOf(key), known, out var postings));
                Assert.Equal(expected, postings.Count);
                if (expected > 0)
                {
                    Assert.Equal((uint)((expected - 1) * key), postings.Last);
                    var first = random.Next(expected);
                    var copied = some.AsSpan(0, Math.Min(some.Length, expected - first));
                    postings.Copy(first, copied);
                    for (var i = 0; i < copied.Length; i++)
                    {
                        Assert.Equal((uint)((first + i) * key), copied[i]);
                    }

                    Interlocked.Increment(ref reads);
                }
            }
        })).ToList();
        var own = new ulong[40];
        for (var i = 0; i < Events; i++)
        {
            var count = 0;
            for (var key = 1; key < 40; key++)
            {
                if (i % key == 0)
                {
                    own[count++] = KeyOf(key);
                }
            }

            own[count++] = KeyOf(1_000_000 + i);
            keys.Add(own.AsSpan(0, count), (uint)i);
            if (i % 7 == 0)
            {
                Volatile.Write(ref committed, Math.Max(0, i - 3)); // What is pending is there, and not seen.
            }
        }

        SpinWait.SpinUntil(() => Interlocked.Read(ref reads) > 1000, TimeSpan.FromSeconds(30));
        await stop.CancelAsync();
        await Task.WhenAll(readers).WaitAsync(TimeSpan.FromSeconds(60));
        Assert.True(Interlocked.Read(ref reads) > 1000);
    }

    [Fact]
    public void A_truncation_may_take_back_all_of_a_key_and_leave_one_of_many()
    {
        var keys = new ActiveKeys();
        for (var i = 0u; i < 3000; i++)
        {
            keys.Add(i < 10 ? [KeyOf(1)] : [KeyOf(1), KeyOf(2), KeyOf((int)i)], i);
        }

        var copy = keys.Copy(1);
        Assert.Equal(1, copy.Count);
        Assert.True(copy.TryFind(KeyOf(1), int.MaxValue, out var one));
        Assert.Equal((1, 0u), (one.Count, one.Last));
        Assert.False(copy.TryFind(KeyOf(2), int.MaxValue, out _));
        copy.Add([KeyOf(1), KeyOf(2)], 1);
        copy.Add([KeyOf(2), KeyOf(20)], 2);
        CompareSealed(copy, new() { [KeyOf(1)] = [0, 1], [KeyOf(2)] = [1, 2], [KeyOf(20)] = [2] });
        Assert.Equal(3, copy.Count);
        Assert.True(keys.TryFind(KeyOf(2), int.MaxValue, out var all));
        Assert.Equal((2990, 2999u), (all.Count, all.Last));
    }

    private static void CompareSealed(ActiveKeys keys, Dictionary<ulong, List<uint>> lists)
    {
        using var content = new SealedKeysContent(keys);
        var all = new List<(ulong Key, uint Ordinal)>();
        for (var share = 0; share < SealedKeysContent.ShareCount; share++)
        {
            foreach (var posting in content.Share(share))
            {
                all.Add((posting.Key, posting.Ordinal));
            }
        }

        Assert.Equal(lists.SelectMany(l => l.Value.Select(o => (l.Key, o))).Order(), all);
    }

    private static void Fill(ActiveKeys keys, Dictionary<ulong, List<uint>> lists, int events, Random random)
    {
        for (var ordinal = 0u; ordinal < events; ordinal++)
        {
            var own = Enumerable.Range(0, random.Next(6)).Select(_ => KeyOf(random.Next(1 + random.Next(1 + random.Next(2000))))).Distinct().ToArray();
            keys.Add(own, ordinal);
            foreach (var key in own)
            {
                lists.TryAdd(key, []);
                lists[key].Add(ordinal);
            }
        }
    }

    private static void Compare(ActiveKeys keys, Dictionary<ulong, List<uint>> lists, int events, Random random)
    {
        for (var look = 0; look < 200; look++)
        {
            var bound = random.Next(3) == 0 ? int.MaxValue : random.Next(events + 2);
            var key = random.Next(5) == 0 || lists.Count == 0 ? KeyOf(random.Next(3000)) : lists.Keys.ElementAt(random.Next(lists.Count));
            var expected = lists.GetValueOrDefault(key, []).Where(o => o < bound).ToList();
            Assert.Equal(expected.Count > 0, keys.TryFind(key, bound, out var postings));
            Assert.Equal(expected.Count, postings.Count);
            if (expected.Count == 0)
            {
                continue;
            }

            Assert.Equal(expected[^1], postings.Last);
            var ordinal = (uint)random.Next(events + 2);
            Assert.Equal(expected.Count(o => o < ordinal), postings.CountBefore(ordinal));
            var first = random.Next(expected.Count);
            var copied = new uint[random.Next(expected.Count - first + 1)];
            postings.Copy(first, copied);
            Assert.Equal(expected.GetRange(first, copied.Length), copied);
        }
    }

    // SplitMix64, as spread as the keyed hash is.
    private static ulong KeyOf(int i)
    {
        var x = (ulong)i + 0x9E3779B97F4A7C15;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }
}
