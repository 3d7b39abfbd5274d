using EventVault.Simulation.Checkers;
using EventVault.Storage.Scavenging;

namespace EventVault.Simulation.Workload;

/// <summary>Makes up appends. Operation ids and event ids are never made twice, unless on purpose.</summary>
internal sealed class AppendMaker(ClientWorkloadOptions options, Random random, Func<long> now)
{
    /// <summary>Earlier appends that may be sent again; bounds the memory.</summary>
    private const int KeptAppends = 256;

    /// <summary>Tags that appends of all clients have; those of races come behind.</summary>
    private const int Tags = 12;

    private static readonly long RaceTicks = TimeSpan.FromSeconds(1).Ticks;

    private readonly List<(AppendPlan Plan, SentAppend Sent)> _earlier = [];
    private ulong _made;

    /// <summary>Appends handed out, retries included.</summary>
    public int Count { get; private set; }

    /// <summary>The next append of a client: new, sent again, or another content under an operation id.</summary>
    public (AppendPlan Plan, SentAppend Sent) Next(ClientView view)
    {
        Count++;
        if (_earlier.Count > 0 && random.NextDouble() < options.LateRetries)
        {
            return _earlier[random.Next(_earlier.Count)];
        }

        var isReuse = _earlier.Count > 0 && random.NextDouble() < options.Reuses;
        var id = isReuse ? _earlier[random.Next(_earlier.Count)].Plan.Id : new UInt128((ulong)random.NextInt64(), ++_made);
        var plan = Plan(view, id, (int)(isReuse ? ++_made : 0));
        return (plan, plan.ToSent());
    }

    private AppendPlan Plan(ClientView view, UInt128 id, int variant)
    {
        // Two changes under one id could not be told apart in the log, where their bytes are made.
        if (random.NextDouble() < options.Changes && variant == 0)
        {
            return new AppendPlan(id, variant, []) { Change = Change(view) };
        }

        if (options.Retains > 0 && variant == 0 && random.NextDouble() < options.Retains)
        {
            return new AppendPlan(id, variant, []) { Rule = Rule() };
        }

        if (options.Scavenges > 0 && variant == 0 && random.NextDouble() < options.Scavenges)
        {
            return new AppendPlan(id, variant, []) { Scavenge = random.Next(6) == 0 ? ScavengeChange.Stop : ScavengeChange.Start };
        }

        var streams = Streams(view);
        if (random.NextDouble() >= options.Conditions)
        {
            return new AppendPlan(id, variant, streams) { Tag = random.Next(3) == 0 ? random.Next(Tags) : -1 };
        }

        if (random.Next(3) == 0)
        {
            // All clients want to be the only one with this tag, until the next one is due.
            var tag = Tags + (int)(now() / RaceTicks % 1_000_000);
            return new AppendPlan(id, variant, streams) { Tag = tag, Conditions = [new SentCondition(-1, new EventLabel(-1, tag))] };
        }

        var written = streams.Select(s => s.Name).ToHashSet();
        var requires = Enumerable.Range(0, random.Next(3)).Select(_ => StreamName()).Distinct().Where(n => !written.Contains(n)).Select(n => Stream(view, n, [])).Select(s => new SentStream(s.Name, s.Expected, s.Version, []));
        return new AppendPlan(id, variant, streams)
        {
            Tag = random.Next(Tags),
            Requires = [.. requires],
            Conditions = [.. Enumerable.Range(0, random.Next(1, 3)).Select(_ => new SentCondition(
                random.Next(8) == 0 ? -1 : Math.Max(-1, view.Highest - random.Next(4)), new EventLabel(random.Next(-1, 2), random.Next(Tags))))],
        };
    }

    // Only streams of their own are tombstoned: the others are to be written to the end.
    private SentChange Change(ClientView view)
    {
        var name = random.Next(4) == 0 ? MortalName() : StreamName();
        var version = view.Version(name);
        var expected = random.NextDouble() < options.Expects && version >= 0 ? Expectation.Exact : Expectation.Any;
        var kind = name[0] == 'm' && random.Next(3) == 0 ? ChangeKind.Tombstone : random.Next(2) == 0 ? ChangeKind.Delete : ChangeKind.Truncate;
        return new SentChange(kind, new SentStream(name, expected, version, []), kind == ChangeKind.Truncate ? Math.Max(0, version - random.Next(-1, 6)) : 0);
    }

    private SentRule Rule()
    {
        var isCategory = random.Next(2) == 0;
        var name = random.Next(4) == 0 ? MortalName() : StreamName();
        name = isCategory ? name.Split('-')[0] : name;
        return random.Next(8) switch
        {
            < 2 => new SentRule(isCategory, name, null, null, IsForever: false, IsHold: false),
            2 => new SentRule(isCategory, name, null, null, IsForever: true, IsHold: false),
            3 => new SentRule(isCategory, name, null, random.Next(2) == 0 ? 3 : null, IsForever: false, IsHold: true),
            < 6 => new SentRule(isCategory, name, null, random.Next(1, 30), IsForever: false, IsHold: false),
            6 => new SentRule(isCategory, name, random.Next(1, 60), null, IsForever: false, IsHold: false),
            _ => new SentRule(isCategory, name, random.Next(1, 60), random.Next(1, 30), IsForever: false, IsHold: false),
        };
    }

    private string MortalName() => $"m-{now() / RaceTicks / 8}-{random.Next(3)}";

    /// <summary>It was sent: it may be sent again.</summary>
    public void Keep((AppendPlan Plan, SentAppend Sent) append)
    {
        if (_earlier.Contains(append))
        {
            return;
        }

        if (_earlier.Count < KeptAppends)
        {
            _earlier.Add(append);
        }
        else
        {
            _earlier[random.Next(KeptAppends)] = append;
        }
    }

    /// <summary>A stream that exists or may exist.</summary>
    public string StreamName() => $"s-{random.Next(options.Streams)}";

    private PlannedStream[] Streams(ClientView view)
    {
        if (random.NextDouble() < options.Races)
        {
            // All clients go for the same name, until the next one is due.
            return [new PlannedStream($"race-{now() / RaceTicks}", Expectation.NoStream, 0, Events(1))];
        }

        var names = new List<string>();
        for (var count = random.Next(4) == 0 ? random.Next(2, 5) : 1; names.Count < count; count--)
        {
            var name = random.Next(12) == 0 ? $"new-{_made}-{count}" : random.Next(12) == 0 ? MortalName() : StreamName();
            if (!names.Contains(name))
            {
                names.Add(name);
            }
        }

        var most = random.Next(10) == 0 ? 12 : 4;
        return [.. names.Select(name => Stream(view, name, Events(random.Next(1, most))))];
    }

    private PlannedStream Stream(ClientView view, string name, int[] events)
    {
        var version = view.Version(name);
        if (random.NextDouble() >= options.Expects)
        {
            return new PlannedStream(name, Expectation.Any, 0, events);
        }

        if (random.NextDouble() < options.ExpectsWrongly)
        {
            version += random.Next(-2, 3);
        }

        return version < 0 ? new PlannedStream(name, random.Next(8) == 0 ? Expectation.Exists : Expectation.NoStream, 0, events)
            : random.Next(4) == 0 ? new PlannedStream(name, Expectation.Exists, 0, events)
            : new PlannedStream(name, Expectation.Exact, version, events);
    }

    private int[] Events(int count)
    {
        var events = new int[count];
        for (var i = 0; i < count; i++)
        {
            events[i] = random.Next(8) == 0 ? random.Next(options.MostEventBytes + 1) : random.Next(Math.Min(options.MostEventBytes, 200) + 1);
        }

        return events;
    }
}
