using System.Text.Json;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

/// <summary>Filters, counts, listings, and streams that end.</summary>
public sealed class FilterTests
{
    [Fact]
    public async Task Reads_tails_and_counts_take_the_same_filters()
    {
        await using var node = await TestNode.NewAsync();
        var id = Guid.NewGuid().ToString();
        await AppendAsync(node, "order-1", "placed", "--tag", "eu", "--tag", "vip", "--id", id);
        await AppendAsync(node, "order-2", "shipped", "--tag", "eu", "--metadata", "correlationId=c-7");
        await AppendAsync(node, "orders", "placed", "--metadata", "correlationId=c-7");
        foreach (var (filter, positions) in new (string, int[])[]
        {
            ("--category order", [0, 1]),
            ("--prefix order", [0, 1, 2]),
            ("--type placed --type shipped --tag eu", [0, 1]),
            ("--tag eu --tag vip", [0]),
            ("--correlation-id c-7 --type placed", [2]),
            ($"--event-id {id}", [0]),
            ("--category nothing", []),
        })
        {
            var options = filter.Split(' ');
            Assert.Equal(positions, await PositionsAsync(node, ["read", "--all", .. options]));
            Assert.Equal(positions.Reverse(), await PositionsAsync(node, ["read", "--all", "--backwards", "--consistency", "local", .. options]));
            var count = (await node.RunAsync(["count", .. options])).MustBe(0).Json;
            Assert.Equal((positions.Length, 2), (count.GetProperty("count").GetInt32(), count.GetProperty("head").GetInt32()));
            if (positions.Length > 0)
            {
                Assert.Equal(positions, await PositionsAsync(node, ["tail", "--all", "--from", "0", "--limit", $"{positions.Length}", .. options]));
            }
        }

        Assert.Equal("1", (await node.RunAsync("count", "--tag", "eu", "--from", "1", "--until", "2")).MustBe(0).Json.GetProperty("count").GetRawText());
        Assert.Equal([2], await PositionsAsync(node, "read", "--all", "--consistency", "2", "--from", "2"));
        var refused = (await node.RunAsync("read", "--all", "--category", "a-b")).MustBe(2);
        Assert.Equal("INVALID_REQUEST", refused.ErrorCode);
        Assert.Equal("INVALID_REQUEST", (await node.RunAsync("streams", "truncate", "order-1", "--before", $"{ulong.MaxValue}")).MustBe(2).ErrorCode);
        Assert.Equal("RESERVED_NAME", (await node.RunAsync("streams", "delete", "$streams")).MustBe(2).ErrorCode);
    }

    [Fact]
    public async Task A_position_that_does_not_come_is_given_up()
    {
        await using var node = await TestNode.NewAsync();
        await AppendAsync(node, "s", "T");
        var result = (await node.RunAsync("read", "--all", "--consistency", "1000")).MustBe(1);
        Assert.Equal("TIMED_OUT_BEHIND", result.ErrorCode);
        var counted = await node.RunAsync("count", "--category", "s", "--consistency", "1000");

        // The node answers 100 ms before the deadline; on a busy machine the client's own time-out may come first.
        if (counted.ErrorCode != "TIMED_OUT")
        {
            Assert.Equal("TIMED_OUT_BEHIND", counted.MustBe(1).ErrorCode);
            Assert.Equal(0, counted.Json.GetProperty("error").GetProperty("position").GetInt32());
        }
    }

