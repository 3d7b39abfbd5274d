using System.Text.Json;
using System.Text.RegularExpressions;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

public sealed partial class AppendTests(TestNode node) : IClassFixture<TestNode>
{
    [GeneratedRegex(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$")]
    private static partial Regex Rfc3339();

    [Fact]
    public async Task The_answer_has_positions_version_time_and_whether_it_was_a_repeat()
    {
        string[] append = ["append", "answer-1", "--type", "T", "--data", "{\"a\":1}", "--id", Guid.NewGuid().ToString(), "--operation-id", Guid.NewGuid().ToString()];
        var first = (await node.RunAsync(append)).MustBe(0).Json;
        Assert.Equal(["firstPosition", "lastPosition", "version", "recordedAt", "deduplicated"], first.EnumerateObject().Select(p => p.Name));
        Assert.Equal(first.GetProperty("firstPosition").GetUInt64(), first.GetProperty("lastPosition").GetUInt64());
        Assert.Equal(0UL, first.GetProperty("version").GetUInt64());
        Assert.Matches(Rfc3339(), first.GetProperty("recordedAt").GetString());
        Assert.False(first.GetProperty("deduplicated").GetBoolean());

        var repeat = (await node.RunAsync(append)).MustBe(0).Json;
        Assert.True(repeat.GetProperty("deduplicated").GetBoolean());
        Assert.Equal(first.GetProperty("firstPosition").GetUInt64(), repeat.GetProperty("firstPosition").GetUInt64());

        append[3] = "U";
        var reused = (await node.RunAsync(append)).MustBe(1);
        Assert.Equal("OPERATION_ID_REUSED", reused.ErrorCode);
    }

    [Fact]
    public async Task The_same_command_with_an_operation_id_is_a_repeat_without_naming_the_event()
    {
        var operation = Guid.NewGuid().ToString();
        string[] append = ["append", "repeat-1", "--type", "T", "--data", "{}", "--operation-id", operation];
        Assert.False((await node.RunAsync(append)).MustBe(0).Json.GetProperty("deduplicated").GetBoolean());
        Assert.True((await node.RunAsync(append)).MustBe(0).Json.GetProperty("deduplicated").GetBoolean());
        Assert.Equal(operation, (await node.RunAsync("read", "repeat-1")).MustBe(0).Json.GetProperty("id").GetString());
    }

    // What an append of unknown outcome says: "send it again with operation id …".
    [Fact]
    public async Task A_command_without_ids_is_repeated_by_its_operation_id_alone()
    {
        string[] append = ["append", "repeat-2", "--type", "T", "--data", "{}"];
        var first = (await node.RunAsync(append)).MustBe(0).Json.GetProperty("firstPosition").GetUInt64();
        var operation = (await node.RunAsync("read", "repeat-2")).MustBe(0).Json.GetProperty("id").GetString()!;
        (await node.RunAsync("find-append", operation)).MustBe(0);
        var repeat = (await node.RunAsync([.. append, "--operation-id", operation])).MustBe(0).Json;
        Assert.True(repeat.GetProperty("deduplicated").GetBoolean());
        Assert.Equal(first, repeat.GetProperty("firstPosition").GetUInt64());
    }

    [Theory]
    [InlineData("no-stream", "\"no-stream\"", "1")]
    [InlineData("0", "0", "1")]
    [InlineData("7", "7", "1")]
    public async Task A_conflict_ends_with_3_and_tells_expected_and_actual(string expected, string told, string actual)
    {
        var stream = $"conflict-{Guid.NewGuid():N}";
        await AppendAsync(stream, "no-stream");
        await AppendAsync(stream, "0");
        var result = (await node.RunAsync("append", stream, "--type", "T", "--data", "{}", "--expected", expected)).MustBe(3);
        Assert.Equal("WRONG_EXPECTED_VERSION", result.ErrorCode);
        foreach (var place in new[] { result.Json, result.Json.GetProperty("error") })
        {
            Assert.Equal(told, place.GetProperty("expected").GetRawText());
            Assert.Equal(actual, place.GetProperty("actual").GetRawText());
        }

        Assert.Equal(2, (await node.RunAsync("read", stream)).MustBe(0).Lines.Count);
    }

    [Theory]
    [InlineData("exists")]
    [InlineData("0")]
    public async Task In_a_conflict_actual_is_null_if_the_stream_has_no_events(string expected)
    {
        var result = (await node.RunAsync("append", $"none-{Guid.NewGuid():N}", "--type", "T", "--data", "{}", "--expected", expected)).MustBe(3);
        Assert.Equal(JsonValueKind.Null, result.Json.GetProperty("actual").ValueKind);
    }

    [Fact]
    public async Task Bad_names_and_sizes_are_refused_by_name()
    {
        Assert.Equal("INVALID_NAME", (await node.RunAsync("append", "", "--type", "T", "--data", "{}")).MustBe(2).ErrorCode);
        Assert.Equal("LIMIT_EXCEEDED", (await node.RunAsync("append", new string('x', 10_000), "--type", "T", "--data", "{}")).MustBe(1).ErrorCode);
        Assert.Equal("RESERVED_NAME", (await node.RunAsync("append", "$mine", "--type", "T", "--data", "{}")).MustBe(2).ErrorCode);
        Assert.Equal("INVALID_EVENT", (await node.RunAsync("append", "a", "--type", "", "--data", "{}")).MustBe(2).ErrorCode);
        Assert.Equal("INVALID_NAME", (await node.RunAsync("read", "")).MustBe(2).ErrorCode);
    }

    [Fact]
    public async Task A_value_that_looks_like_an_option_or_a_file_of_arguments_is_taken_as_it_is()
    {
        (await node.RunAsync("append", "@here", "--type", "--json", "--data", "-5", "--tag", "@t")).MustBe(0);
        var e = (await node.RunAsync("read", "@here")).MustBe(0).Json;
        Assert.Equal("--json", e.GetProperty("type").GetString());
        Assert.Equal("-5", e.GetProperty("data").GetRawText());
    }

    private async Task AppendAsync(string stream, string expected) =>
        (await node.RunAsync("append", stream, "--type", "T", "--data", "{}", "--expected", expected)).MustBe(0);
}
