using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;

namespace EventVault.Node.Tests;

/// <summary>Whose append is next, and who is refused, when more comes than can be done. Step by step, never by time.</summary>
public sealed class FairnessTests
{
    private const int Large = 300_000;

    [Fact]
    public void A_modest_client_is_in_the_next_group_however_much_others_have_queued()
    {
        using var vault = new SteppedLoop(new AppendLimits());
        var flood = Enumerable.Range(0, 100).Select(_ => new AppendClient()).ToList();
        var modest = new AppendClient();
        foreach (var client in flood.Concat(flood))
        {
            Assert.Equal(AppendOutcome.None, vault.Enqueue(vault.New(client, Large)));
        }

        for (var i = 0; i < 20; i++)
        {
            vault.Loop.Step();
            vault.Flush();
            var next = vault.Storage.Tail.Last + 1;
            var asked = vault.New(modest, 100);
            Assert.Equal(AppendOutcome.None, vault.Enqueue(asked));
            vault.Loop.Step();
            Assert.True(asked.IsSequenced);
            Assert.Equal(next, asked.First);
        }

        vault.RunUntilIdle();
        Assert.Equal(flood.Count + flood.Count + 20, vault.Completed.Count);
        Assert.All(vault.Completed, append => Assert.Equal(AppendOutcome.Appended, append.Outcome));
    }

    [Fact]
    public void What_fits_into_a_group_is_taken_as_it_came()
    {
        using var vault = new SteppedLoop(new AppendLimits());
        var clients = new[] { new AppendClient(), new AppendClient(), null };
        var appends = Enumerable.Range(0, 90).Select(i => vault.New(clients[i % 3], i % 3 * 1000)).ToList();
        appends.ForEach(append => vault.Enqueue(append));
        vault.Loop.Step();
        Assert.Equal(Enumerable.Range(0, 90).Select(i => (long)i), appends.Select(append => append.First.Value));
    }

    [Fact]
    public void Who_holds_most_is_refused_and_who_asks_for_little_is_not()
    {
        using var vault = new SteppedLoop(new AppendLimits(QueuedAppends: 1000, QueuedBytes: 40 * Large));
        var flood = Enumerable.Range(0, 10).Select(_ => new AppendClient()).ToList();
        var refused = new HashSet<AppendClient>();
        while (refused.Count < flood.Count)
        {
            foreach (var client in flood)
            {
                if (vault.Enqueue(vault.New(client, Large)) == AppendOutcome.Overloaded)
                {
                    refused.Add(client);
                }
            }
        }

        // Its bytes are refused, not its appends: 40 shares, of which 10 clients leave one for somebody else.
        Assert.True(vault.Loop.Waiting >= 30, $"{vault.Loop.Waiting} wait");
        for (var i = 0; i < 20; i++)
        {
            Assert.Equal(AppendOutcome.None, vault.Enqueue(vault.New(new AppendClient(), Large / 10)));
            Assert.Equal(AppendOutcome.None, vault.Enqueue(vault.New(null, 100))); // Retention's.
            Assert.Equal(AppendOutcome.Overloaded, vault.Enqueue(vault.New(flood[i % 10], Large)));
        }

        vault.RunUntilIdle();
        Assert.Equal(0, vault.Loop.Waiting);
        Assert.Equal(AppendOutcome.None, vault.Enqueue(vault.New(flood[0], Large)));
    }

    [Fact]
    public void One_client_alone_gets_half_of_the_queue_and_an_empty_queue_takes_anything()
    {
        using var vault = new SteppedLoop(new AppendLimits(QueuedAppends: 10, QueuedBytes: 5000));
        var client = new AppendClient();
        Assert.Equal(AppendOutcome.None, vault.Enqueue(vault.New(client, 100_000)));
        Assert.Equal(AppendOutcome.Overloaded, vault.Enqueue(vault.New(client, 1)));
        vault.RunUntilIdle();
        var taken = Enumerable.Range(0, 10).Count(_ => vault.Enqueue(vault.New(client, 1)) == AppendOutcome.None);
        Assert.Equal(5, taken);
    }

    [Fact]
    public void Appends_queued_together_stay_in_their_order_and_leave_with_a_stop()
    {
        using var vault = new SteppedLoop(new AppendLimits());
        var (chained, other) = (new AppendClient(), new AppendClient());
        var chain = Enumerable.Range(0, 20).Select(i => vault.New(chained, i % 2 == 0 ? Large : 10)).ToList();
        for (var i = 1; i < chain.Count; i++)
        {
            chain[i - 1].Next = chain[i];
        }

        var others = Enumerable.Range(0, 20).Select(_ => vault.New(other, Large)).ToList();
        others.ForEach(append => vault.Enqueue(append));
        Assert.Equal(AppendOutcome.None, vault.Loop.Enqueue(chain[0], chain[^1], chain.Count, chain.Sum(append => append.QueuedBytes)));
        while (!chain[10].IsSequenced)
        {
            vault.Loop.Step();
            vault.Flush();
        }

        Assert.Contains(others, append => append.IsSequenced);
        Assert.Contains(others, append => !append.IsSequenced);
        vault.Loop.Step();
        vault.Loop.Stop();
        var done = chain.TakeWhile(append => append.Outcome is AppendOutcome.Appended or AppendOutcome.Unknown).ToList();
        Assert.Equal(done.OrderBy(append => append.First.Value), done);
        Assert.All(chain.Skip(done.Count), append => Assert.Equal(AppendOutcome.Draining, append.Outcome));
        Assert.Equal(chain.Count + others.Count, vault.Completed.Distinct().Count());
    }

