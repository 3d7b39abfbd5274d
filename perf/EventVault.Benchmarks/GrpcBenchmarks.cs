using System.Diagnostics;
using EventVault.Client;
using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Benchmarks;

/// <summary>Over gRPC on loopback, client and server sharing the machine; every append durable before its answer.</summary>
internal sealed class GrpcBenchmarks(Report report, string address, TimeSpan length)
{
    private static readonly int[] InFlight = [1, 16, 64, 256];
    private readonly byte[] _payload = new byte[256];

    /// <summary>One event of 256 B per append, each appender waits for its answer.</summary>
    public async Task AppendsAsync()
    {
        report.Section("Appends over gRPC", "One event of 256 B per append, each to a stream of its own appender; latency from call to answer.");
        report.Head("in flight", "session, appends/s", "p50 µs", "p99 µs", "unary, appends/s", "p50 µs", "p99 µs");
        foreach (var appenders in InFlight)
        {
            await using var client = VaultClient.Connect(address);
            var session = await Measure.WorkersAsync<AppendResult>(appenders, length / 2, length, i =>
            {
                var stream = $"bench-{Guid.NewGuid():N}";
                return () => new ValueTask<AppendResult>(client.AppendAsync(stream, Client.ExpectedVersion.Any, new Client.EventData("ItemRecorded", _payload)));
            }, static _ => { });
            await using var channel = new RpcChannel(new Uri(address), new RpcChannelOptions { Connections = appenders >= 64 ? 4 : 1 });
            var append = RpcMethod<AppendRequest, AppendResponse>.Of(StreamsReflection.Descriptor.Services[0], "Append");
            var unary = await Measure.WorkersAsync<AppendResponse>(appenders, length / 2, length, i =>
            {
                var stream = $"bench-{Guid.NewGuid():N}";
                return () => channel.UnaryAsync(append, Request(stream), default, CancellationToken.None);
            }, static _ => { });
            report.Row(
                $"{appenders}", Report.Figure(session.PerSecond), Report.Figure(session.Percentile(0.5)), Report.Figure(session.Percentile(0.99)),
                Report.Figure(unary.PerSecond), Report.Figure(unary.Percentile(0.5)), Report.Figure(unary.Percentile(0.99)));
        }

        report.Section("Appends of 100 events over gRPC", "16 in flight on one session, 256 B each.");
        report.Head("events/s", "p50 µs per append", "p99 µs per append");
        await using var bulk = VaultClient.Connect(address);
        var batches = await Measure.WorkersAsync<AppendResult>(16, length / 2, length, i =>
        {
            var stream = $"bulk-{Guid.NewGuid():N}";
            return () => new ValueTask<AppendResult>(bulk.AppendAsync(stream, Client.ExpectedVersion.Any, Enumerable.Range(0, 100).Select(_ => new Client.EventData("ItemRecorded", _payload))));
        }, static _ => { }, operationsPerCall: 100);
        report.Row(Report.Figure(batches.PerSecond), Report.Figure(batches.Percentile(0.5)), Report.Figure(batches.Percentile(0.99)));
    }

    /// <summary>Reads everything, as objects and as raw pages.</summary>
    public async Task ReadAllAsync()
    {
        report.Section("Read all over gRPC", "The events of the runs before. Raw: the client hands out pages of encoded events without making objects.");
        report.Head("form", "events", "events/s");
        await using var client = VaultClient.Connect(address);
        for (var pass = 0; pass < 2; pass++)
        {
            var (raw, rawSeconds) = await CountAsync(async () =>
            {
                var events = 0L;
                await foreach (var page in client.ReadAllAsync().PagesAsync())
                {
                    events += page.Count;
                }

                return events;
            });
            var (objects, objectSeconds) = await CountAsync(async () =>
            {
                var events = 0L;
                await foreach (var _ in client.ReadAllAsync())
                {
                    events++;
                }

                return events;
            });
            if (pass == 1)
            {
                report.Row("raw", $"{raw:#,0}", Report.Figure(raw / rawSeconds));
                report.Row("objects", $"{objects:#,0}", Report.Figure(objects / objectSeconds));
            }
        }
    }

