namespace EventVault.FaultLab.Machine;

/// <summary>
/// A switch with a cable to each node, each node in a network namespace of its own (evn1, evn2, …). The switch is in the namespace of
/// this program, which run.sh made for it: clients reach every node whatever is cut between nodes, and all of it goes away with the
/// program, however it ends.
/// </summary>
internal sealed class LabNetwork
{
    private readonly List<string> _rules = [];

    /// <summary>Address of a node, from 1.</summary>
    public static string Address(int node) => $"10.77.0.{node}";

    /// <summary>Makes the switch.</summary>
    public static async Task<LabNetwork> CreateAsync()
    {
        await Command.RunAsync("ip", "link", "set", "lo", "up");
        await Command.RunAsync("ip", "link", "add", "br0", "type", "bridge");
        await Command.RunAsync("ip", "link", "set", "br0", "up");
        await Command.RunAsync("ip", "addr", "add", "10.77.0.254/24", "dev", "br0");
        return new LabNetwork();
    }

    /// <summary>Adds a node's namespace and its cable, once.</summary>
    public static async Task AddNodeAsync(int node)
    {
        if (File.Exists($"/run/netns/evn{node}"))
        {
            return;
        }

        await Command.RunAsync("ip", "netns", "add", $"evn{node}");
        await Command.RunAsync("ip", "link", "add", $"veth{node}", "netns", $"evn{node}", "type", "veth", "peer", "name", $"port{node}");
        await Command.RunAsync("ip", "link", "set", $"port{node}", "master", "br0", "up");
        await Command.RunAsync("ip", "-n", $"evn{node}", "addr", "add", $"{Address(node)}/24", "dev", $"veth{node}");
        await Command.RunAsync("ip", "-n", $"evn{node}", "link", "set", $"veth{node}", "up");
        await Command.RunAsync("ip", "-n", $"evn{node}", "link", "set", "lo", "up");
    }

    /// <summary>Drops what one node sends to another.</summary>
    public Task CutOneWayAsync(int from, int to) => AddRulesAsync($"iifname \"port{from}\" oifname \"port{to}\" counter drop");

    /// <summary>Drops all between one node and others. Clients still reach it.</summary>
    public Task CutAsync(int node, IEnumerable<int> others) =>
        AddRulesAsync([.. others.Where(o => o != node).SelectMany(o => new[]
        {
            $"iifname \"port{node}\" oifname \"port{o}\" counter drop",
            $"iifname \"port{o}\" oifname \"port{node}\" counter drop",
        })]);

    /// <summary>Drops some of all packets between nodes.</summary>
    public Task LoseAsync(int percent) => AddRulesAsync($"numgen random mod 100 < {percent} counter drop");

    /// <summary>Repairs all links.</summary>
    public Task HealAsync()
    {
        _rules.Clear();
        return ApplyAsync();
    }

    /// <summary>Lets a node receive and send no more than this, with a short queue. Clients share its link.</summary>
    public static async Task SlowAsync(int node, string rate)
    {
        await Command.RunAsync("tc", "qdisc", "add", "dev", $"port{node}", "root", "tbf", "rate", rate, "burst", "16kb", "latency", "300ms");
        await Command.RunAsync("ip", "netns", "exec", $"evn{node}", "tc", "qdisc", "add", "dev", $"veth{node}", "root", "tbf", "rate", rate, "burst", "16kb", "latency", "300ms");
    }

    /// <summary>Ends <see cref="SlowAsync"/>.</summary>
    public static async Task SpeedUpAsync(int node)
    {
        await Command.RunAsync("tc", "qdisc", "del", "dev", $"port{node}", "root");
        await Command.RunAsync("ip", "netns", "exec", $"evn{node}", "tc", "qdisc", "del", "dev", $"veth{node}", "root");
    }

    private Task AddRulesAsync(params string[] rules)
    {
        _rules.AddRange(rules);
        return ApplyAsync();
    }

    // The table as a whole, in one step: declared and deleted first, so that there is one to delete.
    private Task ApplyAsync() => Command.FeedAsync(
        $$"""
        table bridge lab
        delete table bridge lab
        table bridge lab {
          chain links { type filter hook forward priority 0; policy accept;
            {{string.Join("\n    ", _rules)}}
          }
        }

        """,
        "nft", "-f", "-");
}
