using System.Globalization;

namespace EventVault.LoadTest.Nodes;

/// <summary>Processor time and memory of a process and its children, from /proc.</summary>
internal static class ProcessFigures
{
    // What /proc counts processor time in: USER_HZ, 100 a second on every Linux that .NET runs on.
    private const double TicksPerSecond = 100;

    /// <summary>User and system time in seconds; of children that have ended, too, if the process waited for them.</summary>
    public static double CpuSeconds(int process) => Tree(process).Sum(p =>
    {
        var fields = Stat(p);
        return fields.Length == 0 ? 0 : (Number(fields[11]) + Number(fields[12]) + (p == process ? Number(fields[13]) + Number(fields[14]) : 0)) / TicksPerSecond;
    });

    /// <summary>Proportional set size in MiB, so that memory shared between processes counts once.</summary>
    public static double MemoryMiB(int process) => Tree(process).Sum(p =>
    {
        try
        {
            var line = File.ReadLines($"/proc/{p}/smaps_rollup").FirstOrDefault(l => l.StartsWith("Pss:", StringComparison.Ordinal));
            return line is null ? 0 : Number(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]) / 1024;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return 0; // It ended between two looks.
        }
    });

    private static List<int> Tree(int root)
    {
        var children = new Dictionary<int, List<int>>();
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(folder), out var process) && Stat(process) is { Length: > 1 } fields)
            {
                var parent = (int)Number(fields[1]);
                children.TryAdd(parent, []);
                children[parent].Add(process);
            }
        }

        var tree = new List<int> { root };
        for (var i = 0; i < tree.Count; i++)
        {
            tree.AddRange(children.GetValueOrDefault(tree[i]) ?? []);
        }

        return tree;
    }

    // The fields behind the name, which may hold anything and ends with the last parenthesis.
    private static string[] Stat(int process)
    {
        try
        {
            var text = File.ReadAllText($"/proc/{process}/stat");
            return text[(text.LastIndexOf(')') + 2)..].Split(' ');
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);
}
