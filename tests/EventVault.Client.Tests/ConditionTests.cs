using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

/// <summary>Appends that demand more than the versions of their own streams.</summary>
public sealed class ConditionTests
{
    private static readonly EventQuery SeatTaken = EventQuery.OfTypes("seat-taken").WithTags("seat:1");

    [Fact]
    public async Task A_condition_fails_for_a_match_behind_its_position_and_for_no_other()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        AppendResult taken = await client.AppendAsync("show-1", ExpectedVersion.Any, Tagged("seat-taken", "seat:1", "row:a"));
        await client.AppendAsync("show-1", ExpectedVersion.Any, Tagged("seat-taken", "seat:2"));
        await client.AppendAsync("show-1", ExpectedVersion.Any, Tagged("seat-freed", "seat:1"));

        var failed = await Assert.ThrowsAsync<ConditionFailedException>(() => AppendIf(client, AppendCondition.FailIfMatch(SeatTaken)));
        Assert.Equal((0, taken.FirstPosition, VaultErrorCode.ConditionFailed), (failed.ConditionIndex, failed.Position, failed.Code));
        Assert.Equal([new FailedCondition(0, 0)], failed.FailedConditions);
        Assert.Empty(failed.Conflicts);
        Assert.False(failed.IsTransient);
        Assert.Equal(3, node.Vault.Events.Count);

