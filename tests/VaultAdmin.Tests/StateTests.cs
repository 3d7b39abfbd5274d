using System.Text.Json;
using EventVault.Admin.Tests.Support;
using EventVault.Client;

namespace EventVault.Admin.Tests;

/// <summary>States from the command line: every moment, the form of the JSON that scripts rely on, exit codes.</summary>
public sealed class StateTests(TestNode node) : IClassFixture<TestNode>
{
    private static readonly string[] Promised = ["stream", "exists", "version", "position", "recordedAt", "state"];

    [Fact]
    public async Task The_json_begins_with_the_members_that_scripts_rely_on()
    {
        var stream = await NewStreamAsync("""{"a":1.50,"b":{"x":true}}""", """{"b":null,"c":"ö"}""");
        var state = (await node.RunAsync("state", stream)).MustBe(0).Json;
        Assert.Equal(Promised, Names(state).Take(6));
        Assert.Equal((stream, true, 1), (state.GetProperty("stream").GetString(), state.GetProperty("exists").GetBoolean(), state.GetProperty("version").GetInt32()));
        Assert.Equal("""{"a":1.5,"c":"ö"}""", state.GetProperty("state").GetRawText());
        Assert.Equal(64, state.GetProperty("stateHash").GetString()!.Length);
        Assert.Equal(2, state.GetProperty("counts").GetProperty("events").GetInt32());
        Assert.False(state.TryGetProperty("partialFromVersion", out _));

        var before = (await node.RunAsync("state", stream, "--at-time", "2001-01-01T02:00:00+02:00")).MustBe(0).Json;
        Assert.Equal(Promised, Names(before).Take(6));
        Assert.False(before.GetProperty("exists").GetBoolean());
        Assert.All(Promised[2..], name => Assert.Equal(JsonValueKind.Null, before.GetProperty(name).ValueKind));
    }

    [Fact]
    public async Task Every_moment_names_the_same_state()
    {
        var stream = await NewStreamAsync("""{"n":1}""", """{"n":2}""", """{"n":3}""");
        var second = (await node.RunAsync("state", stream, "--at-version", "1")).MustBe(0).Json;
        Assert.Equal("""{"n":2}""", second.GetProperty("state").GetRawText());
        var third = (await node.RunAsync("read", stream, "--from", "2")).MustBe(0).Json.GetProperty("recordedAt").GetString()!;
        string[][] moments =
        [
            ["--at-position", second.GetProperty("position").GetRawText()],
            ["--at-time", second.GetProperty("recordedAt").GetString()!],
            ["--before-time", third],
            ["--token", second.GetProperty("token").GetString()!],
            ["--at-version", "1", "--wait", "--occurred", third],
        ];
        foreach (var moment in moments)
        {
            var same = (await node.RunAsync(["state", stream, .. moment])).MustBe(0).Json;
            Assert.Equal(
                (second.GetProperty("version").GetInt32(), second.GetProperty("stateHash").GetString()),
                (same.GetProperty("version").GetInt32(), same.GetProperty("stateHash").GetString()));
        }
    }

    [Fact]
    public async Task Refusals_have_their_codes_and_say_what_is_left()
    {
        var stream = await NewStreamAsync("""{"n":1}""", """{"n":2}""", """{"n":3}""");
        Assert.Equal("STREAM_NOT_FOUND", (await node.RunAsync("state", "never-was")).MustBe(1).ErrorCode);
        var notYet = (await node.RunAsync("state", stream, "--at-version", "9")).MustBe(1);
        Assert.Equal(("VERSION_NOT_REACHED", 2), (notYet.ErrorCode, Error(notYet).GetProperty("version").GetInt32()));
        Assert.Equal("POSITION_NOT_REACHED", (await node.RunAsync("state", stream, "--at-position", "999999")).MustBe(1).ErrorCode);
        var future = (await node.RunAsync("state", stream, "--at-time", "2999-01-01T00:00:00Z")).MustBe(1);
        Assert.Equal("AS_OF_IN_FUTURE", future.ErrorCode);
        Assert.True(Error(future).TryGetProperty("closedTime", out _));
        var bad = (await node.RunAsync("state", stream, "--slots", "n = COUNT(*), = 3")).MustBe(2);
        Assert.Equal(("BAD_REDUCER", 14), (bad.ErrorCode, Error(bad).GetProperty("textOffset").GetInt32()));
        Assert.Equal("REDUCER_NOT_FOUND", (await node.RunAsync("state", stream, "--reducer", "nobody")).MustBe(1).ErrorCode);

        (await node.RunAsync("streams", "truncate", stream, "--before", "2")).MustBe(0);
        var incomplete = (await node.RunAsync("state", stream)).MustBe(1);
        Assert.Equal(("INCOMPLETE_HISTORY", 2), (incomplete.ErrorCode, Error(incomplete).GetProperty("earliest").GetProperty("version").GetInt32()));
        var partial = (await node.RunAsync("state", stream, "--allow-partial")).MustBe(0).Json;
        Assert.Equal((2, """{"n":3}"""), (partial.GetProperty("partialFromVersion").GetInt32(), partial.GetProperty("state").GetRawText()));
        (await node.RunAsync("streams", "tombstone", stream)).MustBe(0);
        Assert.Equal("STREAM_TOMBSTONED", (await node.RunAsync("state", stream, "--at-version", "2")).MustBe(1).ErrorCode);
    }

