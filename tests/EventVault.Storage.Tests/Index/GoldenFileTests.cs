using System.IO.Compression;
using System.Text;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Storage.Tests.Index;

/// <summary>
/// Files of each format version as they were first written, kept gzipped under Golden/. They must be readable for
/// ever, and as long as that version is what we write, the writers must give these very bytes. A new version gets
/// files of its own; these never change.
/// </summary>
public sealed class GoldenFileTests
{
    private static readonly SipKey Key = SipKey.FromBytes(Convert.FromHexString("000102030405060708090A0B0C0D0E0F"));

    private static readonly string[] Names = ["order-1", "order-2", "payment-1", "größe-1", "a", "cart-17", "cart-18", "user-1"];

    [Fact]
    public void The_segment_index_is_read()
    {
        using SealedIndex index = SealedIndex.Open(Golden("segment-index-1"), "/file", expectedSegment: 2);
        ExpectedIndex().CheckEqual(index);
    }

    [Fact]
    public void The_segment_index_is_written_the_same()
    {
        var disk = new SimulatedFileSystem();
        ExpectedIndex().Write(disk, "/file");
        CheckBytes("segment-index-1", disk, "/file");
    }

    [Fact]
    public void The_keys_are_read()
    {
        KeysModel expected = SealedKeysTests.Mixed();
        using SealedKeys keys = SealedKeys.Open(Golden("segment-keys-2"), "/file", expected.Segment.Segment);
        expected.CheckEqual(keys);
    }

    [Fact]
    public void The_keys_are_written_the_same()
    {
        var disk = new SimulatedFileSystem();
        SealedKeysTests.Mixed().Write(disk, "/file");
        CheckBytes("segment-keys-2", disk, "/file");
    }

    // It lacks the keys of kinds 7 and 8: never read, always made anew, and no damage.
    [Fact]
    public void Keys_of_version_1_are_told_from_damaged_ones()
    {
        KeysModel expected = SealedKeysTests.Mixed();
        SimulatedFileSystem older = Golden("segment-keys-1");
        Assert.True(SealedKeys.IsOlder(older, "/file"));
        Assert.False(SealedKeys.IsOlder(Golden("segment-keys-2"), "/file"));
        Assert.False(SealedKeys.Fits(older, "/file", expected.Segment));
        Assert.Throws<IndexDamageException>(() => SealedKeys.Open(older, "/file", expected.Segment.Segment));
    }

    [Fact]
    public void The_heads_are_read()
    {
        ChainModel model = ExpectedHeads();
        using HeadsFile heads = HeadsFile.Open(Golden("heads-1"), "/file");
        HeadsFileTests.CheckEqual(model.Heads, 2, heads, model.Heads.Keys);
    }

    [Fact]
    public void The_heads_are_written_the_same()
    {
        var disk = new SimulatedFileSystem();
        using (HeadsFile heads = HeadsFile.Open(disk, "/file"))
        {
            HeadsFileTests.ApplyFrom(heads, ExpectedHeads());
        }

        CheckBytes("heads-1", disk, "/file");
    }

    [Fact]
    public void The_operations_are_read()
    {
        using OperationsFiles files = OperationsFiles.Open(
            Golden("operations-1", OperationsName), "/", Key, generationAppends: GenerationAppends);
        Assert.Equal(1, files.AppliedThrough);
        Assert.Equal(20, files.TotalAppends);
        Span<Place> found = new Place[2];
        foreach (OperationEntry[] segment in ExpectedOperations())
        {
            foreach (OperationEntry entry in segment)
            {
                var id = new byte[16];
                System.Buffers.Binary.BinaryPrimitives.WriteUInt128BigEndian(id, entry.Id);
                Assert.Equal(1, files.Find(id, found));
                Assert.Equal(entry.Place, found[0]);
            }
        }
    }

    [Fact]
    public void The_operations_are_written_the_same()
    {
        var disk = new SimulatedFileSystem();
        using (OperationsFiles files = OperationsFiles.Open(disk, "/", Key, generationAppends: GenerationAppends))
        {
            OperationEntry[][] segments = ExpectedOperations();
            files.Apply(0, segments[0]);
            files.Apply(1, segments[1]);
        }

        CheckBytes("operations-1", disk, OperationsName);
    }

