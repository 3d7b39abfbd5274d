using System.Text.RegularExpressions;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Index;
using EventVault.Storage.Tests.Io;
using EventVault.Storage.Tests.Simulated;
using Xunit.Abstractions;

namespace EventVault.Storage.Tests.Guard;

/// <summary>
/// What appends and reads cost, counted and not timed: the same on every machine, however busy. A budget is what was counted
/// when it was set, bytes with 2 % on top. Whoever changes the cost on purpose changes the budget beside it, and says why.
/// </summary>
[Collection(nameof(CostGuardTests))]
public sealed class CostGuardTests(ITestOutputHelper output) : IDisposable
{
    private const string Vault = "/vault";
    private readonly string _folder = Directory.CreateTempSubdirectory("eventvault-guard-tests-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Look_ups_of_keys_allocate_nothing()
    {
        const string KeysPath = "/7.kx";
        KeysModel model = KeysModel.Random(Enumerable.Range(0, 100).First(s => KeysModel.Random(s).Segment.Events > 1000));
        var disk = new SimulatedFileSystem(tracksLosses: false);
        model.Write(disk, KeysPath);
        using SealedKeys keys = SealedKeys.Open(disk, KeysPath, 7);
        ulong[] sought = [.. model.Postings.Keys];
        long Find()
        {
            Span<uint> page = stackalloc uint[200];
            long before = GC.GetAllocatedBytesForCurrentThread();
            foreach (ulong key in sought)
            {
                keys.TryFind(key, out KeyPostings found);
                found.Ascending(found.LastOrdinal / 2, page);
                found.Descending(found.LastOrdinal / 2, page);
                keys.TryFind(key + 1, out _);
            }

            return GC.GetAllocatedBytesForCurrentThread() - before;
        }

        Find();
        Assert.Equal(0, Find());
    }

    [Fact]
    public void A_group_is_one_write_and_one_flush_however_many_appends_it_holds()
    {
        var files = new SimulatedFileSystem(tracksLosses: false);
        using var load = new FixedLoad(files, Vault, 16 * 1024 * 1024);
        foreach (var appends in new[] { 1, 10, 100 })
        {
            var operations = new List<DiskOperation>();
            files.OnOperation = operations.Add;
            load.Write(groups: 50, appends);
            files.OnOperation = null;
            Assert.Equal(Enumerable.Repeat(new[] { DiskOperationKind.Write, DiskOperationKind.Flush }, 50).SelectMany(pair => pair), operations.Select(o => o.Kind));
            Assert.Single(operations.Select(o => o.Path).Distinct());
        }
    }

    [NeedsStrace]
    public async Task A_group_is_two_system_calls()
    {
        const int Groups = 200;
        var trace = Path.Combine(_folder, "trace");
        var vault = Path.Combine(_folder, "vault");
        Assert.Equal(["written"], await DiskChild.RunAsync("write-groups", vault, "strace", "-f", "-y", "-qq", "-o", trace, "-e", "trace=%file,%desc"));
        var lines = (await File.ReadAllLinesAsync(trace)).ToList();
        var (from, until) = (lines.FindIndex(l => l.Contains("/begun\"", StringComparison.Ordinal)), lines.FindIndex(l => l.Contains("/done\"", StringComparison.Ordinal)));
        Assert.True(from >= 0 && until > from, "The child told neither its beginning nor its end.");

        // Of the runtime's other threads nothing touches the vault; strace names the file behind each descriptor.
        var calls = lines[(from + 1)..until].Where(l => l.Contains(vault, StringComparison.Ordinal))
            .GroupBy(l => Regex.Match(l, @"^\d+ +(\w+)\(").Groups[1].Value).ToDictionary(g => g.Key, g => g.Count());
        Assert.Equal(new Dictionary<string, int> { ["pwrite64"] = Groups, ["fdatasync"] = Groups }, calls);
    }

    /// <summary>20,000 events of 256 B in 1,000 streams, with a type, a category and a tag, ten to a group, in segments of 1 MiB.</summary>
    [Fact]
    public void Events_take_no_more_bytes_and_sealing_no_more_flushes_than_they_did()
    {
        const int Events = 20_000;
        var files = new SimulatedFileSystem(tracksLosses: false);
        using var load = new FixedLoad(files, Vault, 1024 * 1024);
        var operations = new List<DiskOperation>();
        files.OnOperation = operations.Add;
        for (var i = 0; i < Events / 100; i++)
        {
            load.Write(groups: 10, appendsEach: 10);
            load.Settle();
        }

        var sealedSegments = load.Storage.SegmentCounts.Sealed;
        Assert.InRange(sealedSegments, 6, 12);
        var sealedEvents = (double)load.Storage.View.Sealed.Sum(s => s.Record.EventCount);
        double Length(string extension) => files.AllFiles().Where(f => f.EndsWith(extension, StringComparison.Ordinal)).Sum(f =>
        {
            using var file = files.OpenFile(f, FileOpening.ReadExisting);
            return file.Length;
        });

        // A segment is written under the name that it was prepared by; the zeros that are there before count for nothing.
        double Written(bool ofLog) => operations.Where(o => o.Kind == DiskOperationKind.Write && o.Path.Contains("/log/", StringComparison.Ordinal) == ofLog).Sum(o => o.Length);
        foreach (var file in operations.Where(o => o.Kind is DiskOperationKind.Write or DiskOperationKind.Flush or DiskOperationKind.FlushDirectory).GroupBy(o => Regex.Replace(o.Path, "[0-9]+", "N")))
        {
            output.WriteLine($"{file.Key}: {file.Where(o => o.Kind == DiskOperationKind.Write).Sum(o => o.Length):#,0} B written, {file.Count(o => o.Kind != DiskOperationKind.Write)} flushes");
        }

        var flushes = operations.Count(o => o.Kind is DiskOperationKind.Flush or DiskOperationKind.FlushDirectory) - load.Groups;
        Within(
            (402, load.EncodedBytes / (double)Events, "B of the log for an event"),
            (822, Written(ofLog: true) / Events, "B written to the log for an event"),
            (33.4, Length(".ix") / sealedEvents, "B of stream index for an event"),
            (15.6, Length(".kx") / sealedEvents, "B of keys for an event"),
            (10_170_000, Written(ofLog: false) / sealedSegments, "B written beside the log for a segment"),
            (15.4, flushes / (double)sealedSegments, "flushes beside those of groups for a segment"));
    }

    /// <summary>
    /// The index of an unsealed segment is in memory: 72 to 79 B for such an event, by how many of the 64 tables of operation ids have doubled just before the
    /// end, which goes by the process's secret. An object for each append would be 24 more at the least.
    /// </summary>
    [Fact]
    public void Appends_allocate_nothing_but_what_finds_them()
    {
        const int Groups = 40;
        const int Appends = 100;
        using var load = new FixedLoad(new NativeFileSystem(), _folder, 64 * 1024 * 1024);
        load.Write(Groups, Appends);
        var before = GC.GetAllocatedBytesForCurrentThread();
        load.Write(Groups, Appends);
        Within((86, (GC.GetAllocatedBytesForCurrentThread() - before) / (double)(Groups * Appends), "B allocated for an append, the index in memory included"));
    }

    [Fact]
    public void Reads_allocate_nothing_for_an_event()
    {
        using var load = new FixedLoad(new NativeFileSystem(), _folder, 1024 * 1024);
        load.Write(groups: 40, appendsEach: 200);
        load.Settle();
        var reader = load.Storage.Reader;
        var stream = reader.Reference("item-0000007"u8);
        Assert.Equal(8, reader.LastVersion(stream).Value + 1);
        Count(); // What happens once only.
        var (ofAll, ofStream, events) = Count();
        Assert.Equal(8000 + 8, events);
        Assert.Equal((0, 0), (ofAll, ofStream));

        (long OfAll, long OfStream, int Events) Count()
        {
            var sink = default(CountingSink);
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var position = 0; position <= reader.Head.Value;)
            {
                position += reader.ReadAll(new Position(position), reader.Head, backwards: false, ref sink);
            }

            var between = GC.GetAllocatedBytesForCurrentThread();
            for (var version = 0; version < 8;)
            {
                version += reader.ReadStream(stream, new StreamVersion(version), new StreamVersion(7), backwards: false, ref sink);
            }

            return (between - before, GC.GetAllocatedBytesForCurrentThread() - between, sink.Events);
        }
    }

    private void Within(params (double Budget, double Counted, string What)[] costs)
    {
        foreach (var (budget, counted, what) in costs)
        {
            output.WriteLine($"{counted:0.###} {what}; budget {budget}");
        }

        Assert.All(costs, cost => Assert.True(cost.Counted <= cost.Budget, $"{cost.Counted:0.###} {cost.What}: more than the {cost.Budget} it may be."));
    }

    private struct CountingSink : IEventSink
    {
        public int Events;

        public bool Accept(in EventView e)
        {
            Events++;
            return true;
        }
    }
}

/// <summary>A collection of garbage that tests beside it cause takes what is left of a thread's kilobytes, and those count as allocated.</summary>
[CollectionDefinition(nameof(CostGuardTests), DisableParallelization = true)]
public static class CostGuardTestsRunAlone;
