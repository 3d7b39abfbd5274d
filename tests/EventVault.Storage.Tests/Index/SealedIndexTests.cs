using System.Buffers.Binary;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Tests.Simulated;
using FsCheck;
using FsCheck.Fluent;

namespace EventVault.Storage.Tests.Index;

public sealed class SealedIndexTests
{
    private const string Path = "/7.ix";

    [Fact]
    public void Gives_back_what_was_written() => Prop.ForAll(
        Gen.Choose(0, 10_000).ToArbitrary(),
        seed =>
        {
            SegmentModel model = SegmentModel.Random(seed);
            var disk = new SimulatedFileSystem(tracksLosses: false);
            SealedIndexMark mark = model.Write(disk, Path);
            using SealedIndex index = SealedIndex.Open(disk, Path, model.Segment);
            Assert.Equal(mark, index.Mark);
            model.CheckEqual(index);
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(200));

    [Fact]
    public void Finds_every_one_of_many_streams_and_no_other()
    {
        SegmentModel model = SegmentModel.Random(1, streams: 50_000);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        model.Write(disk, Path);
        using SealedIndex index = SealedIndex.Open(disk, Path, model.Segment);
        model.CheckEqual(index);
    }

    [Fact]
    public void Finds_keys_that_are_spread_as_badly_as_can_be()
    {
        UInt128[] keys = [0, 1, 2, 3, UInt128.MaxValue - 1, UInt128.MaxValue, (UInt128)1 << 64, ((UInt128)1 << 64) + 1, .. Enumerable.Range(100, 5_000).Select(i => (UInt128)i)];
        SegmentModel model = SegmentModel.Of([.. keys.Select(k => new KeyValuePair<UInt128, int>(k, 1))]);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        model.Write(disk, Path);
        using SealedIndex index = SealedIndex.Open(disk, Path, model.Segment);
        foreach (UInt128 key in keys)
        {
            Assert.Equal(key, index.Run(index.Find(key)).Key);
        }

        Assert.Equal(-1, index.Find(50));
        Assert.Equal(-1, index.Find((UInt128)1 << 100));
    }

    [Fact]
    public void Detects_a_flipped_bit_at_every_byte()
    {
        SegmentModel model = SegmentModel.Random(3, streams: 12);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        long length = model.Write(disk, Path).LengthBytes;
        for (long offset = 0; offset < length; offset++)
        {
            var bit = (int)(offset % 8);
            disk.FlipBit(Path, offset, bit);
            Exception damage = Assert.ThrowsAny<Exception>(() => SealedIndex.Open(disk, Path, model.Segment));
            Assert.True(damage is IndexDamageException, $"offset {offset}: {damage}");
            disk.FlipBit(Path, offset, bit);
        }

        SealedIndex.Open(disk, Path, model.Segment).Dispose();
    }

    [Fact]
    public void Detects_every_shortened_and_a_lengthened_file()
    {
        SegmentModel model = SegmentModel.Random(3, streams: 3);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        long length = model.Write(disk, Path).LengthBytes;
        using IFile file = disk.OpenFile(Path, FileOpening.Existing);
        file.SetLength(length + 64);
        Assert.Throws<IndexDamageException>(() => SealedIndex.Open(disk, Path, model.Segment));
        for (long cut = length - 1; cut >= 0; cut--)
        {
            file.SetLength(cut);
            Assert.Throws<IndexDamageException>(() => SealedIndex.Open(disk, Path, model.Segment));
        }
    }

    [Fact]
    public void Refuses_the_index_of_another_segment()
    {
        SegmentModel model = SegmentModel.Random(4);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        model.Write(disk, Path);
        var damage = Assert.Throws<IndexDamageException>(() => SealedIndex.Open(disk, Path, model.Segment + 1));
        Assert.Contains($"index of segment {model.Segment}", damage.Message, StringComparison.Ordinal);
        Assert.Contains("rebuild", damage.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(8, "format version 2")] // version
    [InlineData(16, "required features 0x2")] // required features
    public void Refuses_what_it_does_not_know_and_names_it(int offset, string needs)
    {
        var disk = new SimulatedFileSystem(tracksLosses: false);
        SegmentModel model = SegmentModel.Random(4);
        model.Write(disk, Path);
        Patch(disk, header => header[offset] = 2);
        var refusal = Assert.Throws<UnsupportedFormatException>(() => SealedIndex.Open(disk, Path, model.Segment));
        Assert.Contains(needs, refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Accepts_unknown_optional_features()
    {
        var disk = new SimulatedFileSystem(tracksLosses: false);
        SegmentModel model = SegmentModel.Random(4);
        model.Write(disk, Path);
        Patch(disk, header => header[24] = 0x80);
        SealedIndex.Open(disk, Path, model.Segment).Dispose();
    }

    [Fact]
    public void Skips_an_unknown_optional_section_and_refuses_an_unknown_required_one()
    {
        SegmentModel model = SegmentModel.Random(5);
        var disk = new SimulatedFileSystem(tracksLosses: false);
        model.Write(disk, Path);
        WithUnknownSection(disk, flags: 0);
        using (SealedIndex index = SealedIndex.Open(disk, Path, model.Segment))
        {
            model.CheckEqual(index);
        }

        model.Write(disk, Path);
        WithUnknownSection(disk, flags: 1);
        var refusal = Assert.Throws<UnsupportedFormatException>(() => SealedIndex.Open(disk, Path, model.Segment));
        Assert.Contains("sections of kind 7", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_crash_at_any_operation_leaves_the_whole_file_or_none()
    {
        SegmentModel model = SegmentModel.Random(6);
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
                if (survivor.FileExists(Path))
                {
                    using SealedIndex index = SealedIndex.Open(survivor, Path, model.Segment);
                    model.CheckEqual(index);
                }
                else
                {
                    Assert.True(crashed, "a finished Write was lost");
                }

                model.Write(survivor, Path); // redo, over whatever was left
                SealedIndex.Open(survivor, Path, model.Segment).Dispose();
            }

            if (!crashed)
            {
                return;
            }
        }
    }

    private static void Patch(SimulatedFileSystem disk, Action<byte[]> change)
    {
        using IFile file = disk.OpenFile(Path, FileOpening.Existing);
        var header = new byte[SealedIndexFormat.HeaderLength(SealedIndexFormat.SectionCount)];
        file.Read(0, header);
        change(header);
        header.AsSpan(32, 4).Clear();
        FileHeader.Seal(header);
        file.Write(0, header);
    }

    /// <summary>What a later version would write: its section behind ours, its entry at the table's end.</summary>
    private static void WithUnknownSection(SimulatedFileSystem disk, uint flags)
    {
        using IFile file = disk.OpenFile(Path, FileOpening.Existing);
        var bytes = new byte[file.Length];
        file.Read(0, bytes);
        const int Grown = 32; // five entries end at 256 already, so the header's block grows by one of 64
        int oldHeader = SealedIndexFormat.HeaderLength(5);
        int oldStart = (int)SealedIndexFormat.Align(oldHeader);
        int newStart = (int)SealedIndexFormat.Align(oldHeader + Grown);
        int shift = newStart - oldStart;
        byte[] content = [.. Enumerable.Range(1, 64).Select(i => (byte)i)];
        var grown = new byte[bytes.Length + shift + content.Length];
        bytes.AsSpan(0, oldHeader).CopyTo(grown);
        bytes.AsSpan(oldStart).CopyTo(grown.AsSpan(newStart));
        content.CopyTo(grown, grown.Length - content.Length);
        for (int i = 0; i < 5; i++)
        {
            Span<byte> offset = grown.AsSpan(96 + (i * 32) + 8);
            BinaryPrimitives.WriteInt64LittleEndian(offset, BinaryPrimitives.ReadInt64LittleEndian(offset) + shift);
        }

        Span<byte> entry = grown.AsSpan(oldHeader, Grown);
        BinaryPrimitives.WriteUInt32LittleEndian(entry, 7);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[4..], flags);
        BinaryPrimitives.WriteInt64LittleEndian(entry[8..], grown.Length - content.Length);
        BinaryPrimitives.WriteInt64LittleEndian(entry[16..], content.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[24..], Checksum.Compute(content));
        BinaryPrimitives.WriteInt64LittleEndian(grown.AsSpan(56), grown.Length);
        BinaryPrimitives.WriteInt32LittleEndian(grown.AsSpan(68), 6);
        BinaryPrimitives.WriteInt32LittleEndian(grown.AsSpan(12), oldHeader + Grown);
        grown.AsSpan(32, 4).Clear();
        FileHeader.Seal(grown.AsSpan(0, oldHeader + Grown));
        file.Write(0, grown);
    }
}
