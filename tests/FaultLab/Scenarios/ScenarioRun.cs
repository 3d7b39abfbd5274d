using EventVault.FaultLab.History;
using EventVault.FaultLab.Machine;
using EventVault.FaultLab.Workload;

namespace EventVault.FaultLab.Scenarios;

/// <summary>How long it took, in milliseconds, counted from when the fault was done.</summary>
/// <param name="Leader">Until a node said that it leads; null: none had to.</param>
/// <param name="Write">Until the first write that was sent after the fault was answered.</param>
internal readonly record struct FailOver(long? Leader, long Write);

/// <summary>A scenario under way: its nodes, its clients, and what it measured.</summary>
internal sealed class ScenarioRun(LabCluster cluster, WorkState state, Random random, string folder, bool isShort)
{
    // An election takes a second or two. The rest is for machines that have much else to do; what was measured is reported.
    private static readonly TimeSpan RecoveryLimit = TimeSpan.FromSeconds(60);

    private const int SdkClients = 4;

    // Some for a run that makes few calls.
    private const double UnknownShare = 0.001;
    private const int UnknownAtLeast = 3;

    private readonly List<FailOver> _failOvers = [];
    private readonly List<string> _notes = [];

    public LabCluster Cluster { get; } = cluster;

    public WorkState State { get; } = state;

    public Random Random { get; } = random;

    /// <summary>The run's folder.</summary>
    public string Folder { get; } = folder;

    /// <summary>How long the new leader and the first write took, each time that the scenario waited for a write.</summary>
    public IReadOnlyList<FailOver> FailOvers => _failOvers;

    /// <summary>What else was measured.</summary>
    public IReadOnlyList<string> Notes => _notes;

    /// <summary>Small disks that nodes stand on, by node, from 1.</summary>
    public List<SmallDisk> Disks { get; } = [];

    /// <summary>Clocks of nodes, by node, from 1.</summary>
    public List<ClockShim> Clocks { get; } = [];

    /// <summary>How often a fault is made: half as often, rounded up, in the short set.</summary>
    public int Rounds(int whole) => isShort ? (whole + 1) / 2 : whole;

    public void Note(string text) => _notes.Add(text);

    /// <summary>Lets the clients work undisturbed.</summary>
    public Task CalmAsync(int milliseconds = 3000) => Task.Delay(Random.Next(milliseconds / 2, milliseconds));

    /// <summary>Writes into the history what is being done.</summary>
    public Task MarkAsync(string text) => State.AddAsync(new Mark { Client = "lab", Text = text, Invoked = Clock.Now, Completed = Clock.Now });

    /// <summary>Does something to the leader, waits for the first write that was sent after it, and keeps how long that and the new leader took.</summary>
    public async Task FailOverAsync(string what, Func<Task> fault)
    {
        await MarkAsync(what);
        var began = Clock.Now;
        await fault();
        await RecoveredAsync($"a write after: {what}", began);
    }

    /// <summary>Waits for a write that is sent from now on, and keeps how long it took.</summary>
    public Task RecoveredAsync(string what) => RecoveredAsync(what, Clock.Now);

    // A fault takes effect before it is wholly done: somebody may lead by then.
    private async Task RecoveredAsync(string what, long began)
    {
        var done = Clock.Now;
        try
        {
            var write = await State.FirstWriteAfterAsync(done).WaitAsync(RecoveryLimit);
            var leader = Cluster.Nodes.Min(n => n.LeadsSince(began));
            _failOvers.Add(new FailOver(leader is { } at ? Math.Max(0, Clock.Milliseconds(at - done)) : null, Clock.Milliseconds(write)));
        }
        catch (TimeoutException)
        {
            throw new TimeoutException($"Waited {RecoveryLimit.TotalSeconds} s for {what}.");
        }
    }

    /// <summary>Lets clients of the SDK work beside the others meanwhile. None of their calls may fail, and few may have an unknown outcome.</summary>
    public async Task WithSdkAsync(Func<Task> body)
    {
        var clients = Enumerable.Range(0, SdkClients).Select(i => new SdkWriter(i, State)).ToList();
        using var stop = new CancellationTokenSource();
        var work = clients.Select(c => Task.Run(() => c.RunAsync(stop.Token))).ToList();
        try
        {
            await body();
        }
        finally
        {
            await stop.CancelAsync();
            await Task.WhenAll(work).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            foreach (var client in clients)
            {
                await client.DisposeAsync();
            }
        }

        await Task.WhenAll(work);
        var (calls, failed, unknown) = (clients.Sum(c => c.Calls), clients.Sum(c => c.Failed), clients.Sum(c => c.Unknown));
        Note($"  by the SDK: {calls} calls, {failed} failed, {unknown} unknown; the longest took {clients.Max(c => c.LongestMilliseconds)} ms");
        Require(calls > 0 && failed == 0, $"no call of the SDK fails; {failed} of {calls} did, such as: {clients.Select(c => c.FirstFailure).FirstOrDefault(f => f is not null)}");
        RequireFew(unknown, calls);
    }

    /// <summary>Fails the scenario if more than one in a thousand outcomes are unknown: what may be left open while leadership is handed over on purpose.</summary>
    public static void RequireFew(long unknown, long calls)
    {
        var allowed = Math.Max(UnknownAtLeast, UnknownShare * calls);
        Require(unknown <= allowed, $"at most {allowed:0} of {calls} outcomes are unknown, not {unknown}");
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
