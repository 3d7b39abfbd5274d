using System.Text.Json;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

/// <summary>Retention rules, and scavenging, from the command line.</summary>
public sealed class RetentionTests
{
    [Fact]
    public async Task Rules_are_set_shown_listed_and_taken_back()
    {
        await using var node = await TestNode.NewAsync();
        var set = (await node.RunAsync("streams", "retain", "--category", "session", "--max-age", "30d", "--max-events", "1000", "--max-bytes", "10MiB")).MustBe(0).Json;
        Assert.Equal((0, false), (set.GetProperty("firstPosition").GetInt32(), set.GetProperty("deduplicated").GetBoolean()));
        (await node.RunAsync("streams", "retain", "session-1", "--forever")).MustBe(0);

        var shown = (await node.RunAsync("streams", "retain", "session-2", "--show")).MustBe(0).Json;
        Assert.Equal("session-2", shown.GetProperty("stream").GetString());
        Assert.Equal(
            (30 * 86_400, 1000, 10 << 20),
            (shown.GetProperty("maxAgeSeconds").GetInt32(), shown.GetProperty("maxEvents").GetInt32(), shown.GetProperty("maxBytes").GetInt32()));
        Assert.Equal("session", shown.GetProperty("from").GetProperty("category").GetString());
        var own = (await node.RunAsync("streams", "retain", "session-1", "--show")).MustBe(0).Json;
        Assert.True(own.GetProperty("forever").GetBoolean() && own.GetProperty("maxAgeSeconds").ValueKind == JsonValueKind.Null);
        var none = (await node.RunAsync("streams", "retain", "other", "--show")).MustBe(0).Json;
        Assert.Equal(JsonValueKind.Null, none.GetProperty("from").ValueKind);

        var all = (await node.RunAsync("streams", "retention")).MustBe(0).Lines;
        Assert.Equal("session", all[0].GetProperty("category").GetString());
        Assert.Equal(("session-1", 1), (all[1].GetProperty("stream").GetString(), all[1].GetProperty("setAt").GetInt32()));
        Assert.Equal(2, all.Count);
        var text = (await AdminProcess.RunAsync("streams", "retention", "--endpoint", node.Endpoint)).MustBe(0).Stdout;
        Assert.Contains("category session  events for 30d, the last 1,000 events, the last 10MiB, set at position 0", text, StringComparison.Ordinal);

        (await node.RunAsync("streams", "retain", "--category", "session", "--remove")).MustBe(0);
        (await node.RunAsync("streams", "retain", "session-1", "--remove")).MustBe(0);
        Assert.Empty((await node.RunAsync("streams", "retention")).MustBe(0).Lines);
        Assert.Contains("No rule", (await AdminProcess.RunAsync("streams", "retention", "--endpoint", node.Endpoint)).MustBe(0).Stdout, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_legal_hold_refuses_to_delete_and_does_not_end_by_oversight()
    {
        await using var node = await TestNode.NewAsync();
        (await node.RunAsync("append", "order-7", "--type", "T", "--data", "{}")).MustBe(0);
        (await node.RunAsync("streams", "retain", "order-7", "--legal-hold")).MustBe(0);
        foreach (var command in new string[][] { ["delete", "order-7"], ["tombstone", "order-7"], ["truncate", "order-7", "--before", "1"] })
        {
            var refused = (await node.RunAsync(["streams", .. command])).MustBe(1);
            Assert.Equal("STREAM_HELD", refused.ErrorCode);
            Assert.Equal("order-7", refused.Json.GetProperty("error").GetProperty("stream").GetString());
        }

        foreach (var command in new string[][] { ["--max-age", "30d"], ["--remove"] })
        {
            var refused = (await node.RunAsync(["streams", "retain", "order-7", .. command])).MustBe(2);
            Assert.Contains("--release", refused.ErrorMessage, StringComparison.Ordinal);
        }

        (await node.RunAsync("streams", "retain", "order-7", "--max-age", "30d", "--legal-hold")).MustBe(0);
        var shown = (await node.RunAsync("streams", "retain", "order-7", "--show")).MustBe(0).Json;
        Assert.Equal("order-7", Assert.Single(shown.GetProperty("heldBy").EnumerateArray().ToArray()).GetProperty("stream").GetString());
        (await node.RunAsync("streams", "retain", "order-7", "--max-age", "30d", "--release")).MustBe(0);
        (await node.RunAsync("streams", "delete", "order-7")).MustBe(0);
    }

    [Fact]
    public async Task What_no_rule_can_be_is_refused_by_name()
    {
        await using var node = await TestNode.NewAsync();
        foreach (var (line, field) in new[]
        {
            ("a --forever --max-events 1", "rule.forever"), ("a --max-events 0", "rule.max_events"), ("a --max-bytes 0", "rule.max_bytes"),
            ("a --max-age 0s", "rule.max_age_seconds"), ("a --max-age 99999d", "rule.max_age_seconds"), ("a --forever --max-events 3", "rule.forever"),
            ("a --max-events 9223372036854775808", "rule.max_events"), ("--category a-b --forever", "scope.category"),
        })
        {
            var refused = (await node.RunAsync(["streams", "retain", .. line.Split(' ')])).MustBe(2);
            Assert.Equal(("INVALID_REQUEST", field), (refused.ErrorCode, refused.Json.GetProperty("error").GetProperty("field").GetString()));
        }
    }

    [Fact]
    public async Task A_scavenge_is_explained_started_followed_and_leaves_a_vault_that_verifies()
    {
        await using var node = await TestNode.NewAsync("--segment-size", "1048576", "--scavenge-rate", "0");
        Assert.Equal("never", State((await node.RunAsync("scavenge", "--status")).MustBe(0)));
        Assert.Equal("never", State((await node.RunAsync("scavenge", "--stop")).MustBe(0)));
        Assert.Equal("never", State((await node.RunAsync("scavenge", "--status", "--wait")).MustBe(0)));
        var file = node.FileIn("history.jsonl");
        await File.WriteAllLinesAsync(file, Enumerable.Range(1, 4000).Select(i => HistoryLine.Good(i, i).Replace("{}", $"{{\"x\":\"{new string('x', 1000)}\"}}", StringComparison.Ordinal)));
        (await node.RunAsync("import", file)).MustBe(0);
        (await node.RunAsync("streams", "delete", "s")).MustBe(0);

        var segments = (await node.RunAsync("scavenge", "--explain")).MustBe(0).Lines;
        Assert.Contains(segments, s => s.GetProperty("rewrites").GetBoolean() && s.GetProperty("removableEvents").GetInt32() > 100);
        Assert.True(segments[^1].GetProperty("why").GetString()!.Length > 0);
        var text = (await AdminProcess.RunAsync("scavenge", "--explain", "--endpoint", node.Endpoint)).MustBe(0).Stdout;
        Assert.Contains("A scavenge would write", text, StringComparison.Ordinal);
        Assert.Contains("not sealed yet", text, StringComparison.Ordinal);

        var id = Guid.NewGuid().ToString();
        var done = (await node.RunAsync("scavenge", "--wait", "--operation-id", id)).MustBe(0);
        Assert.Equal("done", State(done));
        Assert.True(done.Json.GetProperty("bytesFreed").GetInt64() > 1 << 20, done.Stdout);
        Assert.Equal(done.Stdout, (await node.RunAsync("scavenge", "--operation-id", id)).MustBe(0).Stdout);
        text = (await AdminProcess.RunAsync("scavenge", "--explain", "--endpoint", node.Endpoint)).MustBe(0).Stdout;
        Assert.Contains("A scavenge would free nothing now.", text, StringComparison.Ordinal);
        Assert.Contains("given back", (await AdminProcess.RunAsync("scavenge", "--status", "--endpoint", node.Endpoint)).MustBe(0).Stdout, StringComparison.Ordinal);

        Assert.Equal(0, await node.StopAsync());
        Assert.Empty((await AdminProcess.RunAsync("verify", node.DataDirectory, "--json")).MustBe(0).Json.GetProperty("damage").EnumerateArray());
    }

    private static string State(AdminResult result) => result.Json.GetProperty("state").GetString()!;
}
