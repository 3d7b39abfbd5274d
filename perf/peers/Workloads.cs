using EventVault.LoadTest.Figures;
using EventVault.LoadTest.Nodes;
using EventVault.LoadTest.Running;
using EventVault.LoadTest.Scenarios;

namespace EventVault.Peers;

/// <summary>The workloads, the same for every peer. The peer is running.</summary>
internal sealed class Workloads(IPeer peer, TimeSpan length, Action<Row> emit, CancellationToken cancellation)
{
    private const int PerStream = 100;

    // Writers of the live deliveries: so many streams take turns, so that hardly an append waits for the one before.
    private const int LiveStreams = 16;
    private static int Runs;

    private readonly MachineClock _clock = new();

    // With few calls a second it takes longer until a client's code is compiled for good, which takes one of the cores meanwhile. After 1 s whichever of two
    // peers with a client in common came first had a 99th percentile of 0.8 to 5.8 ms, and the second one of 0.3 to 0.6.
    private TimeSpan WarmUp(Load load)
    {
        var settled = load is KeepConstant { Copies: > 1 } ? TimeSpan.FromSeconds(1) : TimeSpan.FromSeconds(4);
        return length < TimeSpan.FromSeconds(1) ? length / 2 : settled;
    }

    /// <summary>Answers must be right before they are worth timing.</summary>
    /// <exception cref="InvalidOperationException">They are not.</exception>
    public async Task CheckAsync()
    {
        await using var log = await peer.ConnectAsync(16);
        var payload = EventBytes.Payloads(256).Next();
        var stream = $"check-{Interlocked.Increment(ref Runs)}";
        var first = await log.AppendAsync(stream, log.NoStream, Events(1));
        var next = await log.AppendAsync(stream, first, Events(1));
        await log.AppendAsync(stream, next, Events(100));
        foreach (var stale in new[] { log.NoStream, first })
        {
            try
            {
                await log.AppendAsync(stream, stale, Events(1));
                throw new InvalidOperationException($"{peer.Name} accepted a stale expected version.");
            }
            catch (WrongVersionException)
            {
            }
        }

        var intact = 0;
        var read = await log.ReadStreamAsync(stream, (_, data) => intact += data.SequenceEqual(payload) ? 1 : 0);
        if (read != 102 || intact != 102)
        {
            throw new InvalidOperationException($"{peer.Name} gave {read} events back, {intact} of them intact; 102 were appended.");
        }

        PeerEvent[] Events(int count) => [.. Enumerable.Range(0, count).Select(_ => new PeerEvent(Guid.NewGuid(), EventBytes.Type, payload))];
    }

    /// <summary>Appenders, each of which waits for the answer before it appends to its own stream again.</summary>
    public async Task AppendAsync(string workload, int payload, int appenders, int perAppend)
    {
        await using var log = await peer.ConnectAsync(appenders);
        var run = Interlocked.Increment(ref Runs);
        var data = EventBytes.Payloads(payload);
        var expected = Enumerable.Repeat(log.NoStream, appenders).ToArray();
        var appended = new long[appenders * 16]; // Each in a cache line of its own.
        var before = await log.DiskBytesAsync();
        var result = await RunAsync(new KeepConstant(appenders, length), async iteration =>
        {
            var copy = (int)iteration.Copy;
            var events = new PeerEvent[perAppend];
            for (var i = 0; i < perAppend; i++)
            {
                events[i] = new PeerEvent(Guid.NewGuid(), EventBytes.Type, data.Next());
            }

            expected[copy] = await log.AppendAsync($"s{run}-{copy}", expected[copy], events);
            appended[copy * 16] += perAppend;
        });
        var stored = (double)(await log.DiskBytesAsync() - before) / appended.Sum();
        var read = await log.ReadStreamAsync($"s{run}-0", static (_, _) => { });
        if (read != appended[0])
        {
            throw new InvalidOperationException($"{peer.Name} acknowledged {appended[0]} events of a stream and gives {read} back.");
        }

        var figures = AppendFigures(result, perAppend);
        figures["disk B/event"] = stored;
        emit(new Row(workload, $"{payload} B, {appenders} in flight, {perAppend} per append", peer.Name, result.Generator.Valid, figures));
    }

    /// <summary>Fills the log with streams of 100 events, interleaved.</summary>
    public async Task LoadAsync(int payload, int events)
    {
        await using var log = await peer.ConnectAsync(1);
        var data = EventBytes.Payloads(payload);
        var streams = events / PerStream;
        await log.LoadAsync(Enumerable.Range(0, events).Select(i => ($"r-{i % streams}", new PeerEvent(Guid.NewGuid(), EventBytes.Type, data.Next()))));
    }