    // The operations files follow from the ids; the filter alone is golden.
    [Fact]
    public void The_filter_over_the_operations_is_read_and_written_the_same()
    {
        const int FilterAppends = 6;
        const string FilterPath = "/" + OperationsFilter.FileName;
        var disk = new SimulatedFileSystem();
        OperationEntry[][] segments = ExpectedOperations();
        using (OperationsFiles files = OperationsFiles.Open(disk, "/", Key, generationAppends: FilterAppends))
        {
            OperationsFilesTests.ApplyFrom(files, segments);
        }

        CheckBytes("operations-filter-1", disk, FilterPath);
        using OperationsFiles again = OperationsFiles.Open(disk, "/", Key, generationAppends: FilterAppends);
        Assert.True(disk.FileExists(FilterPath));
        Assert.Equal(0, again.FilterBytes);
        Assert.All(segments.SelectMany(s => s), entry => Assert.Equal([entry.Place], OperationsFilesTests.Find(again, entry.Id)));
    }

    [Fact]
    public void The_catalog_is_read()
    {
        using Catalog catalog = Catalog.Open(Golden("catalog-1"), "/file");
        CatalogEntry[] expected = CatalogTests.Entries(5);
        Assert.Equal(expected, Enumerable.Range(0, catalog.Count).Select(i => catalog[i]));
    }

    [Fact]
    public void The_catalog_is_written_the_same()
    {
        var disk = new SimulatedFileSystem();
        using (Catalog catalog = Catalog.Open(disk, "/file"))
        {
            foreach (CatalogEntry entry in CatalogTests.Entries(5))
            {
                catalog.Append(entry);
            }
        }

        CheckBytes("catalog-1", disk, "/file");
    }

    [Fact]
    public void The_state_is_read()
    {
        StateTable table = StateTable.Open(Golden("state-1"), "/file");
        Assert.Equal(4, table.AppliedThrough);
        Assert.Equal(StateTableTests.Values(6), table.Values);
    }

    [Fact]
    public void The_state_is_written_the_same()
    {
        var disk = new SimulatedFileSystem();
        StateTable.Open(disk, "/file").Rewrite(4, StateTableTests.Values(6));
        CheckBytes("state-1", disk, "/file");
    }

    [Fact]
    public void The_note_of_a_stop_is_read_and_written_the_same()
    {
        var meta = VaultMeta.Create(nodeId: 1, segmentSizeBytes: 1 << 20, now: 1, new Random(5)) with { StartNumber = 7 };
        var expected = new CleanStop(new Place(3, 81_920), new LogIndex(1_234), 0xC0FFEE11);
        var disk = new SimulatedFileSystem();
        disk.CreateDirectory("/index");
        expected.Save(disk, "/", meta);
        CheckBytes("clean-stop-1", disk, "/index/clean-stop");
        Assert.Equal(expected, CleanStop.Read(disk, "/", meta with { StartNumber = 8 }));
    }

    // Its tables go by secrets of the process that made them, so what is written the same is the index that was read.
    [Fact]
    public void The_saved_index_is_read_and_written_the_same()
    {
        var meta = VaultMeta.Create(nodeId: 1, segmentSizeBytes: 1 << 20, now: 1, new Random(5)) with { StartNumber = 7 };
        var (end, expected) = ExpectedActiveIndex();
        var disk = Golden("unsealed-2", "/index/unsealed");
        var read = ActiveIndexFile.Read(disk, "/", meta with { StartNumber = 8 }, new CleanStop(end.Place, end.Index, end.Checksum));
        Assert.Equal(end, read?.End);
        SavedIndexCheck.Compare(expected, read!.Value.Index);
        ActiveIndexFile.Save(disk, "/", meta, end, read.Value.Index);
        CheckBytes("unsealed-2", disk, "/index/unsealed");

        // Version 1 has other tables: behind a stop of that its segment is walked.
        Assert.Null(ActiveIndexFile.Read(Golden("unsealed-1", "/index/unsealed"), "/", meta with { StartNumber = 8 }, new CleanStop(end.Place, end.Index, end.Checksum)));
    }

