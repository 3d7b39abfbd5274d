using System.Globalization;
using System.Text;
using EventVault.Simulation.Scheduling;

namespace EventVault.Simulation;

/// <summary>What a run is about; decides which faults are likely.</summary>
internal enum Profile
{
    /// <summary>Anything: each fault class is on or off by chance.</summary>
    Swarm,

    /// <summary>Many crashes, each over soon.</summary>
    ShortCrashes,

    /// <summary>Few crashes and partitions that last.</summary>
    LongCrashes,

    /// <summary>Members come and go, disks are lost.</summary>
    Membership,

    /// <summary>Leaders come and go while clients write: logs branch and are cut, in the middle of everything.</summary>
    Elections,

    /// <summary>Nodes fall far behind and get segments, while streams are deleted and scavenged.</summary>
    Segments,

    /// <summary>One node: everything hits the disk.</summary>
    Single,

    /// <summary>More damage than a quorum can stand: refusing is right, a wrong answer never.</summary>
    Beyond,

    /// <summary>No faults; for measuring. Never drawn.</summary>
    Calm,
}

/// <summary>
/// What is drawn from the seed at the start of a run. Everything is drawn each time, whether it is used or not, so that
/// switching something off leaves the rest as it was.
/// </summary>
internal sealed record SimulationOptions
{
    /// <summary>How long a node's tick is.</summary>
    public static readonly long TickTicks = TimeSpan.FromMilliseconds(50).Ticks;

    public required ulong Seed { get; init; }

    public required Profile Profile { get; init; }

    public required int Nodes { get; init; }

    public required FaultClass Faults { get; init; }

    public required int Clients { get; init; }

    public required int Requests { get; init; }

    /// <summary>Mean of all clients together.</summary>
    public required double RequestsPerSecond { get; init; }

    /// <summary>The safety phase ends after so much time, done or not.</summary>
    public required TimeSpan SafetyTime { get; init; }

    /// <summary>How often something happens, as a factor; 1 is about one fault of a class in 10 s.</summary>
    public required double FaultRate { get; init; }

    /// <summary>How long partitions, outages and pauses take, mean.</summary>
    public required TimeSpan OutageMean { get; init; }

    public required TimeSpan NetworkDelay { get; init; }

    public required double LossProbability { get; init; }

    public required double DuplicateProbability { get; init; }

    public required double GarbleProbability { get; init; }

    public required TimeSpan FlushMean { get; init; }

    public required double SlowFlushProbability { get; init; }

    public required int ElectionTicks { get; init; }

    public required int HeartbeatTicks { get; init; }

    /// <summary>Small limits in the core and the sequencer, so that they are reached.</summary>
    public required bool SmallLimits { get; init; }

    /// <summary>Largest event that clients write, in bytes.</summary>
    public required int MostEventBytes { get; init; }

    /// <summary>Loads steps of the sequencer are put off by up to this, so that several inputs meet.</summary>
    public required TimeSpan StepDelay { get; init; }

    /// <summary>So many bytes of sealed segments behind, a follower gets segments rather than groups.</summary>
    public required long FarBytes { get; init; }

    /// <summary>The profile that was asked for instead of the drawn one.</summary>
    public Profile? ForcedProfile { get; init; }

    /// <summary>Whether more may break than a quorum can stand.</summary>
    public bool IsBeyondBudget => Profile == Profile.Beyond;

    public bool Has(FaultClass fault) => (Faults & fault) != 0;

    /// <summary>The options of a seed.</summary>
    /// <param name="seed">The seed.</param>
    /// <param name="forced">Not the profile that the seed would draw.</param>
    public static SimulationOptions Draw(ulong seed, Profile? forced = null)
    {
        var random = SeededRandom.For(seed, "options", 0);
        var drawn = DrawProfile(random);
        var profile = forced ?? drawn;
        var nodes = random.Next(10) switch { 0 => 1, 1 => 2, < 6 => 3, 6 => 4, _ => 5 };
        var faults = DrawFaults(random);
        var options = new SimulationOptions
        {
            Seed = seed,
            Profile = profile,
            Nodes = nodes,
            Faults = faults,
            Clients = random.Next(1, 7),
            Requests = (int)random.Logarithmic(200, 4000),
            RequestsPerSecond = random.Logarithmic(2, 60),
            SafetyTime = TimeSpan.FromSeconds(random.Next(30, 180)),
            FaultRate = random.Logarithmic(0.3, 6),
            OutageMean = TimeSpan.FromSeconds(random.Logarithmic(0.2, 8)),
            NetworkDelay = TimeSpan.FromMilliseconds(random.Logarithmic(0.1, 40)),
            LossProbability = random.Logarithmic(0.001, 0.3),
            DuplicateProbability = random.Logarithmic(0.001, 0.3),
            GarbleProbability = random.Logarithmic(0.0005, 0.02),
            FlushMean = TimeSpan.FromMilliseconds(random.Logarithmic(0.05, 30)),
            SlowFlushProbability = random.Logarithmic(0.0005, 0.02),
            ElectionTicks = random.Next(6, 31),
            HeartbeatTicks = random.Next(1, 4),
            SmallLimits = random.Next(2) == 0,
            MostEventBytes = (int)random.Logarithmic(64, 8 * 1024),
            StepDelay = random.Next(2) == 0 ? TimeSpan.Zero : TimeSpan.FromMilliseconds(random.Logarithmic(0.05, 5)),

            // Drawn last, so that the other draws of a seed stay what they were. Segments have 64 KiB.
            FarBytes = random.Next(3) == 0 ? Node.Replication.Replica.FarBytes : (long)random.Logarithmic(1024, 1024 * 1024),
        };
        return options.For(profile);
    }

