using EventVault.FaultLab.Calls;
using EventVault.FaultLab.History;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.FaultLab.Machine;

/// <summary>The nodes of a scenario, formed into a vault and looked at from outside.</summary>
internal sealed class LabCluster : IAsyncDisposable
{
    // Elections, catching up and restarts of a few seconds, on a machine that may be busy.
    private static readonly TimeSpan HealLimit = TimeSpan.FromSeconds(120);

    // Behind the leader, under load: less than a second's worth.
    private const ulong NearlyGroups = 100;

    private readonly Dictionary<int, NodeConnection> _connections = [];
    private readonly string _program;
    private readonly string _folder;
    private readonly string[] _settings;
    private readonly List<LabNode> _nodes = [];

    /// <summary>Makes nodes that are not started yet.</summary>
    /// <param name="program">The node's assembly.</param>
    /// <param name="folder">The run's folder.</param>
    /// <param name="size">How many there are at first.</param>
    /// <param name="hasPeers">False: one node, without a port for others.</param>
    /// <param name="settings">Further flags of every node.</param>
    /// <param name="network">The cables between them.</param>
    public LabCluster(string program, string folder, int size, bool hasPeers, IEnumerable<string> settings, LabNetwork network)
    {
        _program = program;
        _folder = folder;
        Network = network;
        HasPeers = hasPeers;
        Certificate = new LabCertificate(folder, nodes: 9);
        _settings =
        [
            "--insecure", "--tls-cert", Certificate.CertificateFile, "--tls-key", Certificate.KeyFile, "--segment-size", $"{4 << 20}", "--scavenge-interval", "0",
            "--drain-timeout", "2000", .. settings,
        ];
        for (var i = 0; i < size; i++)
        {
            NewNode();
        }
    }

    public LabNetwork Network { get; }

    public LabCertificate Certificate { get; }

    /// <summary>Whether nodes can be made members of one vault; otherwise there is one, which always leads.</summary>
    public bool HasPeers { get; }

    /// <summary>Shortest time without a leader before a node campaigns.</summary>
    public static TimeSpan ElectionTimeout => TimeSpan.FromMilliseconds(500);

    /// <summary>All nodes, also those that are down.</summary>
    public IReadOnlyList<LabNode> Nodes => _nodes;

    public LabNode this[int number] => _nodes[number - 1];

    /// <summary>A connection of the lab itself, not of a client.</summary>
    public NodeConnection To(LabNode node)
    {
        if (!_connections.TryGetValue(node.Number, out var connection))
        {
            _connections.Add(node.Number, connection = new NodeConnection(node, Certificate.Trust));
        }

        return connection;
    }

    /// <summary>Adds a node that is not started yet.</summary>
    /// <param name="isGone">Whether it never belongs to the vault.</param>
    /// <param name="isForeign">Whether it is to have a vault of its own.</param>
    public LabNode NewNode(bool isGone = false, bool isForeign = false)
    {
        var number = _nodes.Count + 1;
        string[] peers = !HasPeers
            ? []
            :
            [
                "--join", "--peer-port", $"{LabNode.PeerPort}", "--peer-advertise", $"{LabNetwork.Address(number)}:{LabNode.PeerPort}",
                "--advertise", $"{LabNetwork.Address(number)}:{LabNode.Port}", "--election-timeout", $"{ElectionTimeout.TotalMilliseconds}",
            ];
        var node = new LabNode(_program, number, _folder, [.. _settings, .. peers]) { IsGone = isGone, IsForeign = isForeign };
        _nodes.Add(node);
        return node;
    }

    /// <summary>Starts all nodes and makes them one vault of voters.</summary>
    public async Task FormAsync()
    {
        await Task.WhenAll(_nodes.Select(n => n.StartAsync()));
        if (HasPeers)
        {
            await AskedAsync("the first node to make a vault", To(_nodes[0]), to => to.InitClusterAsync(new InitClusterRequest()));
            foreach (var node in _nodes.Skip(1))
            {
                await AddAsync(node);
            }
        }

        await HealedAsync();
    }

    /// <summary>Asks the leader to take a node in, until it has.</summary>
    public Task AddAsync(LabNode node) => ChangeAsync(
        $"add node {node.Number}",
        to => to.AddNodeAsync(new AddNodeRequest { PeerAddress = $"{node.Address}:{LabNode.PeerPort}", NodeId = (uint)node.Number }));

    /// <summary>Takes a node out.</summary>
    public Task RemoveAsync(LabNode node) => ChangeAsync($"remove node {node.Number}", to => to.RemoveNodeAsync(new RemoveNodeRequest { NodeId = (uint)node.Number }));

    /// <summary>Puts a node's new disk in the place of its old one.</summary>
    public Task ReplaceAsync(LabNode node) => ChangeAsync(
        $"replace node {node.Number}",
        to => to.ReplaceNodeAsync(new ReplaceNodeRequest { NodeId = (uint)node.Number, PeerAddress = $"{node.Address}:{LabNode.PeerPort}" }));

    /// <summary>The node that leads, as most nodes see it; waits for one.</summary>
    public async Task<LabNode> LeaderAsync()
    {
        if (!HasPeers)
        {
            return _nodes[0];
        }

        return await UntilAsync("a leader", async () =>
        {
            foreach (var node in _nodes.Where(n => n.IsRunning))
            {
                // A leader that is cut off may not know it yet: it must answer as leader itself, and reach a majority.
                if (await LookAsync(node) is { } view && view.LeaderNodeId == (uint)node.Number
                    && view.Nodes.Count(n => n.IsReachable && n.Role == NodeRole.Voter) * 2 > view.Nodes.Count(n => n.Role == NodeRole.Voter))
                {
                    return node;
                }
            }

            return null;
        });
    }