    private static (LogEnd End, ActiveIndex Index) ExpectedActiveIndex()
    {
        const int Events = 40;
        const uint EventBytes = 4_000;
        var index = new ActiveIndex(3, new Position(1_000), new LogIndex(500));
        for (var i = 0; i < Events; i++)
        {
            var offset = 4_096 + ((uint)i * EventBytes);
            var stream = StreamKey.Compute(Encoding.UTF8.GetBytes($"item-{i % 7}"), Key);
            index.AddOperation(new UInt128(7, (ulong)i), offset);
            var number = index.FindStream(stream);
            number = number < 0 ? index.AddStream(stream, new StreamVersion((i % 7) - 1)) : number;
            index.Tail(number)++;
            index.Keys.Add([(ulong)i << 50, 1, 2 + ((ulong)i % 3)], (uint)i);
            index.AddGroup(new LogIndex(500 + (ulong)i), new Term(2 + ((ulong)i / 30)), isMembership: i == 20, 1_000_000 + i, offset);
            index.AddEvent(number, offset + 104);
        }

        return (new LogEnd(new Place(3, 4_096 + (Events * EventBytes)), 0xC0FFEE11, new LogIndex(539), new Position(1_039), 1_000_039, new Term(3)), index);
    }

    private const string OperationsName = "/operations-00000000000000000000.op";
    private const int GenerationAppends = 2_000;

    private static ChainModel ExpectedHeads()
    {
        var model = new ChainModel();
        for (int s = 0; s < 3; s++)
        {
            model.Seal(Names
                .Where((_, i) => (i + s) % 3 != 0)
                .Select(name => new KeyValuePair<UInt128, int>(StreamKey.Compute(Encoding.UTF8.GetBytes(name), Key), name.Length)));
        }

        return model;
    }

    private static SegmentModel ExpectedIndex()
    {
        // Segment 2 of the same streams, its events dealt out in turn.
        ChainModel model = ExpectedHeads();
        StreamRun[] runs = [.. model.Segments[2].Select(pair => model.Runs[pair.Value.Latest])];
        int events = runs.Sum(r => r.Count);
        var ordinals = new uint[events];
        uint next = 0;
        for (int round = 0; next < events; round++)
        {
            foreach (StreamRun run in runs.Where(r => round < r.Count))
            {
                ordinals[run.FirstOrdinalIndex + round] = next++;
            }
        }

        return new SegmentModel
        {
            Segment = 2,
            FirstPosition = 96,
            Runs = runs,
            Ordinals = ordinals,
            Offsets = [.. Enumerable.Range(0, events).Select(i => (uint)(512 + (37 * i)))],
            Marks = [new SparseMark(100, 638_000_000_000_000_000, 0, 4096), new SparseMark(117, 638_000_000_000_000_017, 9, 69_640)],
            NewStreams = [.. Enumerable.Range(0, runs.Length).Where(e => runs[e].IsNewStream).Select(e => (uint)e)],
        };
    }

    private static OperationEntry[][] ExpectedOperations() =>
    [
        [.. Enumerable.Range(0, 15).Select(i => OperationEntry.Create(Id(i), new Place(0, (uint)(4096 + (i * 8)))))],
        [.. Enumerable.Range(15, 5).Select(i => OperationEntry.Create(Id(i), new Place(1, (uint)(4096 + (i * 8)))))],
    ];

    private static byte[] Id(int number) => [.. Enumerable.Range(0, 16).Select(b => (byte)((number * 31) + b))];

    private static SimulatedFileSystem Golden(string name, string path = "/file")
    {
        var disk = new SimulatedFileSystem();
        disk.CreateDirectory(Path.GetDirectoryName(path)!);
        using IFile file = disk.OpenFile(path, FileOpening.New);
        file.Write(0, Unpack(name));
        return disk;
    }

    private static byte[] Unpack(string name)
    {
        using FileStream packed = File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Golden", name + ".gz"));
        using var unpacked = new GZipStream(packed, CompressionMode.Decompress);
        using var bytes = new MemoryStream();
        unpacked.CopyTo(bytes);
        return bytes.ToArray();
    }

    /// <summary>On a difference the new bytes are left beside the test's assembly, for a look or as a new golden file.</summary>
    private static void CheckBytes(string name, SimulatedFileSystem disk, string path)
    {
        using IFile file = disk.OpenFile(path, FileOpening.ReadExisting);
        var bytes = new byte[file.Length];
        Assert.Equal(bytes.Length, file.Read(0, bytes));
        if (!File.Exists(Path.Combine(AppContext.BaseDirectory, "Golden", name + ".gz")) || !bytes.AsSpan().SequenceEqual(Unpack(name)))
        {
            string written = Path.Combine(AppContext.BaseDirectory, name + ".gz");
            using (FileStream packed = File.Create(written))
            using (var packing = new GZipStream(packed, CompressionLevel.SmallestSize))
            {
                packing.Write(bytes);
            }

            Assert.Fail($"The writer gives other bytes than Golden/{name}.gz; they are in '{written}'.");
        }
    }
}
