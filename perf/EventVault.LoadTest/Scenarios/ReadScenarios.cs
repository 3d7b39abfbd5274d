using EventVault.Client;
using EventVault.LoadTest.Running;

namespace EventVault.LoadTest.Scenarios;

/// <summary>Reads of what was written before, and states as of moments.</summary>
internal static class ReadScenarios
{
    private const int PerStream = 100;

    /// <summary>Streams of 100 events among many.</summary>
    public static IEnumerable<Scenario> ReadStream(Target target)
    {
        foreach (var payload in target.Options.Numbers("payload", 256))
        {
            foreach (var readers in target.Options.Numbers("readers", 1, 16))
            {
                var run = Target.NewRun();
                var streams = target.Options.Smoke ? 20 : 2_000;
                VaultClient? client = null;
                yield return new Scenario
                {
                    Name = $"read-stream-{payload}-{readers}",
                    Description = $"Reads one of {streams:#,0} streams of {PerStream} events of {payload} B, written interleaved; pages without objects, every event's data touched.",
                    Loads = [new KeepConstant(readers, target.Options.Length)],
                    WarmUp = target.Options.WarmUp,
                    StatusOf = Target.StatusOf,
                    Thresholds = [Threshold.SomethingDone, Threshold.FailedShare(0)],
                    Init = async () =>
                    {
                        client = target.Connect();
                        await Target.FillAsync(client, n => $"read-{run}-{n}", streams, PerStream, EventBytes.Payloads(payload));
                    },
                    Run = async iteration =>
                    {
                        var (events, bytes) = await TouchAsync(client!.ReadStreamAsync($"read-{run}-{Random.Shared.Next(streams)}"));
                        Expect(events, PerStream, bytes, payload);
                        iteration.Recording.Count("events", events);
                    },
                    Clean = () => client?.DisposeAsync() ?? default,
                };
            }
        }
    }

    /// <summary>The whole vault in order.</summary>
    public static IEnumerable<Scenario> ReadAll(Target target)
    {
        foreach (var payload in target.Options.Numbers("payload", 256))
        {
            foreach (var readers in target.Options.Numbers("readers", 1))
            {
                var run = Target.NewRun();
                var streams = target.Options.Smoke ? 20 : 2_000;
                var first = 0UL;
                VaultClient? client = null;
                yield return new Scenario
                {
                    Name = $"read-all-{payload}-{readers}",
                    Description = $"Reads {streams * PerStream:#,0} events of {payload} B in the order of the vault; pages without objects, every event's data touched.",
                    Loads = [new KeepConstant(readers, target.Options.Length)],
                    WarmUp = target.Options.WarmUp,
                    StatusOf = Target.StatusOf,
                    Thresholds = [Threshold.SomethingDone, Threshold.FailedShare(0)],
                    Init = async () =>
                    {
                        client = target.Connect();
                        (first, _) = await Target.FillAsync(client, n => $"all-{run}-{n}", streams, PerStream, EventBytes.Payloads(payload));
                    },
                    Run = async iteration =>
                    {
                        var limit = (ulong)(streams * PerStream);
                        var (events, bytes) = await TouchAsync(client!.ReadAllAsync(new ReadOptions { From = ReadBound.Position(first), Limit = limit }));
                        Expect(events, streams * PerStream, bytes, payload);
                        iteration.Recording.Count("events", events);
                    },
                    Clean = () => client?.DisposeAsync() ?? default,
                };
            }
        }
    }

    /// <summary>States of streams as of versions, positions and times long past.</summary>
    public static IEnumerable<Scenario> StateAsOf(Target target)
    {
        foreach (var copies in target.Options.Numbers("in-flight", 4))
        {
            var run = Target.NewRun();
            var (streams, events) = target.Options.Smoke ? (5, 50) : (100, 2_000);
            var (first, last) = (0UL, 0UL);
            var (began, ended) = (DateTimeOffset.MinValue, DateTimeOffset.MinValue);
            VaultClient? client = null;
            yield return new Scenario
            {
                Name = $"state-as-of-{copies}",
                Description = $"State of one of {streams} streams of {events:#,0} JSON events, merged, as of a version, a position or a time drawn from their whole past.",
                Loads = [new KeepConstant(copies, target.Options.Length)],
                WarmUp = target.Options.WarmUp,
                StatusOf = Target.StatusOf,
                Thresholds = [Threshold.SomethingDone, Threshold.FailedShare(0)],
                Init = async () =>
                {
                    client = target.Connect();
                    (first, last) = await Target.FillAsync(client, n => $"state-{run}-{n}", streams, events, EventBytes.Payloads(256));
                    (began, ended) = (await TimeOfAsync(client, first), await TimeOfAsync(client, last));
                },
                Run = async iteration =>
                {
                    var random = Random.Shared;
                    var (step, asOf) = random.Next(3) switch
                    {
                        0 => ("by version", AsOf.Version((ulong)random.Next(events))),
                        1 => ("by position", AsOf.Position(first + (ulong)random.NextInt64((long)(last - first) + 1))),
                        _ => ("by time", AsOf.Time(began + ((ended - began) * random.NextDouble()))),
                    };
                    await iteration.StepAsync(step, () => client!.States.GetAsync($"state-{run}-{random.Next(streams)}", asOf), static state => state.Json.Length);
                },
                Clean = () => client?.DisposeAsync() ?? default,
            };
        }
    }

    private static async Task<DateTimeOffset> TimeOfAsync(VaultClient client, ulong position)
    {
        await foreach (var e in client.ReadAllAsync(new ReadOptions { From = ReadBound.Position(position), Limit = 1 }))
        {
            return e.RecordedAt;
        }

        throw new InvalidOperationException($"Nothing at position {position}, where an append was acknowledged.");
    }

    private static async Task<(long Events, long Bytes)> TouchAsync(ReadResult read)
    {
        var (events, bytes) = (0L, 0L);
        await foreach (var page in read.PagesAsync())
        {
            foreach (var e in page)
            {
                bytes += EventBytes.Data(e).Length;
            }

            events += page.Count;
        }

        return (events, bytes);
    }

    private static void Expect(long events, long wanted, long bytes, int payload)
    {
        if (events != wanted || bytes != wanted * payload)
        {
            throw new InvalidOperationException($"Read {events} events with {bytes} bytes; {wanted} of {payload} bytes were written.");
        }
    }
}
