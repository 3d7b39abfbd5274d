using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

/// <summary>What a retry says of the time before its first attempt, and what becomes of one that comes too late.</summary>
public sealed class RetryTests
{
    [Fact]
    public async Task Only_retries_say_what_had_been_seen_before_the_first_attempt()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        Assert.Equal([null], node.Vault.AttemptedAfters);

        node.OnAppend = n => n is 2 ? Fault.CutAfter : Fault.None;
        Assert.True((await client.AppendAsync("s", ExpectedVersion.Any, Some.Event())).Deduplicated);

        // The answer that got lost was position 1; what had been seen before it was 0.
        Assert.Equal([null, null, new SeenHead(0)], node.Vault.AttemptedAfters);
    }

    [Fact]
    public async Task Before_the_first_event_a_retry_says_that_the_vault_was_empty()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.OnAppend = n => n is 1 ? Fault.CutAfter : Fault.None;
        await using VaultClient client = node.Connect(Some.Quick);
        Assert.True((await client.AppendAsync("s", ExpectedVersion.Any, Some.Event())).Deduplicated);
        Assert.Equal([null, new SeenHead(null)], node.Vault.AttemptedAfters);
    }

    [Fact]
    public async Task An_attempt_that_was_refused_for_certain_does_not_count_as_one()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.OnAppend = n => n is 1 ? Fault.RefuseOverloaded : Fault.None;
        await using VaultClient client = node.Connect(Some.Quick);
        await client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        Assert.Equal([null], node.Vault.AttemptedAfters);
    }

    [Fact]
    public async Task A_retry_beyond_the_horizon_is_refused_and_writes_nothing()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await ReadTests.Fill(client, "filler", 5);
        node.Vault.OperationFloor = 20;
        int next = node.Appends + 1;
        node.OnAppend = n => n == next ? Fault.CutAfter : Fault.None;
        RetryTooOldException e = await Assert.ThrowsAsync<RetryTooOldException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        Assert.Equal((20ul, VaultErrorCode.RetryTooOld, false), (e.Floor, e.Code, e.IsTransient));
        Assert.Equal(6, node.Vault.Events.Count);
        Assert.Equal(20ul, (await client.GetInfoAsync()).OperationFloor);
    }

    [Fact]
    public async Task A_caller_that_repeats_an_append_of_unknown_outcome_is_told_what_to_say()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(new VaultClientOptions { Retry = RetryPolicy.None });
        await ReadTests.Fill(client, "filler", 3);
        int next = node.Appends + 1;
        node.OnAppend = n => n == next ? Fault.CutAfter : Fault.None;
        EventData e = Some.Event();
        var options = new AppendOptions { OperationId = Guid.NewGuid() };
        VaultException unknown = await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, e, options));
        Assert.Equal((VaultErrorCode.OutcomeUnknown, new SeenHead(2)), (unknown.Code, unknown.AttemptedAfter));

        await using VaultClient other = node.Connect();
        var repeat = options with { AttemptedAfter = unknown.AttemptedAfter };
        Assert.True((await other.AppendAsync("s", ExpectedVersion.Any, e, repeat)).Deduplicated);
        Assert.Equal(new SeenHead(2), node.Vault.AttemptedAfters[^1]);

        node.Vault.OperationFloor = 100;
        await Assert.ThrowsAsync<RetryTooOldException>(() => other.AppendAsync("s", ExpectedVersion.Any, e, repeat));
        Assert.Equal(4, node.Vault.Events.Count);
    }

    [Fact]
    public async Task An_append_is_found_by_its_operation_id()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        var options = new AppendOptions { OperationId = Guid.NewGuid() };
        AppendResult written = await client.AppendAsync(
            [new StreamAppend("a", ExpectedVersion.Any, [Some.Event()]), new StreamAppend("b", ExpectedVersion.Any, [Some.Event(), Some.Event()])], options);
        AppendResult found = await client.GetAppendAsync(options.OperationId.Value);
        Assert.Equal(
            (written.FirstPosition, written.LastPosition, written.RecordedAt, written.LastVersion),
            (found.FirstPosition, found.LastPosition, found.RecordedAt, found.LastVersion));
        Assert.Equal(written.Streams, found.Streams);

        // Whether it was written must not be judged by a node that is behind.
        Assert.Null(node.Consistencies.Last());
        Assert.Equal(
            VaultErrorCode.OperationNotFound,
            (await Assert.ThrowsAsync<VaultException>(() => client.GetAppendAsync(Guid.NewGuid()))).Code);
    }

    [Fact]
    public void Of_what_was_seen_only_the_highest_counts()
    {
        var seen = new SeenPosition(ReadFrom.Any);
        Assert.Null(seen.Head);
        seen.Observe(null);
        Assert.Equal((new SeenHead(null), null), (seen.Head, seen.Position));
        seen.Observe(0);
        Assert.Equal((new SeenHead(0), 0ul), (seen.Head, seen.Position));
        Parallel.For(0, 1000, i => seen.Observe((ulong)((i * 7919) % 1000)));
        seen.Observe(3);
        seen.Observe(null);
        Assert.Equal(999ul, seen.Position);
        seen.Observe(ulong.MaxValue);
        Assert.Equal((ulong)long.MaxValue - 1, seen.Position);
    }
}