    /// <summary>How one node sees the cluster; null: it did not answer.</summary>
    public async Task<GetClusterResponse?> LookAsync(LabNode node)
    {
        try
        {
            return await To(node).GetClusterAsync();
        }
        catch (RpcException)
        {
            return null;
        }
    }

    /// <summary>
    /// Waits until every node that is not gone is a voter, reachable, and has committed all that the leader has; returns the commit index.
    /// </summary>
    public async Task<ulong> HealedAsync()
    {
        if (!HasPeers)
        {
            return await UntilAsync("the node to serve", async () => await StatusAsync(_nodes[0]) is { State: "serving" } status ? (object)status.CommitIndex : null) is ulong index ? index : 0;
        }

        var members = _nodes.Count(n => !n.IsGone);
        var at = await UntilAsync("all nodes to be the same", async () =>
        {
            var view = await LookAsync(await LeaderAsync());
            var isWhole = view is not null && !view.IsChanging && view.Nodes.Count == members
                && view.Nodes.All(n => n.IsReachable && n.Role == NodeRole.Voter && n.CommitIndex == view.Nodes[0].CommitIndex && n.LastIndex == n.CommitIndex);
            return isWhole ? (object)view!.Nodes[0].CommitIndex : null;
        });
        return (ulong)at;
    }

    /// <summary>Waits until every node that is not gone is a voter and has nearly all, while clients go on writing.</summary>
    /// <param name="limit">How long; null: as for everything else.</param>
    public Task CaughtUpAsync(TimeSpan? limit = null) => UntilAsync("all nodes to catch up", limit ?? HealLimit, async () =>
    {
        if (!HasPeers)
        {
            return await StatusAsync(_nodes[0]);
        }

        var view = await LookAsync(await LeaderAsync());
        var members = _nodes.Count(n => !n.IsGone);
        return view is not null && !view.IsChanging && view.Nodes.Count == members
            && view.Nodes.All(n => n.IsReachable && n.Role == NodeRole.Voter && n.HasLagGroups && n.LagGroups < NearlyGroups)
            ? (object)view
            : null;
    });

    /// <summary>Hands leadership to another node.</summary>
    public Task TransferAsync() => ChangeAsync("a transfer of leadership", to => to.TransferAsync(new TransferLeadershipRequest()));

    /// <summary>Stops all that run, in order, all at once.</summary>
    public async Task StopAsync()
    {
        var codes = await Task.WhenAll(_nodes.Where(n => n.IsRunning).Select(async n => (n.Number, Code: await n.StopAsync())));
        foreach (var (number, code) in codes)
        {
            if (code != 0)
            {
                throw new InvalidOperationException($"Node {number} ended with exit code {code} when it was asked to stop.");
            }
        }
    }

    /// <summary>Waits for something that comes by itself.</summary>
    /// <exception cref="TimeoutException">It did not come.</exception>
    public static Task<T> UntilAsync<T>(string what, Func<Task<T?>> look)
        where T : class => UntilAsync(what, HealLimit, look);

    private static async Task<T> UntilAsync<T>(string what, TimeSpan limit, Func<Task<T?>> look)
        where T : class
    {
        var began = Clock.Now;
        while (true)
        {
            if (await look() is { } found)
            {
                return found;
            }

            if (Clock.Now - began > Clock.Ticks(limit))
            {
                throw new TimeoutException($"Waited {limit.TotalSeconds} s for {what}.");
            }

            await Task.Delay(50);
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var connection in _connections.Values)
        {
            await connection.DisposeAsync();
        }

        foreach (var node in _nodes)
        {
            node.Dispose();
        }
    }

    /// <summary>Asks a node until it answers.</summary>
    public static Task<T> AskedAsync<T>(string what, NodeConnection node, Func<NodeConnection, ValueTask<T>> call)
        where T : class => UntilAsync(what, async () =>
    {
        try
        {
            return await call(node);
        }
        catch (RpcException)
        {
            return null;
        }
    });

    /// <summary>How a node stands.</summary>
    public Task<GetStatusResponse> StatusAsync(LabNode node) => AskedAsync($"the status of node {node.Number}", To(node), to => to.GetStatusAsync());

    /// <summary>How many events a stream has, or, with null, the vault; for that nobody may write any more.</summary>
    public async Task<long> CountAsync(LabNode leader, string? stream)
    {
        if (stream is null)
        {
            var status = await StatusAsync(leader);
            return status.HasHead ? (long)status.Head + 1 : 0;
        }

        var info = await AskedAsync($"the head of {stream}", To(leader), to => to.GetStreamAsync(new GetStreamRequest { Stream = stream }));
        return (long)info.LastVersion + 1;
    }

    // The leader may change, or another change be under way: repeated, a change that was made changes nothing.
    private async Task ChangeAsync(string what, Func<NodeConnection, ValueTask<GetClusterResponse>> change)
    {
        var last = "";
        try
        {
            await UntilAsync(what, async () =>
            {
                try
                {
                    return await change(To(await LeaderAsync()));
                }
                catch (RpcException e)
                {
                    last = new CallFailure(e).Text + ": " + e.Status.Message;
                    return null;
                }
            });
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"{e.Message} Last answer: {last}", e);
        }
    }
}
