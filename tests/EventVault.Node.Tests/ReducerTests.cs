using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using EventVault.Rpc;
using Google.Protobuf;

namespace EventVault.Node.Tests;

/// <summary>Named reducers, over the wire.</summary>
public sealed class ReducerTests
{
    [Fact]
    public async Task Definitions_get_versions_and_stay_over_a_restart()
    {
        var node = await TestNode.StartAsync();
        try
        {
            var first = await node.DefineAsync("total", "n = SUM( data.n )", "s", "a");
            Assert.Equal((true, 1u, "n = SUM( data.n )"), (first.Changed, first.Reducer.Version, first.Reducer.Definition.Slots));
            Assert.Equal(["a", "s"], first.Reducer.Categories);
            Assert.True(first.Reducer.RecordedAt > 0 && first.Reducer.Hash.Length == 32);
            var same = await node.DefineAsync("total", "n=SUM(data.n)", "a", "s"); // Another text, the same definition.
            Assert.False(same.Changed);
            Assert.Equal(first.Reducer, same.Reducer);
            var second = await node.DefineAsync("total", "n = SUM(data.n)", "s");
            Assert.Equal((true, 2u), (second.Changed, second.Reducer.Version));
            await node.DefineAsync(new DefineReducerRequest { OperationId = Make.Id(), Name = "merged", Definition = new ReducerDefinition { MergePatch = new Empty() }, Eager = true });
            for (var restart = 0; restart < 2; restart++)
            {
                Assert.Equal(["merged", "total"], (await node.ReducersAsync()).Select(r => r.Name));
                Assert.Equal(first.Reducer, await node.ReducerAsync("total", 1));
                Assert.Equal(second.Reducer, await node.ReducerAsync("total"));
                Assert.Equal(second.Reducer, await node.ReducerAsync("total", 2));
                Assert.True((await node.ReducerAsync("merged")).Eager);
                node = await node.RestartAsync();
            }

            Assert.Equal("version 3", (await Fails.WithAsync(RpcCode.NotFound, Reason.ReducerNotFound, () => node.ReducerAsync("total", 3))).Message is var m && m.Contains("version 3", StringComparison.Ordinal) ? "version 3" : m);
            Assert.Equal("name", (await Fails.WithAsync(RpcCode.NotFound, Reason.ReducerNotFound, () => node.ReducerAsync("none"))).Field);
            var events = await node.ReadStreamAsync(new ReadStreamRequest { Stream = "$reducers" });
            Assert.Equal(3, events.Count);
            Assert.All(events, e => Assert.Equal("$reducer-defined", e.Event.Type));
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_named_reducer_folds_by_its_newest_version_or_the_one_asked_for()
    {
        await using var node = await TestNode.StartAsync();
        await node.AppendNumbersAsync("s-1", 3);
        await node.DefineAsync("r", "n = SUM(data.n)");
        await node.DefineAsync("r", "n = COUNT(*)");
        Assert.Equal("""{"n":3}""", (await node.StateAsync("s-1", reducer: StateCallsOfNode.Named("r"))).Json());
        var old = await node.StateAsync("s-1", reducer: StateCallsOfNode.Named("r", 1));
        Assert.Equal("""{"n":6}""", old.Json());
        Assert.Equal(old.ReducerHash, (await node.ReducerAsync("r", 1)).Hash);
        await Fails.WithAsync(RpcCode.NotFound, Reason.ReducerNotFound, () => node.StateAsync("s-1", reducer: StateCallsOfNode.Named("r", 3)));
    }

    [Fact]
    public async Task The_same_operation_gets_the_first_answer_and_defines_once()
    {
        var node = await TestNode.StartAsync();
        try
        {
            var request = new DefineReducerRequest { OperationId = Make.Id(), Name = "r", Definition = new ReducerDefinition { Slots = "n = SUM(data.n)" }, ExpectedVersion = 0 };
            var first = await node.DefineAsync(request);
            await node.DefineAsync("r", "n = COUNT(*)");
            for (var restart = 0; restart < 2; restart++)
            {
                Assert.Equal(first, await node.DefineAsync(request)); // Although it would be refused by now, and another one is newer.
                node = await node.RestartAsync();
            }

            var other = request.Clone();
            other.Definition.Slots = "n = MAX(data.n)";
            var failure = await Fails.WithAsync(RpcCode.AlreadyExists, Reason.OperationIdReused, () => node.DefineAsync(other));
            Assert.Equal(first.Reducer.Position, failure.FirstPosition);
            Assert.Equal(2, (await node.ReadStreamAsync(new ReadStreamRequest { Stream = "$reducers" })).Count);
        }
        finally
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task What_was_expected_of_the_newest_version_must_hold()
    {
        await using var node = await TestNode.StartAsync();
        DefineReducerRequest Asks(string slots, uint expected) =>
            new() { OperationId = Make.Id(), Name = "r", Definition = new ReducerDefinition { Slots = slots }, ExpectedVersion = expected };
        Assert.False((await Fails.WithAsync(RpcCode.Aborted, Reason.DefinitionConflict, () => node.DefineAsync(Asks("a = COUNT(*)", 1)))).HasVersion);
        await node.DefineAsync(Asks("a = COUNT(*)", 0));
        Assert.Equal(1u, (await Fails.WithAsync(RpcCode.Aborted, Reason.DefinitionConflict, () => node.DefineAsync(Asks("b = COUNT(*)", 0)))).Version);
        Assert.Equal(2u, (await node.DefineAsync(Asks("b = COUNT(*)", 1))).Reducer.Version);
    }

    [Fact]
    public async Task Many_who_define_at_once_get_versions_one_after_the_other()
    {
        await using var node = await TestNode.StartAsync();
        var all = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => node.DefineAsync("r", $"s{i} = COUNT(*)")));
        Assert.Equal(Enumerable.Range(1, 20).Select(i => (uint)i), all.Select(a => a.Reducer.Version).Order());
        Assert.All(all, a => Assert.True(a.Changed));

        var id = Make.Id();
        var request = new DefineReducerRequest { OperationId = id, Name = "q", Definition = new ReducerDefinition { Slots = "n = COUNT(*)" } };
        var same = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => node.DefineAsync(request)));
        Assert.All(same, a => Assert.Equal((1u, true), (a.Reducer.Version, a.Changed)));
    }

    [Fact]
    public async Task What_a_definition_must_not_say_is_refused_with_its_field()
    {
        await using var node = await TestNode.StartAsync();
        DefineReducerRequest Good() => new() { OperationId = Make.Id(), Name = "r", Definition = new ReducerDefinition { MergePatch = new Empty() } };
        async Task RefusesAsync(string field, Reason reason, Action<DefineReducerRequest> spoil)
        {
            var request = Good();
            spoil(request);
            Assert.Equal(field, (await Fails.WithAsync(RpcCode.InvalidArgument, reason, () => node.DefineAsync(request))).Field);
        }

        await RefusesAsync("operation_id", Reason.InvalidRequest, r => r.OperationId = ByteString.Empty);
        foreach (var name in (string[])["", "R", "1a", "a b", "-a", "a$", "ä"])
        {
            await RefusesAsync("name", Reason.InvalidRequest, r => r.Name = name);
        }

        await RefusesAsync("name", Reason.LimitExceeded, r => r.Name = new string('a', 129));
        await RefusesAsync("definition", Reason.InvalidRequest, r => r.Definition = null);
        await RefusesAsync("definition", Reason.InvalidRequest, r => r.Definition = new ReducerDefinition());
        await RefusesAsync("definition.slots", Reason.BadReducer, r => r.Definition = new ReducerDefinition { Slots = "nonsense" });
        await RefusesAsync("categories", Reason.LimitExceeded, r => r.Categories.AddRange(Enumerable.Range(0, 65).Select(i => $"c{i}")));
        await RefusesAsync("categories[1]", Reason.InvalidRequest, r => r.Categories.AddRange(["a", "b-c"]));
        await RefusesAsync("categories[1]", Reason.InvalidRequest, r => r.Categories.AddRange(["a", "a"]));
        await RefusesAsync("categories[0]", Reason.ReservedName, r => r.Categories.Add("$streams"));
        await RefusesAsync("categories[0]", Reason.InvalidName, r => r.Categories.Add(""));
        await RefusesAsync("attempted_after.position", Reason.InvalidRequest, r => r.AttemptedAfter = new SeenHead { Position = 5 });
        Assert.Empty(await node.ReducersAsync());
    }

    [Fact]
    public async Task A_definition_of_a_later_version_is_refused_clearly_and_breaks_nothing_else()
    {
        await using var node = await TestNode.StartAsync();
        await node.DefineAsync("good", "n = COUNT(*)");
        await DefinedLaterAsync(node, """{"name":"later","version":1,"kind":"wasm","categories":["s"]}""", schema: 2);
        await DefinedLaterAsync(node, """{"what":"nobody knows"}""", schema: 3);
        await node.AppendNumbersAsync("s-1", 2);
        await node.AppendNumbersAsync("t-1", 2);
        Assert.Equal(["good", "later"], (await node.ReducersAsync()).Select(r => r.Name));
        Assert.Equal("""{"n":2}""", (await node.StateAsync("s-1", reducer: StateCallsOfNode.Named("good"))).Json());
        await Fails.WithAsync(RpcCode.InvalidArgument, Reason.BadReducer, () => node.StateAsync("s-1", reducer: StateCallsOfNode.Named("later")));
        await Fails.WithAsync(RpcCode.InvalidArgument, Reason.BadReducer, () => node.ReducerAsync("later"));

        // Its states can't be recorded here, so the events they stand on stay; those of others may go.
        await Fails.WithAsync(RpcCode.InvalidArgument, Reason.BadReducer, () => node.TruncateAsync("s-1", 1));
        await node.TruncateAsync("t-1", 1);
        Assert.Equal(2u, (await node.DefineAsync("later", "n = COUNT(*)")).Reducer.Version);
        await node.TruncateAsync("s-1", 1);
    }

    // As a node of another version would.
    private static async Task DefinedLaterAsync(TestNode node, string json, uint schema)
    {
        var append = new SingleAppend(node.Node.Storage);
        var name = "$reducers"u8;
        var data = new EventData { Id = Make.Id(), Type = "$reducer-defined", Data = ByteString.CopyFromUtf8(json), SchemaVersion = schema }.ToByteArray();
        append.Content.Reset([.. name, .. data]);
        append.Content.OperationId = (UInt128)Random.Shared.NextInt64();
        append.Content.AddStream(0, name.Length, Storage.Log.ExpectedKind.Any, default);
        append.Content.AddEvent(name.Length, data.Length);
        Assert.Equal(Storage.Log.EventProblemKind.None, append.Content.Check(out _, out _).Kind);
        Assert.Equal(AppendOutcome.Appended, await node.Node.AppendAsync(append));
    }
}
