using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using EventVault.Client;

namespace EventVault.Admin.Commands;

/// <summary><c>bench</c>: a quick load in place, to see what this node on this machine does. Its events stay in the vault.</summary>
internal sealed class BenchCommand
{
    // Beyond these the command measures patience, not the node.
    private const int MaxInFlight = 100_000;
    private const int MaxSeconds = 3600;

    private readonly Option<double> _seconds = new("--seconds") { Description = "How long to append.", DefaultValueFactory = _ => 5 };
    private readonly Option<int> _inFlight = new("--in-flight") { Description = "Appends on their way at once.", DefaultValueFactory = _ => 64 };
    private readonly Option<int> _events = new("--events") { Description = "Events to an append.", DefaultValueFactory = _ => 1 };
    private readonly Option<int> _size = new("--size") { Description = "Bytes of data an event.", DefaultValueFactory = _ => 256 };
    private readonly Option<int> _streams = new("--streams") { Description = "Streams to spread the events over.", DefaultValueFactory = _ => 100 };

    public static Command Create(GlobalOptions global)
    {
        var self = new BenchCommand();
        var command = new Command("bench", "Append for some seconds, read it back, and print rates and latencies. The events stay in the vault, in streams bench-….")
        {
            self._seconds, self._inFlight, self._events, self._size, self._streams,
        };
        global.Run(command, self.RunAsync);
        return command;
    }

    private async Task<int> RunAsync(ParseResult parse, CommandContext context)
    {
        var load = new Load(
            TimeSpan.FromSeconds(InRange(parse.GetValue(_seconds), 0.1, MaxSeconds, _seconds.Name)),
            (int)InRange(parse.GetValue(_inFlight), 1, MaxInFlight, _inFlight.Name),
            (int)InRange(parse.GetValue(_events), 1, 10_000, _events.Name),
            (int)InRange(parse.GetValue(_size), 2, 1 << 20, _size.Name),
            (int)InRange(parse.GetValue(_streams), 1, 1_000_000, _streams.Name));
        await using var client = context.Connect();
        await client.GetInfoAsync(context.Stop);
        var appends = await ProgressBar.RunAsync("Appending", progress => AppendAsync(client, load, progress, context.Stop));
        var reads = await ProgressBar.RunAsync("Reading", progress => ReadAsync(client, appends, progress, context.Stop));
        if (context.Output.Json)
        {
            context.Output.WriteJson(w => Write(w, appends, reads));
        }
        else
        {
            Show(context.Output, load, appends, reads);
        }

        return ExitCode.Done;
    }

    private static async Task<AppendFigures> AppendAsync(VaultClient client, Load load, Action<double> progress, CancellationToken stop)
    {
        var run = Guid.NewGuid().ToString("N")[..8];
        var data = Encoding.UTF8.GetBytes($"\"{new string('x', load.SizeBytes - 2)}\"");
        var clock = Stopwatch.StartNew();
        var next = -1L;
        var workers = Enumerable.Range(0, load.InFlight).Select(async _ =>
        {
            var figures = new AppendFigures();
            while (clock.Elapsed < load.Time)
            {
                var stream = $"bench-{run}-{Interlocked.Increment(ref next) % load.Streams}";
                var events = new EventData[load.EventsAnAppend];
                for (var i = 0; i < events.Length; i++)
                {
                    events[i] = new EventData("Measured", data);
                }

                var start = Stopwatch.GetTimestamp();
                var result = await client.AppendAsync(stream, ExpectedVersion.Any, events, cancellationToken: stop);
                figures.Add(result, Stopwatch.GetElapsedTime(start));
                progress(clock.Elapsed / load.Time);
            }

            return figures;
        });
        var all = await Task.WhenAll(workers);
        return AppendFigures.Sum(all, clock.Elapsed, load.EventsAnAppend);
    }

    private static async Task<(ulong Events, TimeSpan Time)> ReadAsync(VaultClient client, AppendFigures appends, Action<double> progress, CancellationToken stop)
    {
        var clock = Stopwatch.StartNew();
        var count = 0UL;
        await using var read = client.ReadAllAsync(
            new ReadOptions { From = ReadBound.Position(appends.FirstPosition), Until = ReadBound.Position(appends.LastPosition) }, stop);
        await foreach (var page in read.PagesAsync(stop))
        {
            count += (ulong)page.Count;
            progress(Math.Min(1, (double)count / appends.Events));
        }

        return (count, clock.Elapsed);
    }

    private static void Write(Utf8JsonWriter w, AppendFigures appends, (ulong Events, TimeSpan Time) reads)
    {
        w.WriteStartObject();
        w.WriteNumber("appends", appends.Appends);
        w.WriteNumber("events", appends.Events);
        w.WriteNumber("seconds", Math.Round(appends.Time.TotalSeconds, 3));
        w.WriteNumber("appendsPerSecond", Math.Round(appends.Appends / appends.Time.TotalSeconds));
        w.WriteNumber("eventsPerSecond", Math.Round(appends.Events / appends.Time.TotalSeconds));
        w.WriteStartObject("latencyMs");
        foreach (var (name, share) in AppendFigures.Shares)
        {
            w.WriteNumber(name, Math.Round(appends.LatencyAt(share).TotalMilliseconds, 3));
        }

        w.WriteEndObject();
        w.WriteStartObject("read");
        w.WriteNumber("events", reads.Events);
        w.WriteNumber("seconds", Math.Round(reads.Time.TotalSeconds, 3));
        w.WriteNumber("eventsPerSecond", Math.Round(reads.Events / reads.Time.TotalSeconds));
        w.WriteEndObject();
        w.WriteEndObject();
    }

    private static void Show(Output output, Load load, AppendFigures appends, (ulong Events, TimeSpan Time) reads)
    {
        string Rate(double value) => value.ToString("N0", CultureInfo.InvariantCulture);
        var latencies = AppendFigures.Shares.Select(s =>
            string.Create(CultureInfo.InvariantCulture, $"{s.Name} {appends.LatencyAt(s.Share).TotalMilliseconds:N2} ms"));
        output.Show(Rows.Of(
            ("load", $"{load.InFlight} appends in flight, {load.EventsAnAppend} events of {load.SizeBytes} bytes each, {load.Streams} streams"),
            ("appended", string.Create(CultureInfo.InvariantCulture, $"{appends.Appends:N0} appends, {appends.Events:N0} events in {appends.Time.TotalSeconds:N2} s, flushed")),
            ("rate", $"{Rate(appends.Appends / appends.Time.TotalSeconds)} appends/s, {Rate(appends.Events / appends.Time.TotalSeconds)} events/s"),
            ("latency", string.Join(", ", latencies)),
            ("read back", string.Create(CultureInfo.InvariantCulture, $"{reads.Events:N0} events in {reads.Time.TotalSeconds:N2} s, {Rate(reads.Events / reads.Time.TotalSeconds)} events/s"))));
    }

    private static double InRange(double value, double low, double high, string name) => value >= low && value <= high
        ? value
        : throw new UsageException(string.Create(CultureInfo.InvariantCulture, $"{name} must be from {low} to {high}."));

    private sealed record Load(TimeSpan Time, int InFlight, int EventsAnAppend, int SizeBytes, int Streams);
}
