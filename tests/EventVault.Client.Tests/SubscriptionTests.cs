using System.Text;
using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

public sealed class SubscriptionTests
{
    [Fact]
    public async Task Goes_from_the_past_to_live_without_a_seam()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await ReadTests.Fill(client, "a", 10);
        await using Subscription subscription = client.SubscribeToAllAsync();
        int next = 0;
        bool caughtUp = false;
        await foreach (SubscriptionMessage message in subscription.WithCancellation(Wait.Token))
        {
            if (message.Kind == SubscriptionMessageKind.CaughtUp && !caughtUp)
            {
                caughtUp = true;
                Assert.Equal((10, 9ul), (next, message.Position));
                Assert.NotNull(message.Time);
                await ReadTests.Fill(client, "b", 10);
            }
            else if (message.Event is { } e)
            {
                Assert.Equal((ulong)next++, e.Position);
                Assert.Equal(e.Position, message.Position);
                if (next == 20)
                {
                    break;
                }
            }
        }

        Assert.True(caughtUp);
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, true)]
    [InlineData(3, false)]
    public async Task Every_event_once_in_order_over_broken_connections_while_others_append(int seed, bool drain)
    {
        const int Events = 400;
        var random = new Random(seed);
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.DrainReads = drain;
        node.CutReadAfter = _ =>
        {
            lock (random)
            {
                return random.Next(0, 25);
            }
        };
        await using VaultClient client = node.Connect(Some.Quick);
        Task all = Follow(client.SubscribeToAllAsync(), e => e.Position, Events);
        await using VaultClient other = node.Connect(Some.Quick);
        Task one = Follow(other.SubscribeToStreamAsync("s-1"), e => e.Version, Events / 4);
        for (int i = 0; i < Events; i++)
        {
            await client.AppendAsync($"s-{i % 4}", ExpectedVersion.Any, Some.Event(i));
        }

        await Task.WhenAll(all, one).WaitAsync(Wait.Limit);
        Assert.True(node.ReadCalls > 10, "the connections were broken");

        static async Task Follow(Subscription subscription, Func<RecordedEvent, ulong> place, int count)
        {
            ulong next = 0;
            await foreach (RecordedEvent e in subscription.EventsAsync(Wait.Token))
            {
                Assert.Equal(next++, place(e));
                if (next == (ulong)count)
                {
                    break;
                }
            }
        }
    }

    [Fact]
    public async Task From_the_end_delivers_what_is_appended_after_it_was_established_also_over_a_break()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await ReadTests.Fill(client, "a", 5);
        node.CutReadAfter = n => n == 1 ? 1 : null;
        await using Subscription subscription = client.SubscribeToAllAsync(new SubscribeOptions { FromEnd = true });
        Assert.Equal(4ul, (await subscription.GetHeadAsync()).LastPosition);
        await ReadTests.Fill(client, "a", 3);
        var positions = new List<ulong>();
        await foreach (RecordedEvent e in subscription.EventsAsync(Wait.Token))
        {
            positions.Add(e.Position);
            if (positions.Count == 3)
            {
                break;
            }
        }

        Assert.Equal([5ul, 6, 7], positions);
    }

    [Fact]
    public async Task From_the_end_delivers_own_appends_that_were_answered_before_the_head_came()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await ReadTests.Fill(client, "a", 5);
        var taken = new TaskCompletionSource();
        var gate = new TaskCompletionSource();
        node.BeforeHead = () =>
        {
            taken.TrySetResult();
            return gate.Task;
        };
        await using Subscription subscription = client.SubscribeToAllAsync(new SubscribeOptions { FromEnd = true });
        Task<ReadHead> head = subscription.GetHeadAsync();
        await taken.Task.WaitAsync(Wait.Limit);
        await ReadTests.Fill(client, "a", 2);
        gate.SetResult();
        Assert.Equal(4ul, (await head.WaitAsync(Wait.Limit)).LastPosition);
        Assert.Equal(5ul, (await subscription.EventsAsync(Wait.Token).FirstAsync()).Position);
    }

    [Fact]
    public void From_the_end_of_a_node_that_is_behind_begins_behind_what_the_client_had_seen_and_its_head_says_so()
    {
        var seen = new SeenPosition(ReadFrom.Any);
        seen.Observe(15);
        var plan = new SubscriptionPlan(stream: null, new SubscribeOptions { FromEnd = true }, seen);
        Assert.NotNull(plan.NextRequest().End);
        seen.Observe(20);
        Assert.Equal(15ul, plan.Begin(new ReadHead(10, DateTimeOffset.UnixEpoch, LastVersion: null)).LastPosition);
        Assert.Equal(16ul, plan.NextRequest().From.Position);
    }

    [Fact]
    public async Task From_the_end_of_an_empty_vault_begins_with_the_first_event_even_if_the_connection_breaks_before()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        node.CutReadAfter = n => n == 1 ? 0 : null;
        await using Subscription subscription = client.SubscribeToAllAsync(new SubscribeOptions { FromEnd = true });
        Assert.Null((await subscription.GetHeadAsync()).LastPosition);
        await ReadTests.Fill(client, "a", 2);
        await foreach (RecordedEvent e in subscription.EventsAsync(Wait.Token))
        {
            Assert.Equal(0ul, e.Position);
            break;
        }
    }

    [Fact]
    public async Task Begins_where_it_was_told_and_waits_for_a_stream_that_does_not_exist_yet()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        Subscription subscription = client.SubscribeToStreamAsync("later", new SubscribeOptions { From = ReadBound.Version(2) });
        Task<ulong> first = FirstVersion(subscription);
        await Wait.UntilAsync(() => node.ReadCalls == 1, "the subscription");
        Assert.False(first.IsCompleted);
        await ReadTests.Fill(client, "later", 4);
        Assert.Equal(2ul, await first.WaitAsync(Wait.Limit));

        static async Task<ulong> FirstVersion(Subscription subscription)
        {
            await foreach (RecordedEvent e in subscription.EventsAsync(Wait.Token))
            {
                return e.Version;
            }

            throw new InvalidOperationException("A subscription has no end.");
        }
    }

    [Fact]
    public async Task Gives_up_before_it_was_established_and_holds_on_afterwards()
    {
        var vault = new MemoryVault();
        ScriptedVault node = await ScriptedVault.StartAsync(vault);
        int port = new Uri(node.Address).Port;
        var options = new VaultClientOptions
        {
            Retry = new RetryPolicy { InitialDelay = TimeSpan.FromMilliseconds(1), MaxDelay = TimeSpan.FromMilliseconds(20), GiveUpAfter = TimeSpan.FromMilliseconds(150) },
            AppendTimeout = TimeSpan.FromSeconds(30),
        };
        await using VaultClient client = node.Connect(options);
        var told = new List<VaultException>();
        Subscription subscription = client.SubscribeToAllAsync(new SubscribeOptions { Interrupted = told.Add });
        await subscription.GetHeadAsync();
        Assert.Empty(told);
        await node.DisposeAsync();

        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.SubscribeToAllAsync().GetHeadAsync());
        Assert.Equal(VaultErrorCode.Unreachable, e.Code);

        Task<List<RecordedEvent>> follower = Take(subscription, 1);
        await Task.Delay(400);
        Assert.False(follower.IsCompleted);
        await using ScriptedVault again = await ScriptedVault.StartAsync(vault, port);
        await using VaultClient other = again.Connect();
        await ReadTests.Fill(other, "a", 1);
        Assert.Single(await follower.WaitAsync(Wait.Limit));
        Assert.NotEmpty(told);
        Assert.All(told, failure => Assert.Equal(VaultErrorCode.Unreachable, failure.Code));

        static async Task<List<RecordedEvent>> Take(Subscription subscription, int count)
        {
            var events = new List<RecordedEvent>();
            await foreach (RecordedEvent e in subscription.EventsAsync(Wait.Token))
            {
                events.Add(e);
                if (events.Count == count)
                {
                    break;
                }
            }

            return events;
        }
    }

    [Fact]
    public async Task What_is_thrown_by_who_is_told_of_an_interruption_ends_the_subscription()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await ReadTests.Fill(client, "a", 3);
        node.CutReadAfter = n => n == 1 ? 0 : null;
        await using Subscription subscription = client.SubscribeToAllAsync(new SubscribeOptions { Interrupted = static _ => throw new NotSupportedException("enough") });
        NotSupportedException thrown = await Assert.ThrowsAsync<NotSupportedException>(() => First(subscription));
        Assert.Equal("enough", thrown.Message);
        Assert.Equal(1, node.ReadCalls);

        static async Task First(Subscription subscription)
        {
            await foreach (RecordedEvent e in subscription.EventsAsync(Wait.Token))
            {
                return;
            }
        }
    }

    [Fact]
    public async Task Without_retries_the_first_failure_is_final_also_after_it_was_established()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(new VaultClientOptions { Retry = RetryPolicy.None });
        await ReadTests.Fill(client, "a", 5);
        node.CutReadAfter = _ => 3;
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.SubscribeToAllAsync().ToListAsync().WaitAsync(Wait.Limit));
        Assert.Equal(VaultErrorCode.Unreachable, e.Code);
        Assert.Equal(1, node.ReadCalls);
    }

    [Fact]
    public async Task Ends_by_cancellation_disposal_or_with_its_client()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        VaultClient client = node.Connect();
        using var cancel = new CancellationTokenSource();
        Task<List<SubscriptionMessage>> cancelled = client.SubscribeToAllAsync(cancellationToken: cancel.Token).ToListAsync();
        Subscription own = client.SubscribeToAllAsync();
        Task<List<SubscriptionMessage>> disposed = own.ToListAsync();
        Task<List<SubscriptionMessage>> orphaned = client.SubscribeToAllAsync().ToListAsync();
        await Wait.UntilAsync(() => node.ReadCalls == 3, "the subscriptions");
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled.WaitAsync(Wait.Limit));
        await own.DisposeAsync();
        Assert.Equal(VaultErrorCode.Closed, (await Assert.ThrowsAsync<VaultException>(() => disposed.WaitAsync(Wait.Limit))).Code);
        await client.DisposeAsync();
        Assert.Equal(VaultErrorCode.Closed, (await Assert.ThrowsAsync<VaultException>(() => orphaned.WaitAsync(Wait.Limit))).Code);
        Assert.Throws<ObjectDisposedException>(() => client.ReadAllAsync());
    }

    [Fact]
    public async Task Disposed_between_two_pages_it_was_cut_short_and_does_not_seem_to_have_ended()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await ReadTests.Fill(client, "a", 5);
        await using Subscription subscription = client.SubscribeToAllAsync();
        await using IAsyncEnumerator<EventPage> pages = subscription.PagesAsync(Wait.Token).GetAsyncEnumerator();
        Assert.True(await pages.MoveNextAsync());
        await subscription.DisposeAsync();
        Assert.Equal(VaultErrorCode.Closed, (await Assert.ThrowsAsync<VaultException>(async () => await pages.MoveNextAsync())).Code);

        Subscription unopened = client.SubscribeToAllAsync();
        await unopened.DisposeAsync();
        Task<ReadHead> head = Task.Run(unopened.GetHeadAsync);
        Assert.Equal(VaultErrorCode.Closed, (await Assert.ThrowsAsync<VaultException>(() => head.WaitAsync(Wait.Limit))).Code);
    }

    [Fact]
    public async Task Disposed_in_the_middle_of_a_page_it_delivers_no_further_event()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await ReadTests.Fill(client, "a", 9);
        node.EventsPerPage = 9;
        Subscription events = client.SubscribeToAllAsync();
        await OnlyFirst(events.EventsAsync(Wait.Token), events);
        Subscription messages = client.SubscribeToAllAsync();
        await OnlyFirst(messages, messages);
        ReadResult read = client.ReadAllAsync();
        await OnlyFirst(read, read);

        static async Task OnlyFirst<T>(IAsyncEnumerable<T> source, IAsyncDisposable disposed)
        {
            int count = 0;
            VaultException e = await Assert.ThrowsAsync<VaultException>(async () =>
            {
                await foreach (T item in source.WithCancellation(Wait.Token))
                {
                    count++;
                    await disposed.DisposeAsync();
                }
            });
            Assert.Equal((VaultErrorCode.Closed, 1), (e.Code, count));
        }
    }

    /// <summary>The page's memory is the call's buffer, which other reads got as soon as the subscription was disposed.</summary>
    [Fact]
    public async Task A_page_stays_as_it_is_though_the_subscription_is_disposed_and_others_read()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await ReadTests.Fill(client, "a", 50);
        await client.AppendAsync("b", ExpectedVersion.Any, Enumerable.Repeat(new EventData("other", new byte[1000]), 100));
        node.EventsPerPage = 50;
        for (int run = 0; run < 10; run++)
        {
            Subscription subscription = client.SubscribeToStreamAsync("a");
            await using IAsyncEnumerator<EventPage> pages = subscription.PagesAsync(Wait.Token).GetAsyncEnumerator();
            Assert.True(await pages.MoveNextAsync());
            await subscription.DisposeAsync();
            await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => client.ReadStreamAsync("b").ToListAsync()));
            for (int i = 0; i < 50; i++)
            {
                RecordedEvent e = pages.Current[i].ToEvent();
                Assert.Equal(("a", "happened", $"{{\"n\":{i}}}"), (e.Stream, e.Type, Encoding.UTF8.GetString(e.Data.Span)));
            }
        }
    }

    [Fact]
    public async Task From_and_from_the_end_together_are_refused()
    {
        await using VaultClient client = VaultClient.Connect("eventvault://127.0.0.1:1");
        Assert.Throws<ArgumentException>(() => client.SubscribeToAllAsync(new SubscribeOptions { FromEnd = true, From = ReadBound.Position(1) }));
    }
}