    public async Task ReadStreamsAsync(int payload, int events, int readers)
    {
        await using var log = await peer.ConnectAsync(readers);
        var streams = events / PerStream;
        var result = await RunAsync(new KeepConstant(readers, length), async _ =>
        {
            var read = await log.ReadStreamAsync($"r-{Random.Shared.Next(streams)}", static (_, _) => { });
            if (read != PerStream)
            {
                throw new InvalidOperationException($"{read} events of a stream were read, {PerStream} are in it.");
            }
        });
        emit(new Row("W4 streams of 100 events", $"{payload} B, {events:#,0} events, {readers} reader{(readers == 1 ? "" : "s")}", peer.Name, result.Generator.Valid, new()
        {
            ["events/s"] = result.Whole.PerSecond * PerStream,
            ["ms/stream p50"] = result.Whole.Latency.P50 / 1000,
            ["ms/stream p99"] = result.Whole.Latency.P99 / 1000,
            ["server CPU s/1M"] = Cpu(result, result.Whole.PerSecond * PerStream),
        }));
    }

    public async Task ReadAllAsync(int payload, int events)
    {
        cancellation.ThrowIfCancellationRequested();
        await using var log = await peer.ConnectAsync(1);
        var bytes = 0L;
        var (cpu, begun) = (ProcessFigures.CpuSeconds(peer.ProcessId), _clock.Now);
        var read = await log.ReadAllAsync(events, (_, data) => bytes += data.Length);
        var seconds = (_clock.Now - begun).TotalSeconds;
        if (read != events || bytes != (long)events * payload)
        {
            throw new InvalidOperationException($"{peer.Name} gave {read} of {events} events, {bytes} bytes.");
        }

        emit(new Row("W5 everything in order", $"{payload} B, {events:#,0} events", peer.Name, Valid: true, new()
        {
            ["events/s"] = read / seconds,
            ["MB/s"] = bytes / seconds / 1e6,
            ["server CPU s/1M"] = (ProcessFigures.CpuSeconds(peer.ProcessId) - cpu) / read * 1e6,
        }));
    }

    /// <summary>One event after the other at a fixed rate; the latency counts from the intended start of its append to each subscriber's hands.</summary>
    public async Task LiveAsync(int payload, int subscribers, int rate)
    {
        await using var log = await peer.ConnectAsync(LiveStreams);
        var run = Interlocked.Increment(ref Runs);
        var data = EventBytes.Payloads(payload);
        var writers = Enumerable.Range(0, LiveStreams).Select(_ => Task.FromResult(log.NoStream)).ToArray();
        var (delivered, appended) = (0L, 0L);
        Recording? recording = null;
        var subscriptions = await SubscribeAsync(log, subscribers, fromStart: false, _ => (_, bytes) =>
        {
            var intended = EventBytes.Stamp(bytes);
            Interlocked.Increment(ref delivered);
            if (Volatile.Read(ref recording) is { } measured && intended >= measured.Begin)
            {
                measured.Record("delivery", _clock.Now - intended);
            }
        });

        var scenario = Of([new Inject(rate, TimeSpan.FromSeconds(1), length)], iteration =>
        {
            Task<long> mine;
            lock (writers)
            {
                var writer = iteration.Number % LiveStreams;
                mine = writers[writer] = AppendAsync(writers[writer], $"f{run}-{writer}", EventBytes.Stamped(data.Next(), iteration.Intended));
            }

            return mine;
        }) with
        {
            Beside = (measured, _) =>
            {
                Volatile.Write(ref recording, measured);
                return Task.CompletedTask;
            },
            Check = async measured =>
            {
                await Task.WhenAny(ArrivedAsync(), Task.Delay(TimeSpan.FromSeconds(10), CancellationToken.None));
                measured.Found("missing", (appended * subscribers) - Interlocked.Read(ref delivered));
            },
        };
        var result = await Runner().RunAsync(scenario, cancellation);
        await EndAsync(subscriptions);
        var latency = result.Step("delivery").Latency;
        emit(new Row("W6 live delivery", $"{payload} B, {rate} events/s, {subscribers} subscriber{(subscribers == 1 ? "" : "s")}", peer.Name, result.Generator.Valid, new()
        {
            ["p50 µs"] = latency.P50,
            ["p99 µs"] = latency.P99,
            ["generator's share, p50 µs"] = result.Generator.LagP50,
            ["missing"] = result.Findings["missing"],
        }));

        async Task<long> AppendAsync(Task<long> previous, string stream, byte[] bytes)
        {
            var next = await log.AppendAsync(stream, await previous, [new PeerEvent(Guid.NewGuid(), EventBytes.Type, bytes)]);
            Interlocked.Increment(ref appended);
            return next;
        }

        async Task ArrivedAsync()
        {
            while (Interlocked.Read(ref delivered) < appended * subscribers)
            {
                await Task.Delay(20, CancellationToken.None);
            }
        }
    }

