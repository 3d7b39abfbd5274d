// The same workloads against EventVault and what a user would pick instead, in one run. perf/peers/README.md says how to read it.
//
//   run.sh [--install] [options]
//     --smoke            everything once and tiny: whether it works, not how fast
//     --peers A,B        only these (default: all that are installed)
//     --workloads 0,1-3,4-7   the disk, appends, everything on stored events (default: all)
//     --seconds N        length of a measured stretch (default 3)
//     --repetitions N    of the appends, all peers in turn; passes of the reads (default 3)
//     --payload A,B      bytes of an event's data (default 256,1024)
//     --events N         stored for reads and starts at 256 B; a third of them at 1 KiB (default 1000000)
//     --node PROGRAM     our node: a published program or an assembly (default: the one built with this program)
//     --directory D      where the servers have their data; a real disk, not memory
//     --output FILE      the report (default: printed only)
using System.Globalization;
using System.Runtime.InteropServices;
using EventVault.LoadTest.Nodes;
using EventVault.LoadTest.Reports;
using EventVault.Peers;
using EventVault.Peers.Servers;

CultureInfo.DefaultThreadCurrentCulture = CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
string[] known = ["--peers", "--workloads", "--seconds", "--repetitions", "--payload", "--events", "--node", "--directory", "--output"];
if (args.Where((a, i) => a != "--smoke" && !known.Contains(a) && (i == 0 || !known.Contains(args[i - 1]))).FirstOrDefault() is { } strange)
{
    Console.Error.WriteLine($"{strange} is not an option; the head of perf/peers/Program.cs lists them.");
    return 2;
}

var smoke = args.Contains("--smoke");
var node = Option("node", VaultNode.BuiltNode);
var length = TimeSpan.FromSeconds(double.Parse(Option("seconds", smoke ? "0.3" : "3")));
var repetitions = int.Parse(Option("repetitions", smoke ? "1" : "3"));
var payloads = Option("payload", smoke ? "256" : "256,1024").Split(',').Select(int.Parse).ToArray();
var stored = int.Parse(Option("events", smoke ? "2000" : "1000000"));
int[] inFlight = smoke ? [1, 16] : [1, 16, 64, 256];
int[] subscriberCounts = smoke ? [1, 10] : [1, 10, 100];
var workloads = Option("workloads", "0,1-3,4-7").Split(',');

// A folder of our own in it, readable for all: PostgreSQL runs as another user.
PeerServer.Root = Path.Combine(Path.GetFullPath(Option("directory", Path.GetTempPath())), $"eventvault-peers-{Environment.ProcessId}");
const string Ours = "eventvault";
IPeer[] all =
[
    new EventVaultPeer(Ours, unary: false, node), new EventVaultPeer(Ours + "-unary", unary: true, node),
    new PostgresPeer("pg", gathers: false), new PostgresPeer("pg-group", gathers: true),
    new NatsPeer("nats-sync", synchronous: true), new NatsPeer("nats", synchronous: false),
    new RedisPeer("redis-always", "always", hasAll: false), new RedisPeer("redis-always-all", "always", hasAll: true), new RedisPeer("redis-everysec", "everysec", hasAll: false),
    new EtcdPeer(),
];
var wanted = Option("peers", string.Join(',', all.Select(p => p.Name))).Split(',').Select(n => all.FirstOrDefault(p => p.Name == n) ?? throw new ArgumentException($"There is no peer {n}.")).ToList();
var skipped = wanted.Where(p => p.Missing is not null).ToDictionary(p => p.Name, p => p.Missing!);
var peers = wanted.Where(p => p.Missing is null).ToList();
foreach (var (name, why) in skipped)
{
    Console.Error.WriteLine($"skipped {name}: {why}");
}

Directory.CreateDirectory(PeerServer.Root);
if (new DriveInfo(PeerServer.Root).DriveFormat is "tmpfs" or "ramfs")
{
    Console.Error.WriteLine($"{PeerServer.Root} is memory, not a disk: name another folder with --directory.");
    return 2;
}

// A signal ends the run in order: no server outlives it.
using var stop = new CancellationTokenSource();
using var onInterrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using var onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
var rows = new List<Row>();
var (began, machine) = ($"{DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC", $"{RunReport.ThisMachine()}; {new DriveInfo(PeerServer.Root).DriveFormat}");
var failures = 0;
try
{
    if (workloads.Contains("0"))
    {
        for (var i = 0; i < repetitions; i++)
        {
            DiskLimit.Measure(Path.Combine(PeerServer.Root, "disk"), length, Emit);
        }
    }

    if (workloads.Contains("1-3"))
    {
        await AppendsAsync();
    }

    if (workloads.Contains("4-7"))
    {
        await StoredAsync();
    }
}
catch (OperationCanceledException) when (stop.IsCancellationRequested)
{
    Console.Error.WriteLine("Stopped; the report has what was measured.");
    failures++;
}

