using EventVault.FaultLab.History;
using EventVault.FaultLab.Machine;
using EventVault.FaultLab.Workload;

namespace EventVault.FaultLab.Scenarios;

/// <summary>A scenario under way: its nodes, its clients, and what it measured.</summary>
internal sealed class ScenarioRun(LabCluster cluster, WorkState state, Random random, string folder)
{
    // An election takes a second or two. The rest is for machines that have much else to do; what was measured is reported.
    private static readonly TimeSpan RecoveryLimit = TimeSpan.FromSeconds(60);

    private readonly List<long> _failOvers = [];
    private readonly List<string> _notes = [];

    public LabCluster Cluster { get; } = cluster;

    public WorkState State { get; } = state;

    public Random Random { get; } = random;

    /// <summary>The run's folder.</summary>
    public string Folder { get; } = folder;

    /// <summary>How long the first write took after each fault that took the leader, in milliseconds.</summary>
    public IReadOnlyList<long> FailOvers => _failOvers;

    /// <summary>What else was measured.</summary>
    public IReadOnlyList<string> Notes => _notes;

    /// <summary>Small disks that nodes stand on, by node, from 1.</summary>
    public List<SmallDisk> Disks { get; } = [];

    /// <summary>Clocks of nodes, by node, from 1.</summary>
    public List<ClockShim> Clocks { get; } = [];

    public void Note(string text) => _notes.Add(text);

    /// <summary>Lets the clients work undisturbed.</summary>
    public Task CalmAsync(int milliseconds = 3000) => Task.Delay(Random.Next(milliseconds / 2, milliseconds));

    /// <summary>Writes into the history what is being done.</summary>
    public Task MarkAsync(string text) => State.AddAsync(new Mark { Client = "lab", Text = text, Invoked = Clock.Now, Completed = Clock.Now });

    /// <summary>Does something to the leader and waits for the first write that was sent after it.</summary>
    public async Task FailOverAsync(string what, Func<Task> fault)
    {
        await MarkAsync(what);
        await fault();
        await RecoveredAsync($"a write after: {what}");
    }

    /// <summary>Waits for a write that is sent from now on, and keeps how long it took.</summary>
    public async Task RecoveredAsync(string what)
    {
        try
        {
            _failOvers.Add(Clock.Milliseconds(await State.FirstWriteAfterAsync(Clock.Now).WaitAsync(RecoveryLimit)));
        }
        catch (TimeoutException)
        {
            throw new TimeoutException($"Waited {RecoveryLimit.TotalSeconds} s for {what}.");
        }
    }

    /// <summary>A node that does not lead.</summary>
    public async Task<LabNode> FollowerAsync()
    {
        var leader = await Cluster.LeaderAsync();
        var others = Cluster.Nodes.Where(n => n != leader && n.IsRunning).ToList();
        return others[Random.Next(others.Count)];
    }

    /// <summary>Fails the scenario unless something holds.</summary>
    public static void Require(bool holds, string what)
    {
        if (!holds)
        {
            throw new InvalidOperationException($"It should hold that {what}.");
        }
    }
}