    /// <summary>Live delivery: 200 appends a second, from the append's call to its event in each subscriber's hands.</summary>
    public async Task FanOutAsync()
    {
        report.Section("Live delivery over gRPC", "One appender, 200 single events of 256 B a second; from the call of append to the event in a subscriber's hands, over all subscribers of the whole vault.");
        report.Head("subscribers", "delivered", "p50 µs", "p99 µs");
        foreach (var subscribers in new[] { 1, 10, 100 })
        {
            var (latencies, delivered) = await DeliverAsync(subscribers);
            report.Row($"{subscribers}", $"{delivered:#,0}", Report.Figure(latencies[latencies.Length / 2]), Report.Figure(latencies[(int)(latencies.Length * 0.99)]));
        }
    }

    private async Task<(double[] Latencies, long Delivered)> DeliverAsync(int subscribers)
    {
        const int PerSecond = 200;
        var warmUp = 100;
        var appends = (int)(length.TotalSeconds * PerSecond) + warmUp;
        await using var client = VaultClient.Connect(address);
        var logs = Enumerable.Range(0, subscribers).Select(_ => new List<double>(appends)).ToArray();
        var live = new CountdownEvent(subscribers);
        using var stop = new CancellationTokenSource();
        var tasks = logs.Select(log => Task.Run(async () =>
        {
            await foreach (var page in client.SubscribeToAllAsync(new SubscribeOptions { FromEnd = true }, stop.Token).PagesAsync(stop.Token))
            {
                if (page.Kind == SubscriptionMessageKind.CaughtUp && log.Count == 0 && !live.IsSet)
                {
                    live.Signal();
                }

                for (var i = 0; i < page.Count; i++)
                {
                    // The append's own timestamp travels in its first 8 data bytes.
                    var sent = BitConverter.ToInt64(page[i].ToEvent().Data.Span);
                    log.Add(Stopwatch.GetElapsedTime(sent).TotalMicroseconds);
                }

                if (log.Count == appends)
                {
                    return;
                }
            }
        })).ToArray();
        live.Wait(TimeSpan.FromSeconds(20));
        var stream = $"live-{Guid.NewGuid():N}";
        var begun = Stopwatch.GetTimestamp();
        for (var i = 0; i < appends; i++)
        {
            var due = TimeSpan.FromSeconds((double)i / PerSecond) - Stopwatch.GetElapsedTime(begun);
            if (due > TimeSpan.Zero)
            {
                await Task.Delay(due);
            }

            var data = (byte[])_payload.Clone();
            BitConverter.TryWriteBytes(data, Stopwatch.GetTimestamp());
            await client.AppendAsync(stream, Client.ExpectedVersion.Any, new Client.EventData("ItemRecorded", data));
        }

        await Task.WhenAny(Task.WhenAll(tasks), Task.Delay(TimeSpan.FromSeconds(10)));
        await stop.CancelAsync();
        return ([.. logs.SelectMany(l => l.Skip(warmUp)).Order()], logs.Sum(l => (long)l.Count));
    }

    private static async Task<(long Events, double Seconds)> CountAsync(Func<Task<long>> read)
    {
        var begun = Stopwatch.GetTimestamp();
        return (await read(), Stopwatch.GetElapsedTime(begun).TotalSeconds);
    }

    private AppendRequest Request(string stream) => new()
    {
        OperationId = ByteString.CopyFrom(Guid.CreateVersion7().ToByteArray(bigEndian: true)),
        Streams =
        {
            new Protocol.StreamAppend
            {
                Stream = stream,
                Expected = new Protocol.ExpectedVersion { Any = new Empty() },
                Events = { new Protocol.EventData { Id = ByteString.CopyFrom(Guid.CreateVersion7().ToByteArray(bigEndian: true)), Type = "ItemRecorded", Data = ByteString.CopyFrom(_payload) } },
            },
        },
    };
}
