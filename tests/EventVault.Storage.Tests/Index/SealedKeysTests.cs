using System.Buffers.Binary;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;
using FsCheck;
using FsCheck.Fluent;

namespace EventVault.Storage.Tests.Index;

/// <summary>Key files against a naive dictionary, and what becomes of damaged ones.</summary>
public sealed class SealedKeysTests
{
    private const string Path = "/7.kx";

    [Fact]
    public void Give_back_what_was_written() => Prop.ForAll(
        Gen.Choose(0, 100_000).ToArbitrary(),
        seed =>
        {
            KeysModel model = KeysModel.Random(seed);
            var disk = new SimulatedFileSystem(tracksLosses: false);
            SealedKeysShape shape = model.Write(disk, Path);
            Assert.True(SealedKeys.Fits(disk, Path, model.Segment));
            using SealedKeys keys = SealedKeys.Open(disk, Path, model.Segment.Segment);
            Assert.Equal(shape.FileLength, keys.LengthBytes);
            model.CheckEqual(keys, seed);

            // A seal takes the keys from memory, a file that was lost is made from the log: byte for byte the same.
            const string FromMemory = "/7-memory.kx";
            Assert.Equal(shape, model.WriteFromMemory(disk, FromMemory));
            Assert.Equal(disk.ReadFlushed(Path), disk.ReadFlushed(FromMemory));
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(60));

    [Theory]
    [InlineData(300, 100_000, 3)] // entries hold 7 bytes of a key
    [InlineData(66_000, 100_000, 3)] // 6 bytes
    [InlineData(300, 1 << 25, 4)] // ordinals of more than 23 bits
    public void Many_keys_and_high_ordinals_are_found(int singles, int events, int valueBytes)
    {
        var random = new Random(singles);
        var model = new KeysModel(new KeyedSegment(7, events, new Position(5), new SegmentDigest(1, 0)));
        uint ordinal = 0;
        for (int i = 0; i < singles; i++)
        {
            model.Add(ordinal, (ulong)random.NextInt64(long.MinValue, long.MaxValue), (ulong)random.Next(50) << 50);
            ordinal += (uint)random.Next(1, (events / singles) + 1);
        }

        var disk = new SimulatedFileSystem(tracksLosses: false);
        Assert.Equal(valueBytes, model.Write(disk, Path).ValueBytes);
        using SealedKeys keys = SealedKeys.Open(disk, Path, 7);
        model.CheckEqual(keys);
    }

    [Fact]
    public void The_filter_lets_few_absent_keys_through()
    {
        var random = new Random(5);
        var model = new KeysModel(new KeyedSegment(7, 50_000, new Position(0), new SegmentDigest(1, 0)));
        model.Add(0, [.. Enumerable.Range(0, 50_000).Select(_ => (ulong)random.NextInt64(long.MinValue, long.MaxValue))]);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        model.Write(disk, Path);
        using SealedKeys keys = SealedKeys.Open(disk, Path, 7);
        int passed = Enumerable.Range(0, 100_000).Count(_ => keys.MayContain((ulong)random.NextInt64(long.MinValue, long.MaxValue)));
        Assert.InRange(passed, 1, 5_000);
    }

    // Verify finds it, and a look-up is right or refused: never silently wrong.
    [Fact]
    public void A_flipped_bit_at_any_byte_is_found_and_never_gives_a_wrong_answer()
    {
        KeysModel model = Mixed();
        var disk = new SimulatedFileSystem(tracksLosses: false);
        long length = model.Write(disk, Path).FileLength;
        Assert.InRange(length, 8_000, 40_000); // several blocks
        int atOpening = 0;
        for (long offset = 0; offset < length; offset++)
        {
            int bit = (int)(offset * 5 % 8);
            disk.FlipBit(Path, offset, bit);
            try
            {
                using SealedKeys keys = SealedKeys.Open(disk, Path, 7);
                if (offset % 97 == 0)
                {
                    LookUpRightOrRefused(keys, model);
                }

                Assert.Throws<IndexDamageException>(keys.CheckAll);
            }
            catch (IndexDamageException)
            {
                atOpening++;
                Assert.Equal(offset >= SealedKeysFormat.HeaderLength, SealedKeys.Fits(disk, Path, model.Segment));
            }

            disk.FlipBit(Path, offset, bit);
        }

        Assert.InRange(atOpening, SealedKeysFormat.HeaderLength, SealedKeysFormat.HeaderLength + 64);
        using SealedKeys whole = SealedKeys.Open(disk, Path, 7);
        model.CheckEqual(whole);
    }

    // Whatever stands in a file whose checksums are right: an answer about events of the segment, or damage; nothing else.
    [Fact]
    public void Nonsense_with_right_checksums_is_refused_or_answered_within_bounds()
    {
        int refused = 0;
        for (int seed = 0; seed < 600; seed++)
        {
            var random = new Random(seed);
            KeysModel model = seed % 3 == 0 ? Mixed() : KeysModel.Random(seed % 50);
            var disk = new SimulatedFileSystem(tracksLosses: false);
            SealedKeysShape shape = model.Write(disk, Path);
            Corrupt(disk, shape, random);
            try
            {
                using SealedKeys keys = SealedKeys.Open(disk, Path, 7);
                refused += UseAll(keys, model, random);
            }
            catch (IndexDamageException)
            {
                refused++;
            }
        }

        Assert.InRange(refused, 200, 600);
    }

    [Fact]
    public void Random_bytes_are_refused()
    {
        var random = new Random(8);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        foreach (int length in Enumerable.Range(0, 300).Concat([4096, 10_000]))
        {
            var bytes = new byte[length];
            random.NextBytes(bytes);
            disk.DeleteFile(Path);
            using (IFile file = disk.OpenFile(Path, FileOpening.New))
            {
                file.Write(0, bytes);
            }

            Assert.Throws<IndexDamageException>(() => SealedKeys.Open(disk, Path, 7));
            Assert.False(SealedKeys.Fits(disk, Path, Mixed().Segment));
        }
    }

    [Fact]
    public void Every_shortened_and_a_lengthened_file_is_refused()
    {
        KeysModel model = KeysModel.Random(3);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        long length = model.Write(disk, Path).FileLength;
        using IFile file = disk.OpenFile(Path, FileOpening.Existing);
        foreach (long wrong in Enumerable.Range(0, 200).Select(i => length - 1 - i).Where(l => l >= 0).Concat([length + 1, length + 64, 0]))
        {
            file.SetLength(wrong);
            Assert.Throws<IndexDamageException>(() => SealedKeys.Open(disk, Path, 7));
            Assert.False(SealedKeys.Fits(disk, Path, model.Segment));
        }
    }

    [Fact]
    public void The_file_of_another_segment_or_another_log_does_not_fit()
    {
        KeysModel model = Mixed();
        var disk = new SimulatedFileSystem(tracksLosses: false);
        model.Write(disk, Path);
        Assert.Throws<IndexDamageException>(() => SealedKeys.Open(disk, Path, 8));
        Assert.False(SealedKeys.Fits(disk, "/8.kx", model.Segment));
        Assert.False(SealedKeys.Fits(disk, Path, model.Segment with { Segment = 8 }));
        Assert.False(SealedKeys.Fits(disk, Path, model.Segment with { Digest = default }));
        Assert.False(SealedKeys.Fits(disk, Path, model.Segment with { Events = model.Segment.Events + 1 }));
        Assert.False(SealedKeys.Fits(disk, Path, model.Segment with { FirstPosition = new Position(1) }));
    }

    [Theory]
    [InlineData(8, 3, "format version 3")]
    [InlineData(16, 2, "required features 0x2")]
    public void A_later_format_is_refused_by_name(int offset, byte value, string needs)
    {
        var disk = new SimulatedFileSystem(tracksLosses: false);
        KeysModel model = Mixed();
        model.Write(disk, Path);
        Patch(disk, header => header[offset] = value);
        Assert.Contains(needs, Assert.Throws<UnsupportedFormatException>(() => SealedKeys.Open(disk, Path, 7)).Message, StringComparison.Ordinal);
        Assert.Throws<UnsupportedFormatException>(() => SealedKeys.Fits(disk, Path, model.Segment));
    }

    [Fact]
    public void A_crash_at_any_operation_leaves_the_whole_file_or_none()
    {
        KeysModel model = Mixed();
        for (int at = 1; ; at++)
        {
            var disk = new SimulatedFileSystem { CrashAtOperation = at };
            bool crashed = false;
            try
            {
                model.Write(disk, Path);
            }
            catch (SimulatedCrashException)
            {
                crashed = true;
            }

            for (int luck = 0; luck < 20; luck++)
            {
                SimulatedFileSystem survivor = disk.Crash(new Random(luck));
                Assert.True(crashed || survivor.FileExists(Path), "a finished Write was lost");
                if (survivor.FileExists(Path))
                {
                    using SealedKeys keys = SealedKeys.Open(survivor, Path, 7);
                    keys.CheckAll();
                    Assert.Equal(model.Postings.Count, keys.KeyCount);
                }

                model.Write(survivor, Path); // redo, over whatever was left
                Assert.True(SealedKeys.Fits(survivor, Path, model.Segment));
            }

            if (!crashed)
            {
                return;
            }
        }
    }

    /// <summary>All there is in a file: single postings, short lists, a list of several stretches; some 10 KiB.</summary>
    internal static KeysModel Mixed()
    {
        var random = new Random(77);
        var model = new KeysModel(new KeyedSegment(7, 600, new Position(1000), new SegmentDigest(0xD16E57, 0)));
        ulong[] heavy = [.. Enumerable.Range(0, 3).Select(_ => (ulong)random.NextInt64(long.MinValue, long.MaxValue))];
        ulong[] light = [.. Enumerable.Range(0, 150).Select(_ => (ulong)random.NextInt64(long.MinValue, long.MaxValue))];
        for (uint ordinal = 0; ordinal < 600; ordinal++)
        {
            model.Add(ordinal, heavy[random.Next(3)], light[random.Next(150)], (ulong)random.NextInt64(long.MinValue, long.MaxValue));
        }

        return model;
    }

    private static void LookUpRightOrRefused(SealedKeys keys, KeysModel model)
    {
        foreach ((ulong key, SortedSet<uint> wanted) in model.Postings)
        {
            try
            {
                Assert.True(keys.TryFind(key, out KeyPostings found));
                var all = new uint[found.Count];
                found.Copy(0, all);
                Assert.Equal(wanted, all);
                Assert.Equal(model.Postings.ContainsKey(key + 1), keys.TryFind(key + 1, out _));
            }
            catch (IndexDamageException)
            {
            }
        }
    }

    // Every way to ask, for every key. Returns 1 if any of them was refused.
    private static int UseAll(SealedKeys keys, KeysModel model, Random random)
    {
        int refused = 0;
        void Try(Action use)
        {
            try
            {
                use();
            }
            catch (IndexDamageException)
            {
                refused = 1;
            }
        }

        Try(keys.CheckAll);
        foreach (ulong key in model.Postings.Keys.Append(1UL).Append(ulong.MaxValue))
        {
            var page = new uint[random.Next(1, 300)];
            uint bound = (uint)random.Next(model.Segment.Events + 2);
            KeyPostings found = default;
            Try(() => keys.TryFind(key, out found));
            Try(() => found.Contains(bound));
            Try(() => Assert.InRange(found.CountBelow(bound), 0, found.Count));
            Try(() => Assert.All(page[..found.Ascending(bound, page)], o => Assert.InRange(o, 0u, (uint)model.Segment.Events - 1)));
            Try(() => Assert.All(page[..found.Descending(bound, page)], o => Assert.InRange(o, 0u, (uint)model.Segment.Events - 1)));
        }

        return refused;
    }

    // Changes some bytes of one part, or of the header, and makes all checksums right again.
    private static void Corrupt(SimulatedFileSystem disk, in SealedKeysShape shape, Random random)
    {
        using IFile file = disk.OpenFile(Path, FileOpening.Existing);
        var bytes = new byte[file.Length];
        file.Read(0, bytes);
        (long from, long until) = random.Next(4) switch
        {
            0 => (40, SealedKeysFormat.HeaderLength),
            1 => (shape.Directory, shape.Entries),
            2 => (shape.Entries, shape.Lists),
            _ => (shape.Lists, shape.Table),
        };
        for (int i = random.Next(1, 5); i > 0; i--)
        {
            long at = random.NextInt64(from, until);
            bytes[at] = random.Next(3) switch { 0 => (byte)random.Next(256), 1 => (byte)(bytes[at] ^ (1 << random.Next(8))), _ => 0xFF };
        }

        for (int block = 0; block < shape.Blocks; block++)
        {
            int start = Math.Max(block * SealedKeysFormat.BlockBytes, SealedKeysFormat.HeaderLength);
            int end = (int)Math.Min((block + 1) * SealedKeysFormat.BlockBytes, shape.Table);
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan((int)shape.Table + (4 * block)), Checksum.Compute(bytes.AsSpan(start, end - start)));
        }

        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(92), Checksum.Compute(bytes.AsSpan((int)shape.Table)));
        bytes.AsSpan(32, 4).Clear();
        FileHeader.Seal(bytes.AsSpan(0, SealedKeysFormat.HeaderLength));
        file.Write(0, bytes);
    }

    private static void Patch(SimulatedFileSystem disk, Action<byte[]> change)
    {
        using IFile file = disk.OpenFile(Path, FileOpening.Existing);
        var header = new byte[SealedKeysFormat.HeaderLength];
        file.Read(0, header);
        change(header);
        header.AsSpan(32, 4).Clear();
        FileHeader.Seal(header);
        file.Write(0, header);
    }
}