    [Fact]
    public async Task A_history_goes_by_changes_events_and_time()
    {
        var stream = await NewStreamAsync("""{"n":1}""", """{"n":1}""", """{"n":2}""", """{"n":3}""", """{"n":3}""");
        Assert.Equal([0, 2, 3], await Versions("state", "history", stream));
        Assert.Equal([1, 3, 4], await Versions("state", "history", stream, "--every", "2"));
        Assert.Equal([2, 3], await Versions("state", "history", stream, "--from", "v2", "--until", "v4"));
        Assert.Equal([0, 2], await Versions("state", "history", stream, "--limit", "2"));
        var last = (await node.RunAsync("state", stream)).MustBe(0).Json.GetProperty("recordedAt").GetString()!;
        var byTime = (await node.RunAsync("state", "history", stream, "--every-time", "1h", "--from", last, "--until", last)).MustBe(0).Json;
        Assert.Equal((4, last), (byTime.GetProperty("version").GetInt32(), byTime.GetProperty("time").GetString()));

        async Task<IEnumerable<int>> Versions(params string[] command) =>
            (await node.RunAsync(command)).MustBe(0).Lines.Select(l => l.GetProperty("version").GetInt32());
    }

    [Fact]
    public async Task A_difference_names_what_came_went_and_changed()
    {
        var stream = await NewStreamAsync("""{"a":1,"b":{"x/y":[1],"z":2}}""", """{"a":null,"b":{"x/y":[1,2]},"c":null}""", """{"c":"new"}""");
        var diff = (await node.RunAsync("state", "diff", stream, "--from", "v0", "--to", "latest")).MustBe(0).Json;
        Assert.Equal((0, 2), (diff.GetProperty("from").GetProperty("version").GetInt32(), diff.GetProperty("to").GetProperty("version").GetInt32()));
        Assert.Equal(
            """[{"path":"/a","change":"removed","from":1},{"path":"/b/x~1y","change":"changed","from":[1],"to":[1,2]},{"path":"/c","change":"added","to":"new"}]""",
            diff.GetProperty("changes").GetRawText());
        var same = (await node.RunAsync("state", "diff", stream, "--from", "v1", "--to", "v1")).MustBe(0).Json;
        Assert.Equal("[]", same.GetProperty("changes").GetRawText());
        var whole = (await node.RunAsync("state", "diff", stream, "--from", "2001-01-01T00:00:00Z", "--to", "v0")).MustBe(0).Json;
        Assert.Equal(("", "added"), (whole.GetProperty("changes")[0].GetProperty("path").GetString(), whole.GetProperty("changes")[0].GetProperty("change").GetString()));
    }

    [Fact]
    public async Task A_state_deeper_than_its_events_is_compared_and_read()
    {
        // With the key, the slot and the list around them these are 66 levels.
        var deep = new string('[', 63) + new string(']', 63);
        var stream = await NewStreamAsync($$"""{"k":"x","a":{{deep}}}""", """{"k":"y"}""");
        string[] reducer = ["--slots", "all = SET_ADD(a) BY k"];
        var diff = (await node.RunAsync(["state", "diff", stream, "--from", "v0", "--to", "v1", .. reducer])).MustBe(0);
        Assert.Contains("\"path\":\"/y\"", diff.Stdout, StringComparison.Ordinal);
        await using var client = VaultClient.Connect(node.Endpoint);
        var state = await client.States.GetAsync(stream, AsOf.Version(0), Reducer.Slots(reducer[1]));
        Assert.Equal(JsonValueKind.Object, state.As<JsonElement>().ValueKind);
    }

    [Fact]
    public async Task A_history_that_ends_by_itself_says_so_whatever_limit_was_given()
    {
        var stream = $"s-{Guid.NewGuid():N}";
        await using (var client = VaultClient.Connect(node.Endpoint))
        {
            for (var i = 0; i < 10_001; i += 1000)
            {
                await client.AppendAsync(stream, ExpectedVersion.Any, Enumerable.Range(i, Math.Min(1000, 10_001 - i)).Select(n => EventData.Json("T", new { n })));
            }
        }

        foreach (var (limit, count, isNoted) in new[] { ("20000", 10_000, true), ("10000", 10_000, false) })
        {
            var history = (await node.RunAsync("state", "history", stream, "--limit", limit)).MustBe(0);
            Assert.Equal((count, isNoted), (history.Lines.Count, history.Stderr.Contains("ended after 10,000 states", StringComparison.Ordinal)));
        }
    }

