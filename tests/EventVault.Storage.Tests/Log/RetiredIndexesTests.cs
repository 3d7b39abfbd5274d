using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Log;

/// <summary>The memory of a sealed segment's index serves another one, once nobody has it in hand any more.</summary>
public sealed class RetiredIndexesTests
{
    [Fact]
    public void An_index_in_the_memory_of_another_one_is_as_it_would_be_in_its_own()
    {
        for (var seed = 0; seed < 40; seed++)
        {
            var random = new Random(seed);
            var done = Fill(Empty(), seed - 1, Size(random));
            for (var turn = 0; turn < 4; turn++)
            {
                // Of another size each time: with what is left over of the one before, or with too little of it.
                var (content, events) = ((100 * seed) + turn, Size(random));
                var letGoAt = random.Next(3) == 0 ? random.Next(events) : -1;
                var expected = Fill(Empty(), content, events);
                var found = Empty();
                found.TakeOver(done);
                Fill(found, content, events, i =>
                {
                    if (i == letGoAt)
                    {
                        found.LetGo();
                    }
                });
                SavedIndexCheck.Compare(expected, found);
                Assert.Equal((expected.Keys.Bytes, expected.SavedBytes), (found.Keys.Bytes, found.SavedBytes));
                Assert.Equal(0u, found.FindOperation(new UInt128(0, (ulong)events)));
                Assert.Equal(-1, found.FindStream(new UInt128(1, ulong.MaxValue)));

                // What is saved, and what a truncation keeps, is no longer either, and reads the same.
                var (saved, savedLength) = SaveAndLoad(found);
                SavedIndexCheck.Compare(expected, saved);
                Assert.Equal(SaveAndLoad(expected).Length, savedLength);
                var end = (uint)(8 * (events + 1)) + (uint)(8 * events);
                foreach (var index in new[] { expected, found })
                {
                    index.AddOperation(new UInt128(0, 1), end); // Pending.
                    index.AddKeys([42, 43], (uint)events);
                }

                SavedIndexCheck.Compare(expected.CopyCommitted(end), found.CopyCommitted(end));
                Assert.Equal(SaveAndLoad(expected.CopyCommitted(end)).Length, SaveAndLoad(found.CopyCommitted(end)).Length);
                done = found;
            }
        }
    }

    [Fact]
    public void Who_looks_into_an_index_that_was_taken_over_does_not_find_another_segment_s_events()
    {
        var done = Fill(Empty(), 1, 500);
        var fresh = Empty();
        fresh.TakeOver(done);
        Fill(fresh, 2, 500);
        Assert.ThrowsAny<Exception>(() => done.FindStream(new UInt128(1, 0)));
        Assert.ThrowsAny<Exception>(() => done.FindOperation(new UInt128(0, 1)));
        Assert.ThrowsAny<Exception>(() => done.OffsetOf(0));
        Assert.ThrowsAny<Exception>(() => done.Keys.TryFind(7, 500, out _));
    }

    [Fact]
    public void A_turn_has_ended_when_all_who_came_in_it_have_gone()
    {
        var leases = new ViewLeases();
        var first = leases.Enter();
        Assert.True(leases.TryEndTurn(out var turn));
        Assert.False(leases.HasEnded(turn));

        // Who comes later does not hold it up; but the next turn can't end while somebody of this one is there.
        var second = leases.Enter();
        Assert.False(leases.TryEndTurn(out _));
        leases.Exit(first);
        Assert.True(leases.HasEnded(turn));

        Assert.True(leases.TryEndTurn(out var next));
        Assert.False(leases.HasEnded(turn) || leases.HasEnded(next));
        leases.Exit(second);
        Assert.True(leases.HasEnded(next));
        Assert.False(leases.HasEnded(turn));
    }

