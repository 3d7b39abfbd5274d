using System.Text.RegularExpressions;
using EventVault.Admin.Tests.Support;
using EventVault.Client;

namespace EventVault.Admin.Tests;

/// <summary>docs/TEMPORAL.md does what it shows: its commands print what stands below them, and its C# is compiled and run.</summary>
public sealed partial class TemporalTourTests
{
    private static Document Shown { get; } = new("docs", "TEMPORAL.md");

    // Other times will stand there whenever it is run; that they rise is others' to test.
    [GeneratedRegex(@"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z")]
    private static partial Regex Time();

    [Fact]
    public async Task Its_commands_print_what_it_shows()
    {
        var shown = Shown.Commands();
        Assert.True(shown.Count > 20, $"Only {shown.Count} commands were found: has the form of the blocks changed?");
        await using var node = await TestNode.NewAsync();
        var ran = await DocumentShell.RunAsync(shown, node.Endpoint);
        for (var i = 0; i < shown.Count; i++)
        {
            Assert.Equal($"$ {shown[i].Command}\n{Time().Replace(shown[i].Output, "TIME")}", $"$ {shown[i].Command}\n{Time().Replace(ran[i].Printed, "TIME")}");
        }
    }

    [Fact]
    public void Its_code_is_what_is_compiled_here()
    {
        Assert.Equal(6, Shown.Code().Count());
        Assert.Equal(Document.Compiled("TemporalTour.cs"), Shown.Code());
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
}
