using EventVault.LoadTest.Running;

namespace EventVault.LoadTest.Scenarios;

/// <summary>A name that can be asked for, and the scenarios that it stands for with the options given.</summary>
internal sealed record CatalogEntry(string Name, string About, Func<Target, IEnumerable<Scenario>> Scenarios, bool NeedsNodes = false);

/// <summary>All there are, in the order in which "all" runs them.</summary>
internal static class Catalog
{
    public static readonly IReadOnlyList<CatalogEntry> Entries =
    [
        new("append", "closed: appends on a session and unary, 1, 10 and 100 events, 1 to 256 in flight, 256 B and 1 KiB", AppendScenarios.Closed),
        new("append-open", "open: appends by the clock, a ramp and a steady rate", AppendScenarios.Open),
        new("hot-stream", "closed: everybody appends to one stream, with conflicts", ContentionScenarios.HotStream),
        new("conditions", "closed: appends on conditions over tags, two rivals for each", ContentionScenarios.Conditions),
        new("read-stream", "closed: streams of 100 events among many", ReadScenarios.ReadStream),
        new("read-all", "closed: the vault in order", ReadScenarios.ReadAll),
        new("fan-out", "open: live events to 1, 10, 100 and 1,000 subscribers", DeliveryScenarios.FanOut),
        new("state-as-of", "closed: states as of versions, positions and times", ReadScenarios.StateAsOf),
        new("order-day", "open: a day of orders, mixed", OrderDay.Scenarios),
        new("soak", "open: an even rate and a checking subscriber; give it --seconds 3600", DeliveryScenarios.Soak),
        new("cluster-fail-over", "closed: appends while a node is ended; needs --nodes, and --kill-command to end one", FailOver.Scenarios, NeedsNodes: true),
    ];

    /// <exception cref="ArgumentException">There is no such name, or it lacks what it needs.</exception>
    public static IReadOnlyList<CatalogEntry> Find(IReadOnlyList<string> names, bool hasNodes)
    {
        if (names.Count == 0)
        {
            throw new ArgumentException("Name a scenario, or all.");
        }

        var found = names.Contains("all")
            ? [.. Entries.Where(e => hasNodes || !e.NeedsNodes)]
            : names.Select(name => Entries.FirstOrDefault(e => e.Name == name) ?? throw new ArgumentException($"There is no scenario {name}. There are: {string.Join(", ", Entries.Select(e => e.Name))}.")).ToList();
        return found.FirstOrDefault(e => e.NeedsNodes && !hasNodes) is { } lacking ? throw new ArgumentException($"{lacking.Name} needs --nodes.") : found;
    }
}
