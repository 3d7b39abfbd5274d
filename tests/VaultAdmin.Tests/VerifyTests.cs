using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

public sealed class VerifyTests
{
    [Fact]
    public async Task A_whole_vault_verifies_and_a_flipped_bit_is_damage_with_its_place()
    {
        await using var node = await TestNode.NewAsync();
        for (var i = 0; i < 3; i++)
        {
            (await node.RunAsync("append", "v", "--type", "T", "--data", $"\"needle-{i}\"")).MustBe(0);
        }

        var running = (await AdminProcess.RunAsync("verify", node.DataDirectory, "--json")).MustBe(1);
        Assert.Contains("in use", running.ErrorMessage, StringComparison.Ordinal);

        Assert.Equal(0, await node.StopAsync());
        Assert.Equal("{\"events\":3,\"damage\":[]}\n", (await AdminProcess.RunAsync("verify", node.DataDirectory, "--json")).MustBe(0).Stdout);

        // One of two copies: nothing is lost, and nobody is sent to a backup for it.
        Flip(Path.Combine(node.DataDirectory, "meta"), "EVMETA"u8);
        Assert.NotEqual("", (await AdminProcess.RunAsync("verify", node.DataDirectory, "--json")).MustBe(4).Json.GetProperty("damage")[0].GetProperty("remedy").GetString());
        var told = (await AdminProcess.RunAsync("verify", node.DataDirectory)).MustBe(4).Stdout;
        Assert.Contains("1 damaged place, and no event is lost", told, StringComparison.Ordinal);
        Assert.DoesNotContain("restore the vault", told, StringComparison.Ordinal);

        var segment = Directory.GetFiles(Path.Combine(node.DataDirectory, "log"), "*.seg").Order().First();
        Flip(segment, "needle-1"u8);
        var result = (await AdminProcess.RunAsync("verify", node.DataDirectory, "--json", "--endpoint", "http://127.0.0.1:1")).MustBe(4).Json;
        var damage = result.GetProperty("damage").EnumerateArray().First(d => d.GetProperty("segment").GetString() != "meta");
        Assert.Equal(Path.GetFileName(segment), damage.GetProperty("segment").GetString());
        Assert.True(damage.GetProperty("offset").GetInt64() >= 0);
        Assert.NotEqual("", damage.GetProperty("expected").GetString());
        Assert.True(result.GetProperty("events").GetInt64() < 3);
        Assert.Contains("restore the vault", (await AdminProcess.RunAsync("verify", node.DataDirectory)).MustBe(4).Stdout, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_directory_that_is_no_vault_is_told()
    {
        Assert.Equal("USAGE", (await AdminProcess.RunAsync("verify", "/nonexistent", "--json")).MustBe(2).ErrorCode);
        Assert.Contains("not a vault", (await AdminProcess.RunAsync("verify", AppContext.BaseDirectory, "--json")).MustBe(2).ErrorMessage, StringComparison.Ordinal);
    }

    private static void Flip(string path, ReadOnlySpan<byte> needle)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite);
        var start = new byte[1 << 20];
        file.ReadAtLeast(start, start.Length, throwOnEndOfStream: false);
        var at = start.AsSpan().IndexOf(needle);
        Assert.True(at >= 0);
        file.Position = at;
        file.WriteByte((byte)(start[at] ^ 1));
    }
}
