// The benchmarks: one program, its own closed loops, because what counts is ratios taken in one run on a disk that
// changes its mind, which a micro-benchmark harness does not measure.
//
//   dotnet run -c Release --project perf/EventVault.Benchmarks -- [append] [consensus] [fairness] [reads] [recovery] [heads]
//       [keys] [queries] [lives] [state] [peers] [grpc] [cluster] [backup] [options]
//   … -- fill|start --vault D [options]   a vault to keep, and starts of a node on it; not among "all of them"
//   … -- overload [options]             a node under more than it can do; not among them either
//   … -- growth --reuse D [options]     whether cost stays the same while a vault grows; a run that was cut short goes on
//     no names         all of them
//     --directory D    where vaults are made; a real disk, not memory (default: a folder beside the program)
//     --seconds S      length of a measured stretch (default 3)
//     --repetitions N  of the append and cluster tables (default 3)
//     --appenders A,B  of the append, consensus and cluster tables (default 1,16,64,256)
//     --pairs N        of the consensus table (default 9), and of the backup table (default 5)
//     --rates A,B, --backup-to D of the backup table: bounds (default 16MiB,0), and where backups go (default: beside the vault)
//     --segments A,B   sealed segments of the recovery table (default 1,10)
//     --segment-mib M  their size (default 64)
//     --heads A,B      streams of the heads table (default 1000000)
//     --query-events N of the queries tables (default 400000)
//     --query-mib M    size of their segments (default 8)
//     --state-events N events of the stream of the state table (default 1000000), of a vault of five times as many
//     --keys N         segments of 250,000 events of the keys table (default 8)
//     --alone          append: the vault without what it is compared with, to be run in turns with another build
//     --streams N      of fill (default 10000000); with --segments, --segment-mib, --payload B (defaults 100, 16, 16)
//     --rounds N       of start (default 5)
//     --subscriptions N, --writers N of overload (defaults 10000, 256)
//     --reuse D        of growth: where its vaults and figures are; what is measured is not measured again (default: none is kept)
//     --growth-segments A,B, --growth-streams A,B, --growth-mib M of growth (defaults 1,10,100 and 10000,1000000,10000000, segments of 16 MiB)
//     --keep           growth: vaults that were measured are kept: all of them take some 17 GiB, the largest one 5
//     --fill-only      growth: only fills the vaults that are not there yet; that takes most of the time, and no quiet machine
//     --out FILE       also write the tables there; of growth the plots beside it, as FILE.svg without its extension
//     --smoke          everything once and tiny: shows that it still runs, measures nothing
using System.Globalization;
using EventVault.Benchmarks;
using EventVault.Node;

string Option(string name, string otherwise)
{
    var at = Array.IndexOf(args, "--" + name);
    return at >= 0 && at + 1 < args.Length ? args[at + 1] : otherwise;
}

int[] Numbers(string text) => [.. text.Split(',').Select(n => int.Parse(n, CultureInfo.InvariantCulture))];

