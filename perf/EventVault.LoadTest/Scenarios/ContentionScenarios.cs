using EventVault.Client;
using EventVault.LoadTest.Running;

namespace EventVault.LoadTest.Scenarios;

/// <summary>Appends that are in each other's way.</summary>
internal static class ContentionScenarios
{
    /// <summary>Everybody writes one stream, each at the version that it has seen last.</summary>
    public static IEnumerable<Scenario> HotStream(Target target)
    {
        foreach (var copies in target.Options.Numbers("in-flight", 16))
        {
            var stream = "hot-" + Target.NewRun();
            var data = EventBytes.Payloads(256);
            var (last, appended) = (-1L, 0L);
            VaultClient? client = null;
            yield return new Scenario
            {
                Name = $"hot-stream-{copies}",
                Description = "All copies append to one stream at the version they saw last; a conflict tells the version, and the copy tries again. An iteration ends with its append written.",
                Loads = [new KeepConstant(copies, target.Options.Length)],
                WarmUp = target.Options.WarmUp,
                StatusOf = Target.StatusOf,
                Thresholds = [Threshold.SomethingDone, Threshold.FailedShare(0), Threshold.None("missing")],
                Init = () => Task.FromResult(client = target.Connect()),
                Run = async iteration =>
                {
                    for (var written = false; !written;)
                    {
                        var seen = Volatile.Read(ref last);
                        var now = await iteration.StepAsync("attempt", () => TryAsync(client!, stream, seen, data));
                        written = now.Written;
                        iteration.Recording.Count(written ? "events" : "conflicts");

                        Raise(ref last, now.Version);
                    }

                    Interlocked.Increment(ref appended);
                },
                Check = async recording => recording.Found("missing", appended - await AppendScenarios.CountAsync(client!, stream)),
                Clean = () => client?.DisposeAsync() ?? default,
            };
        }
    }

    /// <summary>Registrations that must be unique, by a condition over a tag.</summary>
    public static IEnumerable<Scenario> Conditions(Target target)
    {
        foreach (var copies in target.Options.Numbers("in-flight", 16))
        {
            var category = "member" + Target.NewRun();
            var (registered, begun) = (0L, -1L);
            VaultClient? client = null;
            yield return new Scenario
            {
                Name = $"conditions-{copies}",
                Description = "Registers addresses that must be unique: reads what has the address's tag, and appends on condition that nothing with it came since. Every address is tried by two at once.",
                Loads = [new KeepConstant(copies, target.Options.Length)],
                WarmUp = target.Options.WarmUp,
                StatusOf = Target.StatusOf,
                Thresholds = [Threshold.SomethingDone, Threshold.FailedShare(0), Threshold.None("registered twice"), Threshold.None("missing")],
                Init = () => Task.FromResult(client = target.Connect()),
                Run = async iteration =>
                {
                    var number = Interlocked.Increment(ref begun);
                    if (await RegisterAsync(iteration, client!, category, number, $"{category}:{number / 2}"))
                    {
                        Interlocked.Increment(ref registered);
                        iteration.Recording.Count("registered");
                    }
                },
                Check = async recording =>
                {
                    var tags = new HashSet<string>();
                    var twice = 0L;
                    await foreach (var e in client!.ReadAllAsync(new ReadOptions { Filter = EventFilter.OfCategory(category) }))
                    {
                        twice += tags.Add(e.Tags[0]) ? 0 : 1;
                    }

                    recording.Found("registered twice", twice);
                    recording.Found("missing", registered - tags.Count - twice);
                },
                Clean = () => client?.DisposeAsync() ?? default,
            };
        }
    }

    // Never back: an older answer may come after a newer one.
    private static void Raise(ref long place, long value)
    {
        for (var before = Volatile.Read(ref place); value > before; before = Volatile.Read(ref place))
        {
            Interlocked.CompareExchange(ref place, value, before);
        }
    }

    private static async Task<(bool Written, long Version)> TryAsync(VaultClient client, string stream, long last, Values<byte[]> data)
    {
        try
        {
            var expected = last < 0 ? ExpectedVersion.NoStream : ExpectedVersion.Exact((ulong)last);
            var result = await client.AppendAsync(stream, expected, new EventData(EventBytes.Type, data.Next()));
            return (true, (long)result.LastVersion);
        }
        catch (WrongExpectedVersionException e)
        {
            return (false, (long?)e.Actual ?? -1);
        }
    }

    private static async Task<bool> RegisterAsync(Iteration iteration, VaultClient client, string category, long number, string tag)
    {
        var query = EventQuery.Tagged(tag);
        var (head, taken) = await iteration.StepAsync("read", async () =>
        {
            var read = client.ReadAllAsync(new ReadOptions { Filter = EventFilter.Of(query), Limit = 1 });
            var seen = 0;
            await foreach (var page in read.PagesAsync())
            {
                seen += page.Count;
            }

            return (await read.GetHeadAsync(), seen > 0);
        });
        if (taken)
        {
            iteration.Recording.Count("taken already");
            return false;
        }

        return await iteration.StepAsync("append", async () =>
        {
            try
            {
                var registered = new EventData("MemberRegistered", "{}"u8.ToArray()) { Tags = [tag] };
                var options = new AppendOptions { Conditions = [AppendCondition.FailIfMatch(query, head.LastPosition)] };
                await client.AppendAsync($"{category}-{number}", ExpectedVersion.NoStream, registered, options);
                return true;
            }
            catch (ConditionFailedException)
            {
                iteration.Recording.Count("refused by the condition");
                return false;
            }
        });
    }
}
