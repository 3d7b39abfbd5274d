using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Storage.Tests.Simulated;

namespace EventVault.Node.Tests.Cluster;

public sealed class FailOverTests
{
    [Fact]
    public async Task What_was_acknowledged_before_the_leader_stopped_is_there_behind_it_and_all_logs_become_equal()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        var acknowledged = await AppendAsync(cluster, 30);
        var old = await cluster.LeaderAsync();
        await old.StopAsync();
        acknowledged.AddRange(await AppendAsync(cluster, 30));
        Assert.NotEqual(old, await cluster.LeaderAsync());
        await old.StartAsync();
        acknowledged.AddRange(await AppendAsync(cluster, 5));
        await cluster.UntilVotersAsync(3);
        await cluster.UntilEqualAsync();
        var events = await old.ReadAllAsync();
        Assert.Equal(acknowledged, events.Select(e => e.Event.Id.ToBase64()));
    }

    [Fact]
    public async Task A_leader_that_is_cut_off_confirms_nothing_and_its_appends_resolve_by_what_stands_in_the_log()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        await AppendAsync(cluster, 3);
        await cluster.UntilEqualAsync();
        var old = await cluster.LeaderAsync();
        cluster.Cuts.Isolate(old.Node!.NodeId(), [.. cluster.Nodes.Where(n => n != old).Select(n => n.Node!.NodeId())]);

        // It has these in its log, and nobody else will: they are refused when another group stands there, never answered as written.
        var lost = Enumerable.Range(0, 5).Select(i => old.CallAsync(Methods.Append, Make.Append(Make.Stream($"lost-{i}", Make.NoStream)))).ToList();
        await cluster.UntilAsync(() => cluster.Nodes.Any(n => n != old && n.Node!.Loop.Leads), "another leader");
        var other = cluster.Nodes.First(n => n != old && n.Node!.Loop.Leads);
        await cluster.UntilAsync(() => old.Node!.Standing.Role != Raft.Role.Leader, "the old leader to notice");
        var failure = await Assert.ThrowsAsync<RpcException>(() => old.ReadAllAsync());
        Assert.Equal(Reason.NoQuorum, Fails.Detail(RpcCode.Unavailable, failure).Failures[0].Reason);
        Assert.Equal(3, (await old.ReadAllAsync(new Consistency { Local = new Empty() })).Count);
        Assert.Empty((await Fails.WithAsync(RpcCode.Unavailable, Reason.NotLeader, () => old.CallAsync(Methods.Append, Make.Append(Make.Stream("s", Make.Any))))).Address);
        await other.CallAsync(Methods.Append, Make.Append(Make.Stream("kept", Make.NoStream)));

        // Cut off, it can't know; and those who wait are told so, long before their time is up.
        foreach (var append in lost)
        {
            var refused = await Assert.ThrowsAsync<RpcException>(() => append);
            Assert.Contains(Fails.Detail(RpcCode.Unavailable, refused).Failures[0].Reason, new[] { Reason.NotLeader, Reason.OutcomeUnknown });
        }

        cluster.Cuts.Heal();
        await cluster.UntilVotersAsync(3);

        await cluster.UntilEqualAsync();
        Assert.Equal(4, (await old.ReadAllAsync()).Count);
    }

    [Fact]
    public async Task Leadership_goes_where_it_is_asked_to_go()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        await AppendAsync(cluster, 3);
        foreach (var number in new uint[] { 3, 2, 1 })
        {
            var answer = await cluster.OnLeaderAsync(ClusterMethods.TransferLeadership, new TransferLeadershipRequest { ToNodeId = number });
            Assert.Equal(number, answer.LeaderNodeId);
            await cluster.UntilVotersAsync(3);
            Assert.Equal(number, (await cluster.LeaderAsync()).Node!.NodeId());
            await AppendAsync(cluster, 3);
        }

        var leader = await cluster.LeaderAsync();
        await leader.CallAsync(ClusterMethods.TransferLeadership, new TransferLeadershipRequest());
        await cluster.UntilAsync(() => leader.Node!.Standing.Role != Raft.Role.Leader, "it to lead no more");
        await Fails.WithAsync(RpcCode.NotFound, Reason.NodeNotFound, () => cluster.OnLeaderAsync(ClusterMethods.TransferLeadership, new TransferLeadershipRequest { ToNodeId = 9 }));
    }

    [Fact]
    public async Task Nodes_that_are_restarted_in_turn_under_appends_lose_nothing()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        using var ends = new CancellationTokenSource();
        var appending = AppendUntilAsync(cluster, ends.Token);
        foreach (var node in cluster.Nodes)
        {
            await node.RestartAsync();
            await cluster.UntilVotersAsync(3);
            await AppendAsync(cluster, 2, "between");
        }

        await ends.CancelAsync();
        var acknowledged = await appending;
        await cluster.UntilVotersAsync(3);
        await cluster.UntilEqualAsync();
        var events = await cluster.Nodes[0].ReadAllAsync();
        Assert.Equal(acknowledged, events.Where(e => e.Stream == "s").Select(e => e.Event.Id.ToBase64()));
    }

    [Fact]
    public async Task A_leader_whose_flush_hangs_answers_who_waits_and_refuses_who_comes()
    {
        var disks = new List<SimulatedFileSystem>();
        await using var cluster = await TestCluster.FormAsync(3, options =>
        {
            disks.Add(new SimulatedFileSystem(tracksLosses: false));
            return options with { Files = disks[^1] };
        });
        await AppendAsync(cluster, 3);
        var old = await cluster.LeaderAsync();
        using var gate = new DiskGate(disks[cluster.Nodes.ToList().IndexOf(old)]);
        await gate.CloseAsync(old.Node!); // With a mark at the gate the append would wait in the queue, and be told that it was never written.
        var writing = Make.Append(Make.Stream("written", Make.NoStream, Make.Event()));
        var proposed = old.CallAsync(Methods.Append, writing);
        await gate.UntilSomeoneWaitsAsync();
        var queued = Enumerable.Range(0, 5).Select(i => old.CallAsync(Methods.Append, Make.Append(Make.Stream($"queued-{i}", Make.NoStream, Make.Event())))).ToList();
        var read = old.ReadAllAsync();
        await cluster.UntilAsync(() => cluster.Nodes.Any(n => n != old && n.Node!.Loop.Leads), "another leader");

        // All of this while the flush still hangs.
        await Fails.WithAsync(RpcCode.Unavailable, Reason.OutcomeUnknown, () => proposed);
        foreach (var append in queued)
        {
            Assert.Empty((await Fails.WithAsync(RpcCode.Unavailable, Reason.NotLeader, () => append)).Address);
        }

        await Fails.WithAsync(RpcCode.Unavailable, Reason.NoQuorum, () => read);
        Assert.Empty((await Fails.WithAsync(RpcCode.Unavailable, Reason.NotLeader, () => old.CallAsync(Methods.Append, Make.Append(Make.Stream("new", Make.Any))))).Address);
        await Fails.WithAsync(RpcCode.Unavailable, Reason.NoQuorum, () => old.ReadAllAsync());
        await Fails.WithAsync(RpcCode.Unavailable, Reason.NotLeader, () => old.CallAsync(ClusterMethods.RemoveNode, new RemoveNodeRequest { NodeId = 9 }));
        var seen = await old.CallAsync(ClusterMethods.GetCluster, new GetClusterRequest());
        Assert.Equal((0u, false), (seen.LeaderNodeId, seen.Nodes.Single(n => n.NodeId == old.Node!.NodeId()).IsLeader));
        Assert.Equal(3, (await old.ReadAllAsync(new Consistency { Local = new Empty() })).Count);

        gate.Open();
        await cluster.UntilVotersAsync(3);
        await cluster.OnLeaderAsync(Methods.Append, writing);
        await cluster.UntilEqualAsync();
        var streams = (await old.ReadAllAsync()).Select(e => e.Stream).ToList();
        Assert.Equal(["s", "s", "s", "written"], streams);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(-3)]
    public async Task A_leader_whose_clock_is_off_hands_over_and_leads_no_more_until_it_is_right(int minutes)
    {
        var clocks = new List<OffsetClock>();
        await using var cluster = await TestCluster.FormAsync(3, options =>
        {
            clocks.Add(new OffsetClock());
            return options with { Clock = clocks[^1] };
        });
        var leader = await cluster.LeaderAsync();
        var clock = clocks[cluster.Nodes.ToList().IndexOf(leader)];
        clock.Offset = TimeSpan.FromMinutes(minutes);
        await cluster.UntilAsync(() => leader.Node!.Standing is { Role: not Raft.Role.Leader, Leader: not null }, "another leader");
        await cluster.UntilAsync(() => leader.Node!.HoldsBack, "it to know that its clock is off");
        Assert.All(cluster.Nodes.Where(n => n != leader), n => Assert.False(n.Node!.HoldsBack));
        await AppendAsync(cluster, 3);
        GetClusterResponse seen;
        do
        {
            seen = await (await cluster.LeaderAsync()).CallAsync(ClusterMethods.GetCluster, new GetClusterRequest());
        }
        while (!seen.Nodes.Single(n => n.NodeId == leader.Node!.NodeId()).Problem.Contains("clock", StringComparison.Ordinal));

        await Fails.WithAsync(
            RpcCode.FailedPrecondition, Reason.NodeUnusable,
            () => cluster.OnLeaderAsync(ClusterMethods.TransferLeadership, new TransferLeadershipRequest { ToNodeId = leader.Node!.NodeId() }));
        clock.Offset = TimeSpan.Zero;
        await cluster.UntilAsync(() => !leader.Node!.HoldsBack, "its clock to be believed");
        await cluster.OnLeaderAsync(ClusterMethods.TransferLeadership, new TransferLeadershipRequest { ToNodeId = leader.Node!.NodeId() });
        await cluster.UntilEqualAsync();
    }

    [Fact]
    public async Task All_nodes_at_once_come_back_with_all_that_was_acknowledged()
    {
        await using var cluster = await TestCluster.FormAsync(3);
        var acknowledged = await AppendAsync(cluster, 20);
        await Task.WhenAll(cluster.Nodes.Select(n => n.StopAsync()));
        await Task.WhenAll(cluster.Nodes.Select(n => n.StartAsync()));
        await cluster.UntilVotersAsync(3);
        await cluster.UntilEqualAsync();
        Assert.Equal(acknowledged, (await cluster.Nodes[2].ReadAllAsync()).Select(e => e.Event.Id.ToBase64()));
    }

    /// <summary>Appends one event after the other, each again until it is acknowledged; their ids.</summary>
    internal static async Task<List<string>> AppendAsync(TestCluster cluster, int count, string stream = "s")
    {
        var ids = new List<string>();
        for (var i = 0; i < count; i++)
        {
            var e = Make.Event();
            await cluster.AppendAsync(stream, e);
            ids.Add(e.Id.ToBase64());
        }

        return ids;
    }

    internal static async Task<List<string>> AppendUntilAsync(TestCluster cluster, CancellationToken ends)
    {
        var ids = new List<string>();
        while (!ends.IsCancellationRequested)
        {
            ids.AddRange(await AppendAsync(cluster, 1));
        }

        return ids;
    }
}

/// <summary>The machine's clock, set wrong.</summary>
internal sealed class OffsetClock : TimeProvider
{
    private long _offset;

    public TimeSpan Offset
    {
        get => new(Volatile.Read(ref _offset));
        set => Volatile.Write(ref _offset, value.Ticks);
    }

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Offset;
}

internal static class NodeNumbers
{
    public static uint NodeId(this Node node) => node.Peers.Self.Node;
}
