using System.Collections.Concurrent;
using EventVault.Client.Tests.Support;
using EventVault.Rpc;

namespace EventVault.Client.Tests;

/// <summary>What applications must not notice: that another node leads, in the middle of everything.</summary>
public sealed class FailOverTests
{
    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    public async Task The_leader_is_found_from_any_node(bool namesLeader, bool tellsMembers)
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        (cluster.Leader, cluster.NamesLeader, cluster.TellsMembers) = (2, namesLeader, tellsMembers);
        await using VaultClient client = cluster.Connect();
        Assert.Equal(0ul, (await client.AppendAsync("s", ExpectedVersion.NoStream, Some.Event())).LastVersion);
        await client.TruncateStreamAsync("s", 0, ExpectedVersion.Exact(0));

        // What a node refused for not leading was no attempt.
        Assert.Equal([null, null], cluster.Vault.AttemptedAfters);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task One_address_is_enough_to_begin_with(bool namesLeader)
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        (cluster.Leader, cluster.NamesLeader) = (1, namesLeader);
        await using VaultClient client = cluster.Connect(node: 0);
        await client.AppendAsync("s", ExpectedVersion.NoStream, Some.Event());

        // The node that was named is gone, and so is the leader; the third one was never named by anybody but the members' list.
        await cluster[0].DisposeAsync();
        cluster.Leader = 2;
        await cluster[1].DisposeAsync();
        Assert.Equal(1ul, (await client.AppendAsync("s", ExpectedVersion.Exact(0), Some.Event())).LastVersion);
    }

    [Theory]
    [InlineData(Protocol.Reason.NotLeader)]
    [InlineData(Protocol.Reason.NoQuorum)]
    [InlineData(Protocol.Reason.NotJoined)]
    [InlineData(Protocol.Reason.Opening)]
    [InlineData(Protocol.Reason.Draining)]
    public async Task A_node_that_can_not_is_left_for_another_one(Protocol.Reason reason)
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        (cluster.Leader, cluster.TellsMembers) = (2, false);
        cluster[0].NoLeader = cluster[1].NoLeader = cluster[0].NoReads = cluster[1].NoReads = () => ScriptedCluster.Refusal(reason);
        await using (VaultClient client = cluster.Connect())
        {
            Assert.Equal(0ul, (await client.AppendAsync("s", ExpectedVersion.NoStream, Some.Event())).LastVersion);
        }

        await using VaultClient changing = cluster.Connect();
        await changing.DeleteStreamAsync("s", ExpectedVersion.Exact(0));
        await using VaultClient reading = cluster.Connect();
        Assert.Equal(2, (await reading.ReadAllAsync(new ReadOptions { IncludeSystem = true }).ToListAsync()).Count + 1);
    }

    [Fact]
    public async Task Two_nodes_that_name_each_other_do_not_keep_a_client_from_the_third()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        (cluster.Leader, cluster.TellsMembers) = (2, false);
        cluster[0].NoLeader = () => ScriptedCluster.Refusal(Protocol.Reason.NotLeader, ScriptedCluster.HostAndPort(cluster[1]));
        cluster[1].NoLeader = () => ScriptedCluster.Refusal(Protocol.Reason.NotLeader, ScriptedCluster.HostAndPort(cluster[0]));
        await using VaultClient client = cluster.Connect();
        await client.AppendAsync("s", ExpectedVersion.NoStream, Some.Event());
        await using VaultClient changing = cluster.Connect();
        await changing.TruncateStreamAsync("s", 0, ExpectedVersion.Exact(0));
    }

    [Fact]
    public async Task A_loop_of_refusals_is_no_storm_and_ends_definitely()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync(2);
        int refusals = 0;
        for (int i = 0; i < 2; i++)
        {
            int other = 1 - i;
            cluster[i].NoLeader = () =>
            {
                Interlocked.Increment(ref refusals);
                return ScriptedCluster.Refusal(Protocol.Reason.NotLeader, ScriptedCluster.HostAndPort(cluster[other]));
            };
        }

        cluster.TellsMembers = false;
        await using VaultClient client = cluster.Connect(new VaultClientOptions
        {
            AppendTimeout = TimeSpan.FromSeconds(2),
            CallTimeout = TimeSpan.FromSeconds(2),
            Retry = new RetryPolicy { InitialDelay = TimeSpan.FromMilliseconds(100) },
        });
        await Assert.ThrowsAsync<NotLeaderException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        int first = Volatile.Read(ref refusals);
        await Assert.ThrowsAsync<NotLeaderException>(() => client.TruncateStreamAsync("s", 0, ExpectedVersion.Any));

        // Waits of at least 50, 50, 100, 100, 200 … ms, and three attempts without one: more attempts do not fit into the time-out.
        Assert.InRange(first, 2, 16);
        Assert.InRange(Volatile.Read(ref refusals) - first, 2, 16);
        Assert.Empty(cluster.Vault.Events);
    }

    [Fact]
    public async Task When_all_are_away_what_was_never_sent_is_definitely_not_written()
    {
        ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        await using VaultClient client = cluster.Connect(new VaultClientOptions { AppendTimeout = TimeSpan.FromSeconds(1), Retry = Some.Quick.Retry });
        await client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        await cluster.DisposeAsync();

        // The first one may go into the connection while it breaks, and then nobody can know. Behind it the client knows that there is none.
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        Assert.True(e.Code is VaultErrorCode.Unreachable or VaultErrorCode.OutcomeUnknown, e.ToString());
        e = await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        Assert.Equal(VaultErrorCode.Unreachable, e.Code);
    }

    [Fact]
    public async Task A_lost_answer_is_asked_for_on_the_new_leader_with_what_had_been_seen()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        await using VaultClient client = cluster.Connect();
        await client.AppendAsync("s", ExpectedVersion.NoStream, Some.Event());
        cluster[0].OnAppend = _ =>
        {
            cluster.Leader = 1;
            return Fault.CutAfter;
        };
        AppendResult again = await client.AppendAsync("s", ExpectedVersion.Exact(0), Some.Event());
        Assert.Equal((1ul, true), (again.LastVersion, again.Deduplicated));
        Assert.Equal([null, null, new SeenHead(0)], cluster.Vault.AttemptedAfters);

        cluster[1].OnChange = _ =>
        {
            cluster.Leader = 2;
            return Fault.CutAfter;
        };
        Assert.True((await client.TruncateStreamAsync("s", 1, ExpectedVersion.Exact(1))).Deduplicated);
        Assert.Equal(new SeenHead(1), cluster.Vault.AttemptedAfters[^1]);
    }

    [Fact]
    public async Task The_outcome_is_unknown_only_if_nobody_can_tell_in_time()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        await using VaultClient client = cluster.Connect(new VaultClientOptions { AppendTimeout = TimeSpan.FromSeconds(2), Retry = Some.Quick.Retry });
        await client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        cluster[0].OnAppend = _ =>
        {
            cluster.Leader = -1;
            return Fault.CutAfter;
        };
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        Assert.Equal((VaultErrorCode.OutcomeUnknown, new SeenHead(0)), (e.Code, e.AttemptedAfter));
        VaultException next = await Assert.ThrowsAsync<NotLeaderException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        Assert.True(next.IsTransient);
    }

    [Fact]
    public async Task With_one_node_of_three_left_calls_tell_of_the_missing_leader_and_not_of_the_nodes_that_are_away()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        cluster.Leader = -1;
        await cluster[0].DisposeAsync();
        await cluster[1].DisposeAsync();
        await using VaultClient client = cluster.Connect(new VaultClientOptions { AppendTimeout = TimeSpan.FromSeconds(2), CallTimeout = TimeSpan.FromSeconds(2), Retry = Some.Quick.Retry });
        var told = new List<VaultErrorCode>();
        for (int i = 0; i < 3; i++)
        {
            VaultException e = await Assert.ThrowsAnyAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
            Assert.Contains("definitely not written", e.Message, StringComparison.Ordinal);
            told.Add(e.Code);
        }

        // Timed out: just then the node had answered, and not yet refused.
        Assert.Contains(VaultErrorCode.NotLeader, told);
        Assert.DoesNotContain(VaultErrorCode.Unreachable, told);
        await Assert.ThrowsAsync<NotLeaderException>(() => client.TruncateStreamAsync("s", 0, ExpectedVersion.Any));

        await cluster[2].DisposeAsync();
        Assert.Equal(VaultErrorCode.Unreachable, (await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()))).Code);
    }

    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    public async Task Leaders_that_change_under_load_lose_nothing_double_nothing_and_keep_the_order(int seed)
    {
        Fault[] faults = [Fault.None, Fault.CutBefore, Fault.CutAfter, Fault.ResetAfter, Fault.RefuseDraining, Fault.RefuseOutcomeUnknown, Fault.EndCall];
        const int Appenders = 16;
        const int Each = 120;
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        var random = new Random(seed);
        for (int i = 0; i < 3; i++)
        {
            cluster[i].OnAppend = _ =>
            {
                lock (random)
                {
                    if (random.Next(60) != 0)
                    {
                        return Fault.None;
                    }

                    // Every fault comes with another leader, or none for a moment.
                    cluster.NamesLeader = random.Next(3) != 0;
                    cluster.Leader = random.Next(3);
                    return faults[random.Next(faults.Length)];
                }
            };
        }

        await using VaultClient client = cluster.Connect(new VaultClientOptions { Retry = Some.Quick.Retry, MaxInFlightAppends = 100 }, node: 0);
        var order = new List<Guid>();
        var acknowledged = new ConcurrentDictionary<Guid, ulong>();
        Task<List<RecordedEvent>> subscription = ReceiveAsync(client, Appenders * Each);
        await Task.WhenAll(Enumerable.Range(0, Appenders).Select(n => Task.Run(async () =>
        {
            var appends = new List<Task>();
            for (int i = 0; i < Each; i++)
            {
                var operation = Guid.CreateVersion7();
                Task<AppendResult> append;
                lock (order)
                {
                    order.Add(operation);
                    append = client.AppendAsync($"s-{n}", ExpectedVersion.Any, Some.Event(i), new AppendOptions { OperationId = operation });
                }

                appends.Add(append.ContinueWith(
                    a => acknowledged[operation] = a.Result.FirstPosition, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default));
                if (n % 2 == 0)
                {
                    await append;
                }
            }

            await Task.WhenAll(appends);
        })));
        Assert.Equal(order, cluster.Vault.Operations);
        Assert.All(order.Index(), o => Assert.Equal((ulong)o.Index, acknowledged[o.Item]));
        List<RecordedEvent> received = await subscription.WaitAsync(Wait.Limit);
        Assert.Equal(Enumerable.Range(0, order.Count).Select(i => (ulong)i), received.Select(e => e.Position));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_leader_that_hangs_is_left_when_another_one_leads(bool isCutOff)
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        await using VaultClient client = cluster.Connect(new VaultClientOptions { Retry = Some.Quick.Retry });
        await client.AppendAsync("s", ExpectedVersion.NoStream, Some.Event(0));
        await using Subscription subscription = client.SubscribeToAllAsync();
        await subscription.GetHeadAsync();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        cluster[0].BeforeAppend = _ => gate.Task;
        cluster[0].OnAppend = _ => Fault.CutBefore;
        Task<AppendResult>[] appends = [.. Enumerable.Range(1, 20).Select(i => client.AppendAsync("s", ExpectedVersion.Exact((ulong)i - 1), Some.Event(i)))];
        await Wait.UntilAsync(() => cluster[0].Appends > 1, "the hanging append");
        if (isCutOff)
        {
            cluster.CutOff.Add(0);
        }

        cluster.Leader = 1;
        AppendResult[] results = await Task.WhenAll(appends).WaitAsync(Wait.Limit);
        Assert.Equal(Enumerable.Range(1, 20).Select(i => (ulong)i), results.Select(r => r.LastVersion));
        if (isCutOff)
        {
            // What the leader can't reach hears nothing new: whoever waits there moves, though the node still takes calls.
            Task<List<RecordedEvent>> all = ReceiveAsync(subscription, 22);
            await Wait.UntilAsync(() => cluster[1].ReadCalls > 0, "the subscription to move");
            await client.AppendAsync("s", ExpectedVersion.Exact(20), Some.Event(21));
            Assert.Equal(Enumerable.Range(0, 22).Select(i => (ulong)i), (await all.WaitAsync(Wait.Limit)).Select(e => e.Position));
        }

        gate.SetResult();
    }

    [Fact]
    public async Task A_call_that_hangs_is_left_when_another_node_leads_long_before_its_time_is_over()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        await using VaultClient client = cluster.Connect(new VaultClientOptions { CallTimeout = TimeSpan.FromMinutes(10), Retry = Some.Quick.Retry });
        await client.AppendAsync("s", ExpectedVersion.NoStream, Some.Event());
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        int hanging = 0;
        cluster[0].BeforeUnary = () =>
        {
            Interlocked.Increment(ref hanging);
            return gate.Task;
        };
        Task<StreamInfo> read = client.GetStreamAsync("s");
        Task<AppendResult> change = client.TruncateStreamAsync("s", 0, ExpectedVersion.Exact(0));
        await Wait.UntilAsync(() => Volatile.Read(ref hanging) == 2, "both calls to hang");
        cluster.Leader = 1;
        Assert.Equal(0ul, (await read.WaitAsync(Wait.Limit)).LastVersion);
        await change.WaitAsync(Wait.Limit);
        gate.SetResult();
    }

    [Fact]
    public async Task A_full_disk_of_the_leader_passes_by_when_another_node_leads()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        await using VaultClient client = cluster.Connect();
        await client.AppendAsync("s", ExpectedVersion.NoStream, Some.Event());
        cluster[0].OnAppend = n =>
        {
            cluster.Leader = n > 4 ? 1 : 0;
            return Fault.RefuseStoreFull;
        };
        Assert.Equal(1ul, (await client.AppendAsync("s", ExpectedVersion.Exact(0), Some.Event())).LastVersion);
        Assert.Equal(2ul, (await client.AppendAsync("s", ExpectedVersion.Exact(1), Some.Event())).LastVersion);
        Assert.Equal([null, null, null], cluster.Vault.AttemptedAfters);
    }

    [Fact]
    public async Task Leadership_that_was_handed_over_is_not_handed_on_by_a_repeat()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        var asked = new ConcurrentQueue<uint>();
        for (int i = 0; i < 3; i++)
        {
            int self = i;
            cluster[i].OnClusterChange = request =>
            {
                asked.Enqueue(((Protocol.TransferLeadershipRequest)request).ToNodeId);
                cluster.Leader = 1;
                return self == 1 ? cluster.Members(1) : throw new RpcException(RpcCode.Unavailable, "The answer is lost.");
            };
        }

        await using VaultClient client = cluster.Connect();
        Assert.Equal(2u, (await client.Cluster.TransferAsync()).LeaderNodeId);
        Assert.True(asked.Count > 1);
        Assert.All(asked, static to => Assert.Equal(2u, to));
    }

    [Fact]
    public async Task A_subscription_on_a_removed_node_moves()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        await using VaultClient client = cluster.Connect();
        await client.AppendAsync("s", ExpectedVersion.Any, Some.Event(0));
        Task<List<RecordedEvent>> events = ReceiveAsync(client, 3);
        await Wait.UntilAsync(() => cluster[0].ReadCalls == 1, "the subscription");
        cluster.Removed.Add(0);
        cluster.Leader = 1;
        await client.AppendAsync("s", ExpectedVersion.Any, Some.Event(1));
        await Wait.UntilAsync(() => cluster[1].ReadCalls + cluster[2].ReadCalls == 1, "the subscription to move");
        await client.AppendAsync("s", ExpectedVersion.Any, Some.Event(2));
        Assert.Equal([0ul, 1, 2], (await events.WaitAsync(Wait.Limit)).Select(e => e.Position));
    }

    [Fact]
    public async Task A_node_that_was_missed_once_keeps_its_subscription()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        await using VaultClient client = cluster.Connect(new VaultClientOptions { Retry = Some.Quick.Retry });
        await client.AppendAsync("s", ExpectedVersion.Any, Some.Event(0));
        Task<List<RecordedEvent>> events = ReceiveAsync(client, 3);
        await Wait.UntilAsync(() => cluster[0].ReadCalls == 1, "the subscription");
        int looks = 0;
        cluster[1].OnGetCluster = () =>
        {
            Protocol.GetClusterResponse answer = cluster.Members(1);
            answer.Nodes[0].IsReachable = Interlocked.Increment(ref looks) != 1;
            return answer;
        };
        cluster.Leader = 1;
        await client.AppendAsync("s", ExpectedVersion.Any, Some.Event(1));
        await Wait.UntilAsync(() => Volatile.Read(ref looks) > 1, "a second look at the members");
        await client.AppendAsync("s", ExpectedVersion.Any, Some.Event(2));
        Assert.Equal([0ul, 1, 2], (await events.WaitAsync(Wait.Limit)).Select(e => e.Position));
        Assert.Equal((1, 0, 0), (cluster[0].ReadCalls, cluster[1].ReadCalls, cluster[2].ReadCalls));
    }

    [Fact]
    public async Task A_client_that_only_reads_comes_back_to_a_node_that_is_well_again()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        await using (VaultClient writer = cluster.Connect())
        {
            await ReadTests.Fill(writer, "s", 2);
        }

        await using VaultClient client = cluster.Connect(new VaultClientOptions { ReadFrom = ReadFrom.Any, Retry = Some.Quick.Retry });
        int first = await ReaderAsync(1, 2);
        cluster[first].NoReads = () => ScriptedCluster.Refusal(Protocol.Reason.Draining);
        int second = 3 - first;
        await ReaderAsync(second);
        cluster[first].NoReads = static () => null;
        cluster[second].NoReads = () => ScriptedCluster.Refusal(Protocol.Reason.Opening);
        await ReaderAsync(first);

        // Reads until one of these answers; which one it was.
        async Task<int> ReaderAsync(params int[] wanted)
        {
            int[] before = [.. wanted.Select(i => cluster[i].Consistencies.Count)];
            int at = -1;
            await Wait.UntilAsync(
                () =>
                {
                    client.GetStreamAsync("s").GetAwaiter().GetResult();
                    at = Enumerable.Range(0, wanted.Length).FirstOrDefault(i => cluster[wanted[i]].Consistencies.Count > before[i], -1);
                    return at >= 0;
                },
                "a read of that follower");
            return wanted[at];
        }
    }

    [Fact]
    public async Task Nothing_is_sent_to_a_node_of_another_vault()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        await using ScriptedVault foreign = await ScriptedVault.StartAsync();
        foreign.VaultId = Guid.NewGuid();
        await using VaultClient client = VaultClient.Connect(
            $"{cluster[0].Address},{ScriptedCluster.HostAndPort(foreign)}", new VaultClientOptions { AppendTimeout = TimeSpan.FromSeconds(1), Retry = Some.Quick.Retry });
        cluster.TellsMembers = false;
        await client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        cluster.Leader = -1;
        cluster[0].OnGetCluster = () => null;
        await Assert.ThrowsAnyAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        Assert.Equal(0, foreign.Appends);

        // Also when a member itself names it: what a node calls itself may be another one from here.
        cluster[0].NoLeader = cluster[0].NoReads = () => ScriptedCluster.Refusal(Protocol.Reason.NotLeader, ScriptedCluster.HostAndPort(foreign));
        await using VaultClient misled = cluster.Connect(new VaultClientOptions { CallTimeout = TimeSpan.FromSeconds(1), Retry = Some.Quick.Retry }, node: 0);
        await Assert.ThrowsAnyAsync<VaultException>(() => misled.TruncateStreamAsync("s", 0, ExpectedVersion.Any));
        await Assert.ThrowsAnyAsync<VaultException>(() => misled.GetStreamAsync("s"));
        Assert.Equal(0, foreign.Changes);
        Assert.Empty(foreign.Consistencies);
    }

    [Fact]
    public async Task A_read_that_was_cut_goes_on_elsewhere_at_its_place_and_with_what_it_rests_on()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        await using VaultClient client = cluster.Connect();
        await ReadTests.Fill(client, "s", 20);
        cluster[0].CutReadAfter = _ => 7;
        await using ReadResult read = client.ReadStreamAsync("s");
        var seen = new List<ulong>();
        await foreach (RecordedEvent e in read)
        {
            if (seen.Count == 0)
            {
                cluster.Leader = 2;
                cluster[0].NoReads = () => ScriptedCluster.Refusal(Protocol.Reason.Draining);
            }

            seen.Add(e.Version);
        }

        Assert.Equal(Enumerable.Range(0, 20).Select(i => (ulong)i), seen);
        Protocol.Consistency?[] asked = [.. cluster[1].Consistencies.Concat(cluster[2].Consistencies)];
        Assert.NotEmpty(asked);
        Assert.All(asked, static c => Assert.Equal(19ul, c?.AtLeast));
    }

    [Fact]
    public async Task Any_node_reads_what_this_client_has_seen_and_the_leader_what_only_it_knows()
    {
        await using ScriptedCluster cluster = await ScriptedCluster.StartAsync();
        await using VaultClient client = cluster.Connect(new VaultClientOptions { ReadFrom = ReadFrom.Any, Retry = Some.Quick.Retry });
        await ReadTests.Fill(client, "s", 2);
        await Wait.UntilAsync(
            () =>
            {
                client.GetStreamAsync("s").GetAwaiter().GetResult();
                return !(cluster[1].Consistencies.IsEmpty && cluster[2].Consistencies.IsEmpty);
            },
            "a read of a follower, once the members are known");
        ScriptedVault reader = cluster[1].Consistencies.IsEmpty ? cluster[2] : cluster[1];
        Assert.Equal(new Protocol.Consistency { AtLeast = 1 }, reader.Consistencies.Last());
        int leaderReads = cluster[0].Consistencies.Count;
        await client.GetStreamAsync("s", Consistency.Linearizable);
        Assert.Equal(leaderReads + 1, cluster[0].Consistencies.Count);

        // One that is behind, and stays so, is left for another one.
        ulong next = (await client.AppendAsync("s", ExpectedVersion.Any, Some.Event())).LastPosition;
        reader.NoReads = () => ScriptedCluster.Refusal(Protocol.Reason.TimedOutBehind);
        Assert.Equal(next, (await client.GetStreamAsync("s")).LastPosition);
    }

    private static Task<List<RecordedEvent>> ReceiveAsync(VaultClient client, int count) => ReceiveAsync(client.SubscribeToAllAsync(), count);

    private static async Task<List<RecordedEvent>> ReceiveAsync(Subscription subscription, int count)
    {
        var received = new List<RecordedEvent>();
        await foreach (RecordedEvent e in subscription.EventsAsync(Wait.Token))
        {
            received.Add(e);
            if (received.Count == count)
            {
                break;
            }
        }

        return received;
    }
}
