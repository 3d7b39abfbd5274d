using System.Collections.Concurrent;
using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

/// <summary>Three real nodes of one vault, whose leader is killed again and again.</summary>
public sealed class RealClusterTests : IAsyncLifetime
{
    private const int Writers = 16;
    private const int InFlight = 8;
    private const int Kills = 5;

    // Elections and starts of processes take their time on a busy machine: whoever waits here is patient.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);
    private static readonly VaultClientOptions Patient = new()
    {
        AppendTimeout = Patience,
        CallTimeout = Patience,
        Retry = new RetryPolicy { GiveUpAfter = Patience },
    };

    private readonly List<NodeProcess> _nodes = [];

    private string Address => "eventvault://" + string.Join(',', _nodes.Select(n => n.HostAndPort));

    public async Task InitializeAsync()
    {
        int[] peers = [NodeProcess.FreePort(), NodeProcess.FreePort(), NodeProcess.FreePort()];
        foreach (int port in peers)
        {
            _nodes.Add(await NodeProcess.StartAsync("--join", "--peer-port", $"{port}", "--election-timeout", "500"));
        }

        await using VaultClient first = VaultClient.Connect(_nodes[0].Address, Patient);
        await first.Cluster.InitAsync();
        foreach (int port in peers.Skip(1))
        {
            await first.Cluster.AddAsync($"127.0.0.1:{port}");
        }

        await SettleAsync(first);
    }

