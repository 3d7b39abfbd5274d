using EventVault.Simulation.Checkers;

namespace EventVault.Simulation.Workload;

/// <summary>Makes up appends. Operation ids and event ids are never made twice, unless on purpose.</summary>
internal sealed class AppendMaker(ClientWorkloadOptions options, Random random, Func<long> now)
{
    /// <summary>Earlier appends that may be sent again; bounds the memory.</summary>
    private const int KeptAppends = 256;

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
        var plan = new AppendPlan(id, (int)(isReuse ? ++_made : 0), Streams(view));
        return (plan, plan.ToSent());
    }

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
            var name = random.Next(12) == 0 ? $"new-{_made}-{count}" : StreamName();
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
