using System.Globalization;

namespace EventVault.Simulation;

/// <summary>What was asked for on the command line.</summary>
internal sealed record CommandLine
{
    public const string Usage = """
        EventVault.Simulation: whole clusters on simulated disks, network and clocks; one seed is one run.

          --seeds A..B       runs these seeds; the default is 1..100
          --seed N           runs one seed and prints what was drawn, and its trace hash
          --minutes M        runs random seeds for so long
          --shrink N         finds out how little of a failing seed still fails
          --canary NAME      breaks a rule of the product on purpose and tries seeds until one is caught; "list" names all.
                             With --seed only that one, and all about it
          --profile NAME     swarm, short-crashes, long-crashes, membership, elections, segments, single, beyond or calm instead of the one that the seed draws
          --without A,B      switches classes of faults off
          --only A,B         switches all other classes of faults off
          --seconds S        length of the safety phase
          --clients N        how many clients
          --requests N       how many appends
          --tries K          most seeds that a canary may take; the default is 200
          --verbose          prints the trace while a seed runs

        Ends with 0 if all is as it should be, 1 if a run failed or a canary was not caught, 2 if the arguments are wrong.
        """;

    public (ulong First, ulong Last)? Seeds { get; init; }

    public ulong? Seed { get; init; }

    public double? Minutes { get; init; }

    public ulong? Shrink { get; init; }

    public string? Canary { get; init; }

    public Profile? Profile { get; init; }

    public FaultClass Without { get; init; }

    public FaultClass? Only { get; init; }

    public double? Seconds { get; init; }

    public int? Clients { get; init; }

    public int? Requests { get; init; }

    public int Tries { get; init; } = 200;

    public bool IsVerbose { get; init; }

    /// <summary>Reads the arguments.</summary>
    /// <exception cref="FormatException">One of them is wrong.</exception>
    public static CommandLine Parse(IReadOnlyList<string> arguments)
    {
        var line = new CommandLine();
        for (var i = 0; i < arguments.Count; i++)
        {
            var name = arguments[i];
            if (name == "--verbose")
            {
                line = line with { IsVerbose = true };
                continue;
            }

            if (i + 1 == arguments.Count)
            {
                throw new FormatException($"{name} is unknown or lacks its value.");
            }

            line = line.With(name, arguments[++i]);
        }

        return line;
    }

    /// <summary>The options of a seed, with what the command line changes.</summary>
    public SimulationOptions OptionsOf(ulong seed)
    {
        var drawn = SimulationOptions.Draw(seed, Profile);
        return drawn with
        {
            ForcedProfile = Profile,
            Faults = drawn.Faults & (Only ?? ~FaultClass.None) & ~Without,
            SafetyTime = Seconds is { } seconds ? TimeSpan.FromSeconds(seconds) : drawn.SafetyTime,
            Clients = Clients ?? drawn.Clients,
            Requests = Requests ?? drawn.Requests,
        };
    }

    private static (ulong First, ulong Last) Range(string value)
    {
        var parts = value.Split("..");
        return parts.Length == 2 ? (Number(parts[0]), Number(parts[1])) : throw new FormatException($"'{value}' is no range such as 1..100.");
    }

    private static ulong Number(string value) => ulong.Parse(value, NumberStyles.None, CultureInfo.InvariantCulture);

    private static FaultClass Faults(string value)
    {
        var faults = FaultClass.None;
        foreach (var name in value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            faults |= Enum.TryParse<FaultClass>(name, ignoreCase: true, out var fault) ? fault : throw new FormatException($"'{name}' is no class of faults.");
        }

        return faults;
    }

    private CommandLine With(string name, string value) => name switch
    {
        "--seeds" => this with { Seeds = Range(value) },
        "--seed" => this with { Seed = Number(value) },
        "--minutes" => this with { Minutes = double.Parse(value, CultureInfo.InvariantCulture) },
        "--shrink" => this with { Shrink = Number(value) },
        "--canary" => this with { Canary = value },
        "--profile" => this with
        {
            Profile = Enum.TryParse<Profile>(value.Replace("-", "", StringComparison.Ordinal), ignoreCase: true, out var profile) ? profile : throw new FormatException($"'{value}' is no profile."),
        },
        "--without" => this with { Without = Faults(value) },
        "--only" => this with { Only = Faults(value) },
        "--seconds" => this with { Seconds = double.Parse(value, CultureInfo.InvariantCulture) },
        "--clients" => this with { Clients = (int)Number(value) },
        "--requests" => this with { Requests = (int)Number(value) },
        "--tries" => this with { Tries = (int)Number(value) },
        _ => throw new FormatException($"{name} is unknown."),
    };
}