var smoke = args.Contains("--smoke");
string[] known = ["append", "consensus", "fairness", "reads", "recovery", "heads", "keys", "queries", "lives", "state", "peers", "grpc", "cluster", "backup"];
var chosen = known.Where(args.Contains).ToArray();
string[] onlyNamed = ["fill", "start", "overload", "growth"]; // Not among all: they take long, or keep what they make.
chosen = chosen.Length == 0 && !onlyNamed.Any(args.Contains) ? known : chosen;
var length = TimeSpan.FromSeconds(smoke ? 0.1 : double.Parse(Option("seconds", "3"), CultureInfo.InvariantCulture));
var directory = Directory.CreateDirectory(Path.Combine(Option("directory", AppContext.BaseDirectory), $"benchmarks-{Environment.ProcessId}")).FullName;
var report = new Report();
report.Line($"{Environment.ProcessorCount} cores, .NET {Environment.Version}, {System.Runtime.InteropServices.RuntimeInformation.OSDescription}; load before the run: {File.ReadAllText("/proc/loadavg").Trim()}");
try
{
    if (args.Contains("fill"))
    {
        StartBenchmarks.Fill(
            report, Option("vault", ""), long.Parse(Option("streams", "10000000"), CultureInfo.InvariantCulture), Numbers(Option("segments", "100"))[0],
            (uint)(double.Parse(Option("segment-mib", "16"), CultureInfo.InvariantCulture) * 256) * 4096, int.Parse(Option("payload", "16"), CultureInfo.InvariantCulture));
    }

    if (args.Contains("start"))
    {
        await StartBenchmarks.RunAsync(report, Option("vault", ""), int.Parse(Option("rounds", "5"), CultureInfo.InvariantCulture));
    }

    if (args.Contains("overload"))
    {
        await new OverloadBenchmarks(report, directory).RunAsync(
            Numbers(Option("subscriptions", "10000"))[0], Numbers(Option("writers", "256"))[0], TimeSpan.FromSeconds(double.Parse(Option("seconds", "15"), CultureInfo.InvariantCulture)));
    }

    if (args.Contains("--alone"))
    {
        await AppendBenchmarks.RunAloneAsync(report, directory, length, Numbers(Option("appenders", "1,16,64,256")));
    }
    else if (chosen.Contains("append"))
    {
        await AppendBenchmarks.RunAsync(report, directory, length, smoke ? 1 : int.Parse(Option("repetitions", "3"), CultureInfo.InvariantCulture), Numbers(Option("appenders", "1,16,64,256")));
    }

    if (chosen.Contains("consensus"))
    {
        await ConsensusBenchmarks.RunAsync(report, directory, length, smoke ? 1 : int.Parse(Option("pairs", "9"), CultureInfo.InvariantCulture), Numbers(Option("appenders", "1,16,64,256")));
    }

    if (chosen.Contains("fairness"))
    {
        await new FairnessBenchmarks(report, directory).RunAsync(length);
    }

    if (chosen.Contains("reads"))
    {
        StorageBenchmarks.Reads(report, directory, smoke ? 20_000 : 1_000_000, smoke ? 200 : 10_000, length);
    }

    if (args.Contains("growth") || smoke)
    {
        var tables = args.Contains("growth") ? Option("out", "") : "";
        await new GrowthBenchmarks(report, Option("reuse", Path.Combine(directory, "growth")), smoke).RunAsync(
            smoke ? [1, 2] : Numbers(Option("growth-segments", "1,10,100")),
            smoke ? [500] : [.. Numbers(Option("growth-streams", "10000,1000000,10000000")).Select(n => (long)n)],
            smoke ? 2 << 20 : uint.Parse(Option("growth-mib", "16"), CultureInfo.InvariantCulture) << 20,
            args.Contains("--keep"), args.Contains("--fill-only"), tables.Length > 0 ? Path.ChangeExtension(tables, "svg") : "");
    }

    if (chosen.Contains("recovery"))
    {
        StorageBenchmarks.Recovery(report, directory, smoke ? 1 << 20 : uint.Parse(Option("segment-mib", "64"), CultureInfo.InvariantCulture) << 20, smoke ? [1] : Numbers(Option("segments", "1,10")));
    }

    if (chosen.Contains("heads"))
    {
        StorageBenchmarks.Heads(report, directory, smoke ? [100_000] : Numbers(Option("heads", "1000000")));
    }

    if (chosen.Contains("queries"))
    {
        QueryBenchmarks.Run(
            report, directory, smoke ? 20_000 : int.Parse(Option("query-events", "400000"), CultureInfo.InvariantCulture),
            smoke ? 1 << 20 : uint.Parse(Option("query-mib", "8"), CultureInfo.InvariantCulture) << 20, length);
    }

    if (chosen.Contains("lives"))
    {
        LivesBenchmarks.Run(report, directory, smoke ? 20_000 : 1_000_000, smoke ? 100 : 20_000);
    }

    if (chosen.Contains("state"))
    {
        StateBenchmarks.Run(
            report, directory, smoke ? 5_000 : long.Parse(Option("state-events", "1000000"), CultureInfo.InvariantCulture), smoke ? 50 : 1000, smoke ? 1u << 20 : 64u << 20);
    }

    if (chosen.Contains("keys"))
    {
        KeysBenchmarks.Run(report, directory, smoke ? 2_000 : 250_000, smoke ? 2 : int.Parse(Option("keys", "8"), CultureInfo.InvariantCulture));
    }

    if (chosen.Contains("peers"))
    {
        await PeerBenchmarks.RunAsync(report, length);
    }

    if (chosen.Contains("grpc"))
    {
        // The node runs in this process: the same two cores, one start.
        await using var node = await EventVault.Node.Node.StartAsync(new NodeOptions { Directory = Path.Combine(directory, "grpc") });
        var grpc = new GrpcBenchmarks(report, $"http://{node.RpcEndPoint}", length);
        await grpc.AppendsAsync();
        await grpc.ReadAllAsync();
        await grpc.FanOutAsync();
    }

    if (chosen.Contains("cluster"))
    {
        // Nodes as processes of their own: their processor time is told apart.
        await using var cluster = new ClusterBenchmarks(report, directory, length);
        await cluster.RunAsync(smoke ? 1 : int.Parse(Option("repetitions", "3"), CultureInfo.InvariantCulture), Numbers(Option("appenders", smoke ? "1,16" : "1,16,64,256")));
    }

    if (chosen.Contains("backup"))
    {
        await new BackupBenchmarks(report, directory, Option("backup-to", directory)).RunAsync(
            length, smoke ? 1 : int.Parse(Option("pairs", "5"), CultureInfo.InvariantCulture), smoke ? ["0"] : Option("rates", "16MiB,0").Split(','));
    }
}
finally
{
    Directory.Delete(directory, recursive: true);
}

if (Option("out", "") is { Length: > 0 } file)
{
    await File.WriteAllTextAsync(file, report.ToString());
}
