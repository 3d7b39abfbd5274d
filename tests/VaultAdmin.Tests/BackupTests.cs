using System.Globalization;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

public sealed class BackupTests
{
    private const int Events = 300;

    [Fact]
    public async Task A_backup_is_made_followed_checked_and_restored_to_any_position_by_commands()
    {
        await using var node = await TestNode.NewAsync("--segment-size", "65536");
        await using var restored = new TestNode();
        await File.WriteAllLinesAsync(node.FileIn("history"), Enumerable.Range(0, Events).Select(i => HistoryLine.Good(i / 3, i)));
        (await node.RunAsync("import", node.FileIn("history"))).MustBe(0);
        var (backup, data) = (node.FileIn("backup"), restored.DataDirectory);
        var first = (await node.RunAsync("backup", "--to", backup, "--rate", "0")).MustBe(0).Json;
        Assert.Equal((1, Events - 1), (first.GetProperty("number").GetInt32(), first.GetProperty("lastPosition").GetInt32()));
        Assert.Equal(first.GetProperty("bytes").GetInt64(), first.GetProperty("bytesRead").GetInt64());
        var between = DateTimeOffset.UtcNow;

        (await node.RunAsync("append", "more", "--type", "T", "--data", "{}")).MustBe(0);
        var second = (await node.RunAsync("backup", "--to", backup)).MustBe(0).Json;
        Assert.Equal((2, Events), (second.GetProperty("number").GetInt32(), second.GetProperty("lastPosition").GetInt32()));
        Assert.InRange(second.GetProperty("bytesRead").GetInt64(), 1, 2_000);
        var checkedOne = (await AdminProcess.RunAsync("backup", "verify", backup, "--json")).MustBe(0).Json;
        Assert.Equal((2, 0), (checkedOne.GetProperty("number").GetInt32(), checkedOne.GetProperty("damage").GetArrayLength()));

        // Three events are one append: 100 lies in the middle of one.
        var report = (await AdminProcess.RunAsync("restore", "--from", backup, "--data", data, "--position", "100", "--json")).MustBe(0).Json;
        Assert.Equal(98, report.GetProperty("lastPosition").GetInt32());
        await restored.StartAsync();
        Assert.Equal(report.GetProperty("vaultId").GetGuid(), (await restored.RunAsync("info")).MustBe(0).Json.GetProperty("vaultId").GetGuid());
        Assert.Equal(first.GetProperty("vaultId").GetGuid(), report.GetProperty("fromVaultId").GetGuid());
        Assert.Equal((await node.RunAsync("read", "--all", "--until", "98")).MustBe(0).Stdout, (await restored.RunAsync("read", "--all")).MustBe(0).Stdout);
        var back = (await AdminProcess.RunAsync("restore", "--from", backup, "--data", node.FileIn("then"), "--time", between.ToString("O", CultureInfo.InvariantCulture), "--json")).MustBe(0).Json;
        Assert.Equal(Events - 1, back.GetProperty("lastPosition").GetInt32());

        // Another vault's backups go elsewhere; a directory that holds something stays as it is.
        Assert.Contains("holds a backup of vault", (await restored.RunAsync("backup", "--to", backup)).MustBe(1).ErrorMessage, StringComparison.Ordinal);
        Assert.Contains("not empty", (await AdminProcess.RunAsync("restore", "--from", backup, "--data", node.FileIn("then"), "--json")).MustBe(1).ErrorMessage, StringComparison.Ordinal);
        Assert.Equal("USAGE", (await AdminProcess.RunAsync("restore", "--from", backup, "--data", node.FileIn("x"), "--position", "1", "--time", "2026-11-21T09:00:00Z", "--json")).MustBe(2).ErrorCode);
        (await AdminProcess.RunAsync("backup", "verify", node.FileIn("nothing"), "--json")).MustBe(2);

        var segment = Directory.GetFiles(Path.Combine(backup, "segments")).Order(StringComparer.Ordinal).First();
        await using (var file = new FileStream(segment, FileMode.Open, FileAccess.ReadWrite))
        {
            file.Position = 9_000;
            var old = file.ReadByte();
            file.Position = 9_000;
            file.WriteByte((byte)(old ^ 4));
        }

        var damaged = (await AdminProcess.RunAsync("backup", "verify", backup, "--json")).MustBe(4).Json;
        Assert.Equal(Path.GetFileName(segment), Assert.Single(damaged.GetProperty("damage").EnumerateArray()).GetProperty("segment").GetString());
        var refused = (await AdminProcess.RunAsync("restore", "--from", backup, "--data", node.FileIn("y"), "--json")).MustBe(4);
        Assert.Equal("DAMAGED", refused.ErrorCode);
        Assert.StartsWith($"{Path.GetFileName(segment)}, offset ", refused.ErrorMessage, StringComparison.Ordinal);
        Assert.Contains("Delete this file from the backup's folder segments and back up again", refused.ErrorMessage, StringComparison.Ordinal);

        // As its message says: what is deleted is read anew.
        File.Delete(segment);
        (await node.RunAsync("backup", "--to", backup)).MustBe(0);
        (await AdminProcess.RunAsync("backup", "verify", backup, "--json")).MustBe(0);
    }
}
