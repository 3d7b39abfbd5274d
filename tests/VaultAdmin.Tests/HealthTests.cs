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
}
