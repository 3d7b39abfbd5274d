using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

public sealed class AppendTests
{
    [Fact]
    public async Task An_append_comes_back_field_by_field()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        var sent = new EventData("order-placed", "{\"total\":12}"u8.ToArray())
        {
            ContentType = "application/json",
            SchemaVersion = 3,
            Tags = ["a", "ü"],
            Metadata = new Dictionary<string, string> { ["correlationId"] = "c-1", ["empty"] = "" },
            OccurredAt = new DateTimeOffset(2001, 2, 3, 4, 5, 6, TimeSpan.FromHours(2)).AddTicks(7),
        };
        AppendResult result = await client.AppendAsync("order-1", ExpectedVersion.NoStream, sent);
        Assert.Equal((0ul, 0ul, 0ul, false), (result.FirstPosition, result.LastPosition, result.LastVersion, result.Deduplicated));
        Assert.Equal([new StreamVersion("order-1", 0)], result.Streams);

        RecordedEvent read = Assert.Single(await client.ReadStreamAsync("order-1").ToListAsync());
        Assert.Equal(("order-1", 0ul, 0ul), (read.Stream, read.Version, read.Position));
        Assert.Equal(result.RecordedAt, read.RecordedAt);
        Assert.Equal(sent.Id, read.Id);
        Assert.Equal(("order-placed", "application/json", 3u, true), (read.Type, read.ContentType, read.SchemaVersion, read.IsJson));
        Assert.Equal(sent.Data.ToArray(), read.Data.ToArray());
        Assert.Equal(sent.Tags, read.Tags);
        Assert.Equal(sent.Metadata.OrderBy(m => m.Key), read.Metadata.OrderBy(m => m.Key));
        Assert.Equal(sent.OccurredAt.Value.UtcTicks, read.OccurredAt!.Value.UtcTicks);