    [Fact]
    public void Turns_end_only_behind_who_came_in_them_on_many_threads()
    {
        const int Turns = 100;

        // A cell that belongs to a turn is spoiled as soon as the turn is said to have ended.
        var leases = new ViewLeases();
        var current = new StrongBox(true);
        var (stop, spoiledCells) = (false, 0);
        var readers = Enumerable.Range(0, 3).Select(_ => new Thread(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                var at = leases.Enter();
                var seen = Volatile.Read(ref current);
                for (var i = 0; i < 20; i++)
                {
                    if (!Volatile.Read(ref seen.IsWhole))
                    {
                        Interlocked.Increment(ref spoiledCells);
                    }
                }

                leases.Exit(at);
                Thread.Yield();
            }
        })).ToList();
        readers.ForEach(reader => reader.Start());
        for (var ended = 0; ended < Turns;)
        {
            var old = current;
            Volatile.Write(ref current, new StrongBox(true));
            if (leases.TryEndTurn(out var turn))
            {
                Assert.True(SpinWait.SpinUntil(() => leases.HasEnded(turn), TimeSpan.FromSeconds(60)));
                Volatile.Write(ref old.IsWhole, false);
                ended++;
            }
        }

        Volatile.Write(ref stop, true);
        readers.ForEach(reader => Assert.True(reader.Join(TimeSpan.FromSeconds(60))));
        Assert.Equal(0, spoiledCells);
    }

    [Fact]
    public void Tables_that_were_much_too_large_do_not_go_on_from_index_to_index()
    {
        const int Many = 100_000;
        const int Few = 100;
        KeyTable[] tables = [new(), new(), new()];
        ActiveKeys[] keys = [new(), new(), new()];
        Add(Many, 0);
        tables[1].TakeOver(tables[0]);
        keys[1].TakeOver(keys[0]);
        Add(Few, 1);
        tables[2].TakeOver(tables[1]);
        keys[2].TakeOver(keys[1]);

        // The blocks serve, of 64 KiB and more; the slots, some bytes for each key, are their own.
        var (tableBytes, keyBytes) = Add(Few, 2);
        Assert.InRange(tableBytes, 2000, 20_000);
        Assert.InRange(keyBytes, 2000, 20_000);

        (long Table, long Keys) Add(int count, int to)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0u; i < count; i++)
            {
                tables[to].Add(i);
            }

            var between = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0u; i < count; i++)
            {
                keys[to].Add([(i + 1) * 0x9E3779B97F4A7C15], i);
            }

            return (between - before, GC.GetAllocatedBytesForCurrentThread() - between);
        }
    }

    [Fact]
    public void The_index_of_a_segment_that_begins_uses_the_memory_of_a_sealed_one()
    {
        var vault = new SmallVault();
        FillSegments(vault, 5);
        Assert.True(vault.Storage.RetiredIndexes.Reused >= 2);
        vault.Model.Check(vault.Storage, new Random(1));
    }

    [Fact]
    public void Memory_that_somebody_may_look_into_is_not_used_again()
    {
        var vault = new SmallVault();
        FillSegments(vault, 2);
        long before;
        using (var lease = vault.Storage.LeaseView())
        {
            var segment = lease.View.Unsealed[^1];
            var events = segment.Index(lease).EventCount;
            FillSegments(vault, 1); // One that had left the view before may still be used.
            before = vault.Storage.RetiredIndexes.Reused;
            FillSegments(vault, 4);
            Assert.True(lease.View.Sealed.Length < vault.Storage.View.Sealed.Length);
            Assert.Equal(before, vault.Storage.RetiredIndexes.Reused);
            Assert.True(segment.Index(lease).EventCount >= events);
            Assert.NotEqual(0u, segment.Index(lease).OffsetOf(0));
        }

        FillSegments(vault, 4);
        Assert.True(vault.Storage.RetiredIndexes.Reused > before);
        vault.Model.Check(vault.Storage, new Random(2));
    }

    [Fact]
    public void Memory_that_is_not_used_in_time_is_let_go()
    {
        var vault = new SmallVault();
        vault.Storage.RetiredIndexes.KeptMs = 0;
        FillSegments(vault, 5);
        Assert.Equal(0, vault.Storage.RetiredIndexes.Reused);

        // Nor is what an index was given and has not come to need.
        var (kept, letGo) = (AllocatedBySecond(letGo: false), AllocatedBySecond(letGo: true));
        Assert.InRange(kept, 0, 100_000);
        Assert.InRange(letGo, 1_000_000, long.MaxValue);
    }

    [Fact]
    public void Only_the_newest_index_keeps_memory_that_it_has_not_come_to_need()
    {
        // A full disk may hold up the seal of the one before for as long as it is full.
        var retired = new RetiredIndexes(new ViewLeases()) { KeptMs = long.MaxValue };
        var (before, newest) = (Empty(), Empty());
        retired.Add(Fill(Empty(), 1, 20_000));
        retired.GiveTo(before);
        retired.Add(Fill(Empty(), 1, 20_000));
        retired.GiveTo(newest);
        Assert.Equal(2, retired.Reused);
        Assert.InRange(AllocatedBy(before, 20_000), 1_000_000, long.MaxValue);
        Assert.InRange(AllocatedBy(newest, 20_000), 0, 100_000);
    }

    private static long AllocatedBySecond(bool letGo)
    {
        var retired = new RetiredIndexes(new ViewLeases()) { KeptMs = letGo ? 0 : long.MaxValue };
        var fresh = Empty();
        retired.Add(Fill(Empty(), 1, 20_000));
        retired.GiveTo(fresh);
        Assert.Equal(1, retired.Reused);
        retired.LetGo();
        return AllocatedBy(fresh, 20_000);
    }

    private static long AllocatedBy(ActiveIndex index, int events)
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        Fill(index, 1, events);
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    private static (ActiveIndex Index, long Length) SaveAndLoad(ActiveIndex index)
    {
        using var file = new SimulatedFileSystem().OpenFile("/saved", FileOpening.New);
        var writer = new ActiveIndexWriter(file, 0);
        index.Save(writer);
        writer.WriteOut();
        var reader = new ActiveIndexReader(file, 0, writer.Length);
        var loaded = Empty();
        loaded.Load(reader, new Term(1));
        Assert.True(reader.IsWhole(writer.ContentChecksum));
        return (loaded, writer.Length);
    }

    private static int Size(Random random) => random.Next(4) switch { 0 => random.Next(1, 20), 1 => random.Next(20, 300), 2 => random.Next(300, 3000), _ => random.Next(3000, 20_000) };

    private static ActiveIndex Empty() => new(3, new Position(1000), new LogIndex(5));

    private static ActiveIndex Fill(ActiveIndex index, int seed, int events, Action<int>? before = null)
    {
        var random = new Random(seed);
        var streams = 1 + random.Next(1 + (events / 3));
        var ids = (ulong)random.NextInt64();
        var tags = 1 + random.Next(50);
        Span<ulong> keys = stackalloc ulong[4];
        for (var i = 0; i < events; i++)
        {
            before?.Invoke(i);
            var offset = (uint)(8 * (i + 1)) + (uint)(8 * events);
            var name = (ulong)random.Next(streams);
            var stream = index.FindStream(new UInt128(1, name));
            stream = stream < 0 ? index.AddStream(new UInt128(1, name), new StreamVersion((long)(name % 5) - 1)) : stream;
            index.Tail(stream)++;
            index.AddOperation(new UInt128(ids + (ulong)i, 1), offset);
            keys[0] = (ids + (ulong)i) * 0x9E3779B97F4A7C15;
            keys[1] = (ulong)random.Next(tags) << 57;
            keys[2] = (ulong)random.Next(tags) * 0x9E3779B97F4A7C15;
            keys[3] = 42;
            index.AddKeys(keys, (uint)i);
            index.AddGroup(new LogIndex(5 + (ulong)i), new Term(1), isMembership: false, 100 + i, offset);
            index.AddEvent(stream, offset);
        }

        return index;
    }

    private static void FillSegments(SmallVault vault, int segments)
    {
        var last = vault.Storage.SegmentCounts.Sealed + segments;
        for (var i = 0; vault.Storage.SegmentCounts.Sealed < last; i++)
        {
            Assert.True(i < 100_000);
            vault.Append($"s-{i % 7}", 200);
            vault.StepAll();
        }
    }

    private sealed class StrongBox(bool isWhole)
    {
        public bool IsWhole = isWhole;
    }
}