    /// <summary>Subscribers that all begin at the first event at once: the most that the server can hand out.</summary>
    public async Task CatchUpAsync(int payload, int subscribers, int events)
    {
        cancellation.ThrowIfCancellationRequested();
        await using var log = await peer.ConnectAsync(1);
        var counts = new long[subscribers * 16];
        var (cpu, begun) = (ProcessFigures.CpuSeconds(peer.ProcessId), _clock.Now);
        var subscriptions = await SubscribeAsync(log, subscribers, fromStart: true, n => (_, _) => Volatile.Write(ref counts[n * 16], counts[n * 16] + 1));

        while (_clock.Now - begun < length && counts.Sum() < (long)events * subscribers)
        {
            await Task.Delay(5, cancellation);
        }

        var (delivered, seconds) = ((double)counts.Sum(), (_clock.Now - begun).TotalSeconds);
        emit(new Row("W6 catching up", $"{payload} B, {subscribers} subscriber{(subscribers == 1 ? "" : "s")} from the start", peer.Name, Valid: true, new()
        {
            ["deliveries/s"] = delivered / seconds,
            ["server CPU s/1M"] = (ProcessFigures.CpuSeconds(peer.ProcessId) - cpu) / delivered * 1e6,
        }));
        await EndAsync(subscriptions);
    }

    /// <summary>Start with the data loaded, after kill −9 and after a stop in order; memory then, and after reads.</summary>
    public async Task StartAsync(int payload, int events)
    {
        var figures = new Dictionary<string, double>();
        foreach (var (name, kill) in new[] { ("s after kill -9", true), ("s after a clean stop", false) })
        {
            cancellation.ThrowIfCancellationRequested();
            await peer.StopAsync(kill);
            var begun = _clock.Now;
            await peer.StartAsync(fresh: false);
            figures[name] = (_clock.Now - begun).TotalSeconds;
        }

        await Task.Delay(500, cancellation);
        figures["MiB after start"] = ProcessFigures.MemoryMiB(peer.ProcessId);
        await new Workloads(peer, length, static _ => { }, cancellation).ReadStreamsAsync(payload, events, 16);
        figures["MiB after reads"] = ProcessFigures.MemoryMiB(peer.ProcessId);
        await using (var log = await peer.ConnectAsync(1))
        {
            figures["disk B/event"] = await log.DiskBytesAsync() / (double)events;
        }

        emit(new Row("W7 start", $"{payload} B, {events:#,0} events, warm page cache", peer.Name, Valid: true, figures));
    }

    private static async Task<List<IAsyncDisposable>> SubscribeAsync(IEventLog log, int subscribers, bool fromStart, Func<int, EventSink> sinkOf)
    {
        var subscriptions = new List<IAsyncDisposable>();
        for (var n = 0; n < subscribers; n++)
        {
            subscriptions.Add(await log.SubscribeAsync(fromStart, sinkOf(n)));
        }

        return subscriptions;
    }

    private static async Task EndAsync(List<IAsyncDisposable> subscriptions)
    {
        foreach (var subscription in subscriptions)
        {
            await subscription.DisposeAsync();
        }
    }

    private static Dictionary<string, double> AppendFigures(ScenarioResult result, int perAppend)
    {
        var perSecond = result.Whole.PerSecond * perAppend;
        return new()
        {
            ["events/s"] = perSecond,
            ["p50 µs"] = result.Whole.Latency.P50,
            ["p99 µs"] = result.Whole.Latency.P99,
            ["p99.9 µs"] = result.Whole.Latency.P999,
            ["server CPU s/1M"] = Cpu(result, perSecond),
            ["client CPU s/1M"] = result.ClientCpuSeconds / (perSecond * result.Seconds) * 1e6,
        };
    }

    private static double Cpu(ScenarioResult result, double perSecond) => (result.ServerCpuSeconds ?? double.NaN) / (perSecond * result.Seconds) * 1e6;

    private async Task<ScenarioResult> RunAsync(Load load, Func<Iteration, Task> run)
    {
        Exception? failure = null;
        var result = await Runner().RunAsync(Of([load], async iteration =>
        {
            try
            {
                await run(iteration);
            }
            catch (Exception e)
            {
                Interlocked.CompareExchange(ref failure, e, null);
                throw;
            }
        }), cancellation);
        return failure is null ? result : throw new InvalidOperationException($"{peer.Name} failed: {failure.Message}", failure);
    }

    private Scenario Of(IReadOnlyList<Load> loads, Func<Iteration, Task> run) =>
        new() { Name = peer.Name, Description = "", Loads = loads, WarmUp = WarmUp(loads[0]), Run = run };

    private ScenarioRunner Runner() => new(_clock) { ServerCpuSeconds = () => ProcessFigures.CpuSeconds(peer.ProcessId) };
}
