using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;
using FsCheck;
using FsCheck.Fluent;

namespace EventVault.Storage.Tests.Index;

public sealed class HeadsFileTests
{
    private const string Path = "/heads";

    [Fact]
    public void Is_created_empty()
    {
        var disk = new SimulatedFileSystem();
        using HeadsFile heads = HeadsFile.Open(disk, Path);
        Assert.Equal(-1, heads.AppliedThrough);
        Assert.Equal(0, heads.StreamCount);
        Assert.False(heads.TryGet(17, out StreamHead head));
        Assert.Equal(StreamHead.None, head);
        Assert.Empty(heads.ReadAll());
    }

    [Fact]
    public void Agrees_with_a_dictionary_after_every_segment_and_every_opening() => Prop.ForAll(
        Gen.Choose(0, 10_000).ToArbitrary(),
        seed =>
        {
            var random = new Random(seed);
            UInt128[] keys = CrowdedKeys(random, 300);
            ChainModel model = ChainModel.Random(random, segments: 12, streamsPerSegment: random.Next(0, 120), keys);
            var disk = new SimulatedFileSystem(tracksLosses: false);
            HeadsFile heads = HeadsFile.Open(disk, Path);
            var expected = new Dictionary<UInt128, StreamHead>();
            for (uint s = 0; s < model.Segments.Count; s++)
            {
                KeyValuePair<UInt128, StreamHead>[] shuffled = [.. model.Segments[(int)s]];
                random.Shuffle(shuffled);
                heads.Apply(s, shuffled);
                foreach ((UInt128 key, StreamHead head) in shuffled)
                {
                    expected[key] = head;
                }

                CheckEqual(expected, s, heads, keys);
                if (random.Next(3) == 0)
                {
                    heads.Dispose();
                    heads = HeadsFile.Open(disk, Path);
                    CheckEqual(expected, s, heads, keys);
                }
            }

            heads.Dispose();
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(40));

    [Fact]
    public void Grows_over_many_doublings_and_reuses_room_after_opening()
    {
        var random = new Random(1);
        UInt128[] keys = [.. Enumerable.Range(0, 60_000).Select(_ => ChainModel.RandomKey(random))];
        var disk = new SimulatedFileSystem(tracksLosses: false);
        var model = new ChainModel();
        for (int s = 0; s < 12; s++)
        {
            model.Seal(keys.Skip(s * 5_000).Take(5_000).Select(k => new KeyValuePair<UInt128, int>(k, 1)));
        }

        long lengthInOneRun = ApplyAll(new SimulatedFileSystem(tracksLosses: false), model, reopenEach: false);
        long length = ApplyAll(disk, model, reopenEach: true);
        Assert.True(length <= lengthInOneRun, $"{length} bytes with reuse, {lengthInOneRun} without");
        using HeadsFile heads = HeadsFile.Open(disk, Path);
        CheckEqual(model.Heads, 11, heads, keys);
    }

    [Fact]
    public void Applying_a_segment_again_changes_nothing()
    {
        ChainModel model = ChainModel.Random(new Random(2), 3, 20, CrowdedKeys(new Random(2), 30));
        var disk = new SimulatedFileSystem();
        using HeadsFile heads = HeadsFile.Open(disk, Path);
        heads.Apply(0, model.Segments[0]);
        heads.Apply(1, model.Segments[1]);
        long operations = disk.Operations;
        heads.Apply(0, model.Segments[0]);
        heads.Apply(1, model.Segments[1]);
        Assert.Equal(operations, disk.Operations);
        Assert.Equal(1, heads.AppliedThrough);
    }

    [Fact]
    public void Refuses_a_segment_out_of_turn()
    {
        ChainModel model = ChainModel.Random(new Random(2), 3, 20, CrowdedKeys(new Random(2), 30));
        using HeadsFile heads = HeadsFile.Open(new SimulatedFileSystem(), Path);
        heads.Apply(0, model.Segments[0]);
        Assert.Throws<InvariantException>(() => heads.Apply(2, model.Segments[2]));
    }

    [Fact]
    public void Tells_heads_of_another_log_from_its_own()
    {
        UInt128[] keys = CrowdedKeys(new Random(3), 30);
        ChainModel model = ChainModel.Random(new Random(3), 3, 20, keys);
        ChainModel other = ChainModel.Random(new Random(4), 3, 20, keys);
        using HeadsFile heads = HeadsFile.Open(new SimulatedFileSystem(), Path);
        heads.Apply(0, model.Segments[0]);
        heads.Apply(1, model.Segments[1]);
        var damage = Assert.Throws<IndexDamageException>(() => heads.Apply(2, other.Segments[2]));
        Assert.Contains("does not continue", damage.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_flipped_bit_at_any_byte_of_a_shard_is_reported()
    {
        var random = new Random(5);
        UInt128[] keys = [.. Enumerable.Range(0, 40).Select(i => (UInt128)random.NextInt64() << 56), .. Enumerable.Range(0, 40).Select(i => ((UInt128)1 << 120) | (UInt128)random.NextInt64() << 50)];
        ChainModel model = ChainModel.Random(random, 3, 60, keys);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        using HeadsFile heads = HeadsFile.Open(disk, Path);
        ApplyFrom(heads, model);
        for (long offset = HeadsHeader.DataStart; offset < HeadsHeader.DataStart + (2 * BlockWriter.BlockBytes); offset++)
        {
            disk.FlipBit(Path, offset, (int)(offset % 8));
            var damage = Assert.Throws<IndexDamageException>(() => heads.ReadAll().Take(model.Heads.Count + 1).Count());
            Assert.Contains(Path, damage.Message, StringComparison.Ordinal);
            Assert.InRange(offset - damage.Offset, 0, HeadSlot.Length - 1);
            disk.FlipBit(Path, offset, (int)(offset % 8));
        }

        CheckEqual(model.Heads, 2, heads, keys);
    }

    [Fact]
    public void A_stream_in_a_damaged_slot_is_reported_and_neither_absent_nor_wrong()
    {
        var random = new Random(6);
        UInt128[] keys = [.. Enumerable.Range(0, 40).Select(i => (UInt128)random.NextInt64() << 56)];
        ChainModel model = ChainModel.Random(random, 3, 60, keys);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        using HeadsFile heads = HeadsFile.Open(disk, Path);
        ApplyFrom(heads, model);
        int reported = 0;
        for (int bit = 0; bit < 8 * BlockWriter.BlockBytes; bit += 5)
        {
            disk.FlipBit(Path, HeadsHeader.DataStart + (bit / 8), bit % 8);
            foreach (UInt128 key in keys)
            {
                try
                {
                    Assert.Equal(model.Heads.TryGetValue(key, out StreamHead head), heads.TryGet(key, out StreamHead found));
                    Assert.True(found == head || !model.Heads.ContainsKey(key));
                }
                catch (IndexDamageException)
                {
                    reported++;
                }
            }

            disk.FlipBit(Path, HeadsHeader.DataStart + (bit / 8), bit % 8);
        }

        Assert.True(reported > 1_000);
    }

    [Fact]
    public void A_damaged_header_falls_back_to_the_other_and_redo_gives_the_same_content()
    {
        for (int offset = 0; offset < 2 * HeadsHeader.SlotLength; offset += offset % HeadsHeader.SlotLength < 72 ? 3 : 97)
        {
            var random = new Random(offset);
            UInt128[] keys = CrowdedKeys(random, 100);
            ChainModel model = ChainModel.Random(random, 4, 80, keys);
            var disk = new SimulatedFileSystem(tracksLosses: false);
            using (HeadsFile heads = HeadsFile.Open(disk, Path))
            {
                ApplyFrom(heads, model);
            }

            disk.FlipBit(Path, offset, offset % 8);
            using HeadsFile again = HeadsFile.Open(disk, Path);
            Assert.InRange(again.AppliedThrough, 2, 3);
            ApplyFrom(again, model);
            CheckEqual(model.Heads, 3, again, keys);
        }
    }

    [Fact]
    public void Two_damaged_headers_are_damage()
    {
        var disk = new SimulatedFileSystem(tracksLosses: false);
        using (HeadsFile heads = HeadsFile.Open(disk, Path))
        {
            heads.Apply(0, []);
        }

        disk.FlipBit(Path, 100, 1);
        disk.FlipBit(Path, HeadsHeader.SlotLength + 100, 1);
        var damage = Assert.Throws<IndexDamageException>(() => HeadsFile.Open(disk, Path));
        Assert.Contains("delete it and start again", damage.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_block_that_reads_as_zeros_is_damage_and_not_an_absent_stream()
    {
        var disk = new SimulatedFileSystem(tracksLosses: false);
        using HeadsFile heads = HeadsFile.Open(disk, Path);
        using (IFile file = disk.OpenFile(Path, FileOpening.Existing))
        {
            file.Write(HeadsHeader.DataStart, new byte[BlockWriter.BlockBytes]);
        }

        Assert.Throws<IndexDamageException>(() => heads.TryGet(1, out _));
    }

    [Fact]
    public void Opening_reads_the_header_only()
    {
        var disk = new SimulatedFileSystem(tracksLosses: false);
        HeadsFile.Open(disk, Path).Dispose();
        using (IFile file = disk.OpenFile(Path, FileOpening.Existing))
        {
            // Were the table read, these zeros would be found.
            file.Write(HeadsHeader.DataStart, new byte[file.Length - HeadsHeader.DataStart]);
        }

        HeadsFile.Open(disk, Path).Dispose();
    }

    [Fact]
    public void A_failed_flush_ends_the_object_and_an_opening_starts_from_what_is_durable()
    {
        var random = new Random(8);
        UInt128[] keys = CrowdedKeys(random, 100);
        ChainModel model = ChainModel.Random(random, 2, 80, keys);
        var disk = new SimulatedFileSystem();
        using HeadsFile heads = HeadsFile.Open(disk, Path);
        heads.Apply(0, model.Segments[0]);
        disk.FailingFlush.StrikeAt(1);
        Assert.Throws<DiskException>(() => heads.Apply(1, model.Segments[1]));
        Assert.Throws<InvariantException>(() => heads.Apply(1, model.Segments[1]));
        Assert.Equal(0, heads.AppliedThrough);

        // Reads go on, from the overlay and the slots.
        foreach ((UInt128 key, StreamHead head) in model.Heads)
        {
            Assert.True(heads.TryGet(key, out StreamHead found));
            Assert.Equal(head, found);
        }
    }

    [Fact]
    public void A_slot_that_is_just_being_written_is_waited_for_and_not_taken_for_damage()
    {
        // Both keys begin their search at the shard's first slot. While 5 is put there, 6 looks at it.
        var disk = new TearingFileSystem(new SimulatedFileSystem(tracksLosses: false));
        var model = new ChainModel();
        model.Seal([new(5, 1)]);
        using HeadsFile heads = HeadsFile.Open(disk, Path);
        Exception? failure = null;
        bool found = true;
        using var started = new ManualResetEventSlim();
        var reader = new Thread(() =>
        {
            started.Set();
            failure = Record.Exception(() => found = heads.TryGet(6, out _));
        });
        bool endedEarly = false;
        disk.InTheMiddle = () =>
        {
            reader.Start();
            started.Wait();
            endedEarly = reader.Join(TimeSpan.FromMilliseconds(50));
        };
        heads.Apply(0, model.Segments[0]);
        Assert.True(reader.Join(TimeSpan.FromSeconds(30)));
        Assert.Null(failure);
        Assert.False(endedEarly, "an answer from half a slot");
        Assert.False(found);
    }

    [Fact]
    public void A_stream_that_is_just_being_applied_is_answered_from_memory()
    {
        var disk = new TearingFileSystem(new SimulatedFileSystem(tracksLosses: false));
        var model = new ChainModel();
        model.Seal([new(5, 1)]);
        model.Seal([new(5, 1)]);
        using HeadsFile heads = HeadsFile.Open(disk, Path);
        heads.Apply(0, model.Segments[0]);
        StreamHead seen = StreamHead.None;
        disk.InTheMiddle = () => heads.TryGet(5, out seen);
        heads.Apply(1, model.Segments[1]);
        Assert.Equal(model.Heads[5], seen);
    }

    [Fact]
    public void Lookups_are_right_while_segments_are_applied_and_shards_grow()
    {
        string folder = System.IO.Path.Combine(AppContext.BaseDirectory, $"heads-{Guid.NewGuid():N}");
        Directory.CreateDirectory(folder);
        try
        {
            // Few shards, so that they grow often; a quarter of the streams never changes after segment 0.
            var random = new Random(9);
            UInt128[] keys = [.. Enumerable.Range(0, 40_000).Select(i => ((UInt128)(i % 3) << 120) | (ChainModel.RandomKey(random) >> 8))];
            var model = new ChainModel();
            model.Seal(keys.Take(10_000).Select(k => new KeyValuePair<UInt128, int>(k, 1)));
            for (int s = 1; s < 24; s++)
            {
                model.Seal(keys.Skip(5_000).Take(s * 1_500).Select(k => new KeyValuePair<UInt128, int>(k, 1)));
            }

            using HeadsFile heads = HeadsFile.Open(new NativeFileSystem(), System.IO.Path.Combine(folder, "heads"));
            heads.Apply(0, model.Segments[0]);
            RunReaders(heads, model, keys);
            CheckEqual(model.Heads, 23, heads, keys);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    internal static void ApplyFrom(HeadsFile heads, ChainModel model)
    {
        for (uint s = (uint)(heads.AppliedThrough + 1); s < model.Segments.Count; s++)
        {
            heads.Apply(s, model.Segments[(int)s]);
        }
    }

    internal static void CheckEqual(
        Dictionary<UInt128, StreamHead> expected, long appliedThrough, HeadsFile heads, IEnumerable<UInt128> keys)
    {
        Assert.Equal(appliedThrough, heads.AppliedThrough);
        Assert.Equal(expected.Count, heads.StreamCount);
        foreach (UInt128 key in keys)
        {
            Assert.Equal(expected.TryGetValue(key, out StreamHead head), heads.TryGet(key, out StreamHead found));
            Assert.Equal(expected.ContainsKey(key) ? head : StreamHead.None, found);
        }

        var all = new Dictionary<UInt128, StreamHead>(heads.ReadAll()); // throws on a key that is there twice
        Assert.Equal(expected.Count, all.Count);
        Assert.All(all, pair => Assert.Equal(expected[pair.Key], pair.Value));
    }

    /// <summary>Keys in few shards and with few homes, the last slots of a shard included, so that they get in each other's way.</summary>
    internal static UInt128[] CrowdedKeys(Random random, int count) =>
    [
        .. Enumerable.Range(0, count).Select(i => (random.Next(4) switch
        {
            0 => ((UInt128)(uint)random.Next(3) << 120) | ((UInt128)(uint)random.Next(4) << 112),
            1 => ((UInt128)0xFF << 120) | ((UInt128)0xFFFF << 104),
            2 => (UInt128)0xFE << 112,
            _ => (UInt128)(uint)random.Next(256) << 112,
        }) | (uint)i),
    ];

    private static long ApplyAll(SimulatedFileSystem disk, ChainModel model, bool reopenEach)
    {
        HeadsFile heads = HeadsFile.Open(disk, Path);
        for (uint s = 0; s < model.Segments.Count; s++)
        {
            heads.Apply(s, model.Segments[(int)s]);
            if (reopenEach)
            {
                heads.Dispose();
                heads = HeadsFile.Open(disk, Path);
            }
        }

        heads.Dispose();
        using IFile file = disk.OpenFile(Path, FileOpening.ReadExisting);
        return file.Length;
    }

    private static void RunReaders(HeadsFile heads, ChainModel model, UInt128[] keys)
    {
        var failures = new System.Collections.Concurrent.ConcurrentQueue<string>();
        bool done = false;
        void Read(int seed)
        {
            try
            {
                var random = new Random(seed);
                var seen = new Dictionary<UInt128, long>();
                while (!Volatile.Read(ref done))
                {
                    UInt128 key = keys[random.Next(keys.Length)];
                    long before = heads.AppliedThrough;
                    bool found = heads.TryGet(key, out StreamHead head);
                    long last = seen.GetValueOrDefault(key, -1);
                    bool isKnown = model.Heads.TryGetValue(key, out StreamHead final);
                    if (head.LastVersion < last || (found && !isKnown) || head.LastVersion > (isKnown ? final.LastVersion : -1)
                        || (found && !model.Runs.ContainsKey(head.Latest)))
                    {
                        failures.Enqueue($"{head} after version {last}, applied through {before}");
                        return;
                    }

                    // What was applied before the lookup began must be found.
                    int at = found ? -1 : Array.BinarySearch(model.Segments[0], new(key, default), KeyOrder);
                    if (at >= 0)
                    {
                        failures.Enqueue($"stream of segment 0 not found, applied through {before}");
                        return;
                    }

                    seen[key] = head.LastVersion;
                }
            }
            catch (Exception e)
            {
                failures.Enqueue(e.ToString());
            }
        }

        Thread[] readers = [.. Enumerable.Range(0, 3).Select(i => new Thread(() => Read(i)))];
        foreach (Thread reader in readers)
        {
            reader.Start();
        }

        try
        {
            ApplyFrom(heads, model);
        }
        finally
        {
            Volatile.Write(ref done, true);
            foreach (Thread reader in readers)
            {
                reader.Join();
            }
        }

        Assert.Empty(failures);
    }

    private static readonly Comparer<KeyValuePair<UInt128, StreamHead>> KeyOrder =
        Comparer<KeyValuePair<UInt128, StreamHead>>.Create((a, b) => a.Key.CompareTo(b.Key));
}
