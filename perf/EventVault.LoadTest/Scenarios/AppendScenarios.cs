using EventVault.Client;
using EventVault.LoadTest.Running;
using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;
using EventData = EventVault.Client.EventData;
using ExpectedVersion = EventVault.Client.ExpectedVersion;

namespace EventVault.LoadTest.Scenarios;

/// <summary>Appenders, each of which writes a stream of its own at the version that it expects.</summary>
internal static class AppendScenarios
{
    private const int UnaryConnectionsFrom = 64; // In flight: one HTTP/2 connection carries 100 calls at a time.
    private static readonly RpcMethod<AppendRequest, AppendResponse> Append = RpcMethod<AppendRequest, AppendResponse>.Of(StreamsReflection.Descriptor.Services[0], "Append");

    /// <summary>Closed: as many appends as there are in flight.</summary>
    public static IEnumerable<Scenario> Closed(Target target)
    {
        var options = target.Options;
        foreach (var payload in options.Numbers("payload", options.Smoke ? [256] : [256, 1024]))
        {
            foreach (var events in options.Numbers("events", 1, 10, 100))
            {
                // Many in flight with many events each is a test of the disk's bandwidth, which 16 reach.
                foreach (var inFlight in options.Numbers("in-flight", options.Smoke || events > 1 ? [16] : [1, 16, 64, 256]))
                {
                    foreach (var via in options.Texts("via", options.Smoke ? ["session", "unary", "lean"] : ["session", "unary"]))
                    {
                        yield return Of(target, $"append-{via}-{events}x{payload}-{inFlight}", via, events, payload, inFlight, [new KeepConstant(inFlight, options.Length)]);
                    }
                }
            }
        }
    }

    /// <summary>Open: up to a rate and held there.</summary>
    public static IEnumerable<Scenario> Open(Target target)
    {
        var rate = target.Options.Rate ?? (target.Options.Smoke ? 200 : 2_000);
        var second = TimeSpan.FromSeconds(1);
        foreach (var payload in target.Options.Numbers("payload", 256))
        {
            yield return Of(
                target, $"append-open-{payload}", "session", 1, payload, 0,
                [new RampingInject(rate, second, target.Options.Length / 4), new Inject(rate, second, target.Options.Length * 0.75)]);
        }
    }

    /// <param name="target">The vault.</param>
    /// <param name="name">Of the scenario.</param>
    /// <param name="via">session, unary or lean; open loads by the session alone.</param>
    /// <param name="events">In each append.</param>
    /// <param name="payload">Bytes of each.</param>
    /// <param name="copies">Of a closed load; 0: open, a new stream for each append.</param>
    /// <param name="loads">The load.</param>
    private static Scenario Of(Target target, string name, string via, int events, int payload, int copies, IReadOnlyList<Load> loads)
    {
        var run = Target.NewRun();
        var data = EventBytes.Payloads(payload);
        var sessions = target.Options.Numbers("sessions", 1)[0];
        var appended = new long[Math.Max(1, copies)];
        var unknown = new bool[Math.Max(1, copies)];
        VaultClient? client = null;
        RpcChannel? channel = null;
        LeanChannel[] lean = [];
        LeanAppender[] appenders = [];
        return new Scenario
        {
            Name = name,
            Description = $"Appends of {events} event{(events == 1 ? "" : "s")} of {payload} B, {HowOf(via, sessions)}, each copy to its own stream at the version it expects.",
            Loads = loads,
            WarmUp = target.Options.WarmUp,
            StatusOf = Target.StatusOf,
            Thresholds = [Threshold.SomethingDone, Threshold.FailedShare(0), Threshold.None("missing")],
            Init = () =>
            {
                client = target.Connect(new VaultClientOptions { Sessions = sessions });
                var address = new Uri(target.Address.Replace("eventvault://", "http://", StringComparison.Ordinal).Split(',')[0]);
                var connections = target.Options.Numbers("connections", copies >= UnaryConnectionsFrom ? 4 : 1)[0];
                channel = via == "unary" ? new RpcChannel(address, new RpcChannelOptions { Connections = connections }) : null;
                lean = via == "lean" ? [.. Enumerable.Range(0, connections).Select(_ => new LeanChannel(address))] : [];
                appenders = via == "lean" ? [.. Enumerable.Range(0, copies).Select(i => new LeanAppender(lean[i % connections], StreamOf(i), events, data))] : [];
                return Task.CompletedTask;
            },
            Run = async iteration =>
            {
                var at = copies > 0 ? (int)iteration.Copy : 0;
                var stream = copies > 0 ? StreamOf(at) : $"load-{run}-{iteration.Number}-{iteration.Intended.Ticks}";
                var last = copies > 0 ? appended[at] - 1 : -1;
                try
                {
                    if (via == "lean")
                    {
                        await appenders[at].AppendAsync(last);
                    }
                    else if (channel is not null)
                    {
                        await channel.UnaryAsync(Append, Request(stream, last, events, data), default, CancellationToken.None);
                    }
                    else
                    {
                        var expected = last < 0 ? ExpectedVersion.NoStream : ExpectedVersion.Exact((ulong)last);
                        await client!.AppendAsync(stream, expected, Enumerable.Range(0, events).Select(_ => new EventData(EventBytes.Type, data.Next())));
                    }
                }
                catch
                {
                    unknown[at] = true; // It may have been written: this stream's count can't be checked any more.
                    throw;
                }

                Interlocked.Add(ref appended[at], events);
                iteration.Recording.Count("events", events);
            },
            Check = async recording => recording.Found("missing", copies > 0 && !unknown[0] ? appended[0] - await CountAsync(client!, StreamOf(0)) : 0),
            Clean = async () =>
            {
                await (client?.DisposeAsync() ?? default);
                await (channel?.DisposeAsync() ?? default);
                foreach (var connection in lean)
                {
                    connection.Dispose();
                }
            },
        };

        string StreamOf(int copy) => $"load-{run}-{copy}";
    }

    private static string HowOf(string via, int sessions) => via switch
    {
        "session" => $"pipelined on {sessions} session{(sessions == 1 ? "" : "s")}",
        "unary" => "unary calls",
        _ => "unary calls of a lean client",
    };

    /// <summary>How many events a stream has, read one page after the other.</summary>
    internal static async Task<long> CountAsync(VaultClient client, string stream)
    {
        var events = 0L;
        try
        {
            await foreach (var page in client.ReadStreamAsync(stream).PagesAsync())
            {
                events += page.Count;
            }
        }
        catch (StreamNotFoundException)
        {
        }

        return events;
    }

    private static AppendRequest Request(string stream, long last, int events, Values<byte[]> data)
    {
        var append = new Protocol.StreamAppend
        {
            Stream = stream,
            Expected = last < 0 ? new Protocol.ExpectedVersion { NoStream = new Empty() } : new Protocol.ExpectedVersion { Version = (ulong)last },
        };
        for (var i = 0; i < events; i++)
        {
            append.Events.Add(new Protocol.EventData { Id = NewId(), Type = EventBytes.Type, Data = UnsafeByteOperations.UnsafeWrap(data.Next()) });
        }

        return new AppendRequest { OperationId = NewId(), Streams = { append } };
    }

    private static ByteString NewId() => UnsafeByteOperations.UnsafeWrap(Guid.CreateVersion7().ToByteArray(bigEndian: true));
}