if (failures == 0)
{
    Directory.Delete(PeerServer.Root, recursive: true);
}
else
{
    Console.Error.WriteLine($"What the servers printed is in {PeerServer.Root}.");
}

var report = new PeerReport(peers, skipped, rows, Ours).ToMarkdown(began, machine, "perf/peers/run.sh " + string.Join(' ', args));
Console.WriteLine(report);
if (Option("output", "") is { Length: > 0 } output)
{
    File.WriteAllText(output, report);
}

return failures == 0 ? 0 : 1;

// All peers in turn, over and over, so that a slow minute of the machine hits all of them.
async Task AppendsAsync()
{
    for (var repetition = 0; repetition < repetitions; repetition++)
    {
        foreach (var payload in payloads)
        {
            foreach (var peer in peers)
            {
                await WithAsync(peer, async w =>
                {
                    await w.CheckAsync();
                    foreach (var appenders in inFlight)
                    {
                        if (peer.Skips(appenders == 1 ? Workload.OneAppender : Workload.ManyAppenders) is null)
                        {
                            await w.AppendAsync(appenders == 1 ? "W1 one appender" : "W2 many appenders", payload, appenders, 1);
                        }
                    }

                    if (peer.Skips(Workload.ManyEvents) is null)
                    {
                        await w.AppendAsync("W3 many events in an append", payload, 16, 100);
                    }
                });
            }
        }
    }
}

async Task StoredAsync()
{
    foreach (var payload in payloads)
    {
        var events = payload > 256 ? stored / 3 / 100 * 100 : stored;
        foreach (var peer in peers)
        {
            await WithAsync(peer, w => StoredOfAsync(peer, w, payload, events));
        }
    }
}

async Task StoredOfAsync(IPeer peer, Workloads w, int payload, int events)
{
    // Live deliveries first, to a log that is nearly empty; what is loaded then stands behind them, so it gets a server of its own.
    if (peer.Skips(Workload.Subscribe) is null)
    {
        foreach (var subscribers in subscriberCounts)
        {
            await w.LiveAsync(payload, subscribers, rate: 200);
        }
    }

    if (peer.Skips(Workload.ReadStream) is not null)
    {
        return;
    }

    await peer.StopAsync();
    await peer.StartAsync(fresh: true);
    await w.LoadAsync(payload, events);
    for (var pass = 0; pass < repetitions; pass++)
    {
        if (peer.Skips(Workload.ReadAll) is null)
        {
            await w.ReadAllAsync(payload, events);
        }

        await w.ReadStreamsAsync(payload, events, 1);
        await w.ReadStreamsAsync(payload, events, 16);
    }

    if (peer.Skips(Workload.Subscribe) is null)
    {
        foreach (var subscribers in subscriberCounts)
        {
            await w.CatchUpAsync(payload, subscribers, events);
        }
    }

    await w.StartAsync(payload, events);
}

async Task WithAsync(IPeer peer, Func<Workloads, Task> work)
{
    stop.Token.ThrowIfCancellationRequested();
    if (Enum.GetValues<Workload>().All(w => peer.Skips(w) is not null))
    {
        return;
    }

    try
    {
        await peer.StartAsync(fresh: true);
        await work(new Workloads(peer, length, Emit, stop.Token));
    }
    catch (Exception e) when (e is not OperationCanceledException)
    {
        // One peer's failure is told and counted; the others are measured all the same.
        Console.Error.WriteLine($"FAILED {peer.Name}: {e}");
        failures++;
    }
    finally
    {
        await peer.StopAsync();
    }
}

void Emit(Row row)
{
    rows.Add(row);
    Console.Error.WriteLine($"{row.Workload} | {row.Case} | {row.Peer}{(row.Valid ? "" : " (!)")}: {string.Join("  ", row.Figures.Select(f => $"{f.Key} {Figure.Of(f.Value)}"))}");
}

void Stop(PosixSignalContext context)
{
    context.Cancel = true;
    stop.Cancel();
}

string Option(string name, string otherwise)
{
    var at = Array.IndexOf(args, "--" + name);
    return at >= 0 && at + 1 < args.Length ? args[at + 1] : otherwise;
}