        await AppendIf(client, AppendCondition.FailIfMatch(SeatTaken, taken.LastPosition));
        await AppendIf(client, AppendCondition.FailIfMatch(EventQuery.OfTypes("seat-taken").WithTags("seat:1", "row:b")));
        await Assert.ThrowsAsync<ConditionFailedException>(() => AppendIf(client, AppendCondition.FailIfMatch(
            EventQuery.OfTypes("nothing").Or(EventQuery.Tagged("row:a")))));
    }

    [Fact]
    public async Task Of_16_that_decide_on_the_same_read_exactly_one_is_written()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        ReadHead head = await client.ReadAllAsync(new ReadOptions { Filter = EventFilter.Of(SeatTaken) }).GetHeadAsync();
        var options = new AppendOptions { Conditions = [AppendCondition.FailIfMatch(SeatTaken, head.LastPosition)] };
        Task<AppendResult>[] racers = [.. Enumerable.Range(0, 16).Select(i => client.AppendAsync(
            $"racer-{i}", ExpectedVersion.NoStream, Tagged("seat-taken", "seat:1"), options))];
        int losers = 0;
        foreach (Task<AppendResult> racer in racers)
        {
            try
            {
                await racer;
            }
            catch (ConditionFailedException)
            {
                losers++;
            }
        }

        Assert.Equal(15, losers);
    }

    [Fact]
    public async Task Requirements_hold_streams_that_are_not_written()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await client.AppendAsync("account-1", ExpectedVersion.NoStream, Some.Event());
        await Require(client, new StreamRequirement("account-1", ExpectedVersion.Exact(0)), new StreamRequirement("account-2", ExpectedVersion.NoStream));

        var conflict = await Assert.ThrowsAsync<WrongExpectedVersionException>(() => Require(
            client, new StreamRequirement("account-1", ExpectedVersion.Exact(4)), new StreamRequirement("account-2", ExpectedVersion.Exists)));
        Assert.Equal(
            [
                new VersionConflict("account-1", ExpectedVersion.Exact(4), 0, IsRequirement: true),
                new VersionConflict("account-2", ExpectedVersion.Exists, null, IsRequirement: true),
            ],
            conflict.Conflicts);
        Assert.Equal(2, node.Vault.Events.Count);
    }

    [Fact]
    public async Task All_failed_checks_are_told_together()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await client.AppendAsync("a", ExpectedVersion.NoStream, Tagged("T", "x"));
        var options = new AppendOptions
        {
            Requires = [new StreamRequirement("b", ExpectedVersion.Exists)],
            Conditions =
            [
                AppendCondition.FailIfMatch(EventQuery.Tagged("x")),
                AppendCondition.FailIfMatch(EventQuery.Tagged("y")),
                AppendCondition.FailIfMatch(EventQuery.OfTypes("T")),
            ],
        };
        AppendConflictException all = await Assert.ThrowsAnyAsync<AppendConflictException>(
            () => client.AppendAsync("a", ExpectedVersion.NoStream, Some.Event(), options));
        Assert.IsType<WrongExpectedVersionException>(all);
        Assert.Equal(
            [new VersionConflict("a", ExpectedVersion.NoStream, 0), new VersionConflict("b", ExpectedVersion.Exists, null, IsRequirement: true)],
            all.Conflicts);
        Assert.Equal([new FailedCondition(0, 0), new FailedCondition(2, 0)], all.FailedConditions);
        Assert.Equal(4, all.Failures.Count);
    }

    [Fact]
    public async Task Requirements_and_conditions_are_part_of_what_an_operation_id_names()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        EventData e = Tagged("seat-taken", "seat:1");
        var options = new AppendOptions { OperationId = Guid.NewGuid(), Conditions = [AppendCondition.FailIfMatch(SeatTaken)] };
        AppendResult first = await client.AppendAsync("s", ExpectedVersion.Any, e, options);

        // By now its own event matches; the operation id comes first.
        AppendResult again = await client.AppendAsync("s", ExpectedVersion.Any, e, options);
        Assert.Equal((first.FirstPosition, true), (again.FirstPosition, again.Deduplicated));
        var other = options with { Conditions = [AppendCondition.FailIfMatch(SeatTaken, 0)] };
        Assert.Equal(
            VaultErrorCode.OperationIdReused,
            (await Assert.ThrowsAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, e, other))).Code);
    }

    [Fact]
    public async Task What_is_not_well_formed_is_refused_before_anything_is_sent()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await Refused(VaultErrorCode.InvalidRequest, "query.items", If(new EventQuery()));
        await Refused(VaultErrorCode.InvalidRequest, "neither a type nor a tag", If(new EventQuery(new QueryItem())));
        await Refused(VaultErrorCode.InvalidRequest, "items[0].tags[1] is empty", If(EventQuery.Tagged("a", "")));
        await Refused(VaultErrorCode.InvalidRequest, "surrogate", If(EventQuery.OfTypes("\ud800")));
        await Refused(VaultErrorCode.LimitExceeded, "query_items", If(new EventQuery([.. Enumerable.Repeat(new QueryItem { Tags = ["t"] }, 33)])));
        await Refused(VaultErrorCode.LimitExceeded, "item_types", If(EventQuery.OfTypes([.. Enumerable.Range(0, 33).Select(i => $"{i}")])));
        await Refused(VaultErrorCode.LimitExceeded, "item_tags", If(EventQuery.Tagged([.. Enumerable.Range(0, 17).Select(i => $"{i}")])));
        QueryItem wide = new() { Types = [.. Enumerable.Range(0, 32).Select(i => $"{i}")], Tags = [.. Enumerable.Range(0, 16).Select(i => $"{i}")] };
        await Refused(VaultErrorCode.LimitExceeded, "query_keys", If(new EventQuery(wide, wide, new QueryItem { Tags = ["t"] })));
        await Refused(VaultErrorCode.LimitExceeded, "query_keys", new AppendOptions
        {
            Conditions = [AppendCondition.FailIfMatch(new EventQuery(wide)), AppendCondition.FailIfMatch(new EventQuery(wide)), AppendCondition.FailIfMatch(SeatTaken)],
        });
        await Refused(VaultErrorCode.LimitExceeded, "tag_bytes", If(EventQuery.Tagged(new string('x', 129))));
        await Refused(VaultErrorCode.LimitExceeded, "type_bytes", If(EventQuery.OfTypes(new string('x', 257))));
        await Refused(
            VaultErrorCode.LimitExceeded,
            "append_conditions",
            new AppendOptions { Conditions = [.. Enumerable.Repeat(AppendCondition.FailIfMatch(SeatTaken), 17)] });
        await Refused(VaultErrorCode.InvalidRequest, "requires[0].expected", With(new StreamRequirement("r", default)));
        await Refused(VaultErrorCode.InvalidName, "requires[1].stream", With(new StreamRequirement("r", ExpectedVersion.Exists), new StreamRequirement("", ExpectedVersion.Exists)));
        await Refused(VaultErrorCode.InvalidRequest, "writes or requires before", With(new StreamRequirement("s", ExpectedVersion.Exists)));
        await Refused(
            VaultErrorCode.InvalidRequest,
            "writes or requires before",
            With(new StreamRequirement("r", ExpectedVersion.Exists), new StreamRequirement("r", ExpectedVersion.Any)));
        await Refused(
            VaultErrorCode.LimitExceeded,
            "append_requires",
            With([.. Enumerable.Range(0, 1001).Select(i => new StreamRequirement($"r-{i}", ExpectedVersion.Any))]));
        Assert.Equal(0, node.Appends);

        async Task Refused(VaultErrorCode code, string names, AppendOptions options)
        {
            VaultException e = await Assert.ThrowsAnyAsync<VaultException>(() => client.AppendAsync("s", ExpectedVersion.Any, Some.Event(), options));
            Assert.Equal(code, e.Code);
            Assert.Contains(names, e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Queries_are_put_together_from_parts_and_do_not_change_with_the_lists_they_came_from()
    {
        string[] types = ["a", "b"];
        EventQuery query = EventQuery.OfTypes(types).Or(EventQuery.Tagged("t")).WithTags("u");
        types[0] = "changed";
        Assert.Equal(2, query.Items.Count);
        Assert.Equal(["a", "b"], query.Items[0].Types);
        Assert.Equal(["u"], query.Items[0].Tags);
        Assert.Empty(query.Items[1].Types);
        Assert.Equal(["t", "u"], query.Items[1].Tags);
    }

    private static EventData Tagged(string type, params string[] tags) => new(type, "{}"u8.ToArray()) { Tags = tags };

    private static AppendOptions If(EventQuery query) => new() { Conditions = [AppendCondition.FailIfMatch(query)] };

    private static AppendOptions With(params StreamRequirement[] requires) => new() { Requires = requires };

    private static Task<AppendResult> AppendIf(VaultClient client, AppendCondition condition) =>
        client.AppendAsync("other", ExpectedVersion.Any, Some.Event(), new AppendOptions { Conditions = [condition] });

    private static Task<AppendResult> Require(VaultClient client, params StreamRequirement[] requires) =>
        client.AppendAsync("transfer-1", ExpectedVersion.Any, Some.Event(), With(requires));
}
