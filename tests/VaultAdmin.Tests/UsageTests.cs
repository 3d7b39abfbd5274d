using System.Diagnostics;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

public sealed class UsageTests
{
    [Theory]
    [InlineData("", "A command is missing. vault-admin has: info, ")]
    [InlineData("nonsense", "'nonsense' is no command. vault-admin has: info, ")]
    [InlineData("--nonsense", "'--nonsense' is no option. vault-admin has: info, ")]
    [InlineData("cluster nonsense", "'nonsense' is no command. vault-admin cluster has: status, ")]
    [InlineData("read a --from abc", "--from N: Where to begin, inclusive: a version")]
    [InlineData("read", "--all")]
    [InlineData("read a --all", "not both")]
    [InlineData("read a --from -1", "--from")]
    [InlineData("read a --from 99999999999999999999999", "--from")]
    [InlineData("read a --limit 0", "--limit")]
    [InlineData("read a --from-time yesterday", "RFC 3339")]
    [InlineData("read a --from 1 --from-time 2024-01-01T00:00:00Z", "not both")]
    [InlineData("read a --system", "--all")]
    [InlineData("read a --category c", "--all")]
    [InlineData("read a --event-id 92dcc1be-40bf-5d74-998d-daeb3835c277", "--all")]
    [InlineData("read --all --event-id 17", "--event-id")]
    [InlineData("read --all --consistency eventual", "linearizable, local")]
    [InlineData("read --all --consistency -1", "--consistency")]
    [InlineData("tail a --tag t", "--all")]
    [InlineData("status --password-file nofile", "--password-file needs --user")]
    [InlineData("status --user bob --password-file /nonexistent", "--password-file: no file '/nonexistent' can be found")]
    [InlineData("status --token-file /", "--token-file: '/' is a directory")]
    [InlineData("status --endpoint http://127.0.0.1:0", "127.0.0.1:0")]
    [InlineData("health --endpoint http://127.0.0.1:9", "--http instead of --endpoint")]
    [InlineData("restore --from a --data b --position -1", "--position is -1")]
    [InlineData("restore --from a --data b --node-id 0", "--node-id is 0")]
    [InlineData("count", "--category")]
    [InlineData("count --type T --from -1", "--from")]
    [InlineData("count --type T --until 1 --until-time 2024-01-01T00:00:00Z", "not both")]
    [InlineData("append a --type T --data {} --after 3", "--fail-if-type")]
    [InlineData("append a --type T --data {} --fail-if-type X --after head", "--after")]
    [InlineData("append a --type T --data {} --require b", "STREAM=EXPECTED")]
    [InlineData("append a --type T --data {} --require =1", "STREAM=EXPECTED")]
    [InlineData("append a --type T --data {} --require b=", "--require")]
    [InlineData("append a --type T --data {} --require b=latest", "--require")]
    [InlineData("append a --type T --data {} --attempted-after 3", "--operation-id")]
    [InlineData("append a --type T --data {} --attempted-after now --operation-id 92dcc1be-40bf-5d74-998d-daeb3835c277", "--attempted-after")]
    [InlineData("find-append", "operation-id")]
    [InlineData("find-append 17", "17")]
    [InlineData("streams ls --prefix a --category b", "not both")]
    [InlineData("streams delete", "stream")]
    [InlineData("streams delete a --expected -1", "--expected")]
    [InlineData("streams truncate a", "--before")]
    [InlineData("streams truncate a --before -1", "--before")]
    [InlineData("streams retain --max-events 3", "--category")]
    [InlineData("streams retain a --category c --max-events 3", "not both")]
    [InlineData("streams retain a", "--max-age")]
    [InlineData("streams retain a --show --remove", "one thing")]
    [InlineData("streams retain a --show --max-events 3", "one thing")]
    [InlineData("streams retain a --show --release", "--release")]
    [InlineData("streams retain a --show --operation-id 92dcc1be-40bf-5d74-998d-daeb3835c277", "--operation-id")]
    [InlineData("streams retain a --max-age 30", "--max-age")]
    [InlineData("streams retain a --max-age 1.5h", "--max-age")]
    [InlineData("streams retain a --max-age 99999999999999w", "--max-age")]
    [InlineData("streams retain a --max-bytes 10MB", "--max-bytes")]
    [InlineData("streams retain a --max-bytes 99999999999GiB", "--max-bytes")]
    [InlineData("streams retain a --max-events -1", "--max-events")]
    [InlineData("streams retain a --forever --attempted-after 3", "--operation-id")]
    [InlineData("scavenge --explain --stop", "one of")]
    [InlineData("scavenge --status --explain", "one of")]
    [InlineData("scavenge --wait --stop", "--wait")]
    [InlineData("scavenge --wait --explain", "--wait")]
    [InlineData("scavenge --status --operation-id 92dcc1be-40bf-5d74-998d-daeb3835c277", "--operation-id")]
    [InlineData("state", "stream")]
    [InlineData("state a --at-version -1", "--at-version")]
    [InlineData("state a --at-version 1 --at-position 2", "--at-version and --at-position")]
    [InlineData("state a --at-time 2024-01-01T00:00:00Z --token AAAA", "one moment")]
    [InlineData("state a --at-time yesterday", "--at-time")]
    [InlineData("state a --before-time 2024-01-01", "--before-time")]
    [InlineData("state a --occurred soon", "--occurred")]
    [InlineData("state a --token =", "--token")]
    [InlineData("state a --slots n=COUNT(*) --reducer r", "not both")]
    [InlineData("state a --reducer r@", "NAME@VERSION")]
    [InlineData("state a --reducer @1", "NAME@VERSION")]
    [InlineData("state a --reducer r@0", "NAME@VERSION")]
    [InlineData("state history a --every 0", "--every")]
    [InlineData("state history a --every 2 --each-change", "one of")]
    [InlineData("state history a --every 2 --every-time 1h", "one of")]
    [InlineData("state history a --every-time 0s", "--every-time")]
    [InlineData("state history a --every-time soon", "--every-time")]
    [InlineData("state history a --from x7", "--from")]
    [InlineData("state history a --until v", "--until")]
    [InlineData("state history a --limit 0", "--limit")]
    [InlineData("state diff a --from v1", "--to")]
    [InlineData("state diff a --from v1 --to v-2", "--to")]
    [InlineData("states", "--category")]
    [InlineData("states --category c --at-version 1", "--at-version")]
    [InlineData("states --category c --limit 0", "--limit")]
    [InlineData("reducers show r@x", "NAME@VERSION")]
    [InlineData("reducers define r", "--slots")]
    [InlineData("reducers define r --slots n=COUNT(*) --merge-patch", "--merge-patch")]
    [InlineData("reducers define r --merge-patch --expected-version -1", "--expected-version")]
    [InlineData("reducers define r --merge-patch --attempted-after 3", "--operation-id")]
    [InlineData("append a --data {}", "--type")]
    [InlineData("append a --type T", "--data")]
    [InlineData("append a --type T --data {", "JSON")]
    [InlineData("append a --type T --data { --content-type Application/JSON;charset=utf-8", "JSON")]
    [InlineData("append a --type T --data { --content-type application/problem+json", "JSON")]
    [InlineData("append a --type T --data {} --expected -1", "--expected")]
    [InlineData("append a --type T --data {} --metadata novalue", "KEY=VALUE")]
    [InlineData("append a --type T --data {} --id 17", "--id")]
    [InlineData("status --endpoint ftp://127.0.0.1", "eventvault://")]
    [InlineData("status extra", "extra")]
    [InlineData("import", "file")]
    [InlineData("export .", "is a folder")]
    [InlineData("export /dev/null", "no regular file")]
    [InlineData("backup --to /dev/null", "is a file")]
    [InlineData("restore --from a/ --data a/b", "in the backup directory")]
    [InlineData("restore --from /nonexistent --data b", "/nonexistent")]
    [InlineData("export /dev/stdout", "no regular file")]
    [InlineData("backup --to /dev/null/", "is a file")]
    [InlineData("restore --from a --data /dev/null", "is a file")]
    [InlineData("certificates c --node aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "no host name")]
    [InlineData("certificates c --node a!b", "no host name")]
    [InlineData("verify", "directory")]
    [InlineData("verify /nonexistent", "does not exist")]
    [InlineData("backup verify /nonexistent", "/nonexistent")]
    [InlineData("streams", "command")]
    [InlineData("bench --in-flight 0", "--in-flight")]
    public async Task Wrong_usage_ends_with_2_and_says_what_is_wrong(string line, string names)
    {
        var result = (await AdminProcess.RunAsync([.. line.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--json"])).MustBe(2);
        Assert.Equal("USAGE", result.ErrorCode);
        Assert.Contains(names, result.ErrorMessage, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("System.", result.ErrorMessage, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("read --all --category", "--category")]
    [InlineData("tail --all --prefix", "--prefix")]
    [InlineData("count --tag", "--tag")]
    [InlineData("append a --type T --data {} --fail-if-type", "--fail-if-type")]
    [InlineData("streams ls --category", "--category")]
    [InlineData("streams retain --max-events 3 --category", "--category")]
    [InlineData("import", "file")]
    [InlineData("users init", "file")]
    [InlineData("certificates", "folder")]
    [InlineData("append a --type T --data {} --content-type", "--content-type")]
    [InlineData("info --token-file", "--token-file")]
    [InlineData("whoami --password-file x --user", "--user")]
    [InlineData("info --authority", "--authority")]
    [InlineData("info --endpoint", "--endpoint")]
    public async Task An_empty_text_is_refused_where_it_would_match_everything(string line, string names)
    {
        var result = (await AdminProcess.RunAsync([.. line.Split(' '), "", "--json"])).MustBe(2);
        Assert.Contains($"{names} is empty", result.ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Variables_of_credentials_hinder_no_command_that_calls_no_node()
    {
        var variables = new Dictionary<string, string> { ["EVENTVAULT_USER"] = "alice", ["EVENTVAULT_AUTHORITY"] = "/nonexistent.pem" };
        var folder = Directory.CreateTempSubdirectory("eventvault-variables-").FullName;
        try
        {
            (await AdminProcess.RunWithAsync(variables, "certificates", folder, "--json")).MustBe(0);
            Assert.Contains("needs a password", (await AdminProcess.RunWithAsync(variables, "status", "--json")).MustBe(2).ErrorMessage, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    // The runtime makes U+FFFD of it, and of every other text that is none: different names would be one stream.
    [Fact]
    public async Task An_argument_that_is_no_utf8_is_refused()
    {
        using var process = Process.Start(new ProcessStartInfo("sh", ["-c", "exec \"$0\" \"$1\" append \"$(printf 'a\\377')\" --type T --data '{}' --json", AdminProcess.Dotnet, AdminProcess.Assembly])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        Assert.Contains("not valid UTF-8", (await AdminProcess.EndAsync(process)).MustBe(2).ErrorMessage, StringComparison.Ordinal);
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
        var scavenge = (await AdminProcess.RunAsync("scavenge", "--help")).MustBe(0).Stdout;
        Assert.Contains("vault-admin scavenge --explain", scavenge, StringComparison.Ordinal);
        Assert.Contains("--from-time", (await AdminProcess.RunAsync("read", "--help")).MustBe(0).Stdout, StringComparison.Ordinal);
    }
}