    [Fact]
    public async Task Over_connections_a_flood_is_refused_and_a_modest_client_gets_in_and_comes_next()
    {
        await using var node = await TestNode.StartAsync(o => o with { SegmentSizeBytes = 8 * 1024 * 1024, Queue = new AppendLimits(QueuedAppends: 12) });
        await using var flooding = new RpcChannel(new Uri($"http://{node.Node.RpcEndPoint}"), new RpcChannelOptions { Connections = 1 });
        using var gate = new DiskGate(node.Disk);
        await gate.CloseAsync(node);
        var first = flooding.UnaryAsync(Methods.Append, Make.Append(Make.Stream("flood", Make.Any))).AsTask();
        await gate.UntilSomeoneWaitsAsync();
        var flood = new List<Task<AppendResponse>>();
        for (var i = 1; i <= 6; i++)
        {
            flood.Add(flooding.UnaryAsync(Methods.Append, Make.Append(Make.Stream("flood", Make.Any, Make.Event(data: new string('x', Large))))).AsTask());
            await Wait.UntilAsync(() => node.Node.Loop.Waiting == i, "the queue to take it");
        }

        // Each call of the connection counts, whatever it does.
        await Fails.WithAsync(RpcCode.ResourceExhausted, Reason.Overloaded, () => flooding.UnaryAsync(Methods.Append, Make.Append(Make.Stream("flood", Make.Any))).AsTask());
        await Fails.WithAsync(
            RpcCode.ResourceExhausted,
            Reason.Overloaded,
            () => flooding.UnaryAsync(Methods.DeleteStream, new DeleteStreamRequest { OperationId = Make.Id(), Stream = "s", Expected = Make.Any }).AsTask());
        var modest = node.AppendAsync("modest", Make.Any).AsTask();
        await Wait.UntilAsync(() => node.Node.Loop.Waiting == 7, "the queue to take it");
        await using var session = node.Channel.Start(Methods.AppendSession);
        session.Write(new AppendSessionRequest { RequestId = 1, Append = Make.Append(Make.Stream("modest", Make.Any)) });
        await session.CompleteAsync();
        await Wait.UntilAsync(() => node.Node.Loop.Waiting == 8, "the queue to take it");
        gate.Open();
        Assert.True(await session.MoveNextAsync());
        Assert.Equal((0ul, 1ul, 2ul), ((await first).FirstPosition, (await modest).FirstPosition, session.Current.Results[0].Result.FirstPosition));
        Assert.Equal([3, 4, 5, 6, 7, 8], (await Task.WhenAll(flood)).Select(response => (int)response.FirstPosition).Order());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Random_clients_are_refused_by_the_sums_of_plain_lists_and_decided_in_their_own_order(int seed)
    {
        var random = new Random(seed);
        var limits = new AppendLimits(QueuedAppends: 20, QueuedBytes: 1_000_000);
        using var vault = new SteppedLoop(limits);
        var clients = Enumerable.Range(0, 8).Select(i => i == 0 ? null : new AppendClient()).ToList();
        var queued = new List<HandAppend>();
        var refusals = 0;
        for (var i = 0; i < 3000; i++)
        {
            if (random.Next(10) > 0)
            {
                var client = clients[Math.Min(random.Next(8), random.Next(8))];
                var append = vault.New(client, random.Next(5) == 0 ? random.Next(Large) : random.Next(500));
                var waiting = queued.Where(a => !a.IsSequenced).Append(append).ToList();
                var held = waiting.Where(a => a.Client == client).ToList();
                var fits = waiting.Count == 1
                    || (held.Count <= limits.QueuedAppends - waiting.Count && held.Sum(a => a.QueuedBytes) <= limits.QueuedBytes - waiting.Sum(a => a.QueuedBytes));
                Assert.Equal(fits ? AppendOutcome.None : AppendOutcome.Overloaded, vault.Enqueue(append));
                refusals += fits ? 0 : 1;
                if (fits)
                {
                    queued.Add(append);
                }
            }
            else
            {
                vault.Loop.Step();
                vault.Flush();
                vault.Storage.StepBackground();
            }
        }

        vault.RunUntilIdle();
        Assert.True(refusals is > 20 and < 2900, $"{refusals} refusals");
        Assert.Equal(queued.Count, vault.Completed.Count);
        foreach (var client in clients)
        {
            var own = queued.Where(append => append.Client == client).Select(append => append.First.Value).ToList();
            Assert.Equal(own.Order(), own);
        }
    }
}
