namespace EventVault.Simulation.Workload;

/// <summary>What clients do, and how often. What is not given is drawn, for each run anew.</summary>
internal sealed record ClientWorkloadOptions
{
    /// <summary>Client machines. Each writes, reads and subscribes.</summary>
    public required int Clients { get; init; }

    /// <summary>Appends per second of all clients together.</summary>
    public required double RequestsPerSecond { get; init; }

    /// <summary>Longest data of an event.</summary>
    public required int MostEventBytes { get; init; }

    /// <summary>Reads for each append.</summary>
    public double ReadsPerAppend { get; init; } = 1;

    /// <summary>Streams that clients have in common; few mean many conflicts.</summary>
    public int Streams { get; init; } = 8;

    /// <summary>Subscriptions of each client.</summary>
    public int Subscriptions { get; init; } = 1;

    /// <summary>Chance that an append expects something of a stream.</summary>
    public double Expects { get; init; } = 0.6;

    /// <summary>Chance that what is expected is made up.</summary>
    public double ExpectsWrongly { get; init; } = 0.15;

    /// <summary>Chance that an append goes for a stream that all clients want to create.</summary>
    public double Races { get; init; } = 0.1;

    /// <summary>Chance that instead of a new append an earlier one is sent again.</summary>
    public double LateRetries { get; init; } = 0.1;

    /// <summary>Chance that an append takes the operation id of an earlier one.</summary>
    public double Reuses { get; init; } = 0.03;

    /// <summary>Chance that a client asks any node instead of the one it takes for the leader.</summary>
    public double Wanders { get; init; } = 0.1;

    /// <summary>Chance that a client leaves an append whose outcome it does not know.</summary>
    public double GivesUp { get; init; } = 0.1;

    /// <summary>How long a client waits for an answer, on average.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>With all that is not given drawn.</summary>
    public ClientWorkloadOptions Draw(Random random) => this with
    {
        ReadsPerAppend = random.NextDouble() * 2,
        Streams = 1 << random.Next(0, 7),
        Subscriptions = random.Next(0, 3),
        Expects = random.NextDouble(),
        ExpectsWrongly = random.NextDouble() * 0.4,
        Races = random.Next(2) * random.NextDouble() * 0.4,
        LateRetries = random.NextDouble() * 0.3,
        Reuses = random.NextDouble() * 0.1,
        Wanders = random.NextDouble() * 0.4,
        GivesUp = random.NextDouble() * 0.3,
        Patience = TimeSpan.FromSeconds(0.3 + (random.NextDouble() * 4)),
    };
}
