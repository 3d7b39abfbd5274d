using System.Globalization;
using System.Reflection;
using EventVault.FaultLab.Machine;
using EventVault.FaultLab.Scenarios;

// Started by run.sh, inside namespaces of its own.
const int ExitUsage = 2;
const string Usage = "run.sh --list | [--seed N] [--out DIR] [--keep] [--alone] [--node DLL] (--all | --short | NAME…)";

var names = new List<string>();
var (all, isShort, keep, alone) = (false, false, false, false);
var seed = Random.Shared.Next(1, 1_000_000);
string? output = null;
var program = Assembly.GetExecutingAssembly().GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "NodeAssembly").Value!;
for (var i = 0; i < args.Length; i++)
{
    switch (args[i])
    {
        case "--list":
            foreach (var scenario in AllScenarios.List)
            {
                Console.WriteLine($"{scenario.Name,-20} {scenario.What}{(scenario.IsShort ? " (short set)" : "")}");
            }

            return 0;
        case "--all":
            all = true;
            break;
        case "--short":
            isShort = true;
            break;
        case "--keep":
            keep = true;
            break;
        case "--alone":
            alone = true;
            break;
        case "--seed" when i + 1 < args.Length && int.TryParse(args[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out var number):
            (seed, i) = (number, i + 1);
            break;
        case "--out" when i + 1 < args.Length:
            output = Path.GetFullPath(args[++i]);
            break;
        case "--node" when i + 1 < args.Length:
            program = Path.GetFullPath(args[++i]);
            break;
        default:
            names.Add(args[i]);
            break;
    }
}

var unknown = names.Where(n => AllScenarios.List.All(s => s.Name != n)).ToList();
var chosen = AllScenarios.List.Where(s => all || (isShort && s.IsShort) || names.Contains(s.Name)).Where(s => !alone || s.WorksAlone).ToList();
if (unknown.Count > 0 || chosen.Count == 0)
{
    Console.Error.WriteLine(unknown.Count > 0 ? $"There is no scenario {string.Join(", ", unknown)}: see --list." : Usage);
    return ExitUsage;
}

if (output is not null && Directory.Exists(output) && chosen.Any(s => Directory.Exists(Path.Combine(output, s.Name))))
{
    Console.Error.WriteLine($"{output} holds an earlier run: name another folder.");
    return ExitUsage;
}

output ??= Directory.CreateTempSubdirectory("eventvault-lab-").FullName;
Console.WriteLine($"{chosen.Count} scenarios, seed {seed}, reports in {output}");
var runner = new Runner(await LabNetwork.CreateAsync(), program, output, seed, alone, isShort);
var failed = 0;
foreach (var scenario in chosen)
{
    var result = await runner.RunAsync(scenario);
    Console.WriteLine(result.Line);
    failed += result.IsClean ? 0 : 1;
    if (result.IsClean && !keep)
    {
        Directory.Delete(Path.Combine(output, scenario.Name), recursive: true);
    }
}

Console.WriteLine($"{chosen.Count - failed} ok, {failed} failed");
return failed == 0 ? 0 : 1;
