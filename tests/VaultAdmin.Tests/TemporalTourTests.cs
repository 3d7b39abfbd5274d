using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;
using EventVault.Admin.Tests.Support;
using EventVault.Client;

namespace EventVault.Admin.Tests;

/// <summary>docs/TEMPORAL.md does what it shows: its commands print what stands below them, and its C# is compiled and run.</summary>
public sealed partial class TemporalTourTests
{
    private const string Region = "// tour: ";
    private const string End = "// end";

    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);

    private static string[] Document { get; } = File.ReadAllLines(Path.Combine(AdminProcess.Root, "docs", "TEMPORAL.md"));

    // Other times will stand there whenever it is run; that they rise is others' to test.
    [GeneratedRegex(@"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z")]
    private static partial Regex Time();

    [Fact]
    public async Task Its_commands_print_what_it_shows()
    {
        var shown = Commands();
        Assert.True(shown.Count > 20, $"Only {shown.Count} commands were found: has the form of the blocks changed?");
        await using var node = await TestNode.NewAsync();
        var printed = await RunAsync(shown.Select(s => s.Command), node.Endpoint);
        Assert.Equal(shown.Count, printed.Count);
        for (var i = 0; i < shown.Count; i++)
        {
            Assert.Equal($"$ {shown[i].Command}\n{Time().Replace(shown[i].Output, "TIME")}", $"$ {shown[i].Command}\n{Time().Replace(printed[i], "TIME")}");
        }
    }

    [Fact]
    public async Task Its_code_is_what_is_compiled_here()
    {
        var source = await File.ReadAllLinesAsync(Path.Combine(AdminProcess.Root, "tests", "VaultAdmin.Tests", "TemporalTour.cs"));
        var compiled = Blocks(source, l => l.TrimStart().StartsWith(Region, StringComparison.Ordinal), l => l.Trim() == End).Select(Dedented).ToList();
        var shown = Blocks(Document, l => l == "```csharp", l => l == "```").Select(b => string.Join('\n', b)).ToList();
        Assert.Equal(6, compiled.Count);
        Assert.Equal(compiled.Order(StringComparer.Ordinal), shown.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Its_code_runs()
    {
        await using var node = await TestNode.NewAsync();
        await using var vault = VaultClient.Connect(node.Endpoint);
        await using var console = new StringWriter { NewLine = "\n" };
        await TemporalTour.ReadAsync(vault, console);
        await TemporalTour.FoldAsync(vault, console);
        await TemporalTour.ManyAsync(vault, console);
        await TemporalTour.FailAsync(vault, console);
        Assert.Equal(
            """
            read
            39.50 after version 1, 2 events read
            1 ItemAdded: 39.50
            2 ItemRemoved: 29.70
            order-1: {"by":"card","customer":"ada","paid":true}
            1: {"sum":39.5}
            2: {"sum":49.3}
            many
            Nothing is left of before version 1.
            It has got to version 1.

            """,
            console.ToString());
    }

    private static List<(string Command, string Output)> Commands()
    {
        var commands = new List<(string, string)>();
        foreach (var block in Blocks(Document, l => l == "```sh", l => l == "```"))
        {
            foreach (var line in block)
            {
                if (line.StartsWith("$ ", StringComparison.Ordinal))
                {
                    commands.Add((line[2..], ""));
                }
                else
                {
                    commands[^1] = (commands[^1].Item1, commands[^1].Item2 + line + "\n");
                }
            }
        }

        return commands;
    }

    private static List<List<string>> Blocks(string[] lines, Func<string, bool> begins, Func<string, bool> ends)
    {
        var blocks = new List<List<string>>();
        List<string>? block = null;
        foreach (var line in lines)
        {
            if (block is null)
            {
                block = begins(line) ? [] : null;
            }
            else if (ends(line))
            {
                blocks.Add(block);
                block = null;
            }
            else
            {
                block.Add(line);
            }
        }

        return blocks;
    }

    // Without the indentation of the method that holds it, and without the empty line that the style wants behind a block.
    private static string Dedented(List<string> block)
    {
        var indent = block[0].Length - block[0].TrimStart().Length;
        return string.Join('\n', block.Select(l => l.Length == 0 ? l : l[indent..])).TrimEnd('\n');
    }

    // One shell for all of them, so that its variables go from block to block.
    private static async Task<IReadOnlyList<string>> RunAsync(IEnumerable<string> commands, string endpoint)
    {
        const char Done = '\u0001';
        var script = new StringBuilder($"exec 2>&1\nvault-admin() {{ '{AdminProcess.Dotnet}' '{AdminProcess.Assembly}' \"$@\"; }}\n");
        foreach (var command in commands)
        {
            script.Append(command).Append("\nprintf '\\001'\n");
        }

        var start = new ProcessStartInfo("bash", ["-c", script.ToString()]) { RedirectStandardOutput = true, StandardOutputEncoding = Encoding.UTF8 };
        start.Environment["EVENTVAULT_ENDPOINT"] = endpoint;
        using var process = Process.Start(start)!;
        using var limit = new CancellationTokenSource(Limit);
        var output = await process.StandardOutput.ReadToEndAsync(limit.Token);
        await process.WaitForExitAsync(limit.Token);
        return output.TrimEnd(Done).Split(Done);
    }
}
