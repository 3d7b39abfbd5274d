using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

public sealed class UsageTests
{
    [Theory]
    [InlineData("", "command")]
    [InlineData("nonsense", "nonsense")]
    [InlineData("read", "--all")]
    [InlineData("read a --all", "not both")]
    [InlineData("read a --from -1", "--from")]
    [InlineData("read a --from 99999999999999999999999", "--from")]
    [InlineData("read a --limit 0", "--limit")]
    [InlineData("read a --from-time yesterday", "RFC 3339")]
    [InlineData("read a --from 1 --from-time 2024-01-01T00:00:00Z", "not both")]
    [InlineData("read a --system", "--all")]
    [InlineData("append a --data {}", "--type")]
    [InlineData("append a --type T", "--data")]
    [InlineData("append a --type T --data {", "JSON")]
    [InlineData("append a --type T --data {} --expected -1", "--expected")]
    [InlineData("append a --type T --data {} --metadata novalue", "KEY=VALUE")]
    [InlineData("append a --type T --data {} --id 17", "--id")]
    [InlineData("status --endpoint ftp://127.0.0.1", "eventvault://")]
    [InlineData("status extra", "extra")]
    [InlineData("import", "file")]
    [InlineData("verify", "directory")]
    [InlineData("streams", "command")]
    [InlineData("bench --in-flight 0", "--in-flight")]
    public async Task Wrong_usage_ends_with_2_and_says_what_is_wrong(string line, string names)
    {
        var result = (await AdminProcess.RunAsync([.. line.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--json"])).MustBe(2);
        Assert.Equal("USAGE", result.ErrorCode);
        Assert.Contains(names, result.ErrorMessage, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("System.", result.ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_json_the_message_is_on_stderr_and_stdout_is_empty()
    {
        var result = (await AdminProcess.RunAsync("read")).MustBe(2);
        Assert.Empty(result.Stdout);
        Assert.Contains("--all", result.Stderr, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Help_is_no_error_and_lists_the_exit_codes()
    {
        var result = (await AdminProcess.RunAsync("--help")).MustBe(0);
        Assert.Contains("Exit codes: 0 done", result.Stdout, StringComparison.Ordinal);
        Assert.Contains("--from-time", (await AdminProcess.RunAsync("read", "--help")).MustBe(0).Stdout, StringComparison.Ordinal);
    }
}