        // On the wire ids stand in network byte order.
        Assert.Equal(sent.Id.ToByteArray(bigEndian: true), node.Vault.Events[0].Event.Id.ToByteArray());
    }

    // As reducers of the node have it.
    [Theory]
    [InlineData("", true)]
    [InlineData("application/json", true)]
    [InlineData("Application/JSON; charset=utf-8", true)]
    [InlineData("application/problem+json", true)]
    [InlineData("text/plain", false)]
    [InlineData("application/jsonl", false)]
    [InlineData("+json", false)]
    [InlineData("application/json\u00a0", false)]
    [InlineData("\tapplication/json ", true)]
    [InlineData("text/plain; note=application/json", false)]
    public void Content_types_of_json_are_known(string contentType, bool isJson) =>
        Assert.Equal(isJson, new EventData("T", ReadOnlyMemory<byte>.Empty) { ContentType = contentType }.IsJson);

    [Fact]
    public async Task Several_streams_are_one_append_and_list_their_versions_in_order()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        AppendResult result = await client.AppendAsync([
            new StreamAppend("b", ExpectedVersion.NoStream, [Some.Event(), Some.Event()]),
            new StreamAppend("a", ExpectedVersion.Any, [Some.Event()]),
        ]);
        Assert.Equal([new StreamVersion("b", 1), new StreamVersion("a", 0)], result.Streams);
        Assert.Equal((0ul, 2ul), (result.FirstPosition, result.LastPosition));
    }

    [Fact]
    public async Task A_conflict_tells_all_streams_and_stops_only_its_own_append()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await client.AppendAsync("a", ExpectedVersion.NoStream, Some.Event());
        Task<AppendResult> before = client.AppendAsync("a", ExpectedVersion.Exact(0), Some.Event());
        Task<AppendResult> conflict = client.AppendAsync([
            new StreamAppend("a", ExpectedVersion.Exact(0), [Some.Event()]),
            new StreamAppend("b", ExpectedVersion.Exists, [Some.Event()]),
        ]);
        Task<AppendResult> after = client.AppendAsync("a", ExpectedVersion.Exact(1), Some.Event());

        WrongExpectedVersionException e = await Assert.ThrowsAsync<WrongExpectedVersionException>(() => conflict);
        Assert.Equal(("a", ExpectedVersion.Exact(0), 1ul), (e.Stream, e.Expected, e.Actual));
        Assert.Equal(
            [new VersionConflict("a", ExpectedVersion.Exact(0), 1), new VersionConflict("b", ExpectedVersion.Exists, null)],
            e.Conflicts);
        Assert.False(e.IsTransient);
        Assert.Equal(1ul, (await before).LastVersion);
        Assert.Equal(2ul, (await after).LastVersion);
        Assert.Equal(1, node.Sessions);
    }

    [Fact]
    public async Task Appends_started_one_after_the_other_are_written_in_that_order()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        var tasks = new List<Task<AppendResult>>();
        for (int i = 0; i < 2_000; i++)
        {
            tasks.Add(client.AppendAsync("s", i == 0 ? ExpectedVersion.NoStream : ExpectedVersion.Exact((ulong)i - 1), Some.Event(i)));
        }

        AppendResult[] results = await Task.WhenAll(tasks);
        Assert.Equal(Enumerable.Range(0, 2_000).Select(i => (ulong)i), results.Select(r => r.LastVersion));
        Assert.Equal(1, node.Sessions);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public async Task Concurrent_appenders_share_the_sessions(int sessions)
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(new VaultClientOptions { Sessions = sessions });
        await Task.WhenAll(Enumerable.Range(0, 32).Select(n => Task.Run(async () =>
        {
            for (ulong i = 0; i < 50; i++)
            {
                AppendResult r = await client.AppendAsync($"s-{n}", i == 0 ? ExpectedVersion.NoStream : ExpectedVersion.Exact(i - 1), Some.Event());
                Assert.Equal(i, r.LastVersion);
            }
        })));
        Assert.Equal(1600, node.Vault.Events.Count);
        Assert.InRange(node.Sessions, 1, sessions);
    }

    [Fact]
    public async Task The_same_operation_id_is_answered_with_the_first_answer()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        var options = new AppendOptions { OperationId = Guid.NewGuid() };
        EventData e = Some.Event();
        AppendResult first = await client.AppendAsync("s", ExpectedVersion.NoStream, e, options);
        AppendResult second = await client.AppendAsync("s", ExpectedVersion.NoStream, e, options);
        Assert.False(first.Deduplicated);
        Assert.True(second.Deduplicated);
        Assert.Equal(first.FirstPosition, second.FirstPosition);
        Assert.Equal(options.OperationId, Assert.Single(node.Vault.Operations));
    }

    [Fact]
    public async Task Appending_the_same_event_object_twice_is_two_appends()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        EventData own = Some.Event();
        await client.AppendAsync("s", ExpectedVersion.Any, own);
        await client.AppendAsync("s", ExpectedVersion.Any, own);

        // An id of the caller's making is never an operation id: it may well stand in several appends.
        var given = new EventData("t", default) { Id = Guid.NewGuid() };
        await client.AppendAsync("s", ExpectedVersion.Any, given);
        await client.AppendAsync("s", ExpectedVersion.Any, new EventData("t", default) { Id = given.Id });

        Assert.Equal(4, node.Vault.Events.Count);
        Assert.Equal(own.Id, node.Vault.Operations[0]);
        Assert.NotEqual(own.Id, node.Vault.Operations[1]);
        Assert.DoesNotContain(given.Id, node.Vault.Operations);
    }

    [Fact]
    public async Task Cancelling_cancels_the_waiting_and_not_the_append()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        node.BeforeAppend = _ => gate.Task;
        await using VaultClient client = node.Connect();
        using var cancel = new CancellationTokenSource();
        Task<AppendResult> append = client.AppendAsync("s", ExpectedVersion.Any, Some.Event(), cancellationToken: cancel.Token);
        await Wait.UntilAsync(() => node.Appends == 1, "the append to arrive");
        await cancel.CancelAsync();
        OperationCanceledException e = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => append);
        Assert.Equal(cancel.Token, e.CancellationToken);
        gate.SetResult();
        Assert.Equal(1ul, (await client.AppendAsync("s", ExpectedVersion.Exact(0), Some.Event())).LastVersion);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => client.AppendAsync("s", ExpectedVersion.Any, Some.Event(), cancellationToken: cancel.Token));
        Assert.Equal(2, node.Vault.Events.Count);
    }

    [Fact]
    public async Task A_caller_that_blocks_on_another_append_of_the_same_answer_is_late_and_not_stuck()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        node.BeforeAppend = _ => gate.Task;
        await using VaultClient client = node.Connect();
        Task<AppendResult>[] appends = [.. Enumerable.Range(0, 20).Select(i => client.AppendAsync("s", ExpectedVersion.Any, Some.Event(i)))];
        Task blocking = BlockAfter(appends[0], appends[19]);
        gate.SetResult();
        await blocking.WaitAsync(Wait.Limit);
        await Task.WhenAll(appends).WaitAsync(Wait.Limit);

        static async Task BlockAfter(Task<AppendResult> first, Task<AppendResult> last)
        {
            await first;
#pragma warning disable xUnit1031 // Blocking is what this test is about.
            Assert.True(last.Wait(Wait.Limit), "the last append of the answer was never completed");
#pragma warning restore xUnit1031
        }
    }

    [Fact]
    public async Task What_is_on_its_way_stays_within_the_limits_and_everything_arrives()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        node.BeforeAppend = n => n == 1 ? gate.Task : Task.CompletedTask;
        const int Limit = 8;
        await using VaultClient client = node.Connect(new VaultClientOptions { MaxInFlightAppends = Limit });
        Task<AppendResult>[] appends = [.. Enumerable.Range(0, 500).Select(i => client.AppendAsync("s", ExpectedVersion.Any, Some.Event(i)))];
        await Wait.UntilAsync(() => node.Appends == 1, "the first append to arrive");
        await Task.Delay(100);
        Assert.Equal(1, node.Appends);
        Assert.Empty(node.Vault.Events);
        gate.SetResult();
        AppendResult[] results = await Task.WhenAll(appends);
        Assert.Equal(Enumerable.Range(0, 500).Select(i => (ulong)i), results.Select(r => r.LastVersion));
    }

    [Fact]
    public async Task An_append_larger_than_the_byte_limit_goes_alone()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(new VaultClientOptions { MaxInFlightBytes = 1000 });
        byte[] large = new byte[100_000];
        Task<AppendResult>[] appends = [.. Enumerable.Range(0, 40).Select(i =>
            client.AppendAsync("s", ExpectedVersion.Any, i % 3 == 0 ? new EventData("large", large) : Some.Event(i)))];
        AppendResult[] results = await Task.WhenAll(appends);
        Assert.Equal(Enumerable.Range(0, 40).Select(i => (ulong)i), results.Select(r => r.LastVersion));
    }

    [Fact]
    public async Task A_list_that_changes_after_the_call_fails_its_own_append_only()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        node.BeforeAppend = n => n == 1 ? gate.Task : Task.CompletedTask;
        await using VaultClient client = node.Connect(new VaultClientOptions { MaxInFlightBytes = 1 });
        Task<AppendResult> first = client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        await Wait.UntilAsync(() => node.Appends == 1, "the first append to arrive");

        // No room to encode ahead, so the writer does it later.
        List<EventData> events = [Some.Event()];
        Task<AppendResult> second = client.AppendAsync([new StreamAppend("s", ExpectedVersion.Any, events)]);
        events.Add(Some.Event());
        Task<AppendResult> third = client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        gate.SetResult();
        await first;
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => second);
        Assert.Equal(VaultErrorCode.InvalidRequest, e.Code);
        Assert.Equal(1ul, (await third).LastVersion);
    }
}
