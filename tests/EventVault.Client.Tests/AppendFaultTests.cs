using System.Collections.Concurrent;
using EventVault.Client.Tests.Support;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace EventVault.Client.Tests;

public sealed class AppendFaultTests
{
    [Theory]
    [InlineData(Fault.CutBefore)]
    [InlineData(Fault.CutAfter)]
    [InlineData(Fault.ResetBefore)]
    [InlineData(Fault.ResetAfter)]
    [InlineData(Fault.RefuseOverloaded)]
    [InlineData(Fault.RefuseDraining)]
    [InlineData(Fault.RefuseOutcomeUnknown)]
    [InlineData(Fault.EndCall)]
    [InlineData(Fault.EndCallDraining)]
    [InlineData(Fault.EndCallCredentialsEnded)]
    [InlineData(Fault.AnswerTwice)]
    public async Task A_passing_fault_is_made_good_unseen(Fault fault)
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.OnAppend = n => n is 3 or 9 ? fault : Fault.None;
        await using VaultClient client = node.Connect(Some.Quick);
        var tasks = new List<Task<AppendResult>>();
        for (int i = 0; i < 20; i++)
        {
            tasks.Add(client.AppendAsync("s", i == 0 ? ExpectedVersion.NoStream : ExpectedVersion.Exact((ulong)i - 1), Some.Event(i)));
        }

        AppendResult[] results = await Task.WhenAll(tasks);
        Assert.Equal(Enumerable.Range(0, 20).Select(i => (ulong)i), results.Select(r => r.LastVersion));
        Assert.Equal(20, node.Vault.Events.Count);
        bool lostAnswers = fault is Fault.CutAfter or Fault.ResetAfter or Fault.EndCallDraining or Fault.EndCallCredentialsEnded;
        Assert.True(!lostAnswers || results.Any(r => r.Deduplicated));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Random_faults_lose_nothing_double_nothing_and_keep_the_order(int seed)
    {
        Fault[] faults =
        [
            Fault.CutBefore, Fault.CutAfter, Fault.ResetBefore, Fault.ResetAfter, Fault.RefuseOverloaded, Fault.RefuseDraining,
            Fault.RefuseOutcomeUnknown, Fault.EndCall, Fault.EndCallDraining, Fault.AnswerTwice,
        ];
        const int Appenders = 16;
        const int Each = 150;
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        var random = new Random(seed);
        node.OnAppend = _ =>
        {
            lock (random)
            {
                return random.Next(40) == 0 ? faults[random.Next(faults.Length)] : Fault.None;
            }
        };
        await using VaultClient client = node.Connect(new VaultClientOptions { Retry = Some.Quick.Retry, MaxInFlightAppends = 100 });
        var order = new List<Guid>();
        var tasks = new ConcurrentBag<Task>();
        var acknowledged = new Dictionary<Guid, ulong>();
        await Task.WhenAll(Enumerable.Range(0, Appenders).Select(n => Task.Run(async () =>
        {
            for (int i = 0; i < Each; i++)
            {
                var operation = Guid.CreateVersion7();
                Task<AppendResult> append;
                lock (order)
                {
                    // Listed in the order of the calls, which is the order the session promises.
                    order.Add(operation);
                    append = client.AppendAsync($"s-{n}", ExpectedVersion.Any, Some.Event(i), new AppendOptions { OperationId = operation });
                }

                // Some appenders don't wait between their appends.
                if (n % 2 == 0)
                {
                    await Acknowledge(operation, append);
                }
                else
                {
                    tasks.Add(Acknowledge(operation, append));
                }
            }
        })));
        await Task.WhenAll(tasks);

        Assert.Equal(Appenders * Each, acknowledged.Count);
        Assert.Equal(order, node.Vault.Operations);
        Assert.Equal(order.Count, node.Vault.Events.Count);
        for (int i = 0; i < order.Count; i++)
        {
            Assert.True(acknowledged[order[i]] == (ulong)i, $"seed {seed}: the append at position {i} was told {acknowledged[order[i]]}");
        }

        async Task Acknowledge(Guid operation, Task<AppendResult> append)
        {
            AppendResult result = await append;
            lock (acknowledged)
            {
                acknowledged.Add(operation, result.FirstPosition);
            }
        }
    }

