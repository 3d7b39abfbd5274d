using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Index;

/// <summary>Power losses at every operation of the heads file's life, and again during the redo after them.</summary>
public sealed class HeadsCrashTests
{
    private const string Path = "/heads";

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Redo_after_a_crash_at_any_operation_gives_the_same_content(int seed)
    {
        var random = new Random(seed);
        UInt128[] keys = HeadsFileTests.CrowdedKeys(random, 400);
        ChainModel model = ChainModel.Random(random, segments: 5, streamsPerSegment: 90, keys);
        int falls = 0;
        for (long at = 1; ; at++)
        {
            var disk = new SimulatedFileSystem { CrashAtOperation = at };
            if (!TryApplyAll(disk, model))
            {
                for (int luck = 0; luck < 4; luck++)
                {
                    SimulatedFileSystem survivor = disk.Crash(new Random(luck));

                    // The first redo crashes too, at some operation of its own; the second runs through.
                    survivor.CrashAtOperation = random.Next(1, 25);
                    TryApplyAll(survivor, model);
                    survivor = survivor.Crash(new Random(luck + 100));
                    Assert.True(TryApplyAll(survivor, model));
                    falls += CheckContent(survivor, model, keys);
                }

                continue;
            }

            CheckContent(disk, model, keys);
            Assert.True(at > 30, $"only {at} operations");
            Assert.True(falls > 0);
            return;
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_segment_that_a_full_disk_refused_at_any_operation_is_applied_by_the_next_try(int seed)
    {
        var random = new Random(seed);
        UInt128[] keys = HeadsFileTests.CrowdedKeys(random, 400);
        ChainModel model = ChainModel.Random(random, segments: 5, streamsPerSegment: 90, keys);
        byte[] untroubled = Applied(new SimulatedFileSystem(), model);
        for (long at = 1; ; at++)
        {
            var disk = new SimulatedFileSystem();
            using HeadsFile heads = HeadsFile.Open(disk, Path);
            var refusals = new Refusals(disk, at, (int)at);
            for (uint s = 0; s < model.Segments.Count; s++)
            {
                while (!TryApply(heads, s, model.Segments[(int)s]))
                {
                    // What is asked for meanwhile is there, that of the segment, too.
                    foreach (UInt128 key in keys)
                    {
                        StreamHead known = model.Segments.Take((int)s + 1).SelectMany(segment => segment).LastOrDefault(h => h.Key == key).Value;
                        Assert.Equal(known != default, heads.TryGet(key, out StreamHead found));
                        Assert.True(known == default || found == known);
                    }

                    // As is what a start finds that nobody expected.
                    if (random.Next(4) == 0)
                    {
                        SimulatedFileSystem survivor = disk.Crash(random);
                        Assert.True(TryApplyAll(survivor, model));
                        CheckContent(survivor, model, keys);
                    }
                }
            }

            disk.OnOperation = null;
            HeadsFileTests.CheckEqual(model.Heads, model.Segments.Count - 1, heads, keys);
            CheckContent(disk.Crash(random), model, keys);
            Assert.Equal(untroubled, Content(disk)); // Tries take no more room than one.
            if (refusals.Count == 0)
            {
                Assert.True(at > 20, $"only {at} operations");
                return;
            }
        }
    }

    [Fact]
    public void What_is_applied_is_never_lost()
    {
        var random = new Random(5);
        UInt128[] keys = HeadsFileTests.CrowdedKeys(random, 200);
        ChainModel model = ChainModel.Random(random, segments: 4, streamsPerSegment: 60, keys);
        for (int luck = 0; luck < 50; luck++)
        {
            var disk = new SimulatedFileSystem();
            using HeadsFile heads = HeadsFile.Open(disk, Path);
            for (uint s = 0; s < model.Segments.Count; s++)
            {
                heads.Apply(s, model.Segments[(int)s]);
                using HeadsFile survivor = HeadsFile.Open(disk.Crash(new Random(luck)), Path);
                Assert.Equal(s, survivor.AppliedThrough);
                foreach ((UInt128 key, StreamHead head) in model.Segments[(int)s])
                {
                    Assert.True(survivor.TryGet(key, out StreamHead found) && found == head);
                }
            }
        }
    }

    [Fact]
    public void What_the_older_header_names_survives_a_crash_in_the_next_segment()
    {
        // Segment 1 moves shard 0 away from a place that only the older header still names and that would be just
        // right for shard 1 in segment 2. A crash there and a damaged newer header bring the older one back.
        var random = new Random(6);
        UInt128[] keys = [.. Enumerable.Range(0, 180).Select(i => ((UInt128)(i / 120) << 120) | (ChainModel.RandomKey(random) >> 8))];
        var model = new ChainModel();
        for (int s = 0; s < 3; s++)
        {
            model.Seal(keys.Skip(60 * s).Take(60).Select(k => new KeyValuePair<UInt128, int>(k, 1)));
        }

        int tried = 0;
        for (long at = 1; at < 6; at++)
        {
            var disk = new SimulatedFileSystem();
            using (HeadsFile heads = HeadsFile.Open(disk, Path))
            {
                heads.Apply(0, model.Segments[0]);
                heads.Apply(1, model.Segments[1]);
            }

            disk.CrashAtOperation = disk.Operations + at;
            TryApplyAll(disk, model);
            for (int luck = 0; luck < 10; luck++)
            {
                SimulatedFileSystem survivor = disk.Crash(new Random(luck));
                using (HeadsFile heads = HeadsFile.Open(survivor, Path))
                {
                    if (heads.AppliedThrough != 1)
                    {
                        continue;
                    }
                }

                survivor.FlipBit(Path, 100, 1); // the slot of sequence 2, which segment 1 gave
                using (HeadsFile heads = HeadsFile.Open(survivor, Path))
                {
                    Assert.Equal(0, heads.AppliedThrough);
                    tried++;
                }

                Assert.True(TryApplyAll(survivor, model));
                CheckContent(survivor, model, keys);
            }
        }

        Assert.True(tried >= 10);
    }

    /// <summary>Found by simulation: the block that a write missed kept its old heads, and each of them looked sound.</summary>
    [Fact]
    public void A_write_that_lands_elsewhere_never_leaves_an_old_head_to_be_served()
    {
        var random = new Random(7);
        UInt128[] keys = HeadsFileTests.CrowdedKeys(random, 300);
        ChainModel model = ChainModel.Random(random, segments: 4, streamsPerSegment: 120, keys);
        int seen = 0;
        for (long write = 1; ; write++)
        {
            var disk = new SimulatedFileSystem();
            using (HeadsFile heads = HeadsFile.Open(disk, Path))
            {
                for (uint s = 0; s < 3; s++)
                {
                    heads.Apply(s, model.Segments[(int)s]);
                }

                disk.MisdirectedWrite.StrikeAt(write);
                try
                {
                    heads.Apply(3, model.Segments[3]);
                }
                catch (IndexDamageException)
                {
                    seen++;
                }
            }

            if (disk.MisdirectedWrite.Strikes == 0)
            {
                Assert.True(write > 5 && seen >= write - 2, $"{seen} of {write - 1} seen"); // That of a header is redone.
                return;
            }

            CheckNoOldHead(disk, model);
        }
    }

    [Fact]
    public void A_segment_is_not_tried_again_if_a_flush_says_that_the_disk_is_full()
    {
        ChainModel model = ChainModel.Random(new Random(1), segments: 1, streamsPerSegment: 20, HeadsFileTests.CrowdedKeys(new Random(1), 20));
        for (int flush = 1; flush <= 2; flush++)
        {
            var disk = new SimulatedFileSystem { FailingFlushError = SimulatedFileSystem.NoSpace };
            using HeadsFile heads = HeadsFile.Open(disk, Path);
            disk.FailingFlush.StrikeAt(flush);
            Assert.False(Assert.Throws<DiskException>(() => heads.Apply(0, model.Segments[0])).IsRefusal);
            Assert.Throws<InvariantException>(() => heads.Apply(0, model.Segments[0]));
        }
    }

    private static byte[] Applied(SimulatedFileSystem disk, ChainModel model)
    {
        Assert.True(TryApplyAll(disk, model));
        return Content(disk);
    }

    private static byte[] Content(SimulatedFileSystem disk)
    {
        using IFile file = disk.OpenFile(Path, FileOpening.ReadExisting);
        var content = new byte[file.Length];
        Assert.Equal(content.Length, file.Read(0, content));
        return content;
    }

    private static bool TryApply(HeadsFile heads, uint segment, KeyValuePair<UInt128, StreamHead>[] changed)
    {
        try
        {
            heads.Apply(segment, changed);
            return true;
        }
        catch (DiskException e) when (e.IsRefusal)
        {
            return false;
        }
    }

    private static void CheckNoOldHead(SimulatedFileSystem disk, ChainModel model)
    {
        try
        {
            using HeadsFile heads = HeadsFile.Open(disk, Path);
            for (int s = 0; s <= heads.AppliedThrough; s++)
            {
                foreach (UInt128 key in model.Segments[s].Select(changed => changed.Key))
                {
                    try
                    {
                        // Newer than what is applied is fine: the redo writes the same again.
                        Assert.True(heads.TryGet(key, out StreamHead found));
                        Assert.Contains(model.Segments.Skip(s), segment => segment.Any(changed => changed.Key == key && changed.Value == found));
                        Assert.DoesNotContain(
                            model.Segments.Take((int)heads.AppliedThrough + 1).Skip((int)found.Latest.Segment + 1),
                            segment => segment.Any(changed => changed.Key == key));
                    }
                    catch (IndexDamageException)
                    {
                        // Where the write landed: told, and not served.
                    }
                }
            }
        }
        catch (IndexDamageException)
        {
            // A header was hit.
        }
    }

    private static bool TryApplyAll(SimulatedFileSystem disk, ChainModel model)
    {
        try
        {
            using HeadsFile heads = HeadsFile.Open(disk, Path);
            HeadsFileTests.ApplyFrom(heads, model);
            return true;
        }
        catch (SimulatedCrashException)
        {
            return false;
        }
    }

    private static int CheckContent(SimulatedFileSystem disk, ChainModel model, UInt128[] keys)
    {
        using HeadsFile heads = HeadsFile.Open(disk, Path);
        HeadsFileTests.CheckEqual(model.Heads, model.Segments.Count - 1, heads, keys);
        return 1;
    }
}