    [Fact]
    public async Task States_of_a_category_are_of_one_moment_and_one_that_cannot_be_told_is_told()
    {
        var category = $"c{Guid.NewGuid():N}";
        foreach (var name in new[] { "1", "2", "3" })
        {
            (await node.RunAsync("append", $"{category}-{name}", "--type", "T", "--data", $"{{\"n\":{name}}}")).MustBe(0);
        }

        var position = (await node.RunAsync("state", $"{category}-2")).MustBe(0).Json.GetProperty("position").GetRawText();
        Assert.Equal([$"{category}-1", $"{category}-2"], Streams(await node.RunAsync("states", "--category", category, "--at-position", position), code: 0));
        Assert.Equal([$"{category}-2"], Streams(await node.RunAsync("states", "--category", category, "--after", $"{category}-1", "--limit", "1"), code: 0));
        (await node.RunAsync("append", $"{category}-1", "--type", "T", "--data", "{}")).MustBe(0);
        (await node.RunAsync("streams", "truncate", $"{category}-1", "--before", "1")).MustBe(0);
        var some = await node.RunAsync("states", "--category", category);
        Assert.Equal([$"{category}-1", $"{category}-2", $"{category}-3"], Streams(some, code: 1));
        Assert.Equal("INCOMPLETE_HISTORY", some.Lines[0].GetProperty("error").GetProperty("code").GetString());
    }

    [Fact]
    public async Task A_stream_that_is_named_as_a_command_is_reached_behind_two_dashes()
    {
        (await node.RunAsync("append", "history", "--type", "T", "--data", """{"n":1}""")).MustBe(0);
        var state = (await AdminProcess.RunAsync("state", "--json", "--endpoint", node.Endpoint, "--", "history")).MustBe(0).Json;
        Assert.Equal("history", state.GetProperty("stream").GetString());
        Assert.Equal("history", (await node.RunAsync("state", "history", "history")).MustBe(0).Json.GetProperty("stream").GetString());
    }

    [Fact]
    public async Task Reducers_are_defined_listed_shown_and_used()
    {
        var name = $"r{Guid.NewGuid():N}";
        var first = (await node.RunAsync("reducers", "define", name, "--slots", "n = COUNT(*)", "--category", "a", "--category", "b", "--eager", "--expected-version", "0")).MustBe(0).Json;
        Assert.Equal((1, true, "slots"), (first.GetProperty("version").GetInt32(), first.GetProperty("changed").GetBoolean(), first.GetProperty("kind").GetString()));
        Assert.Equal("""["a","b"]""", first.GetProperty("categories").GetRawText());
        var conflict = (await node.RunAsync("reducers", "define", name, "--merge-patch", "--expected-version", "0")).MustBe(3);
        Assert.Equal(("DEFINITION_CONFLICT", 1), (conflict.ErrorCode, Error(conflict).GetProperty("version").GetInt32()));
        var again = (await node.RunAsync("reducers", "define", name, "--slots", "n = COUNT(*)", "--category", "a", "--category", "b", "--eager")).MustBe(0).Json;
        Assert.False(again.GetProperty("changed").GetBoolean());
        (await node.RunAsync("reducers", "define", name, "--merge-patch")).MustBe(0);

        var stream = await NewStreamAsync("""{"x":1}""");
        Assert.Equal("""{"x":1}""", (await node.RunAsync("state", stream, "--reducer", name)).MustBe(0).Json.GetProperty("state").GetRawText());
        Assert.Equal("""{"n":1}""", (await node.RunAsync("state", stream, "--reducer", name + "@1")).MustBe(0).Json.GetProperty("state").GetRawText());
        Assert.Equal("n = COUNT(*)", (await node.RunAsync("reducers", "show", name + "@1")).MustBe(0).Json.GetProperty("slots").GetString());
        var listed = (await node.RunAsync("reducers", "ls")).MustBe(0).Lines.Single(l => l.GetProperty("name").GetString() == name);
        Assert.Equal((2, "merge_patch"), (listed.GetProperty("version").GetInt32(), listed.GetProperty("kind").GetString()));
        Assert.Equal("REDUCER_NOT_FOUND", (await node.RunAsync("reducers", "show", name + "@3")).MustBe(1).ErrorCode);
    }

    private async Task<string> NewStreamAsync(params string[] events)
    {
        var stream = $"s{Guid.NewGuid():N}";
        foreach (var data in events)
        {
            (await node.RunAsync("append", stream, "--type", "T", "--data", data)).MustBe(0);
        }

        return stream;
    }

    private static IEnumerable<string> Names(JsonElement element) => element.EnumerateObject().Select(p => p.Name);

    private static IEnumerable<string?> Streams(AdminResult result, int code) => result.MustBe(code).Lines.Select(l => l.GetProperty("stream").GetString());

    private static JsonElement Error(AdminResult result) => result.Json.GetProperty("error");
}
