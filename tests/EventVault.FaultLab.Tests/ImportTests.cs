using System.Diagnostics;
using System.IO.Compression;
using System.Reflection;
using System.Text.Json;
using EventVault.Client;

namespace EventVault.FaultLab.Tests;

/// <summary>The real history, imported while the node is killed: EVENTVAULT_IMPORT_KILLS tells how often it is tried.</summary>
public sealed class ImportTests
{
    private static readonly string Admin = Metadata("AdminAssembly");
    private static readonly string History = Metadata("History");

    [Fact]
    public async Task A_history_whose_import_was_killed_and_repeated_is_in_the_vault_once_field_by_field_and_in_order()
    {
        var random = new Random(Settings.Seed);
        for (var round = 0; round < Settings.ImportKills; round++)
        {
            using var folder = new TemporaryFolder();
            var port = NodeProcess.FreePort();
            var node = await NodeProcess.StartAsync(folder.Path, port, 4 * 1024 * 1024);
            try
            {
                var import = ImportAsync(port);
                await Task.Delay(random.Next(100, 2500));
                node.Kill();
                await import; // It fails, or had ended before.
                node.Dispose();
                node = await NodeProcess.StartAsync(folder.Path, port, 4 * 1024 * 1024);
                Assert.Equal(25_213, (await ImportAsync(port)).GetProperty("lastPosition").GetInt64());
                var again = await ImportAsync(port);
                Assert.Equal(9_072, again.GetProperty("deduplicated").GetInt64());
                await CompareAsync(port);
                Assert.Equal(0, await node.StopAsync());
            }
            finally
            {
                node.Dispose();
            }
        }
    }

    private static async Task CompareAsync(int port)
    {
        await using var client = VaultClient.Connect($"eventvault://127.0.0.1:{port}");
        using var lines = new StreamReader(new GZipStream(File.OpenRead(History), CompressionMode.Decompress));
        var position = 0UL;
        await foreach (var e in client.ReadAllAsync())
        {
            using var expected = JsonDocument.Parse((await lines.ReadLineAsync())!);
            var line = expected.RootElement;
            Assert.Equal(position++, e.Position);
            Assert.Equal(line.GetProperty("stream").GetString(), e.Stream);
            Assert.Equal(line.GetProperty("id").GetGuid(), e.Id);
            Assert.Equal(line.GetProperty("type").GetString(), e.Type);
            Assert.Equal(DateTimeOffset.FromUnixTimeSeconds(line.GetProperty("occurredAt").GetInt64()), e.OccurredAt);
            using var data = JsonDocument.Parse(e.Data);
            Assert.True(JsonElement.DeepEquals(line.GetProperty("data"), data.RootElement), $"The data at position {e.Position} differs.");
            Assert.Equal(line.GetProperty("metadata").EnumerateObject().Select(p => (p.Name, p.Value.GetString()!)), e.Metadata.Select(m => (m.Key, m.Value)));
        }

        Assert.Equal(25_214UL, position);
        Assert.Null(await lines.ReadLineAsync());
    }

    private static async Task<JsonElement> ImportAsync(int port)
    {
        using var process = Process.Start(new ProcessStartInfo("dotnet", [Admin, "import", History, "--endpoint", $"http://127.0.0.1:{port}", "--json"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var errors = process.StandardError.ReadToEndAsync();
        var output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        await errors;
        using var document = JsonDocument.Parse(output.Length == 0 ? "{}" : output);
        return document.RootElement.Clone();
    }

    private static string Metadata(string key) => typeof(ImportTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == key).Value!;
}
