using System.Diagnostics;
using EventVault.Storage;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Benchmarks;

/// <summary>What deleted streams cost those who read all, and a start; in process.</summary>
internal static class LivesBenchmarks
{
    private const int PayloadBytes = 100;
    private static readonly NativeFileSystem Files = new();

    public static void Run(Report report, string directory, int events, int streams)
    {
        var folder = Path.Combine(directory, "lives");
        var options = new StorageOptions { SegmentSizeBytes = 16 << 20 };
        var storage = Open();
        var filler = new VaultFiller(storage, PayloadBytes);
        filler.Fill(i => i % streams, i => i < events);
        filler.Settle();
        report.Section("Deleted streams in process", $"{events:#,0} events of {PayloadBytes} B in {streams:#,0} streams, written in turn. One thread, warm page cache; medians of 7.");
        report.Head("deleted streams", "read all, ns an event", "read the last tenth, ns an event", "events handed out", "start, ms");
        foreach (var deleted in (int[])[0, 1, streams / 10, streams / 2])
        {
            for (var i = Deleted(); i < deleted; i++)
            {
                filler.Delete(i);
            }

            // Behind the newest deletion nothing can be hidden.
            filler.Fill(i => streams - 1, i => i < events / 10);
            filler.Settle();
            var head = storage.Head;
            var handed = 0L;
            var all = Measure.Median(Enumerable.Range(0, 7).Select(_ => Read(new Position(0))));
            var tail = Measure.Median(Enumerable.Range(0, 7).Select(_ => Read(head + -((events / 10) - 1))));
            if (storage.Log.WantsMark)
            {
                storage.Log.WriteMark();
            }

            storage.Dispose();
            var begun = Stopwatch.GetTimestamp();
            storage = Open();
            var start = Stopwatch.GetElapsedTime(begun).TotalMilliseconds;
            storage.Commit(storage.Tail.LastIndex);
            filler = new VaultFiller(storage, PayloadBytes);
            report.Row($"{deleted:#,0}", Report.Figure(all), Report.Figure(tail), $"{handed:#,0}", Report.Figure(start));

            double Read(Position from)
            {
                var sink = default(CountSink);
                var before = Stopwatch.GetTimestamp();
                for (var next = from; next <= head;)
                {
                    next += storage.Reader.ReadAll(next, head, backwards: false, ref sink);
                }

                handed = Math.Max(handed, sink.Count);
                return Stopwatch.GetElapsedTime(before).TotalNanoseconds / (head.Value - from.Value + 1);
            }
        }

        storage.Dispose();
        Directory.Delete(folder, recursive: true);

        int Deleted()
        {
            var last = storage.Streams.Find("$streams"u8);
            return last is null ? 0 : (int)last.LastVersion.Value + 1;
        }

        VaultStorage Open() => VaultStorage.Open(Files, folder, options, DateTime.UtcNow.Ticks - DateTime.UnixEpoch.Ticks);
    }

    private struct CountSink : IEventSink
    {
        public long Count;

        public bool Accept(in EventView e)
        {
            Count++;
            return true;
        }
    }
}
