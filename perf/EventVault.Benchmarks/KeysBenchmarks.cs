using System.Buffers.Binary;
using System.Text;
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Storage.Io;
using EventVault.Storage.Log;

namespace EventVault.Benchmarks;

/// <summary>The key files of sealed segments: making them, their size, and what looking up costs.</summary>
internal static class KeysBenchmarks
{
    private const int Types = 60;
    private const int Categories = 12;
    private const int Customers = 100_000;
    private const int Correlations = 400_000;

    private static readonly NativeFileSystem Files = new();
    private static readonly SipKey Key = new(1, 2);

    public static void Run(Report report, string directory, int events, int segments)
    {
        report.Section("Key files", $"{segments} segments of {events:#,0} events with 6 keys each: {Types} types, {Categories} categories, one tag of {Customers:#,0} customers, 1 of {Correlations:#,0} correlation ids, event id. Making = hashing, sorting, writing and flushing, one thread. Look-ups at random over all segments, warm; every result is used. All times are processor time.");
        var random = new Random(1);
        var opened = new SealedKeys[segments];
        double hashing = 0, sorting = 0, writing = 0;
        long bytes = 0, memory = 0;
        for (var s = 0; s < segments; s++)
        {
            var path = Path.Combine(directory, $"{s}.kx");
            var views = Enumerable.Range(0, events).Select(i => Event(random, s, i)).ToArray();
            var names = Enumerable.Range(0, events).Select(i => Encoding.UTF8.GetBytes($"category{random.Next(Categories)}-{i}")).ToArray();
            var before = GC.GetTotalMemory(forceFullCollection: true);
            var begun = Cpu();
            var content = Collect(views, names);
            hashing += (Cpu() - begun).TotalSeconds;
            begun = Cpu();
            content.Sort();
            sorting += (Cpu() - begun).TotalSeconds;
            memory = Math.Max(memory, GC.GetTotalMemory(forceFullCollection: true) - before);
            begun = Cpu();
            var shape = SealedKeys.Measure(content, events);
            SealedKeys.Write(Files, path, new KeyedSegment((uint)s, events, new Position((long)s * events), (UInt128)s), content, shape);
            writing += (Cpu() - begun).TotalSeconds;
            bytes += shape.FileLength;
            opened[s] = SealedKeys.Open(Files, path, (uint)s);
        }

        var total = (double)events * segments;
        report.Head("making, events per CPU second", "of it hashing s", "sorting s", "writing s", "file bytes per event", "keys per event", "bytes in memory per event");
        report.Row(
            Report.Figure(total / (hashing + sorting + writing)), Report.Figure(hashing), Report.Figure(sorting), Report.Figure(writing),
            Report.Figure(bytes / total), Report.Figure(opened.Sum(k => (long)k.KeyCount) / total), Report.Figure(memory / (double)events));
        report.Line("");
        report.Head("look-up, over all segments at random", "CPU ns");
        var customers = Keys(random, i => EventKeys.OfTag(Customer(i % Customers), Key));
        var pairs = Keys(random, i => EventKeys.OfPair(TypeName(i % Types), Customer(i / Types % Customers), Key));
        var types = Keys(random, i => EventKeys.OfType(TypeName(i % Types), Key));
        var number = 0; // Each id is looked up where it is.
        var ids = Keys(random, i => EventKeys.OfId(Id(number++ % segments, (int)(i % events)), Key));
        var absent = Keys(random, i => EventKeys.OfTag(Encoding.UTF8.GetBytes($"absent-{i}"), Key));
        Time(report, opened, "first use of every key file: open and check 4 KiB blocks as they are read (tags)", customers);
        Time(report, opened, "tag: last ordinal", customers);
        Time(report, opened, "(type, tag) pair: last ordinal, nearly all absent", pairs);
        Time(report, opened, "type: last ordinal of a long list", types);
        Time(report, opened, "event id", ids);
        Time(report, opened, "absent tag", absent);
        var begunBloom = Cpu();
        var passed = 0;
        for (var i = 0; i < absent.Length; i++)
        {
            passed += opened[i % segments].MayContain(absent[i]) ? 1 : 0;
        }

        report.Row($"filter alone, absent tag; {100.0 * passed / absent.Length:0.0} % pass", Report.Figure((Cpu() - begunBloom).TotalNanoseconds / absent.Length));
        Open(report, directory, segments);
        Scan(report, opened, types);
        foreach (var keys in opened)
        {
            keys.Dispose();
        }
    }

