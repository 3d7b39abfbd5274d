using System.Diagnostics;
using EventVault.Admin.Tests.Support;

namespace EventVault.Admin.Tests;

/// <summary>README.md does what it shows: its C# is compiled, and its commands are run and do what is said beside them. The first two, the demo and all tests, are CI's own.</summary>
public sealed class ReadmeTests
{
    private static Document Shown { get; } = new("README.md");

    // With that of docs/CLUSTER.md, which is one line.
    [Fact]
    public void Its_code_is_what_is_compiled_here() =>
        Assert.Equal(Document.Compiled("ReadmeTour.cs"), Shown.Code().Concat(new Document("docs", "CLUSTER.md").Code()).Order(StringComparer.Ordinal));

    // Its commands are run here without `dotnet run`, so what that makes of relative paths is asked by itself.
    [Fact]
    public async Task Dotnet_run_keeps_the_node_in_the_folder_of_the_shell()
    {
        var folder = Directory.CreateTempSubdirectory("vault-admin-run-").FullName;
        try
        {
            var start = new ProcessStartInfo(AdminProcess.Dotnet, ["msbuild", Path.Combine(AdminProcess.Root, "src", "EventVault.Node"), "-getProperty:RunWorkingDirectory"])
            {
                RedirectStandardOutput = true,
                WorkingDirectory = folder,
            };
            using var process = Process.Start(start)!;
            Assert.Equal(folder, (await process.StandardOutput.ReadToEndAsync()).Trim());
        }
        finally
        {
            Directory.Delete(folder);
        }
    }

    [Fact]
    public async Task Its_commands_do_what_it_says()
    {
        var shown = Shown.Commands();

        // The cluster is started first: the commands behind them go to the node.
        var (nodes, rest) = (shown.Take(2).Reverse(), shown.Skip(2).ToList());
        var repeated = rest.FindIndex(c => c.Command.Contains("the second time: exit code 3", StringComparison.Ordinal));
        rest.Insert(repeated + 1, rest[repeated]);
        var commands = nodes.Concat(rest).ToList();
        var ran = await DocumentShell.RunAsync(commands);
        for (var i = 0; i < commands.Count; i++)
        {
            Assert.True(ran[i].Code == (i == repeated + 3 ? 3 : 0), $"`{commands[i].Command}` ended with {ran[i].Code}: {ran[i].Printed}");
        }

        Assert.Contains("\"lines\":2151", Printed("--slots"), StringComparison.Ordinal);
        Assert.Contains("email:ada", Printed("read --all"), StringComparison.Ordinal);
        Assert.Contains("no damage", Printed("verify"), StringComparison.Ordinal);

        string Printed(string part) => ran[commands.FindIndex(c => c.Command.Contains(part, StringComparison.Ordinal))].Printed;
    }
}
