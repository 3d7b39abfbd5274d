namespace EventVault.Simulation.Workload;

/// <summary>What clients do, and how often. What is not given is drawn, for each run anew.</summary>
internal sealed record ClientWorkloadOptions
{
    /// <summary>Client machines. Each writes, reads and subscribes.</summary>
    public required int Clients { get; init; }

    /// <summary>Appends per second of all clients together.</summary>
    public required double RequestsPerSecond { get; init; }

    /// <summary>Most appends before the faults are over; reads and subscriptions go on.</summary>
    public required int Requests { get; init; }

    /// <summary>Appends that a client has on their way at once, as a session has.</summary>
    public required int Pipeline { get; init; }

    /// <summary>Longest data of an event.</summary>
    public required int MostEventBytes { get; init; }

    /// <summary>Reads for each append.</summary>
    public required double ReadsPerAppend { get; init; }

    /// <summary>Streams that clients have in common; few mean many conflicts.</summary>
    public required int Streams { get; init; }

    /// <summary>Subscriptions of each client.</summary>
    public required int Subscriptions { get; init; }

    /// <summary>Chance that an append expects something of a stream.</summary>
    public required double Expects { get; init; }

    /// <summary>Chance that what is expected is made up.</summary>
    public required double ExpectsWrongly { get; init; }

    /// <summary>Chance that a stream is deleted, truncated or tombstoned instead of written.</summary>
    public required double Changes { get; init; }

    /// <summary>Chance that a retention rule is set instead; 0: there is no retention in this run.</summary>
    public required double Retains { get; init; }

    /// <summary>Chance that a scavenge is started instead, or now and then stopped; 0: there are none in this run.</summary>
    public required double Scavenges { get; init; }

    /// <summary>How often leaders look what is due.</summary>
    public required TimeSpan RetentionInterval { get; init; }

    /// <summary>Chance that an append has conditions, and that it has requirements.</summary>
    public required double Conditions { get; init; }

    /// <summary>Chance that an append goes for a stream that all clients want to create.</summary>
    public required double Races { get; init; }

    /// <summary>Chance that instead of a new append an earlier one is sent again.</summary>
    public required double LateRetries { get; init; }

    /// <summary>Chance that an append takes the operation id of an earlier one.</summary>
    public required double Reuses { get; init; }

    /// <summary>Chance that a client asks any node instead of the one it takes for the leader.</summary>
    public required double Wanders { get; init; }

    /// <summary>Chance that a client leaves an append whose outcome it does not know.</summary>
    public required double GivesUp { get; init; }

    /// <summary>How long a client waits for an answer, on average.</summary>
    public required TimeSpan Patience { get; init; }

    /// <summary>Between two operations of a kind at one client: exponential, with a bound.</summary>
    /// <param name="perSecond">Such operations of all clients together.</param>
    /// <param name="hands">How many there are that do them.</param>
    /// <param name="random">Of the client.</param>
    public static long Think(double perSecond, int hands, Random random)
    {
        const double Longest = 10 * (double)TimeSpan.TicksPerSecond;
        return (long)Math.Min(Longest, -Math.Log(1 - random.NextDouble()) * TimeSpan.TicksPerSecond * hands / perSecond) + 1;
    }

    /// <summary>What this run's clients do.</summary>
    public static ClientWorkloadOptions Draw(SimulationOptions run, Random random)
    {
        var options = DrawAny(run, random);
        return run.Profile != Profile.Segments ? options
            : options with { Changes = Math.Max(options.Changes, 0.05), Scavenges = Math.Max(options.Scavenges, 0.01), Streams = Math.Min(options.Streams, 16) };
    }

    private static ClientWorkloadOptions DrawAny(SimulationOptions run, Random random) => new()
    {
        Clients = run.Clients,
        RequestsPerSecond = run.RequestsPerSecond,
        Requests = run.Requests,
        Pipeline = 1 << random.Next(0, 5),
        MostEventBytes = run.MostEventBytes,
        ReadsPerAppend = 0.1 + (random.NextDouble() * 2),
        Streams = 1 << random.Next(0, 7),
        Subscriptions = random.Next(0, 3),
        Expects = random.NextDouble(),
        ExpectsWrongly = random.NextDouble() * 0.4,
        Races = random.Next(2) * random.NextDouble() * 0.4,
        LateRetries = random.NextDouble() * 0.3,
        Reuses = random.NextDouble() * 0.1,
        Wanders = random.NextDouble() * 0.4,
        GivesUp = random.NextDouble() * 0.3,
        Changes = random.Next(2) * random.NextDouble() * 0.15,
        Conditions = random.Next(3) == 0 ? 0 : random.NextDouble() * 0.5,
        Patience = TimeSpan.FromSeconds(0.3 + (random.NextDouble() * 4)),

        // Drawn last, so that the other draws of a seed stay what they were.
        Retains = random.Next(3) == 0 ? 0.01 + (random.NextDouble() * 0.07) : 0,
        RetentionInterval = TimeSpan.FromSeconds(0.5 + (random.NextDouble() * 8)),
        Scavenges = random.Next(2) == 0 ? 0.002 + (random.NextDouble() * 0.02) : 0,
    };
}