    [Fact]
    public async Task A_full_store_is_final_and_definite_for_all_it_refused()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.OnAppend = n => n == 2 ? Fault.RefuseStoreFull : Fault.None;
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        node.BeforeAppend = n => n == 1 ? gate.Task : Task.CompletedTask;
        await using VaultClient client = node.Connect(Some.Quick);
        Task<AppendResult> first = client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        await Wait.UntilAsync(() => node.Appends == 1, "the first append");
        Task<AppendResult> refused = client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        gate.SetResult();
        await first;
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => refused);
        Assert.Equal(VaultErrorCode.StoreFull, e.Code);
        Assert.False(e.IsTransient);
        Assert.Equal(1ul, (await client.AppendAsync("s", ExpectedVersion.Any, Some.Event())).LastVersion);
    }

    [Fact]
    public async Task Timed_out_in_the_queue_is_final_for_that_append_and_the_next_ones_go_on()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.OnAppend = n => n == 1 ? Fault.RefuseTimedOut : Fault.None;
        await using VaultClient client = node.Connect(Some.Quick);
        Task<AppendResult> late = client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        Task<AppendResult> next = client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => late);
        Assert.Equal(VaultErrorCode.TimedOutInQueue, e.Code);
        Assert.Equal(0ul, (await next).LastVersion);
        Assert.Single(node.Vault.Events);
    }

    [Fact]
    public async Task An_append_behind_one_that_alone_timed_out_in_the_queue_is_sent()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.OnAppend = n => n % 2 == 1 ? Fault.RefuseTimedOut : Fault.None;
        await using VaultClient client = node.Connect(Some.Quick);

        // Several times, because each of them comes to the session's loop at another moment.
        for (int i = 0; i < 20; i++)
        {
            VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
            Assert.Equal(VaultErrorCode.TimedOutInQueue, e.Code);
            Assert.Equal((ulong)i, (await client.AppendAsync("s", ExpectedVersion.Any, Some.Event())).LastVersion);
        }
    }

    [Fact]
    public async Task A_time_out_with_the_append_under_way_is_an_unknown_outcome_that_a_repeat_resolves()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        node.BeforeAppend = n => n == 1 ? gate.Task : Task.CompletedTask;
        await using VaultClient client = node.Connect(Some.Quick);
        var options = new AppendOptions { OperationId = Guid.NewGuid(), Timeout = TimeSpan.FromMilliseconds(200) };
        EventData e = Some.Event();
        Task<AppendResult> append = client.AppendAsync("s", ExpectedVersion.Any, e, options);
        VaultException failure = await Assert.ThrowsAsync<VaultException>(() => append);
        Assert.Equal(VaultErrorCode.OutcomeUnknown, failure.Code);
        Assert.True(failure.IsTransient);
        Assert.Contains(options.OperationId.ToString()!, failure.Message, StringComparison.Ordinal);
        gate.SetResult();
        AppendResult again = await client.AppendAsync("s", ExpectedVersion.Any, e, options with { Timeout = TimeSpan.FromSeconds(30) });
        Assert.Equal(0ul, again.LastVersion);
        Assert.Single(node.Vault.Events);
    }

    [Fact]
    public async Task An_unknown_outcome_names_the_operation_id_that_the_client_made()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.OnAppend = n => n == 1 ? Fault.CutAfter : Fault.None;
        await using VaultClient client = node.Connect(new VaultClientOptions { Retry = RetryPolicy.None });
        EventData e = Some.Event();
        VaultException unknown = await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, e));
        Assert.Equal(VaultErrorCode.OutcomeUnknown, unknown.Code);
        Assert.Equal(Assert.Single(node.Vault.Operations), unknown.OperationId);
        AppendResult again = await client.AppendAsync(
            "s", ExpectedVersion.Any, e, new AppendOptions { OperationId = unknown.OperationId, AttemptedAfter = unknown.AttemptedAfter });
        Assert.True(again.Deduplicated);
        Assert.Single(node.Vault.Events);

        node.OnAppend = _ => Fault.RefuseStoreFull;
        Assert.Null((await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, e))).OperationId);
    }

    [Theory]
    [InlineData(Fault.CutAfter)]
    [InlineData(Fault.EndCallCredentialsEnded)]
    public async Task A_lost_answer_with_no_time_left_is_an_unknown_outcome(Fault fault)
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.OnAppend = _ => fault;
        await using VaultClient client = node.Connect(new VaultClientOptions { Retry = RetryPolicy.None });
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        Assert.True(e.Code == VaultErrorCode.OutcomeUnknown, e.ToString());
        Assert.Single(node.Vault.Events);
    }

    [Theory]
    [InlineData(Fault.LimitExceeded, VaultErrorCode.LimitExceeded)]
    [InlineData(Fault.UnknownField, VaultErrorCode.UnknownField)]
    [InlineData(Fault.Damaged, VaultErrorCode.Damaged)]
    public async Task A_repeat_that_is_refused_before_its_operation_id_is_looked_for_leaves_the_first_attempt_open(Fault fault, VaultErrorCode code)
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.OnAppend = n => n switch { 1 => Fault.CutAfter, 2 or 3 => fault, _ => Fault.None };
        await using VaultClient client = node.Connect(Some.Quick);
        VaultException e = await Assert.ThrowsAnyAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        Assert.Equal(VaultErrorCode.OutcomeUnknown, e.Code);
        Assert.Equal(code, Assert.IsAssignableFrom<VaultException>(e.InnerException).Code);
        Assert.Single(node.Vault.Events);

        // Without an attempt before it, it is told as it is.
        Assert.Equal(code, (await Assert.ThrowsAnyAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()))).Code);
    }

    [Fact]
    public async Task A_check_that_fails_when_an_append_is_repeated_holds_for_the_first_attempt_too()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.OnAppend = n => n == 1 ? Fault.CutBefore : Fault.None;
        await using VaultClient client = node.Connect(Some.Quick);
        await Assert.ThrowsAsync<WrongExpectedVersionException>(() => client.AppendAsync("s", ExpectedVersion.Exact(5), Some.Event()));
        Assert.Equal(2, node.Appends);
    }

    [Fact]
    public async Task Without_a_node_the_failure_is_definite()
    {
        string address;
        await using (ScriptedVault node = await ScriptedVault.StartAsync())
        {
            address = node.Address;
        }

        await using VaultClient client = VaultClient.Connect(
            address, new VaultClientOptions { AppendTimeout = TimeSpan.FromMilliseconds(300), Retry = Some.Quick.Retry });
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        Assert.Equal(VaultErrorCode.Unreachable, e.Code);
        Assert.True(e.IsTransient);
        Assert.Contains("definitely not written", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_peer_that_accepts_and_never_answers_leaves_appends_definitely_unwritten()
    {
        using var silent = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        silent.Start();
        await using VaultClient client = VaultClient.Connect(
            $"eventvault://{silent.LocalEndpoint}", new VaultClientOptions { AppendTimeout = TimeSpan.FromMilliseconds(300), CloseTimeout = TimeSpan.Zero });
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        Assert.Equal(VaultErrorCode.Unreachable, e.Code);
    }

    [Fact]
    public async Task A_server_that_is_no_vault_is_told_at_once()
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new());
        builder.WebHost.UseKestrelCore();
        builder.WebHost.ConfigureKestrel(o => o.Listen(System.Net.IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http2));
        await using WebApplication app = builder.Build();
        app.Run(http => http.Response.WriteAsync("hello"));
        await app.StartAsync();
        await using VaultClient client = VaultClient.Connect(app.Urls.First());
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()).WaitAsync(Wait.Limit));
        Assert.Equal(VaultErrorCode.Unknown, e.Code);
        Assert.Contains("instead of gRPC", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Refused_until_its_time_is_up_is_definite_and_carries_the_refusal()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.OnAppend = _ => Fault.RefuseOverloaded;
        await using VaultClient client = node.Connect(new VaultClientOptions
        {
            // It gives up while it waits to try again, so that no attempt is under way then.
            Retry = new RetryPolicy { InitialDelay = TimeSpan.FromMinutes(1), MaxDelay = TimeSpan.FromMinutes(1), GiveUpAfter = TimeSpan.FromMilliseconds(100) },
        });
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        Assert.Equal(VaultErrorCode.Overloaded, e.Code);
        Assert.Equal(TimeSpan.FromMilliseconds(1), e.RetryAfter);
        Assert.Contains("definitely not written", e.Message, StringComparison.Ordinal);
        Assert.Empty(node.Vault.Events);
    }

    [Fact]
    public async Task A_node_that_comes_back_gets_what_waited_in_order()
    {
        var vault = new MemoryVault();
        ScriptedVault node = await ScriptedVault.StartAsync(vault);
        int port = new Uri(node.Address).Port;
        await using VaultClient client = node.Connect(Some.Quick);
        await client.AppendAsync("s", ExpectedVersion.NoStream, Some.Event());
        await node.DisposeAsync();
        Task<AppendResult>[] appends = [.. Enumerable.Range(0, 100).Select(i => client.AppendAsync("s", ExpectedVersion.Exact((ulong)i), Some.Event(i)))];
        await Task.Delay(50);
        Assert.DoesNotContain(appends, a => a.IsCompleted);
        await using ScriptedVault again = await ScriptedVault.StartAsync(vault, port);
        AppendResult[] results = await Task.WhenAll(appends);
        Assert.Equal(Enumerable.Range(1, 100).Select(i => (ulong)i), results.Select(r => r.LastVersion));
    }

    [Theory]
    [InlineData(Fault.AnswerOutOfTurn)]
    [InlineData(Fault.AnswerGarbage)]
    public async Task A_peer_that_breaks_the_protocol_leaves_an_unknown_outcome_and_the_client_usable(Fault fault)
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.OnAppend = n => n == 1 ? fault : Fault.None;
        await using VaultClient client = node.Connect(Some.Quick);
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        Assert.Equal(VaultErrorCode.OutcomeUnknown, e.Code);
        Assert.Equal(VaultErrorCode.ProtocolViolation, Assert.IsType<VaultException>(e.InnerException).Code);
        Assert.Equal(1ul, (await client.AppendAsync("s", ExpectedVersion.Any, Some.Event())).LastVersion);
    }

    [Fact]
    public async Task Disposing_waits_for_what_is_in_flight_and_takes_nothing_new()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        node.BeforeAppend = _ => gate.Task;
        VaultClient client = node.Connect();
        Task<AppendResult>[] appends = [.. Enumerable.Range(0, 50).Select(i => client.AppendAsync("s", ExpectedVersion.Any, Some.Event(i)))];
        ValueTask closing = client.DisposeAsync();
        Assert.Throws<ObjectDisposedException>(() => { _ = client.AppendAsync("s", ExpectedVersion.Any, Some.Event()); });
        gate.SetResult();
        await closing;
        await Task.WhenAll(appends);
        Assert.Equal(50, node.Vault.Events.Count);
    }

    [Fact]
    public async Task Whoever_disposes_meanwhile_waits_for_the_same_end()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        node.BeforeAppend = _ => gate.Task;
        VaultClient client = node.Connect(new VaultClientOptions { CloseTimeout = TimeSpan.FromMinutes(10) });
        Task<AppendResult> append = client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        Task first = client.DisposeAsync().AsTask();
        Task second = client.DisposeAsync().AsTask();
        Assert.False(first.IsCompleted);
        Assert.False(second.IsCompleted);
        gate.SetResult();
        await Task.WhenAll(first, second).WaitAsync(Wait.Limit);
        await append;
        await client.DisposeAsync();
    }

    [Fact]
    public async Task Disposing_gives_up_after_its_time_out_and_says_which_outcomes_are_unknown()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        node.BeforeAppend = _ => gate.Task;
        VaultClient client = node.Connect(new VaultClientOptions { CloseTimeout = TimeSpan.FromMilliseconds(100), MaxInFlightAppends = 1 });
        Task<AppendResult> sent = client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        await Wait.UntilAsync(() => node.Appends == 1, "the first append");
        Task<AppendResult> waiting = client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        await client.DisposeAsync().AsTask().WaitAsync(Wait.Limit);
        Assert.Equal(VaultErrorCode.OutcomeUnknown, (await Assert.ThrowsAsync<VaultException>(() => sent)).Code);
        Assert.Equal(VaultErrorCode.Closed, (await Assert.ThrowsAsync<VaultException>(() => waiting)).Code);
        gate.SetResult();
    }
}
