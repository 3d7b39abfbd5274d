using System.Diagnostics;
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Benchmarks;

/// <summary>Reads, recovery and start-up, and the heads file, in process.</summary>
internal static class StorageBenchmarks
{
    private static readonly NativeFileSystem Files = new();

    public static void Reads(Report report, string directory, int events, int streams, TimeSpan length)
    {
        report.Section("Reads in process", $"{events:#,0} events of 256 B over {streams:#,0} streams, interleaved; one thread; every record's checksum checked; warm page cache.");
        var folder = Path.Combine(directory, "reads");
        using var storage = VaultStorage.Open(Files, folder, new StorageOptions { SegmentSizeBytes = 64 * 1024 * 1024 }, Now());
        var filler = new VaultFiller(storage, 256);
        filler.Fill(i => i % streams, i => i < events);
        filler.Settle();
        var references = Enumerable.Range(0, streams).Select(i => storage.Reader.Reference(System.Text.Encoding.UTF8.GetBytes($"item-{i:D12}"))).ToArray();
        var perStream = events / streams;
        var page = Math.Min(100, perStream);
        report.Head("read", "events/s", "p50 µs per call", "p99 µs per call", "B allocated per event");
        var random = new Random(1);
        var stream = Measure.Loop(length / 4, length, () =>
        {
            var sink = default(CountingSink);
            var from = random.Next(perStream - page + 1);
            var reference = references[random.Next(streams)];
            for (var read = 0; read < page;)
            {
                read += storage.Reader.ReadStream(reference, new StreamVersion(from + read), new StreamVersion(from + page - 1), backwards: false, ref sink);
            }
        });
        Row(report, $"{page} events of one stream", stream, page);
        var position = 0L;
        var all = Measure.Loop(length / 4, length, () =>
        {
            var sink = default(CountingSink);
            position = position >= events ? 0 : position;
            position += storage.Reader.ReadAll(new Position(position), new Position(events - 1), backwards: false, ref sink);
        });
        Row(report, "scan of the whole vault, 128 a page", all, 128);
        var times = Measure.Loop(length / 4, length, () => storage.Reader.FirstAtOrAfter(storage.Reader.RecordedAt(new Position(random.Next(events)))));
        Row(report, "place of a time", times, 1);
        storage.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    public static void Recovery(Report report, string directory, uint segmentSizeBytes, int[] segments)
    {
        report.Section("Recovery and start-up", $"Segments of {segmentSizeBytes >> 20} MiB, 256 B events, 100,000 streams. Time of VaultStorage.Open, without the process's own start; the active segment is half full and is walked past the page cache. Median of 3.");
        report.Head("sealed segments", "events", "open after kill ms", "open, heads and operations deleted ms", "managed memory MiB after opening");
        foreach (var count in segments)
        {
            var folder = Path.Combine(directory, "recovery");
            long events;
            using (var storage = VaultStorage.Open(Files, folder, new StorageOptions { SegmentSizeBytes = segmentSizeBytes }, Now()))
            {
                var filler = new VaultFiller(storage, 256);
                filler.Fill(i => i % 100_000, _ => storage.SegmentCounts is var (s, u) && s + u <= count);
                filler.Settle();
                var more = segmentSizeBytes / 2 / 400;
                filler.Fill(i => i % 100_000, i => i < more);
                events = storage.Head.Value + 1;
            }

            var plain = Measure.Median(Enumerable.Range(0, 3).Select(_ => OpenMilliseconds(folder, segmentSizeBytes)));
            var memory = GC.GetTotalMemory(forceFullCollection: true);
            using (var storage = VaultStorage.Open(Files, folder, new StorageOptions { SegmentSizeBytes = segmentSizeBytes }, Now()))
            {
                memory = GC.GetTotalMemory(forceFullCollection: true) - memory;
            }

            foreach (var file in Directory.GetFiles(Path.Combine(folder, "index"), "operations-*").Append(Path.Combine(folder, "index", "heads")))
            {
                File.Delete(file);
            }

            var rebuild = OpenMilliseconds(folder, segmentSizeBytes);
            report.Row($"{count}", $"{events:#,0}", Report.Figure(plain), Report.Figure(rebuild), Report.Figure(memory / 1048576.0));
            Directory.Delete(folder, recursive: true);
        }
    }

    public static void Heads(Report report, string directory, int[] streams)
    {
        report.Section("Heads file", "Stream → last version and place. Streams come in steps of 100,000, as sealed segments bring them; look-ups at random, warm.");
        report.Head("streams", "apply, streams/s", "hit ns", "miss ns", "open ms", "file bytes per stream");
        foreach (var count in streams)
        {
            var path = Path.Combine(directory, "heads.tmp");
            File.Delete(path);
            double applied;
            using (var heads = HeadsFile.Open(Files, path))
            {
                const int Step = 100_000;
                var begun = Stopwatch.GetTimestamp();
                for (var first = 0; first < count; first += Step)
                {
                    var segment = (uint)(first / Step);
                    var batch = Enumerable.Range(first, Math.Min(Step, count - first)).Select(i => new KeyValuePair<UInt128, StreamHead>(Key(i), Head(segment, i))).ToArray();
                    heads.Apply(segment, batch);
                }

                applied = count / Stopwatch.GetElapsedTime(begun).TotalSeconds;
            }

            var opened = Stopwatch.GetTimestamp();
            using (var heads = HeadsFile.Open(Files, path))
            {
                var open = Stopwatch.GetElapsedTime(opened).TotalMilliseconds;
                var hit = PerLookUp(heads, i => Key((int)((i * 7919L) % count)), expected: true);
                var miss = PerLookUp(heads, i => Key(count + i), expected: false);
                report.Row($"{count:#,0}", Report.Figure(applied), Report.Figure(hit), Report.Figure(miss), Report.Figure(open), Report.Figure((double)new FileInfo(path).Length / count));
            }

            File.Delete(path);
        }
    }

    private static double PerLookUp(HeadsFile heads, Func<int, UInt128> key, bool expected)
    {
        const int LookUps = 1_000_000;
        var keys = Enumerable.Range(0, LookUps).Select(key).ToArray();
        var begun = Stopwatch.GetTimestamp();
        foreach (var k in keys)
        {
            if (heads.TryGet(k, out _) != expected)
            {
                throw new InvalidOperationException("The heads file gave a wrong answer.");
            }
        }

        return Stopwatch.GetElapsedTime(begun).TotalNanoseconds / LookUps;
    }

    private static UInt128 Key(int i)
    {
        // SplitMix64: spreads counters like the keyed hash spreads names.
        static ulong Mix(ulong x)
        {
            x += 0x9E3779B97F4A7C15;
            x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
            x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
            return x ^ (x >> 31);
        }

        return new UInt128(Mix((ulong)i), Mix((ulong)i + 0x1234567));
    }

    private static StreamHead Head(uint segment, int i) => StreamHead.None with { LastVersion = i, LastPosition = i, Latest = new ChainNode(segment, (uint)i, 1) };

    private static double OpenMilliseconds(string folder, uint segmentSizeBytes)
    {
        var begun = Stopwatch.GetTimestamp();
        using var storage = VaultStorage.Open(Files, folder, new StorageOptions { SegmentSizeBytes = segmentSizeBytes }, Now());
        return Stopwatch.GetElapsedTime(begun).TotalMilliseconds;
    }

    private static void Row(Report report, string name, Measured measured, int perCall) => report.Row(
        name, Report.Figure(measured.PerSecond * perCall), Report.Figure(measured.Percentile(0.5)), Report.Figure(measured.Percentile(0.99)),
        Report.Figure(measured.AllocatedPerOperation / perCall));

    private static long Now() => DateTime.UtcNow.Ticks - DateTime.UnixEpoch.Ticks;

    private struct CountingSink : IEventSink
    {
        public long Bytes;

        public bool Accept(in EventView e)
        {
            Bytes += e.EventData.Length;
            return true;
        }
    }
}