    /// <summary>One command that runs exactly this again.</summary>
    public string ReplayCommand()
    {
        var drawn = Draw(Seed, ForcedProfile);
        var command = new StringBuilder($"dotnet run -c Release --project tests/EventVault.Simulation -- --seed {Seed}");
        Add(ForcedProfile is not null, $" --profile {Profile}");
        Add(drawn.Faults != Faults, $" --without {(drawn.Faults & ~Faults).ToString().Replace(" ", "", StringComparison.Ordinal)}");
        Add(drawn.SafetyTime != SafetyTime, $" --seconds {SafetyTime.TotalSeconds.ToString(CultureInfo.InvariantCulture)}");
        Add(drawn.Clients != Clients, $" --clients {Clients}");
        Add(drawn.Requests != Requests, $" --requests {Requests}");
        return command.ToString();

        void Add(bool isChanged, string option) => command.Append(isChanged ? option : "");
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"""
          seed {Seed}, profile {Profile}, nodes {Nodes}, faults: {(Faults == 0 ? "none" : Faults)}
          clients {Clients}, requests {Requests} at {RequestsPerSecond:F1}/s, events up to {MostEventBytes} bytes, safety phase up to {SafetyTime.TotalSeconds:F0} s
          fault rate {FaultRate:F2}, outages {OutageMean.TotalSeconds:F2} s; network {NetworkDelay.TotalMilliseconds:F2} ms, loss {LossProbability:P2}, doubled {DuplicateProbability:P2}, garbled {GarbleProbability:P2}
          flush {FlushMean.TotalMilliseconds:F2} ms, slow {SlowFlushProbability:P2}; election {ElectionTicks} ticks, heartbeat {HeartbeatTicks}; small limits {SmallLimits}; step delay {StepDelay.TotalMilliseconds:F2} ms; segments are shipped from {FarBytes} bytes on
        """);

    private static Profile DrawProfile(SeededRandom random) => random.Next(20) switch
    {
        < 5 => Profile.Swarm,
        < 7 => Profile.Segments,
        < 9 => Profile.ShortCrashes,
        < 11 => Profile.LongCrashes,
        < 13 => Profile.Membership,
        < 17 => Profile.Elections,
        < 19 => Profile.Single,
        _ => Profile.Beyond,
    };

    // Each class is on in about half of the runs: faults that hide each other must also come alone.
    private static FaultClass DrawFaults(SeededRandom random)
    {
        var faults = FaultClass.None;
        foreach (var fault in Enum.GetValues<FaultClass>())
        {
            if (random.Next(2) == 0)
            {
                faults |= fault;
            }
        }

        return faults;
    }

    // What a disk loses in silence no node can see: only where nothing but garbage is forbidden.
    private SimulationOptions For(Profile profile) => profile == Profile.Beyond
        ? this with { Faults = Faults | FaultClass.PowerLoss | FaultClass.Rot }
        : (this with { Faults = Faults & ~(FaultClass.Lie | FaultClass.Misdirect) }).Within(profile);

    private SimulationOptions Within(Profile profile) => profile switch
    {
        Profile.ShortCrashes => this with { Faults = Faults | FaultClass.PowerLoss | FaultClass.Kill, FaultRate = FaultRate * 4, OutageMean = TimeSpan.FromMilliseconds(300) },
        Profile.LongCrashes => this with
        {
            Faults = Faults | FaultClass.PowerLoss | FaultClass.Partition,
            FaultRate = FaultRate / 3,
            OutageMean = OutageMean + TimeSpan.FromSeconds(20),
            SafetyTime = SafetyTime + TimeSpan.FromMinutes(3),
        },
        Profile.Membership => this with { Nodes = Math.Max(Nodes, 3), Faults = Faults | FaultClass.Membership | FaultClass.Wipe | FaultClass.Transfer },
        Profile.Single => this with
        {
            Nodes = 1,
            Faults = (Faults | FaultClass.PowerLoss | FaultClass.Kill) & ~(FaultClass.Wipe | FaultClass.Foreign | FaultClass.Membership | FaultClass.Transfer),
        },
        Profile.Elections => this with
        {
            Nodes = Math.Max(Nodes, 3),
            Faults = Faults | FaultClass.PowerLoss | FaultClass.Partition | FaultClass.Pause | FaultClass.Transfer,
            FaultRate = 4 + FaultRate,
            OutageMean = TimeSpan.FromSeconds(1),
            RequestsPerSecond = 20 + (RequestsPerSecond * 2),
            ElectionTicks = 6,
        },
        Profile.Segments => this with
        {
            Nodes = Math.Max(Nodes, 3),
            Faults = Faults | FaultClass.PowerLoss | FaultClass.Kill | FaultClass.Partition | FaultClass.Garble | FaultClass.Wipe,
            OutageMean = OutageMean + TimeSpan.FromSeconds(2),
            RequestsPerSecond = 10 + RequestsPerSecond,
            MostEventBytes = 8 * 1024,
            FarBytes = Math.Min(FarBytes, 256 * 1024),
            ElectionTicks = Math.Min(ElectionTicks, 10),
            GarbleProbability = 0.02,
        },
        Profile.Calm => this with
        {
            Faults = FaultClass.None,
            Nodes = 3,
            Clients = 4,
            NetworkDelay = TimeSpan.FromMilliseconds(0.5),
            FlushMean = TimeSpan.FromMilliseconds(1),
            StepDelay = TimeSpan.Zero,
            ElectionTicks = 30,
            HeartbeatTicks = 2,
            SmallLimits = false,
            MostEventBytes = 1024,
            RequestsPerSecond = 20,
            Requests = 20 * 3600,
            SafetyTime = TimeSpan.FromHours(1),
        },
        _ => this,
    };
}
