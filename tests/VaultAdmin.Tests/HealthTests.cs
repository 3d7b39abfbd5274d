using System.Net;
using System.Net.Sockets;
using System.Text;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

public sealed class HealthTests
{
    [Fact]
    public async Task A_node_that_serves_is_ready_and_one_that_is_gone_ends_with_5()
    {
        await using var node = await TestNode.NewAsync();
        var ready = (await AdminProcess.RunAsync("health", "--http", node.HttpEndpoint, "--json")).MustBe(0).Json;
        Assert.Equal((true, "serving"), (ready.GetProperty("healthy").GetBoolean(), ready.GetProperty("status").GetString()));
        await node.StopAsync();
        (await AdminProcess.RunAsync("health", "--http", node.HttpEndpoint, "--json")).MustBe(5);
    }

    [Fact]
    public async Task A_node_without_a_vault_lives_and_is_not_ready()
    {
        await using var node = await TestNode.NewAsync("--join", "--peer-port", "0");
        Assert.False((await AdminProcess.RunAsync("health", "--http", node.HttpEndpoint, "--json")).MustBe(6).Json.GetProperty("healthy").GetBoolean());
        (await AdminProcess.RunAsync("health", "--live", "--http", node.HttpEndpoint)).MustBe(0);
    }

    [Fact]
    public async Task It_shows_who_asks_as_reasons_are_told_to_who_is_known()
    {
        using var port = new TcpListener(IPAddress.Loopback, 0);
        port.Start();
        var asked = AnswerAsync(port);
        var variables = new Dictionary<string, string> { ["EVENTVAULT_USER"] = "alice", ["EVENTVAULT_PASSWORD"] = "alices-password" };

        var told = (await AdminProcess.RunWithAsync(variables, "health", "--http", $"http://{port.LocalEndpoint}")).MustBe(6);

        Assert.Contains($"Authorization: Basic {Convert.ToBase64String("alice:alices-password"u8)}\r\n", await asked, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("the disk is full", told.Stdout, StringComparison.Ordinal);
    }

    // Answers one question as a node does; says what it was.
    private static async Task<string> AnswerAsync(TcpListener port)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        using var connection = await port.AcceptSocketAsync(limit.Token);
        var (bytes, length) = (new byte[8192], 0);
        while (!bytes.AsSpan(0, length).EndsWith("\r\n\r\n"u8))
        {
            var read = await connection.ReceiveAsync(bytes.AsMemory(length), limit.Token);
            Assert.NotEqual(0, read);
            length += read;
        }

        const string Reason = """{"status":"full","reason":"the disk is full"}""";
        await connection.SendAsync(Encoding.UTF8.GetBytes($"HTTP/1.1 503 Service Unavailable\r\nContent-Length: {Reason.Length}\r\nConnection: close\r\n\r\n{Reason}"), limit.Token);
        return Encoding.UTF8.GetString(bytes, 0, length);
    }
}
