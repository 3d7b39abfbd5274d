using System.Globalization;

namespace EventVault.LoadTest;

/// <summary>What the program was asked for.</summary>
internal sealed record Options
{
    public static readonly string Usage = """
        dotnet run -c Release --project perf/EventVault.LoadTest -- list
        dotnet run -c Release --project perf/EventVault.LoadTest -- run NAME… [options]      (all: every scenario that needs no --nodes)
          --address A           a vault to load; without it a node is started, and stopped at the end
          --nodes A,B,…         nodes of a cluster, HOST:PORT; they are not started here
          --kill-command C      run by the shell after a third of the cluster scenario, to end a node
          --node PROGRAM        the node to start: a published program or an assembly (default: the one built with this program)
          --directory D         where its folder is made; a real disk, not memory (default: beside this program)
          --report D            folder for report.md, report.html and report.json
          --seconds N           length of each measured part (default 10)
          --warm-up N           seconds before it (default: a fifth of it, 5 at the most)
          --smoke               everything once and tiny; says nothing about speed, so a run that is not valid does no harm
        of some scenarios, each with commas for several runs:
          --via session,unary   append: how (default both); or lean: unary calls of a client that costs next to nothing
          --connections N       append, unary and lean: how many (default: 1, and 4 from 64 in flight on)
          --sessions N          append by sessions: how many the client has (default 1)
          --events 1,10,100     append: events in an append
          --in-flight 1,16,64,256
          --payload 256,1024    bytes of an event's data
          --readers 1,16        read-stream
          --subscribers 1,10,100,1000
          --rate N              starts a second of the open scenarios (default: the scenario's own)
        exit codes: 0 all held · 1 a threshold was broken, or a scenario could not be run · 2 wrong usage · 3 a run is not valid, the generator fell behind
        """;

    private static readonly string[] Switches = ["smoke"];
    private static readonly string[] Named =
        ["address", "nodes", "kill-command", "node", "directory", "report", "seconds", "warm-up", "via", "connections", "sessions", "events", "in-flight", "payload", "readers", "subscribers", "rate"];

    private readonly Dictionary<string, string> _values = new(StringComparer.Ordinal);

    private Options()
    {
    }

    /// <summary>"list" or "run".</summary>
    public required string Command { get; init; }

    /// <summary>Names of scenarios.</summary>
    public required IReadOnlyList<string> Names { get; init; }

    public bool Smoke => _values.ContainsKey("smoke");

    public string? Address => Text("address") ?? (Text("nodes") is { } nodes ? "eventvault://" + nodes : null);

    public bool HasNodes => _values.ContainsKey("nodes");

    public string? KillCommand => Text("kill-command");

    public string? Report => Text("report");

    public string? Node => Text("node");

    public string Directory => Text("directory") ?? AppContext.BaseDirectory;

    public TimeSpan Length => TimeSpan.FromSeconds(Number("seconds") ?? (Smoke ? 1 : 10));

    public TimeSpan WarmUp => TimeSpan.FromSeconds(Number("warm-up") ?? (Smoke ? 0.2 : Math.Min(5, Length.TotalSeconds / 5)));

    public double? Rate => Number("rate");

    /// <exception cref="ArgumentException">They are wrong; the message says how.</exception>
    public static Options Parse(IReadOnlyList<string> arguments)
    {
        if (arguments.Count == 0 || arguments[0] is not ("list" or "run"))
        {
            throw new ArgumentException("The first argument must be list or run.");
        }

        var names = new List<string>();
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        for (var i = 1; i < arguments.Count; i++)
        {
            if (!arguments[i].StartsWith("--", StringComparison.Ordinal))
            {
                names.Add(arguments[i]);
                continue;
            }

            var name = arguments[i][2..];
            if (Switches.Contains(name))
            {
                values[name] = "";
            }
            else if (!Named.Contains(name))
            {
                throw new ArgumentException($"There is no option --{name}.");
            }
            else if (++i == arguments.Count)
            {
                throw new ArgumentException($"--{name} needs a value.");
            }
            else
            {
                values[name] = arguments[i];
            }
        }

        var options = new Options { Command = arguments[0], Names = names };
        foreach (var (name, value) in values)
        {
            options._values[name] = value;
        }

        options.Check();
        return options;
    }

    public IReadOnlyList<string> Texts(string name, params string[] otherwise) => Text(name)?.Split(',') ?? otherwise;

    /// <summary>Whole numbers above 0.</summary>
    public IReadOnlyList<int> Numbers(string name, params int[] otherwise) => Text(name) is not { } text ? otherwise : [.. text.Split(',').Select(part =>
        int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0
            ? number
            : throw new ArgumentException($"--{name}: {part} is not a whole number above 0."))];

    private void Check()
    {
        _ = Length > TimeSpan.Zero ? Length : throw new ArgumentException("--seconds must be above 0.");
        _ = Rate is null or > 0 ? Rate : throw new ArgumentException("--rate must be above 0.");
        _ = WarmUp;
        if (Text("address") is not null && HasNodes)
        {
            throw new ArgumentException("Give --address or --nodes, not both.");
        }

        foreach (var name in new[] { "connections", "sessions", "events", "in-flight", "payload", "readers", "subscribers" })
        {
            _ = Numbers(name);
        }

        if (Texts("via").FirstOrDefault(via => via is not ("session" or "unary" or "lean")) is { } wrong)
        {
            throw new ArgumentException($"--via: {wrong} is none of session, unary and lean.");
        }
    }

    private string? Text(string name) => _values.GetValueOrDefault(name);

    private double? Number(string name) => Text(name) is not { } text ? null
        : double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && number is >= 0 and < 1e7 ? number
        : throw new ArgumentException($"--{name}: {text} is not a number.");
}
