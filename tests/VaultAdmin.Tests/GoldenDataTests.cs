using System.Formats.Tar;
using System.IO.Compression;
using System.Text.RegularExpressions;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

/// <summary>
/// Whole data directories as nodes of earlier versions left them (Golden/NAME.tar.gz, made by Golden/make.sh), and what vault-admin said of them then (NAME.txt).
/// This version opens each, and says the same. They never change; the structures of single files are frozen in tests/EventVault.Storage.Tests/Golden.
/// </summary>
public sealed partial class GoldenDataTests : IDisposable
{
    private static readonly string[] Quiet = ["--scavenge-interval", "0", "--scrub-interval", "0"];

    private readonly string _folder = Directory.CreateTempSubdirectory("vault-admin-golden-").FullName;

    private static string Golden { get; } = Path.Combine(AdminProcess.Root, "tests", "VaultAdmin.Tests", "Golden");

    private string Data => Path.Combine(_folder, "vault");

    // Each start adds a group without events, which closes the time up to it.
    [GeneratedRegex("\"closedTime\":\"[^\"]*\"")]
    private static partial Regex ClosedTime();

    public static TheoryData<string> Names() => [.. Directory.GetFiles(Golden, "*.tar.gz").Select(p => Path.GetFileName(p)[..^".tar.gz".Length]).Order(StringComparer.Ordinal)];

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [MemberData(nameof(Names))]
    public async Task A_data_directory_of_an_earlier_version_opens_and_reads_as_it_did(string name)
    {
        await UnpackAsync(name);
        Assert.Equal(0, (await AdminProcess.RunAsync("verify", Data, "--json")).MustBe(0).Json.GetProperty("damage").GetArrayLength());

        // First as it is, then with nothing but the truth in it.
        await CheckAsync(name);
        foreach (var rebuildable in (string[])["index", "states"])
        {
            Directory.Delete(Path.Combine(Data, rebuildable), recursive: true);
        }

        await CheckAsync(name);
    }

    [Fact]
    public async Task The_first_of_them_has_what_there_was_to_have()
    {
        await UnpackAsync("2026-11-21");
        var files = Directory.GetFiles(Data, "*", SearchOption.AllDirectories).Select(p => Path.GetRelativePath(Data, p)).ToList();
        Assert.Contains("vote", files);
        Assert.Contains("index/clean-stop", files);
        Assert.Contains("index/unsealed", files);
        Assert.Contains(files, f => f.StartsWith("states/", StringComparison.Ordinal));

        // An index of a scavenged segment has the point in its name.
        Assert.Contains(files, f => f.EndsWith(".ix", StringComparison.Ordinal) && f.Count(c => c == '.') == 2);
        Assert.Contains(files, f => f.EndsWith(".ix", StringComparison.Ordinal) && f.Count(c => c == '.') == 1);
        Assert.Contains(await SaidAsync("2026-11-21"), l => l.Contains("\"legalHold\":true", StringComparison.Ordinal));
    }

    private static async Task<string[]> SaidAsync(string name)
    {
        await using var gzip = new GZipStream(File.OpenRead(Path.Combine(Golden, name + ".txt.gz")), CompressionMode.Decompress);
        using var text = new StreamReader(gzip);
        return (await text.ReadToEndAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    private async Task UnpackAsync(string name)
    {
        await using var gzip = new GZipStream(File.OpenRead(Path.Combine(Golden, name + ".tar.gz")), CompressionMode.Decompress);
        await TarFile.ExtractToDirectoryAsync(gzip, _folder, overwriteFiles: false);
    }

    private async Task CheckAsync(string name)
    {
        await using var node = await TestNode.OnAsync(Data, Quiet);
        var said = new List<string>();
        var expected = await SaidAsync(name);
        foreach (var line in expected.Where(l => l.StartsWith("$ vault-admin ", StringComparison.Ordinal)))
        {
            said.Add(line);
            var result = (await AdminProcess.RunAsync([.. line["$ vault-admin ".Length..].Split(' '), "--endpoint", node.Endpoint])).MustBe(0);
            said.AddRange(result.Stdout.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        }

        Assert.True(said.Count > 1000, "Golden files without events prove nothing.");
        for (var i = 0; i < Math.Min(said.Count, expected.Length); i++)
        {
            Assert.Equal(ClosedTime().Replace(expected[i], ""), ClosedTime().Replace(said[i], ""));
        }

        Assert.Equal(expected.Length, said.Count);
        Assert.Equal(0, await node.StopAsync());
    }
}
