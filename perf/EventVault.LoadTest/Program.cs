// Load against real nodes, over gRPC, by scenarios. What each option does: Options.Usage.
using System.Globalization;
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

using var stop = new CancellationTokenSource();
Console.CancelKeyPress += (_, e) =>
{
    e.Cancel = true;
    stop.Cancel();
};
var machine = RunReport.ThisMachine();
var began = DateTime.UtcNow;
var results = new List<ScenarioResult>();
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
        var result = await runner.RunAsync(scenario, stop.Token);
        results.Add(result);
        Console.Write(TextReports.Console(result));
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

var broken = results.Where(r => !r.Passed).Select(r => r.Name).ToList();
var invalid = results.Where(r => !r.Generator.Valid).Select(r => r.Name).ToList();
Console.WriteLine($"\n{results.Count} runs; {(broken.Count == 0 ? "all thresholds held" : "thresholds broken in " + string.Join(", ", broken))}; {(invalid.Count == 0 ? "all valid" : "not valid: " + string.Join(", ", invalid))}.");
return broken.Count > 0 || stop.IsCancellationRequested ? Broken : invalid.Count > 0 && !options.Smoke ? NotValid : Held;
