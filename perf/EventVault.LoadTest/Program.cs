// Load against real nodes, over gRPC, by scenarios. What each option does: Options.Usage.
using System.Globalization;
using System.Runtime.InteropServices;
using EventVault.LoadTest;
using EventVault.LoadTest.Figures;
using EventVault.LoadTest.Nodes;
using EventVault.LoadTest.Reports;
using EventVault.LoadTest.Running;
using EventVault.LoadTest.Scenarios;

const int Held = 0;
const int Broken = 1;
const int WrongUsage = 2;
const int NotValid = 3;

// Before anything rents an array. HttpClient rents 16 KiB for each answer on its way; the pool keeps 32 of a size for a core, and what it doesn't keep
// is garbage: 20 KB a call with 256 in flight. Who makes unary calls by the hundred sets this in the environment.
Environment.SetEnvironmentVariable("DOTNET_SYSTEM_BUFFERS_SHAREDARRAYPOOL_MAXARRAYSPERPARTITION", "1024");

CultureInfo.DefaultThreadCurrentCulture = CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
Options options;
IReadOnlyList<CatalogEntry> entries;
try
{
    options = Options.Parse(args);
    entries = options.Command == "list" ? Catalog.Entries : Catalog.Find(options.Names, options.HasNodes);
}
catch (ArgumentException e)
{
    Console.Error.WriteLine(e.Message + "\n\n" + Options.Usage);
    return WrongUsage;
}

if (options.Command == "list")
{
    foreach (var entry in entries)
    {
        Console.WriteLine($"{entry.Name,-18} {entry.About}");
    }

    return Held;
}

// A signal ends the run in order: the node that was started does not outlive it.
using var stop = new CancellationTokenSource();
using var onInterrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using var onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
var machine = RunReport.ThisMachine();
var began = DateTime.UtcNow;
var results = new List<ScenarioResult>();
var broken = new List<string>();
var folder = options.Address is null ? Directory.CreateDirectory(Path.Combine(options.Directory, $"load-test-{Environment.ProcessId}")).FullName : null;
VaultNode? node = null;
try
{
    node = folder is null ? null : await VaultNode.StartAsync(folder, options.Node ?? VaultNode.BuiltNode, ServerProcess.FreePort());
    var clock = new MachineClock();
    var target = new Target(options.Address ?? node!.Address, clock, options);
    var runner = new ScenarioRunner(clock)
    {
        ServerCpuSeconds = () => node is null ? null : ProcessFigures.CpuSeconds(node.ProcessId),
        ServerMemoryMiB = () => node is null ? null : ProcessFigures.MemoryMiB(node.ProcessId),
    };
    foreach (var scenario in entries.SelectMany(e => e.Scenarios(target)))
    {
        try
        {
            var result = await runner.RunAsync(scenario, stop.Token);
            results.Add(result);
            Console.Write(TextReports.Console(result));
        }
        catch (Exception e) when (e is not OperationCanceledException || !stop.IsCancellationRequested)
        {
            // The boundary of the scenario: it could not be prepared or checked; the others are run all the same.
            Console.Error.WriteLine($"\n{scenario.Name} could not be run: {e.Message}");
            broken.Add(scenario.Name);
        }
    }
}
catch (OperationCanceledException) when (stop.IsCancellationRequested)
{
    Console.Error.WriteLine("Stopped.");
}
finally
{
    await (node?.DisposeAsync() ?? default);
    if (folder is not null)
    {
        Directory.Delete(folder, recursive: true);
    }
}

var report = new RunReport(began, RunReport.ThisCommit(), machine, string.Join(' ', args), options.Address ?? "a node of its own on this machine", results);
if (options.Report is { } reports)
{
    Directory.CreateDirectory(reports);
    File.WriteAllText(Path.Combine(reports, "report.md"), TextReports.Markdown(report));
    File.WriteAllText(Path.Combine(reports, "report.html"), HtmlReport.Of(report));
    File.WriteAllText(Path.Combine(reports, "report.json"), TextReports.Json(report));
    Console.WriteLine($"\nReports: {Path.Combine(reports, "report.{md,html,json}")}");
}

broken.AddRange(results.Where(r => !r.Passed).Select(r => r.Name));
var invalid = results.Where(r => !r.Generator.Valid).Select(r => r.Name).ToList();
Console.WriteLine($"\n{results.Count} runs; {(broken.Count == 0 ? "all thresholds held" : "broken: " + string.Join(", ", broken))}; {(invalid.Count == 0 ? "all valid" : "not valid: " + string.Join(", ", invalid))}.");
return broken.Count > 0 || stop.IsCancellationRequested ? Broken : invalid.Count > 0 && !options.Smoke ? NotValid : Held;

void Stop(PosixSignalContext context)
{
    context.Cancel = true;
    stop.Cancel();
}
