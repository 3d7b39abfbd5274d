using System.Text.Json;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

/// <summary>The commands of docs/CLUSTER.md, on real nodes.</summary>
public sealed class ClusterTests : IAsyncLifetime
{
    private readonly List<TestNode> _nodes = [];

    public async Task InitializeAsync()
    {
        for (var i = 0; i < 3; i++)
        {
            _nodes.Add(await TestNode.NewAsync("--join", "--peer-port", "0", "--segment-size", "16777216"));
        }
    }

    public async Task DisposeAsync()
    {
        foreach (var node in _nodes)
        {
            await node.DisposeAsync();
        }
    }

    [Fact]
    public async Task Three_nodes_become_one_vault_change_leaders_and_go_on_without_one_of_them()
    {
        // Nothing is a vault yet, and nothing was done by asking.
        var none = (await _nodes[0].RunAsync("cluster", "status")).MustBe(6).Json;
        Assert.Equal((false, true), (none.GetProperty("healthy").GetBoolean(), none.GetProperty("vaultId").ValueKind == JsonValueKind.Null));
        Assert.Equal("NOT_JOINED", (await _nodes[0].RunAsync("append", "s", "--type", "T", "--data", "{}")).MustBe(1).ErrorCode);

        var names = string.Join(',', _nodes.Select(HostAndPort));
        var made = (await _nodes[2].RunAsync("cluster", "init", "--nodes", names)).MustBe(0);
        Assert.Equal(["voter", "voter", "voter"], Nodes(made).Select(n => n.GetProperty("role").GetString()));

        // Once more: what is done stays.
        var again = (await _nodes[2].RunAsync("cluster", "init", "--nodes", names)).MustBe(0);
        Assert.Equal(made.Json.GetProperty("vaultId").GetGuid(), again.Json.GetProperty("vaultId").GetGuid());

        (await _nodes[1].RunAsync("append", "s", "--type", "T", "--data", "{}", "--expected", "no-stream")).MustBe(0);
        (await _nodes[2].RunAsync("read", "s")).MustBe(0);
        var moved = (await _nodes[1].RunAsync("cluster", "transfer", "--to", "3")).MustBe(0);
        Assert.Equal(3, moved.Json.GetProperty("leader").GetInt32());

        await BackUpAndRestoreAsync(_nodes[1]);

        // Also while another one leads than the first, which then would have to add itself.
        (await _nodes[2].RunAsync("cluster", "init", "--nodes", names)).MustBe(0);
        Assert.Equal("NODE_NOT_FOUND", (await _nodes[1].RunAsync("cluster", "transfer", "--to", "7")).MustBe(1).ErrorCode);

        // A first node that has lost its disk must not become a vault of its own.
        await using (var wiped = await TestNode.NewAsync("--join", "--peer-port", "0"))
        {
            var refused = (await _nodes[0].RunAsync("cluster", "init", "--nodes", $"{HostAndPort(wiped)},{HostAndPort(_nodes[1])}")).MustBe(2);
            Assert.Contains("cluster replace", refused.ErrorMessage, StringComparison.Ordinal);
            Assert.Equal(JsonValueKind.Null, (await wiped.RunAsync("cluster", "status")).MustBe(6).Json.GetProperty("vaultId").ValueKind);
        }

        await _nodes[2].KillAsync();
        (await _nodes[0].RunAsync("append", "s", "--type", "T", "--data", "{}", "--expected", "0")).MustBe(0);
        var without = (await _nodes[0].RunAsync("cluster", "status")).MustBe(6);
        Assert.Equal([true, true, false], Nodes(without).Select(n => n.GetProperty("reachable").GetBoolean()));
        Assert.Equal("UNSAFE_CHANGE", (await _nodes[0].RunAsync("cluster", "remove", "2")).MustBe(1).ErrorCode);
        Assert.Empty((await _nodes[0].RunAsync("cluster", "remove", "3")).MustBe(0).Stderr);
        Assert.Contains("the vault has no node 3: nothing was changed", (await _nodes[0].RunAsync("cluster", "remove", "3")).MustBe(0).Stderr, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_can_not_be_meant_is_refused_before_anything_is_done()
    {
        var first = HostAndPort(_nodes[0]);
        Assert.Equal("USAGE", (await _nodes[0].RunAsync("cluster", "init", "--nodes", $"{first},{first}")).MustBe(2).ErrorCode);
        (await _nodes[0].RunAsync("cluster", "init", "--nodes", $"{first},127.0.0.1:{TestNode.FreePort()}")).MustBe(5);
        (await _nodes[0].RunAsync("cluster", "status")).MustBe(6);
        await using var alone = await TestNode.NewAsync();
        Assert.Equal("USAGE", (await _nodes[0].RunAsync("cluster", "init", "--nodes", $"{first},{HostAndPort(alone)}")).MustBe(2).ErrorCode);
        (await alone.RunAsync("cluster", "status")).MustBe(0);
    }

    // A follower is backed up like any node, and what was three nodes becomes a vault of one.
    private static async Task BackUpAndRestoreAsync(TestNode follower)
    {
        await using var restored = TestNode.Unstarted("--peer-port", "0");
        var backup = (await follower.RunAsync("backup", "--to", restored.FileIn("backup"))).MustBe(0).Json;
        Assert.Equal(0, backup.GetProperty("lastPosition").GetInt32());
        (await AdminProcess.RunAsync("restore", "--from", restored.FileIn("backup"), "--data", restored.DataDirectory)).MustBe(0);
        await restored.StartAsync();
        (await restored.RunAsync("append", "s", "--type", "T", "--data", "{}", "--expected", "0")).MustBe(0);
        var status = (await restored.RunAsync("cluster", "status")).MustBe(0);
        Assert.Equal("voter", Assert.Single(Nodes(status)).GetProperty("role").GetString());
        Assert.NotEqual(backup.GetProperty("vaultId").GetGuid(), status.Json.GetProperty("vaultId").GetGuid());

        // Others can join it, and get all of it: with two voters an append is on both.
        await using var joining = await TestNode.NewAsync("--join", "--peer-port", "0");
        var two = (await restored.RunAsync("cluster", "add", HostAndPort(joining))).MustBe(0);
        Assert.Equal(["voter", "voter"], Nodes(two).Select(n => n.GetProperty("role").GetString()));
        (await restored.RunAsync("append", "s", "--type", "T", "--data", "{}", "--expected", "1")).MustBe(0);
    }

    private static string HostAndPort(TestNode node) => node.Endpoint["http://".Length..];

    private static JsonElement.ArrayEnumerator Nodes(AdminResult result) => result.Json.GetProperty("nodes").EnumerateArray();
}
