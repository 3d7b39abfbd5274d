using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Shipping;
using EventVault.Storage.Tests.Log;

namespace EventVault.Storage.Tests.Shipping;

/// <summary>The plan's file: what is refused, and that its bytes stay what they were.</summary>
public sealed class ShipPlanTests
{
    private const string PlanPath = SmallVault.Directory + "/ship/plan";
    private const uint Size = StorageOptions.MinSegmentSizeBytes;
    private const uint Seed = 0x12345678;

    [Fact]
    public void The_golden_plan_is_read_and_written_as_it_was()
    {
        var golden = File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Golden", "ship-plan-1.bin"));
        Assert.Equal(golden, Plan().Encode(Seed));
        var read = ShipPlan.TryDecode(golden, Seed, Size)!;
        Assert.Equal(Plan().Segments, read.Segments);
        Assert.Equal(Plan() with { Segments = [] }, read with { Segments = [] });
    }

    // 64 KiB segments: 2 GiB of them. A start must be able to install whatever a vault can have.
    [Fact]
    public void A_plan_of_many_segments_is_read_as_it_was_written()
    {
        var many = new List<ShippedSegment>();
        var last = Plan().Segments[^1];
        for (var i = 0u; i < 40_000; i++)
        {
            many.Add(Plan().Segments[0] with { Segment = i, FirstIndex = new LogIndex((2 * i) + 1), LastIndex = new LogIndex((2 * i) + 2), FirstTerm = last.FirstTerm, LastTerm = last.LastTerm });
        }

        many.Add(last with { Segment = 40_000, FirstIndex = new LogIndex(80_001), LastIndex = new LogIndex(80_001) });
        var plan = Plan() with { Segments = many };
        Assert.Equal(many, ShipPlan.TryDecode(plan.Encode(Seed), Seed, Size)!.Segments);
    }

    [Fact]
    public void Any_flipped_bit_and_any_other_length_is_refused()
    {
        var bytes = Plan().Encode(Seed);
        for (var bit = 0; bit < bytes.Length * 8; bit++)
        {
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Null(ShipPlan.TryDecode(bytes, Seed, Size));
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        }

        Assert.Null(ShipPlan.TryDecode(bytes, Seed + 1, Size));
        for (var length = 0; length < bytes.Length; length++)
        {
            Assert.Null(ShipPlan.TryDecode(bytes.AsSpan(0, length), Seed, Size));
        }

        Assert.Null(ShipPlan.TryDecode((byte[])[.. bytes, 0], Seed, Size));
    }

    // With a checksum that holds: numbers that contradict each other are refused, whatever they are.
    [Fact]
    public void Fuzzed_plans_are_refused_or_consistent()
    {
        var random = new Random(7);
        var good = Plan().Encode(Seed);
        for (var i = 0; i < 20_000; i++)
        {
            var bytes = (byte[])good.Clone();
            for (var n = random.Next(1, 4); n > 0; n--)
            {
                bytes[random.Next(24, bytes.Length)] = (byte)random.Next(256);
            }

            bytes.AsSpan(8, 4).Clear();
            BitConverter.TryWriteBytes(bytes.AsSpan(8), Checksum.Compute(bytes, Seed));
            if (ShipPlan.TryDecode(bytes, Seed, Size) is { } plan)
            {
                Assert.All(plan.Segments, s => Assert.InRange(s.LengthBytes, Blocks.Size + 1, Size - Blocks.Size));
                Assert.Equal(plan.Segments, ShipPlan.TryDecode(plan.Encode(Seed), Seed, Size)!.Segments);
            }
        }
    }

    [Fact]
    public void Another_disks_plan_and_one_of_a_later_version_keep_the_node_from_starting()
    {
        var pair = new ShipPair(isScavenged: false);
        var planned = pair.Planned(3);
        uint seed;
        using (var storage = pair.Open(planned.Copy()))
        {
            seed = storage.Meta.ChecksumSeed;
        }

        void Refuses<T>(Func<byte[], byte[]> change)
            where T : Exception
        {
            var files = planned.Copy();
            using (var file = files.OpenFile(PlanPath, FileOpening.Existing))
            {
                var bytes = new byte[file.Length];
                file.Read(0, bytes);
                bytes = change(bytes);
                bytes.AsSpan(8, 4).Clear();
                BitConverter.TryWriteBytes(bytes.AsSpan(8), Checksum.Compute(bytes, seed));
                file.Write(0, bytes);
                file.Flush();
            }

            Assert.Throws<T>(() => pair.Open(files));
            files.DeleteFile(PlanPath);
            using var storage = pair.Open(files);
            Assert.Equal(3ul, storage.Tail.LastIndex.Value);
        }

        Refuses<DamageException>(b => Changed(b, 24)); // The vault.
        Refuses<DamageException>(b => Changed(b, 40)); // The disk.
        Refuses<UnsupportedFormatException>(b => Changed(b, 12));
        Refuses<UnsupportedFormatException>(b => Changed(b, 20));
    }

    private static byte[] Changed(byte[] bytes, int at)
    {
        bytes[at] ^= 0x40;
        return bytes;
    }

    private static ShipPlan Plan() => new(
        new Guid("11111111-2222-4333-8444-555555555555"), new Guid("aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"), ShipPurpose.CatchUp, ShipState.Ready, [
            new ShippedSegment(7, ShippedForm.Scavenged, 1234, 40_960, new SegmentDigest(0x1111_2222_3333, 0), new LogIndex(100), new LogIndex(199), new Term(3), new Term(4)),
            new ShippedSegment(8, ShippedForm.Groups, -1, 61_000, new SegmentDigest(0x4444_5555, 0), new LogIndex(200), new LogIndex(299), new Term(4), new Term(4)),
            new ShippedSegment(9, ShippedForm.Beginning, -1, 4_400, new SegmentDigest(0x6666, 0), new LogIndex(300), new LogIndex(300), new Term(5), new Term(5)),
        ]);
}