    public async Task DisposeAsync()
    {
        foreach (NodeProcess node in _nodes)
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task Applications_do_not_notice_that_the_leader_is_killed_five_times()
    {
        await using VaultClient client = VaultClient.Connect(_nodes[0].Address, Patient);
        var acknowledged = new ConcurrentDictionary<Guid, AppendResult>();
        using var stop = new CancellationTokenSource();
        Task<List<RecordedEvent>>[] subscriptions = [ReceiveAsync(client, stop.Token), ReceiveAsync(client, stop.Token)];
        bool isDone = false;
        Task<List<Guid>>[] writers = [.. Enumerable.Range(0, Writers).Select(n => Task.Run(async () =>
        {
            // Pipelined: each names the version that the one before will have written.
            var written = new List<Guid>();
            var inFlight = new Queue<Task>();
            for (ulong version = 0; !Volatile.Read(ref isDone); version++)
            {
                var operation = Guid.CreateVersion7();
                var expected = version == 0 ? ExpectedVersion.NoStream : ExpectedVersion.Exact(version - 1);
                written.Add(operation);
                inFlight.Enqueue(NoteAsync(
                    operation, client.AppendAsync($"w-{n}", expected, Some.Event((int)version), new AppendOptions { OperationId = operation })));
                if (inFlight.Count == InFlight)
                {
                    await inFlight.Dequeue();
                }
            }

            await Task.WhenAll(inFlight);
            return written;
        }))];

        for (int kill = 0; kill < Kills; kill++)
        {
            await ProgressAsync(acknowledged);
            NodeProcess leader = await LeaderAsync(client);
            leader.Kill();
            await ProgressAsync(acknowledged);
            await leader.StartAgainAsync();
            await SettleAsync(client);
        }

        Volatile.Write(ref isDone, true);
        List<Guid>[] written = await Task.WhenAll(writers).WaitAsync(Patience);
        List<RecordedEvent> all = await client.ReadAllAsync().ToListAsync();
        Assert.Equal(written.Sum(w => w.Count), acknowledged.Count);
        Assert.Equal(acknowledged.Count, all.Count);
        for (int n = 0; n < Writers; n++)
        {
            List<RecordedEvent> stream = all.FindAll(e => e.Stream == $"w-{n}");
            Assert.Equal(written[n].Select(o => acknowledged[o].FirstPosition), stream.Select(e => e.Position));
            Assert.Equal(Enumerable.Range(0, stream.Count).Select(i => Some.Event(i).Data.ToArray()), stream.Select(e => e.Data.ToArray()));
        }

        // The subscribers saw the same, once and in order, wherever they were at the time.
        AppendResult last = await client.AppendAsync("end", ExpectedVersion.NoStream, Some.Event());
        stop.CancelAfter(Patience);
        foreach (Task<List<RecordedEvent>> subscription in subscriptions)
        {
            List<RecordedEvent> received = await subscription;
            Assert.Equal(last.LastPosition, received[^1].Position);
            Assert.Equal(all.Select(e => (e.Position, e.Id)), received.SkipLast(1).Select(e => (e.Position, e.Id)));
        }

        async Task NoteAsync(Guid operation, Task<AppendResult> append) => acknowledged[operation] = await append;
    }

    [Fact]
    public async Task Nodes_are_restarted_one_after_the_other_and_leadership_is_handed_over_without_a_failed_call()
    {
        await using VaultClient client = VaultClient.Connect(Address, Patient);
        await using VaultClient reader = VaultClient.Connect(
            _nodes[1].Address, new VaultClientOptions { ReadFrom = ReadFrom.Any, CallTimeout = Patience, Retry = Patient.Retry });
        using var stop = new CancellationTokenSource();
        Task<ulong> load = Task.Run(async () =>
        {
            ulong count = 0;
            while (!stop.IsCancellationRequested)
            {
                AppendResult written = await client.AppendAsync("s", count == 0 ? ExpectedVersion.NoStream : ExpectedVersion.Exact(count - 1), Some.Event((int)count));
                Assert.Equal(count, written.LastVersion);
                Assert.Equal(count, (await client.GetStreamAsync("s")).LastVersion);
                count++;
                StreamInfo seen = await reader.GetStreamAsync("s", Consistency.AtLeast(written.LastPosition));
                Assert.Equal(written.LastPosition, seen.LastPosition);
            }

            return count;
        });
        foreach (NodeProcess node in _nodes)
        {
            Assert.Equal(0, await node.StopAsync());
            await node.StartAgainAsync();
            await SettleAsync(client);
        }

        ClusterStatus before = await client.Cluster.StatusAsync();
        ClusterStatus after = await client.Cluster.TransferAsync();
        Assert.NotEqual(before.LeaderNodeId, after.LeaderNodeId);
        await stop.CancelAsync();
        Assert.True(await load.WaitAsync(Patience) > 0);
        await Assert.ThrowsAsync<NodeNotFoundException>(() => client.Cluster.TransferAsync(9));
        await Assert.ThrowsAsync<NodeUnusableException>(() => client.Cluster.AddAsync($"127.0.0.1:{NodeProcess.FreePort()}"));
    }

    private static async Task<List<RecordedEvent>> ReceiveAsync(VaultClient client, CancellationToken stop)
    {
        var received = new List<RecordedEvent>();
        await foreach (RecordedEvent e in client.SubscribeToAllAsync(cancellationToken: stop).EventsAsync(stop))
        {
            received.Add(e);
            if (e.Stream == "end")
            {
                break;
            }
        }

        return received;
    }

    private static async Task ProgressAsync(ConcurrentDictionary<Guid, AppendResult> acknowledged)
    {
        int more = acknowledged.Count + 100;
        DateTime end = DateTime.UtcNow + Patience;
        while (acknowledged.Count < more)
        {
            Assert.True(DateTime.UtcNow < end, $"Waited {Patience} for appends to go on.");
            await Task.Delay(5);
        }
    }

    private async Task<NodeProcess> LeaderAsync(VaultClient client)
    {
        ClusterStatus status = await SettleAsync(client);
        string leader = status.Nodes.Single(n => n.IsLeader).Address;
        return _nodes.Single(n => n.HostAndPort == leader);
    }

    // All are there, vote, and somebody leads: only then may the next one be killed.
    private static async Task<ClusterStatus> SettleAsync(VaultClient client)
    {
        DateTime end = DateTime.UtcNow + Patience;
        while (true)
        {
            ClusterStatus status = await client.Cluster.StatusAsync();
            if (status.LeaderNodeId is not null && !status.IsChanging && status.Nodes.Count == 3
                && status.Nodes.All(n => n is { Role: ClusterRole.Voter, IsReachable: true, State: "serving" }))
            {
                return status;
            }

            Assert.True(DateTime.UtcNow < end, $"Waited {Patience} for all nodes to be in their places.");
            await Task.Delay(50);
        }
    }
}
