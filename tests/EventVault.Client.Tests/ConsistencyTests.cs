using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

/// <summary>What reads ask the node to have seen.</summary>
public sealed class ConsistencyTests
{
    // Long enough for a busy machine to answer what it can answer at once.
    private static readonly VaultClientOptions Impatient = new()
    {
        CallTimeout = TimeSpan.FromSeconds(2),
        Retry = Some.Quick.Retry,
        ReadFrom = ReadFrom.Any,
    };

    // Where reads that say nothing ask for what was seen.
    private static readonly VaultClientOptions OfAny = new() { ReadFrom = ReadFrom.Any };

    [Theory]
    [InlineData(ReadFrom.Leader, null)]
    [InlineData(ReadFrom.Any, 1ul)]
    [InlineData(ReadFrom.Local, ulong.MaxValue)]
    public async Task Where_the_client_reads_says_what_a_read_must_have_seen_that_does_not_say_so(ReadFrom place, ulong? atLeast)
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(new VaultClientOptions { ReadFrom = place });
        await ReadTests.Fill(client, "s", 2);
        await client.ReadAllAsync().ToListAsync();
        await client.GetStreamAsync("s");
        Protocol.Consistency? expected = atLeast == ulong.MaxValue ? new() { Local = new Protocol.Empty() } : atLeast is { } p ? AtLeast(p) : null;
        Assert.Equal([expected, expected], node.Consistencies);
    }

    [Fact]
    public async Task A_client_that_has_seen_nothing_asks_for_everything_and_then_for_what_it_has_seen()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using (VaultClient first = node.Connect())
        {
            await ReadTests.Fill(first, "s", 3);
        }

        await using VaultClient client = node.Connect(OfAny);
        await client.ReadAllAsync(new ReadOptions { Limit = 1 }).ToListAsync();
        Assert.Null(Assert.Single(node.Consistencies));

        // The read's head was 2, though it stopped at 0: to go back behind it would look like time running backwards.
        await client.GetStreamAsync("s");
        Assert.Equal(AtLeast(2), node.Consistencies.Last());
        Assert.Equal(3ul, (await client.AppendAsync("s", ExpectedVersion.Any, Some.Event())).LastPosition);
        await client.ReadStreamAsync("s").ToListAsync();
        Assert.Equal(AtLeast(3), node.Consistencies.Last());
        await client.CountEventsAsync(EventFilter.OfCategory("s"));
        Assert.Equal(AtLeast(3), node.Consistencies.Last());
        await client.ListStreamsAsync().ToListAsync();
        Assert.Equal(AtLeast(3), node.Consistencies.Last());
    }

    [Fact]
    public async Task What_a_subscription_has_shown_counts_as_seen()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(OfAny);
        await using VaultClient other = node.Connect(OfAny);
        await using Subscription subscription = client.SubscribeToAllAsync(new SubscribeOptions { FromEnd = true });
        await subscription.GetHeadAsync();
        await ReadTests.Fill(other, "s", 5);
        await foreach (RecordedEvent e in subscription.EventsAsync(Wait.Token))
        {
            if (e.Position == 4)
            {
                break;
            }
        }

        await client.GetStreamAsync("s");
        Assert.Equal(AtLeast(4), node.Consistencies.Last());
    }

    [Fact]
    public async Task Every_level_is_asked_for_by_name()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await ReadTests.Fill(client, "s", 2);
        foreach ((Consistency consistency, Protocol.Consistency? expected) in new[]
        {
            (Consistency.Linearizable, null),
            (Consistency.Local, new Protocol.Consistency { Local = new Protocol.Empty() }),
            (Consistency.AtLeast(0), AtLeast(0)),
            (Consistency.ReadYourWrites, AtLeast(1)),
        })
        {
            node.Consistencies.Clear();
            await client.ReadAllAsync(new ReadOptions { Consistency = consistency }).ToListAsync();
            await client.ReadStreamAsync("s", new ReadOptions { Consistency = consistency }).ToListAsync();
            await client.GetStreamAsync("s", consistency);
            await client.CountEventsAsync(EventFilter.OfCategory("s"), consistency: consistency);
            await client.ListStreamsAsync(new ListStreamsOptions { Consistency = consistency }).ToListAsync();
            Assert.Equal(Enumerable.Repeat(expected, 5), node.Consistencies);
        }
    }

    [Fact]
    public async Task A_read_waits_for_the_position_that_it_asked_for()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await using VaultClient other = node.Connect();
        await ReadTests.Fill(other, "s", 1);
        Task<List<RecordedEvent>> read = client.ReadAllAsync(new ReadOptions { Consistency = Consistency.AtLeast(2) }).ToListAsync();
        await Wait.UntilAsync(() => !node.Consistencies.IsEmpty, "the read to reach the node");
        await ReadTests.Fill(other, "t", 1);
        Assert.False(read.IsCompleted);
        await ReadTests.Fill(other, "u", 1);
        Assert.Equal(3, (await read.WaitAsync(Wait.Limit)).Count);
    }

    [Fact]
    public async Task A_node_that_stays_behind_says_how_far_it_is()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.RefusesWhenBehind = true;
        await using VaultClient client = node.Connect(new VaultClientOptions { Retry = RetryPolicy.None });
        await ReadTests.Fill(client, "s", 2);
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.GetStreamAsync("s", Consistency.AtLeast(7)));
        Assert.Equal((VaultErrorCode.TimedOutBehind, 1ul, true), (e.Code, e.Failures[0].Position, e.IsTransient));
    }

    [Fact]
    public async Task A_read_ends_when_the_vault_was_replaced_by_an_emptier_one()
    {
        ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Impatient);
        await ReadTests.Fill(client, "s", 3);
        await node.DisposeAsync();
        await using ScriptedVault other = await ScriptedVault.StartAsync(port: new Uri(node.Address).Port);
        foreach (ReadResult read in new[] { client.ReadAllAsync(), client.ReadStreamAsync("s") })
        {
            VaultException e = await Assert.ThrowsAsync<VaultException>(() => read.ToListAsync().WaitAsync(Wait.Limit));
            Assert.Equal(VaultErrorCode.TimedOutBehind, e.Code);
            Assert.Contains("position 2", e.Message, StringComparison.Ordinal);
            Assert.Contains("replaced", e.Message, StringComparison.Ordinal);
        }

        // A read that has failed stays so: asking it again must not hang.
        await using ReadResult failed = client.ReadAllAsync();
        await Assert.ThrowsAsync<VaultException>(() => failed.GetHeadAsync().WaitAsync(Wait.Limit));
        VaultException again = await Assert.ThrowsAsync<VaultException>(() => Task.Run(failed.GetHeadAsync).WaitAsync(Wait.Limit));
        Assert.Equal(VaultErrorCode.Closed, again.Code);

        Assert.Empty(await client.ReadAllAsync(new ReadOptions { Consistency = Consistency.Local }).ToListAsync());
    }

    [Fact]
    public async Task A_leader_that_has_less_than_was_seen_is_of_another_vault()
    {
        ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await ReadTests.Fill(client, "s", 3);
        await node.DisposeAsync();
        await using ScriptedVault other = await ScriptedVault.StartAsync(port: new Uri(node.Address).Port);
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.ReadAllAsync().ToListAsync().WaitAsync(Wait.Limit));
        Assert.Equal(VaultErrorCode.TimedOutBehind, e.Code);
        Assert.Contains("replaced", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_read_that_goes_on_elsewhere_ends_there_too_if_the_vault_is_emptier()
    {
        ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Impatient);
        await ReadTests.Fill(client, "s", 9);
        var gate = new TaskCompletionSource();
        node.AfterHead = () => gate.Task;
        await using ReadResult read = client.ReadAllAsync();
        await read.GetHeadAsync();
        await node.DisposeAsync();
        await using ScriptedVault other = await ScriptedVault.StartAsync(port: new Uri(node.Address).Port);
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => read.ToListAsync().WaitAsync(Wait.Limit));
        Assert.Equal(VaultErrorCode.TimedOutBehind, e.Code);
        gate.SetResult();
    }

    [Fact]
    public async Task Once_the_head_has_come_nothing_cuts_a_read_or_a_subscription()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Impatient);
        await ReadTests.Fill(client, "s", 3);
        var gate = new TaskCompletionSource();
        node.AfterHead = () => gate.Task;
        await using ReadResult read = client.ReadAllAsync();
        await using Subscription subscription = client.SubscribeToAllAsync();

        // The head alone opens them: no event has been sent.
        await read.GetHeadAsync().WaitAsync(Wait.Limit);
        await subscription.GetHeadAsync().WaitAsync(Wait.Limit);
        Task<List<RecordedEvent>> events = read.ToListAsync();
        IAsyncEnumerator<RecordedEvent> live = subscription.EventsAsync().GetAsyncEnumerator();
        Task<bool> first = live.MoveNextAsync().AsTask();
        await Task.Delay(2 * Impatient.CallTimeout);
        Assert.False(events.IsCompleted || first.IsCompleted);
        gate.SetResult();
        Assert.Equal(3, (await events.WaitAsync(Wait.Limit)).Count);
        Assert.True(await first.WaitAsync(Wait.Limit));
        Assert.Equal(2, node.ReadCalls);
    }

    [Fact]
    public async Task What_failed_a_condition_counts_as_seen()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(OfAny);
        await client.GetInfoAsync();
        await client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        await using VaultClient other = node.Connect(OfAny);
        await ReadTests.Fill(other, "s", 4);
        var options = new AppendOptions { Conditions = [AppendCondition.FailIfMatch(EventQuery.OfTypes("happened"), 3)] };
        await Assert.ThrowsAsync<ConditionFailedException>(() => client.AppendAsync("t", ExpectedVersion.Any, Some.Event(), options));
        await client.ReadStreamAsync("s").ToListAsync();
        Assert.Equal(AtLeast(4), node.Consistencies.Last());
    }

    [Fact]
    public async Task A_read_that_goes_on_after_a_lost_connection_asks_for_the_head_it_rests_on()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await ReadTests.Fill(client, "s", 10);
        node.Consistencies.Clear();
        node.CutReadAfter = n => n == 1 ? 4 : null;
        Assert.Equal(10, (await client.ReadAllAsync(new ReadOptions { Consistency = Consistency.Local }).ToListAsync()).Count);
        Assert.Equal([new Protocol.Consistency { Local = new Protocol.Empty() }, AtLeast(9)], node.Consistencies);
    }

    private static Protocol.Consistency AtLeast(ulong position) => new() { AtLeast = position };
}
