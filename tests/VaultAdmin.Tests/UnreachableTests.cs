using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

public sealed class UnreachableTests
{
    private static readonly TimeSpan Promise = TimeSpan.FromSeconds(15);

    [Fact]
    public async Task Without_a_node_every_command_gives_up_within_15_seconds_with_5()
    {
        var endpoint = $"http://127.0.0.1:{TestNode.FreePort()}";
        await MustGiveUpAsync(endpoint, "UNREACHABLE");
    }

    [Fact]
    public async Task A_peer_that_takes_connections_and_never_answers_counts_as_no_node()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        await MustGiveUpAsync($"eventvault://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}", null);
    }

    [Fact]
    public async Task The_environment_names_the_endpoint_and_the_option_beats_it()
    {
        using var byVariable = AdminProcess.StartWith("http://127.0.0.1:1", "status", "--json");
        using var byOption = AdminProcess.StartWith("http://127.0.0.1:1", "status", "--json", "--endpoint", "http://127.0.0.1:2");
        Assert.Contains("127.0.0.1:1.", (await AdminProcess.EndAsync(byVariable)).MustBe(5).ErrorMessage, StringComparison.Ordinal);
        Assert.Contains("127.0.0.1:2.", (await AdminProcess.EndAsync(byOption)).MustBe(5).ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Who_names_the_http_port_is_told_that_it_is_no_grpc_port_and_never_that_an_outcome_is_unknown()
    {
        await using var node = await TestNode.NewAsync();
        foreach (string[] command in new string[][] { ["status"], ["append", "a", "--type", "T", "--data", "{}"] })
        {
            var result = (await AdminProcess.RunAsync([.. command, "--endpoint", node.HttpEndpoint, "--json"])).MustBe(5);
            Assert.Equal("UNREACHABLE", result.ErrorCode);
            Assert.Contains("speaks HTTP/1.1 only, so it is no gRPC port", result.ErrorMessage, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Who_asks_a_node_in_clear_text_by_TLS_is_told_of_http()
    {
        await using var node = await TestNode.NewAsync();
        Assert.Contains("a server without TLS is reached by http", (await AdminProcess.RunAsync("status", "--endpoint", Https(node.Endpoint), "--json")).MustBe(5).ErrorMessage, StringComparison.Ordinal);
        Assert.Contains("that of one without TLS as http://", (await AdminProcess.RunAsync("health", "--http", Https(node.HttpEndpoint), "--json")).MustBe(5).ErrorMessage, StringComparison.Ordinal);

        static string Https(string address) => address.Replace("http:", "https:", StringComparison.Ordinal);
    }

    private static async Task MustGiveUpAsync(string endpoint, string? code)
    {
        string[][] commands =
        [
            ["status"], ["info"], ["read", "a"], ["tail", "--all"], ["append", "a", "--type", "T", "--data", "{}"],
            ["import", AdminProcess.TestData("redis-history.jsonl.gz")], ["export", "-"], ["streams", "ls"], ["bench"],
        ];
        var clock = Stopwatch.StartNew();

        // On a busy machine a process takes its time to start, and to end: one that needs no node, beside the others, tells how much.
        var onlyStarts = Task.Run(async () =>
        {
            (await AdminProcess.RunAsync("--help")).MustBe(0);
            return clock.Elapsed;
        });
        await Task.WhenAll(commands.Select(async command =>
        {
            var result = await AdminProcess.RunAsync([.. command, "--endpoint", endpoint, "--json"]);
            var time = clock.Elapsed;

            // An append that went out and was never answered may have been written; that must not be told as "unreachable".
            if (code is null && command[0] == "append" && result.ExitCode == 1)
            {
                Assert.Equal("OUTCOME_UNKNOWN", result.ErrorCode);
            }
            else
            {
                result.MustBe(5);
                Assert.True(code is null || result.ErrorCode == code, result.Stdout);
            }

            var allowed = Promise + (3 * await onlyStarts);
            Assert.True(time < allowed, $"{command[0]} took {time} of {allowed}.");
        }));
    }
}
