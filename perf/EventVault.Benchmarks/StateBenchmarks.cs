using System.Diagnostics;
using System.Globalization;
using System.Text;
using EventVault.Storage;
using EventVault.Storage.Io;
using EventVault.Temporal;
using EventVault.Temporal.Reducers;

namespace EventVault.Benchmarks;

/// <summary>What the state of a long stream as of a moment costs, and the states kept on the way; in process.</summary>
internal static class StateBenchmarks
{
    private const int Prepared = 4096;
    private const int Interleaved = 5;
    private static readonly NativeFileSystem Files = new();

    public static void Run(Report report, string directory, long events, int cuts, uint segmentBytes)
    {
        var folder = Path.Combine(directory, "states");
        using var storage = VaultStorage.Open(Files, Path.Combine(folder, "vault"), new StorageOptions { SegmentSizeBytes = segmentBytes }, DateTime.UtcNow.Ticks - DateTime.UnixEpoch.Ticks);
        var random = new Random(1);
        var prepared = Enumerable.Range(0, Prepared).Select(_ => Event(random)).ToArray();
        var filler = new VaultFiller(storage, prepared.Max(e => e.Length));
        var eventBytes = 0L;
        filler.Fill(i => i < events * Interleaved, i =>
        {
            var e = prepared[(i * 7919) % Prepared];
            eventBytes += i % Interleaved == 0 ? e.Length : 0;
            return (i % Interleaved == 0 ? "order-1" : $"item-{i % 1009:D4}", e);
        });
        filler.Settle();

        report.Section(
            "States of a long stream in process",
            $"{events:#,0} events of {eventBytes / events} B, each {Interleaved}th of the vault's; {cuts:#,0} random cuts by time, resolved, folded and written as JSON. One thread, warm page cache. CPU: of the whole process during a query.");
        report.Head("reducer", "first query, at the head, ms", "p50, µs", "p99, µs", "CPU p50, µs", "CPU p99, µs", "events folded, p50", "allocated a query, KiB", "state, B", "states kept", "of the events' bytes");
        var stream = storage.Reader.Reference("order-1"u8);
        foreach (var (name, reducer) in new (string, Reducer)[] { ("slots", SlotsReducer.Parse("n = COUNT(*), qty = SUM(data.qty), spent = SUM(data.qty * data.price), last = LAST(data.sku)")), ("merge_patch", MergePatchReducer.Instance) })
        {
            using var kept = new StateSnapshots(Files, Path.Combine(folder, name), default, new StateSnapshotRule());
            var reader = new StateReader(storage.Reader, kept, FoldLimits.Default);
            var (first, _) = Time(storage.Reader.RecordedAt(storage.Head), out var state);
            var times = new double[cuts];
            var cpu = new double[cuts];
            var folded = new double[cuts];
            var allocated = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < cuts; i++)
            {
                var before = Environment.CpuUsage.TotalTime;
                (times[i], folded[i]) = Time(storage.Reader.RecordedAt(new Position(random.NextInt64(storage.Head.Value + 1))), out _);
                cpu[i] = (Environment.CpuUsage.TotalTime - before).TotalMicroseconds;
            }

            allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
            Array.Sort(times);
            Array.Sort(cpu);
            Array.Sort(folded);
            report.Row(
                name, Report.Figure(first / 1000), Report.Figure(times[cuts / 2]), Report.Figure(times[cuts * 99 / 100]), Report.Figure(cpu[cuts / 2]), Report.Figure(cpu[cuts * 99 / 100]), Report.Figure(folded[cuts / 2]),
                Report.Figure(allocated / 1024.0 / cuts), Report.Figure(state), Report.Figure(kept.Bytes), string.Create(CultureInfo.InvariantCulture, $"{100.0 * kept.Bytes / eventBytes:0.00} %"));

            (double Microseconds, double Folded) Time(long time, out int bytes)
            {
                var begun = Stopwatch.GetTimestamp();
                var answer = reader.Read(reducer, stream, storage.Reader.LastAtOrBefore(time), new StateOptions(null, false, long.MaxValue) { CutTime = time }, default);
                bytes = answer.State?.ToJson().Json.Length ?? 0;
                return (Stopwatch.GetElapsedTime(begun).TotalMicroseconds, answer.EventsFolded);
            }
        }
    }

    // An order's line: some 250 bytes, of which a few members are merged into the state under a few names.
    private static byte[] Event(Random random)
    {
        var json = Encoding.UTF8.GetBytes(
            $$"""{"sku":"sku-{{random.Next(5000):D4}}","qty":{{random.Next(1, 20)}},"price":{{random.Next(100, 99999) / 100m}},"line{{random.Next(8)}}":{"at":"2026-11-{{random.Next(1, 29):D2}}","text":"{{new string('x', random.Next(60, 140))}}"},"address":{"city":"C{{random.Next(100)}}","zip":"{{random.Next(100000):D5}}"} }""");
        var e = EncodedEvent.Make(json.Length, "OrderLine");
        json.CopyTo(e, e.Length - json.Length);
        return e;
    }
}
