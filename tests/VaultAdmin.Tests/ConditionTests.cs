using System.Text.Json;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

/// <summary>Appends that demand more than the version of their own stream, and how they are found again.</summary>
public sealed class ConditionTests(TestNode node) : IClassFixture<TestNode>
{
    [Fact]
    public async Task A_failed_condition_ends_with_3_and_tells_what_matched()
    {
        var taken = await AppendAsync("show-1", "seat-taken", "--tag", "seat:1", "--tag", "row:a");
        var position = taken.GetProperty("lastPosition").GetRawText();
        string[] condition = ["--fail-if-type", "seat-taken", "--fail-if-type", "seat-held", "--fail-if-tag", "seat:1"];

        var failed = (await node.RunAsync(["append", "show-2", "--type", "seat-taken", "--data", "{}", .. condition])).MustBe(3);
        Assert.Equal("CONDITION_FAILED", failed.ErrorCode);
        Assert.Equal(position, failed.Json.GetProperty("position").GetRawText());
        var error = failed.Json.GetProperty("error");
        Assert.Equal("[]", error.GetProperty("conflicts").GetRawText());
        Assert.Equal($$"""[{"index":0,"position":{{position}}}]""", error.GetProperty("conditions").GetRawText());

        // Behind what was read nothing matches; nor does anything with all of the tags.
        await AppendAsync("show-2", "seat-taken", [.. condition, "--after", position]);
        await AppendAsync("show-3", "seat-taken", "--fail-if-tag", "seat:1", "--fail-if-tag", "row:b");
    }

    [Fact]
    public async Task Requirements_fail_together_with_everything_else()
    {
        await AppendAsync("a=b", "T");
        await AppendAsync("transfer-1", "T", "--require", "a=b=0", "--require", "none=no-stream");
        var failed = (await node.RunAsync(
            "append", "transfer-1", "--type", "T", "--data", "{}", "--expected", "9", "--require", "a=b=7", "--require", "none=exists",
            "--fail-if-type", "T")).MustBe(3);
        Assert.Equal("WRONG_EXPECTED_VERSION", failed.ErrorCode);
        Assert.Equal(("9", "0"), (failed.Json.GetProperty("expected").GetRawText(), failed.Json.GetProperty("actual").GetRawText()));
        var error = failed.Json.GetProperty("error");
        Assert.Equal(
            """[{"stream":"transfer-1","expected":9,"actual":0,"requirement":false},{"stream":"a=b","expected":7,"actual":0,"requirement":true},{"stream":"none","expected":"exists","actual":null,"requirement":true}]""",
            error.GetProperty("conflicts").GetRawText());
        Assert.Equal(1, error.GetProperty("conditions").GetArrayLength());

        var forPeople = (await AdminProcess.RunAsync(
            "append", "x", "--type", "T", "--data", "{}", "--require", "a=b=7", "--endpoint", node.Endpoint)).MustBe(3);
        Assert.Contains("a=b: required 7, but the last version is 0", forPeople.Stderr, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_tombstone_does_not_hide_what_else_failed()
    {
        await AppendAsync("ended-1", "T");
        (await node.RunAsync("streams", "tombstone", "ended-1")).MustBe(0);
        var failed = await node.RunAsync("append", "ended-1", "--type", "T", "--data", "{}", "--require", "ended-2=7", "--require", "ended-3=exists");
        Assert.NotEqual(0, failed.ExitCode);
        var failures = failed.Json.GetProperty("error").GetProperty("failures").EnumerateArray().ToArray();
        Assert.Equal(
            ["STREAM_TOMBSTONED", "WRONG_EXPECTED_VERSION", "WRONG_EXPECTED_VERSION"],
            failures.Select(f => f.GetProperty("code").GetString()).Order(StringComparer.Ordinal));
        var second = failures.Single(f => f.GetProperty("stream").GetString() == "ended-2");
        Assert.Equal(("7", "null"), (second.GetProperty("expected").GetRawText(), second.GetProperty("actual").GetRawText()));
        Assert.Equal(JsonValueKind.String, second.GetProperty("message").ValueKind);
    }

    [Fact]
    public async Task An_append_is_found_by_its_operation_id_and_a_repeat_says_how_old_it_is()
    {
        var operation = Guid.NewGuid().ToString();
        string[] append = ["append", "found-1", "--type", "T", "--data", "{}", "--id", Guid.NewGuid().ToString(), "--operation-id", operation];
        var written = (await node.RunAsync(append)).MustBe(0).Json;
        var found = (await node.RunAsync("find-append", operation)).MustBe(0).Json;
        Assert.Equal(written.GetProperty("firstPosition").GetUInt64(), found.GetProperty("firstPosition").GetUInt64());
        Assert.Equal("""[{"stream":"found-1","version":0}]""", found.GetProperty("streams").GetRawText());
        Assert.True((await node.RunAsync([.. append, "--attempted-after", "empty"])).MustBe(0).Json.GetProperty("deduplicated").GetBoolean());
        Assert.Equal("OPERATION_NOT_FOUND", (await node.RunAsync("find-append", Guid.NewGuid().ToString())).MustBe(1).ErrorCode);
        Assert.Equal(JsonValueKind.Null, (await node.RunAsync("info")).MustBe(0).Json.GetProperty("operationFloor").ValueKind);
    }

    private async Task<JsonElement> AppendAsync(string stream, string type, params string[] more) =>
        (await node.RunAsync(["append", stream, "--type", type, "--data", "{}", .. more])).MustBe(0).Json;
}
