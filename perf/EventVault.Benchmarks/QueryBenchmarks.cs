using System.Diagnostics;
using System.Text;
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;
using EventVault.Storage.Queries;

namespace EventVault.Benchmarks;

/// <summary>Conditions, filtered reads and counts, in process.</summary>
internal static class QueryBenchmarks
{
    private const int PayloadBytes = 100;
    private const int Types = 60;
    private const int Categories = 12;
    private const int Customers = 100_000;
    private static readonly NativeFileSystem Files = new();

    public static void Run(Report report, string directory, int events, uint segmentSizeBytes, TimeSpan length)
    {
        var folder = Path.Combine(directory, "queries");
        using var storage = VaultStorage.Open(Files, folder, new StorageOptions { SegmentSizeBytes = segmentSizeBytes }, DateTime.UtcNow.Ticks - DateTime.UnixEpoch.Ticks);
        var filler = new VaultFiller(storage, PayloadBytes);
        var begun = Stopwatch.GetTimestamp();
        filler.Fill(i => i < events, EventOf);
        filler.Settle();
        var filled = Stopwatch.GetElapsedTime(begun);
        var (sealedSegments, unsealed) = storage.SegmentCounts;
        report.Section(
            "Queries in process",
            $"{events:#,0} events of {PayloadBytes} B in {sealedSegments} sealed segments and {unsealed} unsealed of {segmentSizeBytes >> 20} MiB; {Types} types, {Categories} categories, {Customers:#,0} customers as tags, 20 regions as tags, one event in 1,000 of the type Rare. Filled in {filled.TotalSeconds:0.0} s. One thread, warm page cache.");
        Costs(report, storage, Math.Min(events, 200_000));
        Conditions(report, storage, length);
        Reads(report, storage, events);
        storage.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    // What keys add to an append: the first two columns on the caller's thread, the next on the sequencer's.
    private static void Costs(Report report, VaultStorage storage, int events)
    {
        report.Head("keys of an append of one event", "checking it all, ns", "of that computing keys, ns", "adding them, ns", "B of memory");
        Cost("no tags", i => ($"item-{i % 1000}", EncodedEvent.Make(PayloadBytes)));
        Cost("two tags", EventOf);

        void Cost(string name, Func<long, (string Stream, byte[] Event)> eventOf)
        {
            var made = Enumerable.Range(0, events).Select(i => eventOf(i)).Select((e, i) =>
            {
                EncodedEvent.SetId(e.Event, (UInt128)(i + 1) << 64);
                return (Stream: Encoding.UTF8.GetBytes(e.Stream), e.Event);
            }).ToArray();
            var bytes = made.Select(e => (byte[])[.. e.Stream, .. e.Event]).ToArray();
            var append = new AppendContent(storage);
            var keys = new ulong[EventKeys.MostPerEvent];
            ActiveKeys index = new();
            var check = double.MaxValue;
            var compute = double.MaxValue;
            var add = double.MaxValue;
            for (var round = 0; round < 5; round++)
            {
                check = Math.Min(check, PerEvent(i =>
                {
                    append.Reset(bytes[i]);
                    append.AddStream(0, made[i].Stream.Length, ExpectedKind.Any, StreamVersion.None);
                    append.AddEvent(made[i].Stream.Length, made[i].Event.Length);
                    append.Check(out _, out _);
                }));
                compute = Math.Min(compute, PerEvent(i => Keys(i)));
                index = new ActiveKeys();
                add = Math.Min(add, PerEvent(i => index.Add(keys.AsSpan(0, Keys(i)), (uint)i)) - compute);
            }

            report.Row(name, Report.Figure(check), Report.Figure(compute), Report.Figure(add), Report.Figure((double)index.Bytes / events));

            int Keys(int i) => EventKeys.Of(new EventView(made[i].Stream, made[i].Event, default, default, 0, 0, 0), storage.Meta.SipKey, keys);
        }

        // The median of short stretches: shorter than a time slice, so that other processes don't count.
        double PerEvent(Action<int> operation)
        {
            const int Stretch = 2000;
            return Measure.Median(Enumerable.Range(0, events / Stretch).Select(stretch =>
            {
                var begun = Stopwatch.GetTimestamp();
                for (var i = stretch * Stretch; i < (stretch + 1) * Stretch; i++)
                {
                    operation(i);
                }

                return Stopwatch.GetElapsedTime(begun).TotalNanoseconds / Stretch;
            }).ToArray());
        }
    }

    private static void Conditions(Report report, VaultStorage storage, TimeSpan length)
    {
        report.Line("");
        report.Head("condition, from position 0 unless said otherwise", "p50 µs", "p99 µs", "B allocated", "match");
        Check("a tag that no event has", Items([], ["email:nobody"]), Position.None);
        Check("a (type, tag) pair that no event has, type and tag in every segment", Items(["Type3"], ["region:x4"]), Position.None);
        Check("a tag of the first segment only", Items([], ["first:1"]), Position.None);
        Check("a customer's tag", Items([], ["customer:77"]), Position.None);
        Check("three types and a tag", Items(["Type1", "Type2", "Type7"], ["customer:none"]), Position.None);
        Check("two tags that are in every segment, never together", Items([], ["region:4", "region:5"]), Position.None);
        Check("a tag that no event has, behind the last 1,000 events", Items([], ["email:nobody"]), storage.Head + -1000);

        void Check(string name, QueryItem[] items, Position after)
        {
            var filter = Filter(storage, items: items);
            var found = Position.None;
            var measured = Measure.Loop(length / 4, length / 2, () => found = storage.Tail.LastMatch(filter, after));
            report.Row(name, Report.Figure(measured.Percentile(0.5)), Report.Figure(measured.Percentile(0.99)), Report.Figure(measured.AllocatedPerOperation), found == Position.None ? "none" : $"{found}");
        }
    }

    private static void Reads(Report report, VaultStorage storage, int events)
    {
        report.Line("");
        report.Head("filtered read of the whole vault", "events", "ms", "read all and filter, ms", "ratio", "backwards, ms", "count, ms");
        Read("type Rare, 0.1 %", Filter(storage, items: Items(["Rare"], [])));
        Read("a type, 1.7 %", Filter(storage, items: Items(["Type3"], [])));
        Read("a category, 8 %", Filter(storage, category: "c3"));
        Read("a type and a region", Filter(storage, items: Items(["Type3"], ["region:3"])));
        Read("a customer", Filter(storage, items: Items([], ["customer:77"])));
        Read("a type in a category", Filter(storage, category: "c3", items: Items(["Type3"], [])));

        void Read(string name, EventFilter filter)
        {
            var matching = Median(() => ReadMatching(storage, filter, backwards: false));
            var backwards = Median(() => ReadMatching(storage, filter, backwards: true));
            var all = Median(() => ReadAll(storage, filter));
            var count = Median(() => storage.Reader.CountMatching(filter, new Position(0), storage.Head));
            if (matching.Result != all.Result || backwards.Result != all.Result || count.Result != all.Result)
            {
                throw new InvalidOperationException($"The filtered reads of '{name}' gave {matching.Result}, {backwards.Result}, {count.Result} events, reading all {all.Result}.");
            }

            report.Row(
                name, $"{all.Result:#,0} of {events:#,0}", Report.Figure(matching.Milliseconds), Report.Figure(all.Milliseconds), Report.Ratio(all.Milliseconds / matching.Milliseconds),
                Report.Figure(backwards.Milliseconds), Report.Figure(count.Milliseconds));
        }
    }

    private static long ReadMatching(VaultStorage storage, EventFilter filter, bool backwards)
    {
        var sink = new FilteringSink(null);
        var (next, end) = backwards ? (storage.Head, new Position(0)) : (new Position(0), storage.Head);
        while (backwards ? next >= end : next <= end)
        {
            storage.Reader.ReadMatching(filter, next, end, backwards, ref sink, out next);
        }

        return sink.Count;
    }

    private static long ReadAll(VaultStorage storage, EventFilter filter)
    {
        var sink = new FilteringSink(filter);
        for (var next = new Position(0); next <= storage.Head;)
        {
            next += storage.Reader.ReadAll(next, storage.Head, backwards: false, ref sink);
        }

        return sink.Count;
    }

    private static (double Milliseconds, long Result) Median(Func<long> operation)
    {
        var result = operation();
        return (Measure.Median(Enumerable.Range(0, 5).Select(_ =>
        {
            var begun = Stopwatch.GetTimestamp();
            result = operation();
            return Stopwatch.GetElapsedTime(begun).TotalMilliseconds;
        })), result);
    }

    private static QueryItem[] Items(string[] types, string[] tags) => [new QueryItem([.. types.Select(Utf8)], [.. tags.Select(Utf8)])];

    private static EventFilter Filter(VaultStorage storage, string category = "", QueryItem[]? items = null) =>
        EventFilter.Create(storage, Utf8(category), default, items ?? [], default, eventId: null);

    private static ReadOnlyMemory<byte> Utf8(string text) => Encoding.UTF8.GetBytes(text);

    // Spread by a hash of the number, so that every segment has all types and regions.
    private static (string Stream, byte[] Event) EventOf(long i)
    {
        var x = (ulong)i + 0x9E3779B97F4A7C15;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        x ^= x >> 31;
        var type = x % 1000 == 0 ? "Rare" : $"Type{(x >> 10) % Types}";
        var region = i < 1000 ? "first:1" : $"region:{(x >> 20) % 20}";
        return ($"c{(x >> 30) % Categories}-{(x >> 36) % 200_000}", EncodedEvent.Make(PayloadBytes, type, $"customer:{(x >> 40) % Customers}", region));
    }

    private struct FilteringSink(EventFilter? filter) : IEventSink
    {
        public long Count;

        public bool Accept(in EventView e)
        {
            Count += filter is null || filter.Matches(e) ? 1 : 0;
            return true;
        }
    }
}
