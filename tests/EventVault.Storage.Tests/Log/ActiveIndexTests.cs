using EventVault.Storage.Index;
using EventVault.Storage.Tests.Index;

namespace EventVault.Storage.Tests.Log;

public sealed class ActiveIndexTests
{
    [Fact]
    public void Runs_and_ordinals_equal_plain_lists_for_every_committed_bound()
    {
        var random = new Random(3);
        for (var round = 0; round < 30; round++)
        {
            var index = new ActiveIndex(3, new Position(1000), new LogIndex(5));
            var lists = new List<List<int>>();
            var before = new List<long>();
            var events = random.Next(1, 400);
            for (var i = 0; i < events; i++)
            {
                var stream = random.Next(1 + random.Next(12));
                while (stream >= lists.Count)
                {
                    before.Add(random.Next(3) == 0 ? -1 : random.Next(1000));
                    Assert.Equal(lists.Count, index.AddStream(new UInt128(7, (ulong)lists.Count), new StreamVersion(before[^1])));
                    lists.Add([]);
                }

                index.AddEvent(stream, (uint)(8 * (i + 1)));
                lists[stream].Add(i);
            }

            Assert.Equal((events, lists.Count), (index.EventCount, index.StreamCount));
            for (var look = 0; look < 300; look++)
            {
                Compare(index, lists, before, random);
            }
        }
    }

    [Fact]
    public void What_a_walk_gathers_is_found_when_it_is_over()
    {
        const int Events = 60_000; // Some runs of gathered keys.
        var (walked, plain) = (new ActiveIndex(3, new Position(0), new LogIndex(1)), new ActiveIndex(3, new Position(0), new LogIndex(1)));
        walked.BeginWalk();
        foreach (var index in new[] { walked, plain })
        {
            var random = new Random(5);
            for (var i = 0u; i < Events; i++)
            {
                index.AddOperation(new UInt128(i, 1), 8 * (i + 1));
                index.AddKeys([(ulong)random.NextInt64(), (ulong)random.Next(100) << 50], i);
            }
        }

        Assert.Throws<InvariantException>(() => walked.FindOperation(new UInt128(0, 1)));
        walked.EndWalk();
        Assert.All(Enumerable.Range(0, Events), i => Assert.Equal(8 * ((uint)i + 1), walked.FindOperation(new UInt128((ulong)i, 1))));
        Assert.Equal(0u, walked.FindOperation(new UInt128(Events, 1)));
        Assert.Equal(plain.Keys.Count, walked.Keys.Count);
        for (var table = 0; table < ActiveKeys.Tables; table++)
        {
            var (expected, found) = (plain.Keys.Sorted(table), walked.Keys.Sorted(table));
            Assert.Equal(expected.Keys, found.Keys);
            Assert.Equal(expected.Lists, found.Lists);
        }

        // As any other index from here on.
        walked.AddOperation(new UInt128(Events, 1), 8);
        Assert.Equal(8u, walked.FindOperation(new UInt128(Events, 1)));
    }

    [Fact]
    public async Task A_key_table_is_right_for_readers_while_it_grows()
    {
        const int Keys = 120_000;
        var table = new KeyTable();
        var list = new BlockList<long>();
        var added = 0;
        using var stop = new CancellationTokenSource();
        var reads = 0L;
        var readers = Enumerable.Range(0, 2).Select(r => Task.Run(() =>
        {
            var random = new Random(r);
            while (!stop.IsCancellationRequested)
            {
                var known = Volatile.Read(ref added);
                if (known > 0)
                {
                    var number = random.Next(known);
                    Assert.Equal(number, table.Find(KeyOf(number)));
                    Assert.Equal(KeyOf(number), table[number]);
                    Assert.Equal(3L * number, list[number]);
                    Interlocked.Increment(ref reads);
                }

                Assert.Equal(-1, table.Find(KeyOf(Keys + random.Next(1000))));
            }
        })).ToList();
        for (var i = 0; i < Keys; i++)
        {
            list.Add() = 3L * i;
            Assert.Equal(i, table.Add(KeyOf(i)));
            Volatile.Write(ref added, i + 1);
        }

        SpinWait.SpinUntil(() => Interlocked.Read(ref reads) > 1000, TimeSpan.FromSeconds(30));
        await stop.CancelAsync();
        await Task.WhenAll(readers).WaitAsync(TimeSpan.FromSeconds(60));
        Assert.True(Interlocked.Read(ref reads) > 1000);
        Assert.Equal(Keys, table.Count);
    }

    private static void Compare(ActiveIndex index, List<List<int>> lists, List<long> before, Random random)
    {
        var stream = random.Next(lists.Count);
        var committed = random.Next(index.EventCount + 1);
        var wanted = lists[stream].Where(o => o < committed).ToList();
        var (first, count) = index.Run(stream, committed, out var newest);
        Assert.Equal((before[stream] + 1, wanted.Count), (first.Value, count));
        Assert.Equal(stream, index.FindStream(new UInt128(7, (ulong)stream)));
        if (count == 0)
        {
            Assert.Equal(-1, newest);
            return;
        }

        Assert.Equal(wanted[^1], newest);
        var from = random.Next(count);
        var ordinals = new uint[random.Next(1, count - from + 1)];
        index.CopyOrdinals(newest, from, ordinals);
        Assert.Equal(wanted.Skip(from).Take(ordinals.Length), ordinals.Select(o => (int)o));
        Assert.All(ordinals, o => Assert.Equal(8 * (o + 1), index.OffsetOf((int)o)));
    }

    // Equal lower bits now and then, so that slots collide.
    private static UInt128 KeyOf(int number) => new((ulong)number, (ulong)(number / 3) * 0x9E3779B97F4A7C15);
}