    [Fact]
    public async Task Streams_are_listed_by_category_deleted_tombstoned_and_truncated()
    {
        await using var node = await TestNode.NewAsync();
        foreach (var stream in new[] { "order-1", "order-2", "order-3", "orders-1" })
        {
            await AppendAsync(node, stream, "T");
            await AppendAsync(node, stream, "T");
        }

        var listed = (await node.RunAsync("streams", "ls", "--category", "order")).MustBe(0).Lines;
        Assert.Equal(["order-1", "order-2", "order-3"], listed.Select(s => s.GetProperty("stream").GetString()));
        Assert.Equal(
            ["stream", "lastVersion", "lastPosition", "lastRecordedAt", "firstVersion", "eventCount"], listed[0].EnumerateObject().Select(p => p.Name));

        Assert.Equal("WRONG_EXPECTED_VERSION", (await node.RunAsync("streams", "delete", "order-1", "--expected", "0")).MustBe(3).ErrorCode);
        var operation = Guid.NewGuid().ToString();
        var deleted = (await node.RunAsync("streams", "delete", "order-1", "--expected", "1", "--operation-id", operation)).MustBe(0).Json;
        Assert.Equal(8, deleted.GetProperty("firstPosition").GetInt32());
        Assert.True((await node.RunAsync("streams", "delete", "order-1", "--expected", "1", "--operation-id", operation)).MustBe(0).Json.GetProperty("deduplicated").GetBoolean());
        (await node.RunAsync("streams", "tombstone", "order-2")).MustBe(0);
        (await node.RunAsync("streams", "truncate", "order-3", "--before", "1")).MustBe(0);

        Assert.Equal("STREAM_NOT_FOUND", (await node.RunAsync("read", "order-1")).MustBe(1).ErrorCode);
        Assert.Equal("STREAM_NOT_FOUND", (await node.RunAsync("streams", "delete", "order-1")).MustBe(1).ErrorCode);
        var tombstoned = (await node.RunAsync("append", "order-2", "--type", "T", "--data", "{}")).MustBe(1);
        Assert.Equal("STREAM_TOMBSTONED", tombstoned.ErrorCode);
        Assert.Equal([5, 6, 7], await PositionsAsync(node, "read", "--all"));
        Assert.Equal([8, 9, 10], await PositionsAsync(node, "read", "$streams"));
        var left = (await node.RunAsync("streams", "show", "order-3")).MustBe(0).Json;
        Assert.Equal((1, 1, 1), (left.GetProperty("firstVersion").GetInt32(), left.GetProperty("lastVersion").GetInt32(), left.GetProperty("eventCount").GetInt32()));
        await AppendAsync(node, "order-1", "T", "--expected", "no-stream");
        Assert.Equal([11], await PositionsAsync(node, "read", "order-1"));
        Assert.Equal("INVALID_REQUEST", (await node.RunAsync("streams", "truncate", "order-1", "--before", "9")).MustBe(2).ErrorCode);
        Assert.Equal("RESERVED_NAME", (await node.RunAsync("streams", "delete", "$streams")).MustBe(2).ErrorCode);
    }

    [Theory]
    [InlineData("delete")]
    [InlineData("tombstone")]
    [InlineData("truncate", "--before", "1")]
    public async Task A_repeat_that_says_how_old_it_is_does_nothing_twice(string change, params string[] more)
    {
        await using var node = await TestNode.NewAsync();
        await AppendAsync(node, "s", "T");
        string[] command = ["streams", change, "s", .. more];
        string[] again = [.. command, "--operation-id", Guid.NewGuid().ToString(), "--attempted-after"];
        Assert.False((await node.RunAsync([.. again, "0"])).MustBe(0).Json.GetProperty("deduplicated").GetBoolean());
        Assert.True((await node.RunAsync([.. again, "empty"])).MustBe(0).Json.GetProperty("deduplicated").GetBoolean());
        (await node.RunAsync([.. again, "never"])).MustBe(2);
        (await node.RunAsync([.. command, "--attempted-after", "0"])).MustBe(2);
    }

    [Fact]
    public async Task A_late_repeat_of_a_deletion_does_not_end_what_was_written_since()
    {
        await using var node = await TestNode.NewAsync("--operation-horizon", "1024", "--segment-size", "65536");
        await AppendAsync(node, "order-1", "T");
        string[] delete = ["streams", "delete", "order-1", "--operation-id", Guid.NewGuid().ToString()];
        (await node.RunAsync(delete)).MustBe(0);
        await AppendAsync(node, "order-1", "T");

        // The horizon is the least that is kept: ids are forgotten some time after segments behind it were sealed.
        var file = node.FileIn("more.jsonl");
        await File.WriteAllLinesAsync(file, Enumerable.Range(1, 3000).Select(i => HistoryLine.Good(i, i)));
        (await node.RunAsync("import", file)).MustBe(0);
        var end = DateTime.UtcNow.AddSeconds(30);
        while ((await node.RunAsync("info")).MustBe(0).Json.GetProperty("operationFloor").ValueKind == JsonValueKind.Null)
        {
            Assert.True(DateTime.UtcNow < end, "The floor did not rise.");
        }

        var refused = (await node.RunAsync([.. delete, "--attempted-after", "0"])).MustBe(1);
        Assert.Equal("RETRY_TOO_OLD", refused.ErrorCode);
        Assert.True(refused.Json.GetProperty("error").GetProperty("floor").GetUInt64() > 2);
        Assert.Equal([2], await PositionsAsync(node, "read", "order-1"));
    }

    private static async Task AppendAsync(TestNode node, string stream, string type, params string[] more) =>
        (await node.RunAsync(["append", stream, "--type", type, "--data", "{}", .. more])).MustBe(0);

    private static async Task<IEnumerable<int>> PositionsAsync(TestNode node, params string[] command) =>
        (await node.RunAsync(command)).MustBe(0).Lines.Select(e => e.GetProperty("position").GetInt32());
}
