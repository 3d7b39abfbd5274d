using EventVault.Node.Tests.Support;

namespace EventVault.Node.Tests;

/// <summary>What a start does not look at, because it takes too long.</summary>
public class ServicesTests
{
    [Fact]
    public async Task Every_call_of_every_service_has_a_handler_of_its_kind()
    {
        await using var node = await TestNode.StartAsync(o => o with { Reflection = true });
        node.Node.Calls.RequireComplete();
    }
}
