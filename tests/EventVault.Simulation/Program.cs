using System.Diagnostics;
using System.Globalization;
using EventVault.Simulation;

CommandLine line;
try
{
    line = CommandLine.Parse(args);
}
catch (Exception e) when (e is FormatException or OverflowException)
{
    Console.Error.WriteLine(e.Message);
    Console.Error.WriteLine(CommandLine.Usage);
    return 2;
}

return line switch
{
    { Canary: { } canary } => CanaryHunt.Run(line, canary, Console.Out),
    { Shrink: { } seed } => Shrinker.Run(line.OptionsOf(seed), Console.Out),
    { Seed: { } seed } => RunOne(seed),
    { Minutes: { } minutes } => RunMany(RandomSeeds(minutes)),
    _ => RunMany(Seeds(line.Seeds ?? (1, 100))),
};

int RunOne(ulong seed)
{
    var options = line.OptionsOf(seed);
    Console.WriteLine(options);
    var result = RunResult.Of(options, line.IsVerbose ? Console.Out : null, Console.Out);
    Console.WriteLine(result.Clients);
    Console.WriteLine(result);
    Console.WriteLine($"trace hash {result.Hash:x16}");
    return result.Passed ? 0 : 1;
}

int RunMany(IEnumerable<ulong> seeds)
{
    var total = new RunTotals();
    foreach (var seed in seeds)
    {
        total.Add(RunResult.Of(line.OptionsOf(seed), null, Console.Out), Console.Out);
    }

    Console.WriteLine(total);
    return total.Failed == 0 ? 0 : 1;
}

static IEnumerable<ulong> Seeds((ulong First, ulong Last) range)
{
    for (var seed = range.First; seed <= range.Last; seed++)
    {
        yield return seed;
    }
}

static IEnumerable<ulong> RandomSeeds(double minutes)
{
    var began = Stopwatch.GetTimestamp();
    Console.WriteLine($"random seeds for {minutes.ToString(CultureInfo.InvariantCulture)} minutes, commit {SourceCommit.Name}");
    while (Stopwatch.GetElapsedTime(began).TotalMinutes < minutes)
    {
        yield return (ulong)Random.Shared.NextInt64(1, 1L << 48);
    }
}
