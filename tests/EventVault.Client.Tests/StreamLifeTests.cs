using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

/// <summary>Deleting, tombstoning and truncating streams.</summary>
public sealed class StreamLifeTests
{
    [Fact]
    public async Task A_deleted_stream_has_no_events_until_it_is_written_again_with_versions_going_on()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await ReadTests.Fill(client, "s", 3);
        AppendResult deleted = await client.DeleteStreamAsync("s", ExpectedVersion.Exact(2));
        Assert.Equal((3ul, "$streams", false), (deleted.FirstPosition, deleted.Streams[0].Stream, deleted.Deduplicated));
        await Assert.ThrowsAsync<StreamNotFoundException>(() => client.ReadStreamAsync("s").ToListAsync());
        await Assert.ThrowsAsync<StreamNotFoundException>(() => client.GetStreamAsync("s"));
        await Assert.ThrowsAsync<StreamNotFoundException>(() => client.DeleteStreamAsync("s", ExpectedVersion.Any));
        Assert.Equal("$stream-deleted", Assert.Single(await client.ReadAllAsync(new ReadOptions { IncludeSystem = true }).ToListAsync()).Type);

        Assert.Equal(3ul, (await client.AppendAsync("s", ExpectedVersion.NoStream, Some.Event())).LastVersion);
        Assert.Equal(3ul, Assert.Single(await client.ReadStreamAsync("s").ToListAsync()).Version);
        StreamInfo info = await client.GetStreamAsync("s");
        Assert.Equal((3ul, 3ul, 1ul), (info.FirstVersion, info.LastVersion, info.EventCount));
    }

    [Fact]
    public async Task A_tombstoned_stream_is_never_written_again()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await ReadTests.Fill(client, "s", 1);
        await client.DeleteStreamAsync("s", ExpectedVersion.Exists, tombstone: true);
        StreamTombstonedException e = await Assert.ThrowsAsync<StreamTombstonedException>(
            () => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        Assert.Equal(("s", VaultErrorCode.StreamTombstoned, false), (e.Stream, e.Code, e.IsTransient));
        await Assert.ThrowsAsync<StreamTombstonedException>(() => client.DeleteStreamAsync("s", ExpectedVersion.Any));
    }

    [Fact]
    public async Task Truncating_takes_away_the_oldest_events_only()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await ReadTests.Fill(client, "s", 5);
        await client.TruncateStreamAsync("s", before: 3, ExpectedVersion.Any);
        await client.TruncateStreamAsync("s", before: 1, ExpectedVersion.Any);
        Assert.Equal([3ul, 4], (await client.ReadStreamAsync("s").ToListAsync()).Select(e => e.Version));
        Assert.Equal([4ul, 3], (await client.ReadStreamAsync("s", new ReadOptions { Direction = Direction.Backwards }).ToListAsync()).Select(e => e.Version));
        Assert.Equal([3ul, 4], (await client.ReadAllAsync().ToListAsync()).Select(e => e.Position));
        StreamInfo info = await client.GetStreamAsync("s");
        Assert.Equal((3ul, 4ul, 2ul), (info.FirstVersion, info.LastVersion, info.EventCount));
        await Assert.ThrowsAsync<WrongExpectedVersionException>(() => client.TruncateStreamAsync("s", before: 5, ExpectedVersion.Exact(3)));
    }

    [Theory]
    [InlineData(Fault.CutAfter, true)]
    [InlineData(Fault.RefuseDraining, false)]
    public async Task A_lost_answer_is_made_good_by_a_retry_under_the_same_operation_id(Fault fault, bool isRepeat)
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await ReadTests.Fill(client, "s", 2);
        node.OnChange = n => n == 1 ? fault : Fault.None;
        AppendResult deleted = await client.DeleteStreamAsync("s", ExpectedVersion.Exact(1));
        Assert.Equal((2ul, isRepeat), (deleted.FirstPosition, deleted.Deduplicated));
        Assert.Equal(3, node.Vault.Events.Count);
        Assert.Equal(isRepeat ? new SeenHead(1) : null, node.Vault.AttemptedAfters[^1]);
    }

    [Fact]
    public async Task Without_an_answer_the_outcome_is_unknown_and_a_refusal_later_does_not_make_it_known()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await ReadTests.Fill(client, "s", 2);
        node.OnChange = n => n == 1 ? Fault.CutAfter : Fault.RefuseStoreFull;
        var options = new ChangeOptions { OperationId = Guid.NewGuid() };
        VaultException unknown = await Assert.ThrowsAsync<VaultException>(() => client.DeleteStreamAsync("s", ExpectedVersion.Any, options: options));
        Assert.Equal((VaultErrorCode.OutcomeUnknown, new SeenHead(1), options.OperationId), (unknown.Code, unknown.AttemptedAfter, unknown.OperationId));
        Assert.Contains(options.OperationId.Value.ToString(), unknown.Message, StringComparison.Ordinal);

        node.OnChange = _ => Fault.None;
        AppendResult again = await client.DeleteStreamAsync(
            "s", ExpectedVersion.Any, options: options with { AttemptedAfter = unknown.AttemptedAfter });
        Assert.True(again.Deduplicated);
        Assert.Equal(2ul, (await client.GetAppendAsync(options.OperationId.Value)).FirstPosition);
    }

    [Theory]
    [InlineData(Fault.LimitExceeded, VaultErrorCode.LimitExceeded)]
    [InlineData(Fault.UnknownField, VaultErrorCode.UnknownField)]
    [InlineData(Fault.Damaged, VaultErrorCode.Damaged)]
    public async Task A_repeat_that_is_refused_before_its_operation_id_is_looked_for_leaves_the_first_attempt_open(Fault fault, VaultErrorCode code)
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await ReadTests.Fill(client, "s", 2);
        node.OnChange = n => n == 1 ? Fault.CutAfter : fault;
        VaultException e = await Assert.ThrowsAnyAsync<VaultException>(() => client.DeleteStreamAsync("s", ExpectedVersion.Any));
        Assert.Equal(VaultErrorCode.OutcomeUnknown, e.Code);
        Assert.Equal(code, Assert.IsAssignableFrom<VaultException>(e.InnerException).Code);
        Assert.Equal(3, node.Vault.Events.Count);

        // Without an attempt before it, it is told as it is.
        Assert.Equal(code, (await Assert.ThrowsAnyAsync<VaultException>(() => client.DeleteStreamAsync("s", ExpectedVersion.Any))).Code);
    }

    [Fact]
    public async Task A_check_that_fails_when_a_change_is_repeated_holds_for_the_first_attempt_too()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await ReadTests.Fill(client, "s", 2);
        node.OnChange = n => n == 1 ? Fault.CutBefore : Fault.None;
        await Assert.ThrowsAsync<WrongExpectedVersionException>(() => client.DeleteStreamAsync("s", ExpectedVersion.Exact(5)));
        Assert.Equal(2, node.Changes);
    }

    [Fact]
    public async Task A_refusal_alone_is_told_as_it_is()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await ReadTests.Fill(client, "s", 1);
        node.OnChange = _ => Fault.RefuseStoreFull;
        Assert.Equal(
            VaultErrorCode.StoreFull,
            (await Assert.ThrowsAsync<VaultException>(() => client.DeleteStreamAsync("s", ExpectedVersion.Any))).Code);
    }

    [Fact]
    public async Task Who_says_how_old_the_first_attempt_is_names_it()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        var change = new ChangeOptions { AttemptedAfter = new SeenHead(0) };
        await Assert.ThrowsAsync<ArgumentException>(() => client.DeleteStreamAsync("s", ExpectedVersion.Any, options: change));
        await Assert.ThrowsAsync<ArgumentException>(() => client.RemoveRetentionAsync(RetentionScope.Stream("s"), change));
        var append = new AppendOptions { AttemptedAfter = new SeenHead(0) };
        await Assert.ThrowsAsync<ArgumentException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event(), append));
        Assert.Empty(node.Vault.AttemptedAfters);
    }

    [Fact]
    public async Task Wrong_arguments_are_refused_before_anything_is_sent()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        Assert.Equal(VaultErrorCode.InvalidName, await CodeOf(client.DeleteStreamAsync("", ExpectedVersion.Any)));
        Assert.Equal(VaultErrorCode.ReservedName, await CodeOf(client.DeleteStreamAsync("$streams", ExpectedVersion.Any)));
        Assert.Equal(VaultErrorCode.InvalidRequest, await CodeOf(client.TruncateStreamAsync("s", 1, default)));
        Assert.Empty(node.Vault.AttemptedAfters);

        static async Task<VaultErrorCode> CodeOf(Task call) => (await Assert.ThrowsAnyAsync<VaultException>(() => call)).Code;
    }
}