    // What a condition costs at worst: a key looked up in every segment, newest first.
    private static void Time(Report report, SealedKeys[] opened, string what, ulong[] keys)
    {
        long sum = 0;
        var begun = Cpu();
        for (var i = 0; i < keys.Length; i++)
        {
            sum += opened[i % opened.Length].TryFind(keys[i], out var postings) ? postings.LastOrdinal : 0;
        }

        report.Row($"{what}", Report.Figure((Cpu() - begun).TotalNanoseconds / keys.Length));
        GC.KeepAlive(sum);
    }

    private static void Open(Report report, string directory, int segments)
    {
        const int Rounds = 50;
        var begun = Cpu();
        for (var i = 0; i < Rounds * segments; i++)
        {
            SealedKeys.Open(Files, Path.Combine(directory, $"{i % segments}.kx"), (uint)(i % segments)).Dispose();
        }

        report.Row("open a file", Report.Figure((Cpu() - begun).TotalNanoseconds / (Rounds * segments)));
        begun = Cpu();
        for (var i = 0; i < Rounds * segments; i++)
        {
            SealedKeys.Fits(Files, Path.Combine(directory, $"{i % segments}.kx"), default);
        }

        report.Row("look at its header, as start does", Report.Figure((Cpu() - begun).TotalNanoseconds / (Rounds * segments)));
    }

    private static void Scan(Report report, SealedKeys[] opened, ulong[] types)
    {
        Span<uint> page = stackalloc uint[256];
        long read = 0, found = 0;
        var begun = Cpu();
        for (var i = 0; i < 2000; i++)
        {
            opened[i % opened.Length].TryFind(types[i], out var postings);
            uint from = 0;
            for (int count; (count = postings.Ascending(from, page)) > 0; from = page[count - 1] + 1)
            {
                read += count;
            }

            found++;
        }

        report.Row("posting of a type, read in pages of 256", Report.Figure((Cpu() - begun).TotalNanoseconds / Math.Max(1, read)));
        GC.KeepAlive(found);
    }

    private static SealedKeysContent Collect(byte[][] events, byte[][] names)
    {
        var content = new SealedKeysContent();
        var keys = new ulong[EventKeys.MostPerEvent];
        for (var i = 0; i < events.Length; i++)
        {
            var view = new EventView(names[i], events[i], new Position(i), new StreamVersion(0), 1, 0, 0);
            var count = EventKeys.Of(view, Key, keys);
            content.Add((uint)i, keys.AsSpan(0, count));
        }

        return content;
    }

    private static byte[] Event(Random random, int segment, int i)
    {
        byte[] tag = Customer(random.Next(Customers)), type = TypeName(random.Next(Types));
        byte[] bytes =
        [
            10, 16, .. new byte[16], 18, (byte)type.Length, .. type, 50, (byte)tag.Length, .. tag,
            58, 33, 10, 13, .. "correlationId"u8, 18, 16, .. Encoding.UTF8.GetBytes($"c{random.Next(Correlations):D15}"),
        ];
        EncodedEvent.SetId(bytes, Id(segment, i));
        return bytes;
    }

    private static ulong[] Keys(Random random, Func<long, ulong> key)
    {
        const int LookUps = 500_000;
        return [.. Enumerable.Range(0, LookUps).Select(_ => key(random.NextInt64(1L << 40)))];
    }

    private static byte[] Customer(long i) => Encoding.UTF8.GetBytes($"customer:{i:D9}");

    private static byte[] TypeName(long i) => Encoding.UTF8.GetBytes($"SomethingHappened{i}");

    // Processor time: one thread works, and the others of a shared machine don't count.
    private static TimeSpan Cpu() => Environment.CpuUsage.TotalTime;

    // Spread like UUIDs.
    private static UInt128 Id(int segment, int i)
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128LittleEndian(bytes, SipHash128.Compute([(byte)segment, (byte)i, (byte)(i >> 8), (byte)(i >> 16)], Key));
        return BinaryPrimitives.ReadUInt128LittleEndian(bytes);
    }
}
