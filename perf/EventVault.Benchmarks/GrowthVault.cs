using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using EventVault.Storage;
using EventVault.Storage.Io;
using Microsoft.Win32.SafeHandles;

namespace EventVault.Benchmarks;

/// <summary>
/// A vault of so many segments and streams. A rule says of each position which stream its event belongs to, so a fill that was cut
/// short goes on where it stopped, and whoever measures knows what stands where:
/// of ten events one belongs to a <em>probe</em>, a stream of 100 events, one in each 100 of 10,000 positions;
/// of a thousand one to a <em>spread</em> stream, whose some 100 events lie over the whole vault;
/// the others to streams that come evenly along the log, and are drawn by chance from then on.
/// </summary>
internal sealed partial class GrowthVault(string folder, int segments, long streams, uint segmentSizeBytes)
{
    /// <summary>Events of a probe.</summary>
    public const int ProbeEvents = 100;

    private const int ProbeEvery = 10;
    private const int ProbesAtOnce = 10;
    private const int SpreadEvery = 1000;

    // The end of each event. Small: what is measured is the number of events, not their size.
    private static readonly byte[] Data = Encoding.UTF8.GetBytes("""{"n":1,"m":"ab"}""");

    // Measured: what an event takes in the log beside its data, group headers included.
    private const int OtherBytes = 119;

    private readonly byte[] _event = MakeEvent();
    private readonly long _planned = segments * (segmentSizeBytes / (OtherBytes + (long)Data.Length));

    /// <summary>The data directory.</summary>
    public string Folder => folder;

    /// <summary>Brings the files of its index into the page cache.</summary>
    public void Warm()
    {
        var bytes = new byte[1 << 20];
        foreach (var path in Directory.GetFiles(Path.Combine(folder, "index")))
        {
            using var file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            for (long at = 0; RandomAccess.Read(file, bytes, at) is var read and > 0; at += read)
            {
            }
        }
    }

    /// <summary>Takes all its files out of the page cache. Nobody has them open.</summary>
    /// <exception cref="IOException">The system refused.</exception>
    public void DropFromPageCache()
    {
        const int DontNeed = 4;
        foreach (var path in Directory.GetFiles(folder, "*", SearchOption.AllDirectories))
        {
            using var file = File.OpenHandle(path, FileMode.Open, FileAccess.Read);
            if (Advise(file, 0, 0, DontNeed) is not 0 and var error)
            {
                throw new IOException($"posix_fadvise of {path}: error {error}");
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "posix_fadvise")]
    private static partial int Advise(SafeFileHandle file, long offset, long length, int advice);

    /// <summary>Its size of a segment.</summary>
    public uint SegmentSizeBytes => segmentSizeBytes;

    /// <summary>Streams of 100 events that are whole.</summary>
    /// <param name="events">Events that were filled in.</param>
    public static long Probes(long events) => events / (ProbeEvery * ProbesAtOnce * ProbeEvents) * ProbesAtOnce;

    /// <summary>Streams that lie over the whole vault.</summary>
    public long SpreadStreams => Math.Max(1, _planned / (SpreadEvery * ProbeEvents));

    /// <summary>Streams that came evenly, of those that were filled in.</summary>
    /// <param name="events">Events that were filled in.</param>
    public long OtherStreams(long events) => Made(Others(events) - 1);

    public static string Probe(long number) => $"probe-{number:D9}";

    public static string Spread(long number) => $"spread-{number:D9}";

    public static string Other(long number) => $"item-{number:D12}";

    /// <summary>Fills it: the segments, and a quarter of another one.</summary>
    /// <returns>Events in it, and how long this call took.</returns>
    public (long Events, double Seconds) Fill()
    {
        if (Others(_planned) < streams)
        {
            throw new InvalidOperationException($"{segments} segments have no room for {streams:#,0} streams.");
        }

        var begun = Stopwatch.GetTimestamp();
        using var storage = VaultStorage.Open(
            new NativeFileSystem(), folder, new StorageOptions { SegmentSizeBytes = segmentSizeBytes }, DateTime.UtcNow.Ticks - DateTime.UnixEpoch.Ticks);
        var filler = new VaultFiller(storage, Data.Length);
        Go(_ => storage.SegmentCounts is var (s, u) && s + u <= segments);
        filler.Settle();
        Go(i => i < segmentSizeBytes / 4 / (OtherBytes + Data.Length));
        return (storage.Head.Value + 1, Stopwatch.GetElapsedTime(begun).TotalSeconds);

        void Go(Func<long, bool> goesOn)
        {
            var from = storage.Head.Value + 1;
            filler.Fill(goesOn, i => (StreamOf(from + i), _event));
        }
    }

    private string StreamOf(long i)
    {
        if (i % ProbeEvery == 0)
        {
            var k = i / ProbeEvery;
            return Probe((k / (ProbesAtOnce * ProbeEvents) * ProbesAtOnce) + (k % ProbesAtOnce));
        }

        if (i % SpreadEvery == 1)
        {
            return Spread(i / SpreadEvery % SpreadStreams);
        }

        var others = Others(i);
        var made = Made(others);
        return Other(others == 0 || made > Made(others - 1) ? made - 1 : (long)(Mix((ulong)i) % (ulong)made));
    }

    // How many events of the third kind stand before a position.
    private static long Others(long i) => i - ((i + ProbeEvery - 1) / ProbeEvery) - ((i + SpreadEvery - 2) / SpreadEvery);

    private long Made(long others) => Math.Min(streams, 1 + (others * streams / Others(_planned)));

    // SplitMix64.
    private static ulong Mix(ulong x)
    {
        x += 0x9E3779B97F4A7C15;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }

    private static byte[] MakeEvent()
    {
        var e = EncodedEvent.Make(Data.Length);
        Data.CopyTo(e, e.Length - Data.Length);
        return e;
    }
}
